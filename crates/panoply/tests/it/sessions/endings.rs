//! Sessions that end, or begin anew, in the middle of a request.

use std::sync::Arc;

use axum::extract::State;

use super::*;

/// An app that does one thing after another, of which any may fail.
fn app(shield: &Shield, store: &Arc<Memory>) -> Router {
    async fn steps(
        session: Session,
        Path(steps): Path<String>,
        State(store): State<Arc<Memory>>,
    ) -> Result<String, SessionError> {
        let mut said = Vec::new();
        for step in steps.split(',') {
            let done = match step {
                "insert" => session.insert("cart", "anvil"),
                "save" => session.save().await,
                "touch" => session.touch().await,
                "regenerate" => session.regenerate(),
                "unset" => session.unset(),
                "destroy" => session.destroy(),
                // What another request does meanwhile.
                _ => store.destroy_all("tim", None).await.map(drop).map_err(SessionError::from),
            };
            said.push(if done.is_ok() { "done" } else { "failed" });
        }
        Ok(format!("{} {:?} {:?}", said.join(","), session.user::<String>()?, session.get::<String>("cart")?))
    }
    Router::new().route("/steps/{steps}", get(steps)).with_state(store.clone()).layer(shield.clone())
}

#[tokio::test]
async fn what_was_ended_meanwhile_stays_so_whatever_comes_after() {
    for (steps, said, left) in [
        ("ended,save", "done,failed None None", "null"),
        ("ended,save,insert", r#"done,failed,done None Some("anvil")"#, "\"anvil\""),
        ("ended,touch,insert", r#"done,done,done None Some("anvil")"#, "\"anvil\""),
        ("ended,insert", r#"done,done Some("tim") Some("anvil")"#, "null"),
        ("insert,save,ended,save", "done,done,done,failed None None", "null"),
        ("destroy,insert", r#"done,done None Some("anvil")"#, "\"anvil\""),
        ("unset,insert", "done,failed None None", "null"),
        ("regenerate,touch,insert", r#"done,done,done Some("tim") Some("anvil")"#, "\"anvil\""),
    ] {
        let (shield, store, _) = stored(Sessions::new(&keys()));
        let mut visitor = Visitor::of(&shield);
        visitor.app = visitor.app.merge(app(&shield, &store));
        assert_eq!(visitor.post("/sign_in").await, 200);
        let old = visitor.clone();
        assert_eq!(visitor.get(&format!("/steps/{steps}")).await, said, "{steps}");
        assert_eq!(visitor.get("/cart").await, left, "{steps}");
        let user = if steps.starts_with("regenerate") { "\"tim\"" } else { "null" };
        assert_eq!(visitor.get("/user").await, user, "{steps}");
        assert_eq!({ old }.get("/user").await, "null", "{steps}");
    }
}

#[tokio::test]
async fn a_new_session_is_touched_as_it_is_saved() {
    let (shield, store, _) = stored(Sessions::new(&keys()));
    let mut visitor = Visitor::of(&shield);
    visitor.app = visitor.app.merge(app(&shield, &store));
    assert_eq!(visitor.get("/steps/touch,insert,touch").await, r#"done,done,done None Some("anvil")"#);
    assert_eq!(visitor.get("/cart").await, "\"anvil\"");
}
