//! Which paths a limit is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::SettingError;

/// `/login`, or with `/api/*` everything from `/api` down.
///
/// It is compared with the percent-decoded path, letters of either case alike, with or without a slash at the end, as
/// routers of web apps do. A path that apps read in several ways (an encoded slash, dot segments, `;`, what is encoded
/// twice) counts wherever one of them would be led, so that no spelling is a way around a limit. The path is the one
/// that the shield sees: within axum's `nest`, what the outer router has left of it.
///
/// ```
/// use panoply::practices::rate_limit::LimitedPath;
///
/// let api: LimitedPath = "/api/*".parse()?;
/// assert_eq!(api.to_string(), "/api/*");
/// assert_eq!("login".parse::<LimitedPath>().unwrap_err().hint(), "write `/login`");
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitedPath {
    text: Box<str>,
    /// Decoded and folded; none for `/`.
    segments: Vec<String>,
    below: bool,
}

/// A request's path, as far as a limit has to know it.
pub(super) enum Asked<'r> {
    /// There is one way to read it, and nothing to decode. Nearly all are such.
    Plain(&'r str),
    Readings(Readings),
}

impl<'r> Asked<'r> {
    pub(super) fn of(path: &'r str) -> Self {
        if is_plain(path) { Self::Plain(path) } else { Self::Readings(Readings::of(path)) }
    }
}

impl LimitedPath {
    /// Whether some app would take the request for one of these paths.
    pub(super) fn holds_for(&self, asked: &Asked<'_>) -> bool {
        match asked {
            Asked::Plain(path) => self.is(path),
            Asked::Readings(readings) => readings.may_be(self),
        }
    }

    fn is(&self, plain: &str) -> bool {
        let mut segments = plain.split('/').filter(|segment| !segment.is_empty());
        let begins = self
            .segments
            .iter()
            .all(|wanted| segments.next().is_some_and(|segment| segment.eq_ignore_ascii_case(wanted)));
        begins && (self.below || segments.next().is_none())
    }
}

impl FromStr for LimitedPath {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let found = text.escape_debug();
        let Some(path) = text.strip_prefix('/') else {
            let message = format!("a path begins with a slash, but `{found}` does not");
            return Err(SettingError::new(message, format!("write `/{found}`")));
        };
        let (path, below) = match path.strip_suffix('*').map(|path| path.strip_suffix('/').unwrap_or(path)) {
            Some("") => ("", true),
            Some(above) if text.ends_with("/*") => (above, true),
            _ => (path.strip_suffix('/').unwrap_or(path), false),
        };
        let never = |c: char| c.is_control() || "%?#;\\*".contains(c);
        if path.contains(never) {
            let message = format!("`{found}` is no path that a limit can be for");
            return Err(SettingError::new(
                message,
                "write it decoded and without query, as `/login`, or as `/api/*` for all below",
            ));
        }
        if path.is_empty() {
            return Ok(Self { text: text.into(), segments: Vec::new(), below });
        }
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            let message =
                format!("no path arrives as `{found}`: browsers take out `.` and `..`, and `//` is no `/`");
            return Err(SettingError::new(message, "write it as `/admin/login`"));
        }
        Ok(Self { text: text.into(), segments: path.split('/').map(fold).collect(), below })
    }
}

impl fmt::Display for LimitedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for LimitedPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

fn is_plain(path: &str) -> bool {
    let mut before = b'/';
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            b'/' if before == b'/' && at > 0 => return false,
            b'.' if before == b'/' => return false,
            b'%' | b';' | b'\\' | b'?' | b'#' | ..=b' ' | 0x7f.. => return false,
            _ => before = byte,
        }
    }
    path.starts_with('/')
}

/// All that apps could read in one path: what every reading begins with, and the pieces that may follow, in this
/// order. A reading leaves some of them out; where it runs some together, that has a slash in it and is no segment of
/// a limit's.
#[derive(Default)]
pub(super) struct Readings {
    certain: Vec<String>,
    pieces: Vec<String>,
    /// So many of `pieces` stand before the first place where some app ends the path.
    before_end: Option<usize>,
    /// Some reading takes back what stands before a `..`.
    climbs: bool,
    /// From here on everything is a piece.
    in_doubt: bool,
}

impl Readings {
    fn of(path: &str) -> Self {
        let mut readings = Self { in_doubt: !path.starts_with('/'), ..Self::default() };
        let path = path.strip_prefix('/').unwrap_or(path);
        for segment in path.strip_suffix('/').unwrap_or(path).split('/') {
            readings.read(segment);
        }
        if readings.climbs {
            readings.pieces.splice(..0, readings.certain.drain(..));
        }
        readings
    }

    fn read(&mut self, segment: &str) {
        let (bytes, twice) = decode(segment);
        let is_one = !matches!(bytes.as_slice(), b"" | b"." | b"..")
            && !bytes.iter().any(|byte| is_border(*byte) || is_end(*byte));
        if let (true, false, false, Ok(text)) = (is_one, twice, self.in_doubt, std::str::from_utf8(&bytes)) {
            self.certain.push(fold(text));
            return;
        }
        self.in_doubt = true;
        for piece in bytes.split(|byte| is_border(*byte)) {
            let name = piece.split(|byte| is_end(*byte)).next().unwrap_or_default();
            match name {
                b".." => self.climbs = true,
                b"" | b"." => {}
                // What is no UTF-8 some apps read as ISO 8859-1.
                _ => self.pieces.push(fold(&match std::str::from_utf8(name) {
                    Ok(text) => text.to_owned(),
                    Err(_) => name.iter().copied().map(char::from).collect(),
                })),
            }
            if name.len() < piece.len() && self.before_end.is_none() {
                self.before_end = Some(self.pieces.len());
            }
        }
    }

    /// Never false where some reading is one of the limit's paths.
    fn may_be(&self, path: &LimitedPath) -> bool {
        if !self.in_doubt || path.segments.len() < self.certain.len() {
            let begins = self.certain.starts_with(&path.segments);
            return begins && (path.below || self.certain.len() == path.segments.len());
        }
        let Some(rest) = path.segments.strip_prefix(self.certain.as_slice()) else { return false };
        let mut pieces = self.pieces.iter();
        let in_order = rest.iter().all(|wanted| pieces.any(|piece| piece == wanted));
        let may_end = self.climbs || rest.len() >= self.before_end.unwrap_or(self.pieces.len());
        in_order && (path.below || may_end)
    }
}

/// Decodes until nothing is left to decode, and says whether something was encoded more than once.
fn decode(segment: &str) -> (Vec<u8>, bool) {
    let mut bytes: Vec<u8> = Vec::with_capacity(segment.len());
    let (mut decoded_to, mut twice) = (0, false);
    for byte in segment.bytes() {
        bytes.push(byte);
        // One push may finish several: after `%25` has become `%`, `2f` follows.
        while let Some([b'%', high, low]) = bytes.last_chunk() {
            let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { break };
            let start = bytes.len() - 3;
            twice |= start < decoded_to;
            bytes.truncate(start);
            bytes.push(high * 16 + low);
            decoded_to = bytes.len();
        }
    }
    (bytes, twice)
}

/// In lower case; the long s becomes the letter that engines take it for which fold by Unicode's table (UTS 18 §1.5).
fn fold(segment: &str) -> String {
    segment.chars().flat_map(|c| if c == 'ſ' { 's' } else { c }.to_lowercase()).collect()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Where some app sees the border of two segments.
const fn is_border(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// Where some app ends a segment or the path: matrix parameters, C strings, a second look for query and fragment.
const fn is_end(byte: u8) -> bool {
    matches!(byte, b';' | b'\0' | b'?' | b'#')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(rule: &str, path: &str) -> bool {
        rule.parse::<LimitedPath>().expect(rule).holds_for(&Asked::of(path))
    }

    #[test]
    fn a_limit_holds_however_its_path_is_written() {
        for (rule, path, held) in [
            ("/login", "/login", true),
            ("/login", "/login/", true),
            ("/login", "/LogIn", true),
            ("/login", "/%6Cogin", true),
            ("/Login/", "/login", true),
            ("/login", "/login/help", false),
            ("/login", "/login-help", false),
            ("/login", "/", false),
            ("/login", "/x/login", false),
            ("/api/*", "/api", true),
            ("/api/*", "/API/v1/orders", true),
            ("/api/*", "/%61pi/v1%20x", true),
            ("/api/*", "/apiary", false),
            ("/über uns", "/%C3%9CBER%20uns", true),
            ("/kasse", "/ka%C5%BF%C5%BFe", true),
            ("/", "/", true),
            ("/", "/x", false),
            ("/*", "/x/y", true),
            ("/*", "*", true),
            // Ways around.
            ("/login", "//login", true),
            ("/login", "/./login", true),
            ("/login", "/x/../login", true),
            ("/login", "/x/%2e%2E/login", true),
            ("/login", "/login/x/..", true),
            ("/login", "/login%00.png", true),
            ("/login", "/login;v=1", true),
            ("/login", "/login;v=1/x", true),
            ("/login", "/login%3Fx", true),
            ("/login", "/%2flogin", true),
            ("/login", "/%5Clogin", true),
            ("/login", "/%25256Cogin", true),
            ("/login", "login", true),
            ("/api/login", "/api%2flogin", true),
            ("/api/*", "/api%2fv1", true),
            ("/ü/*", "/%FC/x", true),
            // Everyday paths that are not this limit's.
            ("/", "/npm/@scope%2fpackage", false),
            ("/files", "/files/a%2fb", false),
            ("/login", "/files/login%2fx", false),
            ("/login", "/files/a%20b;v=1", false),
            ("/login", "/100%25", false),
        ] {
            assert_eq!(holds(rule, path), held, "{rule} {path}");
        }
    }

    #[test]
    fn what_is_no_path_says_what_to_write() {
        for (text, hint) in [
            ("login", "write `/login`"),
            ("", "write `/`"),
            ("/a%20b", "write it decoded"),
            ("/login?next=/", "without query"),
            ("/a\\b", "write it decoded"),
            ("/a\nb", "write it decoded"),
            ("/*/edit", "`/api/*` for all below"),
            ("/api*", "`/api/*` for all below"),
            ("/api/**", "`/api/*` for all below"),
            ("//login", "`/admin/login`"),
            ("/a/../b", "`/admin/login`"),
        ] {
            let error = text.parse::<LimitedPath>().expect_err(text);
            assert!(error.hint().contains(hint), "{text:?}: {error}: {}", error.hint());
        }
    }

    /// An app that decodes so often, cuts the path at these characters, and may merge slashes and resolve dots.
    fn read(path: &str, times: usize, ends: &str, backslashes: bool, resolves: bool) -> Vec<String> {
        let mut text = path.to_owned();
        for _ in 0..times {
            text = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned();
        }
        if backslashes {
            text = text.replace('\\', "/");
        }
        let end = text.find(|c| ends.contains(c)).unwrap_or(text.len());
        let mut segments: Vec<String> = Vec::new();
        for segment in text[..end].split('/').filter(|segment| !segment.is_empty()) {
            match segment {
                "." if resolves => {}
                ".." if resolves => drop(segments.pop()),
                _ => segments.push(fold(segment)),
            }
        }
        segments
    }

    proptest! {
        #[test]
        fn no_app_is_led_to_a_limited_path_that_is_not_counted(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "/", "/", "api", "API", "login", "x", ".", "..", "%2f", "%2F", "%252f", "\\", "%5c", ";v", "%00", "%3f",
                "%61pi", "%2561pi", "l%6Fgin", "%2e", "%252e%2e", "%25",
            ]), 0..10),
            times in 0_usize..4,
            ends in prop::sample::select(vec!["", "\0", "?#", ";", "\0?#;"]),
            backslashes: bool,
            resolves: bool,
        ) {
            let path = format!("/{}", pieces.concat());
            let seen = read(&path, times, ends, backslashes, resolves);
            for rule in ["/login", "/api/login", "/api/*", "/"] {
                let limited: LimitedPath = rule.parse().unwrap();
                let led = if limited.below { seen.starts_with(&limited.segments) } else { seen == limited.segments };
                prop_assert!(!led || holds(rule, &path), "{} is {:?} and {}", path, seen, rule);
            }
        }

        #[test]
        fn what_is_printed_is_read_back(segments in prop::collection::vec("[a-zA-Zäß0-9 .-]{3,9}", 0..4), below: bool) {
            let text = format!("/{}{}", segments.join("/"), if below { "/*" } else { "" }).replace("//", "/");
            let path: LimitedPath = text.parse().unwrap();
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }
    }
}
