//! An upgraded connection, WebSocket above all: bytes both ways until one side ends.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::cuts::Cut;
use crate::worker::Open;

/// Joins visitor and app once both have switched. Until one of them ends it, the connection counts as `open`, and the
/// app has as much to do as `busy` says.
pub(crate) fn join(visitor: OnUpgrade, app: OnUpgrade, open: Arc<Open>, busy: impl Send + 'static) {
    tokio::spawn(async move {
        let (visitor, app) = match tokio::try_join!(visitor, app) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "an upgrade was not finished");
                return;
            }
        };
        // A side that goes away ends the tunnel; that is how WebSockets end, and no error of ours.
        let (mut visitor, mut app) = (TokioIo::new(visitor), TokioIo::new(app));
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut visitor, &mut app) => {}
            () = open.life().unread() => open.cut(Cut::Unread),
        }
        drop((open, busy));
    });
}
