use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use crate::SettingError;

/// One address (`192.0.2.7`) or a range of them (`10.0.0.0/8`).
///
/// IPv4 written as IPv6 (`::ffff:10.0.0.0/104`) is IPv4 here, as it is in every address that is compared with
/// it: a dual-stack socket shows IPv4 peers in that form. A range of all addresses is none: whoever wants
/// everybody wants another setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

impl Network {
    /// Whether `ip` is in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }

    /// The same addresses in as few networks as they take, in order: none holds another.
    pub(crate) fn merged(all: &[Self]) -> Vec<Self> {
        let nets: Vec<IpNet> = all.iter().map(|network| network.0).collect();
        let mut merged: Vec<Self> = IpNet::aggregate(&nets).into_iter().map(Self).collect();
        merged.sort_unstable_by_key(|network| network.0);
        merged
    }

    /// Whether one of `merged` networks holds `ip`.
    pub(crate) fn any_contains(merged: &[Self], ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let behind = merged.partition_point(|network| network.0.addr() <= ip);
        behind.checked_sub(1).and_then(|at| merged.get(at)).is_some_and(|network| network.0.contains(&ip))
    }

    /// Whether one of the two holds the other.
    pub(crate) fn overlaps(&self, other: Self) -> bool {
        self.0.contains(&other.0) || other.0.contains(&self.0)
    }

    /// As clients are counted: an IPv4 address, or an IPv6 /64; none for what is larger.
    #[must_use]
    pub fn of_client(&self) -> Option<Self> {
        let IpNet::V6(net) = self.0 else { return (self.0.prefix_len() == 32).then_some(*self) };
        (net.prefix_len() >= 64).then(|| Self::around(net.addr().into(), 64)).flatten()
    }

    /// The address of the one client that it is; none for what is larger.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.of_client().map(|net| net.0.addr())
    }

    /// How many leading bits are its own.
    pub(crate) fn prefix(&self) -> u8 {
        self.0.prefix_len()
    }

    /// That of `prefix` bits around `ip`; none where an address has fewer.
    pub(crate) fn around(ip: IpAddr, prefix: u8) -> Option<Self> {
        IpNet::new(ip.to_canonical(), prefix).ok().map(|net| Self(net.trunc()))
    }
}

impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Self {
        Self(ip.to_canonical().into())
    }
}

impl FromStr for Network {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(ip.into());
        }
        let net = text.parse::<IpNet>().map_err(|_| {
            SettingError::new(
                format!("`{text}` is neither an IP address nor a range of them"),
                "write an address such as `192.0.2.7`, or a range such as `10.0.0.0/8`",
            )
        })?;
        let net = unmapped(net).ok_or_else(|| {
            SettingError::new(
                format!("`{text}` holds IPv4 and IPv6 addresses"),
                "write the IPv4 range by itself, such as `10.0.0.0/8`",
            )
        })?;
        if net.prefix_len() == 0 {
            return Err(SettingError::new(
                format!("`{text}` is every address there is"),
                "write the addresses that you know, such as `10.0.0.0/8`",
            ));
        }
        if net.addr() != net.network() {
            return Err(SettingError::new(
                format!("`{text}` is an address inside a range and not the range"),
                format!("write `{}` for the range, or `{}` for the one address", net.trunc(), net.addr()),
            ));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

/// IPv4 as IPv4; `None` for a range that reaches from mapped IPv4 into IPv6, which would hold every mapped
/// address by accident (proxy-addr's CVE-2026-90711).
fn unmapped(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = net else { return Some(net) };
    let Some(v4) = v6.addr().to_ipv4_mapped() else { return Some(net) };
    let prefix = v6.prefix_len().checked_sub(96)?;
    IpNet::new(v4.into(), prefix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_own_addresses_in_either_spelling() {
        for (network, ip, held) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "192.0.2.1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("2001:db8::/32", "2001:db8::1", true),
            ("2001:db8::/32", "10.0.0.1", false),
        ] {
            let network = network.parse::<Network>().unwrap();
            assert_eq!(network.contains(ip.parse().unwrap()), held, "{network} {ip}");
        }
    }

    #[test]
    fn what_is_no_network_says_what_to_write() {
        for (text, message, hint) in [
            ("localhost", "neither an IP address", "192.0.2.7"),
            ("10.0.0.0/33", "neither an IP address", "10.0.0.0/8"),
            ("", "neither an IP address", "10.0.0.0/8"),
            ("0.0.0.0/0", "every address", "10.0.0.0/8"),
            ("::/0", "every address", "10.0.0.0/8"),
            ("::ffff:0.0.0.0/96", "every address", "10.0.0.0/8"),
            ("::ffff:10.0.0.0/8", "IPv4 and IPv6", "10.0.0.0/8"),
            ("10.1.2.3/8", "inside a range", "`10.0.0.0/8` for the range, or `10.1.2.3`"),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.to_string().contains(message), "{text}: {error}");
            assert!(error.hint().contains(hint), "{text}: {}", error.hint());
        }
    }
}
