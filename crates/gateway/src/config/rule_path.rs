use std::fmt;
use std::str::FromStr;

use panoply::SettingError;

use super::text::{Text, deserialize_text, shown};

/// Which paths a rule is for: `/login`, or with `/api/*` everything from `/api` down.
///
/// A request is compared by its percent-decoded path, letters of either case alike, with or without a slash at
/// the end: as routers of web apps do, and never more strictly than they do, for a rule that protects must not be
/// passed by writing the path in another way. `/login` is neither `/login/help` nor `/login-help`; `/api/*` is
/// `/api`, `/api/` and all below, but not `/apiary`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RulePath {
    /// Decoded and folded.
    segments: Vec<String>,
    below: bool,
}

impl RulePath {
    /// The path's segments, folded as by [`fold`]; none for `/`.
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
        for segment in &self.segments {
            write!(f, "/{segment}")?;
        }
        match (self.below, self.segments.is_empty()) {
            (true, _) => f.write_str("/*"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
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
        let path = if below { path } else { path.strip_suffix('/').unwrap_or(path) };
        if path.is_empty() {
            return Ok(Self { segments: Vec::new(), below });
        }
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(SettingError::new(
                format!("no path arrives as `{found}`: browsers take out `.` and `..`, and `//` is no `/`"),
                "write it as `/admin/login`",
            ));
        }
        Ok(Self { segments: path.split('/').map(fold).collect(), below })
    }
}

/// A segment as it is compared: in lower case.
///
/// The long s and the Kelvin sign become the letters that a case-blind comparison takes them for in engines that
/// fold by Unicode's table (UTS 18 §1.5).
pub(crate) fn fold(segment: &str) -> String {
    segment.chars().flat_map(|c| if c == 'ſ' { 's' } else { c }.to_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_prints_as_it_is_compared() {
        for (text, printed) in [
            ("/", "/"),
            ("/*", "/*"),
            ("/login", "/login"),
            ("/Login/", "/login"),
            ("/api/*", "/api/*"),
            ("/API/v1", "/api/v1"),
            ("/über uns", "/über uns"),
            ("/ÜBER", "/über"),
            ("/Kaſſe", "/kasse"),
        ] {
            let path = text.parse::<RulePath>().unwrap();
            assert_eq!(path.to_string(), printed, "{text}");
            assert_eq!(printed.parse(), Ok(path), "{text}");
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
