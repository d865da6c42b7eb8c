//! Certificates from an authority that speaks ACME (RFC 8555), ordered and renewed without anybody's doing.
//!
//! A certificate that somebody has to remember is one that ends on a holiday. [`Acme`] knows each name of the sites,
//! and [`act`](Acme::act) does what is due: it orders what is missing, asks the authority when it would like to renew
//! (RFC 9773), renews at two thirds of a certificate's life where it does not say, and tells when it wants to be
//! asked again. It runs no task, reads no clock and draws its chance from a seed, so that a test lives through a year
//! in a second.
//!
//! **Stops** certificates that end unseen, limits of the authority used up by a loop, two machines that order the
//! same. **Leaves** an authority that lies, a DNS that points elsewhere. **Defaults** Let's Encrypt, a rehearsal on its
//! staging before a name's first order, fewer orders than its limits allow.

mod answers;
mod binding;
mod book;
mod client;
mod demand;
mod dns;
mod issued;
mod kept;
mod name;
mod order;
mod record;
mod round;
mod settings;
mod shelf;
mod tally;
mod trouble;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use http::Uri;
use panoply::Clock;
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use answers::Answers;
pub use demand::Demand;
pub use dns::{Algorithm, Dns, Tsig};
pub use issued::Issued;
pub use kept::Kept;
pub use name::Name;
pub use settings::{Challenge, ExternalAccount, Pace, Settings};
pub(crate) use shelf::shelf;
pub use tally::Tally;

use crate::GatewayError;
use book::Roll;
use client::Client;
use round::Round;

/// Who keeps the certificates of some names in order.
pub struct Acme {
    settings: Settings,
    names: Vec<Name>,
    /// Those that are kept in order because a visitor asked.
    on_demand: Vec<Name>,
    demand: Demand,
    /// What belongs to the authority, and what belongs to the one where is rehearsed.
    kept: Kept,
    kept_staging: Option<Kept>,
    held: BTreeMap<Name, Issued>,
    /// When a visitor was last noted to have been shown a certificate.
    served: BTreeMap<Name, u64>,
    answers: Answers,
    client: Client,
    random: StdRng,
    tally: Arc<Tally>,
    publish: Publish,
}

/// Who shows a certificate from now on; or none for that name any more.
pub type Publish = Box<dyn Fn(&Name, Option<&Issued>) + Send + Sync>;

impl Acme {
    /// Knows the names and what is kept of them; nobody is asked yet. `publish` is called with each certificate that is
    /// to be shown, at first with those of the folder. `clock` tells how old an answer of the store is, `seed` is where
    /// chance comes from.
    ///
    /// # Errors
    /// When a name cannot be proved by what is set, when the folder is not to be had, or nobody is trusted.
    pub fn open(
        settings: Settings,
        names: impl IntoIterator<Item = Name>,
        kept: &Kept,
        clock: &Clock,
        seed: u64,
        publish: Publish,
    ) -> Result<Self, GatewayError> {
        let names = orderable(names, &settings)?;
        let demand = Demand::new(orderable(settings.on_demand.iter().cloned(), &settings)?);
        let client = Client::new(settings.ca.as_deref(), &settings.pace)?;
        let of = |directory: &str| {
            kept.of(&authority(directory)).map_err(|error| GatewayError::Setting {
                message: format!("certificates have no place to be kept: {error}"),
                hint: "name a folder that this user may write, with `--state DIR`".to_owned(),
            })
        };
        let kept = of(&settings.directory)?;
        let kept_staging = settings.staging.as_deref().map(of).transpose()?;
        let mut this = Self {
            answers: Answers::new(&names, demand.clone(), kept.clone(), clock.clone()),
            held: BTreeMap::new(),
            served: BTreeMap::new(),
            random: StdRng::seed_from_u64(seed),
            tally: Arc::default(),
            settings,
            names,
            on_demand: Vec::new(),
            demand,
            kept,
            kept_staging,
            client,
            publish,
        };
        this.recall();
        match this.client.trusts_nobody() {
            // What is kept is worth more than an error.
            Some(error) if !this.held.is_empty() => tracing::warn!("{error}\nhint: {}", error.hint()),
            Some(error) => return Err(error),
            None => {}
        }
        Ok(this)
    }

    /// Does what is due at `now`, and says when there will be something to do again: later than `now`, and within a day.
    /// Whatever happens inside is no error here: it is in the log, and is tried again.
    pub async fn act(&mut self, now: SystemTime) -> SystemTime {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let next = Round::new(self, now).go().await;
        let next = next.clamp(now + 1, now + LONGEST_REST);
        self.tally.is_due(next);
        UNIX_EPOCH + Duration::from_secs(next)
    }

    /// What is answered to an authority that comes to look.
    #[must_use]
    pub fn answers(&self) -> Answers {
        self.answers.clone()
    }

    /// What visitors may ask for.
    #[must_use]
    pub fn demand(&self) -> Demand {
        self.demand.clone()
    }

    /// The certificate that is held for a name.
    #[must_use]
    pub fn held(&self, name: &Name) -> Option<&Issued> {
        self.held.get(name)
    }

    /// The names that it keeps in order.
    #[must_use]
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// What became of orders.
    #[must_use]
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Shows what the folder has.
    fn recall(&mut self) {
        self.on_demand = self.known(self.kept.copy(book::ROLL).ok().flatten().as_deref());
        for name in self.all_names() {
            match self.kept.copy(&round::certificate_file(&name)) {
                Ok(Some(pem)) => self.hold(&name, &pem),
                Ok(None) => {}
                Err(error) => tracing::warn!(%name, %error, "a certificate that was kept is not to be had"),
            }
        }
    }

    /// Of the names that visitors asked for once, those that the list still allows.
    fn known(&self, text: Option<&[u8]>) -> Vec<Name> {
        let roll: Roll = text.and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
        self.of_roll(&roll)
    }

    fn of_roll(&self, roll: &Roll) -> Vec<Name> {
        let names = roll.names.iter().take(demand::MOST_KEPT).filter_map(|name| self.demand.allows(name));
        names.filter(|name| !self.names.contains(name)).collect()
    }

    fn all_names(&self) -> Vec<Name> {
        self.names.iter().chain(&self.on_demand).cloned().collect()
    }

    /// Takes `pem` for what is held from now on, unless it is that already, or of no use.
    fn hold(&mut self, name: &Name, pem: &[u8]) {
        if self.held.get(name).is_some_and(|held| held.pem() == pem) {
            return;
        }
        match Issued::parse(pem, name) {
            // A copy that is older than what came since. It may well end later: one of another kind.
            Ok(issued) if self.held.get(name).is_some_and(|held| held.not_before() > issued.not_before()) => {
            }
            Ok(issued) => {
                (self.publish)(name, Some(&issued));
                self.held.insert(name.clone(), issued);
            }
            Err(what) => tracing::warn!(%name, "a certificate that was kept is of no use: {what}"),
        }
    }
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acme")
            .field("names", &self.names)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Each name once, without those for which nobody gives a certificate.
fn orderable(names: impl IntoIterator<Item = Name>, settings: &Settings) -> Result<Vec<Name>, GatewayError> {
    let mut found: Vec<Name> = Vec::new();
    for name in names {
        if found.contains(&name) {
            continue;
        }
        // A private authority has names of its own.
        if let Some(reason) = name.is_private().filter(|_| settings.ca.is_none()) {
            tracing::warn!(%name, "no certificate is ordered: {reason}");
            continue;
        }
        let is_asked_for = settings.on_demand.contains(&name);
        if !is_asked_for && !settings.challenges.iter().any(|challenge| challenge.proves(&name)) {
            let (what, hint) = match name {
                Name::Address(_) => ("an address", "leave `tls-alpn-01` or `http-01` among the `challenges`"),
                _ => ("a wildcard", "set `dns` in [tls.acme], or write the names one by one"),
            };
            return Err(GatewayError::Setting {
                message: format!("no challenge that is set can prove `{name}`, which is {what}"),
                hint: hint.to_owned(),
            });
        }
        found.push(name);
    }
    Ok(found)
}

/// A name for the authority that can be one of a folder: its host, and a few digits of its directory's hash.
fn authority(directory: &str) -> String {
    let host = directory.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    let host: String = host
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '+' })
        .take(100)
        .collect();
    let hash = digest(&SHA256, directory.as_bytes());
    let hash: String = hash.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{host}-{hash}")
}

/// In seconds.
const LONGEST_REST: u64 = record::DAY;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// Valid from the one day of 2026 to the other, in PEM with its key.
    fn made(begin: u8, end: u8) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["shop.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, begin);
        params.not_after = rcgen::date_time_ymd(2026, 12, end);
        format!("{}{}", key.serialize_pem(), params.self_signed(&key).unwrap().pem())
    }

    #[test]
    fn what_came_later_is_shown_also_where_it_ends_sooner() {
        let settings = Settings::of("https://ca.example/dir", &made(1, 2));
        let shown = Arc::new(Mutex::new(0));
        let count = Arc::clone(&shown);
        let publish: Publish = Box::new(move |_, _| *count.lock().unwrap() += 1);
        let name = Name::parse("shop.example");
        let kept = Kept::open(None, None, String::new()).unwrap();
        let mut acme = Acme::open(settings, [name.clone()], &kept, &Clock::manual(), 1, publish).unwrap();
        let (classic, short, older) = (made(10, 20), made(11, 12), made(9, 28));
        for (row, (pem, held, count)) in [
            (&classic, &classic, 1),
            (&short, &short, 2),
            (&classic, &short, 2),
            (&older, &short, 2),
            (&short, &short, 2),
        ]
        .into_iter()
        .enumerate()
        {
            acme.hold(&name, pem.as_bytes());
            assert_eq!(acme.held(&name).unwrap().pem(), held.as_bytes(), "row {row}");
            assert_eq!(*shown.lock().unwrap(), count, "row {row}");
        }
        acme.hold(&name, b"what is none");
        assert_eq!(acme.held(&name).unwrap().pem(), short.as_bytes());
    }

    #[test]
    fn an_authority_has_a_folder_of_its_own() {
        let found = ["https://ca.example/a", "https://ca.example/b", "https://[::1]:14000/dir", "no URL"]
            .map(authority);
        assert!(found[0].starts_with("ca.example-") && found[0] != found[1], "{found:?}");
        assert!(
            found.iter().all(|name| !name.contains(['/', ':', '[']) && !name.starts_with('.')),
            "{found:?}"
        );
    }
}
