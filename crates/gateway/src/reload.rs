//! A configuration that has changed: when it has, what of it can be taken into use, and how that went.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use notify::RecommendedWatcher;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::tls::watch::{settle, watcher};

/// A file whose changes are waited for.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    /// `None`: there was nothing.
    seen: Option<Found>,
    told: Arc<Notify>,
    /// Outer `None`: not begun yet.
    watcher: Option<Option<RecommendedWatcher>>,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Text(Vec<u8>),
    /// It is not for us: that passes by no waiting, and somebody has to be told.
    Denied,
}

impl Watched {
    /// Knows what is in the file now: to be called before it is read, so that no change is missed in between.
    #[must_use]
    pub fn begin(path: &Path) -> Self {
        Self { seen: read_now(path), path: path.to_owned(), told: Arc::default(), watcher: None }
    }

    /// Waits until the file holds something else than before, or may not be read any more. That it was touched, or is away
    /// for a moment, is no change: who replaces it in two steps leaves none between them.
    pub async fn changed(&mut self) {
        // Its thread has to be one of the sandbox. What changed before is seen by the first look, which is at once.
        self.watcher.get_or_insert_with(|| {
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            watcher(&[folder.unwrap_or(Path::new(".")).to_owned()], &self.told)
        });
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.told.notified() => {}
                _ = poll.tick() => {}
            }
            if read(&self.path).await == self.seen {
                continue;
            }
            // Perhaps somebody is writing it: an empty file would be read as one that asks for all the defaults.
            settle(&self.told).await;
            if self.look().await {
                return;
            }
        }
    }

    /// Whether the file holds something else than when it was last looked at.
    pub async fn look(&mut self) -> bool {
        let found = read(&self.path).await;
        self.is_news(found)
    }

    fn is_news(&mut self, found: Option<Found>) -> bool {
        found.is_some_and(|found| self.seen.replace(found.clone()) != Some(found))
    }
}

/// How reloads went.
#[derive(Debug)]
pub(crate) struct Reloads {
    taken: AtomicU64,
    refused: AtomicU64,
    /// 1 where the last one was refused.
    failing: AtomicU64,
    /// When what is served was taken into use, in seconds since 1970.
    success: AtomicU64,
}

impl Reloads {
    /// What is served is so since `now`.
    pub(crate) fn since(now: Duration) -> Self {
        let zero = || AtomicU64::new(0);
        Self { taken: zero(), refused: zero(), failing: zero(), success: AtomicU64::new(now.as_secs()) }
    }

    pub(crate) fn succeeded(&self, now: Duration) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.failing.store(0, Ordering::Relaxed);
        self.success.store(now.as_secs(), Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.failing.store(1, Ordering::Relaxed);
    }

    pub(crate) fn tally(&self) -> Tally {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Tally {
            taken: read(&self.taken),
            refused: read(&self.refused),
            failing: read(&self.failing),
            success: read(&self.success),
        }
    }
}

/// The same at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    /// 1 where the last one was refused.
    pub(crate) failing: u64,
    pub(crate) success: u64,
}

/// What can be served of `next` by a gateway that was started with `before`: the rest stays, and is named in the log.
pub(crate) fn what_can_change(before: &Config, next: Config) -> Config {
    let (settled, fixed) = settle_for(before, next);
    for setting in fixed {
        tracing::warn!(
            setting,
            hint = "restart panoply for it; all else is taken into use now",
            "a setting has changed that cannot while it runs"
        );
    }
    settled
}

fn settle_for(before: &Config, mut next: Config) -> (Config, Vec<&'static str>) {
    let mut fixed = Vec::new();
    let mut keep = |changed: bool, setting| {
        if changed {
            fixed.push(setting);
        }
    };
    keep(before.store != next.store, "store");
    keep(before.state != next.state, "state");
    keep(before.access_log != next.access_log, "access_log");
    keep((&before.user, &before.group) != (&next.user, &next.group), "user");
    keep(before.sandbox != next.sandbox, "sandbox");
    next.store.clone_from(&before.store);
    next.state.clone_from(&before.state);
    next.access_log.clone_from(&before.access_log);
    next.user.clone_from(&before.user);
    next.group.clone_from(&before.group);
    next.sandbox = before.sandbox;
    (next, fixed)
}

/// Not on the thread that accepts and hears signals: a file may lie where reading takes its time. Who stops waiting leaves
/// one thread behind, until the file comes.
async fn read(path: &Path) -> Option<Found> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || read_now(&path)).await.ok().flatten()
}

fn read_now(path: &Path) -> Option<Found> {
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text)) {
        Ok(_) => Some(Found::Text(text)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Some(Found::Denied),
        Err(_) => None,
    }
}

const POLL: Duration = Duration::from_secs(60);
/// More than any file of settings has; what stands behind is not looked at for changes.
const LARGEST: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_stays_and_is_named() {
        let before = Config::parse("state = '/a'\nshield.csrf = 'on'").unwrap();
        for (text, fixed) in [
            ("state = '/a'\nshield.csrf = 'off'", &[][..]),
            ("state = '/b'", &["state"]),
            ("", &["state"]),
            ("state = '/a'\nstore.url = 'redis://127.0.0.1:1'", &["store"]),
            ("state = '/a'\naccess_log = '/log'\nstore.machines = 2", &["store", "access_log"]),
            ("state = '/a'\nuser = 'panoply'\nsandbox = 'off'", &["user", "sandbox"]),
        ] {
            let (settled, found) = settle_for(&before, Config::parse(text).unwrap());
            assert_eq!(found, fixed, "{text}");
            assert_eq!(
                (settled.state, settled.store),
                (before.state.clone(), before.store.clone()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_file_that_was_touched_or_is_away_has_not_changed() {
        let path = std::env::temp_dir().join(format!("panoply-watched-{}", std::process::id()));
        std::fs::write(&path, "a").unwrap();
        let mut watched = Watched::begin(&path);
        for (text, changed) in
            [(Some("a"), false), (None, false), (Some("a"), false), (Some("b"), true), (Some("b"), false)]
        {
            match text {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            assert_eq!(watched.is_news(read_now(&path)), changed, "{text:?}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
