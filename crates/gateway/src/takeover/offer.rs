use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::line::{Handed, Line, hear, say};
use super::{PROMPT, START, VERSION, bequest, is_trusted, place};
use crate::config::Config;
use crate::counting::Told;
use crate::listen::Held;
use crate::notify::Notices;
use crate::state;

/// The place of a gateway at work, for a new process to ask for.
#[derive(Debug)]
pub struct Offer(Option<Open>);

#[derive(Debug)]
struct Open {
    asked: mpsc::Receiver<Successor>,
    place: PathBuf,
    number: u64,
    listening: JoinHandle<()>,
}

/// A new process whose configuration is right, and that wants this one's place.
#[derive(Debug)]
pub struct Successor {
    stream: UnixStream,
    process: Option<u32>,
}

impl Offer {
    /// Offers it in the state folder, or says to all who ask why it `refuses`. Where nothing can be offered the log says
    /// so: the gateway serves all the same. It must be called within a tokio runtime.
    #[must_use]
    pub fn open(config: &Config, refuses: Option<&'static str>) -> Self {
        let Ok(folder) = state::folder(config.state.as_deref()) else { return Self(None) };
        let place = place(&folder);
        match listen(&folder, &place) {
            Ok((listener, number)) => {
                let (sender, asked) = mpsc::channel(1);
                let listening = tokio::spawn(attend(listener, refuses, sender));
                Self(Some(Open { asked, place, number, listening }))
            }
            Err(error) => {
                tracing::warn!(
                    %error, place = %place.display(),
                    hint = "the path of a socket has at most 107 bytes: a shorter state folder may be what is needed",
                    "no new process can take the place of this one"
                );
                Self(None)
            }
        }
    }

    /// Waits until somebody asks.
    pub async fn asked(&mut self) -> Successor {
        if let Self(Some(open)) = self
            && let Some(successor) = open.asked.recv().await
        {
            return successor;
        }
        std::future::pending().await
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.listening.abort();
        // Who has the place now has put a socket of his own there.
        if fs::symlink_metadata(&self.place).is_ok_and(|found| found.ino() == self.number) {
            let _ = fs::remove_file(&self.place);
        }
    }
}

impl Successor {
    /// Its process, where that can be seen.
    #[must_use]
    pub const fn process(&self) -> Option<u32> {
        self.process
    }

    /// Gives it everything, and waits until it serves.
    pub(crate) async fn give(&mut self, held: &Held, notices: &Notices) -> io::Result<()> {
        let sockets = held.0.iter().map(|(role, socket)| Handed {
            role: *role,
            asked: socket.asked.to_string(),
            is_unasked: socket.is_unasked,
        });
        let (notify, watchdog) = notices.listener().unzip();
        let yours = Line::Yours {
            sockets: sockets.collect(),
            notify: notify.map(str::to_owned),
            watchdog: watchdog.flatten(),
        };
        let files: Vec<_> = held.0.iter().map(|(_, socket)| socket.as_fd()).collect();
        say(&self.stream, &yours, &files).await?;
        match hear(&self.stream, START).await?.0 {
            Line::Serving {} => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// It may be sure that this one ends, and hears what is `counted` until then.
    pub(crate) async fn go_on(self, counted: mpsc::Receiver<Told>) {
        let told = async {
            say(&self.stream, &Line::Done {}, &[]).await?;
            bequest::tell(self.stream, counted).await
        };
        if let Err(error) = told.await {
            tracing::warn!(%error, "what is counted at the end is lost to the new process");
        }
    }
}

/// A socket in the place of the one that is there, which may be that of the one before; and its number in the folder.
fn listen(folder: &Path, place: &Path) -> io::Result<(UnixListener, u64)> {
    state::make(folder)?;
    let fresh = folder.join(format!("takeover.sock.{}", process::id()));
    state::remove(&fresh)?;
    let listener = UnixListener::bind(&fresh)?;
    let put = fs::set_permissions(&fresh, Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&fresh, place))
        .and_then(|()| fs::symlink_metadata(place));
    match put {
        Ok(found) => Ok((listener, found.ino())),
        Err(error) => {
            let _ = state::remove(&fresh);
            Err(error)
        }
    }
}

/// Who says nothing is waited for a little, and holds nobody up.
async fn attend(listener: UnixListener, refuses: Option<&'static str>, asked: mpsc::Sender<Successor>) {
    let mut greeted = JoinSet::new();
    loop {
        if greeted.len() >= AT_ONCE {
            greeted.join_next().await;
        }
        while greeted.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AFTER_FAILURE).await;
            continue;
        };
        let asked = asked.clone();
        greeted.spawn(async move {
            match greet(stream, refuses).await {
                Ok(Some(successor)) => {
                    let _ = asked.send(successor).await;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "somebody asked for this process's place, and not as one asks");
                }
            }
        });
    }
}

/// `None`: it has only looked who is there.
async fn greet(stream: UnixStream, refuses: Option<&'static str>) -> io::Result<Option<Successor>> {
    let peer = stream.peer_cred()?;
    if !is_trusted(peer.uid()) {
        return Err(io::Error::other(format!("it is a process of another user, {}", peer.uid())));
    }
    say(&stream, &Line::Hello { version: VERSION, refuses: refuses.map(str::to_owned) }, &[]).await?;
    match hear(&stream, PROMPT).await {
        Ok((Line::LetGo { version: VERSION }, _)) if refuses.is_none() => {
            let process = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
            Ok(Some(Successor { stream, process }))
        }
        Ok((other, _)) => Err(unexpected(&other)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn unexpected(line: &Line) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("`{line:?}` was not expected"))
}

/// Connections that have not said yet what they want.
const AT_ONCE: usize = 16;
const AFTER_FAILURE: Duration = Duration::from_millis(50);
