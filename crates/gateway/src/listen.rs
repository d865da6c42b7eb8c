//! Sockets that listen.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket as Unbound, Type};

use crate::GatewayError;
use crate::config::{Config, Listen};

/// A socket that listens, for as long as somebody has it.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    asked: Listen,
    listener: Arc<TcpListener>,
}

impl Socket {
    /// Listens on `asked`; an IPv6 wildcard takes IPv4 too, whatever the system's default.
    ///
    /// # Errors
    /// When the address is not to be had.
    pub(crate) fn bind(asked: Listen) -> Result<Self, GatewayError> {
        let address = asked.addr();
        let bound = || {
            let socket = Unbound::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            if address.is_ipv6() {
                socket.set_only_v6(!address.ip().is_unspecified())?;
            }
            socket.set_reuse_address(true)?; // a restart need not wait for TIME_WAIT
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        };
        let listener = bound().map_err(|source| GatewayError::Listen { address, source })?;
        Ok(Self { asked, listener: Arc::new(listener) })
    }

    /// Where it listens; with port 0 asked for, the port that was found.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The same socket for one who accepts. What waits in its queue is lost to nobody while others have it too.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(crate) fn accepting(&self) -> Result<tokio::net::TcpListener, GatewayError> {
        self.listener.try_clone().and_then(tokio::net::TcpListener::from_std).map_err(GatewayError::Thread)
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.listener, &other.listener)
    }
}

/// Every socket that a configuration asks for.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    pub(crate) https: Socket,
    pub(crate) http: Option<Socket>,
    pub(crate) admin: Option<Socket>,
}

impl Sockets {
    /// Opens those that `before` does not have.
    ///
    /// # Errors
    /// When one of them is not to be had: those that were opened are closed again.
    pub(crate) fn open(config: &Config, before: Option<&Self>) -> Result<Self, GatewayError> {
        let open = |asked: Listen, role: fn(&Self) -> Option<&Socket>| {
            let same = before.and_then(role).filter(|socket| socket.asked == asked);
            // Whoever swaps two ports finds both taken, by us. Port 0 is another each time.
            let others = || before.into_iter().flat_map(Self::all);
            let taken_over = || others().find(|socket| socket.asked == asked && asked.addr().port() != 0);
            same.or_else(taken_over).cloned().map_or_else(|| Socket::bind(asked), Ok)
        };
        let admin = |asked| {
            open(asked, |sockets| sockets.admin.as_ref()).map_err(|error| match error {
                GatewayError::Listen { address, source } => GatewayError::Setting {
                    message: format!("cannot listen on {address} for operators: {source}"),
                    hint: "choose another address or port: `admin` in the file, or --admin".to_owned(),
                },
                other => other,
            })
        };
        Ok(Self {
            https: open(config.https, |sockets| Some(&sockets.https))?,
            http: config.http.map(|asked| open(asked, |sockets| sockets.http.as_ref())).transpose()?,
            admin: config.admin.map(admin).transpose()?,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Socket> {
        [Some(&self.https), self.http.as_ref(), self.admin.as_ref()].into_iter().flatten()
    }
}

const BACKLOG: i32 = 4096; // Linux clamps it to net.core.somaxconn

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_stays_is_the_same_and_one_that_cannot_be_had_is_refused() {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listen = |address: SocketAddr| address.to_string().parse().unwrap();
        let config =
            |https, http| Config { https: listen(https), http: Some(listen(http)), ..Config::default() };
        let (one, other) = (free(), free());
        let before = Sockets::open(&config(one, other), None).unwrap();
        let swapped = Sockets::open(&config(other, one), Some(&before)).unwrap();
        assert!(swapped.https.is(before.http.as_ref().unwrap()));
        assert!(swapped.http.unwrap().is(&before.https));
        let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = config(one, theirs.local_addr().unwrap());
        assert!(matches!(Sockets::open(&taken, Some(&before)), Err(GatewayError::Listen { .. })));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let before = Config { https: listen(any), ..Config::default() };
        let before = Sockets::open(&before, None).unwrap();
        let next = Sockets::open(&config(any, any), Some(&before)).unwrap();
        assert!(next.https.is(&before.https) && !next.http.unwrap().is(&before.https));
    }
}
