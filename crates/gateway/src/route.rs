//! Which site, and which shield, a request is for.
//!
//! Everything is made once, when a configuration is taken into use: a shield for each site and for each of its
//! rules. [`Routes::find`] then only looks up, and allocates nothing for a host and a path in everyday spelling.

mod path;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use panoply::{Guard, Hosts, Keys, Policies, RateLimit, SettingError, Shield};

use crate::config::{self, Config, HostName, LONGEST_HOST, Rule, RulePath, Site, Upstream};
use crate::upstream::Upstreams;
use crate::{GatewayError, places};

/// Every site with its names and shields.
#[derive(Debug)]
pub(crate) struct Routes {
    first: SiteRoutes,
    others: Vec<SiteRoutes>,
    named: HashMap<Box<str>, usize>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, usize>,
    max_headers: Option<usize>,
}

/// What a request meets: a shield, and an app behind it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The site's place in the configuration, from 0.
    pub(crate) site: usize,
    /// The rule that holds, if one does.
    pub(crate) rule: Option<RulePath>,
    /// The shield of the site, or of the rule.
    pub(crate) shield: Arc<Shield>,
    /// Where the app is: the site's, or the rule's.
    pub(crate) upstreams: Arc<Upstreams>,
}

/// Apps could read the path in two ways, and a rule holds for one of them alone: 400. The refusal leaves through the
/// shield of the route in here, to carry its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ambiguous<'r>(pub(crate) &'r Route);

impl Routes {
    /// Lays the policies for all sites, then those of a site, then those of a rule over `base`. No sites: one that
    /// answers to any name.
    ///
    /// # Errors
    /// When a name is none in the eyes of [`Hosts`].
    pub(crate) fn new(base: &Shield, config: &Config, keys: Option<&Keys>) -> Result<Self, SettingError> {
        let Config { shield: global, sites, .. } = config;
        let alone = [Site::default()];
        let (first, others) = match sites.split_first() {
            Some((first, others)) => (first, others),
            None => (&alone[0], &[][..]),
        };
        let base = base.clone().with(global.clone());
        let share = places::share_of_an_app(config, places::room());
        let context = Context { base: &base, config, keys, share };
        let mut routes = Self {
            first: SiteRoutes::new(&context, first, 0)?,
            others: Vec::with_capacity(others.len()),
            named: HashMap::new(),
            wildcard: HashMap::new(),
            max_headers: None,
        };
        for (index, site) in others.iter().enumerate() {
            routes.others.push(SiteRoutes::new(&context, site, index + 1)?);
        }
        for (index, site) in sites.iter().enumerate() {
            for host in &site.hosts {
                match host.wildcard() {
                    Some(parent) => routes.wildcard.insert(parent.into(), index),
                    None => routes.named.insert(host.as_str().into(), index),
                };
            }
        }
        routes.max_headers = max_headers(routes.shields().map(|(_, _, shield)| shield.most_headers()));
        Ok(routes)
    }

    /// The route for a host (without port, in any case, with or without the root's dot) and a path (as sent).
    ///
    /// A name that no site has leads to the first: whether that answers to it is for its [`Hosts`] to say, who let a
    /// load balancer's check pass under any.
    pub(crate) fn find(&self, host: &str, path: &str) -> Result<&Route, Ambiguous<'_>> {
        let site = match self.others.is_empty() {
            true => &self.first,
            false => self.site(host).unwrap_or(&self.first),
        };
        match path::find(&site.rules, path) {
            Ok(Some((rule, routes))) if rule.is_written_as(path) => Ok(&routes.as_written),
            Ok(Some((_, routes))) => Ok(&routes.otherwise),
            Ok(None) => Ok(&site.whole),
            Err(path::Ambiguous) => Err(Ambiguous(&site.whole)),
        }
    }

    /// Who judges those that no site is known for yet.
    pub(crate) fn at_the_door(&self) -> &Shield {
        &self.first.whole.shield
    }

    /// How many headers of a request have to be read, where that is more than hyper's 100.
    ///
    /// A shield refuses one too many with a page, hyper without; but told a number, hyper makes room for so many anew
    /// with each request, which costs as much as half a shield.
    pub(crate) const fn max_headers(&self) -> Option<usize> {
        self.max_headers
    }

    /// Whether every site has names: then all others are nobody's.
    pub(crate) fn are_named(&self) -> bool {
        !(self.named.is_empty() && self.wildcard.is_empty())
    }

    /// The apps, one a site. A rule has the site's, or one that the configuration names.
    pub(crate) fn apps(&self) -> impl Iterator<Item = &Arc<Upstreams>> {
        self.sites().map(|site| &site.whole.upstreams)
    }

    /// Goes on with what `before` knew of the places of the same sites' apps.
    pub(crate) fn go_on_from(&self, before: &Self) {
        for (site, app) in self.upstreams() {
            for (_, known) in before.upstreams().filter(|(known, _)| *known == site) {
                app.go_on_from(known);
            }
        }
    }

    /// Reads the files of all apps: see [`Upstreams::open`].
    ///
    /// # Errors
    /// When one cannot be used.
    pub(crate) fn open(&self, sites: &[Site]) -> Result<(), GatewayError> {
        self.upstreams()
            .try_for_each(|(site, app)| app.open(sites.get(site).and_then(|site| site.maintenance.as_ref())))
    }

    /// The apps, each once, for whoever looks after them as long as this is in use.
    pub(crate) fn to_watch(&self) -> Vec<Weak<Upstreams>> {
        let mut apps: Vec<&Arc<Upstreams>> = Vec::new();
        for (_, app) in self.upstreams() {
            if !apps.iter().any(|known| Arc::ptr_eq(known, app)) {
                apps.push(app);
            }
        }
        apps.into_iter().map(Arc::downgrade).collect()
    }

    /// The apps of sites and of rules, by the site's place; one may come several times.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = (usize, &Arc<Upstreams>)> {
        self.sites().flat_map(|site| {
            let rules = site.rules.iter().map(|(_, rule)| &rule.as_written);
            std::iter::once(&site.whole).chain(rules).map(|route| (route.site, &route.upstreams))
        })
    }

    /// The shield of each site, and of each rule by its path.
    pub(crate) fn shields(&self) -> impl Iterator<Item = (usize, Option<&RulePath>, &Shield)> {
        self.sites().flat_map(|site| {
            let rules = site
                .rules
                .iter()
                .map(|(path, route)| (route.as_written.site, Some(path), &*route.as_written.shield));
            std::iter::once((site.whole.site, None, &*site.whole.shield)).chain(rules)
        })
    }

    fn sites(&self) -> impl Iterator<Item = &SiteRoutes> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn site(&self, host: &str) -> Option<&SiteRoutes> {
        match self.place(host)?.checked_sub(1) {
            Some(other) => self.others.get(other),
            None => Some(&self.first),
        }
    }

    /// The place of the site that has this name (in any case, with or without the root's dot).
    pub(crate) fn place(&self, host: &str) -> Option<usize> {
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.len() > LONGEST_HOST {
            return None;
        }
        let mut folded = [0; LONGEST_HOST];
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let folded = folded.get_mut(..host.len())?;
            folded.copy_from_slice(host.as_bytes());
            folded.make_ascii_lowercase();
            std::str::from_utf8(folded).ok()?
        } else {
            host
        };
        self.named.get(host).or_else(|| self.below(host)).copied()
    }

    /// The site with the longest wildcard that `host` is below.
    fn below(&self, host: &str) -> Option<&usize> {
        if self.wildcard.is_empty() || host.starts_with('.') {
            return None;
        }
        host.match_indices('.').find_map(|(dot, _)| self.wildcard.get(host.get(dot + 1..)?))
    }
}

/// `most`: what each shield lets pass.
fn max_headers(most: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    let most = most.map(|most| most.unwrap_or(ANY_NUMBER)).max()?;
    (most > HYPERS_OWN).then_some(most.clamp(ANY_NUMBER, MOST_HEADERS))
}

const HYPERS_OWN: usize = 100;
/// Where no shield says: as many as fit into the head.
const ANY_NUMBER: usize = 200;
/// More than 32 KiB can hold.
const MOST_HEADERS: usize = 8_192;

/// The routes of one site.
#[derive(Debug)]
struct SiteRoutes {
    whole: Route,
    /// The most specific first.
    rules: Vec<(RulePath, RuleRoutes)>,
}

/// The routes of one rule: for its path to the letter, and for all other ways to write it, where it does not exempt.
/// An app that tells the two apart has another page there, which nobody meant to leave unprotected.
///
/// Both lead to one app. Were `/API` the site's app's where `/api` is the rule's, then whoever asks would choose by
/// his spelling which of two apps answers: the old one, say, from which that path was taken away.
#[derive(Debug)]
struct RuleRoutes {
    as_written: Route,
    otherwise: Route,
}

/// What the shields of all sites have in common.
#[derive(Debug)]
struct Context<'c> {
    /// It has the policies for all sites in it.
    base: &'c Shield,
    config: &'c Config,
    keys: Option<&'c Keys>,
    /// How many may wait for one app.
    share: usize,
}

impl SiteRoutes {
    fn new(context: &Context<'_>, site: &Site, index: usize) -> Result<Self, SettingError> {
        // A check asks by it, which no app has to know a wildcard for.
        let name = site.hosts.iter().find(|host| host.wildcard().is_none()).map_or("", HostName::as_str);
        let app = |addresses: &[Upstream], terms: &config::Upstreams, rule: Option<&str>| {
            Arc::new(Upstreams::new(addresses, terms, name, rule, context.keys, context.share))
        };
        let own = |rule: &Rule| {
            let path = rule.path.to_string();
            (!rule.upstream.is_empty()).then(|| app(&rule.upstream, &rule.upstreams, Some(&path)))
        };
        let sites = app(&site.upstream, &site.upstreams, None);
        let route =
            |path: Option<&RulePath>, rule: &Policies, app: &Arc<Upstreams>| -> Result<Route, SettingError> {
                let shield = Arc::new(shield(context, site, rule)?);
                Ok(Route { site: index, rule: path.cloned(), shield, upstreams: Arc::clone(app) })
            };
        let rule_routes = |rule: &Rule| {
            let own = own(rule);
            let app = own.as_ref().unwrap_or(&sites);
            let path = Some(&rule.path);
            let otherwise = route(path, &rule.shield.clone().without_exemptions(), app)?;
            Ok((rule.path.clone(), RuleRoutes { as_written: route(path, &rule.shield, app)?, otherwise }))
        };
        let mut rules = site.rules.iter().map(rule_routes).collect::<Result<Vec<_>, SettingError>>()?;
        path::sort(&mut rules);
        Ok(Self { whole: route(None, &Policies::default(), &sites)?, rules })
    }
}

/// `rule`: none set where no rule holds.
fn shield(context: &Context<'_>, site: &Site, rule: &Policies) -> Result<Shield, SettingError> {
    let Context { base, config, keys, .. } = *context;
    let global = &config.shield;
    let mut policies = rule.clone();
    let around = site.shield.rate_limit.as_ref().or(global.rate_limit.as_ref());
    policies.rate_limit = policies.rate_limit.map(|limits| with_named_limits_of(around, limits));
    // Sites count apart from each other; what counts in one counts alike on all of its paths.
    let scope = site.hosts.first().map_or("", HostName::as_str);
    let shield = base.clone().with(site.shield.clone()).with(policies).with_rate_limit(|limits| {
        let limits = limits.scope(scope);
        let limits = if let Some(keys) = keys { limits.keys(keys) } else { limits };
        if config.exempt_loopback { limits.exempt_loopback() } else { limits }
    });
    let shield = shield.with_cookies(|cookies| {
        let cookies = cookies.site(scope);
        if let Some(keys) = keys { cookies.keys(keys) } else { cookies }
    });
    let shield = shield.with_brute_force(|brute_force| {
        let brute_force = brute_force.scope(scope);
        if let Some(keys) = keys { brute_force.keys(keys) } else { brute_force }
    });
    if site.hosts.is_empty() {
        return Ok(shield);
    }
    let set = [rule, &site.shield, global].into_iter().find_map(|policies| policies.hosts.as_ref());
    Ok(shield.hosts(with_names(set, &site.hosts)?))
}

/// The `hosts` practice as it is set, with a site's names in it.
fn with_names(set: Option<&Guard<Hosts>>, names: &[HostName]) -> Result<Guard<Hosts>, SettingError> {
    let named = |hosts: &Hosts| hosts.clone().names(names);
    Ok(match set {
        Some(Guard::On(hosts)) => Guard::On(named(hosts)?),
        Some(Guard::Observe(hosts)) => Guard::Observe(named(hosts)?),
        Some(Guard::Off) => Guard::Off,
        None => Guard::On(Hosts::named(names)?),
    })
}

/// The limits of a rule. Other practices are replaced whole, but a limit with a name that stands around the rule
/// still counts within.
fn with_named_limits_of(around: Option<&Guard<RateLimit>>, rule: Guard<RateLimit>) -> Guard<RateLimit> {
    match around.and_then(Guard::policy) {
        Some(around) => rule.map(|limits| limits.with_limits_of(around)),
        None => rule,
    }
}

#[cfg(test)]
mod tests {
    use panoply::Practice;

    use super::*;
    use crate::config::Config;

    fn routes(text: &str) -> Routes {
        let config = Config::parse(text).unwrap();
        Routes::new(&Shield::in_front(), &config, None).unwrap()
    }

    const SHOPS: &str = r#"
        shield.csrf = "observe"

        [[site]]
        hosts = ["shop.example", "*.shop.example", "[2001:db8::1]"]
        shield.redirects = "off"

        [[site.rule]]
        path = "/api/*"
        shield.csrf = "off"

        [[site]]
        hosts = ["api.shop.example", "XN--BCHER-KVA.example"]

        [[site]]
        hosts = ["*.api.shop.example"]
    "#;

    #[test]
    fn a_host_leads_to_its_site_in_any_spelling() {
        let routes = routes(SHOPS);
        for (host, site) in [
            ("shop.example", Some(0)),
            ("Shop.Example", Some(0)),
            ("shop.example.", Some(0)),
            ("www.shop.example", Some(0)),
            ("WWW.SHOP.EXAMPLE.", Some(0)),
            ("[2001:db8::1]", Some(0)),
            ("[2001:DB8::1]", Some(0)),
            ("api.shop.example", Some(1)), // its own name is nearer than the wildcard
            ("xn--bcher-kva.example", Some(1)),
            ("a.b.shop.example", Some(0)),
            ("b.api.shop.example", Some(2)), // of two wildcards the longer
            ("example", None),               // its way is the first site's, whose `hosts` refuses it
            (".shop.example", None),
            ("shop.example..", None),
            ("shop.example:443", None),
            ("192.0.2.1", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(routes.site(host).map(|found| found.whole.site), site, "{host}");
            assert_eq!(routes.find(host, "/").unwrap().site, site.unwrap_or(0), "{host}");
        }
        for host in ["A".repeat(253), "A".repeat(254), "A.".repeat(9_000), "a.".repeat(9_000)] {
            assert_eq!(routes.find(&host, "/").unwrap().site, 0);
        }
    }

    #[test]
    fn a_rule_lies_over_its_site_and_that_over_all() {
        let routes = routes(SHOPS);
        for (host, path, csrf, redirects) in [
            ("shop.example", "/", "observe", "off"),
            ("shop.example", "/api/orders", "off", "off"),
            ("shop.example", "/API/orders", "observe", "off"), // another page, perhaps
            ("api.shop.example", "/api/orders", "observe", "observe"), // the default in front
        ] {
            let shield = &routes.find(host, path).unwrap().shield;
            let states = (shield.state(Practice::Csrf).0, shield.state(Practice::Redirects).0);
            assert_eq!(states, (csrf, redirects), "{host}{path}");
        }
        assert!(
            matches!(routes.find("shop.example", "/x/..%2fapi"), Err(Ambiguous(route)) if route.site == 0)
        );
        assert!(routes.find("api.shop.example", "/x/..%2fapi").is_ok());
    }

    #[test]
    fn a_path_has_one_app_however_it_is_written() {
        let routes = routes(
            r#"
            [[site]]
            upstream = "http://express"

            [[site.rule]]
            path = "/account/*"
            upstream = "http://axum"
            shield.csrf = "off"

            [[site.rule]]
            path = "/account/hook"
            shield.csrf = "off"
            "#,
        );
        for (path, app) in [
            ("/", Some("express")),
            ("/accounts", Some("express")),
            ("/files/a%2fb", Some("express")),
            ("/account", Some("axum")),
            ("/account/", Some("axum")),
            ("/ACCOUNT/orders", Some("axum")),
            ("/%61ccount/orders", Some("axum")),
            ("/account/a%2fb", Some("axum")),
            ("/account/hook", Some("express")), // the most specific rule holds, and says nothing of an app
            ("/account/HOOK/", Some("express")),
            // Which app it is depends on how an app would read it.
            ("//account", None),
            ("/x/../account", None),
            ("/account/..", None),
            ("/account%2forders", None),
            ("/account;v=1", None),
            ("/account/hook%2f", None),
        ] {
            let found =
                routes.find("any.example", path).ok().and_then(|route| route.upstreams.targets().first());
            let expected = app.map(|app| format!("http://{app}:80"));
            assert_eq!(found.map(ToString::to_string), expected, "{path}");
        }
    }

    #[test]
    fn an_app_that_was_started_is_that_of_rules_without_one() {
        let routes = routes(
            "[[site]]\n[[site.rule]]\npath = '/account'\nupstream = 'http://axum'\n\
             [[site.rule]]\npath = '/login'\nshield.csrf = 'off'",
        );
        routes.apps().for_each(|app| app.found(([127, 0, 0, 1], 3000).into(), None));
        for (path, app) in [("/", "127.0.0.1:3000"), ("/login", "127.0.0.1:3000"), ("/account", "axum:80")] {
            let target = routes.find("any.example", path).unwrap().upstreams.targets().first().unwrap();
            assert_eq!(target.to_string(), format!("http://{app}"), "{path}");
        }
    }

    #[test]
    fn the_nearest_word_on_hosts_decides_and_the_names_are_the_sites() {
        let text = "shield.hosts = 'observe'\n[[site]]\nhosts = ['shop.example']\n\
                    [[site.rule]]\npath = '/health'\nshield.hosts = 'off'";
        let routes = routes(text);
        let state = |path| routes.find("shop.example", path).unwrap().shield.state(Practice::Hosts).0;
        assert_eq!((state("/"), state("/health")), ("observe", "off"));
    }

    #[test]
    fn as_many_headers_are_read_as_a_shield_may_let_pass() {
        for (text, most) in [
            ("", None),
            ("shield.limits.headers = 20", None),
            ("shield.limits.headers = 101", Some(200)),
            ("shield.limits.headers = 500", Some(500)),
            ("shield.limits.headers = 1000000", Some(8_192)),
            ("shield.limits = 'observe'", Some(200)),
            ("[[site]]\n[[site.rule]]\npath = '/'\nshield.limits = 'off'", Some(200)),
        ] {
            assert_eq!(routes(text).max_headers(), most, "{text}");
        }
    }

    #[test]
    fn a_site_that_is_alone_is_found_under_any_name() {
        for text in ["", "[[site]]\nupstream = 'http://app'", "[[site]]\nhosts = ['shop.example']"] {
            let routes = routes(text);
            assert_eq!(routes.find("other.example", "/").unwrap().site, 0, "{text}");
            assert_eq!(
                !routes.first.whole.upstreams.targets().is_empty(),
                text.contains("upstream"),
                "{text}"
            );
        }
    }
}
