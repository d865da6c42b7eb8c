//! What the authority is answered when it comes to see whether a name is ours.
//!
//! It may come to another machine than the one that ordered: so what is to be answered is in the store as well, under
//! the name that is asked about. Who asks decides nothing but one of our own names, and each name is looked up once a
//! second at most: a stranger cannot make the store busy.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use panoply::Clock;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;

use super::{Demand, Kept, Name};

/// What is answered to whoever comes to look. A clone is another handle on the same.
#[derive(Clone)]
pub struct Answers(Arc<Inner>);

struct Inner {
    /// By the name that a handshake or a `Host` gives: no others are ever looked up, but those that the list allows.
    names: HashMap<String, Name>,
    demand: Demand,
    here: Mutex<HashMap<Name, String>>,
    /// What the store said lately, and when. Several come at once to look from several places: who comes while it is
    /// asked waits for what it says.
    seen: HashMap<Name, tokio::sync::Mutex<Option<Seen>>>,
    /// The same for all names that visitors ask for: one order is driven at a time, so one place is enough.
    seen_on_demand: tokio::sync::Mutex<Option<Seen>>,
    kept: Kept,
    clock: Clock,
}

/// When the store said it, and what.
type Seen = (Duration, Option<String>);

impl Answers {
    pub(super) fn new(names: &[Name], demand: Demand, kept: Kept, clock: Clock) -> Self {
        let server_names = names.iter().map(|name| (name.server_name(), name.clone()));
        let hosts = names.iter().map(|name| (name.to_string(), name.clone()));
        let seen = names.iter().map(|name| (name.clone(), tokio::sync::Mutex::default())).collect();
        let names = server_names.chain(hosts).collect();
        Self(Arc::new(Inner {
            names,
            demand,
            here: Mutex::default(),
            seen,
            seen_on_demand: tokio::sync::Mutex::default(),
            kept,
            clock,
        }))
    }

    /// What stands at `/.well-known/acme-challenge/{token}` of `host` (RFC 8555 §8.3); `host` has no port.
    pub async fn http(&self, host: &str, token: &str) -> Option<String> {
        if !is_token(token) {
            return None;
        }
        let answer = self.find(host).await?;
        let (expected, _) = answer.split_once('.')?;
        (expected == token).then_some(answer)
    }

    /// The certificate that a handshake with `acme-tls/1` shows for a server name (RFC 8737 §3).
    pub async fn tls_alpn(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        let answer = self.find(server_name).await?;
        let name = self.name(server_name)?;
        challenge_certificate(&name, &answer).map(Arc::new)
    }

    /// From now on `key_authorization` is what is answered about `name`, by all machines.
    pub(super) async fn put(&self, name: &Name, key_authorization: &str) -> Result<(), String> {
        lock(&self.0.here).insert(name.clone(), key_authorization.to_owned());
        if let Some(shared) = self.0.kept.shared() {
            let written = shared
                .write(&self.0.key(name), self.0.value(name, key_authorization).as_bytes(), AT_MOST)
                .await;
            written.map_err(|error| format!("the store does not answer: {error}"))?;
            // Some machine may have heard just now that there is nothing to answer.
            tokio::time::sleep(FRESH + FRESH / 4).await;
        }
        Ok(())
    }

    /// Nothing more is answered about `name`.
    pub(super) async fn take(&self, name: &Name) {
        lock(&self.0.here).remove(name);
        if let Some(shared) = self.0.kept.shared() {
            // It ends by itself.
            let _ = shared.remove(&self.0.key(name)).await;
        }
    }

    fn name(&self, text: &str) -> Option<Name> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let own = self.0.names.get(text).or_else(|| self.0.names.get(&text.to_ascii_lowercase()));
        own.cloned().or_else(|| self.0.demand.allows(text))
    }

    async fn find(&self, text: &str) -> Option<String> {
        let name = &self.name(text)?;
        if let Some(answer) = lock(&self.0.here).get(name) {
            return Some(answer.clone());
        }
        let shared = self.0.kept.shared()?;
        let mut seen = self.0.seen.get(name).unwrap_or(&self.0.seen_on_demand).lock().await;
        if let Some((at, answer)) = &*seen
            && self.0.clock.now() < *at + FRESH
        {
            return self.0.about(name, answer.as_deref());
        }
        let answer = shared.read(&self.0.key(name)).await.ok().flatten();
        let answer = answer.and_then(|answer| String::from_utf8(answer).ok());
        let found = self.0.about(name, answer.as_deref());
        *seen = Some((self.0.clock.now(), answer));
        found
    }
}

impl Inner {
    fn key(&self, name: &Name) -> String {
        match self.seen.contains_key(name) {
            true => self.kept.key(&format!("answer:{}", name.file())),
            false => self.kept.key("answer-on-demand"),
        }
    }

    /// What stands in the store.
    fn value(&self, name: &Name, key_authorization: &str) -> String {
        match self.seen.contains_key(name) {
            true => key_authorization.to_owned(),
            false => format!("{name} {key_authorization}"),
        }
    }

    /// Of what stands in the store, what is about `name`.
    fn about(&self, name: &Name, value: Option<&str>) -> Option<String> {
        let value = value?;
        if self.seen.contains_key(name) {
            return Some(value.to_owned());
        }
        let (about, key_authorization) = value.split_once(' ')?;
        (about == name.to_string()).then(|| key_authorization.to_owned())
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let here: HashSet<_> = lock(&self.0.here).keys().cloned().collect();
        f.debug_struct("Answers").field("about", &here).finish_non_exhaustive()
    }
}

/// Base64url and no more (RFC 8555 §8.1): it stands in paths and in the names of values.
pub(super) fn is_token(token: &str) -> bool {
    (SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn challenge_certificate(name: &Name, key_authorization: &str) -> Option<CertifiedKey> {
    let hash = digest(&SHA256, key_authorization.as_bytes());
    let mut params = CertificateParams::new([name.subject()]).ok()?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(hash.as_ref())];
    let key = KeyPair::generate().ok()?;
    let certificate = params.self_signed(&key).ok()?;
    let key = any_supported_type(&PrivateKeyDer::from(key)).ok()?;
    Some(CertifiedKey::new(vec![certificate.der().clone()], key))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 128 bits of chance are 22 characters (RFC 8555 §8.1).
const SHORTEST_TOKEN: usize = 22;
const LONGEST_TOKEN: usize = 128;

/// How long an answer of the store holds.
const FRESH: Duration = Duration::from_secs(1);

/// An authority looks within minutes; what is left behind ends.
const AT_MOST: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_base64url_of_a_sane_length() {
        for (token, good) in [
            ("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", true),
            ("a-b_c-b_c-b_c-b_c-b_c-", true),
            ("short", false),
            ("../../../../etc/passwd/abcd", false),
            ("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0.", false),
            ("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEu\n", false),
            ("", false),
        ] {
            assert_eq!(is_token(token), good, "{token:?}");
        }
        assert!(is_token(&"a".repeat(128)) && !is_token(&"a".repeat(129)));
    }

    #[tokio::test]
    async fn only_what_was_asked_for_is_answered_and_only_for_its_name() {
        let names = [Name::parse("shop.example"), Name::parse("192.0.2.1"), Name::parse("www.example")];
        let demand = Demand::new(vec![Name::parse("*.customers.example")]);
        let kept = Kept::open(None, None, String::new()).unwrap();
        let answers = Answers::new(&names, demand, kept, Clock::manual());
        let token = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
        let other = "MoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
        let full = format!("{token}.thumb");
        for name in [&names[0], &names[1], &Name::parse("a.customers.example")] {
            answers.put(name, &full).await.unwrap();
        }
        for (host, asked, found) in [
            ("shop.example", token, true),
            ("SHOP.example.", token, true),
            ("192.0.2.1", token, true),
            ("a.customers.example", token, true),
            ("b.customers.example", token, false),
            ("shop.example", other, false),
            ("www.example", token, false),
            ("evil.example", token, false),
            ("", token, false),
        ] {
            let answer = answers.http(host, asked).await;
            assert_eq!(answer, found.then(|| full.clone()), "{host} {asked}");
        }
        for (server_name, found) in
            [("shop.example", true), ("1.2.0.192.in-addr.arpa", true), ("www.example", false), ("", false)]
        {
            assert_eq!(answers.tls_alpn(server_name).await.is_some(), found, "{server_name}");
        }
        answers.take(&names[0]).await;
        assert_eq!(answers.http("shop.example", token).await, None);
        assert!(answers.tls_alpn("shop.example").await.is_none());
    }
}
