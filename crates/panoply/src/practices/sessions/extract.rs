//! A handler of axum's takes a [`Session`] and may answer with a [`SessionError`].

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::{Session, SessionError, Ticket};

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Response;

    /// 503 where the store is down; 500 where no shield with sessions stands around the route, or the path is not
    /// one of the cookie's.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let Some(ticket) = parts.extensions.get::<Ticket>().cloned() else {
            tracing::error!(
                path = parts.uri.path(),
                "a handler asks for a session, and there are none here: add Shield::sessions around its route, on \
                 its path"
            );
            return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        };
        ticket.load().await.map_err(IntoResponse::into_response)
    }
}

/// 503 for a store that fails, 409 for a conflict, else 500; the log says why, and the visitor the status alone.
impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Conflict => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        tracing::error!(
            error = &self as &(dyn std::error::Error + 'static),
            status = status.as_u16(),
            "session"
        );
        let mut response = status.into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        response
    }
}

/// What a store takes to come back, as a rule.
const RETRY_SECONDS: &str = "5";
