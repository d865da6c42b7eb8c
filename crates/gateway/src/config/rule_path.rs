use std::fmt;
use std::str::FromStr;

use panoply::SettingError;

use super::text::{Text, deserialize_text, shown};

/// Which paths a rule is for: `/login`, or with `/api/*` everything from `/api` down.
///
/// What protects, and which app is asked, is compared by the percent-decoded path, letters of either case alike, with or without a slash
/// at the end: as routers of web apps do, and never more strictly than they do, so that it is not passed by
/// writing the path in another way. What exempts holds for the path [as it is written](Self::is_written_as)
/// alone. `/login` is neither `/login/help` nor `/login-help`; `/api/*` is `/api`, `/api/` and all below, but not
/// `/apiary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePath {
    text: String,
    /// As a client sends it, without `/*`.
    sent: String,
    segments: Vec<String>,
    below: bool,
}

impl RulePath {
    /// Whether a request's path is this one to the letter, or for `/api/*` begins so.
    #[must_use]
    pub fn is_written_as(&self, path: &str) -> bool {
        match path.strip_prefix(self.sent.as_str()) {
            Some(rest) => rest.is_empty() || (self.below && rest.starts_with('/')),
            None => false,
        }
    }

    /// The path's segments, decoded and folded as by [`fold`]; none for `/`.
    pub(crate) fn segments(&self) -> &[String] {
        &self.segments
    }

    /// Whether what lies below belongs to it.
    pub(crate) const fn is_with_all_below(&self) -> bool {
        self.below
    }
}

impl fmt::Display for RulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Text for RulePath {
    const EXPECTED: &'static str = "a path, such as \"/login\"";
}

deserialize_text!(RulePath);

impl FromStr for RulePath {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let found = shown(text);
        let Some(path) = text.strip_prefix('/') else {
            let path = match text.split_once("://") {
                Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
                None => text,
            };
            return Err(SettingError::new(
                format!("a path begins with a slash, but `{found}` does not"),
                format!("write `/{}`", shown(path.trim_start_matches('/'))),
            ));
        };
        if text.contains('%') {
            return Err(SettingError::new(
                format!("the path of a rule is written decoded, but `{found}` has a percent sign"),
                "write the character itself",
            ));
        }
        if let Some((path, _)) = text.split_once(['?', '#', ';']) {
            return Err(SettingError::new(
                format!("a rule is found by the path alone, but `{found}` has more"),
                format!("write `{}`", shown(path)),
            ));
        }
        if text.contains(|c: char| c == '\\' || c.is_control()) {
            return Err(SettingError::new(
                format!("no path has a backslash or control character, but `{found}` does"),
                "write it as `/login`",
            ));
        }
        let (path, below) = match path {
            "*" => ("", true),
            _ => path.strip_suffix("/*").map_or((path, false), |path| (path, true)),
        };
        if path.contains('*') {
            return Err(SettingError::new(
                format!("`*` stands alone at the end for everything below, but `{found}` has it elsewhere"),
                "write it as `/api/*`",
            ));
        }
        let (text, sent) = (text.to_owned(), encoded(text.strip_suffix("/*").unwrap_or(text)));
        let path = if below { path } else { path.strip_suffix('/').unwrap_or(path) };
        if path.is_empty() {
            return Ok(Self { text, sent, segments: Vec::new(), below });
        }
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(SettingError::new(
                format!("no path arrives as `{found}`: browsers take out `.` and `..`, and `//` is no `/`"),
                "write it as `/admin/login`",
            ));
        }
        Ok(Self { text, sent, segments: path.split('/').map(fold).collect(), below })
    }
}

/// A segment as it is compared: in lower case.
///
/// The long s and the Kelvin sign become the letters that a case-blind comparison takes them for in engines that
/// fold by Unicode's table (UTS 18 §1.5).
pub(crate) fn fold(segment: &str) -> String {
    segment.chars().flat_map(|c| if c == 'ſ' { 's' } else { c }.to_lowercase()).collect()
}

/// A path as clients send it: all that RFC 3986 §3.3 does not let stand is percent-encoded.
fn encoded(path: &str) -> String {
    path.bytes().fold(String::new(), |mut sent, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            sent.push(char::from(byte));
        } else {
            sent.push_str(&format!("%{byte:02X}"));
        }
        sent
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_compared_folded() {
        for (text, segments, below) in [
            ("/", &[][..], false),
            ("/*", &[], true),
            ("/login", &["login"], false),
            ("/Login/", &["login"], false),
            ("/api/*", &["api"], true),
            ("/API/v1", &["api", "v1"], false),
            ("/über uns", &["über uns"], false),
            ("/ÜBER", &["über"], false),
            ("/Kaſſe", &["kasse"], false),
        ] {
            let path = text.parse::<RulePath>().unwrap();
            assert_eq!(path.segments(), segments, "{text}");
            assert_eq!(path.is_with_all_below(), below, "{text}");
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn an_exemption_holds_to_the_letter() {
        for (rule, path, is) in [
            ("/hook", "/hook", true),
            ("/hook", "/hook/", false),
            ("/hook", "/Hook", false),
            ("/hook", "/%68ook", false),
            ("/Hook", "/Hook", true),
            ("/hook/", "/hook/", true),
            ("/hook/*", "/hook", true),
            ("/hook/*", "/hook/a/B", true),
            ("/hook/*", "/hooks", false),
            ("/hook/*", "/Hook/a", false),
            ("/a ü", "/a%20%C3%BC", true),
            ("/a ü", "/a%20%c3%bc", false),
            ("/", "/", true),
            ("/*", "/", true),
            ("/*", "/x", true),
        ] {
            assert_eq!(rule.parse::<RulePath>().unwrap().is_written_as(path), is, "{rule} {path}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_hint() {
        for (text, hint) in [
            ("login", "write `/login`"),
            ("", "write `/`"),
            ("https://shop.example/login", "write `/login`"),
            ("https://shop.example", "write `/`"),
            ("/a%20b", "write the character itself"),
            ("/login?next=/", "write `/login`"),
            ("/login;v=1", "write `/login`"),
            ("/a\\b", "write it as `/login`"),
            ("/a\nb", "write it as `/login`"),
            ("/*/edit", "write it as `/api/*`"),
            ("/api*", "write it as `/api/*`"),
            ("/api/**", "write it as `/api/*`"),
            ("//login", "write it as `/admin/login`"),
            ("/a/../b", "write it as `/admin/login`"),
            ("/a//*", "write it as `/admin/login`"),
            ("/./*", "write it as `/admin/login`"),
        ] {
            let error = text.parse::<RulePath>().expect_err(text);
            assert_eq!(error.hint(), hint, "{text:?}: {error}");
        }
    }
}
