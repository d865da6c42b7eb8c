//! The server: sockets, threads, and the way they begin and end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use panoply::shared::Shared;
use panoply::{Clock, Keys, Shield, World};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls_pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::access_log::AccessLog;
use crate::admin::{Admin, View};
use crate::bans::Keeper;
use crate::config::{Config, RulePath};
use crate::connection::Door;
use crate::counting::Counting;
use crate::dependencies::Dependencies;
use crate::places::Places;
use crate::renewal::Renewal;
use crate::route::Routes;
use crate::supervise::Proof;
use crate::tls::Tls;
use crate::worker::{Accepted, Worker};
use crate::{GatewayError, keys, listen, proxies, shared, state};

/// A gateway whose files were read and whose sockets are open: nothing can fail half-way any more.
#[derive(Debug)]
pub struct Gateway {
    https: std::net::TcpListener,
    http: Option<std::net::TcpListener>,
    tls: Arc<Tls>,
    shared: Option<Arc<Shared>>,
    routes: Arc<Routes>,
    admin: Option<Admin>,
    log: Option<Arc<AccessLog>>,
    world: Arc<World>,
    counting: Counting,
    keeper: Arc<Keeper>,
    dependencies: Dependencies,
    renewal: Option<Renewal>,
    config: Config,
}

impl Gateway {
    /// Reads the certificate, and the keys where some site seals cookies, opens the sockets, builds the shields.
    ///
    /// # Errors
    /// When a file or an address is not to be had, or a site has no app.
    pub fn open(config: &Config) -> Result<Self, GatewayError> {
        let config = &proxies::read(config)?;
        let clock = Clock::system();
        let counting = Counting::open(config, &clock)?;
        let log = config.access_log.as_ref().map(|file| AccessLog::open(file, &clock)).transpose()?;
        let world = Arc::new(World::new(clock).counters(Arc::clone(&counting.counters)));
        let routes = routes(config, Arc::clone(&world))?;
        // Without a folder nothing is kept, which is an error only where something has to be.
        let folder = state::folder(config.state.as_deref()).ok();
        let keeper = Arc::new(Keeper::open(Arc::clone(&world), folder.as_deref(), &counting)?);
        let tls = Arc::new(Tls::open(config, Arc::clone(&world))?);
        let shared = shared::open(config)?;
        let renewal = Renewal::open(config, &tls, &world, shared.clone())?;
        Ok(Self {
            tls,
            renewal,
            shared,
            https: listen::bind(config.https.addr())?,
            http: config.http.as_ref().map(|http| listen::bind(http.addr())).transpose()?,
            routes: Arc::new(routes),
            admin: Admin::open(config)?,
            log,
            world,
            counting,
            keeper,
            dependencies: Dependencies::default(),
            config: config.clone(),
        })
    }

    /// Where it serves; with port 0 asked for, the port that was found.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn https(&self) -> std::io::Result<SocketAddr> {
        self.https.local_addr()
    }

    /// Where it redirects from.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Where operators ask.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// The certificates that visitors are shown, the site's own first.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.tls.certificates().find(None).map(|first| first.chain().to_vec()).unwrap_or_default()
    }

    /// Whether browsers can trust the certificate: a self-made one they cannot.
    #[must_use]
    pub fn trusted_certificate(&self) -> bool {
        self.tls.certificates().find(None).is_some_and(|first| first.trusted())
    }

    /// The shield of each site, and of each rule by its path. Sites are told by their place in the configuration.
    pub fn shields(&self) -> impl Iterator<Item = (usize, Option<&RulePath>, &Shield)> {
        self.routes.shields()
    }

    /// The app was started and is at `address`: sites that do not say where theirs is are its.
    ///
    /// With `proof`, each request shows the app whose it is.
    pub fn found_app(&self, address: SocketAddr, proof: Option<&Proof>) {
        for app in self.routes.apps() {
            app.found(address, proof);
        }
    }

    /// Where who has audited the app tells of it, also while the gateway runs.
    #[must_use]
    pub fn dependencies(&self) -> Dependencies {
        self.dependencies.clone()
    }

    /// Starts one thread a core and begins to accept. It must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self) -> Result<Running, GatewayError> {
        let https_port = self.https.local_addr().map_or(443, |address| address.port());
        let places = Arc::new(Places::new(&self.config, places()));
        let (closing, receiver) = watch::channel(false);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = (0..threads)
            .map(|number| Worker::start(number, receiver.clone()))
            .collect::<Result<Arc<[_]>, _>>()
            .map_err(GatewayError::Thread)?;

        if let Some(log) = &self.log {
            log.start().map_err(GatewayError::Thread)?;
        }
        let answers = self.renewal.as_ref().map(Renewal::answers);
        let orders = self.renewal.as_ref().map(Renewal::tally);
        let https = Door::Https {
            tls: Arc::clone(&self.tls),
            routes: Arc::clone(&self.routes),
            log: self.log.clone(),
        };
        let redirect =
            Door::Redirect { routes: Arc::clone(&self.routes), https_port, answers, log: self.log.clone() };
        let mut accepting = JoinSet::new();
        let keeper = Arc::clone(&self.keeper);
        accepting.spawn(async move { keeper.keep().await });
        accepting.spawn(self.counting.clone().keep());
        accepting.spawn(Arc::clone(&self.tls).keep(self.shared));
        if let Some(renewal) = self.renewal {
            accepting.spawn(renewal.keep());
        }
        let counting = self.counting.clone();
        if let Some(admin) = self.admin {
            let view = View {
                config: self.config,
                routes: self.routes,
                world: self.world,
                counting: self.counting,
                keeper: self.keeper,
                log: self.log.clone(),
                dependencies: self.dependencies,
                orders,
                cuts: Arc::clone(&places.cuts),
                workers: Arc::clone(&workers),
                tls: self.tls,
            };
            accepting.spawn(admin.serve(Arc::new(view)));
        }
        for (listener, door) in
            std::iter::once((self.https, https)).chain(self.http.map(|http| (http, redirect)))
        {
            let listener = TcpListener::from_std(listener).map_err(GatewayError::Thread)?;
            accepting.spawn(accept(listener, door, Arc::clone(&workers), Arc::clone(&places)));
        }
        Ok(Running { accepting, closing, workers, counting, log: self.log })
    }
}

/// A gateway at work.
#[derive(Debug)]
pub struct Running {
    accepting: JoinSet<()>,
    closing: watch::Sender<bool>,
    workers: Arc<[Worker]>,
    counting: Counting,
    log: Option<Arc<AccessLog>>,
}

impl Running {
    /// Accepts no more, lets requests end for up to `grace`, and tells how many connections were then still open.
    pub async fn drain(mut self, grace: Duration) -> usize {
        self.accepting.shutdown().await;
        // The threads go away together with this handle; until then they finish what they have.
        self.closing.send_replace(true);
        let ended = async {
            while self.open() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(grace, ended).await;
        let (counting, log) = (self.counting.clone(), self.log.clone());
        let keep = move || {
            counting.save();
            if let Some(log) = log {
                log.close(LAST_LINES);
            }
        };
        let _ = tokio::task::spawn_blocking(keep).await;
        self.open()
    }

    /// Goes on with the access log, if there is one, in a new file where the old one was moved away.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.workers.iter().map(Worker::load).sum()
    }
}

/// Accepts, and gives each connection to the thread that has the fewest.
///
/// Sockets shared by `SO_REUSEPORT` would balance by hash: a few busy HTTP/2 connections then pile on one core, and
/// closing a listener resets what the kernel had queued there.
async fn accept(listener: TcpListener, door: Door, workers: Arc<[Worker]>, places: Arc<Places>) {
    loop {
        let accepted =
            listener.accept().await.and_then(|(stream, address)| Ok((stream.into_std()?, address)));
        match accepted {
            Ok((stream, address)) => {
                let place = match places.admit(address.ip()) {
                    Ok(place) => place,
                    Err(cut) => {
                        places.cuts.count(cut, address.ip());
                        continue;
                    }
                };
                if let Some(worker) = workers.iter().min_by_key(|worker| worker.load()) {
                    worker.give(Accepted { stream, address, door: door.clone(), place });
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

/// How many connections may be open at once: each needs a descriptor, and so does the one to the app.
fn places() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(MAX_FILES).min(MAX_FILES);
    files.saturating_sub(RESERVED_FILES).max(2) / 2
}

fn routes(config: &Config, world: Arc<World>) -> Result<Routes, GatewayError> {
    let base = Shield::in_front().world(world).trusted_proxies(config.trusted_proxies.clone());
    let routes = |keys: Option<&Keys>| {
        Routes::new(&base, config, keys).map_err(|error| GatewayError::Setting {
            message: error.to_string(),
            hint: error.hint().to_owned(),
        })
    };
    let without = routes(None)?;
    let needs = without.shields().any(|(.., shield)| shield.needs_keys());
    let wants = without.shields().any(|(.., shield)| shield.wants_keys());
    if needs || config.keys.is_some() {
        return routes(Some(&keys::read(config)?));
    }
    if !wants {
        return Ok(without);
    }
    if config.store.url.is_some() {
        tracing::warn!(
            "counts are shared, but no keys are named: machines count a user name apart unless they have the same file \
             `keys` in their state folders\nhint: write keys = {{ file = \"…\" }} on all of them"
        );
    }
    match keys::read(config) {
        Ok(keys) => routes(Some(&keys)),
        // A login is counted without as well, and a disk that cannot be written is no reason not to serve.
        Err(error) => {
            tracing::warn!(%error, "no keys: who logged in before is not known after a restart");
            Ok(without)
        }
    }
}

/// For what the access log still has to write; whoever should read its pipe may be gone.
const LAST_LINES: Duration = Duration::from_secs(2);
const MAX_FILES: usize = 1 << 20;
/// Listeners, log, certificates, and each thread's own.
const RESERVED_FILES: usize = 128;
