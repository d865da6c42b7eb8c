use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::COOKIE;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use panoply::practices::sessions::Ticket;
use panoply::store::{Memory, Store};
use panoply::{Connection, CookieSession, Keys, Rejection, Sessions, Shield, cookie_header};
use serde_json::Value;

use crate::text;

/// Any text in a store, and any JSON in a signed cookie: the page is served, and what it keeps is kept. Of a session
/// every other value stays.
pub fn session(input: &[u8]) {
    let stored = text(input);
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime of this thread alone");
    let ring = Keys::danger_short(["tobiiscool"]).expect("it is a key");

    let store = Arc::new(Memory::new());
    runtime.block_on(store.create(ID, stored, Duration::from_secs(60))).expect("memory takes it");
    let sessions = Sessions::express("sid", &ring).expect("it is a name").store(store.clone());
    let value = cookie_header::encode_component(&format!("s:{}", ring.sign_cookie(ID))).into_owned();
    assert_eq!(
        runtime.block_on(visit(&Shield::bare().sessions(sessions), &format!("sid={value}"))),
        StatusCode::OK
    );
    let kept = runtime.block_on(store.load(ID)).expect("memory gives it").expect("nobody ended it");
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    if let Some(Value::Object(mut after)) = read(&kept).filter(|_| kept != stored) {
        assert_eq!(after.remove("n"), Some(Value::from(1)), "{kept}");
        let Some(Value::Object(mut before)) = read(stored) else {
            // JavaScript has half characters, which serde's texts have not; and a name is read as bytes, with
            // control characters bare in them too. Written again that is JSON.
            let is_odd = stored.contains("\\u") || stored.contains(char::is_control);
            assert!(is_odd, "{stored} was no session, and became {kept}");
            return;
        };
        // The cookie has its defaults filled in, and what stood under the name that was written is gone.
        for session in [&mut before, &mut after] {
            session.retain(|name, _| name != "cookie" && name != "n");
        }
        assert_eq!(before, after, "{stored}");
    }

    let session = CookieSession::express("session", &ring).expect("it is a name");
    let keygrip = ring.keygrip(Default::default(), Default::default());
    let pair = format!("session={stored}");
    let cookie = format!("{pair}; session.sig={}", keygrip.sign(&pair));
    assert_eq!(runtime.block_on(visit(&Shield::bare().sessions(session), &cookie)), StatusCode::OK);
}

/// A page that keeps something of its visitor.
async fn visit(shield: &Shield, cookie: &str) -> StatusCode {
    let Ok(request) = Request::get("/").header(COOKIE, cookie).body(Empty::<Bytes>::new()) else {
        return StatusCode::OK; // no server lets such a field in
    };
    let answer = shield.serve(Connection::unknown(), request, |_, request| async move {
        let ticket = request.extensions().get::<Ticket>().cloned().expect("sessions are kept here");
        let session = ticket.load().await.expect("memory answers");
        session.insert("n", &1).expect("there is room");
        Ok::<_, Rejection>(Response::new(Empty::<Bytes>::new()))
    });
    answer.await.status()
}

const ID: &str = "Q7nD0bYhU4mGd2QpKcYw1hV5r8s3t6Zx";
