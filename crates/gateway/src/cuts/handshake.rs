//! Why handshakes came to nothing.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::tls::NoSite;

/// What kept a visitor from a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmet {
    /// He went away, or said that he does not take the certificate.
    Left,
    /// He asked for a name that no site has.
    Name,
    /// He has no version, cipher suite or group that we have.
    Terms,
    /// He showed no certificate where one is asked for, or none that holds.
    Certificate,
    /// What he sent is no TLS, or a broken one.
    Broken,
    /// Too many of his came to nothing before.
    TurnedAway,
}

impl Unmet {
    pub(crate) const ALL: [Self; 6] =
        [Self::Left, Self::Name, Self::Terms, Self::Certificate, Self::Broken, Self::TurnedAway];

    /// `None`: nothing is wrong, an authority has looked.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        let mut error = error;
        // One is wrapped in another to say whether the visitor is charged.
        for _ in 0..DEPTH {
            let Some(inner) = error.get_ref() else { return Some(Self::Left) };
            if inner.is::<NoSite>() {
                return Some(Self::Name);
            }
            if let Some(inner) = inner.downcast_ref::<rustls::Error>() {
                return Some(Self::of_tls(inner));
            }
            match inner.downcast_ref::<io::Error>() {
                Some(inner) => error = inner,
                None if error.kind() == io::ErrorKind::InvalidData => return Some(Self::Certificate),
                None if error.kind() == io::ErrorKind::Other => return None,
                None => return Some(Self::Left),
            }
        }
        Some(Self::Broken)
    }

    const fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::AlertReceived(_) => Self::Left,
            rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Self::Terms,
            rustls::Error::NoCertificatesPresented
            | rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_) => Self::Certificate,
            _ => Self::Broken,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Name => "name",
            Self::Terms => "terms",
            Self::Certificate => "certificate",
            Self::Broken => "broken",
            Self::TurnedAway => "turned_away",
        }
    }
}

/// How often each happened.
#[derive(Debug, Default)]
pub(crate) struct Unmets([AtomicU64; Unmet::ALL.len()]);

impl Unmets {
    pub(crate) fn count(&self, unmet: Unmet) {
        if let Some(count) = self.0.get(unmet as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each reason with its count.
    pub(crate) fn all(&self) -> [(&'static str, u64); Unmet::ALL.len()] {
        let count =
            |unmet: Unmet| self.0.get(unmet as usize).map_or(0, |count| count.load(Ordering::Relaxed));
        Unmet::ALL.map(|unmet| (unmet.name(), count(unmet)))
    }
}

const DEPTH: usize = 4;
