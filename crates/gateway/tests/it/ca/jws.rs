//! What a client signed: the one form of RFC 7515 that RFC 8555 §6.2 allows, and the keys that may sign it.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;

/// Not verified before [`Jws::verify`] was asked.
#[derive(Debug)]
pub(crate) struct Jws {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
    signed: String,
    signature: Vec<u8>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    alg: String,
    pub(crate) nonce: Option<String>,
    pub(crate) url: String,
    pub(crate) jwk: Option<Value>,
    pub(crate) kid: Option<String>,
}

impl Jws {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let flat: Flat =
            serde_json::from_slice(body).map_err(|error| Problem::malformed(error.to_string()))?;
        let header = decode(&flat.protected)?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|error| Problem::malformed(error.to_string()))?;
        if header.jwk.is_some() == header.kid.is_some() {
            return Err(Problem::malformed("exactly one of `jwk` and `kid` is to be there"));
        }
        Ok(Self {
            header,
            payload: decode(&flat.payload)?,
            signed: format!("{}.{}", flat.protected, flat.payload),
            signature: decode(&flat.signature)?,
        })
    }

    pub(crate) fn verify(&self, key: &Jwk) -> Result<(), Problem> {
        if self.header.alg != key.algorithm() {
            return Err(Problem::new(
                400,
                "badSignatureAlgorithm",
                "only ES256 and EdDSA, by their own keys",
            ));
        }
        key.verify(self.signed.as_bytes(), &self.signature)
    }

    /// As the inner one of an external account binding is signed (RFC 8555 §7.3.4).
    pub(crate) fn verify_mac(&self, key: &[u8]) -> Result<(), Problem> {
        if self.header.alg != "HS256" || self.header.nonce.is_some() {
            return Err(Problem::malformed("an external account is bound by HS256 and without a nonce"));
        }
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), self.signed.as_bytes(), &self.signature)
            .map_err(|_| Problem::unauthorized("the external account's signature is wrong"))
    }
}

/// A public key as its members say it. Two are equal when the account is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Jwk {
    P256 { x: String, y: String },
    Ed25519 { x: String },
}

impl Jwk {
    pub(crate) fn read(value: &Value) -> Result<Self, Problem> {
        let member = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match (member("kty").as_str(), member("crv").as_str()) {
            ("EC", "P-256") => Ok(Self::P256 { x: member("x"), y: member("y") }),
            ("OKP", "Ed25519") => Ok(Self::Ed25519 { x: member("x") }),
            _ => Err(Problem::new(400, "badPublicKey", "only P-256 and Ed25519")),
        }
    }

    /// RFC 7638: the members in this order, without a blank.
    pub(crate) fn thumbprint(&self) -> String {
        let members = match self {
            Self::P256 { x, y } => json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y }),
            Self::Ed25519 { x } => json!({ "crv": "Ed25519", "kty": "OKP", "x": x }),
        };
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.to_string().as_bytes()))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::P256 { .. } => "ES256",
            Self::Ed25519 { .. } => "EdDSA",
        }
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), Problem> {
        let (algorithm, point): (&dyn VerificationAlgorithm, Vec<u8>) = match self {
            Self::P256 { x, y } => (&ECDSA_P256_SHA256_FIXED, [vec![4], decode(x)?, decode(y)?].concat()),
            Self::Ed25519 { x } => (&ED25519, decode(x)?),
        };
        UnparsedPublicKey::new(algorithm, point)
            .verify(signed, signature)
            .map_err(|_| Problem::malformed("the signature is wrong"))
    }
}

#[derive(Deserialize)]
struct Flat {
    protected: String,
    payload: String,
    signature: String,
}

pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Problem> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Problem::malformed("base64url without padding was expected"))
}
