use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use instant_acme::ChallengeType;
use panoply::Period;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Dns, Name, Tsig};
use crate::{GatewayError, config, secret};

/// What orders need to know, secrets and files read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom the authority tells when something is wrong: a mail address.
    pub contact: String,
    /// The authority's directory.
    pub directory: String,
    /// Where the first order of a name is rehearsed; `None`: nowhere.
    pub staging: Option<String>,
    /// The root of a private authority, in PEM; `None`: those that the machine trusts.
    pub ca: Option<Vec<u8>>,
    /// The kind of certificate, by the authority's word for it.
    pub profile: Option<String>,
    /// How a name is proved: the first that the authority offers, and after a failure the next.
    pub challenges: Vec<Challenge>,
    /// What binds the account to a customer of the authority.
    pub external_account: Option<ExternalAccount>,
    /// For which names a visitor may begin an order: hosts, and wildcards that stand for one label.
    pub on_demand: Vec<Name>,
    /// How many new names a week each of those may lead to.
    pub on_demand_weekly: usize,
    /// How names are proved by DNS.
    pub dns: Option<Dns>,
    /// How long things may take.
    pub pace: Pace,
}

impl Settings {
    /// What the configuration says, with its secrets and files read; `None` where nothing is ordered.
    ///
    /// # Errors
    /// When one of them is not to be had.
    pub(crate) fn read(config: &config::Config) -> Result<Option<Self>, GatewayError> {
        let acme = &config.tls.acme;
        let Some(contact) = &acme.contact else {
            // The command line may have named one: so it is asked here, and not where the file is read.
            return if *acme == config::Acme::default() { Ok(None) } else { Err(no_contact()) };
        };
        let staging =
            acme.staging.as_ref().map(config::Directory::as_str).or_else(|| acme.directory.staging());
        let external_account = acme.external_account.as_ref().map(ExternalAccount::read).transpose()?;
        let dns = acme.dns.as_ref().map(Dns::read).transpose()?;
        let mut pace = Pace::default();
        if let Some(dns) = &acme.dns {
            // To place a record and to take it out again.
            pace.order += dns.deadline.duration() + dns.wait.map(Period::duration).unwrap_or_default();
        }
        Ok(Some(Self {
            contact: contact.as_str().to_owned(),
            directory: acme.directory.as_str().to_owned(),
            staging: staging.map(str::to_owned),
            ca: acme.ca.as_deref().map(authority).transpose()?,
            profile: acme.profile.as_ref().map(|profile| profile.as_str().to_owned()),
            challenges: challenges(config),
            external_account,
            on_demand_weekly: acme.on_demand_weekly.get() as usize,
            on_demand: acme.on_demand.iter().map(|host| Name::parse(host.as_str())).collect(),
            dns,
            pace,
        }))
    }
}

#[cfg(test)]
impl Settings {
    /// For an authority of its own, at `directory`.
    pub(crate) fn of(directory: &str, ca: &str) -> Self {
        Self {
            contact: "ops@shop.example".to_owned(),
            directory: directory.to_owned(),
            staging: None,
            ca: Some(ca.as_bytes().to_vec()),
            profile: None,
            challenges: vec![Challenge::Http01],
            external_account: None,
            on_demand: Vec::new(),
            on_demand_weekly: 40,
            dns: None,
            pace: Pace::default(),
        }
    }
}

fn no_contact() -> GatewayError {
    GatewayError::Setting {
        message: "[tls.acme] is there, but nothing is ordered without a `contact`".to_owned(),
        hint: "add `contact = \"ops@shop.example\"` to it, or start with `--acme ops@shop.example`"
            .to_owned(),
    }
}

impl Dns {
    fn read(dns: &config::Dns) -> Result<Self, GatewayError> {
        let (deadline, wait) = (dns.deadline.duration(), dns.wait.map(Period::duration).unwrap_or_default());
        let how = match (&dns.server, &dns.key) {
            (Some(server), Some(key)) => {
                let text = Zeroizing::new(secret::read(&key.secret, "the key of `dns`")?);
                let secret = STANDARD.decode(&*text).map_err(|_| GatewayError::Setting {
                    message: "the key of `dns` is no base64".to_owned(),
                    hint: "copy the secret as `tsig-keygen` shows it".to_owned(),
                })?;
                let (name, secret) = (key.name.clone(), Zeroizing::new(secret));
                let key = Tsig { name, algorithm: key.algorithm, secret };
                Self::update(server.address(), dns.zone.as_deref(), key, deadline)?
            }
            _ => {
                let (program, arguments) =
                    dns.hook.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
                Self::hook(program, arguments, deadline)
            }
        };
        Ok(how.wait_for(wait))
    }
}

fn challenges(config: &config::Config) -> Vec<Challenge> {
    let acme = &config.tls.acme;
    if !acme.challenges.is_empty() {
        return acme.challenges.clone();
    }
    let mut challenges = Vec::new();
    if acme.dns.is_some() {
        challenges.push(Challenge::Dns01);
    }
    challenges.push(Challenge::TlsAlpn01);
    if config.http.is_some() {
        challenges.push(Challenge::Http01);
    }
    challenges
}

fn authority(path: &Path) -> Result<Vec<u8>, GatewayError> {
    let unreadable = |source| GatewayError::File { verb: "read", path: path.to_owned(), source };
    let mut pem = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut pem)).map_err(unreadable)?;
    Ok(pem)
}

/// In bytes: a bundle of all that browsers trust has 200 KiB.
const LARGEST: u64 = 1024 * 1024;

/// RFC 8555 §7.3.4.
#[derive(Clone)]
pub struct ExternalAccount {
    /// The authority's name for the key.
    pub id: String,
    /// The key itself, as bytes.
    pub key: Zeroizing<Vec<u8>>,
}

impl ExternalAccount {
    fn read(account: &config::ExternalAccount) -> Result<Self, GatewayError> {
        let text = Zeroizing::new(secret::read(&account.key, "the key of `external_account`")?);
        // With padding or without, and in either alphabet: authorities differ.
        let plain = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
        let key = URL_SAFE_NO_PAD.decode(plain).map_err(|_| GatewayError::Setting {
            message: "the key of `external_account` is no base64url".to_owned(),
            hint: "copy it as the authority shows it".to_owned(),
        })?;
        Ok(Self { id: account.id.clone(), key: Zeroizing::new(key) })
    }
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("id", &self.id).field("key", &"[secret]").finish()
    }
}

/// How a name is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum Challenge {
    /// By a handshake on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a page on port 80 (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// By a TXT record (RFC 8555 §8.4).
    #[serde(rename = "dns-01")]
    Dns01,
}

impl Challenge {
    pub(super) fn kind(self) -> ChallengeType {
        match self {
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Self::Http01 => ChallengeType::Http01,
            Self::Dns01 => ChallengeType::Dns01,
        }
    }

    /// Whether it can prove that name: a wildcard only by DNS (RFC 8555 §8.3, RFC 8737 §3), an address never
    /// (RFC 8738 §7).
    #[must_use]
    pub fn proves(self, name: &Name) -> bool {
        match name {
            Name::Host(_) => true,
            Name::Wildcard(_) => self == Self::Dns01,
            Name::Address(_) => self != Self::Dns01,
        }
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// One question to the authority, with its answer.
    pub request: Duration,
    /// Between two questions how an order stands, at first.
    pub first_poll: Duration,
    /// And at last.
    pub longest_poll: Duration,
    /// One order, from its beginning to its certificate.
    pub order: Duration,
}

impl Default for Pace {
    /// An authority answers within a second and looks at a name within ten.
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            first_poll: Duration::from_millis(500),
            longest_poll: Duration::from_secs(10),
            order: Duration::from_secs(150),
        }
    }
}
