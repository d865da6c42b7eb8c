//! Certificates are kept in order beside the serving: what [`Acme`] decides is done here by the machine's clock.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use panoply::shared::Shared;
use panoply::{Clock, World};
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinSet};

use crate::acme::{Acme, Answers, Demand, Issued, Kept, Name, Settings, Tally};
use crate::config::{Config, HostName};
use crate::tls::certificates::Certificates;
use crate::tls::{Certificate, Tls};
use crate::{GatewayError, shared, state};

/// Who orders, while the gateway serves.
#[derive(Clone, Debug)]
pub(crate) struct Renewal {
    acme: Arc<Mutex<Acme>>,
    answers: Answers,
    demand: Demand,
    tally: Arc<Tally>,
    world: Arc<World>,
}

impl Renewal {
    /// Shows what is kept, and knows what will have to be ordered; nobody is asked yet. `None`: nothing is ordered.
    pub(crate) fn open(
        config: &Config,
        tls: &Tls,
        world: &Arc<World>,
        shared: Option<Arc<Shared>>,
    ) -> Result<Option<Self>, GatewayError> {
        let Some(settings) = Settings::read(config)? else { return Ok(None) };
        let names = names(config);
        if names.is_empty() && settings.on_demand.is_empty() {
            return Err(GatewayError::Setting {
                message: "certificates are to be ordered, but no name is known to order them for".to_owned(),
                hint: "name the hosts: `--host shop.example`, or `hosts` in the file's [[site]]".to_owned(),
            });
        }
        are_served(config)?;
        keys_are_named(config)?;
        let holder = format!("{:032x}", world.random());
        let folder = state::folder(config.state.as_deref())?;
        let unwritable =
            |source: io::Error| GatewayError::File { verb: "write", path: folder.clone(), source };
        let kept = Kept::open(Some(&folder), shared, holder).map_err(unwritable)?;
        let certificates = Arc::clone(tls.certificates());
        let publish = Box::new(move |name: &Name, issued: Option<&Issued>| show(&certificates, name, issued));
        let seed = u64::try_from(world.random() & u128::from(u64::MAX)).unwrap_or_default();
        let acme = Acme::open(settings, names, &kept, &Clock::system(), seed, publish)?;
        for name in acme.names().iter().filter(|name| acme.held(name).is_none()) {
            tracing::warn!(
                %name, hint = "the authority is asked now; a self-made certificate is shown meanwhile",
                "there is no certificate yet"
            );
        }
        tls.answer(acme.answers());
        tls.order_for(acme.demand());
        Ok(Some(Self::new(acme, Arc::clone(world))))
    }

    fn new(acme: Acme, world: Arc<World>) -> Self {
        let (answers, demand, tally) = (acme.answers(), acme.demand(), acme.tally());
        Self { acme: Arc::new(Mutex::new(acme)), answers, demand, tally, world }
    }

    pub(crate) fn answers(&self) -> Answers {
        self.answers.clone()
    }

    pub(crate) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Does what is due, for as long as the gateway serves.
    pub(crate) async fn keep(self) {
        let mut panics = 0;
        loop {
            let next = self.turn(&mut panics).await;
            // A machine that slept wakes up late, and a clock may be set: so no sleep is a long one.
            while let Ok(left) = next.duration_since(self.now()) {
                tokio::select! {
                    () = tokio::time::sleep(left.clamp(SHORTEST, LONGEST)) => {}
                    () = self.demand.asked() => break,
                }
            }
        }
    }

    /// When to come again: after what was due, or after a pause that grows with the panics in a row.
    async fn turn(&self, panics: &mut u32) -> SystemTime {
        match self.act().await {
            Ok(next) => {
                *panics = 0;
                next
            }
            Err(error) => {
                let pause = AFTER_PANIC.saturating_mul(2_u32.saturating_pow(*panics)).min(AFTER_PANICS);
                *panics = panics.saturating_add(1);
                // A visitor's name may have been what did it.
                self.demand.close(self.world.unix_time().saturating_add(pause).as_secs());
                tracing::error!(
                    %error, in_seconds = pause.as_secs(),
                    hint = "report this: it is a fault of panoply; what is held is shown meanwhile",
                    "the keeping of certificates broke off, and will be tried again"
                );
                self.now() + pause
            }
        }
    }

    /// In a task of its own, which ends with this one: a fault in it must not end all renewals with it.
    async fn act(&self) -> Result<SystemTime, JoinError> {
        let (acme, now) = (Arc::clone(&self.acme), self.now());
        let mut task = JoinSet::new();
        task.spawn(async move { acme.lock().await.act(now).await });
        task.join_next().await.unwrap_or(Ok(now + LONGEST))
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.world.unix_time()
    }
}

/// What is shared is sealed, with keys that all machines have.
fn keys_are_named(config: &Config) -> Result<(), GatewayError> {
    if config.keys.is_some() || shared::url(config)?.is_none() {
        return Ok(());
    }
    Err(GatewayError::Setting {
        message: "certificates are shared through the store, sealed, but no `keys` are named that all machines have"
            .to_owned(),
        hint: "write `keys = { file = \"/etc/panoply/keys\" }` on all of them; make one with `openssl rand -base64 32`"
            .to_owned(),
    })
}

/// A name that leads to no site is refused before anybody could order for it.
fn are_served(config: &Config) -> Result<(), GatewayError> {
    let is_served = |name: &str| {
        config.sites.iter().any(|site| {
            let is_below = |rest: &str| name.strip_suffix(rest).is_some_and(|front| front.ends_with('.'));
            let leads_here = |host: &HostName| host.as_str() == name || host.wildcard().is_some_and(is_below);
            site.hosts.is_empty() || site.hosts.iter().any(leads_here)
        })
    };
    match config.tls.acme.on_demand.iter().find(|name| !is_served(name.as_str())) {
        None => Ok(()),
        Some(name) => Err(GatewayError::Setting {
            message: format!("visitors may ask for `{name}`, but no site has that name"),
            hint: format!(
                "add it to a site's `hosts` as well: `--host '{name}'`, or take it out of `on_demand`"
            ),
        }),
    }
}

/// The names of sites whose certificate is not in a file, and is not ordered for a visitor.
fn names(config: &Config) -> Vec<Name> {
    let without = config.sites.iter().filter(|site| config.tls.cert.is_none() && site.tls.cert.is_none());
    let on_demand: Vec<_> = config.tls.acme.on_demand.iter().map(|host| Name::parse(host.as_str())).collect();
    let names = without.flat_map(|site| &site.hosts).map(|host| (host, Name::parse(host.as_str())));
    let waits =
        |host: &HostName, name: &Name| on_demand.iter().any(|one| one == name || one.covers(host.as_str()));
    names.filter(|(host, name)| !waits(host, name)).map(|(_, name)| name).collect()
}

/// Whatever the clock says: one that is wrong at the start is set later, and the certificate would not be shown again.
fn show(certificates: &Certificates, name: &Name, issued: Option<&Issued>) {
    let origin = format!("the authority's certificate for {name}");
    let origin = Path::new(&origin);
    let Some(issued) = issued else { return certificates.withdraw(origin) };
    match Certificate::from_pem(issued.pem(), issued.pem(), origin, issued.not_before()) {
        Ok(certificate) => certificates.put(certificate),
        Err(error) => tracing::warn!(%name, %error, "a certificate is not shown"),
    }
}

const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(600);
const AFTER_PANIC: Duration = Duration::from_secs(60);
const AFTER_PANICS: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Nobody listens at the authority's address: what is held is shown, and what is due waits.
    #[tokio::test]
    async fn after_a_panic_it_goes_on() {
        let folder = std::env::temp_dir().join(format!("panoply-renewal-{}", std::process::id()));
        let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
        let settings = Settings::of("https://127.0.0.1:1/dir", &made.cert.pem());
        let shown = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&shown);
        let publish = Box::new(move |_: &Name, _: Option<&Issued>| {
            assert!(count.fetch_add(1, Ordering::Relaxed) >= 3, "the test's own panic");
        });
        let kept = Kept::open(Some(&folder), None, String::new()).unwrap();
        let names = [Name::parse("shop.example")];
        let acme = Acme::open(settings, names, &kept, &Clock::manual(), 1, publish).unwrap();
        let place = fs::read_dir(folder.join("acme")).unwrap().next().unwrap().unwrap().path();
        let pem = format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem());
        fs::write(place.join("shop.example.pem"), pem).unwrap();
        let renewal = Renewal::new(acme, Arc::new(World::new(Clock::system())));
        let mut panics = 0;
        for (row, (pause, shown_at)) in [(60, 1), (120, 2), (240, 3)].into_iter().enumerate() {
            let before = renewal.now();
            let next = renewal.turn(&mut panics).await;
            let pause = Duration::from_secs(pause);
            let late = next.duration_since(before + pause).expect("not before the pause is over");
            assert!(late < Duration::from_secs(30), "row {row}: {late:?}");
            assert_eq!(shown.load(Ordering::Relaxed), shown_at, "row {row}");
        }
        renewal.turn(&mut panics).await;
        assert_eq!((shown.load(Ordering::Relaxed), panics), (4, 0));
        fs::remove_dir_all(folder).unwrap();
    }
}
