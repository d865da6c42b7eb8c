//! On what terms TLS is spoken for one site.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};

use super::clients::{Authority, Clients};
use super::files::{Digest, Seen};
use super::tickets::{TicketKeys, Tickets};
use crate::GatewayError;
use crate::config::{Profile, Site};

/// What the terms of all sites have in common.
pub(super) struct Common {
    pub(super) profile: Profile,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) resolver: Arc<dyn ResolvesServerCert>,
    pub(super) tickets: Arc<TicketKeys>,
}

/// A site's terms. They are swapped whole when it asks visitors for other certificates than before.
pub(super) struct Terms {
    pub(super) site: String,
    pub(super) authority: Option<Authority>,
    seen: Seen,
    config: ArcSwap<ServerConfig>,
}

impl Terms {
    /// # Errors
    /// When a file of the site's authorities cannot be used at `now`.
    pub(super) fn new(site: &Site, common: &Common, now: SystemTime) -> Result<Self, GatewayError> {
        let authority = Authority::of(&site.tls);
        let site = site.hosts.first().map_or_else(String::new, |host| host.as_str().to_owned());
        let seen = Seen::default();
        if let Some(authority) = &authority {
            seen.took(Digest::of(authority.files()));
        }
        let config = ArcSwap::from(common.config(&site, authority.as_ref(), now)?);
        Ok(Self { site, authority, seen, config })
    }

    /// As they are now.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Takes other authorities into use where their files have changed, and tells whether it did. Tickets of before
    /// then open no more.
    ///
    /// # Errors
    /// When the files cannot be used at `now`: all stays as it is. `None` where that was told before.
    pub(super) fn look_again(&self, common: &Common, now: SystemTime) -> Result<bool, Option<GatewayError>> {
        let Some(authority) = &self.authority else { return Ok(false) };
        let Some(found) = self.seen.other(authority.files()) else { return Ok(false) };
        match common.config(&self.site, Some(authority), now) {
            Ok(config) => {
                self.config.store(config);
                self.seen.took(found);
                Ok(true)
            }
            Err(error) => Err(self.seen.is_news(found).then_some(error)),
        }
    }
}

impl Common {
    fn config(
        &self,
        site: &str,
        authority: Option<&Authority>,
        now: SystemTime,
    ) -> Result<Arc<ServerConfig>, GatewayError> {
        let clients: Option<Clients> =
            authority.map(|authority| authority.read(&self.provider, now)).transpose()?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.profile.versions())
            .map_err(GatewayError::Tls)?;
        let generation = clients.as_ref().map(|clients| clients.generation);
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(clients.verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.resolver));
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
        // Whichever is taken of these is good, and Mozilla leaves it to the visitor; but scanners, and people who read what
        // they say, take a server without an order of its own for one that nobody has set up.
        config.ignore_client_order = true;
        let generation = generation.as_ref().map_or(&b""[..], AsRef::as_ref);
        let profile = format!("{:?}", self.profile);
        let tickets =
            Tickets::new(Arc::clone(&self.tickets), &[site.as_bytes(), profile.as_bytes(), generation]);
        config.ticketer = Arc::new(tickets);
        // Sessions that the server keeps would be bound to nothing, and known to one machine alone.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }
}

pub(super) const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";
