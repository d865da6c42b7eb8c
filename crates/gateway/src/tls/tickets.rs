//! Session tickets: who comes back within half a day need not shake hands anew (RFC 8446 §2.2, RFC 5077).
//!
//! **Stops** a stolen key from opening much: each is random, seals for [`ROTATION`] and is gone [`LIFETIME`] later; it is
//! never written to a disk, and in a store of several machines stands sealed. **Stops** a ticket from being more than a handshake would be: it opens only for the site, the
//! profile and the generation of client authorities that it was sealed for, since a resumed handshake verifies no
//! certificate of the visitor's again. **Leaves** TLS 1.2 without forward secrecy for as long as its ticket's key
//! lives, which is how such tickets are.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

/// How long a ticket can be used: a visitor of the morning comes back in the afternoon.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a key seals. What a thief of one key can open was sealed within this time.
pub(crate) const ROTATION: Duration = Duration::from_secs(60 * 60);

/// The keys that tickets are sealed with, for all threads and sites.
#[derive(Debug)]
pub(crate) struct TicketKeys(ArcSwap<Ring>);

/// An hour, counted from 1970: each has a key of its own.
pub(crate) type Hour = u64;

/// The hour of a moment since 1970.
pub(crate) const fn hour(now: Duration) -> Hour {
    now.as_secs() / ROTATION.as_secs()
}

impl TicketKeys {
    /// With one key. `now`: since 1970.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(crate) fn new(now: Duration) -> Result<Self, Unspecified> {
        let key = TicketKey::random(hour(now))?;
        Ok(Self(ArcSwap::from_pointee(Ring { seals: Some(key.clone()), opens: vec![key] })))
    }

    /// Seals with the key of this hour, which it makes where there is none, and forgets those whose tickets have all
    /// ended.
    ///
    /// # Errors
    /// When the system has no random numbers: then all stays as it is.
    pub(crate) fn rotate(&self, now: Duration) -> Result<(), Unspecified> {
        let now = hour(now);
        let has_one = |ring: &Ring| ring.opens.iter().any(|key| key.hour == now);
        let fresh = if has_one(&self.0.load()) { None } else { Some(TicketKey::random(now)?) };
        self.0.rcu(|ring| {
            let fresh = fresh.iter().filter(|_| !has_one(ring));
            Ring::new(ring.opens.iter().chain(fresh).cloned().collect(), now)
        });
        Ok(())
    }

    /// Takes a key that other machines have too. It goes before one of this machine's own.
    pub(crate) fn adopt(&self, key: TicketKey, now: Duration) {
        let key = TicketKey { is_shared: true, ..key };
        // Who keeps what was served before a reload may be at it still: neither loses what the other has put in.
        self.0.rcu(|ring| {
            let others = ring.opens.iter().filter(|old| old.name != key.name);
            Ring::new(std::iter::once(&key).chain(others).cloned().collect(), hour(now))
        });
    }

    /// Whether the key of an hour is one that other machines have too.
    pub(crate) fn is_shared(&self, hour: Hour) -> bool {
        self.0.load().opens.iter().any(|key| key.hour == hour && key.is_shared)
    }

    fn seal(&self, context: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let ring = self.0.load();
        let newest = ring.seals.as_ref()?;
        let mut text = Vec::with_capacity(HEAD + plain.len() + TAG);
        text.extend_from_slice(plain);
        let nonce = newest.key.seal_in_place_append_tag(Aad::from(context), &mut text).ok()?;
        let head = newest.name.iter().chain(nonce.as_ref()).copied();
        text.splice(..0, head);
        Some(text)
    }

    fn open(&self, context: &[u8], ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let ring = self.0.load();
        let key = ring.opens.iter().find(|key| &key.name == name)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.key.open_in_place(nonce, Aad::from(context), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

/// The keys of some hours.
#[derive(Debug)]
struct Ring {
    seals: Option<TicketKey>,
    opens: Vec<TicketKey>,
}

impl Ring {
    /// One of the hour that comes opens already: another machine's clock may be a little ahead.
    fn new(mut opens: Vec<TicketKey>, now: Hour) -> Self {
        opens.retain(|key| key.hour <= now + 1 && now <= key.hour + LIFETIME.as_secs() / ROTATION.as_secs());
        let of_this_hour = opens.iter().filter(|key| key.hour == now);
        let seals = of_this_hour.max_by_key(|key| (key.is_shared, key.name)).cloned();
        Self { seals, opens }
    }
}

/// What tickets of one site are sealed with and bound to.
pub(crate) struct Tickets {
    keys: Arc<TicketKeys>,
    context: digest::Digest,
}

impl Tickets {
    /// `bound_to`: whatever of it differs, no ticket opens.
    pub(crate) fn new(keys: Arc<TicketKeys>, bound_to: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&SHA256);
        for part in bound_to {
            // With its length, so that no two lists run into one text.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Self { keys, context: context.finish() }
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.seal(self.context.as_ref(), plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.keys.open(self.context.as_ref(), ticket)
    }
}

/// GCM-SIV, since random nonces of many machines may meet: here that tells no more than that two tickets are equal
/// (RFC 8452 §9).
#[derive(Clone)]
pub(crate) struct TicketKey {
    hour: Hour,
    name: [u8; NAME],
    key: Arc<RandomizedNonceKey>,
    is_shared: bool,
}

impl TicketKey {
    /// A key's length in bytes, its name among them.
    pub(crate) const LENGTH: usize = NAME + SECRET;

    /// The key that `bytes` are; random ones, or what another machine has put into the store.
    pub(crate) fn of(hour: Hour, bytes: &[u8]) -> Option<Self> {
        let (name, secret) = bytes.split_first_chunk::<NAME>()?;
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, secret).ok()?;
        Some(Self { hour, name: *name, key: Arc::new(key), is_shared: false })
    }

    fn random(hour: Hour) -> Result<Self, Unspecified> {
        Self::of(hour, &*random_bytes()?).ok_or(Unspecified)
    }
}

/// What a key is made from.
pub(crate) fn random_bytes() -> Result<Zeroizing<[u8; TicketKey::LENGTH]>, Unspecified> {
    let mut bytes = Zeroizing::new([0; TicketKey::LENGTH]);
    rand::fill(&mut *bytes)?;
    Ok(bytes)
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketKey")
            .field("hour", &self.hour)
            .field("key", &"[secret]")
            .finish_non_exhaustive()
    }
}

const NAME: usize = 16;
const SECRET: usize = 32;
const TAG: usize = 16;
const HEAD: usize = NAME + NONCE_LEN;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ticket_opens_for_half_a_day_and_then_no_more() {
        let start = ROTATION * 1000;
        let keys = Arc::new(TicketKeys::new(start).unwrap());
        let tickets = Tickets::new(Arc::clone(&keys), &[b"shop"]);
        let ticket = tickets.encrypt(b"session").unwrap();
        for hours in 1..=14 {
            keys.rotate(start + ROTATION * hours).unwrap();
            assert_eq!(tickets.decrypt(&ticket).is_some(), hours <= 12, "after {hours} hours");
            let fresh = tickets.encrypt(b"session").unwrap();
            assert_ne!(fresh[..NAME], ticket[..NAME], "the first key seals no more");
            assert!(keys.0.load().opens.len() <= 14, "{hours}");
        }
        keys.rotate(start).unwrap();
        assert_eq!(keys.0.load().opens.len(), 1, "a clock that was set back leaves no key for ever");
    }

    #[test]
    fn within_an_hour_nothing_is_rotated() {
        let keys = TicketKeys::new(ROTATION).unwrap();
        let ticket = keys.seal(b"", b"session").unwrap();
        keys.rotate(ROTATION * 2 - Duration::from_secs(1)).unwrap();
        assert_eq!(keys.seal(b"", b"session").unwrap()[..NAME], ticket[..NAME]);
    }

    #[test]
    fn machines_with_the_same_key_open_each_others_tickets() {
        let now = ROTATION * 10;
        let bytes = random_bytes().unwrap();
        let machines = [(); 2].map(|()| TicketKeys::new(now).unwrap());
        let before = machines[0].seal(b"shop", b"session").unwrap();
        assert_eq!(machines[1].open(b"shop", &before), None);
        for machine in &machines {
            machine.adopt(TicketKey::of(10, &*bytes).unwrap(), now);
            machine.rotate(now).unwrap();
        }
        let ticket = machines[0].seal(b"shop", b"session").unwrap();
        assert_eq!(machines[1].open(b"shop", &ticket).as_deref(), Some(&b"session"[..]));
        assert!(machines[0].open(b"shop", &before).is_some(), "its own of before opens still");
        assert!(machines[0].is_shared(10) && !machines[0].is_shared(11));

        // The next hour's key opens at once, and seals when its hour has come.
        let next = random_bytes().unwrap();
        machines[0].adopt(TicketKey::of(11, &*next).unwrap(), now);
        assert_eq!(machines[0].seal(b"", b"").unwrap()[..NAME], ticket[..NAME]);
        machines[0].rotate(now + ROTATION).unwrap();
        assert_eq!(machines[0].seal(b"", b"").unwrap()[..NAME], next[..NAME]);
    }

    proptest! {
        #[test]
        fn a_ticket_opens_for_what_it_is_bound_to_and_nothing_else(
            plain: Vec<u8>, site: Vec<u8>, generation: Vec<u8>, other_site: Vec<u8>, other_generation: Vec<u8>,
        ) {
            let keys = Arc::new(TicketKeys::new(ROTATION).unwrap());
            let ticket = Tickets::new(Arc::clone(&keys), &[&site, &generation]).encrypt(&plain).unwrap();
            for (site_now, generation_now) in [
                (&site, &generation), (&other_site, &generation), (&site, &other_generation), (&generation, &site),
            ] {
                let opened = Tickets::new(Arc::clone(&keys), &[site_now, generation_now]).decrypt(&ticket);
                let same = (site_now, generation_now) == (&site, &generation);
                prop_assert_eq!(opened, same.then(|| plain.clone()));
            }
        }

        #[test]
        fn what_is_no_ticket_of_ours_opens_nothing(mut bytes: Vec<u8>, plain: Vec<u8>, at: prop::sample::Index) {
            let keys = Arc::new(TicketKeys::new(ROTATION).unwrap());
            let tickets = Tickets::new(keys, &[]);
            prop_assert_eq!(tickets.decrypt(&bytes), None);
            let mut ticket = tickets.encrypt(&plain).unwrap();
            let at = at.index(ticket.len());
            ticket[at] ^= 1;
            prop_assert_eq!(tickets.decrypt(&ticket), None, "one bit at {}", at);
            bytes.splice(..0, ticket);
            prop_assert_eq!(tickets.decrypt(&bytes), None);
        }
    }
}
