//! The file `panoply.toml`: what is served, and how it is shielded.
//!
//! [`Config::parse`] is pure: it opens no file, no socket and asks no clock. What it returns is plain data in
//! which every address, host and path has been parsed; what is wrong comes back as a [`ConfigError`] that names
//! the place and the mend.
//!
//! ```
//! use panoply_gateway::config::Config;
//!
//! let config = Config::parse("[[site]]\nhosts = [\"shop.example\"]\nupstream = \"http://127.0.0.1:3000\"")?;
//! assert_eq!(config.sites[0].hosts[0].as_str(), "shop.example");
//! assert_eq!(config.sites[0].upstream[0].port(), 3000);
//!
//! let error = Config::parse("[shield]\ncsfr = \"on\"").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "error: panoply.toml:2:1: shield.csfr: there is no such setting\nhint: did you mean `csrf`?"
//! );
//! # Ok::<(), panoply_gateway::config::ConfigError>(())
//! ```

mod account;
mod acme;
mod check;
mod connections;
mod discreet;
mod error;
mod explain;
mod file_path;
mod host_name;
mod keys;
mod listen;
mod log_file;
mod maintenance;
mod place;
mod rule_path;
mod sandbox;
mod secret;
mod shutdown;
mod store;
mod table;
mod text;
mod tls;
mod upstream;
mod upstreams;

use std::path::PathBuf;

use panoply::{Policies, TrustedProxies};
use serde::Deserialize;
use toml::de::{DeTable, Deserializer};

pub use acme::{Acme, Contact, Directory, Dns, ExternalAccount};
pub use connections::Connections;
pub use error::ConfigError;
pub use host_name::HostName;
pub use keys::KeySource;
pub use listen::Listen;
pub use log_file::LogFile;
pub use maintenance::Maintenance;
pub use rule_path::RulePath;
pub use sandbox::Sandbox;
pub use secret::Secret;
pub use shutdown::Shutdown;
pub use store::Store;
pub use tls::{ClientCertificate, Profile, SiteTls, Tls};
pub use upstream::{Scheme, Upstream};
pub use upstreams::{Balance, HealthPath, Times, Upstreams};

pub(crate) use host_name::LONGEST as LONGEST_HOST;
pub(crate) use rule_path::fold;

use check::check;

/// Everything that `panoply.toml` says. An empty file is [`Config::default`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where TLS is accepted; `[::]:8443` unless told, a port that needs no privilege.
    pub https: Listen,
    /// Where requests in the clear are redirected to https; nowhere unless told.
    pub http: Option<Listen>,
    /// The proxies in front whose word on a visitor's address is taken; none unless told.
    pub trusted_proxies: TrustedProxies,
    /// A file with more of them, one a line, read when the gateway starts.
    #[serde(deserialize_with = "file_path::some")]
    pub trusted_proxies_file: Option<PathBuf>,
    /// The load balancers that say whose their bytes are by the PROXY protocol, which they have to, and nobody else may;
    /// none unless told.
    pub proxy_protocol: TrustedProxies,
    /// How many connections there are, and how long one may keep us waiting.
    #[serde(deserialize_with = "table::one")]
    pub connections: Connections,
    /// How TLS is spoken, and the certificate.
    #[serde(deserialize_with = "table::one")]
    pub tls: Tls,
    /// The folder that keeps keys and the self-made certificate; `None`: what the system offers.
    #[serde(deserialize_with = "file_path::some")]
    pub state: Option<PathBuf>,
    /// Whom a gateway that was started as root becomes, once ports are bound and keys read; `None`: it stays who it is.
    #[serde(deserialize_with = "account::some")]
    pub user: Option<String>,
    /// The group, where it is not that user's own.
    #[serde(deserialize_with = "account::some")]
    pub group: Option<String>,
    /// Whether it takes from itself what it does not need.
    pub sandbox: Sandbox,
    /// The keys that cookies are sealed with; `None`: made on first use and kept in the state folder.
    pub keys: Option<KeySource>,
    /// Where operators see what happens and undo bans; nowhere unless told. Anything but this machine takes a token.
    pub admin: Option<Listen>,
    /// What who asks there has to know; `None`: nothing, and only programs on this machine can ask.
    pub admin_token: Option<Secret>,
    /// Where there is a line for each request; nowhere unless told.
    pub access_log: Option<LogFile>,
    /// How the gateway ends.
    #[serde(deserialize_with = "table::one")]
    pub shutdown: Shutdown,
    /// Where counts are that other machines see too.
    #[serde(deserialize_with = "store::table_or_url")]
    pub store: Store,
    /// Whether this machine itself is never rate-limited: whoever starts an app here also loads and tests it from
    /// here. The command line says so, not the file.
    #[serde(skip)]
    pub exempt_loopback: bool,
    /// What every site's shield differs in from [`Shield::in_front`](panoply::Shield::in_front).
    #[serde(deserialize_with = "table::one")]
    pub shield: Policies,
    /// The sites, in the file's order. None: the one app that the command line names, under any host.
    #[serde(rename = "site", deserialize_with = "table::several")]
    pub sites: Vec<Site>,
}

impl Config {
    /// Every setting with its default and its reason, as `panoply config default` prints it.
    pub const EXAMPLE: &'static str = include_str!("../panoply.example.toml");

    /// Reads the text of a `panoply.toml`.
    ///
    /// # Errors
    /// The first thing that is wrong: TOML that is none, a setting that does not exist or cannot be, settings
    /// that contradict each other.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let tree = DeTable::parse(text).map_err(|error| explain::syntax(text, &error))?;
        let deserializer = Deserializer::from(tree.clone());
        let config = serde_path_to_error::deserialize(deserializer)
            .map_err(|error| explain::setting(text, tree.get_ref(), &error))?;
        let mut config: Self = config;
        config.take_the_ports_of_browsers(|key| tree.get_ref().contains_key(key));
        check(&config).map_err(|fault| fault.placed(text, tree.get_ref()))?;
        Ok(config)
    }

    /// How operators call the site at a place in the file: by its first name.
    #[must_use]
    pub fn site_name(&self, site: usize) -> &str {
        let hosts = self.sites.get(site).map(|site| site.hosts.as_slice()).unwrap_or_default();
        hosts.first().map_or("any host", HostName::as_str)
    }

    /// Orders certificates, for which the authority has `contact`; where no ports were chosen, they are those of
    /// browsers from now on, since the authority comes there to look.
    pub fn order_certificates(&mut self, contact: Contact) {
        let https = self.https != Listen::default();
        self.tls.acme.contact = Some(contact);
        self.take_the_ports_of_browsers(|key| key == "https" && https);
    }

    fn take_the_ports_of_browsers(&mut self, is_chosen: impl Fn(&str) -> bool) {
        if self.tls.acme.contact.is_none() {
            return;
        }
        if !is_chosen("https") {
            self.https = Listen::on_all(443);
        }
        if !is_chosen("http") && self.http.is_none() {
            self.http = Some(Listen::on_all(80));
        }
    }

    /// The environment variables with secrets of the gateway's, which are not for the app.
    pub fn secret_variables(&self) -> impl Iterator<Item = &str> {
        let keys = self.keys.as_ref().and_then(KeySource::variable);
        let bound = self.tls.acme.external_account.as_ref().map(|account| &account.key);
        let signed = self.tls.acme.dns.as_ref().and_then(|dns| dns.key.as_ref()).map(|key| &key.secret);
        let secrets = [self.store.url.as_ref(), self.admin_token.as_ref(), bound, signed];
        keys.into_iter().chain(secrets.into_iter().flatten().filter_map(Secret::variable))
    }
}

/// `[[site]]`: an app and the names under which it is served.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Site {
    /// The names. Empty only for a site that is alone: it answers to any name.
    pub hosts: Vec<HostName>,
    /// Where the app is; several are asked in turn. Empty: where the command line says.
    #[serde(deserialize_with = "upstream::one_or_several")]
    pub upstream: Vec<Upstream>,
    /// How they are asked: which of several, and what is waited for.
    #[serde(deserialize_with = "table::one")]
    pub upstreams: Upstreams,
    /// What visitors get while the app is worked on; `None`: the app.
    #[serde(deserialize_with = "maintenance::some")]
    pub maintenance: Option<Maintenance>,
    /// The site's own certificate, and which visitors it asks for theirs.
    #[serde(deserialize_with = "table::one")]
    pub tls: SiteTls,
    /// What this site's shield differs in from the global one. A practice that is named replaces it whole.
    #[serde(deserialize_with = "table::one")]
    pub shield: Policies,
    /// Paths with a shield, or an app, of their own.
    #[serde(rename = "rule", deserialize_with = "table::several")]
    pub rules: Vec<Rule>,
}

/// `[[site.rule]]`: a path of a site with a shield, or an app, of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Rule {
    /// Which paths.
    pub path: RulePath,
    /// Where the app for these paths is, however they are written; several are asked in turn. Empty: the site's.
    #[serde(default, deserialize_with = "upstream::one_or_several")]
    pub upstream: Vec<Upstream>,
    /// How the rule's own app is asked; the site's `upstreams` are the site's alone.
    #[serde(default, deserialize_with = "table::one")]
    pub upstreams: Upstreams,
    /// What their shield differs in from the site's. A practice that is named replaces it whole.
    #[serde(default, deserialize_with = "table::one")]
    pub shield: Policies,
}
