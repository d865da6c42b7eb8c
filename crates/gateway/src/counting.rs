//! Where counts are: in this process's memory, or in a store that other machines see too.

mod echo;
mod told;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use panoply::counters::{self, Counters, Insured, Memory};
use panoply::{Clock, StoreUrl};
use tokio::sync::mpsc;

use self::echo::Echo;
pub(crate) use self::told::Told;
use crate::config::Config;
use crate::{GatewayError, shared, state};

/// Where counts are.
#[derive(Clone)]
pub(crate) struct Counting {
    /// Who is asked for each decision. It always answers.
    pub(crate) counters: Arc<dyn Counters>,
    /// The store that other machines see too, without anything in between; `None`: there is none.
    pub(crate) shared: Option<Arc<dyn Counters>>,
    /// The same with this machine's memory behind it.
    pub(crate) insured: Option<Arc<Insured>>,
    /// The same where it is this process's memory, which another process may have to know.
    echo: Option<Arc<Echo>>,
    /// This process's memory, and the file by which it outlives the process.
    kept: Option<(Arc<Memory>, PathBuf)>,
    /// `memory`, `redis`: one word, and nothing more of the URL.
    pub(crate) kind: &'static str,
}

impl Counting {
    /// Opens what the configuration names. Nothing is asked of a store yet: a site starts without it.
    ///
    /// # Errors
    /// When the URL is not to be had, or no store has one like it.
    pub(crate) fn open(config: &Config, clock: &Clock) -> Result<Self, GatewayError> {
        let Some(url) = shared::url(config)? else { return Ok(Self::in_memory(config, clock)) };
        let store = counters::open(&url, clock)?;
        let kind = StoreUrl::parse(&url)?.kind();
        let insured = Arc::new(Insured::new(Arc::clone(&store), clock).machines(config.store.machines));
        Ok(Self {
            counters: Arc::clone(&insured) as Arc<dyn Counters>,
            shared: Some(store),
            insured: Some(insured),
            echo: None,
            kept: None,
            kind,
        })
    }

    /// What was counted before a restart is there again, where there is a folder to keep it in.
    fn in_memory(config: &Config, clock: &Clock) -> Self {
        let empty = || Memory::with_clock(clock.clone());
        let path = state::folder(config.state.as_deref()).ok().map(|folder| folder.join("counts"));
        let memory = match &path {
            Some(path) => empty().restore(path).unwrap_or_else(|error| {
                // To refuse to serve would be worse: the blocked are free again, and the file is written anew.
                tracing::warn!(%error, hint = error.hint(), "what was counted before is lost");
                empty()
            }),
            None => empty(),
        };
        let memory = Arc::new(memory);
        let echo = Arc::new(Echo::of(Arc::clone(&memory)));
        Self {
            counters: Arc::clone(&echo) as Arc<dyn Counters>,
            shared: None,
            insured: None,
            echo: Some(echo),
            kept: path.map(|path| (memory, path)),
            kind: StoreUrl::Memory.kind(),
        }
    }

    /// What is counted from now on and nobody else sees; nothing where a store does.
    pub(crate) fn listen(&self) -> mpsc::Receiver<Told> {
        self.echo.as_ref().map_or_else(|| mpsc::channel(1).1, |echo| echo.listen())
    }

    /// Who [listens](Self::listen) hears nothing more.
    pub(crate) fn hush(&self) {
        if let Some(echo) = &self.echo {
            echo.hush();
        }
    }

    /// Writes every few seconds what was counted, so that a process that is killed loses no more.
    pub(crate) async fn keep(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            let this = self.clone();
            let _ = tokio::task::spawn_blocking(move || this.save()).await;
        }
    }

    /// Writes what was counted. It takes milliseconds for each MiB, so it is not for a thread that serves.
    pub(crate) fn save(&self) {
        let Some((memory, path)) = &self.kept else { return };
        // Who fails at nothing leaves no file.
        if memory.is_empty() && !path.exists() {
            return;
        }
        if let Some(folder) = path.parent()
            && let Err(error) = state::make(folder).and_then(|()| memory.save(path))
        {
            tracing::warn!(path = %path.display(), %error, "what was counted cannot be kept: a restart forgets it");
        }
    }
}

impl fmt::Debug for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counting").field("kind", &self.kind).finish_non_exhaustive()
    }
}

const EVERY: Duration = Duration::from_secs(10);
