//! A login on its way through the shield: read before the app sees it, judged by what the app answers.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, SET_COOKIE};
use http::request::Parts;
use http::response::Parts as ResponseParts;
use http::{Method, StatusCode};
use http_body::Body as HttpBody;

use super::credentials::{self, Reading, Unread};
use super::door::{Door, Named};
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
    /// It may be no login at all: see [`brings_a_session`].
    doubtful: bool,
}

/// An extension of a request whose answer tells how a login ended: whoever asks the app is to wait for its answer, also
/// where the visitor does not.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Tried;

impl BruteForce {
    /// Whether a request may be a login; most are not, and cost no more than this.
    pub(crate) fn concerns(&self, visit: &Visit, request: &Parts, world: &World) -> bool {
        let settings = &*self.0;
        let may_be = match &settings.username {
            Some(place) => place.may_be_in(request),
            None if settings.finds_logins => settings.may_be_login(visit, request, world),
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
    let path = visit.uri.path().to_owned();
    if !place.is_in_body() {
        let reading = place.read(request.uri.query(), &request.headers, b"");
        return (body, try_it(door, &reading, &path, visit, request, Bytes::new()).await);
    }
    let Held { body, extent } = body.read(MOST).await;
    let (status, why) = match &extent {
        Extent::Whole(bytes) => match place.read(request.uri.query(), &request.headers, bytes) {
            Reading::Unreadable(why) | Reading::Disguised(why) => (StatusCode::BAD_REQUEST, why),
            // Who looks at the form may bring his name along, and an app that takes all methods his password.
            Reading::Login(login)
                if login.passwords == 0 && matches!(request.method, Method::GET | Method::HEAD) =>
            {
                return (body, Ok(()));
            }
            reading => {
                let bytes = bytes.clone();
                return (body, try_it(door, &reading, &path, visit, request, bytes).await);
            }
        },
        Extent::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE),
        Extent::Broken => return (body, Ok(())), // the app will see no end of it
    };
    // What we cannot read the app may.
    let refused = Rejection::by(Practice::BruteForce, status, format!("of a login {why}"));
    (body, door.charge_ip().await.and(Err(refused)))
}

/// A form that may be a login, or something else.
async fn found<B: HttpBody<Error: Into<BoxError>>>(
    door: Door,
    visit: &mut Visit,
    request: &mut Parts,
    body: RequestBody<B>,
) -> (RequestBody<B>, Result<(), Rejection>) {
    let path = visit.uri.path().to_owned();
    let (is_known, is_called_so) = (door.settings.knows(visit, &door.world), is_login(&path));
    let (body, extent) = if body.is_end_stream() || credentials::is_form_or_json(&request.headers) {
        let held = body.read(MOST).await;
        (held.body, Some(held.extent))
    } else {
        (body, None)
    };
    let of = |bytes| credentials::of(request.uri.query(), &request.headers, bytes);
    let reading = match &extent {
        Some(Extent::Whole(bytes)) => of(bytes),
        // What the query says is still true: passport looks there too.
        Some(Extent::TooLarge) => match of(b"") {
            login @ Reading::Login(_) => login.without(Some(Unread::Disguised(TOO_LARGE))),
            _ => Reading::Disguised(TOO_LARGE),
        },
        Some(Extent::Broken) => return (body, Ok(())),
        None => of(UNSEEN),
    };
    let may_be_one = match &reading {
        // Two passwords are a sign-up or a change of one; but not where logins are, or a second would be a way around.
        Reading::Login(login) => login.passwords == 1 || is_known || is_called_so,
        Reading::Unreadable(_) | Reading::Disguised(_) => is_known || is_called_so,
        Reading::NoPassword => false,
    };
    if !may_be_one {
        return (body, Ok(()));
    }
    let reading = match reading {
        // Where the app takes what we cannot read beside what we can, there may be clients that send nothing else.
        Reading::Disguised(why) if !(is_known && is_called_so) => Reading::Unreadable(why),
        Reading::Login(login) if login.is_partial() && !(is_known && is_called_so) => {
            Reading::Login(login).without(Some(Unread::Other(TOO_LARGE)))
        }
        reading => reading,
    };
    let doubtful = !is_known && !is_called_so && brings_a_session(request);
    let bytes = match extent {
        Some(Extent::Whole(bytes)) => bytes,
        _ => Bytes::new(),
    };
    let reading = match reading {
        // Elsewhere a list of passwords is one of settings, or of people who are signed up.
        Reading::Login(login) if !(is_called_so || is_known && is_graphql(&path)) => {
            Reading::Login(login.of_one_guess())
        }
        reading => reading,
    };
    let verdict = try_it(door, &reading, &path, visit, request, bytes).await;
    if let Some(Login::Read(read)) = &mut visit.login {
        read.doubtful = doubtful;
        read.teaches = matches!(reading, Reading::Login(_)) && !doubtful;
    }
    (body, verdict)
}

async fn try_it(
    door: Door,
    reading: &Reading,
    path: &str,
    visit: &mut Visit,
    request: &mut Parts,
    bytes: Bytes,
) -> Result<(), Rejection> {
    let (usernames, guesses) = match reading {
        Reading::Login(login) => (&*login.usernames, u32::try_from(login.guesses).unwrap_or(u32::MAX)),
        _ => (&[][..], 1),
    };
    let named = match reading {
        Reading::Login(login) if usernames.is_empty() && !login.is_partial() => Named::Nobody { path },
        Reading::Login(login) => {
            let hidden_at = matches!(login.unread, Some(Unread::Disguised(_))).then_some(path);
            Named::Users { usernames, is_all: !login.is_partial(), hidden_at }
        }
        Reading::Disguised(_) => Named::Disguised { path },
        Reading::NoPassword | Reading::Unreadable(_) => Named::Unread,
    };
    let is_all = !matches!(named, Named::Users { is_all: false, .. });
    let open = door.begin(named, guesses).await?;
    let asked = Asked::of(request, &bytes);
    // A page is looked at for its password field, which a compressed one would hide.
    request.headers.remove(ACCEPT_ENCODING);
    request.extensions.insert(Tried);
    let username = match usernames {
        [username] if is_all => Some(username.clone()),
        _ => None,
    };
    let read = Read { open, door, asked, username, teaches: false, doubtful: false };
    visit.login = Some(Login::Read(Box::new(read)));
    Ok(())
}

impl Login {
    /// The app gave no answer: `rejection` says why, and is the answer whatever is counted.
    pub(crate) async fn unanswered(self, rejection: &Rejection) {
        // It was never reached, or never got the whole request; else it may have looked at the password.
        let outcome = match rejection.status {
            StatusCode::BAD_GATEWAY | StatusCode::BAD_REQUEST if !rejection.may_have_acted => {
                Outcome::NoGuess
            }
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
    /// Most requests are not, and cost no more than this. An app may take a login by any method, and passport looks into
    /// the query of each; but who searches or looks at a page with a method of those is not to wait.
    fn may_be_login(&self, visit: &Visit, request: &Parts, world: &World) -> bool {
        let is_where_logins_are = || self.knows(visit, world) || is_login(visit.uri.path());
        let has_query = request.uri.query().is_some();
        match request.method {
            Method::OPTIONS => false,
            Method::GET | Method::HEAD => {
                (has_query || request.headers.contains_key(CONTENT_TYPE)) && is_where_logins_are()
            }
            _ => has_query || credentials::is_form_or_json(&request.headers) || is_where_logins_are(),
        }
    }

    fn knows(&self, visit: &Visit, world: &World) -> bool {
        world.login_paths.knows(self.scope, visit.uri.path())
    }
}

/// Whether a form with a password may be one of settings: somebody who has a session, or a client's token, at a path
/// that is not called like a login, tells the app a mail server's password, say, and is led back to the form when that
/// is saved. What would be a failed login elsewhere is unclear there, unless the app says 401 or 403; whoever brings a
/// session of his own making so has an address's tries, and no more.
fn brings_a_session(request: &Parts) -> bool {
    request.headers.contains_key(AUTHORIZATION)
        || cookie_header::pairs(&request.headers).any(|cookie| names_a_session(cookie.name()))
}

/// One path for everything, logins among it.
fn is_graphql(path: &str) -> bool {
    path.trim_end_matches('/').to_ascii_lowercase().ends_with("/graphql")
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

/// No login is larger.
const MOST: usize = 64 * 1024;

const TOO_LARGE: &str = "the body is too large";

/// Stands for a body that is not looked at, since its type says that it could not be read.
const UNSEEN: &[u8] = b"?";
