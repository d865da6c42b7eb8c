//! What other machines see too, where there is a store, sealed with keys that all of them have.

use std::sync::Arc;

use panoply::shared::Shared;
use panoply::{Clock, StoreUrl};

use crate::config::Config;
use crate::{GatewayError, keys, secret};

/// Opens what the configuration names, asking nobody yet; `None` without a store, or without keys that are named: those
/// that are made here open on no other machine.
///
/// # Errors
/// When the URL or the keys are not to be had.
pub(crate) fn open(config: &Config) -> Result<Option<Arc<Shared>>, GatewayError> {
    if config.keys.is_none() {
        return Ok(None);
    }
    let Some(url) = url(config)? else { return Ok(None) };
    Ok(Some(Arc::new(Shared::open(&url, &keys::read(config)?, &Clock::system())?)))
}

/// The URL of the store that other machines see too; `None`: counts are in this process's memory.
///
/// # Errors
/// When it is not to be had, or there is no such store.
pub(crate) fn url(config: &Config) -> Result<Option<String>, GatewayError> {
    let Some(url) = &config.store.url else { return Ok(None) };
    let url = secret::read(url, "the store's URL")?;
    let is_memory = StoreUrl::parse(&url)? == StoreUrl::Memory;
    Ok((!is_memory).then_some(url))
}

/// What is written from now on is sealed with the keys that `config` names, and what they sealed can be read. Where it
/// names none any more, those of before stay; where it is the first to name some, nothing is shared before a restart.
///
/// # Errors
/// When the keys are not to be had: then all stays as it is.
pub(crate) fn follow(shared: Option<&Shared>, config: &Config) -> Result<(), GatewayError> {
    match (shared, &config.keys) {
        (Some(shared), Some(_)) => shared.follow(&keys::read(config)?),
        (Some(_), None) => tracing::warn!(
            hint = "name `keys` that all machines have, or restart panoply to share nothing any more",
            "no `keys` are named any more: what is shared is sealed with those of before"
        ),
        (None, Some(_)) if url(config)?.is_some() => tracing::warn!(
            hint = "restart panoply for it",
            "`keys` are named that were not before: keys of tickets are shared after a restart"
        ),
        (None, _) => {}
    }
    Ok(())
}
