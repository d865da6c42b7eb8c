//! The PROXY protocol, versions 1 and 2: a load balancer that only passes bytes on says first whose they are.
//!
//! HAProxy's specification, "The PROXY protocol", §2. What it may say beyond the address is skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// At least so many bytes more belong to it.
    More(usize),
    /// It is whole. `None`: it names no address, as that of a health check, so the connection's own counts (§2.1, §2.2).
    Whole(Option<SocketAddr>),
}

/// Bytes that are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what came is no PROXY header")]
pub struct Malformed;

/// Reads a header of which `bytes` have come, none of them behind its end.
///
/// # Errors
/// When it can no longer become one, or is longer than 4 KiB.
pub fn read(bytes: &[u8]) -> Result<Step, Malformed> {
    let begins = |signature: &[u8]| {
        let length = bytes.len().min(signature.len());
        bytes.get(..length) == signature.get(..length)
    };
    if bytes.is_empty() {
        // The shortest there is, of either version.
        Ok(Step::More(SHORTEST_V1))
    } else if begins(V2) {
        version_2(bytes)
    } else if begins(V1) {
        version_1(bytes)
    } else {
        Err(Malformed)
    }
}

/// A line of text: `PROXY TCP4 192.0.2.1 198.51.100.1 4711 443`.
fn version_1(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        // Its shortest is `PROXY UNKNOWN`. Where a longer one ends only its end says.
        let most = LONGEST_V1.saturating_sub(bytes.len());
        let more = SHORTEST_V1.saturating_sub(bytes.len()).max(1);
        let is_over = bytes.contains(&b'\n') || more > most;
        return if is_over { Err(Malformed) } else { Ok(Step::More(more)) };
    };
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(Step::Whole(None));
    }
    let mut word = || words.next().ok_or(Malformed);
    let (from, to, port, port_to) = (word()?, word()?, word()?, word()?);
    if words.next().is_some() {
        return Err(Malformed);
    }
    let ip: IpAddr = match family {
        Some("TCP4") => (parsed::<Ipv4Addr>(from)?, parsed::<Ipv4Addr>(to)?).0.into(),
        Some("TCP6") => (parsed::<Ipv6Addr>(from)?, parsed::<Ipv6Addr>(to)?).0.into(),
        _ => return Err(Malformed),
    };
    port_number(port_to)?;
    Ok(Step::Whole(Some(SocketAddr::new(ip, port_number(port)?))))
}

fn parsed<T: FromStr>(word: &str) -> Result<T, Malformed> {
    word.parse().map_err(|_| Malformed)
}

/// Digits alone, and none for show: `+1` and `01` are read in two ways.
fn port_number(word: &str) -> Result<u16, Malformed> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if is_plain { parsed(word) } else { Err(Malformed) }
}

/// Sixteen bytes, and as many more as the last two of them say.
fn version_2(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
        return Ok(Step::More(HEAD - bytes.len()));
    };
    let &[.., command, family, high, low] = head else { return Err(Malformed) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || length > LONGEST_V2 {
        return Err(Malformed);
    }
    match length.checked_sub(rest.len()) {
        Some(0) => {}
        Some(more) => return Ok(Step::More(more)),
        None => return Err(Malformed),
    }
    match (command & 0x0f, family) {
        // From the balancer itself, whatever else it says.
        (LOCAL, _) => Ok(Step::Whole(None)),
        (PROXY, TCP_4) => source::<4>(rest),
        (PROXY, TCP_6) => source::<16>(rest),
        (PROXY, UNSPECIFIED) => Ok(Step::Whole(None)),
        (PROXY, UNIX) if rest.len() >= UNIX_PATHS => Ok(Step::Whole(None)),
        _ => Err(Malformed),
    }
}

/// Two addresses and two ports, the visitor's first.
fn source<const LENGTH: usize>(block: &[u8]) -> Result<Step, Malformed>
where
    IpAddr: From<[u8; LENGTH]>,
{
    let (ip, rest) = block.split_first_chunk::<LENGTH>().ok_or(Malformed)?;
    let (_, ports) = rest.split_first_chunk::<LENGTH>().ok_or(Malformed)?;
    let &[high, low, _, _, ..] = ports else { return Err(Malformed) };
    Ok(Step::Whole(Some(SocketAddr::new((*ip).into(), u16::from_be_bytes([high, low])))))
}

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const SHORTEST_V1: usize = b"PROXY UNKNOWN\r\n".len();
/// With two IPv6 addresses in full.
const LONGEST_V1: usize = 107;
const HEAD: usize = 16;
/// Balancers say a few hundred bytes; it is a visitor's certificate that would make it longer.
const LONGEST_V2: usize = 4096;

const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UNSPECIFIED: u8 = 0x00;
const TCP_4: u8 = 0x11;
const TCP_6: u8 = 0x21;
const UNIX: u8 = 0x31;
const UNIX_PATHS: usize = 216;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the gateway reads: no byte more than it was told to.
    fn feed(bytes: &[u8]) -> Result<(Option<SocketAddr>, usize), Malformed> {
        let mut at = 0;
        loop {
            match read(&bytes[..at])? {
                Step::More(more) => {
                    at = Some(at + more).filter(|end| *end <= bytes.len()).ok_or(Malformed)?;
                }
                Step::Whole(source) => return Ok((source, at)),
            }
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        [V2, &[command, family], &(rest.len() as u16).to_be_bytes(), rest].concat()
    }

    #[test]
    fn a_line_names_the_visitor() {
        for (line, source) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n", Some(Some("192.0.2.1:4711"))),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", Some(Some("[2001:db8::1]:4711"))),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 0 0\r\n", Some(Some("192.0.2.1:0"))),
            ("PROXY UNKNOWN\r\n", Some(None)),
            ("PROXY UNKNOWN whatever 1 2 3 4 5\r\n", Some(None)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\n", None),
            ("PROXY TCP4 192.0.2.1  198.51.100.1 4711 443\r\n", None),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443 \r\n", None),
            ("PROXY TCP4 2001:db8::1 2001:db8::2 4711 443\r\n", None),
            ("PROXY TCP6 192.0.2.1 198.51.100.1 4711 443\r\n", None),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n", None),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 04711 443\r\n", None),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 +4711 443\r\n", None),
            ("PROXY TCP4 192.0.2.01 198.51.100.1 4711 443\r\n", None),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n", None),
            ("PROXY UDP4 192.0.2.1 198.51.100.1 4711 443\r\n", None),
            ("PROXY \r\n         ", None),
            ("PROXY UNKNOWN\n          ", None),
            ("proxy UNKNOWN\r\n", None),
            ("GET / HTTP/1.1\r\n", None),
        ] {
            let source = source.map(|source| source.map(|text| text.parse().unwrap()));
            let read = feed(line.as_bytes()).ok();
            assert_eq!(read.map(|read| read.0), source, "{line:?}");
            assert!(read.is_none_or(|(_, length)| length == line.len()), "{line:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_V1 - 16));
        assert_eq!(feed(long.as_bytes()), Ok((None, LONGEST_V1)));
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_V1 - 15));
        assert_eq!(feed(longer.as_bytes()), Err(Malformed));
    }

    #[test]
    fn a_binary_header_names_the_visitor() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 1, 187];
        let v6 = [&[0x20, 1, 0xd, 0xb8], &[0; 11][..], &[1], &[0; 16], &[0x12, 0x67, 1, 187]].concat();
        let with_more = [&v4[..], &[4, 0, 1, 0, 0xee, 0, 0]].concat();
        for (name, header, source) in [
            ("IPv4", v2(0x21, TCP_4, &v4), Some(Some("192.0.2.1:4711"))),
            ("IPv6", v2(0x21, TCP_6, &v6), Some(Some("[2001:db8::1]:4711"))),
            ("IPv4 and more that is unknown", v2(0x21, TCP_4, &with_more), Some(Some("192.0.2.1:4711"))),
            ("a health check", v2(0x20, UNSPECIFIED, &[]), Some(None)),
            ("a health check that says whence", v2(0x20, TCP_4, &v4), Some(None)),
            ("no family", v2(0x21, UNSPECIFIED, &[1, 2, 3]), Some(None)),
            ("a Unix socket", v2(0x21, UNIX, &[b'x'; UNIX_PATHS]), Some(None)),
            ("half a Unix socket", v2(0x21, UNIX, &[b'x'; UNIX_PATHS - 1]), None),
            ("too short for IPv4", v2(0x21, TCP_4, &v4[..11]), None),
            ("too short for IPv6", v2(0x21, TCP_6, &v6[..35]), None),
            ("datagrams", v2(0x21, 0x12, &v4), None),
            ("an unknown family", v2(0x21, 0x41, &v4), None),
            ("an unknown command", v2(0x22, TCP_4, &v4), None),
            ("version 1 in version 2's form", v2(0x11, TCP_4, &v4), None),
            ("the longest", v2(0x20, UNSPECIFIED, &[0; LONGEST_V2]), Some(None)),
            ("longer", v2(0x20, UNSPECIFIED, &[0; LONGEST_V2 + 1]), None),
        ] {
            let source = source.map(|source| source.map(|text| text.parse().unwrap()));
            let read = feed(&[&header[..], b"\x16\x03\x01"].concat()).ok();
            assert_eq!(read.map(|read| read.0), source, "{name}");
            assert!(read.is_none_or(|(_, length)| length == header.len()), "{name} ends where it ends");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(ip: IpAddr, port: u16, behind: Vec<u8>) {
            let family = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!("PROXY {family} {ip} {ip} {port} 1\r\n");
            prop_assert_eq!(
                feed(&[line.as_bytes(), &behind].concat()),
                Ok((Some(SocketAddr::new(ip, port)), line.len()))
            );
            let (family, mut rest) = match ip {
                IpAddr::V4(ip) => (TCP_4, ip.octets().repeat(2)),
                IpAddr::V6(ip) => (TCP_6, ip.octets().repeat(2)),
            };
            rest.extend([port.to_be_bytes(), [0, 1]].concat());
            let header = v2(0x21, family, &rest);
            prop_assert_eq!(
                feed(&[&header, &behind[..]].concat()),
                Ok((Some(SocketAddr::new(ip, port)), header.len()))
            );
        }
    }
}
