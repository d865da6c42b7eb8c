//! Requests of one session at the same time.

use super::*;

fn slow_app(shield: &Shield, gate: &Arc<tokio::sync::Barrier>) -> Router {
    async fn write(
        session: Session,
        gate: Extension<Arc<tokio::sync::Barrier>>,
        Path((key, value)): Path<(String, String)>,
    ) -> Result<(), SessionError> {
        gate.wait().await;
        session.insert(&key, &value)
    }
    app(shield).merge(
        Router::new()
            .route("/slow/{key}/{value}", post(write))
            .layer(shield.clone())
            .layer(Extension(gate.clone())),
    )
}

#[tokio::test]
async fn requests_at_once_lose_no_value_of_each_other() {
    const MANY: usize = 8;
    let (shield, ..) = stored(Sessions::new(&keys()));
    let gate = Arc::new(tokio::sync::Barrier::new(MANY));
    let mut visitor = Visitor { app: slow_app(&shield, &gate), ..Visitor::of(&shield) };
    visitor.post("/cart/teapot").await;
    let requests = (0..MANY).map(|n| {
        let mut visitor = visitor.clone();
        tokio::spawn(async move { visitor.post(&format!("/slow/key{n}/{n}")).await })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), 200);
    }
    for n in 0..MANY {
        assert_eq!(visitor.get(&format!("/key{n}")).await, format!("\"{n}\""));
    }
    assert_eq!(visitor.get("/cart").await, "\"teapot\"");
}

#[tokio::test]
async fn of_two_that_change_the_same_value_the_later_counts_or_is_refused() {
    for (conflict, statuses) in [(Conflict::LastWins, [200, 200]), (Conflict::Refuse, [200, 409])] {
        let (shield, ..) = stored(Sessions::new(&keys()).conflict(conflict));
        let gate = Arc::new(tokio::sync::Barrier::new(2));
        let mut visitor = Visitor { app: slow_app(&shield, &gate), ..Visitor::of(&shield) };
        visitor.post("/cart/teapot").await;
        let (mut one, mut two) = (visitor.clone(), visitor.clone());
        let (one, two) = tokio::join!(one.post("/slow/cart/one"), two.post("/slow/cart/two"));
        let mut found = [one.as_u16(), two.as_u16()];
        found.sort_unstable();
        assert_eq!(found, statuses);
        let left = visitor.get("/cart").await;
        match conflict {
            Conflict::LastWins => assert!(["\"one\"", "\"two\""].contains(&left.as_str())),
            Conflict::Refuse => assert_eq!(left, if one == 200 { "\"one\"" } else { "\"two\"" }),
        }
    }
}

#[tokio::test]
async fn a_slow_request_does_not_bring_a_session_back() {
    let (shield, store, _) = stored(Sessions::new(&keys()));
    let gate = Arc::new(tokio::sync::Barrier::new(2));
    let mut visitor = Visitor { app: slow_app(&shield, &gate), ..Visitor::of(&shield) };
    visitor.post("/sign_in").await;
    let mut slow = visitor.clone();
    let slow = tokio::spawn(async move {
        let status = slow.post("/slow/cart/anvil").await;
        (status, slow)
    });
    let mut other = visitor.clone();
    tokio::task::yield_now().await;
    other.post("/sign_out").await;
    gate.wait().await;
    let (status, mut slow) = slow.await.unwrap();
    assert_eq!((status, store.len()), (StatusCode::OK, 0));
    assert!(slow.cookies.is_empty(), "the browser forgets the id");
    assert_eq!((slow.get("/user").await, visitor.get("/user").await), ("null".into(), "null".into()));
}
