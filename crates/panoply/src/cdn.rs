//! The addresses from which content delivery networks ask their origins, as these published them; each list says when.

use std::net::IpAddr;
use std::sync::LazyLock;

use crate::Network;

/// The networks of the one that is called so.
pub(crate) fn named(name: &str) -> Option<&'static [Network]> {
    LISTS.iter().find(|(known, _)| *known == name).map(|(_, list)| list.as_slice())
}

/// What they are called.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|(name, _)| *name)
}

/// What the one is called that asks from `ip`.
///
/// Only good for advice to the operator: the lists age, and who rents a place there can ask from it too.
pub(crate) fn name_of(ip: IpAddr) -> Option<&'static str> {
    let found = LISTS.iter().find(|(_, list)| list.iter().any(|network| network.contains(ip)));
    found.map(|(name, _)| *name)
}

static LISTS: LazyLock<Vec<(&str, Vec<Network>)>> = LazyLock::new(|| {
    let read = |text: &str| text.lines().filter_map(|line| line.parse().ok()).collect();
    TEXTS.iter().map(|(name, text)| (*name, read(text))).collect()
});

const TEXTS: [(&str, &str); 3] = [
    ("cloudflare", include_str!("cdn/cloudflare.txt")),
    ("cloudfront", include_str!("cdn/cloudfront.txt")),
    ("fastly", include_str!("cdn/fastly.txt")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_list_is_a_network_and_its_first_says_when() {
        for (name, text) in TEXTS {
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                assert!(line.parse::<Network>().is_ok(), "{name}: {line}");
            }
            let head: String = text.lines().take_while(|line| line.starts_with('#')).collect();
            assert!(head.contains(", 20") && head.contains("https://"), "{name}: {head}");
        }
    }

    #[test]
    fn a_network_is_known_by_its_name() {
        for (name, ip, count) in [
            ("cloudflare", "104.16.1.2", 22),
            ("cloudflare", "2606:4700::1", 22),
            ("fastly", "151.101.1.1", 21),
            ("cloudfront", "15.158.27.206", 81),
        ] {
            let list = named(name).unwrap();
            assert_eq!(list.len(), count, "{name}");
            let ip = ip.parse().unwrap();
            assert!(list.iter().any(|network| network.contains(ip)), "{name} {ip}");
            assert_eq!(name_of(ip), Some(name), "{ip}");
        }
        assert!(named("akamai").is_none());
        assert_eq!(name_of("203.0.113.1".parse().unwrap()), None);
    }
}
