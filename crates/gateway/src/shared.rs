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
