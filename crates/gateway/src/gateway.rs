//! The server: what is opened and read before anybody is served.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use panoply::shared::Shared;
use panoply::{Clock, Shield, World};
use rustls_pki_types::CertificateDer;

use crate::access_log::AccessLog;
use crate::bans::Keeper;
use crate::config::{Config, RulePath};
use crate::counting::Counting;
use crate::cuts::Cuts;
use crate::debts::Debts;
use crate::dependencies::Dependencies;
use crate::listen::{Given, Sockets};
use crate::reload::Reloads;
use crate::renewal::Renewal;
use crate::running::Running;
use crate::sandbox::{self, Reach};
use crate::served::Served;
use crate::supervise::Proof;
use crate::{GatewayError, admin, privileges, proxies, shared, state};

/// A gateway whose files were read and whose sockets are open: nothing can fail half-way any more.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) lasting: Lasting,
    pub(crate) sockets: Sockets,
    pub(crate) served: Arc<Served>,
    pub(crate) renewal: Option<Renewal>,
}

/// What a reload leaves as it is.
#[derive(Clone, Debug)]
pub(crate) struct Lasting {
    pub(crate) world: Arc<World>,
    pub(crate) counting: Counting,
    pub(crate) debts: Debts,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) shared: Option<Arc<Shared>>,
    pub(crate) log: Option<Arc<AccessLog>>,
    pub(crate) dependencies: Dependencies,
    pub(crate) reloads: Arc<Reloads>,
    /// Why connections were closed.
    pub(crate) cuts: Arc<Cuts>,
    /// Where files can be read; `None`: wherever this user may.
    pub(crate) reach: Option<Arc<Reach>>,
    /// Whether it is about to end.
    pub(crate) is_leaving: Arc<AtomicBool>,
    /// Where the app that was started is.
    app: Arc<OnceLock<(SocketAddr, Option<Proof>)>>,
}

impl Gateway {
    /// Reads the certificate, and the keys where some site seals cookies, opens the sockets, builds the shields.
    ///
    /// # Errors
    /// When a file or an address is not to be had, or a site has no app.
    pub fn open(config: &Config) -> Result<Self, GatewayError> {
        Self::open_on(config, Given::default())
    }

    /// The same, on sockets that were `given`. What the configuration wants besides is opened.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when a socket that was given fits nothing.
    pub fn open_on(config: &Config, given: Given) -> Result<Self, GatewayError> {
        let mut config = proxies::read(config)?;
        let held = given.held(&config)?;
        held.settle(&mut config);
        let config = &config;
        privileges::check(config)?;
        let clock = Clock::system();
        let counting = Counting::open(config, &clock)?;
        let open = |file| privileges::as_writer(config, || AccessLog::open(file, &clock));
        let log = config.access_log.as_ref().map(open).transpose()?;
        let world = Arc::new(World::new(clock).counters(Arc::clone(&counting.counters)));
        // Without a folder nothing is kept, which is an error only where something has to be.
        let folder = state::folder(config.state.as_deref()).ok();
        let debts = Debts::open(Arc::clone(&world), folder.as_deref());
        let shared = shared::open(config)?;
        let (mut served, renewal) = Served::open(config.clone(), &world, shared.clone())?;
        let keeper = Arc::new(Keeper::open(Arc::clone(&world), folder.as_deref(), &counting)?);
        let sockets = Sockets::open(config, &held)?;
        served.redirects_to(&sockets);
        let lasting = Lasting {
            reloads: Arc::new(Reloads::since(world.unix_time())),
            world,
            counting,
            debts,
            keeper,
            shared,
            log,
            dependencies: Dependencies::default(),
            cuts: Arc::default(),
            reach: None,
            is_leaving: Arc::default(),
            app: Arc::default(),
        };
        Ok(Self { lasting, sockets, served: Arc::new(served), renewal })
    }

    /// Reads what [`open`](Self::open) reads, but opens no socket and no log, and starts nothing. What would be made on
    /// first use is made in the folder that `config` names as `state`.
    ///
    /// # Errors
    /// When a file is not to be had, or not right.
    pub fn check(config: &Config) -> Result<(), GatewayError> {
        let config = &proxies::read(config)?;
        privileges::check(config)?;
        let clock = Clock::system();
        let counting = Counting::open(config, &clock)?;
        let world = Arc::new(World::new(clock).counters(counting.counters));
        Served::open(config.clone(), &world, shared::open(config)?)?;
        config.admin.map_or(Ok(()), |admin| admin::gate(config, admin.addr()).map(drop))
    }

    /// Takes from this process what serving does not need: root, where the configuration names a user, and with
    /// `sandbox` all files but those that it names, programs, and system calls that no server makes. The log says what is
    /// in force. `reads`: other files and folders that are still read here. It holds for what this thread starts from now
    /// on, so nothing may have been started yet. Not for whoever starts an app, who would be confined as well.
    ///
    /// # Errors
    /// When there is no such user, or the system refuses.
    pub fn confine(&mut self, reads: &[PathBuf]) -> Result<(), GatewayError> {
        let config = &self.served.config;
        privileges::drop(config)?;
        match sandbox::close(config, reads)? {
            Some(sandbox) => {
                sandbox.tell();
                self.lasting.reach = sandbox.reach();
            }
            None => tracing::warn!("sandbox: off, as the configuration says; {}", sandbox::ALWAYS),
        }
        Ok(())
    }

    /// The little of that which no app inherits: no other process reads this one's memory, and no core dump has it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn conceal(&self) -> Result<(), GatewayError> {
        sandbox::conceal()
    }

    /// Where it serves; with port 0 asked for, the port that was found.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn https(&self) -> std::io::Result<SocketAddr> {
        self.sockets.https.address()
    }

    /// Where it redirects from.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.sockets.http.as_ref().and_then(|socket| socket.address().ok())
    }

    /// Where operators ask.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.sockets.admin.as_ref().and_then(|socket| socket.address().ok())
    }

    /// The certificates that visitors are shown, the site's own first.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let certificates = self.served.tls.certificates();
        certificates.find(None).map(|first| first.chain().to_vec()).unwrap_or_default()
    }

    /// Whether browsers can trust the certificate: a self-made one they cannot.
    #[must_use]
    pub fn trusted_certificate(&self) -> bool {
        self.served.tls.certificates().find(None).is_some_and(|first| first.trusted())
    }

    /// The shield of each site, and of each rule by its path. Sites are told by their place in the configuration.
    pub fn shields(&self) -> impl Iterator<Item = (usize, Option<&RulePath>, &Shield)> {
        self.served.routes.shields()
    }

    /// The app was started and is at `address`: sites that do not say where theirs is are its.
    ///
    /// With `proof`, each request shows the app whose it is.
    pub fn found_app(&self, address: SocketAddr, proof: Option<&Proof>) {
        let _ = self.lasting.app.set((address, proof.cloned()));
        self.lasting.lead_to_app(&self.served);
    }

    /// Where who has audited the app tells of it, also while the gateway runs.
    #[must_use]
    pub fn dependencies(&self) -> Dependencies {
        self.lasting.dependencies.clone()
    }

    /// The same of what was told elsewhere, before there was this gateway.
    pub fn tell_of(&mut self, dependencies: &Dependencies) {
        self.lasting.dependencies.clone_from(dependencies);
    }

    /// Starts one thread a core and begins to accept. It must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self) -> Result<Running, GatewayError> {
        Running::begin(self)
    }
}

impl Lasting {
    /// Leads sites that do not say where their app is to the one that was started, if one was.
    pub(crate) fn lead_to_app(&self, served: &Served) {
        let Some((address, proof)) = self.app.get() else { return };
        for app in served.routes.apps() {
            app.found(*address, proof.as_ref());
        }
    }
}
