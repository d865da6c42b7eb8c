//! Where visitors come in: what is listened on, and who accepts them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::GatewayError;
use crate::admin::Admin;
use crate::config::Config;
use crate::connection::Door;
use crate::listen::{Socket, Sockets};
use crate::places::Places;
use crate::worker::{Accepted, Worker};

/// A door that is open. Dropped, it accepts no more, and those who came in by it end what they have begun.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) socket: Socket,
    accepting: AbortHandle,
    /// Connections end when it is gone.
    _closing: watch::Sender<bool>,
}

impl Open {
    /// Accepts by `listener`, which is the socket's, unless visitors have to wait for another process.
    pub(super) fn new(
        socket: Socket,
        listener: TcpListener,
        door: Door,
        waits: watch::Receiver<bool>,
        workers: Arc<[Worker]>,
        places: Arc<ArcSwap<Places>>,
    ) -> Self {
        let (closing, closed) = watch::channel(false);
        let accepting = accept(listener, door, closed, waits, workers, places);
        Self { socket, accepting: tokio::spawn(accepting).abort_handle(), _closing: closing }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// All that has yet to be accepted on, so that nothing is left that can fail.
pub(super) struct Listeners {
    pub(super) https: TcpListener,
    pub(super) http: Option<TcpListener>,
    pub(super) admin: Option<Admin>,
}

impl Listeners {
    /// # Errors
    /// When there are no descriptors left, or the operators' token is not to be had.
    pub(super) fn of(sockets: &Sockets, config: &Config) -> Result<Self, GatewayError> {
        Ok(Self {
            https: sockets.https.accepting()?,
            http: sockets.http.as_ref().map(Socket::accepting).transpose()?,
            admin: sockets.admin.as_ref().map(|socket| Admin::open(config, socket)).transpose()?,
        })
    }
}

/// Accepts, and gives each connection to the thread that has the fewest.
///
/// Sockets shared by `SO_REUSEPORT` would balance by hash: a few busy HTTP/2 connections then pile on one core, and
/// closing a listener resets what the kernel had queued there.
async fn accept(
    listener: TcpListener,
    door: Door,
    closing: watch::Receiver<bool>,
    mut waits: watch::Receiver<bool>,
    workers: Arc<[Worker]>,
    places: Arc<ArcSwap<Places>>,
) {
    // A gateway that is gone accepts nobody.
    while waits.wait_for(|waits| !waits).await.is_ok() {
        let accepted = tokio::select! {
            biased;
            changed = waits.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            accepted = listener.accept() => accepted,
        };
        let accepted = accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address)));
        match accepted {
            Ok((stream, address)) => {
                let places = places.load_full();
                let place = match places.admit(address.ip()) {
                    Ok(place) => place,
                    Err(cut) => {
                        places.cuts.count(cut, address.ip());
                        continue;
                    }
                };
                if let Some(worker) = workers.iter().min_by_key(|worker| worker.load()) {
                    let (door, closing) = (door.clone(), closing.clone());
                    worker.give(Accepted { stream, address, door, closing, place });
                }
            }
            Err(error) => {
                // A visitor that left before it was accepted, or no descriptors left: then waiting is all there is.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
