use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use panoply::shared::Shared;
use panoply::store::Standing;
use panoply::{Counted, World};
use serde::Serialize;

use crate::access_log::AccessLog;
use crate::acme::Tally;
use crate::bans::Keeper;
use crate::config::Config;
use crate::counting::Counting;
use crate::cuts::Cuts;
use crate::dependencies::Dependencies;
use crate::gateway::Lasting;
use crate::metrics::{Figures, Traffic};
use crate::reload::Reloads;
use crate::route::Routes;
use crate::served::Served;
use crate::tls::Tls;
use crate::upstream::{Figure, Upstreams};
use crate::worker::Worker;

/// What an operator looks at: the gateway at work.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) config: Config,
    pub(crate) routes: Arc<Routes>,
    pub(crate) world: Arc<World>,
    pub(crate) counting: Counting,
    pub(crate) keeper: Arc<Keeper>,
    shared: Option<Arc<Shared>>,
    pub(crate) log: Option<Arc<AccessLog>>,
    pub(crate) dependencies: Dependencies,
    pub(crate) reloads: Arc<Reloads>,
    is_leaving: Arc<AtomicBool>,
    pub(crate) orders: Option<Arc<Tally>>,
    pub(crate) cuts: Arc<Cuts>,
    pub(crate) workers: Arc<[Worker]>,
    pub(crate) tls: Arc<Tls>,
    traffic: Traffic,
}

/// What `GET /health` answers.
#[derive(Debug, Serialize)]
pub(super) struct Health<'v> {
    /// Visitors' connections.
    connections: usize,
    bans: usize,
    store: Store<'v>,
}

#[derive(Debug, Serialize)]
struct Store<'v> {
    kind: &'v str,
    /// Whether it answered when it was asked last; memory always does.
    up: bool,
}

impl View {
    pub(crate) fn of(served: &Served, lasting: &Lasting, workers: &Arc<[Worker]>) -> Self {
        let Lasting { world, counting, keeper, shared, log, dependencies, reloads, is_leaving, cuts, .. } =
            lasting.clone();
        Self {
            config: served.config.clone(),
            routes: Arc::clone(&served.routes),
            world,
            counting,
            keeper,
            shared,
            log,
            dependencies,
            reloads,
            is_leaving,
            orders: served.orders.clone(),
            cuts,
            workers: Arc::clone(workers),
            tls: Arc::clone(&served.tls),
            traffic: served.traffic.clone(),
        }
    }

    /// Whether the gateway was told to end.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    pub(super) fn health(&self) -> Health<'_> {
        let store =
            Store { kind: self.counting.kind, up: self.stores().iter().all(|(_, standing)| standing.is_up) };
        Health { connections: self.connections(), bans: self.world.bans().all().len(), store }
    }

    pub(super) fn figures(&self) -> Figures<'_> {
        Figures {
            metrics: self.world.metrics(),
            connections: self.connections(),
            traffic: self.traffic.figures(),
            cuts: self.cuts.all(),
            unmet: self.cuts.unmet.all(),
            bans: self.world.bans().all().len(),
            orders: self.orders.as_deref(),
            store: self.counting.kind,
            stores: self.stores(),
            lines_dropped: self.log.as_ref().map(|log| log.dropped()),
            insured: self.counting.insured.as_ref().map(|insured| insured.state()),
            dependencies: self.dependencies.standing(),
            reloads: self.reloads.tally(),
            upstreams: self.upstreams(),
            certificates: self
                .tls
                .certificates()
                .ends()
                .into_iter()
                .map(|(name, end)| (name, unix(end)))
                .collect(),
        }
    }

    /// What is counted by key, each once, however many sites and rules have it.
    pub(super) fn counted(&self) -> Vec<Counted> {
        let mut all: Vec<Counted> = Vec::new();
        for counted in self.routes.shields().flat_map(|(.., shield)| shield.limiters()) {
            if !all.contains(&counted) {
                all.push(counted);
            }
        }
        all
    }

    /// The name of a site for an operator.
    pub(super) fn site(&self, index: usize) -> &str {
        self.config.site_name(index)
    }

    /// The state of each place of an app, once for a site, whichever of its rules lead there.
    fn upstreams(&self) -> BTreeMap<(String, String), Figure> {
        let mut all = BTreeMap::new();
        let mut seen: Vec<*const Upstreams> = Vec::new();
        for (site, app) in self.routes.upstreams() {
            if seen.contains(&Arc::as_ptr(app)) {
                continue;
            }
            seen.push(Arc::as_ptr(app));
            for (upstream, figure) in app.figures() {
                let key = (self.site(site).to_owned(), upstream);
                all.entry(key).or_insert_with(Figure::default).add(figure);
            }
        }
        all
    }

    /// How the store does, by what is kept there; nothing where all is in this process's memory.
    fn stores(&self) -> Vec<(&'static str, Standing)> {
        let counts = self.counting.insured.as_ref().map(|insured| insured.state().standing);
        let values = self.shared.as_ref().map(|shared| shared.standing());
        let stores = [("counts", counts), ("bans", self.keeper.standing()), ("values", values)];
        stores.into_iter().filter_map(|(of, standing)| Some((of, standing?))).collect()
    }

    fn connections(&self) -> usize {
        self.workers.iter().map(Worker::load).sum()
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
