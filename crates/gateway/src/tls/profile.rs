//! Mozilla's profiles (Server Side TLS, guidelines 5.7), as far as rustls speaks them: it has no DHE, which only
//! clients without ECDHE would need, and no browser of the last ten years is one.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite, kx_group as group};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::config::Profile;

impl Profile {
    pub(super) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Intermediate => BOTH,
            Self::Modern => NEWEST,
        }
    }

    /// The provider is given, not installed: two in one process would fight over the default.
    pub(super) fn provider(self) -> Arc<CryptoProvider> {
        let suites = match self {
            Self::Intermediate => [TLS_13, TLS_12].concat(),
            Self::Modern => TLS_13.to_vec(),
        };
        Arc::new(CryptoProvider {
            cipher_suites: suites,
            kx_groups: GROUPS.to_vec(),
            ..aws_lc_rs::default_provider()
        })
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];

const TLS_13: &[SupportedCipherSuite] = &[
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS13_CHACHA20_POLY1305_SHA256,
];

const TLS_12: &[SupportedCipherSuite] = &[
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// What is recorded today must not be read by the quantum computer of tomorrow: hence the hybrid first
/// (draft-ietf-tls-ecdhe-mlkem). The others are the profiles' own.
const GROUPS: &[&dyn rustls::crypto::SupportedKxGroup] =
    &[group::X25519MLKEM768, group::X25519, group::SECP256R1, group::SECP384R1];

#[cfg(test)]
mod tests {
    use super::*;

    /// Names as in Mozilla's `5.7.json`, of which OpenSSL's and IANA's are the same but for dashes.
    #[test]
    fn the_profiles_are_mozillas() {
        let tls_13 = ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"];
        let tls_12 = [
            "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ];
        for (profile, versions, suites) in [
            (Profile::Intermediate, &["TLSv1_3", "TLSv1_2"][..], [&tls_13[..], &tls_12].concat()),
            (Profile::Modern, &["TLSv1_3"], tls_13.to_vec()),
        ] {
            let found: Vec<_> = profile.versions().iter().map(|one| format!("{:?}", one.version)).collect();
            assert_eq!(found, versions, "{profile:?}");
            let provider = profile.provider();
            let found: Vec<_> =
                provider.cipher_suites.iter().map(|one| format!("{:?}", one.suite())).collect();
            let found: Vec<_> = found
                .iter()
                .map(|name| name.trim_start_matches("TLS13_").trim_start_matches("TLS_"))
                .collect();
            assert_eq!(found, suites, "{profile:?}");
            let found: Vec<_> = provider.kx_groups.iter().map(|one| format!("{:?}", one.name())).collect();
            assert_eq!(found, ["X25519MLKEM768", "X25519", "secp256r1", "secp384r1"], "{profile:?}");
        }
    }
}
