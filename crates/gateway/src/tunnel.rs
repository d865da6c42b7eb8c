//! An upgraded connection, WebSocket above all: bytes both ways until one side ends.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// Joins visitor and app once both have switched. Until one of them ends it, what says that they are open is `held`.
pub(crate) fn join(visitor: OnUpgrade, app: OnUpgrade, held: impl Send + 'static) {
    tokio::spawn(async move {
        let (visitor, app) = match tokio::try_join!(visitor, app) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "an upgrade was not finished");
                return;
            }
        };
        // A side that goes away ends the tunnel; that is how WebSockets end, and no error of ours.
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(visitor), &mut TokioIo::new(app)).await;
        drop(held);
    });
}
