//! What systemd is told: ready, reloading, stopping, alive (sd_notify(3)). Who was not started by it tells nobody.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::pin::pin;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::heartbeat::Heartbeats;

/// Where systemd hears how this process is.
#[derive(Clone, Debug, Default)]
pub struct Notices(Option<Arc<Listener>>);

#[derive(Debug)]
struct Listener {
    name: String,
    watchdog: Option<Duration>,
}

impl Notices {
    /// As `NOTIFY_SOCKET` and `WATCHDOG_USEC` say it.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name| env::var(name).ok();
        let Some(name) = variable("NOTIFY_SOCKET") else { return Self::default() };
        let is_ours = variable("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(process::id()));
        let watchdog = variable("WATCHDOG_USEC").filter(|_| is_ours).and_then(|time| time.parse().ok());
        Self::to(name, watchdog)
    }

    /// `watchdog`: how long it may be silent, in microseconds.
    pub(crate) fn to(name: String, watchdog: Option<u64>) -> Self {
        if !name.starts_with(['/', '@']) {
            tracing::warn!("NOTIFY_SOCKET is neither a path nor an abstract name: systemd is told nothing");
            return Self::default();
        }
        let watchdog = watchdog.filter(|time| *time > 0).map(Duration::from_micros);
        Self(Some(Arc::new(Listener { name, watchdog })))
    }

    /// These, or the `other` where there are none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }

    /// The socket's name, and how long it may be silent, in microseconds.
    pub(crate) fn listener(&self) -> Option<(&str, Option<u64>)> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.as_ref().map(|listener| (listener.name.as_str(), listener.watchdog.map(micros)))
    }

    /// It serves; also again, after a reload, whatever became of it.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// It reads its configuration again, until it is ready.
    pub fn reloading(&self) {
        // `Type=notify-reload` tells by the time which reload is meant.
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic().as_micros()));
    }

    /// It ends.
    pub fn stopping(&self, status: &str) {
        self.say(&format!("STOPPING=1\nSTATUS={}", line(status)));
    }

    /// Another process goes on in its place.
    pub fn succeeded_by(&self, process: u32) {
        self.say(&format!("MAINPID={process}\nSTATUS=process {process} goes on"));
    }

    /// Does `work`, and asks for patience as long as it lasts.
    pub async fn while_busy<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut tick = tokio::time::interval(ASK_EVERY);
        loop {
            tokio::select! {
                done = work.as_mut() => return done,
                _ = tick.tick() => self.say(&format!("EXTEND_TIMEOUT_USEC={}", ASK_FOR.as_micros())),
            }
        }
    }

    /// Says that it is alive, for as long as each thread is; where systemd has no watchdog there is nothing to do.
    pub async fn keep_watchdog(self, heartbeats: Heartbeats) {
        let Some(watchdog) = self.0.as_ref().and_then(|listener| listener.watchdog) else { return };
        let mut tick = tokio::time::interval(watchdog / 2); // what sd_watchdog_enabled(3) recommends
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let silent = heartbeats.silent();
            if silent.is_empty() {
                self.say("WATCHDOG=1");
            } else {
                tracing::error!(
                    threads = silent.join(", "),
                    "stuck: the watchdog is not told that all is well"
                );
            }
            heartbeats.ask();
        }
    }

    fn say(&self, words: &str) {
        let Some(listener) = &self.0 else { return };
        if let Err(error) = listener.hear(words) {
            tracing::warn!(%error, "systemd could not be told how this process is");
        }
    }
}

impl Listener {
    /// A socket for each message: who listens there may have been started anew.
    fn hear(&self, words: &str) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        // A queue that stays full must not stop the thread that accepts.
        socket.set_write_timeout(Some(QUEUE))?;
        match self.name.strip_prefix('@') {
            Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            None => socket.connect(&self.name)?,
        }
        socket.send(words.as_bytes()).map(drop)
    }
}

/// A line break would begin another assignment.
fn line(status: &str) -> String {
    status.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

const ASK_EVERY: Duration = Duration::from_secs(5);
/// Three times as long, so that a busy machine is not taken for a hang.
const ASK_FOR: Duration = Duration::from_secs(15);
const QUEUE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut words = [0; 256];
        let read = socket.recv(&mut words).unwrap();
        String::from_utf8_lossy(&words[..read]).into_owned()
    }

    #[test]
    fn a_status_is_one_line_and_an_abstract_name_is_found() {
        let name = format!("panoply-notify-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Notices::to(format!("@{name}"), None).ready("all is\nMAINPID=1");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=all is MAINPID=1");
    }
}
