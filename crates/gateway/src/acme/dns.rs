//! Proofs by DNS: by a program that knows the operator's provider, or by an update of the zone (RFC 2136).

mod hook;
mod update;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::trouble::Trouble;
use crate::GatewayError;
use update::Update;
pub use update::{Algorithm, Tsig};

/// How a TXT record comes into the zone and out of it.
#[derive(Clone)]
pub struct Dns {
    how: How,
    deadline: Duration,
    wait: Duration,
}

#[derive(Clone)]
enum How {
    Hook { program: String, arguments: Vec<String> },
    Update(Update),
}

impl Dns {
    /// By a program, which is called without a shell as `PROGRAM ARGUMENTS… present NAME VALUE`, and `cleanup` instead
    /// of `present` when the proof is over. It has to be done when it ends with status 0, and is ended after
    /// `deadline`.
    #[must_use]
    pub fn hook(program: &str, arguments: &[String], deadline: Duration) -> Self {
        let how = How::Hook { program: program.to_owned(), arguments: arguments.to_vec() };
        Self { how, deadline, wait: Duration::ZERO }
    }

    /// By updates that are sent to `server`, the primary of the zone, signed with `key`. Without a `zone` the server is
    /// asked which one has a name. Each answer has to come within `deadline`.
    ///
    /// # Errors
    /// When the key or the zone has a name that is none.
    pub fn update(
        server: SocketAddr,
        zone: Option<&str>,
        key: Tsig,
        deadline: Duration,
    ) -> Result<Self, GatewayError> {
        Ok(Self { how: How::Update(Update::new(server, zone, key)?), deadline, wait: Duration::ZERO })
    }

    /// How long to wait before the authority is called, so that all servers of the zone know.
    #[must_use]
    pub fn wait_for(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// `now`: in seconds since 1970.
    pub(super) async fn place(&self, record: &str, value: &str, now: u64) -> Result<(), Trouble> {
        match &self.how {
            How::Hook { program, arguments } => {
                let words = ["present", record, value];
                let run = hook::run(program, arguments, self.deadline, words).await;
                let hint = "try the program by hand: `PROGRAM ARGUMENTS present NAME VALUE`";
                run.map_err(|reason| Trouble::refused(reason, hint))
            }
            How::Update(update) => {
                let placed = tokio::time::timeout(self.deadline, update.place(record, value, now)).await;
                let placed = placed.unwrap_or_else(|_| Err("it does not answer in time".to_owned()));
                let reason = |reason| format!("the DNS server did not take the update: {reason}");
                placed.map_err(|error| {
                    Trouble::refused(reason(error), "let the server allow this key to update the zone")
                })
            }
        }
    }

    /// Takes the record out again, and says so where it stays.
    pub(super) async fn remove(&self, record: &str, value: &str, now: u64) {
        if let Err(error) = self.take_out(record, value, now).await {
            tracing::warn!(
                record,
                error,
                hint = "take the TXT record out by hand",
                "a proof stays in the zone"
            );
        }
    }

    /// The same for one that perhaps never came in.
    pub(super) async fn take_out(&self, record: &str, value: &str, now: u64) -> Result<(), String> {
        match &self.how {
            How::Hook { program, arguments } => {
                hook::run(program, arguments, self.deadline, ["cleanup", record, value]).await
            }
            How::Update(update) => {
                let removed = tokio::time::timeout(self.deadline, update.remove(record, value, now)).await;
                removed.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
            }
        }
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Dns");
        match &self.how {
            How::Hook { program, .. } => shown.field("hook", program),
            How::Update(update) => shown.field("server", &update.server()),
        };
        shown.field("wait", &self.wait).finish_non_exhaustive()
    }
}
