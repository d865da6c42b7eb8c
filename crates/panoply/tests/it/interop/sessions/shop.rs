use std::sync::Arc;

use axum::extract::State;
use axum::response::AppendHeaders;
use axum::routing::any;
use axum::{Extension, Json, Router};
use http::HeaderName;
use http::header::SET_COOKIE;
use panoply::practices::sessions::Ticket;
use panoply::{Session, SessionError, Shield};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::recorder::Recorder;

/// What the apps in `tests/node` do, in axum: a visit tells it what to do, and it says what it saw.
#[derive(Clone)]
pub(super) struct Shop {
    pub(super) looks_at: &'static [&'static str],
    /// The store, where it is told what is not to be heeded.
    pub(super) recorder: Option<Arc<Recorder>>,
    /// Where a slow visit is met, and then let go.
    pub(super) gate: Arc<Barrier>,
}

impl Shop {
    pub(super) fn new(looks_at: &'static [&'static str]) -> Self {
        Self { looks_at, recorder: None, gate: Arc::new(Barrier::new(2)) }
    }

    pub(super) fn behind(self, shield: &Shield) -> Router {
        Router::new().fallback(any(visited)).with_state(self).layer(shield.clone())
    }
}

async fn visited(
    State(shop): State<Shop>,
    ticket: Option<Extension<Ticket>>,
    Json(operations): Json<Option<Vec<Value>>>,
) -> Result<(AppendHeaders<Vec<(HeaderName, String)>>, Json<Value>), SessionError> {
    let said = |lines, said| Ok((AppendHeaders(lines), Json(said)));
    let Some(operations) = operations else { return said(Vec::new(), json!({})) };
    let Some(Extension(ticket)) = ticket else { return said(Vec::new(), json!({ "session": false })) };
    let session = ticket.load().await?;
    let before = look(&session, shop.looks_at)?;
    let (mut failed, mut lines) = (Vec::new(), Vec::new());
    for operation in &operations {
        let name = operation[0].as_str().unwrap();
        if name == "cookie" {
            lines.push((SET_COOKIE, operation[1].as_str().unwrap().to_owned()));
        } else if perform(&session, name, operation, &shop).await.is_err() {
            failed.push(name);
        }
    }
    said(lines, json!({ "before": before, "after": look(&session, shop.looks_at)?, "failed": failed }))
}

fn look(session: &Session, looks_at: &[&str]) -> Result<Vec<Value>, SessionError> {
    looks_at.iter().map(|key| Ok(session.get(key)?.unwrap_or_default())).collect()
}

async fn perform(session: &Session, name: &str, operation: &Value, shop: &Shop) -> Result<(), SessionError> {
    let key = operation[1].as_str().unwrap_or_default();
    match name {
        "set" => session.insert(key, &operation[2]),
        "delete" => session.remove(key).map(drop),
        "clear" => session.clear(),
        // Express's begins afresh.
        "regenerate" => session.clear().and_then(|()| session.regenerate()),
        "destroy" => session.destroy(),
        "unset" => session.unset(),
        "save" => session.save().await,
        "reload" => session.reload().await,
        "touch" => {
            session.touch().await?;
            // There it is the object's own date that moves, and the store's with the end of the visit.
            shop.recorder.iter().for_each(|recorder| recorder.forget("touch"));
            Ok(())
        }
        "wait" => {
            shop.gate.wait().await;
            shop.gate.wait().await;
            Ok(())
        }
        "sign_in" => session.sign_in(&operation[1]),
        "sign_out_everywhere" => session.sign_out_everywhere().await.map(drop),
        _ => unreachable!("{operation}"),
    }
}
