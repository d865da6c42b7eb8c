//! TLS as rustls does it with aws-lc-rs: which certificate is shown, on what terms, and to whom.
//!
//! `certificates` says which certificate a name gets, `terms` what a site demands, `accept` does the handshake, `watch`
//! keeps all of it new.

mod accept;
mod certificate;
pub(crate) mod certificates;
mod chain;
mod clients;
mod fault;
mod files;
mod key_file;
mod pem;
mod profile;
mod self_made;
mod shared_tickets;
mod terms;
mod tickets;
mod visitor;
pub(crate) mod watch;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use panoply::World;
use rustls::ServerConfig;

use crate::acme::{Answers, Demand};
use crate::config::{Config, Site};
use crate::{GatewayError, state};
use accept::ByName;
use certificates::Certificates;
use files::{Digest, Pair, Seen};
use self_made::SelfMade;
use terms::{Common, Terms};
use tickets::TicketKeys;
use tokio::sync::Notify;

pub(crate) use accept::{Accepted, Called, NoSite};
pub use certificate::Certificate;
pub(crate) use certificate::Facts;
pub(crate) use clients::authorities;
pub use fault::Fault as CertificateFault;
pub(crate) use self_made::{chain as self_made_chain, renewal as self_made_renewal};
pub(crate) use visitor::Verified;

/// How TLS is spoken at a door.
pub(crate) struct Tls {
    certificates: Arc<Certificates>,
    pairs: Vec<(Pair, Seen)>,
    /// For sites that have no other.
    self_made: Option<SelfMade>,
    /// One a site, in the configuration's order.
    sites: Vec<Terms>,
    first: Terms,
    common: Common,
    world: Arc<World>,
    /// It is time to look at the files.
    changed: Arc<Notify>,
    /// What an authority is shown that comes to see whether a name is ours.
    answers: OnceLock<Answers>,
    /// For which names a visitor may begin an order.
    demand: OnceLock<Demand>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads all files.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub(crate) fn open(config: &Config, world: Arc<World>) -> Result<Self, GatewayError> {
        let no_random = |_| GatewayError::Tls(rustls::Error::FailedToGetRandomBytes);
        let tickets = TicketKeys::new(world.unix_time()).map_err(no_random)?;
        Self::with(config, world, Arc::new(tickets))
    }

    /// Reads all files anew; the tickets that `before` gave still open.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub(crate) fn after(before: &Self, config: &Config, world: Arc<World>) -> Result<Self, GatewayError> {
        Self::with(config, world, Arc::clone(&before.common.tickets))
    }

    fn with(config: &Config, world: Arc<World>, tickets: Arc<TicketKeys>) -> Result<Self, GatewayError> {
        let now = world.unix_time();
        let time = SystemTime::UNIX_EPOCH + now;
        let pairs: Vec<_> = Pair::all(config).into_iter().map(|pair| (pair, Seen::default())).collect();
        let mut certificates = Vec::new();
        for (pair, seen) in &pairs {
            let found = Digest::of(pair.files());
            certificates.push(pair.read(time)?);
            seen.took(found);
        }
        let without: Vec<&Site> = config.sites.iter().filter(|site| site.tls.cert.is_none()).collect();
        let mut self_made = None;
        if config.tls.cert.is_none() && (!without.is_empty() || config.sites.is_empty()) {
            let own = SelfMade::new(state::folder(config.state.as_deref())?, names(&without));
            certificates.push(own.read(time)?);
            self_made = Some(own);
        }
        let certificates = Arc::new(Certificates::new(certificates));
        let profile = config.tls.profile;
        let common = Common {
            profile,
            provider: profile.provider(),
            resolver: Arc::new(ByName(Arc::clone(&certificates))),
            tickets,
        };
        let sites =
            config.sites.iter().map(|site| Terms::new(site, &common, time)).collect::<Result<_, _>>()?;
        let first = Terms::new(&Site::default(), &common, time)?;
        Ok(Self {
            certificates,
            pairs,
            self_made,
            sites,
            first,
            common,
            world,
            changed: Arc::default(),
            answers: OnceLock::new(),
            demand: OnceLock::new(),
        })
    }

    /// Answers authorities from now on.
    pub(crate) fn answer(&self, answers: Answers) {
        let _ = self.answers.set(answers);
    }

    /// Orders certificates for names that visitors ask for, from now on.
    pub(crate) fn order_for(&self, demand: Demand) {
        let _ = self.demand.set(demand);
    }

    /// What visitors are shown.
    pub(crate) fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// Whether a site asks visitors for certificates.
    pub(crate) fn asks(&self, site: usize) -> bool {
        self.sites.get(site).is_some_and(|terms| terms.authority.is_some())
    }

    fn terms(&self, site: usize) -> Arc<ServerConfig> {
        self.sites.get(site).unwrap_or(&self.first).config()
    }
}

/// The chains that a configuration names.
pub(crate) fn chains(config: &Config) -> Vec<PathBuf> {
    Pair::all(config).iter().map(|pair| pair.chain().clone()).collect()
}

/// The names that can stand in a certificate.
fn names(sites: &[&Site]) -> Vec<String> {
    sites.iter().flat_map(|site| &site.hosts).map(|host| host.as_str().to_owned()).collect()
}
