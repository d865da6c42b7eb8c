//! How a gateway at work leaves its place to a new process, and how it stays when that does not come.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Running, upkeep};
use crate::admin::Admin;
use crate::clock;
use crate::counting::Told;
use crate::gateway::Lasting;
use crate::notify::Notices;
use crate::takeover::{Bequest, Successor};

impl Running {
    /// Gives `successor` what this one has, and says whether it serves now. If it does not, this one goes on as before.
    /// Visitors who come meanwhile wait; those who are there are served.
    pub async fn hand_over(&mut self, mut successor: Successor, notices: &Notices) -> bool {
        let begun = clock::now();
        tracing::info!(
            process = successor.process(),
            "a new process asks for this one's place: visitors who come now wait for it"
        );
        let counted = self.let_go().await;
        let given = successor.give(&self.sockets.held(), notices).await;
        if let Err(error) = given {
            tracing::error!(%error, "a new process asked for this one's place and did not come to serve: this one goes on");
            self.take_back().await;
            return false;
        }
        let waited = clock::now() - begun;
        tracing::info!(
            process = successor.process(),
            milliseconds = waited.as_millis(),
            "a new process serves; for so long visitors waited for it"
        );
        if let Some(process) = successor.process() {
            notices.succeeded_by(process);
        }
        // Whatever becomes of it now: it serves.
        self.telling = Some(tokio::spawn(successor.go_on(counted)));
        true
    }

    /// Counts what the process before has yet to say.
    pub fn inherit(&self, bequest: Bequest) {
        let counters = Arc::clone(&self.lasting.counting.counters);
        tokio::spawn(async move { bequest.count(&*counters).await });
    }

    /// As [`end`](Self::end), for one whose visitors another process serves already.
    pub async fn retire(self) -> usize {
        let patience = self.era.load().config.shutdown.patience.duration();
        self.drain(patience).await
    }

    /// From here on nothing is written but the access log. What is counted all the same comes back: what is counted while
    /// the file is written may be in both, and too much once is safe, too little is not.
    async fn let_go(&mut self) -> mpsc::Receiver<Told> {
        self.waits.send_replace(true);
        self.admin.shutdown().await;
        self.upkeep.shutdown().await;
        self.certificates.shutdown().await;
        let Lasting { keeper, counting, debts, .. } = self.lasting.clone();
        keeper.let_go().await;
        let counted = counting.listen();
        let save = move || {
            counting.save();
            debts.save();
        };
        let _ = tokio::task::spawn_blocking(save).await;
        counted
    }

    async fn take_back(&mut self) {
        let served = self.era.load_full();
        self.lasting.counting.hush();
        self.lasting.keeper.take_back().await;
        self.upkeep = upkeep::alone(&self.lasting);
        self.certificates = upkeep::of_certificates(&served, &self.lasting, self.renewal.clone());
        if let Some(socket) = &self.sockets.admin {
            match Admin::open(&served.config, socket) {
                Ok(admin) => drop(self.admin.spawn(admin.serve(Arc::clone(&self.view)))),
                Err(error) => tracing::error!(%error, "operators are heard again after a reload"),
            }
        }
        self.waits.send_replace(false);
    }
}
