//! A login on its way through the shield: read before the app sees it, judged by what the app answers.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, SET_COOKIE, TRANSFER_ENCODING};
use http::request::Parts;
use http::response::Parts as ResponseParts;
use http::{Method, StatusCode};
use http_body::Body as HttpBody;
use percent_encoding::percent_decode_str;

use super::credentials::{self, Reading};
use super::door::Door;
use super::outcome::{self, Asked, Outcome};
use super::tries::Try;
use super::{Attempt, BruteForce, Place, Settings, is_login};
use crate::ahead::Ahead;
use crate::practices::cookies::session::names_a_session;
use crate::request_body::{BoxError, Extent, Held};
use crate::{Body, Practice, Rejection, RequestBody, Visit, World, cookie_header};

/// What is to be done when the app has answered.
#[derive(Debug)]
pub(crate) enum Login {
    /// It was read here.
    Read(Box<Read>),
    /// A handler may have asked.
    Asked(Attempt),
}

#[derive(Debug)]
pub(crate) struct Read {
    open: Try,
    door: Door,
    asked: Asked,
    /// The one user who tries, where it is one.
    username: Option<String>,
    /// Whether a path at which this is judged is one of logins.
    teaches: bool,
    /// It may be no login at all: see [`may_be_settings`].
    doubtful: bool,
}

impl BruteForce {
    /// Whether a request may be a login; most are not, and cost no more than this.
    pub(crate) fn concerns(&self, visit: &Visit, request: &Parts, world: &World) -> bool {
        let settings = &*self.0;
        let may_be = match &settings.username {
            Some(place) => place.may_be_in(request),
            None if settings.finds_logins => {
                request.method == Method::POST
                    && (credentials::is_form_or_json(&request.headers)
                        || request.uri.query().is_some()
                        || settings.knows(visit, world))
            }
            // The handler asks whoever it is.
            None => return !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS),
        };
        may_be && !settings.exempts(visit)
    }

    /// Reads a login, asks whether it may be tried, and hands the body on as it came.
    pub(crate) async fn admit<B: HttpBody<Error: Into<BoxError>>>(
        &self,
        visit: &mut Visit,
        request: &mut Parts,
        body: RequestBody<B>,
        world: &Arc<World>,
        observed: bool,
    ) -> (RequestBody<B>, Result<(), Rejection>) {
        let door = Door::new(&self.0, world, observed, visit, request);
        match &self.0.username {
            Some(place) => named(place, door, visit, request, body).await,
            None if self.0.finds_logins => found(door, visit, request, body).await,
            None => {
                let attempt = Attempt::at(door);
                request.extensions.insert(attempt.clone());
                visit.login = Some(Login::Asked(attempt));
                (body, Ok(()))
            }
        }
    }
}

/// A route that is known to be a login.
async fn named<B: HttpBody<Error: Into<BoxError>>>(
    place: &Place,
    door: Door,
    visit: &mut Visit,
    request: &mut Parts,
    body: RequestBody<B>,
) -> (RequestBody<B>, Result<(), Rejection>) {
    if !place.is_in_body() {
        let reading = place.read(request.uri.query(), &request.headers, b"");
        return (body, try_it(door, usernames(reading), visit, request, Bytes::new(), false).await);
    }
    if let Some(status) = unmeasured(request, &body) {
        return (
            body,
            door.charge_ip()
                .await
                .and(Err(refusal(status, "the body of a login has no length, or too much of it"))),
        );
    }
    let Held { body, extent } = body.read(MOST).await;
    let reading = match &extent {
        Extent::Whole(bytes) => place.read(request.uri.query(), &request.headers, bytes),
        Extent::TooLarge => Reading::Unreadable(TOO_LARGE),
        Extent::Broken => return (body, Ok(())), // the app will see no end of it
    };
    let verdict = match (reading, extent) {
        // What we cannot read the app may.
        (Reading::Unreadable(why), _) => {
            door.charge_ip().await.and(Err(refusal(StatusCode::BAD_REQUEST, format!("of a login {why}"))))
        }
        (reading, extent) => try_it(door, usernames(reading), visit, request, bytes_of(extent), false).await,
    };
    (body, verdict)
}

/// A form that may be a login, or something else.
async fn found<B: HttpBody<Error: Into<BoxError>>>(
    door: Door,
    visit: &mut Visit,
    request: &mut Parts,
    body: RequestBody<B>,
) -> (RequestBody<B>, Result<(), Rejection>) {
    let is_known = door.settings.knows(visit, &door.world);
    let query = request.uri.query();
    let (body, extent) = if credentials::is_form_or_json(&request.headers) {
        let held = body.read(MOST).await;
        (held.body, held.extent)
    } else {
        (body, Extent::TooLarge)
    };
    let reading = match &extent {
        Extent::Whole(bytes) => credentials::of(query, &request.headers, bytes),
        // What the query says is still true: passport looks there too.
        Extent::TooLarge => match credentials::of(query, &request.headers, b"") {
            Reading::Login(login) => Reading::Login(login),
            _ => Reading::Unreadable(TOO_LARGE),
        },
        Extent::Broken => return (body, Ok(())),
    };
    let is_login = match &reading {
        // Two passwords are a sign-up or a change of one; but not where logins were seen, or a second would be a way
        // around.
        Reading::Login(login) => login.passwords == 1 || is_known,
        Reading::Unreadable(_) => is_known,
        Reading::NoPassword => false,
    };
    if !is_login {
        return (body, Ok(()));
    }
    let doubtful = !is_known && may_be_settings(visit, request);
    let teaches = matches!(reading, Reading::Login(_)) && !doubtful;
    let verdict = try_it(door, usernames(reading), visit, request, bytes_of(extent), teaches).await;
    if doubtful && let Some(Login::Read(read)) = &mut visit.login {
        read.doubtful = true;
    }
    (body, verdict)
}

async fn try_it(
    door: Door,
    usernames: Vec<String>,
    visit: &mut Visit,
    request: &mut Parts,
    bytes: Bytes,
    teaches: bool,
) -> Result<(), Rejection> {
    let open = door.begin(&usernames).await?;
    let asked = Asked::of(request, &bytes);
    // A page is looked at for its password field, which a compressed one would hide.
    request.headers.remove(ACCEPT_ENCODING);
    let username = <[String; 1]>::try_from(usernames).ok().map(|[username]| username);
    visit.login = Some(Login::Read(Box::new(Read { open, door, asked, username, teaches, doubtful: false })));
    Ok(())
}

impl Login {
    /// The app gave no answer: `rejection` says why, and is the answer whatever is counted.
    pub(crate) async fn unanswered(self, rejection: &Rejection) {
        // It was never reached, or never got the whole request; else it may have looked at the password.
        let outcome = match rejection.status {
            StatusCode::BAD_GATEWAY | StatusCode::BAD_REQUEST => Outcome::NoGuess,
            _ => Outcome::Unclear,
        };
        let open = match self {
            Self::Read(read) => Some(read.open),
            Self::Asked(attempt) => attempt.left().open,
        };
        if let Some(open) = open {
            let _ = open.end(outcome).await;
        }
    }

    /// Counts what the answer says, and adds to it what makes the browser trusted.
    pub(crate) async fn finish<B: HttpBody<Data = Bytes>>(
        self,
        visit: &Visit,
        response: &mut ResponseParts,
        body: Body<B>,
    ) -> (Body<B>, Result<(), Rejection>) {
        match self {
            Self::Read(read) => read.finish(visit, response, body).await,
            Self::Asked(attempt) => {
                let left = attempt.left();
                if let Some(rejection) = left.refused {
                    return (body, Err(rejection));
                }
                if let Some(line) = left.welcome {
                    response.headers.append(SET_COOKIE, line);
                }
                let verdict = match left.open {
                    Some(open) => open.end(of_status(response.status)).await,
                    None => Ok(()),
                };
                (body, verdict)
            }
        }
    }
}

impl Read {
    async fn finish<B: HttpBody<Data = Bytes>>(
        self,
        visit: &Visit,
        response: &mut ResponseParts,
        body: Body<B>,
    ) -> (Body<B>, Result<(), Rejection>) {
        let Self { open, door, asked, username, teaches, doubtful } = self;
        let signs = &door.settings.failure;
        let (mut body, mut page) = (body, None);
        if let Some(most) = outcome::wants_page(signs, response.status, &response.headers) {
            let ahead = Ahead::read(body).await;
            if ahead.broken {
                let verdict = open.end(Outcome::Unclear).await;
                let broke_off = Rejection::new(StatusCode::BAD_GATEWAY, "the answer to a login broke off");
                return (ahead.replayed(), verdict.and(Err(broke_off)));
            }
            let text = ahead.text();
            page = Some(text.get(..most).unwrap_or(&text).to_vec());
            drop(text);
            body = ahead.replayed();
        }
        let outcome = match outcome::of(&asked, signs, response.status, &response.headers, page.as_deref()) {
            Outcome::Failure if doubtful && !is_denial(response.status) => Outcome::Unclear,
            outcome => outcome,
        };
        tracing::debug!(id = %visit.id, ?outcome, "a login was answered");
        if teaches && matches!(outcome, Outcome::Failure | Outcome::Success { .. }) {
            door.world.login_paths.learn(door.settings.scope, visit.uri.path());
        }
        let verdict = open.end(outcome).await;
        if verdict.is_ok()
            && matches!(outcome, Outcome::Success { sure: true })
            && let Some(line) = username.and_then(|username| door.welcome(&username))
        {
            response.headers.append(SET_COOKIE, line);
        }
        (body, verdict)
    }
}

impl Settings {
    fn knows(&self, visit: &Visit, world: &World) -> bool {
        world.login_paths.knows(self.scope, visit.uri.path())
    }
}

/// Whether a form with a password may be one of settings: somebody who has a session, at a path that is not called
/// like a login, tells the app a mail server's password, say, and is led back to the form when that is saved. What
/// would be a failed login elsewhere is unclear there, unless the app says 401 or 403; whoever brings a session of his
/// own making so has an address's tries, and no more.
fn may_be_settings(visit: &Visit, request: &Parts) -> bool {
    let path = percent_decode_str(visit.uri.path()).decode_utf8_lossy();
    !is_login(&path) && cookie_header::pairs(&request.headers).any(|cookie| names_a_session(cookie.name()))
}

fn is_denial(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// A handler that says nothing says it by its status.
fn of_status(status: StatusCode) -> Outcome {
    match status.as_u16() {
        400 | 401 | 403 | 422 => Outcome::Failure,
        200..400 => Outcome::Success { sure: false },
        _ => Outcome::Unclear,
    }
}

/// A login has a body, and says how long it is: what is held is bounded before it is read.
fn unmeasured<B: HttpBody<Error: Into<BoxError>>>(
    request: &Parts,
    body: &RequestBody<B>,
) -> Option<StatusCode> {
    let is_chunked = request.headers.contains_key(TRANSFER_ENCODING);
    match body.size_hint().exact() {
        Some(length) if length > MOST as u64 => Some(StatusCode::PAYLOAD_TOO_LARGE),
        Some(_) => None,
        None if is_chunked || !request.headers.contains_key(CONTENT_LENGTH) => {
            Some(StatusCode::LENGTH_REQUIRED)
        }
        None => None,
    }
}

fn bytes_of(extent: Extent) -> Bytes {
    match extent {
        Extent::Whole(bytes) => bytes,
        Extent::TooLarge | Extent::Broken => Bytes::new(),
    }
}

fn usernames(reading: Reading) -> Vec<String> {
    match reading {
        Reading::Login(login) => login.usernames,
        Reading::NoPassword | Reading::Unreadable(_) => Vec::new(),
    }
}

fn refusal(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::by(Practice::BruteForce, status, reason)
}

/// No login is larger.
const MOST: usize = 64 * 1024;

const TOO_LARGE: &str = "the body is too large, or of another type";
