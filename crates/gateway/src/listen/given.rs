use std::env;
use std::net::TcpListener;
use std::process;

use listenfd::ListenFd;

use super::{Held, Role, Socket};
use crate::GatewayError;
use crate::config::Config;

/// Sockets that a process is given when it starts: by systemd, or by the gateway whose place it takes.
#[derive(Debug, Default)]
pub struct Given(Source);

#[derive(Debug)]
enum Source {
    /// From whoever started it.
    Parent(Vec<Descriptor>),
    /// From the one before.
    Before(Held),
}

/// A descriptor that is open from the start.
#[derive(Debug)]
struct Descriptor {
    number: usize,
    name: String,
    listener: TcpListener,
}

impl Default for Source {
    fn default() -> Self {
        Self::Parent(Vec::new())
    }
}

impl Given {
    /// Takes what systemd, or who does as it does, has opened for this process (sd_listen_fds(3)). What it was told of
    /// them is taken out of the environment, so this is for the first thing that a program does, while it has one thread.
    ///
    /// # Errors
    /// When a descriptor is no TCP socket that listens, or there are more than there are roles for.
    pub fn take() -> Result<Self, GatewayError> {
        let variable = |name| env::var(name).ok();
        let (whose, count) = (variable("LISTEN_PID"), variable("LISTEN_FDS"));
        if whose.and_then(|pid| pid.parse().ok()) != Some(process::id()) {
            return Ok(Self::default()); // meant for the process that started this one
        }
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let count = counted(count.as_deref().unwrap_or("0"))?;
        let mut sockets = ListenFd::from_env();
        let taken = (0..count).zip(names.split(':').chain(std::iter::repeat(""))).map(|(index, name)| {
            let descriptor =
                |listener| Descriptor { number: FIRST + index, name: name.to_owned(), listener };
            let taken = sockets.take_tcp_listener(index).ok().flatten().filter(|listener| {
                // A socket that is connected is somebody's visitor: `Accept=yes`.
                rustix::net::sockopt::socket_acceptconn(listener).unwrap_or(false)
            });
            taken.map(descriptor).ok_or_else(|| GatewayError::Setting {
                message: format!(
                    "descriptor {} (`{}`) was given to listen on, but it is no TCP socket that listens",
                    FIRST + index,
                    shown(name)
                ),
                hint: "write ListenStream= with a port or an address and a port, and Accept=no, into its socket unit"
                    .to_owned(),
            })
        });
        Ok(Self(Source::Parent(taken.collect::<Result<_, _>>()?)))
    }

    pub(crate) const fn from_before(held: Held) -> Self {
        Self(Source::Before(held))
    }

    /// Each with its role under `config`.
    ///
    /// # Errors
    /// When one fits no role, or two the same.
    pub(crate) fn held(self, config: &Config) -> Result<Held, GatewayError> {
        let descriptors = match self.0 {
            Source::Before(held) => return Ok(held),
            Source::Parent(descriptors) => descriptors,
        };
        let mut held = Held::default();
        for Descriptor { number, name, listener } in descriptors {
            let address = listener.local_addr().map_err(GatewayError::Thread)?;
            let by_address = || {
                Role::ALL.into_iter().find(|role| role.asked(config).is_some_and(|it| it.addr() == address))
            };
            let fault = |message: &str| GatewayError::Setting {
                message: format!("descriptor {number} (`{}`) listens on {address}, {message}", shown(&name)),
                hint:
                    "write FileDescriptorName=https, http or admin into its socket unit, one socket for each"
                        .to_owned(),
            };
            let role = Role::named(&name).or_else(by_address);
            let role = role.ok_or_else(|| fault("which is none of the configuration's addresses"))?;
            if held.of(role).is_some() {
                return Err(fault(&format!("but for {role} there is one already")));
            }
            let socket = Socket::opened(listener, role.asked(config)).map_err(GatewayError::Thread)?;
            held.0.push((role, socket));
        }
        Ok(held)
    }
}

/// How many there are.
fn counted(text: &str) -> Result<usize, GatewayError> {
    text.parse().ok().filter(|count| *count <= MOST).ok_or_else(|| GatewayError::Setting {
        message: format!("LISTEN_FDS is a number of sockets up to {MOST}, but it is `{}`", shown(text)),
        hint: "give one socket each for https, http and admin".to_owned(),
    })
}

/// What another has written, as far as it may meet a terminal.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}

/// `SD_LISTEN_FDS_START`
const FIRST: usize = 3;
const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_before_an_address_and_what_fits_nothing_is_named() {
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        for (names, roles) in [
            (&["https"][..], Ok(&[Role::Https][..])),
            (&["admin", "http"], Ok(&[Role::Admin, Role::Http])),
            (&["panoply.socket at https"], Ok(&[Role::Https])),
            (&["http at https"], Ok(&[Role::Http])),
            (&["panoply.socket at http", ""], Err("descriptor 4 (``)")),
            (&["", "http"], Err("descriptor 3 (``)")),
            (&["HTTPS"], Err("none of the configuration's")),
            (&["https", "panoply.socket at https"], Err("but for https there is one already")),
            (&["\u{1b}[2J"], Err("\\u{1b}[2J")),
        ] {
            let mut config = Config::default();
            let descriptors = names.iter().enumerate().map(|(index, name)| {
                let listener = listener();
                let address = crate::config::Listen::at(listener.local_addr().unwrap());
                match name.split_once(" at ") {
                    Some((_, "https")) => config.https = address,
                    Some((_, "http")) => config.http = Some(address),
                    _ => {}
                }
                let name = name.split(" at ").next().unwrap_or_default().to_owned();
                Descriptor { number: FIRST + index, name, listener }
            });
            let given = Given(Source::Parent(descriptors.collect()));
            match (given.held(&config), roles) {
                (Ok(held), Ok(roles)) => {
                    let found: Vec<_> = held.0.iter().map(|(role, _)| *role).collect();
                    assert_eq!(found, roles, "{names:?}");
                }
                (Err(error), Err(said)) => assert!(error.to_string().contains(said), "{names:?}: {error}"),
                (held, _) => panic!("{names:?}: {held:?}"),
            }
        }
    }

    #[test]
    fn no_number_of_sockets_takes_memory() {
        for (text, count) in [
            ("0", Some(0)),
            ("3", Some(3)),
            ("16", Some(16)),
            ("17", None),
            ("99999999999", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(counted(text).ok(), count, "{text:?}");
        }
    }
}
