//! Binds a new account to a customer of the authority (RFC 8555 §7.3.4), under a key that is known before.
//!
//! The library binds accounts of keys that it makes itself and gives out afterwards. Who is killed in between has an
//! account that he cannot use, and of some authorities no second one. So the library is asked for an account without
//! binding, under a key that is written down, and its request is bound and signed again on its way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ExternalAccount;
use super::client::Client;

/// The client that binds.
#[derive(Clone)]
pub(super) struct Binding {
    client: Client,
    contact: String,
    customer: ExternalAccount,
    key: Arc<EcdsaKeyPair>,
}

impl Binding {
    /// `key` is the account's, as PKCS #8; `contact` a URL.
    pub(super) fn new(
        client: Client,
        contact: String,
        customer: ExternalAccount,
        key: &[u8],
    ) -> Result<Self, Error> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key);
        Ok(Self { client, contact, customer, key: Arc::new(key.map_err(|_| Error::KeyRejected)?) })
    }

    /// What is to be sent in the place of `body`: all but the one request for an account passes as it is.
    fn bound(&self, body: Bytes) -> Result<Bytes, Error> {
        let Ok(signed) = serde_json::from_slice::<Signed>(&body) else { return Ok(body) };
        let header: Value = decoded(&signed.protected)?;
        // Who has an account yet is known by its address instead (RFC 8555 §6.2).
        let Some(key) = header.get("jwk") else { return Ok(body) };
        let mut account: Value = decoded(&signed.payload)?;
        if let Some(account) = account.as_object_mut() {
            let binding = self.binding(key, header.get("url"))?;
            account.insert("externalAccountBinding".to_owned(), serde_json::to_value(binding)?);
            account.insert("contact".to_owned(), json!([self.contact]));
        }
        let sign = |text: &[u8]| self.key.sign(&SystemRandom::new(), text).map_err(|_| Error::Crypto);
        let bound = Signed::new(signed.protected, encoded(&account)?, sign)?;
        Ok(serde_json::to_vec(&bound)?.into())
    }

    /// The account's key, signed by the customer's.
    fn binding(&self, key: &Value, url: Option<&Value>) -> Result<Signed, Error> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &self.customer.key);
        let header = json!({ "alg": "HS256", "kid": self.customer.id, "url": url });
        Signed::new(encoded(&header)?, encoded(key)?, |text| Ok(hmac::sign(&secret, text)))
    }
}

impl HttpClient for Binding {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => this.bound(body.to_bytes())?,
                Err(never) => match never {},
            };
            let body = if body.is_empty() { BodyWrapper::default() } else { body.to_vec().into() };
            this.client.request(Request::from_parts(parts, body)).await
        })
    }
}

/// RFC 7515 §7.2.2.
#[derive(Deserialize, Serialize)]
struct Signed {
    protected: String,
    payload: String,
    signature: String,
}

impl Signed {
    fn new<S: AsRef<[u8]>>(
        protected: String,
        payload: String,
        sign: impl FnOnce(&[u8]) -> Result<S, Error>,
    ) -> Result<Self, Error> {
        let signature = sign(format!("{protected}.{payload}").as_bytes())?;
        Ok(Self { signature: URL_SAFE_NO_PAD.encode(signature), protected, payload })
    }
}

fn encoded(value: &Value) -> Result<String, Error> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(value)?))
}

fn decoded(text: &str) -> Result<Value, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| Error::Other(error.into()))?;
    Ok(serde_json::from_slice(&bytes)?)
}
