//! What one setting cannot tell alone: whether it goes with the others.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use panoply::{Cookies, Guard, Period, Policies, SettingError};
use toml::de::DeTable;

use crate::acme::Challenge;

use super::place::{Place, Position};
use super::{
    Acme, ClientCertificate, Config, ConfigError, HostName, Listen, Secret, Site, SiteTls, Upstream,
    Upstreams,
};

/// Refuses settings that contradict each other.
pub(super) fn check(config: &Config) -> Result<(), Fault> {
    listeners(config)?;
    admin(config)?;
    let tls = &config.tls;
    certificate(tls.cert.as_ref(), tls.key.as_ref(), Place::default().key("tls"))?;
    acme(config)?;
    store(config)?;
    hosts(&config.sites)?;
    for (index, site) in config.sites.iter().enumerate() {
        let place = Place::default().key("site").item(index);
        let tls = place.clone().key("tls");
        certificate(site.tls.cert.as_ref(), site.tls.key.as_ref(), tls.clone())?;
        client_certificates(&site.tls, &tls)?;
        upstreams(config, &site.upstream, &place)?;
        terms(&site.upstreams, &site.upstream, &place)?;
        rules(site, &place)?;
        for (index, rule) in site.rules.iter().enumerate() {
            let place = place.clone().key("rule").item(index);
            upstreams(config, &rule.upstream, &place)?;
            if rule.upstream.is_empty() && rule.upstreams != Upstreams::default() {
                return Err(Fault::at(
                    place.key("upstreams"),
                    "these are settings of the rule's own app, but the rule has none",
                    "write them in the `[[site]]`, or give the rule an `upstream`",
                ));
            }
            terms(&rule.upstreams, &rule.upstream, &place)?;
        }
        cookies(config, site, &place)?;
    }
    Ok(())
}

/// A setting that does not go with the others, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    place: Place,
    error: SettingError,
}

impl Fault {
    fn at(place: Place, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { place, error: SettingError::new(message, hint) }
    }

    pub(super) fn placed(self, text: &str, root: &DeTable<'_>) -> ConfigError {
        let start = self.place.nearest(root).map_or(0, |found| found.value.span().start);
        let Self { place, error } = self;
        ConfigError::new(Position::of(text, start), place.dotted(), &error.to_string(), error.hint())
    }
}

fn listeners(config: &Config) -> Result<(), Fault> {
    match config.http {
        Some(http) if overlaps(http, config.https) => Err(Fault::at(
            Place::default().key("http"),
            format!("https listens on {} already", config.https),
            "give them two ports: 443 and 80, or 8443 and 8080",
        )),
        _ => Ok(()),
    }
}

/// Who reaches it can let anybody in: a stranger must not.
fn admin(config: &Config) -> Result<(), Fault> {
    let at = |key| Place::default().key(key);
    if let Some(Secret::Here(_)) = &config.admin_token {
        return Err(Fault::at(
            at("admin_token"),
            "the token stands in the file of settings, for all to read who may read that",
            "write where it is: `{ file = \"/etc/panoply/admin-token\" }` or `{ env = \"PANOPLY_ADMIN_TOKEN\" }`",
        ));
    }
    let Some(admin) = config.admin else { return Ok(()) };
    if !admin.addr().ip().to_canonical().is_loopback() && config.admin_token.is_none() {
        return Err(Fault::at(
            at("admin"),
            format!("other machines reach `{admin}`, and whoever does could lift every ban"),
            format!("write `127.0.0.1:{}`, or add `admin_token = {{ file = \"…\" }}`", admin.addr().port()),
        ));
    }
    if [Some(config.https), config.http].into_iter().flatten().any(|listen| overlaps(admin, listen)) {
        return Err(Fault::at(
            at("admin"),
            "visitors come in there already",
            "give operators a port of their own: `127.0.0.1:9900`",
        ));
    }
    Ok(())
}

fn certificate(cert: Option<&PathBuf>, key: Option<&PathBuf>, tls: Place) -> Result<(), Fault> {
    match (cert, key) {
        (Some(_), None) => Err(Fault::at(
            tls.key("cert"),
            "a certificate is of use only with its private key, but there is no `key`",
            "add `key = \"…\"`, the path of the private key in PEM",
        )),
        (None, Some(_)) => Err(Fault::at(
            tls.key("key"),
            "a private key is of use only with its certificate, but there is no `cert`",
            "add `cert = \"…\"`, the path of the certificate chain in PEM",
        )),
        _ => Ok(()),
    }
}

/// Nobody must believe that visitors are asked for certificates where they are not.
fn client_certificates(tls: &SiteTls, place: &Place) -> Result<(), Fault> {
    let without = |key, what: &str| {
        Err(Fault::at(
            place.clone().key(key),
            format!("{what}, but no `client_ca` says whose certificates visitors have"),
            "add `client_ca = \"…\"`, the authority's certificate in PEM",
        ))
    };
    match tls.client_ca {
        Some(_) => Ok(()),
        None if tls.client_crl.is_some() => without("client_crl", "a list takes certificates back"),
        None if tls.client == ClientCertificate::Optional => {
            without("client", "visitors may show a certificate")
        }
        None => Ok(()),
    }
}

/// What is set for orders has to be able to prove something.
fn acme(config: &Config) -> Result<(), Fault> {
    let (acme, place) = (&config.tls.acme, Place::default().key("tls").key("acme"));
    if acme.challenges.contains(&Challenge::Dns01) && acme.dns.is_none() {
        return Err(Fault::at(
            place.key("challenges"),
            "dns-01 needs to know how a record comes into the zone",
            "add `dns = { hook = [\"/usr/local/bin/dns-hook\"] }`",
        ));
    }
    on_demand(acme, &place)?;
    let Some(dns) = &acme.dns else { return Ok(()) };
    let place = place.key("dns");
    // To place a record, to wait, and to take it out again; an order has the rest of the claim's fifteen minutes.
    let takes =
        dns.deadline.duration().saturating_mul(2) + dns.wait.map(Period::duration).unwrap_or_default();
    if takes > LONGEST_DNS {
        return Err(Fault::at(
            place,
            format!(
                "`wait` and two times `deadline` are {} s, and at most {} s were expected",
                takes.as_secs(),
                LONGEST_DNS.as_secs()
            ),
            "write `wait = \"5min\"` or less: an order is over by then, and another machine takes its turn",
        ));
    }
    match (dns.hook.first(), &dns.server, &dns.key) {
        (Some(program), None, None) if !program.is_empty() => Ok(()),
        (None, Some(_), Some(_)) => Ok(()),
        (None, Some(_), None) => Err(Fault::at(
            place,
            "a server takes updates from whoever has its key, but there is no `key`",
            "add `key = { name = \"panoply\", secret = { file = \"/etc/panoply/tsig\" } }`",
        )),
        _ => Err(Fault::at(
            place,
            "either a program or a server with its key was expected",
            "write `dns = { hook = [\"/usr/local/bin/dns-hook\"] }`, or `dns = { server = \"192.0.2.53\", key = … }`",
        )),
    }
}

/// A list that a person can look over, of names that a visitor's handshake can give (RFC 6066 §3).
fn on_demand(acme: &Acme, place: &Place) -> Result<(), Fault> {
    let place = place.clone().key("on_demand");
    if acme.on_demand.len() > MOST_ON_DEMAND {
        return Err(Fault::at(
            place,
            format!("{} names were found, and at most {MOST_ON_DEMAND} expected", acme.on_demand.len()),
            "write `*.customers.example` for all names with one label more",
        ));
    }
    let is_address = |host: &HostName| host.as_str().trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    match acme.on_demand.iter().position(is_address) {
        None => Ok(()),
        Some(index) => Err(Fault::at(
            place.item(index),
            "no visitor asks for an address by its name",
            "write the address among the site's `hosts`: its certificate is ordered at the start",
        )),
    }
}

fn store(config: &Config) -> Result<(), Fault> {
    if config.store.machines > 0 {
        return Ok(());
    }
    Err(Fault::at(
        Place::default().key("store").key("machines"),
        "a store is shared by one machine at least, but here it is by none",
        "write how many gateways use the store, this one too",
    ))
}

fn hosts(sites: &[Site]) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for (index, site) in sites.iter().enumerate() {
        let place = Place::default().key("site").item(index);
        if site.hosts.is_empty() && sites.len() > 1 {
            return Err(Fault::at(
                place,
                "there are several sites, but nothing says which names this one is served under",
                "add `hosts = [\"shop.example\"]`",
            ));
        }
        for (at, host) in site.hosts.iter().enumerate() {
            if !seen.insert(host) {
                return Err(Fault::at(
                    place.key("hosts").item(at),
                    format!("`{host}` is named already"),
                    "name a host once: it leads to one site",
                ));
            }
        }
    }
    Ok(())
}

fn terms(upstreams: &Upstreams, addresses: &[Upstream], within: &Place) -> Result<(), Fault> {
    let is_secured = addresses.iter().any(|address| address.scheme().is_secured());
    for (key, is_set) in [("ca", upstreams.ca.is_some()), ("server_name", upstreams.server_name.is_some())] {
        if is_set && !addresses.is_empty() && !is_secured {
            return Err(Fault::at(
                within.clone().key("upstreams").key(key),
                "this is for apps that are reached over TLS, but none of the upstreams begins with https:// or h2://",
                "write `https://` before the upstream, or leave this out",
            ));
        }
    }
    if upstreams.health.is_none() || upstreams.check_deadline <= upstreams.check_every {
        return Ok(());
    }
    Err(Fault::at(
        within.clone().key("upstreams").key("check_deadline"),
        format!(
            "an answer may take {}, but after {} there is the next check",
            upstreams.check_deadline, upstreams.check_every
        ),
        "let `check_every` be longer than `check_deadline`",
    ))
}

fn upstreams(config: &Config, upstreams: &[Upstream], within: &Place) -> Result<(), Fault> {
    if upstreams.len() > MOST_UPSTREAMS {
        return Err(Fault::at(
            within.clone().key("upstream"),
            format!("there are {} upstreams, at most {MOST_UPSTREAMS} were expected", upstreams.len()),
            "let a load balancer of the app's own stand behind some of them",
        ));
    }
    let mut seen = Vec::new();
    for (index, upstream) in upstreams.iter().enumerate() {
        let place = || within.clone().key("upstream").item(index);
        if seen.contains(&upstream) {
            return Err(Fault::at(place(), format!("`{upstream}` is in the list already"), "take it out"));
        }
        if [Some(config.https), config.http, config.admin]
            .into_iter()
            .flatten()
            .any(|listen| is_here(upstream, listen))
        {
            return Err(Fault::at(
                place(),
                format!("`{upstream}` is where panoply itself listens: it would ask itself for ever"),
                "write the app's own port",
            ));
        }
        seen.push(upstream);
    }
    Ok(())
}

fn rules(site: &Site, site_place: &Place) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for (index, rule) in site.rules.iter().enumerate() {
        if !seen.insert((rule.path.segments(), rule.path.is_with_all_below())) {
            return Err(Fault::at(
                site_place.clone().key("rule").item(index).key("path"),
                format!(
                    "`{}` has a rule already: upper case and a slash at the end make no difference",
                    rule.path
                ),
                "put all that holds for a path in one rule",
            ));
        }
    }
    Ok(())
}

/// A cookie has one name and one look on all paths of a site, or none of them could be relied on.
fn cookies(config: &Config, site: &Site, site_place: &Place) -> Result<(), Fault> {
    let is_disguised = |policies: &Policies| {
        policies.cookies.as_ref().and_then(Guard::policy).is_some_and(Cookies::renames_or_seals)
    };
    let of_site = site.shield.cookies.as_ref().or(config.shield.cookies.as_ref());
    let site_does = of_site.and_then(Guard::policy).is_some_and(Cookies::renames_or_seals);
    for (index, rule) in site.rules.iter().enumerate() {
        let place = || site_place.clone().key("rule").item(index).key("shield").key("cookies");
        if is_disguised(&rule.shield) {
            return Err(Fault::at(
                place(),
                "a cookie is renamed or sealed on a whole site, but this is a rule for some of its paths",
                "write `shield.cookies` in the `[[site]]` itself",
            ));
        }
        if site_does && rule.shield.cookies.is_some() {
            return Err(Fault::at(
                place(),
                "this site renames or seals cookies, which a rule would undo on its paths",
                "leave `cookies` out of the rule; the site's `exempt` names what is to stay as it is",
            ));
        }
    }
    Ok(())
}

/// A request remembers where it was by a bit for each.
const MOST_UPSTREAMS: usize = 64;

fn overlaps(one: Listen, other: Listen) -> bool {
    let (one, other) = (one.addr(), other.addr());
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (everywhere || one.ip() == other.ip())
}

fn is_here(upstream: &Upstream, listen: Listen) -> bool {
    let here = match upstream.ip() {
        Some(ip) => ip == listen.addr().ip() || (listen.addr().ip().is_unspecified() && ip.is_loopback()),
        None => upstream.host() == "localhost", // a socket file has no host
    };
    here && upstream.port() == listen.addr().port()
}

/// What a proof by DNS may take of the time in which one machine alone orders.
const LONGEST_DNS: Duration = Duration::from_secs(720);

/// Names that visitors may ask for.
const MOST_ON_DEMAND: usize = 100;
