//! The proxies that a file names beside those of the configuration: networks change, and a file is written by a timer.

use std::fs::File;
use std::io::Read;

use crate::GatewayError;
use crate::config::Config;

/// The configuration with what its file of trusted proxies holds.
///
/// # Errors
/// When the file is not to be had, or one of its lines is no proxy.
pub(crate) fn read(config: &Config) -> Result<Config, GatewayError> {
    let mut config = config.clone();
    let Some(path) = config.trusted_proxies_file.take() else { return Ok(config) };
    let said = |why: String, hint: &str| GatewayError::Setting {
        message: format!("trusted_proxies_file: {}: {why}", path.display()),
        hint: hint.to_owned(),
    };
    let mut text = String::new();
    File::open(&path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)).map_err(|error| {
        said(error.to_string(), "write the path of a text file, one address or range a line")
    })?;
    if text.len() as u64 == LARGEST {
        return Err(said("it has a MiB or more".to_owned(), "name the ranges, not all of their addresses"));
    }
    config.trusted_proxies =
        config.trusted_proxies.and(&text).map_err(|error| said(error.to_string(), error.hint()))?;
    Ok(config)
}

const LARGEST: u64 = 1 << 20;
