//! Asks the places of apps whether they are well: one for the whole process, whatever the number of threads.

use std::sync::{Arc, Weak};

use http::header::HOST;
use http::{HeaderValue, Request};
use http_body_util::{Either, Empty};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{Target, Upstreams, pool};
use crate::config::HealthPath;

/// Checks those that are to be checked, each at its own pace, until nobody has them any more.
pub(crate) async fn watch(apps: Vec<Weak<Upstreams>>) {
    let mut all = JoinSet::new();
    for app in apps {
        all.spawn(keep(app));
    }
    while all.join_next().await.is_some() {}
}

async fn keep(app: Weak<Upstreams>) {
    let Some(every) = app.upgrade().filter(|app| app.terms.health.is_some()) else { return };
    let mut ticks = interval(every.terms.check_every.duration());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    drop(every);
    loop {
        ticks.tick().await;
        let Some(app) = app.upgrade() else { return };
        let mut checks = JoinSet::new();
        for index in 0..app.targets().len() {
            let app = Arc::clone(&app);
            checks.spawn(async move { app.check(index).await });
        }
        while checks.join_next().await.is_some() {}
        pool::prune();
    }
}

impl Upstreams {
    async fn check(&self, index: usize) {
        let (Some(target), Some(path)) = (self.targets().get(index), &self.terms.health) else { return };
        let found =
            match tokio::time::timeout(self.terms.check_deadline.duration(), self.ask(target, path)).await {
                Ok(found) => found,
                Err(_) => {
                    target.forget_shared();
                    Err(format!("no answer within {}", self.terms.check_deadline))
                }
            };
        let (healthy_after, unhealthy_after) = (self.terms.healthy_after, self.terms.unhealthy_after);
        match target.health.checked(found.is_ok(), healthy_after.count(), unhealthy_after.count()) {
            None => {}
            Some(true) => tracing::info!(upstream = %target, check = %path, "an upstream is well again"),
            Some(false) => {
                let reason = found.err().unwrap_or_default();
                tracing::warn!(upstream = %target, check = %path, reason, "an upstream is not well");
            }
        }
    }

    /// Whether it answers, and with a status that is no complaint; what it did instead.
    async fn ask(&self, target: &Target, path: &HealthPath) -> Result<(), String> {
        let mut lease = self.connect(target).await.map_err(|error| error.to_string())?;
        let mut request = Request::new(Either::Right(Empty::new()));
        *request.uri_mut() = path.uri().clone();
        let host = if self.site.is_empty() { target.authority() } else { self.site.clone() };
        if let Ok(host) = HeaderValue::try_from(host) {
            request.headers_mut().insert(HOST, host);
        }
        if lease.is_shared() {
            target.address_to(&mut request);
        }
        let answer = lease.send(request).await.map_err(|failure| failure.into_error().to_string())?;
        match answer.status() {
            status if status.is_success() || status.is_redirection() => Ok(()),
            status => Err(format!("it answered {status}")),
        }
    }
}
