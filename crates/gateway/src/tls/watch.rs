//! Files that are replaced are taken into use without a restart; what is wrong is named, and the last good one stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use panoply::shared::Shared;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::Tls;
use super::clients::Authority;
use super::files::folders;
use super::shared_tickets::exchange;
use crate::GatewayError;

impl Tls {
    /// Looks at the files whenever their folders change, and now and then in any case; and rotates the keys of
    /// tickets. It ends with the gateway.
    ///
    /// `shared`: where the keys of tickets are that other machines have too.
    pub(crate) async fn keep(self: Arc<Self>, shared: Option<Arc<Shared>>) {
        let changed = Arc::new(Notify::new());
        let folders = self.folders();
        let _watcher = watcher(&folders, &changed);
        let holder = format!("{:032x}", self.world.random());
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = changed.notified() => settle(&changed).await,
                _ = poll.tick() => {}
            }
            let (tls, now) = (Arc::clone(&self), self.world.unix_time());
            if let Some(shared) = &shared {
                exchange(&tls.common.tickets, shared, &holder, now).await;
            }
            if tls.common.tickets.rotate(now).is_err() {
                tracing::error!(
                    "the system gives no random numbers: tickets are sealed with the key of before"
                );
            }
            let _ = tokio::task::spawn_blocking(move || tls.look_again(SystemTime::UNIX_EPOCH + now)).await;
        }
    }

    /// Takes into use what has changed, and names what is wrong with it, once.
    fn look_again(&self, now: SystemTime) {
        for (pair, seen) in &self.pairs {
            if !seen.has_changed(pair.files()) {
                continue;
            }
            match pair.read(now) {
                Ok(certificate) => {
                    tracing::info!(file = %certificate.origin().display(), "a new certificate is shown from now on");
                    self.certificates.put(certificate);
                }
                Err(error) => complain(&error),
            }
        }
        for terms in &self.sites {
            match terms.look_again(&self.common) {
                Ok(true) => {
                    tracing::info!(
                        site = terms.site,
                        "visitors' certificates are of other authorities from now on"
                    );
                }
                Ok(false) => {}
                Err(error) => complain(&error),
            }
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        let pairs = self.pairs.iter().flat_map(|(pair, _)| pair.files());
        let authorities = self.sites.iter().filter_map(|terms| terms.authority.as_ref());
        folders(pairs.chain(authorities.flat_map(Authority::files)))
    }
}

fn complain(error: &GatewayError) {
    tracing::error!("{error}: what was there before stays in use\nhint: {}", error.hint());
}

/// Without a watcher (a limit of the system, an odd file system) there is still the poll.
pub(crate) fn watcher(folders: &[PathBuf], changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let told = Arc::clone(changed);
    let tell = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_change(event.kind)) {
            told.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(tell)
        .inspect_err(|error| tracing::warn!(%error, "files are not watched, but looked at every minute"))
        .ok()?;
    for folder in folders {
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            tracing::warn!(folder = %folder.display(), %error, "a folder is not watched, but looked at every minute");
        }
    }
    Some(watcher)
}

/// That a file was read, by us above all, changes nothing.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// A chain and its key are two files: waits until nothing has changed for a while, but not for ever.
pub(crate) async fn settle(changed: &Notify) {
    let quiet = async { while tokio::time::timeout(QUIET, changed.notified()).await.is_ok() {} };
    let _ = tokio::time::timeout(LONGEST, quiet).await;
}

const POLL: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5);
