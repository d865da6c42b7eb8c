//! What is done beside the serving.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::gateway::Lasting;
use crate::renewal::Renewal;
use crate::served::Served;
use crate::upstream;

/// What only one process may do.
pub(super) fn alone(lasting: &Lasting) -> JoinSet<()> {
    let mut upkeep = JoinSet::new();
    let keeper = Arc::clone(&lasting.keeper);
    upkeep.spawn(async move { keeper.keep().await });
    upkeep.spawn(lasting.counting.clone().keep());
    upkeep
}

/// Who asks the apps whether they are well; and who tells what the log has no lines of, also beside a successor.
pub(super) fn checks(served: &Served, lasting: &Lasting) -> JoinSet<()> {
    let mut checks = JoinSet::new();
    let world = Arc::clone(&lasting.world);
    checks.spawn(async move {
        loop {
            tokio::time::sleep(LEFT_OUT).await;
            world.tell_of_lines_left_out();
        }
    });
    checks.spawn(upstream::watch(served.routes.to_watch()));
    checks
}

/// What the certificates that are served need.
pub(super) fn of_certificates(served: &Served, lasting: &Lasting, renewal: Option<Renewal>) -> JoinSet<()> {
    let mut upkeep = JoinSet::new();
    upkeep.spawn(Arc::clone(&served.tls).keep(lasting.shared.clone()));
    if let Some(renewal) = renewal {
        upkeep.spawn(renewal.keep());
    }
    upkeep
}

/// What was left out in so long is one line by practice.
const LEFT_OUT: Duration = Duration::from_secs(10);
