//! The proxies that a file names beside those of the configuration: networks change, and a file is written by a timer.

use std::fs::File;
use std::io::Read;

use crate::config::Config;
use crate::{GatewayError, denied};

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
        let denied = denied::hint(&path, &error);
        let hint = denied.as_deref().unwrap_or("write the path of a text file, one address or range a line");
        said(error.to_string(), hint)
    })?;
    if text.len() as u64 == LARGEST {
        return Err(said("it has a MiB or more".to_owned(), "name the ranges, not all of their addresses"));
    }
    config.trusted_proxies =
        config.trusted_proxies.and(&text).map_err(|error| said(error.to_string(), error.hint()))?;
    Ok(config)
}

const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_adds_proxies_and_a_wrong_one_is_named() {
        let folder = std::env::temp_dir().join(format!("panoply-proxies-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("trusted");
        let text = format!(
            "trusted_proxies = [\"192.0.2.1\"]\ntrusted_proxies_file = {:?}",
            path.display().to_string()
        );
        let config = Config::parse(&text).unwrap();
        for (written, trusted) in [
            ("# of today\n10.0.0.0/8\ncloudfront\n", Some(["192.0.2.1", "10.1.1.1", "15.158.0.1"])),
            ("10.0.0.1/8\n", None),
            ("0.0.0.0/1\n128.0.0.0/1\n", None),
            ("<html>\n", None),
            (&"# \n".repeat(400_000), None),
        ] {
            std::fs::write(&path, written).unwrap();
            let read = read(&config);
            let first = written.lines().next();
            match (&read, trusted) {
                (Ok(config), Some(trusted)) => {
                    let all = trusted.iter().all(|ip| config.trusted_proxies.contains(ip.parse().unwrap()));
                    assert!(all, "{first:?}");
                }
                (Err(error), None) => {
                    assert!(error.to_string().starts_with("trusted_proxies_file: /"), "{first:?}: {error}");
                    assert!(!error.hint().is_empty(), "{first:?}");
                }
                _ => panic!("{first:?}: {read:?}"),
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(read(&config).unwrap_err().to_string().contains("No such file"));
    }
}
