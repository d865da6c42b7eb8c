//! "Prevent brute-force attacks against authorization."
//!
//! Express's page on security blocks by two metrics: consecutive failures by the same user name and IP address, and
//! failures from one IP address over a long time. With rate-limiter-flexible that is some fifty lines around the login:
//!
//! ```js
//! const [byPair, byIp] = await Promise.all([limiterByPair.get(key), limiterByIp.get(req.ip)])
//! if (byIp?.consumedPoints > 100 || byPair?.consumedPoints > 10) res.status(429).send('Too Many Requests')
//! else { const user = authorise(req.body.email, req.body.password) /* consume both, or delete one … */ }
//! ```
//!
//! Here the handler asks before it looks at the password, and says how it ended.
//!
//! ```text
//! cargo run -p panoply --example login
//! curl -i http://127.0.0.1:3000/login -d 'email=ann@shop.example&password=guess'     eleven times
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordHasher, PasswordVerifier};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Form, Router};
use panoply::practices::brute_force::Attempt;
use panoply::{BruteForce, Rejection, Shield};
use serde::Deserialize;

/// Argon2id hashes of passwords, by the user's address.
struct Users {
    hashes: HashMap<String, String>,
    /// Nobody's: a user who does not exist takes as long to refuse as one who does.
    nobody: String,
}

#[derive(Deserialize)]
struct Login {
    email: String,
    password: String,
}

fn app(users: Users) -> Router {
    let shield = Shield::default().brute_force(BruteForce::default());
    Router::new().route("/login", post(login)).with_state(Arc::new(users)).layer(shield)
}

async fn login(
    attempt: Attempt,
    State(users): State<Arc<Users>>,
    Form(login): Form<Login>,
) -> Result<StatusCode, Rejection> {
    let guess = attempt.by(&login.email).await?;
    // A password is hashed for tens of milliseconds, in which this thread would serve nobody else.
    let is_right = tokio::task::spawn_blocking(move || users.check(&login)).await.unwrap_or(false);
    if !is_right {
        guess.failed().await?;
        return Ok(StatusCode::UNAUTHORIZED);
    }
    guess.succeeded().await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Users {
    fn new(passwords: &[(&str, &str)]) -> Result<Self, HashError> {
        let hashes = passwords.iter().map(|(email, password)| Ok(((*email).to_owned(), hash(password)?)));
        Ok(Self { hashes: hashes.collect::<Result<_, HashError>>()?, nobody: hash("nobody's")? })
    }

    fn check(&self, login: &Login) -> bool {
        let known = self.hashes.get(&login.email);
        let hash = PasswordHash::new(known.unwrap_or(&self.nobody));
        let is_right = hash
            .is_ok_and(|hash| Argon2::default().verify_password(login.password.as_bytes(), &hash).is_ok());
        is_right && known.is_some()
    }
}

/// Argon2id with OWASP's parameters, the crate's defaults, and a salt of its own.
fn hash(password: &str) -> Result<String, HashError> {
    Ok(Argon2::default().hash_password(password.as_bytes())?.to_string())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = app(Users::new(&[("ann@shop.example", "correct horse battery staple")])?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    // Who asks is told by the peer's address.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::{ConnectInfo, Request};
    use tower::ServiceExt;

    use super::*;

    async fn ask(app: &Router, peer: [u8; 4], email: &str, password: &str) -> u16 {
        let request = Request::post("/login")
            .header("host", "shop.example")
            .header("content-type", "application/x-www-form-urlencoded")
            .extension(ConnectInfo(SocketAddr::from((peer, 50_000))))
            .body(Body::from(format!("email={email}&password={password}")))
            .unwrap();
        app.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_guessing_program_is_stopped_and_the_owner_is_let_in() {
        let app = app(Users::new(&[("ann@shop.example", "right")]).unwrap());
        for email in ["ann@shop.example", "nobody@shop.example"] {
            let mut statuses = Vec::new();
            for _ in 0..12 {
                statuses.push(ask(&app, [192, 0, 2, 1], email, "guess").await);
            }
            let (failed, refused) = statuses.split_at(10);
            assert_eq!((failed, refused), (&[401; 10][..], &[429; 2][..]), "{email}");
        }
        assert_eq!(ask(&app, [192, 0, 2, 1], "ann@shop.example", "right").await, 429);
        assert_eq!(ask(&app, [192, 0, 2, 2], "ann@shop.example", "right").await, 204);
    }
}
