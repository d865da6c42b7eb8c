use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::keys::{Context, Keygrip, Seal, Signature};

/// How the values are written in a cookie.
#[derive(Clone)]
pub(super) enum Form {
    /// Sealed: nobody reads it.
    Sealed(Seal),
    /// `values.time.signature`: base64url of JSON, the seconds since 1970, and the signature of both, with site and
    /// name.
    Signed(Signature),
    /// cookie-session's: base64 of JSON, its signature in a second cookie.
    Express(Keygrip),
}

/// What stood in a cookie.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) json: String,
    /// When it was written, where that is known.
    pub(super) issued: Option<Duration>,
    pub(super) is_of_first_key: bool,
}

impl Form {
    /// `None` for what none of the keys has written.
    pub(super) fn open(&self, context: &Context<'_>, value: &str, signature: Option<&str>) -> Option<Opened> {
        match self {
            Self::Sealed(seal) => {
                let opened = seal.open(context, value.as_bytes())?;
                Some(Opened {
                    json: String::from_utf8(opened.plain).ok()?,
                    issued: Some(opened.issued),
                    is_of_first_key: opened.key.is_first(),
                })
            }
            Self::Signed(signature) => {
                let (signed, mac) = value.rsplit_once('.')?;
                let key = signature.verify(&in_context(context, signed), mac.as_bytes())?;
                let (values, time) = signed.split_once('.')?;
                Some(Opened {
                    json: String::from_utf8(URL_SAFE_NO_PAD.decode(values).ok()?).ok()?,
                    issued: Some(Duration::from_secs(time.parse().ok()?)),
                    is_of_first_key: key.is_first(),
                })
            }
            Self::Express(keygrip) => {
                let key = keygrip.verify(&format!("{}={value}", context.name), signature?)?;
                Some(Opened { json: decode(value), issued: None, is_of_first_key: key.is_first() })
            }
        }
    }

    /// Whether the cookie that signs the value is none of ours. One that is empty is none at all.
    pub(super) fn has_bad_signature(&self, name: &str, value: &str, signature: Option<&str>) -> bool {
        match (self, signature) {
            (Self::Express(keygrip), Some(signature)) if !signature.is_empty() => {
                keygrip.verify(&format!("{name}={value}"), signature).is_none()
            }
            _ => false,
        }
    }

    pub(super) fn write(&self, context: &Context<'_>, json: &str, now: Duration) -> String {
        match self {
            Self::Sealed(seal) => seal.seal(context, json.as_bytes(), now),
            Self::Signed(signature) => {
                let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(json), now.as_secs());
                let mac = signature.sign(&in_context(context, &signed));
                format!("{signed}.{mac}")
            }
            Self::Express(_) => BASE64.encode(json),
        }
    }

    /// The value of the second cookie, which signs the first.
    pub(super) fn signature(&self, name: &str, value: &str) -> Option<String> {
        match self {
            Self::Express(keygrip) => Some(keygrip.sign(&format!("{name}={value}"))),
            Self::Sealed(_) | Self::Signed(_) => None,
        }
    }

    /// How much JSON a value of `length` bytes holds.
    pub(super) fn room(&self, length: usize) -> usize {
        let beside = match self {
            Self::Sealed(_) => 52,
            Self::Signed(_) => ".10000000000.".len() + 43 + 1,
            Self::Express(_) => 0,
        };
        length.saturating_sub(beside) / 4 * 3
    }
}

/// Names have no line feed in them, so no two contexts give the same text.
fn in_context(Context { site, name }: &Context<'_>, signed: &str) -> Vec<u8> {
    format!("{site}\n{name}\n{signed}").into_bytes()
}

/// As Node decodes it: of either alphabet, past what is of neither, up to the first `=`; and what is no UTF-8 is
/// replaced.
fn decode(value: &str) -> String {
    let digits = value.bytes().take_while(|byte| *byte != b'=').filter_map(|byte| match byte {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b'+' | b'/' => Some(byte),
        _ => byte.is_ascii_alphanumeric().then_some(byte),
    });
    let mut digits: Vec<u8> = digits.collect();
    if digits.len() % 4 == 1 {
        digits.pop(); // six bits are no byte
    }
    let bytes = LENIENT.decode(digits).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Without padding, and with bits left over.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
