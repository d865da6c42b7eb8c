//! The gateway at work: threads, doors, what is done beside the serving; and how a reload exchanges what is served.

mod doors;
mod succession;
mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use panoply::Period;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::doors::{Listeners, Open};
use crate::admin::View;
use crate::config::Config;
use crate::connection::Door;
use crate::gateway::{Gateway, Lasting};
use crate::heartbeat::Heartbeats;
use crate::listen::{Socket, Sockets};
use crate::places::Places;
use crate::renewal::Renewal;
use crate::served::Era;
use crate::takeover::LAST_COUNTS;
use crate::worker::Worker;
use crate::{GatewayError, places, proxies, reload, shared};

/// A gateway at work.
#[derive(Debug)]
pub struct Running {
    lasting: Lasting,
    workers: Arc<[Worker]>,
    renewal: Option<Renewal>,
    places: Arc<ArcSwap<Places>>,
    /// What is done beside the serving, from the start to the end.
    upkeep: JoinSet<()>,
    /// The same for the certificates that are served.
    certificates: JoinSet<()>,
    /// Ends with what is served.
    checks: JoinSet<()>,
    era: Era,
    sockets: Sockets,
    https: Option<Open>,
    http: Option<Open>,
    view: Arc<ArcSwap<View>>,
    admin: JoinSet<()>,
    /// Whether visitors have to wait for another process.
    waits: watch::Sender<bool>,
    /// By which the other process hears what is still counted here.
    telling: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn begin(gateway: Gateway) -> Result<Self, GatewayError> {
        let Gateway { lasting, sockets, served, renewal } = gateway;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Arc<[Worker]> =
            (0..threads).map(Worker::start).collect::<Result<_, _>>().map_err(GatewayError::Thread)?;
        if let Some(log) = &lasting.log {
            log.start().map_err(GatewayError::Thread)?;
        }
        let view = Arc::new(ArcSwap::from_pointee(View::of(&served, &lasting, &workers)));
        let all_places = Places::new(&served.config, places::room(), Arc::clone(&lasting.cuts));
        let mut running = Self {
            certificates: upkeep::of_certificates(&served, &lasting, renewal.clone()),
            renewal,
            checks: upkeep::checks(&served, &lasting),
            upkeep: upkeep::alone(&lasting),
            lasting,
            workers,
            places: Arc::new(ArcSwap::from_pointee(all_places)),
            era: Arc::new(ArcSwap::from(Arc::clone(&served))),
            sockets: sockets.clone(),
            https: None,
            http: None,
            view,
            admin: JoinSet::new(),
            waits: watch::channel(false).0,
            telling: None,
        };
        let listeners = Listeners::of(&sockets, &served.config)?;
        running.listen(listeners, sockets);
        Ok(running)
    }

    /// Serves what `config` says from now on: connections that are open meet it with their next request. What cannot be
    /// changed while the gateway runs stays, and is named in the log. It is checked whole before: with an error, nothing
    /// has changed. Counts, bans and tickets stay as they are.
    ///
    /// # Errors
    /// Whatever would keep a gateway with this configuration from starting.
    pub async fn reload(&mut self, config: Config) -> Result<(), GatewayError> {
        let now = self.lasting.world.unix_time();
        let reloaded = self.take(config).await;
        match &reloaded {
            Ok(()) => self.lasting.reloads.succeeded(now),
            Err(_) => self.lasting.reloads.failed(),
        }
        reloaded
    }

    /// Counts a configuration that was not even read: it is no TOML, say.
    pub fn refused_reload(&self) {
        self.lasting.reloads.failed();
    }

    async fn take(&mut self, config: Config) -> Result<(), GatewayError> {
        if let Some(reach) = &self.lasting.reach {
            reach.admit(&config)?;
        }
        let before = self.era.load_full();
        // A file may lie where reading takes its time: not on the thread that accepts.
        let read = tokio::task::spawn_blocking(move || proxies::read(&config)).await;
        let read = read.unwrap_or_else(|gone| Err(GatewayError::Thread(std::io::Error::other(gone))))?;
        let mut config = reload::what_can_change(&before.config, read);
        let (held, lasting) = (self.sockets.held(), self.lasting.clone());
        held.settle(&mut config);
        let sockets = Sockets::open(&config, &held)?;
        let listeners = Listeners::of(&sockets, &config)?;
        let is_continued = before.is_continued_by(&config);
        let earlier = Arc::clone(&before);
        // Files are read and keys derived: not on the thread that accepts.
        let next = tokio::task::spawn_blocking(move || {
            let next = earlier.next(config, &lasting.world, lasting.shared.clone())?;
            shared::follow(lasting.shared.as_deref(), &next.0.config)?;
            Ok::<_, GatewayError>(next)
        });
        let (mut next, renewal) = next.await.map_err(|error| GatewayError::Thread(error.into()))??;
        next.redirects_to(&sockets);
        self.lasting.lead_to_app(&next);

        // Nothing fails from here on.
        let next = Arc::new(next);
        let places = self.places.load().after(&next.config, places::room());
        self.places.store(Arc::new(places));
        if !Arc::ptr_eq(&before.tls, &next.tls) {
            self.certificates = upkeep::of_certificates(&next, &self.lasting, renewal.clone());
            self.renewal = renewal;
        }
        self.checks = upkeep::checks(&next, &self.lasting);
        self.view.store(Arc::new(View::of(&next, &self.lasting, &self.workers)));
        if is_continued {
            self.era.store(next);
        } else {
            self.era = Arc::new(ArcSwap::from(next));
            (self.https, self.http) = (None, None);
        }
        self.listen(listeners, sockets);
        Ok(())
    }

    /// Accepts where it is not yet accepted, and no more where it is not asked for.
    fn listen(&mut self, listeners: Listeners, sockets: Sockets) {
        let (era, log) = (&self.era, &self.lasting.log);
        let https = Door::Https { era: Arc::clone(era), log: log.clone() };
        let redirect = Door::Redirect { era: Arc::clone(era), log: log.clone() };
        let (https_before, http_before) = (self.https.take(), self.http.take());
        let open = |before: Option<Open>, socket: &Socket, listener, door| match before {
            Some(open) if open.socket.is(socket) => open,
            _ => self.open_door(socket.clone(), listener, door),
        };
        let https = open(https_before, &sockets.https, listeners.https, https);
        let http = sockets.http.as_ref().zip(listeners.http);
        let http = http.map(|(socket, listener)| open(http_before, socket, listener, redirect));
        (self.https, self.http) = (Some(https), http);
        self.admin = JoinSet::new();
        if let Some(admin) = listeners.admin {
            self.admin.spawn(admin.serve(Arc::clone(&self.view)));
        }
        self.sockets = sockets;
    }

    fn open_door(&self, socket: Socket, listener: TcpListener, door: Door) -> Open {
        let (workers, places) = (Arc::clone(&self.workers), Arc::clone(&self.places));
        Open::new(socket, listener, door, self.waits.subscribe(), workers, places)
    }

    /// Where it serves; with port 0 asked for, the port that was found.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn https(&self) -> std::io::Result<SocketAddr> {
        self.sockets.https.address()
    }

    /// Says to those who ask that it is not ready any more, goes on for the configuration's `shutdown.delay`, so that
    /// whoever sends visitors here has heard of it, and then does as [`drain`](Self::drain). `patience`: in place of
    /// the configuration's.
    pub async fn end(self, patience: Option<Duration>) -> usize {
        self.lasting.is_leaving.store(true, Ordering::Relaxed);
        let shutdown = self.era.load().config.shutdown.clone();
        tokio::time::sleep(shutdown.delay.map_or(Duration::ZERO, Period::duration)).await;
        self.drain(patience.unwrap_or(shutdown.patience.duration())).await
    }

    /// Accepts no more, lets requests end for up to `patience`, and tells how many connections were then still open:
    /// what was upgraded, to WebSockets say, is closed then.
    pub async fn drain(mut self, patience: Duration) -> usize {
        self.lasting.is_leaving.store(true, Ordering::Relaxed);
        self.upkeep.shutdown().await;
        self.certificates.shutdown().await;
        // The threads go away together with this handle; until then they finish what they have.
        (self.https, self.http) = (None, None);
        let ended = async {
            while self.open() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(patience, ended).await;
        let Lasting { world, counting, debts, log, .. } = self.lasting.clone();
        world.tell_of_lines_left_out();
        counting.hush();
        if let Some(telling) = self.telling.take() {
            let _ = tokio::time::timeout(LAST_COUNTS, telling).await;
        }
        let has_successor = *self.waits.borrow();
        let keep = move || {
            // What was let go is another's to write.
            if !has_successor {
                counting.save();
                debts.save();
            }
            if let Some(log) = log {
                log.close(LAST_LINES);
            }
        };
        let _ = tokio::task::spawn_blocking(keep).await;
        self.open()
    }

    /// Goes on with the access log, if there is one, in a new file where the old one was moved away.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &self.lasting.log {
            log.reopen();
        }
    }

    /// By which one hears whether all threads are well.
    #[must_use]
    pub fn heartbeats(&self) -> Heartbeats {
        Heartbeats::of(self.workers.iter().map(|worker| Arc::clone(worker.heart())))
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.workers.iter().map(Worker::load).sum()
    }
}

/// For what the access log still has to write; whoever should read its pipe may be gone.
const LAST_LINES: Duration = Duration::from_secs(2);
