use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::{Connection, Scheme};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    ip: IpAddr,
}

impl Client {
    /// The address, IPv4 written as IPv4; unspecified where nobody said.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }
}

/// The proxies whose word on the visitor's address is taken.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Who asks on `connection`, and over what.
    pub(crate) fn client(&self, connection: &Connection, _headers: &HeaderMap) -> (Client, Scheme) {
        let ip = connection.peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip().to_canonical());
        (Client { ip }, connection.scheme)
    }
}
