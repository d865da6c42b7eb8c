use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Whether `ip` is one of those from which a content delivery network of the list asks its origins.
///
/// Only good for advice to the operator: the list ages, and who rents a place there can ask from it too.
pub(crate) fn contains(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => V4.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) => V6.iter().any(|net| net.contains(&ip)),
    }
}

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// As Cloudflare (the first 15) and Fastly (the other 19) published them, 2025.
const V4: [Ipv4Net; 34] = [
    v4(103, 21, 244, 22),
    v4(103, 22, 200, 22),
    v4(103, 31, 4, 22),
    v4(104, 16, 0, 13),
    v4(104, 24, 0, 14),
    v4(108, 162, 192, 18),
    v4(131, 0, 72, 22),
    v4(141, 101, 64, 18),
    v4(162, 158, 0, 15),
    v4(172, 64, 0, 13),
    v4(173, 245, 48, 20),
    v4(188, 114, 96, 20),
    v4(190, 93, 240, 20),
    v4(197, 234, 240, 22),
    v4(198, 41, 128, 17),
    v4(23, 235, 32, 20),
    v4(43, 249, 72, 22),
    v4(103, 244, 50, 24),
    v4(103, 245, 222, 23),
    v4(103, 245, 224, 24),
    v4(104, 156, 80, 20),
    v4(140, 248, 64, 18),
    v4(140, 248, 128, 17),
    v4(146, 75, 0, 17),
    v4(151, 101, 0, 16),
    v4(157, 52, 64, 18),
    v4(167, 82, 0, 17),
    v4(167, 82, 128, 20),
    v4(167, 82, 160, 20),
    v4(167, 82, 224, 20),
    v4(172, 111, 64, 18),
    v4(185, 31, 16, 22),
    v4(199, 27, 72, 21),
    v4(199, 232, 0, 16),
];

/// As Cloudflare (the first 7) and Fastly (the other 2) published them, 2025.
const V6: [Ipv6Net; 9] = [
    v6(0x2400, 0xcb00, 32),
    v6(0x2405, 0x8100, 32),
    v6(0x2405, 0xb500, 32),
    v6(0x2606, 0x4700, 32),
    v6(0x2803, 0xf800, 32),
    v6(0x2a06, 0x98c0, 29),
    v6(0x2c0f, 0xf248, 32),
    v6(0x2a04, 0x4e40, 32),
    v6(0x2a04, 0x4e42, 32),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_the_list_is_written_whole() {
        // A typo in a prefix shows as host bits outside it.
        for net in V4 {
            assert_eq!(net, net.trunc());
        }
        for net in V6 {
            assert_eq!(net, net.trunc());
        }
        assert!(contains("104.16.1.2".parse().unwrap()));
        assert!(contains("2606:4700::1".parse().unwrap()));
        assert!(!contains("203.0.113.1".parse().unwrap()));
    }
}
