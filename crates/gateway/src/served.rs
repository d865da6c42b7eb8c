//! What is served at one time: a configuration, and the sites and certificates that were made of it. A reload makes
//! another, whole, before anybody meets it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use panoply::shared::Shared;
use panoply::{Keys, Shield, World};

use crate::acme::{Answers, Tally};
use crate::config::{Config, Site};
use crate::listen::Sockets;
use crate::metrics::Traffic;
use crate::renewal::Renewal;
use crate::route::Routes;
use crate::tls::Tls;
use crate::{GatewayError, keys};

/// What the connections of one era meet: each of their requests is for what is served then.
///
/// An era ends where a site's place, its names or its terms of TLS do. On a connection of before, the number of a site
/// would be another's, and so would what its visitor has shown: so these connections end with their era.
pub(crate) type Era = Arc<ArcSwap<Served>>;

/// What is served.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) config: Config,
    pub(crate) routes: Arc<Routes>,
    pub(crate) tls: Arc<Tls>,
    /// Where visitors are redirected to.
    pub(crate) https_port: u16,
    /// What an authority finds, where certificates are ordered.
    pub(crate) answers: Option<Answers>,
    /// How that goes.
    pub(crate) orders: Option<Arc<Tally>>,
    /// What was asked, by site.
    pub(crate) traffic: Traffic,
}

impl Served {
    /// Reads keys and certificates, and builds the shields; who orders certificates comes with it.
    ///
    /// # Errors
    /// When a file is not to be had or not right.
    pub(crate) fn open(
        config: Config,
        world: &Arc<World>,
        shared: Option<Arc<Shared>>,
    ) -> Result<(Self, Option<Renewal>), GatewayError> {
        let routes = open_routes(&config, world)?;
        let tls = Arc::new(Tls::open(&config, Arc::clone(world))?);
        let renewal = Renewal::open(&config, &tls, world, shared)?;
        let traffic = Traffic::after(None, &config);
        Ok((Self::new(config, routes, tls, renewal.as_ref(), traffic), renewal))
    }

    /// The same for what comes after `self`. Where nothing about TLS is asked for that was not before, certificates and
    /// tickets and who orders them stay; `config` is checked all the same.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn next(
        &self,
        config: Config,
        world: &Arc<World>,
        shared: Option<Arc<Shared>>,
    ) -> Result<(Self, Option<Renewal>), GatewayError> {
        let routes = open_routes(&config, world)?;
        routes.go_on_from(&self.routes);
        let traffic = Traffic::after(Some(&self.traffic), &config);
        let tls = Tls::after(&self.tls, &config, Arc::clone(world))?;
        if speaks_as(&self.config, &config) {
            let (answers, orders) = (self.answers.clone(), self.orders.clone());
            // Under the same names there may be others.
            self.tls.look_soon();
            let (tls, https_port) = (Arc::clone(&self.tls), config.https.addr().port());
            return Ok((Self { config, routes, tls, https_port, answers, orders, traffic }, None));
        }
        let tls = Arc::new(tls);
        let renewal = Renewal::open(&config, &tls, world, shared)?;
        Ok((Self::new(config, routes, tls, renewal.as_ref(), traffic), renewal))
    }

    fn new(
        config: Config,
        routes: Arc<Routes>,
        tls: Arc<Tls>,
        renewal: Option<&Renewal>,
        traffic: Traffic,
    ) -> Self {
        let https_port = config.https.addr().port(); // of port 0, only the socket knows which it is
        let (answers, orders) = (renewal.map(Renewal::answers), renewal.map(Renewal::tally));
        Self { config, routes, tls, https_port, answers, orders, traffic }
    }

    /// Visitors who come in the clear are led to this socket for TLS.
    pub(crate) fn redirects_to(&mut self, sockets: &Sockets) {
        if let Ok(address) = sockets.https.address() {
            self.https_port = address.port();
        }
    }

    /// Whether connections go on under `next`.
    pub(crate) fn is_continued_by(&self, next: &Config) -> bool {
        continues(&self.config, next)
    }
}

/// Whether `next` asks of TLS what `before` does, and nothing else.
fn speaks_as(before: &Config, next: &Config) -> bool {
    before.tls == next.tls
        && before.keys.is_some() == next.keys.is_some() // which a shared store needs
        && before.http.is_some() == next.http.is_some() // by which an authority can ask
        && before.state == next.state
        && before.sites.len() == next.sites.len()
        && continues(before, next)
        && before.sites.iter().zip(&next.sites).all(|(before, next)| before.hosts == next.hosts)
}

/// Whether each site of `before` is in its place in `next`, on the same terms and with all of its names.
fn continues(before: &Config, next: &Config) -> bool {
    let alone = [Site::default()];
    let sites = |config: &'_ Config| config.sites.len().max(1);
    let site = |config: &Config, index| config.sites.get(index).unwrap_or(&alone[0]).clone();
    before.tls.profile == next.tls.profile
        && sites(before) <= sites(next)
        && (0..sites(before)).all(|index| {
            let (before, next) = (site(before, index), site(next, index));
            before.tls == next.tls
                && before.hosts.is_empty() == next.hosts.is_empty()
                && before.hosts.iter().all(|host| next.hosts.contains(host))
        })
}

/// With the files that they need read.
fn open_routes(config: &Config, world: &Arc<World>) -> Result<Arc<Routes>, GatewayError> {
    let routes = routes(config, Arc::clone(world))?;
    routes.open(&config.sites)?;
    Ok(Arc::new(routes))
}

fn routes(config: &Config, world: Arc<World>) -> Result<Routes, GatewayError> {
    let base = Shield::in_front().world(world).trusted_proxies(config.trusted_proxies.clone());
    let routes = |keys: Option<&Keys>| Routes::new(&base, config, keys).map_err(GatewayError::from);
    let without = routes(None)?;
    let needs = without.shields().any(|(.., shield)| shield.needs_keys());
    let wants = without.shields().any(|(.., shield)| shield.wants_keys());
    if needs || config.keys.is_some() {
        return routes(Some(&keys::read(config)?));
    }
    if !wants {
        return Ok(without);
    }
    if config.store.url.is_some() {
        tracing::warn!(
            "counts are shared, but no keys are named: machines count a user name apart unless they have the same file \
             `keys` in their state folders\nhint: write keys = {{ file = \"…\" }} on all of them"
        );
    }
    match keys::read(config) {
        Ok(keys) => routes(Some(&keys)),
        // A login is counted without as well, and a disk that cannot be written is no reason not to serve.
        Err(error) => {
            tracing::warn!(%error, "no keys: who logged in before is not known after a restart");
            Ok(without)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_on_where_their_site_is_what_it_was() {
        let site =
            |host: &str, more: &str| format!("[[site]]\nhosts = ['{host}']\nupstream = 'http://a'\n{more}\n");
        let (shop, blog) = (site("shop.example", ""), site("blog.example", ""));
        let members = site("shop.example", "tls.client_ca = '/ca.pem'");
        let any = "[[site]]\nupstream = 'http://a'\n".to_owned();
        for (before, next, continued, same) in [
            (shop.clone(), shop.clone(), true, true),
            (shop.clone(), site("shop.example", "shield.csrf = 'off'"), true, true),
            (any.clone(), any.clone(), true, true),
            (String::new(), any.clone(), true, false), // the one site that is there without a word
            (shop.clone(), [&*shop, &blog].concat(), true, false),
            (shop.clone(), site("shop.example', 'www.shop.example", ""), true, false),
            (shop.clone(), members.clone(), false, false), // nobody was asked for a certificate
            (members.clone(), shop.clone(), false, false),
            (String::new(), members, false, false),
            ([&*shop, &blog].concat(), [&*blog, &shop].concat(), false, false), // one's number is the other's
            ([&*shop, &blog].concat(), shop.clone(), false, false),
            (site("shop.example', 'www.shop.example", ""), shop.clone(), false, false),
            (any, shop.clone(), false, false), // a name that was served is so no more
            (shop.clone(), format!("tls.profile = 'modern'\n{shop}"), false, false),
        ] {
            let row = format!("{before}\nbecomes\n{next}");
            let (before, next) = (Config::parse(&before).unwrap(), Config::parse(&next).unwrap());
            assert_eq!((continues(&before, &next), speaks_as(&before, &next)), (continued, same), "{row}");
        }
    }
}
