//! A rule must hold however its path is written: `/LOGIN`, `/%6Cogin`, `/login/`.
//!
//! **Stops** requests that reach an app's `/login` by a spelling that we take for another path. What every app
//! reads alike is compared decoded and folded. What apps read differently (an encoded slash, a backslash, dot
//! segments, empty segments, NUL, what is encoded twice, `;`) is refused where one of the readings would meet a
//! more specific rule than another, and passes everywhere else: `/files/a%2Fb` is everyday, `/api%2Flogin` beside a
//! rule for `/api/login` is not. **Leaves** spellings that only one app knows, such as IIS's `%u006c`.

use std::borrow::Cow;

use crate::config::{RulePath, fold};

/// Apps could read the path in ways for which different rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// Puts the most specific rules first: of two that match one path, that is the longer, and at one length the one
/// without what lies below.
pub(super) fn sort<T>(rules: &mut [(RulePath, T)]) {
    rules.sort_by_key(|(rule, _)| (std::cmp::Reverse(rule.segments().len()), rule.is_with_all_below()));
}

/// The first of `rules`, in the order of [`sort`], that holds for `path`, as sent.
pub(super) fn find<'r, T>(
    rules: &'r [(RulePath, T)],
    path: &str,
) -> Result<Option<&'r (RulePath, T)>, Ambiguous> {
    if rules.is_empty() {
        return Ok(None);
    }
    if is_plain(path) {
        return Ok(rules.iter().find(|(rule, _)| holds(rule, path)));
    }
    let readings = Readings::of(path);
    for found in rules {
        if readings.all_meet(&found.0) {
            return Ok(Some(found));
        }
        if readings.some_may_meet(&found.0) {
            return Err(Ambiguous);
        }
    }
    Ok(None)
}

/// Whether there is one way to read `path`, and no decoding to do. Nearly all are.
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

/// Whether a rule holds for a path that is [plain](is_plain).
fn holds(rule: &RulePath, path: &str) -> bool {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let starts = rule
        .segments()
        .iter()
        .all(|wanted| segments.next().is_some_and(|segment| segment.eq_ignore_ascii_case(wanted)));
    starts && (rule.is_with_all_below() || segments.next().is_none())
}

/// All that apps could read in one path.
#[derive(Debug, Default)]
struct Readings {
    /// What every reading begins with, decoded and folded.
    certain: Vec<String>,
    /// What may follow, in this order, with nothing between: cut at everything that some app cuts at, decoded
    /// until nothing is left to decode. A reading leaves some of these out, or runs some of them together, and
    /// what is run together has a slash in it and meets no rule.
    rest: Vec<String>,
    /// So many of `rest` stand before the first place where some app ends the path.
    before_end: Option<usize>,
    /// Some reading takes back what stands before a `..`.
    climbs: bool,
    /// From here on it is `rest`.
    uncertain: bool,
}

impl Readings {
    fn of(path: &str) -> Self {
        let mut readings = Self::default();
        let rooted = path.strip_prefix('/');
        readings.uncertain = rooted.is_none();
        let path = rooted.unwrap_or(path);
        for segment in path.strip_suffix('/').unwrap_or(path).split('/') {
            readings.read(segment);
        }
        if readings.climbs {
            readings.rest.splice(..0, readings.certain.drain(..));
        }
        readings
    }

    fn read(&mut self, segment: &str) {
        let Decoded { bytes, in_doubt } = decode(segment);
        let is_one = !matches!(bytes.as_slice(), b"" | b"." | b"..")
            && !bytes.iter().any(|byte| is_slash(*byte) || is_end(*byte));
        if let (true, false, false, Ok(text)) =
            (is_one, in_doubt, self.uncertain, std::str::from_utf8(&bytes))
        {
            self.certain.push(fold(text));
            return;
        }
        self.uncertain = true;
        for piece in bytes.split(|byte| is_slash(*byte)) {
            let name = piece.split(|byte| is_end(*byte)).next().unwrap_or_default();
            match name {
                b".." => self.climbs = true,
                b"" | b"." => {}
                _ => self.rest.push(fold(&text(name))),
            }
            if name.len() < piece.len() && self.before_end.is_none() {
                self.before_end = Some(self.rest.len());
            }
        }
    }

    /// Whether the rule holds in every reading.
    fn all_meet(&self, rule: &RulePath) -> bool {
        match rule.is_with_all_below() {
            true => self.certain.starts_with(rule.segments()),
            false => !self.uncertain && self.certain == rule.segments(),
        }
    }

    /// Whether the rule may hold in one of the readings; never false where it does.
    fn some_may_meet(&self, rule: &RulePath) -> bool {
        let Some(rest) = rule.segments().strip_prefix(self.certain.as_slice()) else { return false };
        let mut pieces = self.rest.iter();
        let in_order = rest.iter().all(|wanted| pieces.any(|piece| piece == wanted));
        let may_end = self.climbs || rest.len() >= self.before_end.unwrap_or(self.rest.len());
        self.uncertain && in_order && (rule.is_with_all_below() || may_end)
    }
}

/// Where some app sees the border of two segments.
const fn is_slash(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// Where some app ends a segment or the path: matrix parameters, C strings, a second look for query and fragment.
const fn is_end(byte: u8) -> bool {
    matches!(byte, b';' | b'\0' | b'?' | b'#')
}

/// UTF-8, or else ISO 8859-1, as some apps read what is no UTF-8.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().copied().map(char::from).collect::<String>().into(),
    }
}

struct Decoded {
    bytes: Vec<u8>,
    in_doubt: bool,
}

/// Decodes until nothing is left to decode; in doubt where something was encoded more than once.
fn decode(segment: &str) -> Decoded {
    let mut bytes: Vec<u8> = Vec::with_capacity(segment.len());
    let mut last_decoded_end = 0;
    let mut in_doubt = false;
    for byte in segment.bytes() {
        bytes.push(byte);
        // One push may finish several: after `%25` has become `%`, `2f` follows.
        while let Some([b'%', high, low]) = bytes.last_chunk() {
            let (Some(high), Some(low)) = (hex(*high), hex(*low)) else { break };
            let start = bytes.len() - 3;
            in_doubt |= start < last_decoded_end;
            bytes.truncate(start);
            bytes.push(high * 16 + low);
            last_decoded_end = bytes.len();
        }
    }
    Decoded { bytes, in_doubt }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Rules = Vec<(RulePath, ())>;

    fn rules(paths: &[&str]) -> Rules {
        let mut rules: Rules = paths.iter().map(|path| (path.parse().expect(path), ())).collect();
        sort(&mut rules);
        rules
    }

    /// The rule that is found, as it is written.
    fn found(rules: &Rules, path: &str) -> Result<Option<String>, Ambiguous> {
        find(rules, path).map(|found| found.map(|(rule, ())| rule.to_string()))
    }

    #[test]
    fn a_rule_holds_however_its_path_is_written() {
        let rules = rules(&["/login", "/api/*", "/api/admin", "/api/admin/*", "/über", "/a b", "/kasse"]);
        for (path, rule) in [
            ("/login", Some("/login")),
            ("/login/", Some("/login")),
            ("/LogIn", Some("/login")),
            ("/%6Cogin", Some("/login")),
            ("/%6c%6F%67%69%6e/", Some("/login")),
            ("/login/help", None),
            ("/login-help", None),
            ("/", None),
            ("/logi", None),
            ("/api", Some("/api/*")),
            ("/api/", Some("/api/*")),
            ("/API/v1/orders", Some("/api/*")),
            ("/apiary", None),
            ("/api/admin", Some("/api/admin")),
            ("/api/admin/", Some("/api/admin")),
            ("/api/admin/users", Some("/api/admin/*")),
            ("/%C3%BCber", Some("/über")),
            ("/%C3%9CBER", Some("/über")),
            ("/a%20b", Some("/a b")),
            ("/a+b", None),
            ("/ka%C5%BF%C5%BFe", Some("/kasse")),
            ("/.well-known/acme-challenge/x", None),
            ("*", None),
        ] {
            assert_eq!(found(&rules, path), Ok(rule.map(str::to_owned)), "{path}");
        }
    }

    #[test]
    fn what_apps_read_in_two_ways_is_refused_where_a_rule_depends_on_it() {
        let rules = rules(&["/login", "/api/*", "/api/admin/*", "/a/b", "/", "/ü/*"]);
        for (path, rule) in [
            ("//login", None),
            ("/login//", None),
            ("/./login", None),
            ("/login/.", None),
            ("/x/../login", None),
            ("/x/%2e%2E/login", None),
            ("/login/x/..", None),
            ("/login%00", None),
            ("/login%00.png", None),
            ("/login;v=1", None),
            ("/login;v=1/x", None),
            ("/login%3Fx", None),
            ("/%2flogin", None),
            ("/%5Clogin", None),
            ("/\\login", None),
            ("/%256Cogin", None),
            ("/%25256Cogin", None),
            ("/a%2fb", None),
            ("/%FC/x", None),
            ("/%C3%BC%2f%FF", None), // one piece is UTF-8, the next is not
            ("/a%252fb", None),
            ("/api%2fadmin", None),
            ("/api/admin%2fusers", None),
            ("/api/%61dmin/..", None),
            ("/api/../x", None),
            ("/.", None),
            ("//", None),
            ("/;", None),
            ("login", None),
            // No rule depends on these.
            ("/x%2fy", Some(None)),
            ("/x/login%2f", Some(None)),
            ("/img//x.png", Some(None)),
            ("/x/..%2fy/../z", None), // may be the root, which has a rule
            ("/x%00", Some(None)),
            ("/login/x%2fy", Some(None)),
            ("/%FF", Some(None)),
            ("/100%25", Some(None)),
            ("/api/x%2fy", Some(Some("/api/*"))),
            ("/api/x//y", Some(Some("/api/*"))),
            ("/api/admin/x%2fy", Some(Some("/api/admin/*"))),
        ] {
            let expected = rule.ok_or(Ambiguous).map(|rule| rule.map(str::to_owned));
            assert_eq!(found(&rules, path), expected, "{path}");
        }
        assert_eq!(find::<()>(&[], "/x/../login"), Ok(None));
    }

    /// One way in which an app may read paths.
    #[derive(Clone, Copy, Debug)]
    struct App {
        decodes: usize,
        knows_encoded_slashes: bool,
        knows_backslashes: bool,
        ends_at: &'static str,
        drops_parameters: bool,
        merges_slashes: bool,
        resolves_dots: bool,
        latin: bool,
    }

    impl App {
        fn all() -> impl Iterator<Item = Self> {
            (0..3 * 4 * 64).map(|n| (n, n / 12)).map(|(n, bits)| Self {
                decodes: n % 3 + 1,
                ends_at: ["", "\0", "?#", "\0?#;"][n / 3 % 4],
                knows_encoded_slashes: bits & 1 != 0,
                knows_backslashes: bits & 2 != 0,
                drops_parameters: bits & 4 != 0,
                merges_slashes: bits & 8 != 0,
                resolves_dots: bits & 16 != 0,
                latin: bits & 32 != 0,
            })
        }

        /// The segments that it sees.
        fn read(self, path: &str) -> Vec<String> {
            // A slash that was decoded is kept apart from one that was sent until it is known to be the same.
            let mut bytes: Vec<u16> = path.bytes().map(u16::from).collect();
            for _ in 0..self.decodes {
                bytes = once_decoded(&bytes);
            }
            let slash = u16::from(b'/');
            for byte in &mut bytes {
                let backslash = self.knows_backslashes && *byte & 0xff == u16::from(b'\\');
                let encoded = self.knows_encoded_slashes && *byte & 0xff == slash;
                if backslash || encoded {
                    *byte = slash;
                }
            }
            let mut segments: Vec<String> = bytes
                .split(|byte| *byte == slash)
                .map(|segment| {
                    let bytes: Vec<u8> = segment.iter().map(|byte| (*byte & 0xff) as u8).collect();
                    match String::from_utf8(bytes.clone()) {
                        Ok(text) if !self.latin => text,
                        _ => bytes.into_iter().map(char::from).collect(),
                    }
                })
                .collect();
            if let Some(at) =
                segments.iter().position(|segment| segment.contains(|c| self.ends_at.contains(c)))
            {
                segments.truncate(at + 1);
                let last = segments.pop().unwrap();
                segments.push(last.split(|c| self.ends_at.contains(c)).next().unwrap().to_owned());
            }
            if self.drops_parameters {
                for segment in &mut segments {
                    segment.truncate(segment.find(';').unwrap_or(segment.len()));
                }
            }
            if segments.first().is_some_and(String::is_empty) {
                segments.remove(0);
            }
            if segments.last().is_some_and(String::is_empty) {
                segments.pop();
            }
            if self.merges_slashes {
                segments.retain(|segment| !segment.is_empty());
            }
            if self.resolves_dots {
                let mut resolved: Vec<String> = Vec::new();
                for segment in segments {
                    match segment.as_str() {
                        "." => {}
                        ".." => drop(resolved.pop()),
                        _ => resolved.push(segment),
                    }
                }
                segments = resolved;
            }
            segments.iter().map(|segment| fold(segment)).collect()
        }

        /// The rule that this app's router would agree with.
        fn found(self, rules: &Rules, path: &str) -> Option<String> {
            let segments = self.read(path);
            let holds = |rule: &RulePath| match rule.is_with_all_below() {
                true => segments.starts_with(rule.segments()),
                false => segments == rule.segments(),
            };
            rules.iter().find(|(rule, ())| holds(rule)).map(|(rule, ())| rule.to_string())
        }
    }

    /// Bytes that were decoded carry a mark in bit 8.
    fn once_decoded(bytes: &[u16]) -> Vec<u16> {
        let mut decoded = Vec::new();
        let mut rest = bytes;
        while let Some((first, others)) = rest.split_first() {
            let digit = |at: usize| others.get(at).and_then(|digit| hex((*digit & 0xff) as u8));
            match (first & 0xff == u16::from(b'%'), digit(0), digit(1)) {
                (true, Some(high), Some(low)) => {
                    decoded.push(0x100 | u16::from(high * 16 + low));
                    rest = &others[2..];
                }
                _ => {
                    decoded.push(*first);
                    rest = others;
                }
            }
        }
        decoded
    }

    fn hostile_path() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "/", "/", "a", "b", "login", "LOGIN", "ü", "%c3%bc", "%fc", "..", ".", "%2e", "%2f", "%5c",
            "\\", ";", ";x", "%00", "%3f", "%25", "%252f", "%", "2f", "%61", "%2561", "x",
        ]);
        prop::collection::vec(piece, 0..9).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    fn some_rules() -> impl Strategy<Value = Rules> {
        let path = prop::sample::select(vec![
            "/",
            "/*",
            "/a",
            "/a/*",
            "/a/b",
            "/a/b/*",
            "/login",
            "/login/*",
            "/b/a/login",
            "/ü",
            "/ü/*",
        ]);
        prop::collection::vec(path, 0..5).prop_map(|paths| rules(&paths))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Whatever is not refused, every app reads as we do.
        #[test]
        fn no_app_reads_a_path_into_another_rule(path in hostile_path(), rules in some_rules()) {
            if let Ok(rule) = found(&rules, &path) {
                for app in App::all().filter(|app| !app.latin || !path.contains(|c: char| !c.is_ascii()) ) {
                    let latin_is_in_doubt = app.latin && path.to_ascii_lowercase().contains("%c3%bc");
                    if !latin_is_in_doubt {
                        prop_assert_eq!(&rule, &app.found(&rules, &path), "{} {:?}", path, app);
                    }
                }
            }
        }

        #[test]
        fn a_path_in_everyday_spelling_is_never_refused(
            segments in prop::collection::vec("[a-c]{1,2}|login|%61|%C3%BC", 0..4),
            slash in any::<bool>(),
            rules in some_rules(),
        ) {
            let path = format!("/{}{}", segments.join("/"), if slash && !segments.is_empty() { "/" } else { "" });
            let app = App {
                decodes: 1, knows_encoded_slashes: false, knows_backslashes: false, ends_at: "",
                drops_parameters: false, merges_slashes: false, resolves_dots: false, latin: false,
            };
            prop_assert_eq!(found(&rules, &path), Ok(app.found(&rules, &path)));
        }

        #[test]
        fn any_text_is_read(path in ".*", rules in some_rules()) {
            let _ = find(&rules, &path);
        }
    }
}
