//! What the app is told of the visitor.
//!
//! Everything that claims to say who asks is ours to say: what came from a peer that is no trusted proxy is
//! dropped, in every spelling that a CGI-like app would read as the same name (`X_Forwarded_For`).

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HOST, HeaderName};
use http::{HeaderMap, HeaderValue};
use panoply::{Scheme, Visitor};

use crate::supervise::Proof;
use crate::tls::Verified;

/// What all requests of one connection say of the visitor; made once.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    x_forwarded_for: HeaderValue,
    forwarded: HeaderValue,
    verified: Option<Verified>,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, scheme: Scheme) -> Self {
        let ip = address.ip().to_canonical();
        Self {
            address: SocketAddr::new(ip, address.port()),
            x_forwarded_for: value(format_args!("{ip}")),
            forwarded: value(format_args!("{};proto={}", Node(ip), scheme.as_str())),
            verified: None,
        }
    }

    /// With what the visitor's certificate says of him.
    pub(crate) fn verified(self, verified: Option<Verified>) -> Self {
        Self { verified, ..self }
    }

    /// Replaces every header that says who asks by what we know.
    ///
    /// A trusted proxy's own words stay, and the proxy itself is added to the end of them.
    pub(crate) fn tell(&self, visitor: Visitor, headers: &mut HeaderMap) {
        let peer = self.address.ip();
        let through_proxy = visitor.ip != peer;
        strip(headers, through_proxy);
        if through_proxy {
            append(headers, &X_FORWARDED_FOR, format_args!("{peer}"));
            append(headers, &FORWARDED, format_args!("{}", Node(peer)));
        } else {
            headers.insert(X_FORWARDED_FOR, self.x_forwarded_for.clone());
            headers.insert(FORWARDED, self.forwarded.clone());
        }
        if let Some(Verified { certificate, subject, .. }) = &self.verified {
            headers.insert(CLIENT_CERT, certificate.clone());
            headers.insert(X_CLIENT_CERT_SUBJECT, subject.clone());
        }
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(visitor.scheme.as_str()));
        let host = headers.get(HOST).cloned();
        let port = host.as_ref().and_then(port).unwrap_or(visitor.scheme.default_port());
        headers.insert(X_FORWARDED_PORT, port.into());
        if let Some(host) = host {
            headers.insert(X_FORWARDED_HOST, host);
        }
    }

    /// Tells a child whose preload knows the secret whose request this is.
    pub(crate) fn prove(&self, proof: &Proof, visitor: Visitor, headers: &mut HeaderMap) {
        headers.insert(Proof::HEADER, proof.vouch_for(SocketAddr::new(visitor.ip, self.address.port())));
    }
}

/// The port that a `Host` names.
fn port(host: &HeaderValue) -> Option<u16> {
    let (name, port) = host.to_str().ok()?.rsplit_once(':')?;
    // Within brackets a colon is the address's own.
    if name.starts_with('[') && !name.ends_with(']') { None } else { port.parse().ok() }
}

/// A node as `Forwarded` writes it: IPv6 in brackets and quotes (RFC 7239 §6).
struct Node(IpAddr);

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => write!(f, "for={ip}"),
            IpAddr::V6(ip) => write!(f, "for=\"[{ip}]\""),
        }
    }
}

/// Adds to a list header, joining several lines of it into one.
fn append(headers: &mut HeaderMap, name: &HeaderName, last: std::fmt::Arguments<'_>) {
    let mut list = String::new();
    for line in headers.get_all(name) {
        if let Ok(line) = line.to_str() {
            list.push_str(line);
            list.push_str(", ");
        }
    }
    // Writing to a String cannot fail.
    let _ = list.write_fmt(last);
    headers.insert(name.clone(), value(format_args!("{list}")));
}

/// Drops what claims to say who asks behind a body: an app may read trailers as if they stood in the head.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers, false);
}

/// Drops the words of others on who asks, and what could be read as such. One pass that finds nothing is what an ordinary request costs.
fn strip(headers: &mut HeaderMap, keep_the_proxys: bool) {
    let mut found: [Option<HeaderName>; MAX_AT_ONCE] = [const { None }; MAX_AT_ONCE];
    loop {
        let mut free = found.iter_mut();
        let mut more = false;
        for name in headers.keys() {
            if !is_claim(name.as_str(), keep_the_proxys) {
                continue;
            }
            match free.next() {
                Some(slot) => *slot = Some(name.clone()),
                None => more = true,
            }
        }
        for name in found.iter_mut().filter_map(Option::take) {
            headers.remove(name);
        }
        if !more {
            return;
        }
    }
}

/// Whether a header claims to say who asks.
///
/// One with an underscore is another header to an app that is told as CGI tells: `X_Role` is `X-Role` to it, and
/// `X_Forwarded_For` our own. It is nobody's, not even a trusted proxy's; nginx drops it too.
fn is_claim(name: &str, keep_the_proxys: bool) -> bool {
    if name.as_bytes().contains(&b'_') {
        return true;
    }
    // Most headers are cleared by their first letter.
    if !name.bytes().next().is_some_and(|first| FIRST_LETTERS.contains(&first)) {
        return false;
    }
    // Proxies that pass on what they were sent, as most do, know nothing of these: not even a trusted one's are taken.
    if name == Proof::HEADER.as_str() || is_certificate(name) {
        return true;
    }
    !keep_the_proxys && (CLAIMS.contains(&name) || name.starts_with("x-forwarded-"))
}

/// Whether a header says whose certificate was verified: RFC 9440's, ours, and what nginx's manuals call it.
fn is_certificate(name: &str) -> bool {
    ["client-cert", "x-client-cert", "x-ssl-client"].iter().any(|start| name.starts_with(start))
}

/// `x-forwarded-*` apart.
const CLAIMS: [&str; 8] = [
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
];

/// With what the claims begin, the proof of `panoply run` among them.
const FIRST_LETTERS: [u8; 4] = *b"cftx";

const MAX_AT_ONCE: usize = 8;
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const X_CLIENT_CERT_SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// An address, a port and the words between them are always a valid header value.
fn value(text: std::fmt::Arguments<'_>) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text.to_string()))
        .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(peer: &str, visitor: &str, sent: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "shop.example:8443".parse().unwrap());
        for (name, value) in sent {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let visitor = Visitor { ip: visitor.parse().unwrap(), scheme: Scheme::Https, ..Visitor::default() };
        let peer = Peer::new(format!("{peer}:40000").parse().unwrap(), Scheme::Https);
        peer.tell(visitor, &mut headers);
        let mut told: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        told.sort();
        told
    }

    fn ours(x_forwarded_for: &str, forwarded: &str) -> Vec<(String, String)> {
        [
            ("forwarded", forwarded),
            ("host", "shop.example:8443"),
            ("x-forwarded-for", x_forwarded_for),
            ("x-forwarded-host", "shop.example:8443"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-proto", "https"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    #[test]
    fn no_trailer_says_who_asks() {
        let sent =
            ["client-cert", "x-forwarded-for", "forwarded", "x_real_ip", "x-panoply-visitor", "x-checksum"];
        let mut trailers: HeaderMap =
            sent.iter().map(|name| (name.parse().unwrap(), HeaderValue::from_static("6.6.6.6"))).collect();
        strip_trailers(&mut trailers);
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-checksum"]);
    }

    #[test]
    fn only_our_word_reaches_the_app() {
        let spoof = "6.6.6.6";
        let mut names: Vec<String> = CLAIMS.iter().map(|name| (*name).to_owned()).collect();
        names.extend(
            [
                "x-forwarded-for",
                "x-forwarded-proto",
                "x-forwarded-prefix",
                "x-panoply-visitor",
                "client-cert",
                "client-cert-chain",
                "x-client-cert-subject",
                "x-ssl-client-s-dn",
            ]
            .map(Into::into),
        );
        let underscored: Vec<_> = names.iter().map(|name| name.replace('-', "_")).collect();
        names.extend(underscored);
        for name in &names {
            assert_eq!(
                told("192.0.2.1", "192.0.2.1", &[(name, spoof), (name, spoof)]),
                ours("192.0.2.1", "for=192.0.2.1;proto=https"),
                "{name}"
            );
        }
        let all: Vec<_> = names.iter().map(|name| (name.as_str(), spoof)).collect();
        assert_eq!(told("192.0.2.1", "192.0.2.1", &all), ours("192.0.2.1", "for=192.0.2.1;proto=https"));
        assert_eq!(
            told("[2001:db8::1]", "2001:db8::1", &[]),
            ours("2001:db8::1", "for=\"[2001:db8::1]\";proto=https")
        );
        assert_eq!(
            told("[::ffff:192.0.2.1]", "192.0.2.1", &[]),
            ours("192.0.2.1", "for=192.0.2.1;proto=https")
        );
    }

    #[test]
    fn the_first_letter_clears_no_claim() {
        for claim in CLAIMS.into_iter().chain(["x-forwarded-for", Proof::HEADER.as_str()]) {
            assert!(is_claim(claim, false), "{claim}");
            assert!(is_claim(&claim.replace('-', "_"), true) || !claim.contains('-'), "{claim}");
        }
        assert!(is_claim("role_of", true), "an underscore is enough");
    }

    #[test]
    fn not_even_a_trusted_proxy_says_whose_certificate_it_saw() {
        for name in ["client-cert", "client-cert-chain", "x-client-cert-subject", "x-ssl-client-verify"] {
            assert!(is_claim(name, true) && is_claim(&name.replace('-', "_"), true), "{name}");
        }
        assert!(!is_claim("x-ssl", true) && !is_claim("client", true));
    }

    #[test]
    fn the_port_is_the_one_that_the_host_names() {
        for (host, found) in [
            ("a:8443", Some(8443)),
            ("a", None),
            ("[::1]", None),
            ("[::1]:81", Some(81)),
            ("a:", None),
            ("a:x", None),
        ] {
            assert_eq!(port(&host.parse().unwrap()), found, "{host}");
        }
    }

    #[test]
    fn a_trusted_proxys_list_is_continued() {
        assert_eq!(
            told(
                "10.0.0.1",
                "192.0.2.1",
                &[("x-forwarded-for", "192.0.2.1"), ("x_forwarded_for", "6.6.6.6")]
            ),
            ours("192.0.2.1, 10.0.0.1", "for=10.0.0.1")
        );
    }
}
