//! Certificates are kept in order beside the serving: what [`Acme`] decides is done here by the machine's clock.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use panoply::shared::Shared;
use panoply::{Clock, World};

use crate::acme::{Acme, Answers, Issued, Kept, Name, Settings, Tally};
use crate::config::{Config, HostName};
use crate::tls::certificates::Certificates;
use crate::tls::{Certificate, Tls};
use crate::{GatewayError, secret, state};

/// Who orders, while the gateway serves.
#[derive(Debug)]
pub(crate) struct Renewal {
    acme: Acme,
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
        let publish = Box::new(move |name: &Name, issued: &Issued| show(&certificates, name, issued));
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
        Ok(Some(Self { acme, world: Arc::clone(world) }))
    }

    pub(crate) fn answers(&self) -> Answers {
        self.acme.answers()
    }

    pub(crate) fn tally(&self) -> Arc<Tally> {
        self.acme.tally()
    }

    /// Does what is due, for as long as the gateway serves.
    pub(crate) async fn keep(mut self) {
        let demand = self.acme.demand();
        loop {
            let next = self.acme.act(self.now()).await;
            // A machine that slept wakes up late, and a clock may be set: so no sleep is a long one.
            while let Ok(left) = next.duration_since(self.now()) {
                tokio::select! {
                    () = tokio::time::sleep(left.clamp(SHORTEST, LONGEST)) => {}
                    () = demand.asked() => break,
                }
            }
        }
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.world.unix_time()
    }
}

/// What is shared is sealed, with keys that all machines have.
fn keys_are_named(config: &Config) -> Result<(), GatewayError> {
    let shares = match &config.store.url {
        Some(url) => secret::read(url, "the store's URL")? != "memory",
        None => false,
    };
    if !shares || config.keys.is_some() {
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
fn show(certificates: &Certificates, name: &Name, issued: &Issued) {
    let origin = format!("the authority's certificate for {name}");
    match Certificate::from_pem(issued.pem(), issued.pem(), Path::new(&origin), issued.not_before()) {
        Ok(certificate) => certificates.put(certificate),
        Err(error) => tracing::warn!(%name, %error, "a certificate is not shown"),
    }
}

const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(600);
