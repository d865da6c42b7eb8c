use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use panoply::SettingError;

use super::text::{Text, deserialize_text, shown};

/// Where the gateway listens: an IP address and a port, such as `[::]:8443`.
///
/// `[::]` is every address of the machine, those of IPv4 too. With port 0 the system chooses one, which start-up
/// tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(SocketAddr);

impl Listen {
    /// The address to bind.
    #[must_use]
    pub const fn addr(self) -> SocketAddr {
        self.0
    }

    /// Where a socket that was opened by another listens.
    pub(crate) const fn at(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Every address of the machine.
    pub(super) const fn on_all(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port))
    }
}

/// `[::]:8443`: 443 needs a privilege that a first try should not.
impl Default for Listen {
    fn default() -> Self {
        Self::on_all(8443)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Text for Listen {
    const EXPECTED: &'static str = "an IP address with a port, such as \"[::]:443\"";
}

deserialize_text!(Listen);

impl FromStr for Listen {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        match text.parse::<SocketAddr>() {
            Ok(addr) => Ok(Self(addr)),
            Err(_) => Err(SettingError::new(
                format!("an address to listen on is an IP address and a port, but `{}` is not", shown(text)),
                mend(text),
            )),
        }
    }
}

/// What the operator most likely meant.
fn mend(text: &str) -> String {
    let everywhere = text.strip_prefix("*:").or(text.strip_prefix(':')).unwrap_or(text);
    if let Ok(port) = everywhere.parse::<u16>() {
        return format!(
            "write `[::]:{port}` to listen on every address, or `127.0.0.1:{port}` for this machine alone"
        );
    }
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok()) {
        return format!("write `127.0.0.1:{port}` or `[::1]:{port}`");
    }
    match text.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => format!("add a port: `{ip}:443`"),
        Ok(IpAddr::V6(ip)) => format!("add a port: `[{ip}]:443`"),
        Err(_) => "write it as `[::]:443` or `127.0.0.1:8443`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_with_the_one_that_was_meant() {
        for (text, meant) in [
            (":8443", "`[::]:8443`"),
            ("*:443", "`[::]:443`"),
            ("8443", "`[::]:8443`"),
            ("localhost:80", "`127.0.0.1:80`"),
            ("127.0.0.1", "`127.0.0.1:443`"),
            ("::1", "`[::1]:443`"),
            ("[::]", "`[::]:443`"),
            ("shop.example:443", "`[::]:443`"),
            ("[::]:70000", "`[::]:443`"),
            ("", "`[::]:443`"),
        ] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(error.hint().contains(meant), "{text:?}: {}", error.hint());
        }
    }

    #[test]
    fn it_prints_as_it_is_written() {
        for text in ["[::]:443", "127.0.0.1:8443", "[::1]:80"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        assert_eq!(Listen::default().to_string(), "[::]:8443");
    }
}
