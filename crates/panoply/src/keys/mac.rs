use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::KeyIndex;

/// How a code is written. Each package of Node has its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Base64,
    Base64Url,
    Hex,
}

/// An HMAC as text, on the stack: reading a cookie allocates nothing.
pub(super) struct Mac {
    text: [u8; LONGEST],
    length: usize,
}

impl Mac {
    pub(super) fn new(key: &hmac::Key, data: &[u8], form: Form) -> Self {
        let tag = hmac::sign(key, data);
        let mut text = [0; LONGEST];
        let length = match form {
            Form::Base64 => STANDARD_NO_PAD.encode_slice(tag, &mut text).unwrap_or(0),
            Form::Base64Url => URL_SAFE_NO_PAD.encode_slice(tag, &mut text).unwrap_or(0),
            Form::Hex => hex(tag.as_ref(), &mut text),
        };
        Self { text, length }
    }

    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(self.text.get(..self.length).unwrap_or_default()).unwrap_or_default()
    }

    /// The first of `keys` that makes `sent` of `data`.
    ///
    /// Texts are compared, and never decoded: several texts decode to the same bytes, and Node takes only one.
    pub(super) fn find<'k>(
        keys: impl IntoIterator<Item = &'k hmac::Key>,
        data: &[u8],
        form: Form,
        sent: &[u8],
    ) -> Option<KeyIndex> {
        let made_it = |key| {
            let own = Self::new(key, data, form);
            own.length > 0 && verify_slices_are_equal(own.as_str().as_bytes(), sent).is_ok()
        };
        keys.into_iter().position(made_it).map(KeyIndex)
    }
}

fn hex(bytes: &[u8], text: &mut [u8]) -> usize {
    for (byte, digits) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        for (digit, half) in digits.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = half + if half < 10 { b'0' } else { b'a' - 10 };
        }
    }
    2 * bytes.len()
}

/// SHA-512 in hexadecimal digits.
const LONGEST: usize = 2 * digest::SHA512_OUTPUT_LEN;
