use std::fmt;

use http::HeaderValue;
use url::Url;

use crate::Origin;

/// Where an app may send its visitor: what [`target`] has checked, in the spelling to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

/// Reads `input` as a redirect's target: a path of this site (beginning with one slash), or a URL of one of
/// `origins`. `None` is anything else; a good answer to that is a page of one's own.
///
/// It is read as browsers read it, and what comes back is the result and not the input, so that there is
/// nothing left to read differently. Backslashes, control characters and user names are refused even where
/// they would be harmless: no honest link has them. A path relative to the page (`account`, `?page=2`) is
/// refused too, since what it means depends on the page.
///
/// ```
/// use panoply::practices::redirects::target;
///
/// assert!(target("/account", &[]).is_some());
/// assert!(target("/\\evil.example", &[]).is_none());
/// assert!(target("javascript:alert(1)", &[]).is_none());
/// ```
#[must_use]
pub fn target(input: &str, origins: &[Origin]) -> Option<Target> {
    let is_odd = |character: char| character == '\\' || character.is_control();
    if input.len() > LONGEST || input.contains(is_odd) {
        return None;
    }
    if input.starts_with('/') {
        return path(input);
    }
    let url = Url::parse(input).ok()?;
    let is_trusted = origins.iter().any(|origin| origin.holds(&url));
    (is_trusted && url.username().is_empty() && url.password().is_none()).then(|| Target(url.into()))
}

impl Target {
    /// The target, as it goes into `Location`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Target {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.0
    }
}

impl From<Target> for HeaderValue {
    fn from(target: Target) -> Self {
        // A URL's serialisation is visible ASCII (WHATWG URL §4.5), which a header takes.
        Self::try_from(target.0).unwrap_or(Self::from_static("/"))
    }
}

fn path(input: &str) -> Option<Target> {
    if input.starts_with("//") {
        return None;
    }
    // The own name does not matter: without two slashes in front, no input can leave it.
    let here = Url::parse("https://here.invalid/").ok()?;
    let url = here.join(input).ok()?;
    let path = url.as_str().strip_prefix("https://here.invalid")?;
    // `/.//evil.example` is a path now, but `//evil.example`, which is left of it, would not be.
    (path.starts_with('/') && !path.starts_with("//")).then(|| Target(path.to_owned()))
}

/// As long as a request's URI may be, by the default of `limits`, in bytes.
const LONGEST: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ours() -> [Origin; 2] {
        ["https://us.example", "http://localhost:3000"].map(|origin| origin.parse().unwrap())
    }

    #[test]
    fn a_path_or_a_url_of_ours_is_a_target_in_the_spelling_to_send() {
        for (input, sent) in [
            ("/", "/"),
            ("/account", "/account"),
            ("/account?tab=2&x=//evil.example#top", "/account?tab=2&x=//evil.example#top"),
            ("/a b/ü", "/a%20b/%C3%BC"),
            ("/a/../b/./c", "/b/c"),
            ("/%2F%2Fevil.example", "/%2F%2Fevil.example"), // stays a path: nobody decodes a Location
            ("/https://evil.example", "/https://evil.example"),
            ("/@evil.example", "/@evil.example"),
            ("https://us.example", "https://us.example/"),
            ("https://us.example/a?b#c", "https://us.example/a?b#c"),
            ("HTTPS://US.EXAMPLE:443/a", "https://us.example/a"),
            ("https:us.example", "https://us.example/"),
            ("http://localhost:3000/a", "http://localhost:3000/a"),
        ] {
            assert_eq!(target(input, &ours()).as_ref().map(Target::as_str), Some(sent), "{input}");
        }
    }

    #[test]
    fn nothing_else_is_a_target() {
        for input in [
            "",
            "account",
            "?page=2",
            "#top",
            "us.example",
            "//evil.example",
            "///evil.example",
            "////evil.example",
            "//us.example",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/a\\b",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            " javascript:alert(1)",
            "/.//evil.example",
            "/..//evil.example",
            "/a/..//evil.example",
            "/%2e//evil.example",
            "/a/%2E%2e//evil.example",
            "//here.invalid/account",
            "/\u{0}",
            "/a\r\nSet-Cookie: a=b",
            "/\u{85}/evil.example",
            "https://evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "http://us.example", // the scheme is part of it
            "https://us.example:8443",
            "https://www.us.example",
            "https://us.example.evil.example",
            "https://us.example@evil.example",
            "https://us.example\\@evil.example",
            "http://good\\@evil.example",
            "https://me@us.example/",
            "https://:secret@us.example/",
            "https://evil.example#https://us.example",
            "https://evil.example/?https://us.example",
            "https://us.example%2F.evil.example",
            "https://us.example。evil.example", // an ideographic full stop is a dot
            "ftp://us.example",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\nscript:alert(1)",
            "javascript://us.example/%0aalert(1)",
            "data:text/html,hi",
            "vbscript:x",
            "blob:https://us.example/1",
            "filesystem:https://us.example/1",
            "view-source:https://us.example",
            "file:///etc/passwd",
        ] {
            assert_eq!(target(input, &ours()), None, "{input:?}");
        }
        assert_eq!(target(&format!("/{}", "a".repeat(LONGEST)), &[]), None);
    }

    proptest! {
        #[test]
        fn a_target_never_leaves_our_origins(input in "([/\\\\.:@?#%a-c\t ]|//|%2e|evil\\.example|https?:|us\\.example|\\PC){0,12}") {
            if let Some(target) = target(&input, &ours()) {
                let page = Url::parse("https://us.example/some/page?q").unwrap();
                let reached = page.join(target.as_str()).unwrap();
                prop_assert!(ours().iter().any(|origin| origin.holds(&reached)), "{input:?} -> {target}");
                prop_assert!(reached.username().is_empty());
                prop_assert_eq!(HeaderValue::from(target.clone()), target.as_str());
            }
        }

        #[test]
        fn a_target_is_a_target(input in "/[!-~]{0,24}") {
            if let Some(once) = target(&input, &ours()) {
                prop_assert_eq!(target(once.as_str(), &ours()), Some(once));
            }
        }
    }
}
