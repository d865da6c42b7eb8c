use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use panoply::SettingError;
use serde::{Deserialize, Deserializer};

use super::text::{Text, deserialize_text, shown};

/// Reads a list of networks and single addresses.
pub(super) fn several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<TrustedProxy>::deserialize(deserializer)
        .map(|proxies| proxies.into_iter().map(|proxy| proxy.0).collect())
}

struct TrustedProxy(IpNet);

impl Text for TrustedProxy {
    const EXPECTED: &'static str = "an address or a network, such as \"10.0.0.0/8\"";
}

deserialize_text!(TrustedProxy);

impl FromStr for TrustedProxy {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let parsed = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
        let Ok(net) = parsed else {
            return Err(SettingError::new(
                format!("a proxy is trusted by its address or network, but `{}` is neither", shown(text)),
                "write it as `10.1.2.3` or `10.0.0.0/8`",
            ));
        };
        if net.prefix_len() == 0 {
            return Err(SettingError::new(
                format!("`{text}` trusts everybody, so that anybody could claim any address"),
                "write the addresses of your own proxies",
            ));
        }
        if net.trunc() != net {
            return Err(SettingError::new(
                format!("`{text}` has bits set behind its prefix: an address in a network, or the network?"),
                format!("write `{}` for the one address or `{}` for the network", net.addr(), net.trunc()),
            ));
        }
        Ok(Self(net))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_network_that_is_meant_is_trusted() {
        for (text, net) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("fd00::/8", Some("fd00::/8")),
            ("::1", Some("::1/128")),
            ("10.1.2.3/8", None),
            ("0.0.0.0/0", None),
            ("::/0", None),
            ("10.0.0.0/33", None),
            ("loopback", None),
            ("true", None),
            ("1", None), // Express reads it as 0.0.0.1, and trusts nothing
            ("", None),
        ] {
            let found = text.parse::<TrustedProxy>().ok().map(|proxy| proxy.0.to_string());
            assert_eq!(found.as_deref(), net, "{text:?}");
        }
    }
}
