//! Which certificates a configuration has on this machine, valid or not: whose, by whom, until when. Nothing is written
//! and nobody is asked.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::config::Config;
use crate::tls::{self, Facts};
use crate::{GatewayError, acme, state};

/// All that were found.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Inventory {
    /// In the order of files, authority, self-made.
    pub certificates: Vec<Entry>,
    /// Those that could not be read, and why.
    #[serde(skip)]
    pub faults: Vec<GatewayError>,
}

/// One certificate. Times are in UTC, as RFC 3339 writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// The hosts and addresses that it is for.
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// From when it is valid.
    pub not_before: String,
    /// Until when it is valid.
    pub not_after: String,
    /// How it came here.
    pub from: Origin,
    /// Where it lies.
    pub file: PathBuf,
    /// When the gateway renews it; `None`: whoever wrote the file does.
    pub renewal: Option<String>,
}

/// How a certificate came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// An operator put it there.
    File,
    /// The gateway ordered it.
    Acme,
    /// The gateway made it: no browser trusts it.
    SelfMade,
}

impl Inventory {
    /// What there is for `config`.
    ///
    /// # Errors
    /// When nothing tells where the state is, or the authority's folder cannot be listed.
    pub fn of(config: &Config) -> Result<Self, GatewayError> {
        let mut this = Self::default();
        for file in tls::chains(config) {
            this.add(&file, Origin::File, |_| None);
        }
        if config.tls.cert.is_some() {
            return Ok(this);
        }
        let folder = state::folder(config.state.as_deref())?;
        // Also without a contact in the file: the command line of `serve` may have named it.
        for kept in acme::shelf(&folder, config.tls.acme.directory.as_str())? {
            this.add(&kept.file, Origin::Acme, |facts| Some(kept.renewal(facts.not_before, facts.not_after)));
        }
        let own = tls::self_made_chain(&folder);
        if own.exists() {
            this.add(&own, Origin::SelfMade, |facts| Some(tls::self_made_renewal(facts.not_after)));
        }
        Ok(this)
    }

    fn add(&mut self, file: &Path, from: Origin, renewal: impl FnOnce(&Facts) -> Option<SystemTime>) {
        match Facts::read(file) {
            Ok(facts) => self.certificates.push(Entry {
                renewal: renewal(&facts).map(written),
                names: facts.names(),
                not_before: written(facts.not_before),
                not_after: written(facts.not_after),
                issuer: facts.issuer,
                from,
                file: file.to_owned(),
            }),
            Err(error) => self.faults.push(error),
        }
    }
}

fn written(time: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    // Later than any date of four digits is as good as never.
    let time = time.min(UNIX_EPOCH + Duration::from_secs(LAST));
    OffsetDateTime::from(time).format(format).unwrap_or_default()
}

/// 9999-12-31 23:59:59, in seconds since 1970.
const LAST: u64 = 253_402_300_799;
