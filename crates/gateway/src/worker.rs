//! One thread, one runtime, its own connections to the app: nothing on the way of a request is shared.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::clock;
use crate::connection::{self, Door};
use crate::cuts::Cut;
use crate::heartbeat::Heart;
use crate::life::Life;
use crate::places::{Place, Places};
use crate::upstream;

/// A connection that was just accepted.
pub(crate) struct Accepted {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) door: Door,
    /// Says when it should end.
    pub(crate) closing: watch::Receiver<bool>,
    /// Its place among the connections that are open at once.
    pub(crate) place: Place,
}

/// The handle of a thread.
#[derive(Debug)]
pub(crate) struct Worker {
    accepted: mpsc::UnboundedSender<Accepted>,
    connections: Arc<AtomicUsize>,
    heart: Arc<Heart>,
}

impl Worker {
    /// Starts a thread. It ends when its handle is gone and its last connection has closed.
    pub(crate) fn start(number: usize) -> io::Result<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let name = format!("panoply-{number}");
        let heart = Arc::new(Heart::new(&name));
        let (count, beating) = (Arc::clone(&connections), Arc::clone(&heart));
        thread::Builder::new().name(name).spawn(move || runtime.block_on(work(receiver, count, beating)))?;
        Ok(Self { accepted: sender, connections, heart })
    }

    /// How many connections it holds.
    pub(crate) fn load(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// By which one hears whether it still answers.
    pub(crate) const fn heart(&self) -> &Arc<Heart> {
        &self.heart
    }

    /// Hands it one more.
    pub(crate) fn give(&self, accepted: Accepted) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        // A thread that is gone closes the connection by dropping it; there is none while the gateway runs.
        let _ = self.accepted.send(accepted);
    }
}

async fn work(
    mut receiver: mpsc::UnboundedReceiver<Accepted>,
    connections: Arc<AtomicUsize>,
    heart: Arc<Heart>,
) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            accepted = receiver.recv() => match accepted {
                Some(accepted) => begin(accepted, Arc::clone(&connections)),
                None => break,
            },
            _ = second.tick() => upstream::prune(),
            () = heart.asked() => heart.beat(),
        }
    }
    while connections.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn begin(accepted: Accepted, connections: Arc<AtomicUsize>) {
    let Accepted { stream, address, door, closing, place } = accepted;
    let life = Life::new(&place.places().terms, clock::now());
    let open = Arc::new(Open { connections, place, life, peer: address.ip(), closing: closing.clone() });
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "a connection could not be taken over"),
    };
    tokio::spawn(connection::serve(stream, address, door, closing, open));
}

/// One connection in the count, until all who have to do with it are done, in whatever way: an upgraded one lives on
/// as a tunnel.
#[derive(Debug)]
pub(crate) struct Open {
    connections: Arc<AtomicUsize>,
    place: Place,
    life: Arc<Life>,
    peer: IpAddr,
    closing: watch::Receiver<bool>,
}

impl Open {
    /// Says when it should end.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.clone()
    }

    /// How long it lives.
    pub(crate) const fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// It is closed, though its visitor was not done with it.
    pub(crate) fn cut(&self, cut: Cut) {
        self.place.places().cuts.count(cut, self.peer);
    }

    /// The terms it is held on.
    pub(crate) fn places(&self) -> &Places {
        self.place.places()
    }

    /// It is known whose it is.
    pub(crate) fn claim(&self, ip: IpAddr) -> Result<(), Cut> {
        self.place.claim(ip)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
