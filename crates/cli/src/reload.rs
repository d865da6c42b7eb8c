//! The configuration is read again, when it has changed or somebody asks for it (SIGHUP).

use std::fs::File;
use std::path::Path;

use panoply_gateway::reload::Watched;
use panoply_gateway::{Config, Notices, Running};
use tokio::signal::unix;

use crate::ask::shown;
use crate::outset;
use crate::signals;
use crate::trouble::Trouble;

/// What can be heard of while the gateway runs.
#[derive(Debug)]
pub(crate) enum News {
    /// What it was started with may have changed.
    Configuration,
    /// The terminal that it was started from is gone.
    HungUp,
}

/// Hears of them.
#[derive(Debug)]
pub(crate) struct Reload {
    hangup: unix::Signal,
    file: Option<Watched>,
    has_terminal: bool,
}

impl Reload {
    /// To be called before the file is read.
    pub(crate) fn listen(file: Option<&Path>) -> Result<Self, Trouble> {
        let ignored = is_ignored(1);
        Ok(Self {
            hangup: signals::hear(unix::SignalKind::hangup())?,
            file: file.map(Watched::begin),
            // Who started it with nohup has said that the terminal may go.
            has_terminal: has_terminal() && !ignored,
        })
    }

    /// The next of them. SIGHUP has everything read again, also keys and certificates whose names have not changed.
    pub(crate) async fn news(&mut self) -> News {
        let changed = async {
            match &mut self.file {
                Some(file) => file.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => return News::Configuration,
            _ = self.hangup.recv() => {}
        }
        if self.has_terminal && !has_terminal() {
            return News::HungUp;
        }
        if let Some(file) = &mut self.file {
            file.look();
        }
        News::Configuration
    }
}

/// Takes what was read into use, or says why not.
pub(crate) async fn reload(running: &mut Running, read: Result<Config, Trouble>, notices: &Notices) {
    notices.reloading();
    let taken = match read {
        Ok(config) => running.reload(config).await.map_err(Trouble::from),
        Err(trouble) => {
            running.refused_reload();
            Err(trouble)
        }
    };
    match taken {
        Ok(()) => {
            tracing::info!("the configuration was read again and holds from now on");
            notices.ready(&outset::status(running));
        }
        Err(trouble) => {
            let trouble = trouble.to_string();
            let said: Vec<_> = trouble.lines().map(shown).collect();
            tracing::error!(
                "the configuration is refused, and what was served before goes on: {}",
                said.join("; ")
            );
            // A service that has failed to reload still serves: the reload is over.
            notices
                .ready("the new configuration is refused, and what was served before goes on: see the log");
        }
    }
}

/// Whether this process was started with a signal ignored (proc_pid_status(5)).
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// A terminal that hung up is nobody's any more (tty_ioctl(4)): the signal alone does not tell.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}
