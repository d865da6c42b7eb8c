//! The configuration is read again, when it has changed or somebody asks for it (SIGHUP).

use std::path::Path;

use panoply_gateway::reload::Watched;
use panoply_gateway::{Config, Notices, Running};
use tokio::signal::unix;

use crate::ask::shown;
use crate::outset;
use crate::signals;
use crate::terminal::Terminal;
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
    terminal: Terminal,
}

impl Reload {
    /// To be called before the file is read.
    pub(crate) fn listen(file: Option<&Path>) -> Result<Self, Trouble> {
        let terminal = Terminal::find();
        Ok(Self {
            hangup: signals::hear(unix::SignalKind::hangup())?,
            file: file.map(Watched::begin),
            terminal,
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
            never = self.terminal.watch() => match never {},
        }
        if self.terminal.has_just_gone() {
            return News::HungUp;
        }
        News::Configuration
    }

    /// What is in the file by now was heard of.
    async fn look(&mut self) {
        if let Some(file) = &mut self.file {
            file.look().await;
        }
    }
}

/// Takes what is `read` into use, or says why not. Files may keep it waiting for as long as they like: whoever is told to
/// end meanwhile drops it, and nothing has changed.
pub(crate) async fn reload(
    running: &mut Running,
    again: &mut Reload,
    read: impl FnOnce() -> Result<Config, Trouble> + Send + 'static,
    notices: &Notices,
) {
    notices.reloading();
    // Before it is read, so that no change is missed in between.
    again.look().await;
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.unwrap_or_else(|gone| {
        Err(Trouble::new(format_args!("reading the configuration broke off: {gone}"), "report it"))
    });
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
