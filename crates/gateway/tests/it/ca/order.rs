//! Names, orders and what has to be shown for them (RFC 8555 §7.1.3–7.1.5).

use std::net::IpAddr;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::clock;
use super::problem::Problem;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    Dns(String),
    Ip(IpAddr),
}

impl Name {
    pub(crate) fn read(value: &Value) -> Result<Self, Problem> {
        let member = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let rejected = |why: String| Err(Problem::new(400, "rejectedIdentifier", why));
        match (member("type"), member("value")) {
            ("dns", name) if name.starts_with("*.") => rejected(format!("`{name}`: no wildcards here")),
            ("dns", name) if is_name(name) => Ok(Self::Dns(name.into())),
            ("ip", address) => match address.parse::<IpAddr>() {
                // RFC 8738 §3: the one text form of the address.
                Ok(parsed) if parsed.to_string() == address => Ok(Self::Ip(parsed)),
                _ => rejected(format!("`{address}` is no address")),
            },
            (kind, value) => Err(Problem::new(400, "unsupportedIdentifier", format!("{kind} {value}"))),
        }
    }

    fn document(&self) -> Value {
        let kind = match self {
            Self::Dns(_) => "dns",
            Self::Ip(_) => "ip",
        };
        json!({ "type": kind, "value": self.to_string() })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => write!(f, "{address}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Processing,
    Ready,
    Valid,
    Invalid,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) account: usize,
    pub(crate) at: SystemTime,
    pub(crate) names: Vec<Name>,
    pub(crate) profile: Option<String>,
    pub(crate) replaces: Option<String>,
    pub(crate) expires: SystemTime,
    pub(crate) authorizations: Vec<usize>,
    pub(crate) certificate: Option<usize>,
    /// How often it is still said to be in the making after the certificate is there.
    pub(crate) polls_to_wait: u32,
}

impl Order {
    pub(crate) fn status(&self, authorizations: &[Authorization], now: SystemTime) -> Status {
        let mut states = self.authorizations.iter().map(|&number| authorizations[number].status(now));
        match self.certificate {
            Some(_) if self.polls_to_wait > 0 => Status::Processing,
            Some(_) => Status::Valid,
            None if self.expires <= now => Status::Invalid,
            None if states.clone().any(|status| status == Status::Invalid) => Status::Invalid,
            None if states.all(|status| status == Status::Valid) => Status::Ready,
            None => Status::Pending,
        }
    }

    pub(crate) fn document(&self, number: usize, status: Status, base: &str) -> Value {
        let authorization = |number: &usize| format!("{base}/authorization/{number}");
        let mut document = json!({
            "status": status.word(),
            "expires": clock::text(self.expires),
            "identifiers": self.names.iter().map(Name::document).collect::<Vec<_>>(),
            "authorizations": self.authorizations.iter().map(authorization).collect::<Vec<_>>(),
            "finalize": format!("{base}/order/{number}/finalize"),
        });
        for (member, value) in [("profile", &self.profile), ("replaces", &self.replaces)] {
            if let Some(value) = value {
                document[member] = value.as_str().into();
            }
        }
        if let (Status::Valid, Some(certificate)) = (status, self.certificate) {
            document["certificate"] = format!("{base}/certificate/{certificate}").into();
        }
        document
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    pub(crate) account: usize,
    pub(crate) name: Name,
    pub(crate) expires: SystemTime,
    pub(crate) challenges: Vec<Challenge>,
}

#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    pub(crate) kind: String,
    pub(crate) token: String,
    pub(crate) status: Status,
    pub(crate) error: Option<Problem>,
}

impl Authorization {
    pub(crate) fn status(&self, now: SystemTime) -> Status {
        let any = |status| self.challenges.iter().any(|challenge| challenge.status == status);
        match () {
            () if any(Status::Invalid) || self.expires <= now => Status::Invalid,
            () if any(Status::Valid) => Status::Valid,
            () => Status::Pending,
        }
    }

    pub(crate) fn document(&self, number: usize, now: SystemTime, base: &str) -> Value {
        let challenges = (0..self.challenges.len()).map(|which| self.challenge(number, which, base));
        json!({
            "status": self.status(now).word(),
            "expires": clock::text(self.expires),
            "identifier": self.name.document(),
            "challenges": challenges.collect::<Vec<_>>(),
        })
    }

    pub(crate) fn challenge(&self, number: usize, which: usize, base: &str) -> Value {
        let challenge = &self.challenges[which];
        let mut document = json!({
            "type": challenge.kind,
            "url": format!("{base}/challenge/{number}/{which}"),
            "status": challenge.status.word(),
            "token": challenge.token,
        });
        if let Some(error) = &challenge.error {
            document["error"] = error.document();
        }
        document
    }
}

fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(label) && name.parse::<IpAddr>().is_err()
}
