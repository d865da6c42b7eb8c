use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_acceptconn;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::UnixStream;

use super::bequest::Bequest;
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
    /// Readable once the process has ended (pidfd_open(2)).
    life: Option<OwnedFd>,
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
                let process = peer.pid();
                // Somebody is at the other end: the number is still its own.
                let life = process.and_then(Pid::from_raw);
                let life = life.and_then(|process| pidfd_open(process, PidfdFlags::empty()).ok());
                Ok(Some(Self { stream, process, life, refuses }))
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

    /// Tells it that the new one serves, and comes back when it is sure to end: with what it counts until then, where it
    /// can still say so.
    ///
    /// # Errors
    /// When it serves on, since this one took too long: then there are two.
    pub async fn relieve(self) -> Result<Option<Bequest>, GatewayError> {
        let relieved = async {
            say(&self.stream, &Line::Serving {}, &[]).await?;
            hear(&self.stream, PROMPT).await
        };
        let error = match relieved.await {
            Ok((Line::Done {}, _)) => return Ok(Some(Bequest::from(self.stream))),
            Ok((other, _)) => unexpected(&other),
            // It accepts nobody until it has read what it was told, and then it ends: whoever waited for it to answer
            // would leave visitors to one that is stuck.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                tracing::warn!(process = self.process, "the process before does not answer any more");
                return Ok(None);
            }
            // One that has died meanwhile is relieved as well.
            Err(_) if self.is_gone().await => return Ok(None),
            Err(error) => error,
        };
        Err(self.fault(&format!("it goes on, and this one ends: {error}")))
    }

    /// Also when nobody has asked how it ended: then its number is still taken. Its descriptors are closed a moment
    /// before it is gone.
    async fn is_gone(&self) -> bool {
        for _ in 0..LOOKS {
            if self.life.as_ref().is_some_and(has_ended) {
                return true;
            }
            tokio::time::sleep(BETWEEN).await;
        }
        false
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

fn has_ended(process: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)).is_ok_and(|ended| ended > 0)
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

/// For a second, which is much between the end of a process's descriptors and its own.
const LOOKS: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::fd::AsFd;
    use std::path::Path;
    use std::process::{self, Child, Command, Stdio};

    use tokio::net::UnixListener;

    use super::*;
    use crate::listen::Role;

    /// Plays the process before where a test has started it as one, and else nothing.
    #[tokio::test]
    async fn a_stand_in_for_the_one_before() {
        let Some(folder) = env::var_os(FOLDER) else { return };
        let folder = Path::new(&folder);
        let fresh = folder.join("fresh");
        let listener = UnixListener::bind(&fresh).unwrap();
        std::fs::rename(&fresh, place(folder)).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        say(&stream, &Line::Hello { version: VERSION, refuses: None }, &[]).await.unwrap();
        assert_eq!(hear(&stream, PROMPT).await.unwrap().0, Line::LetGo { version: VERSION });
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let asked = socket.local_addr().unwrap().to_string();
        let handed = Handed { role: Role::Https, asked, is_unasked: false };
        let yours = Line::Yours { sockets: vec![handed], notify: None, watchdog: None };
        say(&stream, &yours, &[socket.as_fd()]).await.unwrap();
        match env::var(THEN).unwrap().as_str() {
            "goes on" => drop(stream), // it took the new one too long
            then => {
                assert_eq!(hear(&stream, PROMPT).await.unwrap().0, Line::Serving {});
                match then {
                    "ends" => say(&stream, &Line::Done {}, &[]).await.unwrap(),
                    "dies" => process::abort(),
                    _ => {}
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    struct StandIn(Child);

    impl Drop for StandIn {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn stand_in(folder: &Path, then: &str) -> StandIn {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "takeover::predecessor::tests::a_stand_in_for_the_one_before"]);
        command.env(FOLDER, folder).env(THEN, then).stdout(Stdio::null()).stderr(Stdio::null());
        StandIn(command.spawn().unwrap())
    }

    #[tokio::test]
    async fn whoever_cannot_go_on_is_relieved_and_who_goes_on_is_not() {
        for (then, is_relieved) in [("ends", true), ("dies", true), ("hangs", true), ("goes on", false)] {
            let folder = tempfile::tempdir().unwrap();
            let config = Config { state: Some(folder.path().to_owned()), ..Config::default() };
            // Nobody waits for it: once it is dead its number is still there.
            let _before = stand_in(folder.path(), then);
            let mut predecessor = loop {
                match Predecessor::find(&config).await.unwrap() {
                    Some(predecessor) => break predecessor,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            };
            predecessor.take().await.unwrap();
            let relieved = predecessor.relieve().await;
            assert_eq!(relieved.is_ok(), is_relieved, "{then}: {relieved:?}");
        }
    }

    const FOLDER: &str = "PANOPLY_TEST_STANDS_IN";
    const THEN: &str = "PANOPLY_TEST_THEN";
}
