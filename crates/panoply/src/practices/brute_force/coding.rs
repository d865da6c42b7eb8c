//! Bodies that were made small on their way.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::credentials::Unread;

/// What makes a body small: no browser does that to a form, and Express undoes it for whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    /// The one that is called so, which is zlib's format (RFC 9110 §8.4.1.2).
    Deflate,
}

impl Coding {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Unread> {
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let coding = codings.next().map_or(&b""[..], |coding| coding.as_bytes().trim_ascii());
        match &*coding.to_ascii_lowercase() {
            _ if codings.next().is_some() => Err(Unread::Disguised("the body has several codings")),
            b"" | b"identity" => Ok(Self::Identity),
            b"gzip" | b"x-gzip" => Ok(Self::Gzip),
            b"deflate" => Ok(Self::Deflate),
            _ => Err(Unread::Disguised("the body is in a coding that is not read")),
        }
    }

    /// The body as it was, at most [`MOST_INFLATED`] of it: a KiB can hold a MiB.
    pub(super) fn undo(self, body: &[u8]) -> Result<Cow<'_, [u8]>, Unread> {
        let mut inflated = Vec::new();
        let most = MOST_INFLATED + 1;
        let read = match self {
            Self::Identity => return Ok(Cow::Borrowed(body)),
            Self::Gzip => MultiGzDecoder::new(body).take(most).read_to_end(&mut inflated),
            Self::Deflate => ZlibDecoder::new(body).take(most).read_to_end(&mut inflated),
        };
        match read {
            Ok(_) if (inflated.len() as u64) < most => Ok(Cow::Owned(inflated)),
            Ok(_) => Err(Unread::Disguised("the body is too large when it is inflated")),
            Err(_) => Err(Unread::Disguised("the body is not compressed as it says")),
        }
    }
}

/// In bytes; as much as is held of a body that is not compressed.
const MOST_INFLATED: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use http::HeaderValue;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut coder = GzEncoder::new(Vec::new(), Compression::fast());
        coder.write_all(body).unwrap();
        coder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut coder = ZlibEncoder::new(Vec::new(), Compression::fast());
        coder.write_all(body).unwrap();
        coder.finish().unwrap()
    }

    fn read(coding: &'static str, body: &[u8]) -> Option<Vec<u8>> {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))]);
        Coding::of(&headers).and_then(|coding| coding.undo(body).map(Cow::into_owned)).ok()
    }

    #[test]
    fn what_express_inflates_is_read() {
        let form = b"username=tim&password=x";
        let members = [gzip(b"username=tim"), gzip(b"&password=x")].concat();
        for (coding, body) in [
            ("gzip", gzip(form)),
            ("X-GZip", gzip(form)),
            ("gzip", members),
            ("deflate", zlib(form)),
            ("identity", form.to_vec()),
            ("", form.to_vec()),
        ] {
            assert_eq!(read(coding, &body).as_deref(), Some(&form[..]), "{coding}");
        }
    }

    #[test]
    fn what_cannot_be_undone_or_blows_up_is_not() {
        let bomb = gzip(&[b'&'; 1_000_000]);
        assert!(bomb.len() < 10_000, "{} bytes", bomb.len());
        for (coding, body) in [
            ("gzip", bomb),
            ("gzip", b"username=tim".to_vec()),
            ("br", b"username=tim".to_vec()),
            ("gzip, gzip", gzip(b"username=tim")),
        ] {
            assert_eq!(read(coding, &body), None, "{coding}");
        }
        let mut twice = HeaderMap::new();
        twice.append(CONTENT_ENCODING, HeaderValue::from_static("identity"));
        twice.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(Coding::of(&twice).is_err());
    }
}
