//! Updates of a zone at its primary server (RFC 2136), signed (RFC 8945), over TCP.

use std::fmt;
use std::net::SocketAddr;

use hickory_proto::op::update_message::{append, delete_by_rdata};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, RData, Record, RecordSet, RecordType, TSigner};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::GatewayError;
use crate::acme::trouble::shown;

/// A key that both ends have, by its name.
#[derive(Clone)]
pub struct Tsig {
    /// As the server knows it.
    pub name: String,
    /// How it signs.
    pub algorithm: Algorithm,
    /// The key itself, as bytes.
    pub secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Tsig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, algorithm, .. } = self;
        f.debug_struct("Tsig")
            .field("name", name)
            .field("algorithm", algorithm)
            .field("secret", &"[secret]")
            .finish()
    }
}

/// How a TSIG key signs; those that RFC 8945 §6 wants of all, and no weaker ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, which every server has.
    #[default]
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// SHA-384.
    #[serde(rename = "hmac-sha384")]
    HmacSha384,
    /// SHA-512.
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
}

#[derive(Clone)]
pub(super) struct Update {
    server: SocketAddr,
    zone: Option<Name>,
    signer: TSigner,
}

impl Update {
    pub(super) fn new(server: SocketAddr, zone: Option<&str>, key: Tsig) -> Result<Self, GatewayError> {
        let algorithm = match key.algorithm {
            Algorithm::HmacSha256 => TsigAlgorithm::HmacSha256,
            Algorithm::HmacSha384 => TsigAlgorithm::HmacSha384,
            Algorithm::HmacSha512 => TsigAlgorithm::HmacSha512,
        };
        let signer = TSigner::new(key.secret.to_vec(), algorithm, name(&key.name)?, CLOCKS_APART).map_err(
            |error| {
                setting(format!("the key of `dns` cannot be used: {error}"), "make one with `tsig-keygen`")
            },
        )?;
        Ok(Self { server, zone: zone.map(name).transpose()?, signer })
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) async fn place(&self, record: &str, value: &str, now: u64) -> Result<(), String> {
        let (set, zone) = self.find(record, value).await?;
        self.send(append(set, zone, false, false), now).await
    }

    pub(super) async fn remove(&self, record: &str, value: &str, now: u64) -> Result<(), String> {
        let (set, zone) = self.find(record, value).await?;
        self.send(delete_by_rdata(set, zone, false), now).await
    }

    /// The record, and the zone that it belongs to.
    async fn find(&self, record: &str, value: &str) -> Result<(RecordSet, Name), String> {
        let owner = name(record).map_err(|error| error.to_string())?;
        let zone = match &self.zone {
            Some(zone) => zone.clone(),
            None => self.zone_of(&owner).await?,
        };
        if !zone.zone_of(&owner) {
            return Err(format!("`{record}` is not in the zone `{zone}`"));
        }
        let data = RData::TXT(TXT::new(vec![value.to_owned()]));
        Ok((RecordSet::from(Record::from_rdata(owner, TIME_TO_LIVE, data)), zone))
    }

    /// The nearest name above that the server has an SOA of.
    async fn zone_of(&self, owner: &Name) -> Result<Name, String> {
        let mut zone = owner.base_name();
        while zone.num_labels() > 0 {
            let mut query = Message::query();
            let mut question = Query::new();
            question.set_name(zone.clone()).set_query_type(RecordType::SOA);
            query.add_query(question);
            let (_, answer) = self.ask(&query).await?;
            let is_soa = |answer: &Record| answer.record_type() == RecordType::SOA && answer.name == zone;
            if answer.answers.iter().any(is_soa) {
                return Ok(zone);
            }
            zone = zone.base_name();
        }
        Err(format!("it has no zone for `{owner}`"))
    }

    async fn send(&self, mut message: Message, now: u64) -> Result<(), String> {
        let verifier = message.finalize(&self.signer, now).map_err(|error| error.to_string())?;
        let (bytes, answer) = self.ask(&message).await?;
        let code = answer.metadata.response_code;
        if code != ResponseCode::NoError {
            // Who does not know the key cannot sign with it (RFC 8945 §5.3.2).
            return Err(shown(&code.to_string()));
        }
        let mut verifier = verifier.ok_or("the update was not signed")?;
        verifier
            .verify(&bytes)
            .map_err(|error| format!("its answer is not signed as it should be: {error}"))?;
        Ok(())
    }

    async fn ask(&self, message: &Message) -> Result<(Vec<u8>, Message), String> {
        let text = |error: std::io::Error| format!("{}: {error}", self.server);
        let bytes = message.to_vec().map_err(|error| error.to_string())?;
        let length = u16::try_from(bytes.len()).map_err(|_| "the update is too long".to_owned())?;
        let mut stream = TcpStream::connect(self.server).await.map_err(text)?;
        // RFC 7766 §8: length and message in one.
        let framed = [&length.to_be_bytes()[..], &bytes].concat();
        stream.write_all(&framed).await.map_err(text)?;
        let length = stream.read_u16().await.map_err(text)?;
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await.map_err(text)?;
        let answer =
            Message::from_vec(&bytes).map_err(|error| format!("its answer cannot be read: {error}"))?;
        if answer.metadata.id != message.metadata.id {
            return Err("its answer is to another question".to_owned());
        }
        Ok((bytes, answer))
    }
}

/// Absolute, with a dot at its end or without.
fn name(text: &str) -> Result<Name, GatewayError> {
    let name = Name::from_ascii(text).map_err(|_| {
        setting(
            format!("`{}` in `dns` is no name of the DNS", shown(text)),
            "write it as the server has it".to_owned(),
        )
    });
    name.map(|mut name| {
        name.set_fqdn(true);
        name
    })
}

fn setting(message: String, hint: impl Into<String>) -> GatewayError {
    GatewayError::Setting { message, hint: hint.into() }
}

/// Seconds that the two clocks may differ by: what RFC 8945 §10 recommends.
const CLOCKS_APART: u16 = 300;

/// In seconds: it is gone in a minute, and nobody should remember it.
const TIME_TO_LIVE: u32 = 60;
