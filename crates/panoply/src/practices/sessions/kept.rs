use std::borrow::Cow;
use std::sync::Arc;

use http::header::SET_COOKIE;
use http::request::Parts;
use http::response::Parts as ResponseParts;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::state::{BORN, COOKIE, Id, State};
use super::visited::Visited;
use super::{CookieSession, NotSaved, Session, SessionError, Sessions, Ticket};
use crate::{Practice, Rejection, Scheme, Visit, World, cookie_header};

/// Sessions as an app keeps them: [`Sessions`] in a store, or [`CookieSession`] in the visitor's browser.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Kept {
    /// In a store, with an id in the cookie.
    InStore(Sessions),
    /// In the cookie itself.
    InCookie(CookieSession),
}

impl Kept {
    /// Takes down what the visitor presents; nothing is read or believed before a page asks.
    pub(crate) fn admit(
        kept: &Arc<Self>,
        visit: &Visit,
        request: &Parts,
        world: &Arc<World>,
    ) -> Option<Ticket> {
        // As a plain prefix, as in Express: browsers cut at slashes, and send nothing here otherwise.
        if !path(request).starts_with(kept.path()) {
            return None;
        }
        let is_over_https = visit.scheme == Scheme::Https;
        let (presented, signature) = match &**kept {
            Self::InStore(sessions) => {
                let name = sessions.name_for(is_over_https);
                (cookie_header::find(&request.headers, &name).map(Cow::into_owned), None)
            }
            Self::InCookie(session) => session.presented(&request.headers, is_over_https),
        };
        let visited = Visited { world: Arc::clone(world), is_over_https, presented, signature };
        Some(Ticket::new(Arc::clone(kept), visited))
    }

    /// Saves the session before the head of the answer leaves, and gives the browser its cookie.
    pub(crate) async fn finish(ticket: &Ticket, response: &mut ResponseParts) -> Result<(), Rejection> {
        let session = match ticket.loaded() {
            Some(session) => session.clone(),
            None if ticket.kept().asks_for_every_session() => match ticket.load().await {
                Ok(session) => session,
                Err(error) => {
                    tracing::warn!(%error, "a session could not be renewed");
                    return Ok(());
                }
            },
            None => return Ok(()),
        };
        let lines = match ticket.kept().leave(&session).await {
            Ok(lines) => lines,
            Err(error) => return ticket.kept().lost(&error),
        };
        if let Self::InCookie(_) = **ticket.kept() {
            remove_rivals(&mut response.headers, &lines);
        }
        for line in lines {
            response.headers.append(SET_COOKIE, line);
        }
        Ok(())
    }

    pub(super) async fn load(&self, visited: &Visited) -> Result<State, SessionError> {
        match self {
            Self::InStore(sessions) => sessions.load(visited).await,
            Self::InCookie(session) => Ok(session.load(visited)),
        }
    }

    async fn leave(&self, session: &Session) -> Result<Vec<HeaderValue>, SessionError> {
        match self {
            Self::InStore(sessions) => Ok(sessions.leave(session).await?.into_iter().collect()),
            Self::InCookie(kept) => kept.leave(session),
        }
    }

    pub(super) async fn save(&self, session: &Session) -> Result<(), SessionError> {
        match self {
            Self::InStore(sessions) => sessions.save(session).await,
            // It is in the answer, or nowhere.
            Self::InCookie(_) => Ok(()),
        }
    }

    pub(super) async fn reload(&self, session: &Session) -> Result<(), SessionError> {
        match self {
            Self::InStore(sessions) => sessions.reload(session).await,
            Self::InCookie(kept) => {
                *session.state() = kept.load(session.visited());
                Ok(())
            }
        }
    }

    pub(super) async fn touch(&self, session: &Session) -> Result<(), SessionError> {
        match self {
            Self::InStore(sessions) => sessions.touch(session).await,
            Self::InCookie(_) => {
                session.state().renew_cookie();
                Ok(())
            }
        }
    }

    pub(super) async fn sign_out(&self, user: &str, except: Option<&Id>) -> Result<usize, SessionError> {
        match self {
            Self::InStore(sessions) => sessions.sign_out_but(user, except).await,
            Self::InCookie(_) => Err(SessionError::InCookie),
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::InStore(sessions) => sessions.largest(),
            Self::InCookie(session) => session.size(),
        }
    }

    pub(super) fn user_key(&self) -> &str {
        match self {
            Self::InStore(sessions) => &sessions.user_key,
            Self::InCookie(session) => session.user(),
        }
    }

    /// An error where the package that shares the session has something of its own under `name`, or this.
    pub(super) fn check_name(&self, name: &str) -> Result<(), SessionError> {
        let reserved = match self {
            Self::InStore(_) => EXPRESS_SESSION,
            Self::InCookie(_) => COOKIE_SESSION,
        };
        match name == BORN || EVERY_OBJECT.contains(&name) || reserved.contains(&name) {
            true => Err(SessionError::Reserved(name.to_owned())),
            false => Ok(()),
        }
    }

    /// For the start-up page.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::InStore(sessions) => sessions.name.clone(),
            Self::InCookie(session) => format!("{}, in the cookie", session.name_for(false)),
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::InStore(sessions) => &sessions.attributes.path,
            Self::InCookie(session) => session.path(),
        }
    }

    fn asks_for_every_session(&self) -> bool {
        matches!(self, Self::InStore(sessions) if sessions.wishes != super::Wishes::default())
    }

    /// The answer where the session is lost.
    fn lost(&self, error: &SessionError) -> Result<(), Rejection> {
        if matches!(self, Self::InStore(Sessions { not_saved: NotSaved::Log, .. })) {
            tracing::error!(%error, "a session was not saved, and its page goes out all the same");
            return Ok(());
        }
        let status = match error {
            SessionError::Conflict => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Err(Rejection::by(Practice::Sessions, status, format!("the session was not saved: {error}")))
    }
}

impl From<Sessions> for Kept {
    fn from(sessions: Sessions) -> Self {
        Self::InStore(sessions)
    }
}

impl From<CookieSession> for Kept {
    fn from(session: CookieSession) -> Self {
        Self::InCookie(session)
    }
}

/// As the browser asked for it: a router that is nested in another sees the rest alone.
fn path(request: &Parts) -> &str {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = request.extensions.get() {
        return uri.path();
    }
    request.uri.path()
}

/// Takes away what was set before under the same names, as cookie-session does: of two cookies of a name, browsers
/// keep the later and logs show both.
fn remove_rivals(headers: &mut HeaderMap, lines: &[HeaderValue]) {
    let name =
        |line: &HeaderValue| line.as_bytes().split_inclusive(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
    let is_rival = |line: &HeaderValue| lines.iter().any(|new| name(new) == name(line));
    if !headers.get_all(SET_COOKIE).iter().any(is_rival) {
        return;
    }
    let others: Vec<_> = headers.get_all(SET_COOKIE).iter().filter(|line| !is_rival(line)).cloned().collect();
    headers.remove(SET_COOKIE);
    for line in others {
        headers.append(SET_COOKIE, line);
    }
}

/// Both packages drop, as they load a session, what their own objects have a property of: first those that every
/// object of JavaScript has.
const EVERY_OBJECT: [&str; 12] = [
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
    "__proto__",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
];

const EXPRESS_SESSION: &[&str] =
    &[COOKIE, "id", "req", "touch", "resetMaxAge", "save", "reload", "destroy", "regenerate"];

const COOKIE_SESSION: &[&str] = &["isNew", "isChanged", "isPopulated", "_ctx"];
