use std::sync::Arc;

use axum::extract::State;
use axum::routing::any;
use axum::{Extension, Json, Router};
use panoply::practices::sessions::Ticket;
use panoply::{Session, SessionError, Shield};
use serde_json::{Value, json};

use super::recorder::Recorder;

/// What the app in `tests/node` does, in axum: a visit tells it what to do, and it says what it saw.
pub(super) fn shop(shield: &Shield, looks_at: &'static [&'static str], recorder: &Arc<Recorder>) -> Router {
    let visited = async move |State(recorder): State<Arc<Recorder>>,
                              ticket: Option<Extension<Ticket>>,
                              Json(operations): Json<Option<Vec<Value>>>| {
        let Some(operations) = operations else { return Ok(Json(json!({}))) };
        let Some(Extension(ticket)) = ticket else { return Ok(Json(json!({ "session": false }))) };
        let session = ticket.load().await?;
        let before = look(&session, looks_at)?;
        let mut failed = Vec::new();
        for operation in &operations {
            let name = operation[0].as_str().unwrap();
            if perform(&session, name, operation, &recorder).await.is_err() {
                failed.push(name);
            }
        }
        Ok::<_, SessionError>(Json(
            json!({ "before": before, "after": look(&session, looks_at)?, "failed": failed }),
        ))
    };
    Router::new().fallback(any(visited)).with_state(recorder.clone()).layer(shield.clone())
}

fn look(session: &Session, looks_at: &[&str]) -> Result<Vec<Value>, SessionError> {
    looks_at.iter().map(|key| Ok(session.get(key)?.unwrap_or_default())).collect()
}

async fn perform(
    session: &Session,
    name: &str,
    operation: &Value,
    recorder: &Recorder,
) -> Result<(), SessionError> {
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
            recorder.forget("touch");
            Ok(())
        }
        "sign_in" => session.sign_in(&operation[1]),
        "sign_out_everywhere" => session.sign_out_everywhere().await.map(drop),
        _ => unreachable!("{operation}"),
    }
}
