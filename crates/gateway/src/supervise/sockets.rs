//! Who listens where, by the kernel's own word: `/proc/net/tcp` and `/proc/net/tcp6`.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A socket that takes connections, and the inode that file descriptors name it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) inode: u64,
}

impl Listener {
    /// Whether other machines can reach it.
    pub(super) fn is_public(&self) -> bool {
        !self.address.ip().to_canonical().is_loopback()
    }
}

/// Every listening TCP socket of this network namespace.
///
/// # Errors
/// Where the kernel shows no such table: another system, or a sandbox without `/proc`.
pub(super) fn listeners() -> io::Result<Vec<Listener>> {
    let mut listeners = parse(&table("/proc/net/tcp")?);
    // Without IPv6 there is no such file, and nobody listens there.
    match table("/proc/net/tcp6") {
        Ok(table) => listeners.extend(parse(&table)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(listeners)
}

fn table(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The listening sockets of a table; its heading, other states and lines of another shape are skipped.
fn parse(table: &str) -> Vec<Listener> {
    table.lines().filter_map(listener).collect()
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …` (proc_net_tcp in the kernel).
fn listener(line: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    if state != LISTEN {
        return None;
    }
    Some(Listener { address: address(local)?, inode: inode.parse().ok()? })
}

/// `0100007F:1F90`: words of the machine's byte order for the address, a plain number for the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = (port.len() == 4).then(|| hex(port)).flatten()?;
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(hex(ip)?.to_ne_bytes())),
        32 => {
            let mut octets = [0; 16];
            for (octets, at) in octets.chunks_exact_mut(4).zip((0..32).step_by(8)) {
                octets.copy_from_slice(&hex(ip.get(at..at + 8)?)?.to_ne_bytes());
            }
            IpAddr::from(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

/// `from_str_radix` alone would let a sign pass.
fn hex(digits: &str) -> Option<u32> {
    let only_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    only_digits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// `TCP_LISTEN` in the kernel's tcp_states.h.
const LISTEN: &str = "0A";

/// A line is about 150 bytes: room for 400,000 connections, and an end for a machine that has more.
const MOST_BYTES: u64 = 64 << 20;

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    const HEADING: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
    const REST: &str =
        "00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0";

    #[test]
    fn a_line_says_who_listens_where() {
        for (line, listener, public) in [
            (format!("   0: 0100007F:1F90 00000000:0000 0A {REST}"), Some("127.0.0.1:8080"), false),
            (format!("   1: 00000000:0BB8 00000000:0000 0A {REST}"), Some("0.0.0.0:3000"), true),
            (format!("   2: 0101007F:0050 00000000:0000 0A {REST}"), Some("127.0.1.1:80"), false),
            (format!("   3: 0500000A:0BB8 00000000:0000 0A {REST}"), Some("10.0.0.5:3000"), true),
            (
                format!("0: {}:0BB8 {}:0000 0A {REST}", "0".repeat(32), "0".repeat(32)),
                Some("[::]:3000"),
                true,
            ),
            (
                format!("0: 00000000000000000000000001000000:0BB8 {}:0000 0A {REST}", "0".repeat(32)),
                Some("[::1]:3000"),
                false,
            ),
            (
                format!("0: 0000000000000000FFFF00000100007F:0BB8 {}:0000 0A {REST}", "0".repeat(32)),
                Some("[::ffff:127.0.0.1]:3000"),
                false, // IPv4 loopback by its IPv6 name
            ),
            (
                format!("0: B80D0120000000000000000001000000:FFFF {}:0000 0A {REST}", "0".repeat(32)),
                Some("[2001:db8::1]:65535"),
                true,
            ),
            (format!("   4: 0100007F:1F90 0100007F:A1B2 01 {REST}"), None, false), // established
            (format!("   5: 0100007F:1F90 00000000:0000 06 {REST}"), None, false), // time-wait
        ] {
            let found = parse(&format!("{HEADING}\n{line}\n"));
            let address = found.first().map(|found| found.address.to_string());
            assert_eq!(address.as_deref(), listener, "{line}");
            assert_eq!(found.first().is_some_and(Listener::is_public), public, "{line}");
            assert!(found.iter().all(|found| found.inode == 4242), "{line}");
        }
    }

    #[test]
    fn what_is_no_such_line_is_skipped() {
        for line in [
            "",
            "0:",
            HEADING,
            "0: 0100007F:1F90 00000000:0000 0A",
            "0: 0100007F 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: :1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 0100007F: 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 0100007F:10000 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 0100007F:+F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: +100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 0100007:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 0100007G:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 -1",
            "0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 99999999999999999999",
            // 32 bytes, but not 32 digits: a character must not be cut in two
            "0: éééééééééééééééé:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: aéééééééééééééééb:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
        ] {
            assert_eq!(parse(line), [], "{line}");
        }
    }
}
