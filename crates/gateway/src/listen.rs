//! Sockets that listen.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::GatewayError;

/// Listens on `address`; an IPv6 wildcard takes IPv4 too, whatever the system's default.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_reuse_address(true)?; // a restart need not wait for TIME_WAIT
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bound().map_err(|source| GatewayError::Listen { address, source })
}

const BACKLOG: i32 = 4096; // Linux clamps it to net.core.somaxconn
