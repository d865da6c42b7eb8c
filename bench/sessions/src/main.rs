//! The same three pages with different sessions, on one thread: `panoply-bench-sessions SIDE PORT`.

use axum::Router;
use axum::routing::get;
use panoply::{CookieSession, Keys, Sessions, Shield};
use tower_sessions::cookie::Key;
use tower_sessions::{MemoryStore, SessionManagerLayer};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, side, port] = &*arguments else { return Err("usage: panoply-bench-sessions SIDE PORT".into()) };
    let keys = Keys::new([Keys::generate()])?;
    let app = match side.as_str() {
      
        "panoply" => ours().layer(Shield::bare().sessions(Sessions::new(&keys))),
        "panoply-express" => ours().layer(Shield::bare().sessions(Sessions::express("connect.sid", &keys)?)),
        "panoply-sealed" => ours().layer(Shield::bare().sessions(CookieSession::new(&keys))),
        "tower-sessions" => {
            let layer = SessionManagerLayer::new(MemoryStore::default()).with_signed(Key::generate());
            theirs().layer(layer.with_secure(false))
        }
        side => return Err(format!("there is no side `{side}`").into()),
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    axum::serve(listener, app).await?;
    Ok(())
}

async fn none() -> &'static str {
    "hello"
}

fn ours() -> Router {
    async fn read(session: panoply::Session) -> String {
        session.get::<u32>("visits").ok().flatten().unwrap_or(0).to_string()
    }
    async fn write(session: panoply::Session) -> String {
        let visits = session.get::<u32>("visits").ok().flatten().unwrap_or(0) + 1;
        session.insert("visits", &visits).map_or_else(|error| error.to_string(), |()| visits.to_string())
    }
    Router::new().route("/none", get(none)).route("/read", get(read)).route("/write", get(write))
}

fn theirs() -> Router {
    async fn read(session: tower_sessions::Session) -> String {
        session.get::<u32>("visits").await.ok().flatten().unwrap_or(0).to_string()
    }
    async fn write(session: tower_sessions::Session) -> String {
        let visits = session.get::<u32>("visits").await.ok().flatten().unwrap_or(0) + 1;
        session.insert("visits", visits).await.map_or_else(|error| error.to_string(), |()| visits.to_string())
    }
    Router::new().route("/none", get(none)).route("/read", get(read)).route("/write", get(write))
}
