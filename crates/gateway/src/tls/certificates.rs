//! Which certificate is shown for which name.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::Certificate;

/// All certificates. Every handshake reads them without a lock; they are swapped as a whole.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    shown: ArcSwap<Index>,
    /// Of two who put at once, the second must not put back what the first replaced.
    putting: Mutex<()>,
}

impl Certificates {
    pub(crate) fn new(certificates: impl IntoIterator<Item = Certificate>) -> Self {
        let all = certificates.into_iter().map(Arc::new).collect();
        Self { shown: ArcSwap::from_pointee(Index::new(all)), putting: Mutex::default() }
    }

    /// The certificate for a name (in any case): one with that very name, then one with a wildcard for its first
    /// label, and of several the one that was there first. Without a name: the first of all, since load balancers'
    /// probes name none. One that browsers trust goes before any self-made one.
    pub(crate) fn find(&self, server_name: Option<&str>) -> Option<Arc<Certificate>> {
        let shown = self.shown.load();
        let Some(name) = server_name else { return shown.all.first().cloned() };
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            shown.named(&name.to_ascii_lowercase())
        } else {
            shown.named(name)
        }
    }

    /// What a visitor is shown: the certificate for the name, else the first.
    pub(crate) fn shown(&self, server_name: Option<&str>) -> Option<Arc<Certificate>> {
        self.find(server_name).or_else(|| self.find(None))
    }

    /// The one that was made here, where there is one.
    pub(super) fn self_made(&self) -> Option<Arc<Certificate>> {
        self.shown.load().all.iter().find(|one| !one.trusted()).cloned()
    }

    /// The certificate for an address of this machine: who asks for an address names nothing (RFC 6066 §3).
    pub(crate) fn at(&self, address: IpAddr) -> Option<Arc<Certificate>> {
        let shown = self.shown.load();
        shown.all.iter().find(|one| one.addresses().contains(&address)).cloned()
    }

    /// Shows `certificate` from now on, in place of one from the same file or for the same names. Visitors whose
    /// handshake has begun get the old one still.
    pub(crate) fn put(&self, certificate: Certificate) {
        let _alone = self.putting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.shown.load().all.clone();
        let certificate = Arc::new(certificate);
        let of_its_file = |old: &Arc<Certificate>| old.origin() == certificate.origin();
        let place = all
            .iter()
            .position(of_its_file)
            .or_else(|| all.iter().position(|old| has_same_names(old, &certificate)))
            .unwrap_or(all.len());
        let after = all.split_off(place);
        all.push(Arc::clone(&certificate));
        // Two sites may have one file between them.
        all.extend(after.into_iter().skip(1).filter(|old| !of_its_file(old)));
        self.shown.store(Arc::new(Index::new(all)));
    }

    /// Shows the certificate that came from `origin` no more.
    pub(crate) fn withdraw(&self, origin: &Path) {
        let _alone = self.putting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.shown.load().all.clone();
        all.retain(|one| one.origin() != origin);
        self.shown.store(Arc::new(Index::new(all)));
    }

    /// When the certificate of each name ends, in the names' order; for metrics.
    pub(crate) fn ends(&self) -> Vec<(String, SystemTime)> {
        let shown = self.shown.load();
        let mut ends: Vec<_> =
            shown.by_name.iter().map(|(name, one)| (name.to_string(), one.not_after())).collect();
        for one in &shown.all {
            ends.extend(one.addresses().iter().map(|address| (address.to_string(), one.not_after())));
        }
        ends.sort();
        ends.dedup_by(|one, other| one.0 == other.0);
        ends
    }
}

/// Which of the certificates is for a name.
#[derive(Debug, Default)]
struct Index {
    all: Vec<Arc<Certificate>>,
    /// Wildcards are among them, as they are written.
    by_name: HashMap<Box<str>, Arc<Certificate>>,
}

impl Index {
    fn new(mut all: Vec<Arc<Certificate>>) -> Self {
        all.sort_by_key(|one| !one.trusted());
        let mut by_name = HashMap::new();
        for one in &all {
            for name in one.names() {
                by_name.entry(name.into()).or_insert_with(|| Arc::clone(one));
            }
        }
        Self { all, by_name }
    }

    fn named(&self, name: &str) -> Option<Arc<Certificate>> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let wildcard = || {
            let (label, rest) = name.split_once('.')?;
            (!label.is_empty()).then(|| self.by_name.get(format!("*.{rest}").as_str()))?
        };
        self.by_name.get(name).or_else(wildcard).cloned()
    }
}

fn has_same_names(old: &Certificate, new: &Certificate) -> bool {
    old.trusted() == new.trusted()
        && old.addresses() == new.addresses()
        && old.names().collect::<BTreeSet<_>>() == new.names().collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    /// A certificate for names, from a file.
    fn made(names: &[&str], origin: &str) -> Certificate {
        let names: Vec<_> = names.iter().copied().map(str::to_owned).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = SystemTime::UNIX_EPOCH.into();
        params.not_after = (SystemTime::UNIX_EPOCH + Duration::from_secs(1000)).into();
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(500);
        Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes(), Path::new(origin), now)
            .unwrap()
    }

    #[test]
    fn the_exact_name_goes_before_one_wildcard_label() {
        let certificates = Certificates::new([
            made(&["*.shop.example", "shop.example"], "wild"),
            made(&["www.shop.example", "192.0.2.1"], "www"),
        ]);
        for (name, origin) in [
            (Some("shop.example"), Some("wild")),
            (Some("SHOP.example"), Some("wild")),
            (Some("shop.example."), Some("wild")),
            (Some("img.shop.example"), Some("wild")),
            (Some("www.shop.example"), Some("www")),
            (Some("a.b.shop.example"), None),
            (Some(".shop.example"), None),
            (Some("*.shop.example"), Some("wild")),
            (Some("other.example"), None),
            (Some("example"), None),
            (Some(""), None),
            (None, Some("wild")),
        ] {
            let found = certificates.find(name);
            assert_eq!(found.as_ref().map(|one| one.origin()), origin.map(Path::new), "{name:?}");
        }
        let found = certificates.at([192, 0, 2, 1].into()).unwrap();
        assert_eq!(found.origin(), Path::new("www"));
        assert!(certificates.at([192, 0, 2, 2].into()).is_none());
    }

    #[test]
    fn a_certificate_replaces_the_one_from_its_file_or_for_its_names() {
        let two = [made(&["a.example"], "b"), made(&["a.example"], "a"), made(&["a.example"], "a")];
        let certificates = Certificates::new(two);
        certificates.put(made(&["a.example"], "a"));
        let origins: Vec<_> =
            certificates.shown.load().all.iter().map(|one| one.origin().to_owned()).collect();
        assert_eq!(origins, [Path::new("b"), Path::new("a")], "its file goes before its names");
        for (old, new, count) in [
            ((&["a.example"][..], "a"), (&["a.example", "b.example"][..], "a"), 1),
            ((&["a.example", "b.example"], "a"), (&["b.example", "a.example"], "b"), 1),
            ((&["a.example"], "a"), (&["b.example"], "b"), 2),
        ] {
            let certificates = Certificates::new([made(old.0, old.1)]);
            let fresh = made(new.0, new.1);
            let chain = fresh.chain().to_vec();
            certificates.put(fresh);
            assert_eq!(certificates.shown.load().all.len(), count, "{old:?} {new:?}");
            let found = certificates.find(Some(new.0[0])).unwrap();
            assert_eq!(found.chain(), chain, "{old:?} {new:?}");
        }
    }

    #[test]
    fn the_end_of_each_name_is_told_once() {
        let certificates =
            Certificates::new([made(&["b.example", "a.example"], "a"), made(&["a.example"], "b")]);
        let ends = certificates.ends();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        assert_eq!(ends, [("a.example".to_owned(), at), ("b.example".to_owned(), at)]);
    }
}
