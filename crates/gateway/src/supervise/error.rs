use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why there is no app to stand in front of.
///
/// [`Display`](fmt::Display) is the message, [`hint`](Self::hint) the mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// The system has no port for it.
    #[error("no port of 127.0.0.1 is free")]
    NoPort(#[source] io::Error),
    /// The folder for the preload is not ours to write.
    #[error("the preload could not be written to `{}`", state.display())]
    State {
        /// The folder.
        state: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such program, or it may not be run.
    #[error("`{program}` could not be started")]
    Start {
        /// What was to be run.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is gone before it took a connection.
    #[error("the app ended before it listened on port {port}: {}", Ending(*status))]
    Ended {
        /// Where it should have listened.
        port: u16,
        /// How it ended.
        status: ExitStatus,
    },
    /// It listens where everybody can go around the shield.
    #[error("the app listens on {0}, where others reach it without passing the shield")]
    PublicPort(SocketAddr),
    /// It listens, but where nobody told it to.
    #[error("the app listens on {found}, but was told PORT={told}")]
    OtherPort {
        /// Where it listens.
        found: SocketAddr,
        /// Where it should.
        told: u16,
    },
    /// It runs, but takes no connection.
    #[error("the app does not listen on port {port} after {} seconds", waited.as_secs())]
    Silent {
        /// Where it should.
        port: u16,
        /// How long it had.
        waited: Duration,
    },
}

impl AppError {
    /// How to mend it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoPort(_) => "end what holds the ports, or widen net.ipv4.ip_local_port_range".into(),
            Self::State { .. } => {
                "name a folder that you may write with --state, or go without with --no-preload".into()
            }
            Self::Start { program, source } => match source.kind() {
                io::ErrorKind::NotFound => {
                    format!("is `{program}` installed and on PATH? A line for the shell goes in `sh -c '…'`")
                }
                _ => format!("may this user run `{program}`?"),
            },
            Self::Ended { port, status } => match status.code() {
                Some(0) => {
                    "panoply runs the app in the foreground: start it without going to the background".into()
                }
                Some(127) => "the shell found no such program: is it installed and on PATH?".into(),
                _ => format!(
                    "see what the app wrote above; `PORT={port}` before the same command starts it alone"
                ),
            },
            Self::PublicPort(address) => {
                let loopback = if address.is_ipv6() { "::1" } else { "127.0.0.1" };
                format!(
                    "let the app listen on {loopback} alone; where a firewall keeps others out, --allow-public-port"
                )
            }
            Self::OtherPort { found, .. } => {
                let ip = found.ip().to_canonical();
                let host = match ip {
                    _ if ip.is_unspecified() => "127.0.0.1".into(),
                    std::net::IpAddr::V6(ip) => format!("[{ip}]"),
                    std::net::IpAddr::V4(ip) => ip.to_string(),
                };
                format!(
                    "let it read its port from the environment (process.env.PORT), or start it yourself and use \
                     `panoply serve --to http://{host}:{}`",
                    found.port()
                )
            }
            Self::Silent { .. } => {
                "let it read its port from the environment (process.env.PORT) and listen on 127.0.0.1".into()
            }
        }
    }
}

/// The code that a shell would report for `status`: the program's own, or 128 and the number of the signal.
#[must_use]
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

struct Ending(ExitStatus);

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => write!(f, "nobody knows how"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_and_how_to_mend_it() {
        for (error, message, hint) in [
            (
                AppError::OtherPort { found: "0.0.0.0:3000".parse().unwrap(), told: 41234 },
                "the app listens on 0.0.0.0:3000, but was told PORT=41234",
                "`panoply serve --to http://127.0.0.1:3000`",
            ),
            (
                AppError::OtherPort { found: "[::1]:3000".parse().unwrap(), told: 41234 },
                "the app listens on [::1]:3000, but was told PORT=41234",
                "`panoply serve --to http://[::1]:3000`",
            ),
            (
                AppError::PublicPort("0.0.0.0:41234".parse().unwrap()),
                "the app listens on 0.0.0.0:41234, where others reach it without passing the shield",
                "let the app listen on 127.0.0.1 alone",
            ),
            (
                AppError::Ended { port: 41234, status: ExitStatus::from_raw(3 << 8) },
                "the app ended before it listened on port 41234: exit code 3",
                "`PORT=41234` before the same command",
            ),
            (
                AppError::Ended { port: 41234, status: ExitStatus::from_raw(9) },
                "the app ended before it listened on port 41234: signal 9",
                "what the app wrote above",
            ),
            (
                AppError::Silent { port: 41234, waited: Duration::from_secs(60) },
                "the app does not listen on port 41234 after 60 seconds",
                "process.env.PORT",
            ),
            (
                AppError::Start { program: "npn".into(), source: io::ErrorKind::NotFound.into() },
                "`npn` could not be started",
                "is `npn` installed and on PATH?",
            ),
        ] {
            assert_eq!(error.to_string(), message);
            assert!(error.hint().contains(hint), "{message}: {}", error.hint());
        }
    }

    #[test]
    fn an_exit_code_is_the_one_of_a_shell() {
        for (raw, code) in [(0, 0), (3 << 8, 3), (255 << 8, 255), (15, 143), (9, 137)] {
            assert_eq!(exit_code(ExitStatus::from_raw(raw)), code, "{raw:#x}");
        }
    }
}
