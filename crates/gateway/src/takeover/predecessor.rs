use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::socket_acceptconn;
use rustix::process::{Pid, test_kill_process};
use tokio::net::UnixStream;

use super::line::{Handed, Line, hear, say};
use super::offer::unexpected;
use super::{PROMPT, START, VERSION, is_trusted, place};
use crate::config::Config;
use crate::listen::{Given, Held, Socket};
use crate::notify::Notices;
use crate::{GatewayError, state};

/// The gateway that is at work where a new one starts.
#[derive(Debug)]
pub struct Predecessor {
    stream: UnixStream,
    process: Option<i32>,
    refuses: Option<String>,
}

impl Predecessor {
    /// Who is at work with this state folder. `None`: nobody.
    ///
    /// # Errors
    /// When somebody is there who is no gateway of this user, or one that speaks otherwise.
    pub async fn find(config: &Config) -> Result<Option<Self>, GatewayError> {
        let place = place(&state::folder(config.state.as_deref())?);
        let stream = match UnixStream::connect(&place).await {
            Ok(stream) => stream,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(GatewayError::File { verb: "ask at", path: place, source }),
        };
        let fault = |message: String| GatewayError::Setting {
            message: format!("`{}`: {message}", place.display()),
            hint: "stop the gateway that is at work, and start this one".to_owned(),
        };
        let peer = stream.peer_cred().map_err(|error| fault(error.to_string()))?;
        // Root may be asked to take the place of one that has given root up.
        if !is_trusted(peer.uid()) && !rustix::process::geteuid().is_root() {
            return Err(fault(format!("a process of another user is there, {}", peer.uid())));
        }
        match hear(&stream, PROMPT).await {
            Ok((Line::Hello { version: VERSION, refuses }, _)) => {
                Ok(Some(Self { stream, process: peer.pid(), refuses }))
            }
            Ok((Line::Hello { version, .. }, _)) => {
                Err(fault(format!("it hands over by version {version}, and this panoply by {VERSION}")))
            }
            Ok((other, _)) => Err(fault(unexpected(&other).to_string())),
            Err(error) => Err(fault(format!("the gateway that is at work does not say who it is: {error}"))),
        }
    }

    /// Its process, where that can be seen.
    #[must_use]
    pub const fn process(&self) -> Option<i32> {
        self.process
    }

    /// Asks for its place: it accepts no more until the new one serves, or ends.
    ///
    /// # Errors
    /// When it does not let go.
    pub async fn take(&mut self) -> Result<(Given, Notices), GatewayError> {
        if let Some(reason) = &self.refuses {
            return Err(self.fault(&format!("its place cannot be taken: {reason}")));
        }
        let fault = |error: io::Error| self.fault(&format!("it did not let go: {error}"));
        say(&self.stream, &Line::LetGo { version: VERSION }, &[]).await.map_err(fault)?;
        let (line, files) = hear(&self.stream, START).await.map_err(fault)?;
        let Line::Yours { sockets, notify, watchdog } = line else { return Err(fault(unexpected(&line))) };
        let held = held(sockets, files).map_err(fault)?;
        Ok((Given::from_before(held), notify.map(|name| Notices::to(name, watchdog)).unwrap_or_default()))
    }

    /// Tells it that the new one serves, and comes back when it is sure to end.
    ///
    /// # Errors
    /// When it serves on, since this one took too long: then there are two.
    pub async fn relieve(self) -> Result<(), GatewayError> {
        let relieved = async {
            say(&self.stream, &Line::Serving {}, &[]).await?;
            match hear(&self.stream, PROMPT).await?.0 {
                Line::Done {} => Ok(()),
                other => Err(unexpected(&other)),
            }
        };
        match relieved.await {
            Ok(()) => Ok(()),
            // One that has died meanwhile is relieved as well.
            Err(_) if self.is_gone() => Ok(()),
            Err(error) => Err(self.fault(&format!("it goes on, and this one ends: {error}"))),
        }
    }

    fn is_gone(&self) -> bool {
        let process = self.process.and_then(Pid::from_raw);
        process.is_some_and(|process| test_kill_process(process) == Err(Errno::SRCH))
    }

    fn fault(&self, message: &str) -> GatewayError {
        let process =
            self.process.map_or_else(|| "the gateway at work".to_owned(), |pid| format!("process {pid}"));
        GatewayError::Setting {
            message: format!("{process} was asked to hand over, and {message}"),
            hint: "see its log; or stop it, and start this one".to_owned(),
        }
    }
}

fn held(sockets: Vec<Handed>, files: Vec<OwnedFd>) -> io::Result<Held> {
    let invalid = |message: &str| io::Error::new(io::ErrorKind::InvalidData, message.to_owned());
    if sockets.len() != files.len() {
        return Err(invalid("the sockets are not as many as it says"));
    }
    let mut held = Held::default();
    for (Handed { role, asked, is_unasked }, file) in sockets.into_iter().zip(files) {
        if !socket_acceptconn(&file).unwrap_or(false) {
            return Err(invalid("what came is no socket that listens"));
        }
        let asked = asked.parse().map_err(|_| invalid("an address is none"))?;
        let mut socket = Socket::opened(TcpListener::from(file), Some(asked))?;
        socket.is_unasked = is_unasked;
        held.0.push((role, socket));
    }
    Ok(held)
}
