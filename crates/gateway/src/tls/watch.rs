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
        let changed = Arc::clone(&self.changed);
        let folders = self.folders();
        let _watcher = watcher(&folders, &changed);
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = changed.notified() => settle(&changed).await,
                _ = poll.tick() => {}
            }
            let (tls, now) = (Arc::clone(&self), self.world.unix_time());
            if let Some(shared) = &shared {
                exchange(&tls.common.tickets, shared, now).await;
            }
            if tls.common.tickets.rotate(now).is_err() {
                tracing::error!(
                    "the system gives no random numbers: tickets are sealed with the key of before"
                );
            }
            let _ = tokio::task::spawn_blocking(move || tls.look_again(SystemTime::UNIX_EPOCH + now)).await;
        }
    }

    /// Has the files looked at now.
    pub(crate) fn look_soon(&self) {
        self.changed.notify_one();
    }

    /// Takes into use what has changed, and names what is wrong with it, once.
    fn look_again(&self, now: SystemTime) {
        for (pair, seen) in &self.pairs {
            let Some(found) = seen.other(pair.files()) else { continue };
            match pair.read(now) {
                Ok(certificate) => {
                    tracing::info!(file = %certificate.origin().display(), "a new certificate is shown from now on");
                    self.certificates.put(certificate);
                    seen.took(found);
                }
                Err(error) if seen.is_news(found) => complain(&error),
                Err(_) => {}
            }
        }
        for terms in &self.sites {
            match terms.look_again(&self.common, now) {
                Ok(true) => {
                    tracing::info!(
                        site = terms.site,
                        "visitors' certificates are of other authorities from now on"
                    );
                }
                Ok(false) => {}
                Err(error) => error.iter().for_each(complain),
            }
        }
        self.renew_self_made(now);
    }

    /// Nobody looks after the one that was made here.
    fn renew_self_made(&self, now: SystemTime) {
        let (Some(own), Some(shown)) = (&self.self_made, self.certificates.self_made()) else { return };
        match own.renewed(shown.not_after(), now) {
            Ok(Some(certificate)) => {
                tracing::info!("the certificate that was made here was old: a new one is shown from now on");
                self.certificates.put(certificate);
            }
            Ok(None) => {}
            Err(error) => error.iter().for_each(complain),
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

#[cfg(test)]
mod tests {
    use std::fs;

    use panoply::{Clock, World};

    use super::*;
    use crate::config::Config;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// A chain and its key, valid from `begin` for a hundred days.
    fn write(folder: &std::path::Path, begin: SystemTime) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["shop.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (begin.into(), (begin + 100 * DAY).into());
        let chain = params.self_signed(&key).unwrap().pem();
        let old =
            crate::state::write(&folder.join("key"), &folder.join("new"), key.serialize_pem().as_bytes());
        old.unwrap();
        fs::write(folder.join("cert"), chain).unwrap();
    }

    #[test]
    fn what_was_refused_is_tried_until_it_reads_well_and_what_was_made_here_is_made_anew() {
        let folder = std::env::temp_dir().join(format!("panoply-watch-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let world = Arc::new(World::new(Clock::system()));
        let now = SystemTime::UNIX_EPOCH + world.unix_time();
        write(&folder, now - DAY);
        let place = folder.display();
        let config = format!(
            "state = '{place}'\n[[site]]\nhosts = ['shop.example']\n\
             tls = {{ cert = '{place}/cert', key = '{place}/key' }}\n[[site]]\nhosts = ['other.example']\n"
        );
        let config = Config::parse(&config).unwrap();
        let tls = Tls::open(&config, world).unwrap();
        let shown = |name: &str| tls.certificates.find(Some(name)).unwrap().not_after();
        let (first, own) = (shown("shop.example"), shown("other.example"));
        write(&folder, now + DAY);
        for (row, (at, is_first, is_own)) in [
            (now, true, true),
            (now + DAY / 2, true, true),
            (now + 2 * DAY, false, true),
            (now + 299 * DAY, false, true),
            (now + 301 * DAY, false, false),
        ]
        .into_iter()
        .enumerate()
        {
            tls.look_again(at);
            assert_eq!(shown("shop.example") == first, is_first, "row {row}");
            assert_eq!(shown("other.example") == own, is_own, "row {row}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
