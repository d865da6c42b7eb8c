//! An app on a port that everybody reaches is an app without a shield.
//!
//! `panoply run -- npm start` starts the app itself, on a loopback port of its own choice, and ends it last.
//!
//! **Stops** visitors who go around the shield: an app that listens where other machines reach it is not served,
//! and Node apps are bound to loopback by a script they read first. The same script shows them the visitor in place
//! of the gateway, told by a secret, so that secure cookies and rate limits work without `trust proxy`.
//! **Leaves** other users of this machine: they reach loopback. An app that opens a public port later is not seen.
//! If panoply itself is killed (SIGKILL), the app lives on. **Defaults** the environment stays as it is but for
//! `PORT`: a `NODE_ENV` that is set behind the app's back changes what it does, so its absence is only told.
//!
//! ```
//! # use std::time::Duration;
//! use panoply_gateway::supervise::{App, AppError, Command, exit_code, free_port};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let state = std::env::temp_dir();
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let app = App::start(Command::new("sh", ["-c", "test -n $PORT && exit 7"], state), free_port()?)?;
//!
//! let Err(AppError::Ended { status, port }) = app.ready(Duration::from_secs(60)).await else { unreachable!() };
//! assert_eq!((exit_code(status), port), (7, app.port()));
//! # Ok(())
//! # })
//! # }
//! ```

mod command;
mod error;
mod group;
mod preload;
mod sockets;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, ExitStatus};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, io};

pub use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

pub use command::Command;
pub use error::{AppError, exit_code};
use group::Group;
use preload::Preload;
pub use preload::Proof;
use sockets::{Listener, listeners};

/// A running app. Dropped, it is killed, with all that it started.
#[derive(Debug)]
pub struct App {
    child: Mutex<Child>,
    group: Group,
    port: u16,
    preload: Option<Preload>,
    greeted: OnceLock<()>,
    allow_public_port: bool,
}

impl App {
    /// Starts `command` with `PORT` set to a [`free_port`], its output where ours goes, and nothing to read. Needs a
    /// tokio runtime.
    ///
    /// # Errors
    /// When there is no such program, or no writing to the folder for the preload.
    pub fn start(command: Command, port: u16) -> Result<Self, AppError> {
        let preload = command.preload.then(|| Preload::write(&command.state, port)).transpose();
        let preload = preload.map_err(|source| AppError::State { state: command.state.clone(), source })?;
        if command.develops(std::env::var_os("NODE_ENV").as_deref()) {
            tracing::warn!(
                hint = "run with --production, or set it",
                "NODE_ENV is not `production`: many apps run slower so, and show stack traces"
            );
        }
        let program = || command.program.to_string_lossy().into_owned();
        let child = command
            .on(port, preload.as_ref())
            .spawn()
            .map_err(|source| AppError::Start { program: program(), source })?;
        let group = child.id().and_then(Group::led_by).ok_or_else(|| AppError::Start {
            program: program(),
            source: io::Error::other("the system gave it no process id"),
        })?;
        Ok(Self {
            child: Mutex::new(child),
            group,
            port,
            preload,
            greeted: OnceLock::new(),
            allow_public_port: command.allow_public_port,
        })
    }

    /// Where the app was told to listen.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What shows the app that a request came through here; `None` while nobody in it would understand. It is known
    /// once the app is [`ready`](Self::ready).
    #[must_use]
    pub fn proof(&self) -> Option<&Proof> {
        self.greeted.get()?;
        self.preload.as_ref().map(|preload| &preload.proof)
    }

    /// Waits until the app takes connections on its port, and says whether that is 127.0.0.1 or ::1. What a longer
    /// wait may be about goes to the log every five seconds.
    ///
    /// # Errors
    /// When the app ends, listens where others reach it directly, or is not there after `patience`.
    pub async fn ready(&self, patience: Duration) -> Result<SocketAddr, AppError> {
        let port = self.port;
        let address = tokio::select! {
            address = self.connectable() => address,
            status = self.exited() => return Err(AppError::Ended { port, status }),
            error = self.remind() => return Err(error),
            () = sleep(patience) => return Err(match self.sight() {
                Sight::Public(address) => AppError::PublicPort(address),
                Sight::Elsewhere(found) => AppError::OtherPort { found, told: port },
                Sight::Nothing => AppError::Silent { port, waited: patience },
            }),
        };
        if let Sight::Public(address) = self.sight() {
            return Err(AppError::PublicPort(address));
        }
        self.meet().await;
        Ok(address)
    }

    /// Waits until the process that was started has ended. What it started may live on: [`stop`](Self::stop) ends
    /// that too.
    pub async fn exited(&self) -> ExitStatus {
        let status = self.child.lock().await.wait().await;
        status.unwrap_or_else(|error| {
            // Who started us may have told the system to forget our children (SIGCHLD ignored).
            tracing::warn!(%error, "the app is gone, and nobody knows how it ended");
            ExitStatus::from_raw(i32::from(u8::MAX) << 8)
        })
    }

    /// Sends `signal` to the app and all that it started; it is no error when they are gone.
    ///
    /// # Errors
    /// When the app took other rights than ours (`sudo`).
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.group.signal(signal)
    }

    /// Asks the app and all that it started to end (SIGTERM), kills what is left after `grace`, and says with which
    /// [`exit_code`] the app ended.
    pub async fn stop(&self, grace: Duration) -> u8 {
        // One that was halted (SIGSTOP, SIGTTOU) hears the first only after the second.
        for signal in [Signal::TERM, Signal::CONT] {
            self.tell(signal);
        }
        let gone = async {
            let status = self.exited().await;
            self.emptied().await;
            status
        };
        let status = match timeout(grace, gone).await {
            Ok(status) => status,
            Err(_) => {
                self.tell(Signal::KILL);
                self.exited().await
            }
        };
        exit_code(status)
    }

    /// Tries until somebody listens. Nothing but a connection says so on every system.
    async fn connectable(&self) -> SocketAddr {
        loop {
            for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
                let address = SocketAddr::new(ip, self.port);
                let Ok(Ok(stream)) = timeout(TRY_FOR, TcpStream::connect(address)).await else { continue };
                // Where nobody listens, a connection can meet itself: the system may give it that very port to
                // come from (RFC 9293 §3.5, simultaneous open).
                if stream.local_addr().is_ok_and(|local| local != address) {
                    return address;
                }
            }
            sleep(TRY_EVERY).await;
        }
    }

    /// Says what a longer wait may be about; returns only when waiting is in vain.
    async fn remind(&self) -> AppError {
        let mut waited = Duration::ZERO;
        let mut told = None;
        loop {
            sleep(REMIND_EVERY).await;
            waited += REMIND_EVERY;
            match self.sight() {
                Sight::Public(address) => return AppError::PublicPort(address),
                Sight::Elsewhere(found) if told != Some(found) => {
                    told = Some(found);
                    let error = AppError::OtherPort { found, told: self.port };
                    tracing::warn!(hint = error.hint(), "{error}");
                }
                Sight::Elsewhere(_) | Sight::Nothing => tracing::info!(
                    "waiting for the app to listen on port {}, for {} s now",
                    self.port,
                    waited.as_secs()
                ),
            }
        }
    }

    /// Gives the app's process time to say that it read the preload: it does so one turn of its event loop after
    /// it takes connections. What is no Node never will.
    async fn meet(&self) {
        let Some(preload) = &self.preload else { return };
        let hello = async {
            while !preload.said_hello() {
                sleep(TRY_EVERY).await;
            }
        };
        let node = self.group.runs_node();
        if timeout(if node { HELLO_OF_NODE } else { HELLO }, hello).await.is_ok() {
            let _ = self.greeted.set(());
        } else if node {
            tracing::warn!(
                hint = "a start script that sets NODE_OPTIONS replaces ours; without the preload set `trust proxy`",
                "the app's Node did not read panoply's preload, and takes the gateway for its visitor"
            );
        }
    }

    async fn emptied(&self) {
        while self.group.members().is_ok_and(|members| !members.is_empty()) {
            sleep(TRY_EVERY).await;
        }
    }

    /// What the kernel says of our port and of the app.
    fn sight(&self) -> Sight {
        match listeners() {
            Ok(listeners) => match sight(&listeners, self.port, &self.group.sockets().unwrap_or_default()) {
                Sight::Public(_) if self.allow_public_port => Sight::Nothing,
                sight => sight,
            },
            Err(error) => {
                tracing::warn!(%error, "nobody can tell whether others reach the app's port around the shield");
                Sight::Nothing
            }
        }
    }

    fn tell(&self, signal: Signal) {
        if let Err(error) = self.signal(signal) {
            tracing::warn!(%error, "the app could not be sent signal {}", signal.as_raw());
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // The id of a group is free for others once its leader was waited for and nobody is left in it.
        let leader = self.child.get_mut().id().is_some();
        if leader || self.group.members().is_ok_and(|members| !members.is_empty()) {
            self.tell(Signal::KILL);
        }
    }
}

/// A port that nobody listens on, just below those that the system gives to connections: of these any client of this
/// machine may be given one before the app has it. Somebody else may take it all the same: then the app says so and ends.
///
/// # Errors
/// When the system has none left.
pub fn free_port() -> Result<u16, AppError> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    // Who starts at the same time begins elsewhere.
    let begin = process::id().wrapping_mul(7).wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed));
    let first = first_for_connections().saturating_sub(PORTS);
    let mut ports = (0..u32::from(PORTS))
        .filter_map(|n| u16::try_from(begin.wrapping_add(n) % u32::from(PORTS)).ok())
        .map(|n| first + n);
    let is_free = |port: &u16| *port > 1023 && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    if let Some(port) = ports.find(is_free) {
        return Ok(port);
    }
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    Ok(port.map_err(AppError::NoPort)?.port())
}

/// The first of the ports that Linux gives to connections (ip(7)).
fn first_for_connections() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768)
}

/// What is to be said of an app by where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// Our port can be reached from elsewhere.
    Public(SocketAddr),
    /// Nobody listens on our port, but the app does on this one.
    Elsewhere(SocketAddr),
    Nothing,
}

/// Judges `listeners` for an app that was told `port` and holds these `sockets`.
fn sight(listeners: &[Listener], port: u16, sockets: &[u64]) -> Sight {
    let (ours, others): (Vec<&Listener>, Vec<&Listener>) =
        listeners.iter().partition(|listener| listener.address.port() == port);
    if let Some(public) = ours.iter().find(|listener| listener.is_public()) {
        return Sight::Public(public.address);
    }
    match others.iter().find(|listener| sockets.contains(&listener.inode)) {
        Some(elsewhere) if ours.is_empty() => Sight::Elsewhere(elsewhere.address),
        _ => Sight::Nothing,
    }
}

/// How many of them `free_port` chooses from: of those that are this high few are anybody's by custom.
const PORTS: u16 = 2_000;
/// Quick enough to go unnoticed, slow enough to cost nothing.
const TRY_EVERY: Duration = Duration::from_millis(50);
/// Loopback answers at once, unless a packet filter drops what we send.
const TRY_FOR: Duration = Duration::from_secs(1);
/// Most apps listen sooner.
const REMIND_EVERY: Duration = Duration::from_secs(5);
/// For a Node that has more to do after it called `listen`, on a machine that has more to do than this.
const HELLO_OF_NODE: Duration = Duration::from_secs(5);
/// For a Node that we may not recognise as one.
const HELLO: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_app_listens_says_what_is_wrong() {
        let public = |text: &str| Sight::Public(text.parse().unwrap());
        let elsewhere = |text: &str| Sight::Elsewhere(text.parse().unwrap());
        for (listening, expected) in [
            (&[("127.0.0.1:4000", 1)][..], Sight::Nothing),
            (&[("[::1]:4000", 1)], Sight::Nothing),
            (&[("[::ffff:127.0.0.1]:4000", 1)], Sight::Nothing),
            (&[("0.0.0.0:4000", 1)], public("0.0.0.0:4000")),
            (&[("[::]:4000", 1)], public("[::]:4000")),
            (&[("127.0.0.1:4000", 1), ("10.0.0.5:4000", 2)], public("10.0.0.5:4000")),
            (&[("0.0.0.0:4000", 9)], public("0.0.0.0:4000")), // a socket we may not look at is no excuse
            (&[("0.0.0.0:3000", 1)], elsewhere("0.0.0.0:3000")),
            (&[("127.0.0.1:3000", 2)], elsewhere("127.0.0.1:3000")),
            (&[("127.0.0.1:3000", 9)], Sight::Nothing), // another app's
            (&[("127.0.0.1:4000", 1), ("127.0.0.1:9229", 2)], Sight::Nothing), // a debugger beside it
            (&[], Sight::Nothing),
        ] {
            let listeners: Vec<_> = listening
                .iter()
                .map(|&(address, inode)| Listener { address: address.parse().unwrap(), inode })
                .collect();
            assert_eq!(sight(&listeners, 4000, &[1, 2]), expected, "{listening:?}");
        }
    }
}
