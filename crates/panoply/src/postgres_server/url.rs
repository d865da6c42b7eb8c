//! Where PostgreSQL is, and what lets one in.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::CONNECTING;
use crate::SettingError;

/// A server, and how to speak to it.
pub(crate) struct Place {
    pub(super) config: Config,
    pub(super) tls: Option<ClientConfig>,
}

/// What lets one in is left out.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for host in self.config.get_hosts() {
            match host {
                Host::Tcp(name) => write!(f, "{name} ")?,
                Host::Unix(path) => write!(f, "{} ", path.display())?,
            }
        }
        f.write_str(self.config.get_dbname().unwrap_or_default())
    }
}

impl Place {
    pub(super) fn time_zone(&mut self, zone: &str) -> Result<(), SettingError> {
        let named = zone.chars().all(|c| c.is_ascii_alphanumeric() || "_/+-:".contains(c));
        if zone.is_empty() || !named {
            return Err(SettingError::new(
                format!("`{}` is no time zone", zone.escape_debug()),
                "write one as PostgreSQL has them, such as `Europe/Berlin` or `UTC`",
            ));
        }
        let before = self.config.get_options().unwrap_or_default();
        let options = format!("{before} -c TimeZone={zone}");
        self.config.options(options.trim_start());
        Ok(())
    }
}

/// `sslmode` and `sslrootcert` are judged here, since tokio-postgres knows neither `verify-full` nor a file; all else
/// is its own.
pub(super) fn parse(url: &str) -> Result<Place, SettingError> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(no_url());
    }
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut roots, mut rest) = ("disable", None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = value,
            Some(("sslrootcert", value)) if value != "system" => roots = Some(value),
            Some(("sslrootcert", _)) => {}
            _ => rest.push(pair),
        }
    }
    let plain = if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
    let mut config: Config = plain.parse().map_err(|_| no_url())?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECTING);
    }
    let tls = match mode {
        "disable" => None,
        "require" | "verify-ca" | "verify-full" => Some(tls(roots)?),
        _ => {
            return Err(SettingError::new(
                format!(
                    "sslmode is `{}`, which protects from nobody who stands between",
                    mode.escape_debug()
                ),
                "write sslmode=verify-full, or sslmode=disable where nobody can stand between",
            ));
        }
    };
    config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
    Ok(Place { config, tls })
}

/// The provider is named, so that no other that an app brings along can be in the way.
fn tls(roots: Option<&str>) -> Result<ClientConfig, SettingError> {
    let mut trusted = RootCertStore::empty();
    match roots {
        Some(file) => {
            let file = percent_encoding::percent_decode_str(file).decode_utf8_lossy();
            let unread = |_| {
                SettingError::new(
                    format!("`{file}` holds no certificates that could be read"),
                    "sslrootcert names a file of certificates in PEM",
                )
            };
            for certificate in CertificateDer::pem_file_iter(&*file).map_err(unread)? {
                trusted.add(certificate.map_err(unread)?).map_err(|_| {
                    SettingError::new(format!("`{file}` holds a bad certificate"), "write it again as PEM")
                })?;
            }
        }
        // What the machine has in other forms than these is of no use to it either.
        None => _ = trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    }
    if trusted.is_empty() {
        return Err(SettingError::new(
            "there are no certificates of authorities to trust",
            "install the package ca-certificates, or write sslrootcert=FILE",
        ));
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| {
        SettingError::new(format!("no TLS with this provider: {error}"), "report this: it should not be")
    })?;
    Ok(builder.with_root_certificates(trusted).with_no_client_auth())
}

/// It may hold a password, so it is not shown.
fn no_url() -> SettingError {
    SettingError::new(
        "the URL of PostgreSQL is none that PostgreSQL has",
        "write postgres://USER:PASSWORD@HOST:PORT/DATABASE; a password's special characters are percent-encoded",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_verified_or_not_there_and_a_password_is_never_shown() {
        for (url, tls) in [
            ("postgres://ann:hunter2@db.example/shop", Some(false)),
            ("postgresql://ann:hunter2@db.example/shop?sslmode=disable&application_name=web", Some(false)),
            ("postgres://ann:hunter2@db.example/shop?sslmode=require", Some(true)),
            ("postgres://ann:hunter2@db.example/shop?application_name=web&sslmode=verify-full", Some(true)),
            ("postgres://ann:hunter2@db.example/shop?sslmode=prefer", None),
            ("postgres://ann:hunter2@db.example/shop?sslmode=require&sslrootcert=/nowhere.pem", None),
            ("postgres://ann:hunter2@db.example:port/shop", None),
            ("postgres://ann:hunter2@db.example/shop?hunter2=1", None),
            ("host=db.example password=hunter2", None),
        ] {
            let place = parse(url);
            let text = match &place {
                Ok(place) => format!("{place:?}"),
                Err(error) => format!("{error:?} {error} {}", error.hint()),
            };
            assert_eq!(place.ok().map(|place| place.tls.is_some()), tls, "{url}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_zone_is_a_name_and_nothing_else() {
        let mut place = parse("postgres://db.example?options=-c%20search_path%3Dweb").unwrap();
        place.time_zone("America/New_York").unwrap();
        assert_eq!(place.config.get_options(), Some("-c search_path=web -c TimeZone=America/New_York"));
        for zone in ["", "UTC -c x=y", "UTC'", "UTC\\"] {
            assert!(place.time_zone(zone).is_err(), "{zone:?}");
        }
    }
}
