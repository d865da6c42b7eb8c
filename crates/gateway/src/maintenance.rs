//! The app is worked on: visitors get 503, with the shield's headers and the word when to come back (RFC 9110 §15.6.4),
//! and those who work on it get the app.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use panoply::{Rejection, Visitor};

use crate::proxy::Answer;
use crate::{GatewayError, config};

/// What a site's visitors get.
#[derive(Debug)]
pub(crate) struct Maintenance {
    settings: config::Maintenance,
    page: Option<Bytes>,
}

impl Maintenance {
    /// # Errors
    /// When the page cannot be read, or is none.
    pub(crate) fn open(settings: &config::Maintenance) -> Result<Self, GatewayError> {
        let page = settings.page.as_deref().map(read).transpose()?;
        Ok(Self { settings: settings.clone(), page })
    }

    /// Who gets the app all the same.
    pub(crate) fn admits(&self, visitor: Visitor) -> bool {
        self.settings.allow.iter().any(|network| network.contains(visitor.ip))
    }

    /// What all others get.
    pub(crate) fn answer(&self) -> Result<Response<Answer>, Rejection> {
        let wait = self.settings.retry_after.duration();
        let Some(page) = &self.page else {
            return Err(
                Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "the app is worked on").retry_after(wait)
            );
        };
        let mut answer = Response::new(Answer::Text { text: Some(page.clone()) });
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = answer.headers_mut();
        headers.insert(RETRY_AFTER, wait.as_secs().max(1).into());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }
}

fn read(path: &Path) -> Result<Bytes, GatewayError> {
    let mut page = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut page))
        .map_err(|source| GatewayError::File { verb: "read", path: path.to_owned(), source })?;
    if page.len() as u64 > LARGEST {
        return Err(GatewayError::Setting {
            message: format!(
                "`{}` is larger than 1 MiB, the most that a page of maintenance may be",
                path.display()
            ),
            hint: "put its pictures elsewhere".to_owned(),
        });
    }
    Ok(page.into())
}

const LARGEST: u64 = 1 << 20;
