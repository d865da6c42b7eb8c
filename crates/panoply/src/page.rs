use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::response::Parts;

use crate::Visit;

/// Makes `response` a page that says its status and the request's id, and nothing else.
pub(crate) fn neutral(visit: &Visit, response: &mut Parts) -> Bytes {
    let reason = response.status.canonical_reason().unwrap_or("Error");
    response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Bytes::from(format!("<!DOCTYPE html><title>{reason}</title><h1>{reason}</h1><p>{}</p>\n", visit.id))
}
