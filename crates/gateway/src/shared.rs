//! What other machines see too, where there is a store, sealed with keys that all of them have.

use std::sync::Arc;

use panoply::shared::Shared;
use panoply::{Clock, SettingError};

use crate::config::Config;
use crate::{GatewayError, keys, secret};

/// Opens what the configuration names, asking nobody yet; `None` without a store, or without keys that are named: those
/// that are made here open on no other machine.
///
/// # Errors
/// When the URL or the keys are not to be had.
pub(crate) fn open(config: &Config) -> Result<Option<Arc<Shared>>, GatewayError> {
    let (Some(url), Some(_)) = (&config.store.url, &config.keys) else { return Ok(None) };
    let url = secret::read(url, "the store's URL")?;
    if url == "memory" {
        return Ok(None);
    }
    let setting = |error: SettingError| GatewayError::Setting {
        message: error.to_string(),
        hint: error.hint().to_owned(),
    };
    Shared::open(&url, &keys::read(config)?, &Clock::system())
        .map(|shared| Some(Arc::new(shared)))
        .map_err(setting)
}
