//! Signals, heard from before the first thing that they could interrupt: one that nobody hears ends the process.

use panoply_gateway::supervise::Signal;
use tokio::signal::unix::{self, SignalKind};

use crate::trouble::Trouble;

/// Ctrl-C and SIGTERM.
#[derive(Debug)]
pub(crate) struct Ending {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Ending {
    pub(crate) fn listen() -> Result<Self, Trouble> {
        Ok(Self { terminate: hear(SignalKind::terminate())?, interrupt: hear(SignalKind::interrupt())? })
    }

    /// Waits until somebody wants an end.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGUSR1, by which logrotate says that a log was moved away.
#[derive(Debug)]
pub(crate) struct Rotation(unix::Signal);

impl Rotation {
    pub(crate) fn listen() -> Result<Self, Trouble> {
        Ok(Self(hear(SignalKind::user_defined1())?))
    }

    /// Waits until one was.
    pub(crate) async fn asked(&mut self) {
        self.0.recv().await;
    }
}

/// What means something to an app and nothing to us. SIGHUP is not among them: it asks for what we read to be read
/// again, and would end most apps.
#[derive(Debug)]
pub(crate) struct ForTheApp {
    user_1: unix::Signal,
    user_2: unix::Signal,
}

impl ForTheApp {
    pub(crate) fn listen() -> Result<Self, Trouble> {
        Ok(Self { user_1: hear(SignalKind::user_defined1())?, user_2: hear(SignalKind::user_defined2())? })
    }

    /// The next of them.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.user_1.recv() => Signal::USR1,
            _ = self.user_2.recv() => Signal::USR2,
        }
    }
}

pub(crate) fn hear(kind: SignalKind) -> Result<unix::Signal, Trouble> {
    unix::signal(kind).map_err(|error| {
        Trouble::new(format_args!("cannot hear signals: {error}"), "check the limit on open files")
    })
}
