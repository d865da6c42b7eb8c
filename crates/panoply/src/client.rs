//! Who asks: the other end of the socket, or whom a trusted proxy names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Deserializer};

use crate::buckets::{self, Key};
use crate::forwarded::{self, Element, Malformed, Node};
use crate::{Connection, Network, Rate, Scheme, SettingError, World, cdn};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    ip: IpAddr,
    standing: Standing,
}

/// How far an address stands for one visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It does.
    One,
    /// It is that of a proxy which nobody declared: many visitors.
    UndeclaredProxy,
    /// Nobody said who asks, neither the server nor a trusted proxy: all visitors.
    Unknown,
}

impl Client {
    /// The address, IPv4 written as IPv4; unspecified where nobody said.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Whether it is this machine itself.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.standing != Standing::UndeclaredProxy && self.ip.is_loopback()
    }

    /// Whether the address is one visitor's, or one household's, so that it may be blocked: a proxy's is
    /// everybody's.
    #[must_use]
    pub fn stands_for_one(&self) -> bool {
        self.standing == Standing::One
    }

    /// Whether nobody said who asks.
    pub(crate) fn is_unknown(&self) -> bool {
        self.standing == Standing::Unknown
    }

    /// What counts as one client: an IPv4 address, or an IPv6 /64, of which every household has at least one.
    pub(crate) fn key(&self) -> u128 {
        self.masked(128, 64)
    }

    /// What counts as one client, as text: `192.0.2.1`, `2001:db8::/64`.
    pub(crate) fn household(&self) -> String {
        match self.ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(_) => format!("{}/64", Ipv6Addr::from_bits(self.key())),
        }
    }

    /// The neighbourhood of a client: an IPv4 /24 or an IPv6 /48, the smallest that are routed by themselves.
    pub(crate) fn network(&self) -> u128 {
        self.masked(120, 48)
    }

    /// IPv4 is counted in its mapped form, whose /64 is no IPv6 client's.
    fn masked(&self, v4: u32, v6: u32) -> u128 {
        let (bits, prefix) = match self.ip {
            IpAddr::V4(ip) => (ip.to_ipv6_mapped().to_bits(), v4),
            IpAddr::V6(ip) => (Ipv6Addr::to_bits(ip), v6),
        };
        bits & u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
    }

    /// Says once a day, for each neighbourhood, what to write for a proxy that nobody declared.
    pub(crate) fn advise(&self, world: &World) {
        if self.standing != Standing::UndeclaredProxy {
            return;
        }
        let ip = self.ip;
        let key = Key::new(buckets::scope("undeclared proxy"), self.network(), self.network());
        if world.buckets.charge(key, Rate::DAILY, 1, world.now()).is_ok() {
            // A network asks from more addresses than the one that is seen.
            let proxy = cdn::name_of(ip).map_or_else(|| ip.to_string(), ToOwned::to_owned);
            tracing::warn!(
                "{ip} sends X-Forwarded-For and is no trusted proxy: its visitors count as one client, \
                 which is never blocked; if the proxy is yours, write trusted_proxies = [\"{proxy}\"]"
            );
        }
    }
}

impl From<IpAddr> for Client {
    fn from(ip: IpAddr) -> Self {
        Self { ip: ip.to_canonical(), standing: Standing::One }
    }
}

/// The proxies whose word on the visitor's address and scheme is taken.
///
/// The address is looked for from the right, hop by hop, for as long as the hop is a trusted proxy; the first
/// other one is the visitor. What stands further left the visitor may have written and is never read. Where
/// the nearest proxy names nobody, or a hop cannot be read or is hidden, the way ends at the last proxy, and
/// the visitor is unknown. At most 32 hops are looked at.
///
/// `X-Forwarded-For` comes before `Forwarded` where both are there: nearly every proxy writes the first and
/// lets a visitor's own `Forwarded` through. A proxy that writes `Forwarded` alone must therefore remove
/// `X-Forwarded-For`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// None holds another, in order.
    networks: Vec<Network>,
    /// How many of the nearest hops are trusted whoever they are.
    hops: usize,
}

impl TrustedProxies {
    /// These addresses and ranges, such as `10.0.0.0/8`, and networks by their names: `loopback`, `linklocal` and
    /// `uniquelocal` as Express has them, and `cloudflare`, `cloudfront`, `fastly`, whose lists this version knows.
    ///
    /// Express's `trust proxy` is this where it is a list, [`hops`](Self::hops) where it is a number,
    /// [`danger_everyone`](Self::danger_everyone) where it is true, and the default where it is false.
    ///
    /// # Errors
    /// When one is neither an address, a range nor a name, or when they are together every address there is.
    pub fn new<N: AsRef<str>>(proxies: impl IntoIterator<Item = N>) -> Result<Self, SettingError> {
        let proxies = proxies.into_iter().map(|proxy| proxy.as_ref().parse());
        proxies.collect::<Result<Vec<Proxies>, _>>()?.try_into()
    }

    /// These and those that a text names, one a line; behind `#` stands what is for people.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn and(self, text: &str) -> Result<Self, SettingError> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let more = Self::new(lines.filter(|line| !line.is_empty()))?;
        let both = Self::try_from(vec![Proxies(self.networks), Proxies(more.networks)])?;
        Ok(Self { hops: self.hops, ..both })
    }

    /// So many hops, whoever they are: where it is known how many proxies stand in front, and not where.
    ///
    /// It is right only where nobody can come in behind the first of them, and each of them adds to the header.
    #[must_use]
    pub const fn hops(count: usize) -> Self {
        Self { networks: Vec::new(), hops: count }
    }

    /// Everybody: the visitor is whoever the visitor says it is, unless a proxy in front replaces the header.
    #[must_use]
    pub const fn danger_everyone() -> Self {
        Self::hops(usize::MAX)
    }

    /// Whether `ip` is one of them.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        Network::any_contains(&self.networks, ip)
    }

    /// Whether the word of `ip` is taken, which is so many hops away.
    fn trust(&self, ip: IpAddr, hop: usize) -> bool {
        hop < self.hops || self.contains(ip)
    }

    /// Who asks on `connection`, and over what.
    pub(crate) fn client(&self, connection: &Connection, headers: &HeaderMap) -> (Client, Scheme) {
        let Some(peer) = connection.peer.map(|peer| Client::from(peer.ip())) else {
            let client = Client { ip: Ipv4Addr::UNSPECIFIED.into(), standing: Standing::Unknown };
            return (client, connection.scheme);
        };
        let has_addresses = headers.contains_key(X_FORWARDED_FOR);
        if !self.trust(peer.ip, 0) {
            let standing = match connection.named {
                false => Standing::Unknown,
                true if has_addresses && may_be_a_proxy(peer.ip) => Standing::UndeclaredProxy,
                true => Standing::One,
            };
            return (Client { standing, ..peer }, connection.scheme);
        }
        let (client, proto, hops) = if has_addresses {
            walk(self, peer, addresses(headers))
        } else {
            walk(self, peer, elements(headers))
        };
        (client, proto.or_else(|| proto_at(headers, hops)).unwrap_or(connection.scheme))
    }
}

impl<'de> Deserialize<'de> for TrustedProxies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Proxies>::deserialize(deserializer)?.try_into().map_err(SettingError::into_serde)
    }
}

impl TryFrom<Vec<Proxies>> for TrustedProxies {
    type Error = SettingError;

    fn try_from(proxies: Vec<Proxies>) -> Result<Self, SettingError> {
        let all: Vec<Network> = proxies.into_iter().flat_map(|proxies| proxies.0).collect();
        let merged = Network::merged(&all);
        // `0.0.0.0/1` and `128.0.0.0/1` are everybody as well.
        if let Some(all) = merged.iter().find(|network| network.prefix() == 0) {
            return Err(SettingError::new(
                format!(
                    "together they are every address there is, `{all}`, and everybody could say who he is"
                ),
                "write the addresses of your own proxies, such as `10.0.0.0/8`",
            ));
        }
        Ok(Self { networks: merged, hops: 0 })
    }
}

/// One item of a list: an address, a range, or the name of many.
struct Proxies(Vec<Network>);

impl FromStr for Proxies {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        if let Some(networks) = cdn::named(text) {
            return Ok(Self(networks.to_vec()));
        }
        if let Some((_, networks)) = RANGES.iter().find(|(name, _)| *name == text) {
            return networks.iter().map(|network| network.parse()).collect::<Result<_, _>>().map(Self);
        }
        if text.bytes().all(|byte| byte.is_ascii_alphabetic()) && !text.is_empty() {
            let ranges = RANGES.iter().map(|(name, _)| *name);
            let names: Vec<_> = cdn::names().chain(ranges).map(|name| format!("`{name}`")).collect();
            return Err(SettingError::new(
                format!("`{text}` is no network that is known by its name"),
                format!("write {}, or addresses such as `10.0.0.0/8`", names.join(", ")),
            ));
        }
        text.parse().map(|network| Self(vec![network]))
    }
}

impl<'de> Deserialize<'de> for Proxies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

/// Follows `hops` from `peer`, a trusted proxy: who asks, over what, and how many hops away.
fn walk(
    proxies: &TrustedProxies,
    peer: Client,
    hops: impl Iterator<Item = Result<Element, Malformed>>,
) -> (Client, Option<Scheme>, usize) {
    let (mut client, mut proto, mut count) = (peer, None, 0);
    for hop in hops.take(MOST_HOPS) {
        count += 1;
        let Ok(Element { node: Node::Ip(ip), proto: said }) = hop else {
            let proto = hop.ok().and_then(|element| element.proto);
            return (Client { standing: Standing::Unknown, ..client }, proto, count);
        };
        (client, proto) = (Client::from(ip), said);
        if !proxies.trust(client.ip, count) {
            break;
        }
    }
    if count == 0 {
        client.standing = Standing::Unknown;
    }
    (client, proto, count)
}

/// Every line, the last first: a proxy may add a line of its own in place of a member.
fn elements(headers: &HeaderMap) -> impl Iterator<Item = Result<Element, Malformed>> {
    headers.get_all(FORWARDED).iter().rev().flat_map(|line| forwarded::elements(line.as_bytes()))
}

fn addresses(headers: &HeaderMap) -> impl Iterator<Item = Result<Element, Malformed>> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    lines
        .flat_map(|line| forwarded::addresses(line.as_bytes()))
        .map(|node| node.map(|node| Element { node, proto: None }))
}

/// What was spoken `hops` away: that member of X-Forwarded-Proto, or the leftmost where proxies do not add
/// to it.
fn proto_at(headers: &HeaderMap, hops: usize) -> Option<Scheme> {
    let lines = headers.get_all(X_FORWARDED_PROTO).iter().rev();
    let members = lines.flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
    members.take(hops.max(1)).last().and_then(|member| forwarded::scheme(member.trim_ascii()))
}

/// Private, of this machine, or a content delivery network's: where a proxy stands, and visitors seldom do.
fn may_be_a_proxy(ip: IpAddr) -> bool {
    let is_private = match ip {
        IpAddr::V4(ip) => {
            // 100.64.0.0/10 is where carriers, and some clouds, keep what they share (RFC 6598).
            let is_shared = matches!(ip.octets(), [100, 64..=127, ..]);
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    is_private || cdn::name_of(ip).is_some()
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// As Express calls them.
const RANGES: [(&str, &[&str]); 3] = [
    ("linklocal", &["169.254.0.0/16", "fe80::/10"]),
    ("loopback", &["127.0.0.0/8", "::1"]),
    ("uniquelocal", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]),
];

/// More proxies than anybody has, fewer than a header has room for.
const MOST_HOPS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(peer: &str, headers: &[(&'static str, &str)]) -> (Client, Scheme) {
        let proxies = TrustedProxies::new(["10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1"]).unwrap();
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect::<Vec<_>>();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        proxies.client(&Connection::plain((peer.parse::<IpAddr>().unwrap(), 4711).into()), &map)
    }

    #[test]
    fn the_visitor_is_the_first_from_the_right_that_is_no_trusted_proxy() {
        const XFF: &str = "x-forwarded-for";
        const FWD: &str = "forwarded";
        for (peer, headers, ip, is_known) in [
            ("192.0.2.1", &[][..], "192.0.2.1", true),
            ("192.0.2.1", &[(XFF, "1.1.1.1")], "192.0.2.1", true), // a stranger's word is nothing
            ("::ffff:192.0.2.1", &[], "192.0.2.1", true),
            ("10.0.0.1", &[], "10.0.0.1", false), // its own health check, or everybody
            ("10.0.0.1", &[(XFF, "192.0.2.1")], "192.0.2.1", true),
            ("::ffff:10.0.0.1", &[(XFF, "192.0.2.1")], "192.0.2.1", true),
            ("10.0.0.1", &[(XFF, "6.6.6.6, 192.0.2.1")], "192.0.2.1", true), // leftmost spoof
            ("10.0.0.1", &[(XFF, "127.0.0.1, 192.0.2.1")], "192.0.2.1", true),
            ("10.0.0.1", &[(XFF, "6.6.6.6"), (XFF, "192.0.2.1")], "192.0.2.1", true), // two lines
            ("10.0.0.1", &[(XFF, "192.0.2.1, 10.0.0.2"), (XFF, "10.0.0.3")], "192.0.2.1", true),
            ("10.0.0.1", &[(XFF, "10.0.0.3, 10.0.0.2")], "10.0.0.3", true), // fewer strangers than hops
            ("10.0.0.1", &[(XFF, "192.0.2.1:8080")], "192.0.2.1", true),
            ("10.0.0.1", &[(XFF, "[2001:db8::1]:8080")], "2001:db8::1", true),
            ("10.0.0.1", &[(XFF, "unknown")], "10.0.0.1", false),
            ("10.0.0.1", &[(XFF, "192.0.2.1, bogus, 10.0.0.2")], "10.0.0.2", false),
            ("10.0.0.1", &[(XFF, "")], "10.0.0.1", false),
            ("10.0.0.1", &[(FWD, "for=6.6.6.6, for=192.0.2.1")], "192.0.2.1", true),
            ("10.0.0.1", &[(FWD, "for=\"[2001:db8::9]\", for=\"[2001:db8:1::2]:1\"")], "2001:db8::9", true),
            ("10.0.0.1", &[(FWD, "for=192.0.2.1, for=_hidden")], "10.0.0.1", false),
            ("10.0.0.1", &[(FWD, "for=\"6.6.6.6, for=192.0.2.1")], "192.0.2.1", true),
            ("10.0.0.1", &[(FWD, "for=6.6.6.6"), (XFF, "192.0.2.1")], "192.0.2.1", true),
        ] {
            let (client, _) = ask(peer, headers);
            assert_eq!(client.ip(), ip.parse::<IpAddr>().unwrap(), "{peer} {headers:?}");
            assert_eq!(client.stands_for_one(), is_known, "{peer} {headers:?}");
        }
    }

    #[test]
    fn proxies_have_names_and_are_never_everybody() {
        let text = "# ours\n10.0.0.0/8\n\n  fastly # and theirs\n2001:db8::7\n";
        let proxies = TrustedProxies::new(["cloudflare", "192.0.2.1"]).unwrap().and(text).unwrap();
        for (ip, trusted) in [
            ("104.16.1.1", true),
            ("2606:4700::1", true),
            ("::ffff:104.16.1.1", true),
            ("192.0.2.1", true),
            ("10.255.255.255", true),
            ("151.101.0.1", true),
            ("2001:db8::7", true),
            ("15.158.0.1", false),
            ("192.0.2.0", false),
            ("192.0.2.2", false),
            ("11.0.0.0", false),
            ("0.0.0.1", false),
            ("255.255.255.255", false),
            ("2001:db8::8", false),
            ("::", false),
        ] {
            assert_eq!(proxies.contains(ip.parse().unwrap()), trusted, "{ip}");
        }
        for (written, message, hint) in [
            (&["0.0.0.0/0"][..], "every address", "10.0.0.0/8"),
            (&["::/0"], "every address", "10.0.0.0/8"),
            (&["0.0.0.0/1", "128.0.0.0/1"], "`0.0.0.0/0`, and everybody", "10.0.0.0/8"),
            (&["::/1", "10.0.0.0/8", "c000::/2", "8000::/2"], "`::/0`, and everybody", "10.0.0.0/8"),
            (&["akamai"], "known by its name", "`cloudflare`, `cloudfront`, `fastly`"),
            (&["Loopback"], "known by its name", "`loopback`"),
        ] {
            let error = TrustedProxies::new(written).unwrap_err();
            assert!(error.to_string().contains(message), "{written:?}: {error}");
            assert!(error.hint().contains(hint), "{written:?}: {}", error.hint());
        }
        let error = TrustedProxies::new(["0.0.0.0/1"]).unwrap().and("128.0.0.0/1").unwrap_err();
        assert!(error.to_string().contains("every address"), "{error}");
    }

    #[test]
    fn no_more_than_32_hops_are_followed() {
        let line = format!("192.0.2.1{}", ", 10.0.0.2".repeat(32));
        assert_eq!(ask("10.0.0.1", &[("x-forwarded-for", &line)]).0.ip().to_string(), "10.0.0.2");
        let line = format!("192.0.2.1{}", ", 10.0.0.2".repeat(31));
        assert_eq!(ask("10.0.0.1", &[("x-forwarded-for", &line)]).0.ip().to_string(), "192.0.2.1");
    }

    #[test]
    fn the_scheme_is_a_trusted_proxys_word_alone() {
        const XFF: (&str, &str) = ("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.2");
        const XFP: &str = "x-forwarded-proto";
        for (peer, headers, scheme) in [
            ("192.0.2.1", &[(XFP, "https")][..], Scheme::Http),
            ("10.0.0.1", &[], Scheme::Http),
            ("10.0.0.1", &[(XFP, "https")], Scheme::Https),
            ("10.0.0.1", &[(XFP, "HTTPS")], Scheme::Https),
            ("10.0.0.1", &[(XFP, "javascript")], Scheme::Http),
            ("10.0.0.1", &[XFF, (XFP, "https")], Scheme::Https),
            ("10.0.0.1", &[XFF, (XFP, "https, http")], Scheme::Https), // the visitor's hop is the second
            ("10.0.0.1", &[XFF, (XFP, "https, http, http")], Scheme::Http), // the first is the visitor's own
            ("10.0.0.1", &[("forwarded", "for=192.0.2.1;proto=https")], Scheme::Https),
            (
                "10.0.0.1",
                &[("forwarded", "for=192.0.2.1;proto=https, for=10.0.0.2;proto=http")],
                Scheme::Https,
            ),
            ("10.0.0.1", &[("forwarded", "for=1.1.1.1;proto=https, for=192.0.2.1;proto=http")], Scheme::Http),
            ("10.0.0.1", &[("forwarded", "for=192.0.2.1"), (XFP, "https")], Scheme::Https),
        ] {
            assert_eq!(ask(peer, headers).1, scheme, "{peer} {headers:?}");
        }
    }

    #[test]
    fn a_proxy_that_nobody_declared_is_not_one_visitor() {
        const XFF: &[(&str, &str)] = &[("x-forwarded-for", "192.0.2.1")];
        for (peer, headers, stands_for_one) in [
            ("192.168.0.1", XFF, false),
            ("172.16.0.1", XFF, false),
            ("100.64.0.1", XFF, false),
            ("fd00::1", XFF, false),
            ("::1", XFF, false),
            ("104.16.1.1", XFF, false),
            ("192.168.0.1", &[], true),
            ("203.0.113.9", XFF, true), // or anybody would be one by sending the header
        ] {
            let (client, _) = ask(peer, headers);
            assert_eq!((client.stands_for_one(), client.ip()), (stands_for_one, peer.parse().unwrap()));
            assert!(!client.is_loopback(), "{peer}");
        }
    }

    #[test]
    fn a_balancer_that_names_nobody_is_not_one_visitor() {
        let proxies = TrustedProxies::new(["10.0.0.0/8"]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "192.0.2.7".parse().unwrap());
        for (peer, named, ip, stands_for_one) in [
            ([203, 0, 113, 9], true, [203, 0, 113, 9], true),
            ([203, 0, 113, 9], false, [203, 0, 113, 9], false), // what its visitors write is not its word
            ([10, 0, 0, 1], false, [192, 0, 2, 7], true),       // it adds headers, too
        ] {
            let connection = Connection { named, ..Connection::plain((peer, 4711).into()) };
            let (client, _) = proxies.client(&connection, &headers);
            assert_eq!(
                (client.ip(), client.stands_for_one()),
                (ip.into(), stands_for_one),
                "{peer:?} {named}"
            );
        }
    }

    #[test]
    fn a_household_is_one_client_and_a_neighbourhood_one_network() {
        let client = |ip: &str| Client::from(ip.parse::<IpAddr>().unwrap());
        for (one, other, same_client, same_network) in [
            ("192.0.2.1", "192.0.2.1", true, true),
            ("192.0.2.1", "::ffff:192.0.2.1", true, true),
            ("192.0.2.1", "192.0.2.2", false, true),
            ("192.0.2.1", "192.0.3.1", false, false),
            ("2001:db8::1", "2001:db8::ffff:1", true, true),
            ("2001:db8::1", "2001:db8:0:1::1", false, true),
            ("2001:db8::1", "2001:db8:1::1", false, false),
            ("0.0.0.0", "::", false, false),
        ] {
            let (one, other) = (client(one), client(other));
            assert_eq!(one.key() == other.key(), same_client, "{one:?} {other:?}");
            assert_eq!(one.network() == other.network(), same_network, "{one:?} {other:?}");
        }
    }
}
