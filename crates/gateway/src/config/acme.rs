use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use panoply::{Period, SettingError};
use serde::Deserialize;

use super::text::{Text, deserialize_text, shown};
use super::{HostName, Secret, file_path};
use crate::acme::{Algorithm, Challenge};

/// `[tls.acme]`: certificates from an authority, ordered and renewed by the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Acme {
    /// Whom the authority tells when something is wrong; with it, certificates are ordered. `None`: they are not.
    pub contact: Option<Contact>,
    /// The authority; Let's Encrypt unless told.
    pub directory: Directory,
    /// Where the first order of a name is rehearsed; `None`: with Let's Encrypt its staging, else nowhere.
    pub staging: Option<Directory>,
    /// The root of a private authority, in PEM; `None`: those that the machine trusts.
    #[serde(deserialize_with = "file_path::some")]
    pub ca: Option<PathBuf>,
    /// The kind of certificate, by the authority's word; `None`: its default.
    pub profile: Option<Profile>,
    /// How names are proved. Empty: `dns-01` where there is `dns`, `tls-alpn-01`, then `http-01` where there is `http`.
    pub challenges: Vec<Challenge>,
    /// The names for which a certificate is ordered when the first visitor asks for one; `*.` stands for one label here.
    /// Empty: no visitor begins an order.
    pub on_demand: Vec<HostName>,
    /// How many new names a week visitors may have ordered by each entry of `on_demand`; 40 unless told, of the 50 that
    /// Let's Encrypt gives for one registered domain. Renewals are not counted.
    pub on_demand_weekly: NonZeroU32,
    /// What binds the account to a customer of the authority; `None`: it does not ask.
    pub external_account: Option<ExternalAccount>,
    /// How names are proved by DNS; `None`: they are not.
    pub dns: Option<Dns>,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            contact: None,
            directory: Directory::default(),
            staging: None,
            ca: None,
            profile: None,
            challenges: Vec::new(),
            on_demand: Vec::new(),
            on_demand_weekly: ON_DEMAND_WEEKLY,
            external_account: None,
            dns: None,
        }
    }
}

const ON_DEMAND_WEEKLY: NonZeroU32 = NonZeroU32::new(40).expect("40 is not zero");

/// What an authority gives to its customers (RFC 8555 §7.3.4).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ExternalAccount {
    /// The key's name.
    pub id: String,
    /// The key, in base64url.
    pub key: Secret,
}

/// How a TXT record comes into the zone: by a program, or by updates of a server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Dns {
    /// A program and its first arguments, which is called with `present` or `cleanup`, the record's name and its value.
    #[serde(default)]
    pub hook: Vec<String>,
    /// The zone's primary server, which takes updates (RFC 2136).
    #[serde(default)]
    pub server: Option<Server>,
    /// The zone; `None`: the server is asked.
    #[serde(default)]
    pub zone: Option<String>,
    /// The key by which the server knows who updates. There is one exactly where there is a `server`.
    #[serde(default)]
    pub key: Option<Key>,
    /// How long it may take: two minutes unless told.
    #[serde(default = "two_minutes")]
    pub deadline: Period,
    /// How long the servers of the zone need to agree; `None`: they do when it is done.
    #[serde(default)]
    pub wait: Option<Period>,
}

/// A TSIG key (RFC 8945).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Key {
    /// As the server knows it.
    pub name: String,
    /// How it signs; with SHA-256 unless told.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The key, in base64.
    pub secret: Secret,
}

/// An address, with a port unless it is 53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server(SocketAddr);

impl Server {
    /// Where it is.
    #[must_use]
    pub const fn address(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Server {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        text.parse().or_else(|_| bare()).map(Self).map_err(|_| {
            SettingError::new(
                format!("a DNS server is an IP address, but `{}` is none", shown(text)),
                "write it as `192.0.2.53`, or with its port as `192.0.2.53:5353`",
            )
        })
    }
}

impl Text for Server {
    const EXPECTED: &'static str = "the address of a DNS server, such as \"192.0.2.53\"";
}

deserialize_text!(Server);

fn two_minutes() -> Period {
    Period::seconds(120)
}

/// A mail address, such as `ops@shop.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact(String);

impl Contact {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Contact {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let bare = text.strip_prefix("mailto:").unwrap_or(text);
        let (name, host) = bare.rsplit_once('@').unwrap_or_default();
        // One address and no more: `,` and `?` would add others in a mailto URL (RFC 8555 §7.3).
        let is_plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b",?<>\"@%:".contains(&b))
        };
        if !(is_plain(name) && is_plain(host) && host.contains('.') && text.len() <= LONGEST) {
            return Err(SettingError::new(
                format!("a mail address was expected, but `{}` is none", shown(text)),
                "write one that is read: `ops@shop.example`",
            ));
        }
        if bare != text {
            return Err(SettingError::new(
                "a mail address was expected, but this is a URL",
                format!("write `{}`", shown(bare)),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Text for Contact {
    const EXPECTED: &'static str = "a mail address, such as \"ops@shop.example\"";
}

deserialize_text!(Contact);

/// The URL at which an authority says what it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory(String);

impl Directory {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where orders for this authority are rehearsed, where that is known.
    #[must_use]
    pub fn staging(&self) -> Option<&'static str> {
        (self.0 == LETS_ENCRYPT).then_some(LETS_ENCRYPT_STAGING)
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self(LETS_ENCRYPT.to_owned())
    }
}

impl FromStr for Directory {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let uri = text.parse::<http::Uri>().ok();
        let is_https = uri.as_ref().and_then(http::Uri::scheme_str) == Some("https");
        if !is_https || text.contains('@') || text.len() > LONGEST {
            return Err(SettingError::new(
                format!("an authority is asked at an https:// URL, but `{}` is none", shown(text)),
                format!("write the URL of its directory, such as `{LETS_ENCRYPT}`"),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Text for Directory {
    const EXPECTED: &'static str =
        "the URL of a directory, such as \"https://acme-v02.api.letsencrypt.org/directory\"";
}

deserialize_text!(Directory);

/// An authority's word for a kind of certificate, such as `shortlived`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile(String);

impl Profile {
    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Profile {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let is_word = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_word {
            return Err(SettingError::new(
                format!("`{}` is no profile's name", shown(text)),
                "write one that the authority has, such as `shortlived`",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Text for Profile {
    const EXPECTED: &'static str = "a profile's name, such as \"shortlived\"";
}

deserialize_text!(Profile);

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// Characters.
const LONGEST: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_one_mail_address_and_an_authority_one_url() {
        for (text, good) in [
            ("ops@shop.example", true),
            ("o'ps+acme@mail.shop.example", true),
            ("mailto:ops@shop.example", false),
            ("ops@shop.example,eve@evil.example", false),
            ("ops@shop.example?cc=eve@evil.example", false),
            ("ops", false),
            ("ops@localhost", false),
            ("@shop.example", false),
            ("o ps@shop.example", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Contact>().is_ok(), good, "{text}");
        }
        for (text, good) in [
            ("https://localhost:14000/dir", true),
            (LETS_ENCRYPT, true),
            ("http://ca.example/dir", false),
            ("https://ann:hunter2@ca.example", false),
            ("ca.example", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Directory>().is_ok(), good, "{text}");
        }
    }
}
