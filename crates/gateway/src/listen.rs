//! Sockets that listen.

mod given;
mod role;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket as Unbound, Type};

pub use given::Given;
pub(crate) use role::Role;

use crate::GatewayError;
use crate::config::{Config, Listen};

/// A socket that listens, for as long as somebody has it.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    /// By this the next configuration knows it again.
    pub(crate) asked: Listen,
    /// The file says nothing of its role: whoever opened it has said so.
    pub(crate) is_unasked: bool,
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
        Ok(Self { asked, is_unasked: false, listener: Arc::new(listener) })
    }

    /// One that another has opened, for what the file asks for as `asked`, if it asks for it.
    pub(crate) fn opened(listener: TcpListener, asked: Option<Listen>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = Listen::at(listener.local_addr()?);
        let is_unasked = asked.is_none();
        Ok(Self { asked: asked.unwrap_or(address), is_unasked, listener: Arc::new(listener) })
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

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
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
    /// Opens those that are not `held` already.
    ///
    /// # Errors
    /// When one of them is not to be had: those that were opened are closed again.
    pub(crate) fn open(config: &Config, held: &Held) -> Result<Self, GatewayError> {
        let open = |role, asked: Listen| {
            let same = held.of(role).filter(|socket| socket.asked == asked);
            // Whoever swaps two ports finds both taken, by us. Port 0 is another each time.
            let others = || held.0.iter().map(|(_, socket)| socket);
            let taken_over = || others().find(|socket| socket.asked == asked && asked.addr().port() != 0);
            same.or_else(taken_over).cloned().map_or_else(|| Socket::bind(asked), Ok)
        };
        let admin = |asked| {
            open(Role::Admin, asked).map_err(|error| match error {
                GatewayError::Listen { address, source } => GatewayError::Setting {
                    message: format!("cannot listen on {address} for operators: {source}"),
                    hint: "choose another address or port: `admin` in the file, or --admin".to_owned(),
                },
                other => other,
            })
        };
        Ok(Self {
            https: open(Role::Https, config.https)?,
            http: config.http.map(|asked| open(Role::Http, asked)).transpose()?,
            admin: config.admin.map(admin).transpose()?,
        })
    }

    /// What the next configuration finds.
    pub(crate) fn held(&self) -> Held {
        let roles = [Some(&self.https), self.http.as_ref(), self.admin.as_ref()];
        let held = Role::ALL.into_iter().zip(roles);
        Held(held.filter_map(|(role, socket)| Some((role, socket?.clone()))).collect())
    }
}

/// Sockets that are there before a configuration asks for them, each with its role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(pub(crate) Vec<(Role, Socket)>);

impl Held {
    pub(crate) fn of(&self, role: Role) -> Option<&Socket> {
        self.0.iter().find(|(its, _)| *its == role).map(|(_, socket)| socket)
    }

    /// What is served where the file says nothing of a role that a socket has nevertheless.
    pub(crate) fn settle(&self, config: &mut Config) {
        let unasked = |role| self.of(role).filter(|socket| socket.is_unasked).map(|socket| socket.asked);
        config.http = config.http.or_else(|| unasked(Role::Http));
        config.admin = config.admin.or_else(|| unasked(Role::Admin));
    }
}

const BACKLOG: i32 = 4096; // Linux clamps it to net.core.somaxconn

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_stays_is_the_same_and_one_that_cannot_be_had_is_refused() {
        let free = || SocketAddr::from(([127, 0, 0, 1], crate::supervise::free_port().unwrap()));
        let listen = |address: SocketAddr| address.to_string().parse().unwrap();
        let config =
            |https, http| Config { https: listen(https), http: Some(listen(http)), ..Config::default() };
        let (one, other) = (free(), free());
        let before = Sockets::open(&config(one, other), &Held::default()).unwrap();
        let swapped = Sockets::open(&config(other, one), &before.held()).unwrap();
        assert!(swapped.https.is(before.http.as_ref().unwrap()));
        assert!(swapped.http.unwrap().is(&before.https));
        let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = config(one, theirs.local_addr().unwrap());
        assert!(matches!(Sockets::open(&taken, &before.held()), Err(GatewayError::Listen { .. })));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let before = Config { https: listen(any), ..Config::default() };
        let before = Sockets::open(&before, &Held::default()).unwrap();
        let next = Sockets::open(&config(any, any), &before.held()).unwrap();
        assert!(next.https.is(&before.https) && !next.http.unwrap().is(&before.https));
    }

    #[test]
    fn what_nobody_asked_for_stays_for_as_long_as_nobody_asks_for_another() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let given = Socket::opened(listener, None).unwrap();
        let held = Held(vec![(Role::Admin, given.clone())]);
        let any = || "127.0.0.1:0".parse().unwrap();
        let mut silent = Config { https: any(), ..Config::default() };
        held.settle(&mut silent);
        assert!(Sockets::open(&silent, &held).unwrap().admin.unwrap().is(&given));
        let mut asking = Config { https: any(), admin: Some(any()), ..Config::default() };
        held.settle(&mut asking);
        assert!(!Sockets::open(&asking, &held).unwrap().admin.unwrap().is(&given));
    }
}
