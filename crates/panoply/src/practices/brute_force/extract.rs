//! A handler of axum's takes an [`Attempt`], and may answer with the [`Rejection`] that it gets of it.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use super::Attempt;
use crate::Rejection;

impl<S: Sync> FromRequestParts<S> for Attempt {
    type Rejection = Response;

    /// 500 where no shield with `brute_force` stands around the route, or where it finds user names by itself.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!(
                path = parts.uri.path(),
                "a handler asks for an attempt, and there is none here: add Shield::brute_force(BruteForce::default()) \
                 around its route, and ask in a POST, PUT, PATCH or DELETE"
            );
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        })
    }
}

/// The status and its headers; the page is the shield's.
impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = status.into_response();
        *response.headers_mut() = self.into_headers();
        response
    }
}
