mod table;

use std::fmt;
use std::str::FromStr;

pub(super) use self::table::{CspText, WrittenCsp};
use crate::SettingError;

/// What a page may load, run and be framed by: `Content-Security-Policy` (CSP3).
///
/// The default is Helmet's. A directive that is set takes the place of the default one whole; sources are
/// never joined, and a new directive goes last. The source `'nonce'` stands for a nonce that is new with
/// every answer: the app finds it in the request extension [`Nonce`](crate::Nonce), and the browser runs
/// the scripts that carry it.
///
/// ```
/// use panoply::practices::headers::Csp;
///
/// let csp = Csp::only(["'none'"])?.directive("scriptSrc", ["'self'", "'nonce'"])?;
/// assert_eq!(csp.to_string(), "default-src 'none';script-src 'self' 'nonce'");
///
/// let unquoted = Csp::default().directive("img-src", ["self"]).unwrap_err();
/// assert_eq!(unquoted.hint(), "write `'self'`, with its quotes");
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csp {
    directives: Vec<Directive>,
}

#[derive(Clone, Debug)]
struct Directive {
    name: String,
    /// The sources as they are printed.
    value: String,
}

impl Csp {
    /// None of the defaults: `default-src` with these sources, and what is added to it.
    ///
    /// # Errors
    /// When a source is none, see [`directive`](Self::directive).
    pub fn only<S: AsRef<str>>(default_src: impl IntoIterator<Item = S>) -> Result<Self, SettingError> {
        Self::empty().directive(DEFAULT_SRC, default_src)
    }

    /// Sets a directive, named as in a header or as in JavaScript (`script-src`, `scriptSrc`). Without
    /// sources, or with one that is empty, it is its bare name.
    ///
    /// # Errors
    /// When `name` is no directive's, a source holds `;`, `,` or what no header can, or a keyword, nonce or
    /// hash lacks its quotes.
    pub fn directive<S: AsRef<str>>(
        mut self,
        name: &str,
        sources: impl IntoIterator<Item = S>,
    ) -> Result<Self, SettingError> {
        let name = name_of(name)?;
        let mut value = String::new();
        for (at, source) in sources.into_iter().enumerate() {
            let source = source.as_ref();
            check(&name, source)?;
            if at > 0 {
                value.push(' ');
            }
            value.push_str(source);
        }
        match self.directives.iter_mut().find(|directive| directive.name == name) {
            Some(directive) => directive.value = value,
            None => self.directives.push(Directive { name, value }),
        }
        Ok(self)
    }

    /// Leaves a directive out; one that is not there is no error.
    ///
    /// # Errors
    /// When `name` is no directive's, is `default-src`, or is the last one.
    pub fn without(self, name: &str) -> Result<Self, SettingError> {
        self.removed(&name_of(name)?)?.some()
    }

    /// Leaves `default-src` out: what no other directive names is then allowed from everywhere.
    ///
    /// # Errors
    /// When nothing else is there.
    pub fn danger_without_default_src(mut self) -> Result<Self, SettingError> {
        self.directives.retain(|directive| directive.name != DEFAULT_SRC);
        self.some()
    }

    /// The sources of a directive, by its name in the header; `None` where it is not there.
    pub fn sources(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        self.directives.iter().find(|directive| directive.name == name).map(Directive::sources)
    }

    /// The names of its directives, in order.
    pub fn directives(&self) -> impl Iterator<Item = &str> {
        self.directives.iter().map(|directive| directive.name.as_str())
    }

    /// Refuses, in what an operator wrote as text, what [`directive`](Self::directive) refuses.
    fn checked(self) -> Result<Self, SettingError> {
        for Directive { name, value } in &self.directives {
            name_of(name)?;
            value.split_ascii_whitespace().try_for_each(|source| check(name, source))?;
        }
        self.some()
    }

    /// Helmet's to try out: browsers pass over `upgrade-insecure-requests` in a report-only policy and
    /// complain of it on the console (Upgrade Insecure Requests §3.1).
    pub(super) fn reported() -> Self {
        Self::default().but("upgrade-insecure-requests")
    }

    /// What hardly a page needs: a foreign base address, other sites' frames around it, plug-ins.
    pub(super) fn in_front() -> Self {
        Self { directives: IN_FRONT.map(Directive::from).into() }
    }

    /// As it is, but for one directive, whichever that is.
    pub(super) fn but(&self, name: &str) -> Self {
        let others = self.directives.iter().filter(|directive| directive.name != name);
        Self { directives: others.cloned().collect() }
    }

    const fn empty() -> Self {
        Self { directives: Vec::new() }
    }

    fn removed(mut self, name: &str) -> Result<Self, SettingError> {
        if name == DEFAULT_SRC {
            return Err(SettingError::new(
                "a Content-Security-Policy needs a default-src, but it was taken out",
                "write `danger_without_default_src` if you mean it",
            ));
        }
        self.directives.retain(|directive| directive.name != name);
        Ok(self)
    }

    fn some(self) -> Result<Self, SettingError> {
        if self.directives.is_empty() {
            return Err(SettingError::new(
                "a Content-Security-Policy has at least one directive, but this one has none",
                "add one, or write `csp = \"off\"`",
            ));
        }
        Ok(self)
    }
}

/// Helmet's.
impl Default for Csp {
    fn default() -> Self {
        Self { directives: HELMET.map(Directive::from).into() }
    }
}

/// As Helmet prints it: no space after `;`, none at the end.
impl fmt::Display for Csp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Directive { name, value }) in self.directives.iter().enumerate() {
            let (semicolon, space) =
                (if at == 0 { "" } else { ";" }, if value.is_empty() { "" } else { " " });
            write!(f, "{semicolon}{name}{space}{value}")?;
        }
        Ok(())
    }
}

/// As browsers read a header (CSP3 §2.2.1): names in any case, and of two directives of a name the first.
/// What is weak or misspelt is read too: it is for [`directive`](Csp::directive) to refuse.
impl FromStr for Csp {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        if text.len() > LONGEST {
            return Err(SettingError::new(
                format!(
                    "a Content-Security-Policy has at most {LONGEST} bytes here, but this has {}",
                    text.len()
                ),
                "shorten it: browsers and proxies refuse longer heads",
            ));
        }
        if text.contains(',') {
            return Err(SettingError::new(
                "a Content-Security-Policy is one policy, but there is a `,`, which begins another",
                "write `;` between directives and a space between sources",
            ));
        }
        if let Some(odd) = text.chars().find(|c| !is_sendable(*c)) {
            return Err(unsendable(odd));
        }
        let mut csp = Self::empty();
        for directive in text.split(';') {
            let mut words = directive.split_ascii_whitespace();
            let Some(name) = words.next().map(str::to_ascii_lowercase) else { continue };
            if csp.sources(&name).is_none() {
                csp.directives.push(Directive { name, value: words.collect::<Vec<_>>().join(" ") });
            }
        }
        Ok(csp)
    }
}

impl Directive {
    fn sources(&self) -> impl Iterator<Item = &str> {
        self.value.split_ascii_whitespace()
    }
}

impl From<(&str, &str)> for Directive {
    fn from((name, value): (&str, &str)) -> Self {
        Self { name: name.to_owned(), value: value.to_owned() }
    }
}

/// Two directives are equal that mean the same, however they are spaced.
impl PartialEq for Directive {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.sources().eq(other.sources())
    }
}

impl Eq for Directive {}

/// `scriptSrc` is `script-src`: each capital is a hyphen and its small letter.
fn name_of(written: &str) -> Result<String, SettingError> {
    let starts = written.starts_with(|c: char| c.is_ascii_lowercase());
    let ends = written.ends_with(|c: char| c.is_ascii_alphanumeric());
    if !(starts && ends && written.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')) {
        return Err(SettingError::new(
            format!("`{}` is no name of a CSP directive", written.escape_debug()),
            "write a name such as `script-src` or `scriptSrc`",
        ));
    }
    let mut name = String::with_capacity(written.len() + 4);
    for c in written.chars() {
        if c.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    Ok(name)
}

fn check(name: &str, source: &str) -> Result<(), SettingError> {
    if source.contains([';', ',']) {
        return Err(SettingError::new(
            format!("a source ends before `;` and `,`, but `{}` in {name} holds one", source.escape_debug()),
            "make each source and each directive an entry of its own",
        ));
    }
    if let Some(odd) = source.chars().find(|c| !is_sendable(*c)) {
        return Err(unsendable(odd));
    }
    if KEYWORDS.contains(&source) || HASHES.iter().any(|hash| source.starts_with(hash)) {
        return Err(SettingError::new(
            format!("`{source}` in {name} would be read as a host"),
            format!("write `'{source}'`, with its quotes"),
        ));
    }
    Ok(())
}

/// CSP3 §2.2: a directive's value is visible ASCII and white space.
const fn is_sendable(c: char) -> bool {
    c.is_ascii_graphic() || matches!(c, ' ' | '\t')
}

fn unsendable(odd: char) -> SettingError {
    SettingError::new(
        format!("a Content-Security-Policy is visible ASCII, but there is `{}`", odd.escape_debug()),
        "write host names in punycode (`xn--…`) and paths percent-encoded",
    )
}

const DEFAULT_SRC: &str = "default-src";

/// A header of 16 KiB is more than most proxies pass.
const LONGEST: usize = 16 * 1024;

const KEYWORDS: [&str; 10] = [
    "none",
    "self",
    "strict-dynamic",
    "report-sample",
    "inline-speculation-rules",
    "unsafe-inline",
    "unsafe-eval",
    "unsafe-hashes",
    "wasm-unsafe-eval",
    "nonce", // not CSP's: ours, for a nonce that is made here
];

const HASHES: [&str; 4] = ["nonce-", "sha256-", "sha384-", "sha512-"];

const HELMET: [(&str, &str); 11] = [
    (DEFAULT_SRC, "'self'"),
    ("base-uri", "'self'"),
    ("font-src", "'self' https: data:"),
    ("form-action", "'self'"),
    ("frame-ancestors", "'self'"),
    ("img-src", "'self' data:"),
    ("object-src", "'none'"),
    ("script-src", "'self'"),
    ("script-src-attr", "'none'"),
    ("style-src", "'self' https: 'unsafe-inline'"),
    ("upgrade-insecure-requests", ""),
];

const IN_FRONT: [(&str, &str); 3] =
    [("base-uri", "'self'"), ("frame-ancestors", "'self'"), ("object-src", "'none'")];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NO_SOURCES: [&str; 0] = [];

    #[test]
    fn a_directive_replaces_in_place_and_a_new_one_goes_last() {
        let csp = Csp::default()
            .directive("fontSrc", ["https://fonts.example"])
            .and_then(|csp| csp.directive("worker-src", ["blob:"]))
            .and_then(|csp| csp.directive("sandbox", [""]))
            .and_then(|csp| csp.without("upgradeInsecureRequests"))
            .unwrap();
        assert_eq!(
            csp.to_string(),
            "default-src 'self';base-uri 'self';font-src https://fonts.example;form-action 'self';\
             frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';\
             script-src-attr 'none';style-src 'self' https: 'unsafe-inline';worker-src blob:;sandbox"
        );
    }

    #[test]
    fn names_are_helmets() {
        for (written, name) in [
            ("scriptSrc", Some("script-src")),
            ("script-src-attr", Some("script-src-attr")),
            ("reportURI", Some("report-u-r-i")), // so does Helmet
            ("x", Some("x")),
            ("a-1", Some("a-1")),
            ("DefaultSrc", None),
            ("_x", None),
            ("__proto__", None),
            ("script-", None),
            ("-src", None),
            ("1a", None),
            ("script src", None),
            ("script-src;", None),
            ("scrípt", None),
            ("", None),
        ] {
            assert_eq!(name_of(written).ok().as_deref(), name, "{written}");
        }
    }

    #[test]
    fn sources_are_refused_that_would_mean_something_else() {
        for (source, taken) in [
            ("'self'", true),
            ("https://a.example/x?y=z&w#f", true),
            ("self a.example", true), // one element to Helmet, which does not look into it
            ("Self", true),
            ("xnonce-1", true),
            ("'nonce'", true),
            ("", true),
            ("a;b", false),
            ("a,b", false),
            ("a\r\nSet-Cookie: x", false),
            ("münchen.example", false),
            ("none", false),
            ("self", false),
            ("strict-dynamic", false),
            ("report-sample", false),
            ("inline-speculation-rules", false),
            ("unsafe-inline", false),
            ("unsafe-eval", false),
            ("unsafe-hashes", false),
            ("wasm-unsafe-eval", false),
            ("nonce", false),
            ("nonce-abc", false),
            ("sha256-abc", false),
            ("sha384-abc", false),
            ("sha512-abc", false),
        ] {
            assert_eq!(Csp::default().directive("script-src", [source]).is_ok(), taken, "{source}");
        }
    }

    #[test]
    fn default_src_goes_only_by_its_dangerous_name() {
        assert!(Csp::default().without("defaultSrc").is_err());
        let csp = Csp::default().danger_without_default_src().unwrap();
        assert!(csp.to_string().starts_with("base-uri 'self';"), "{csp}");
        assert!(Csp::only(["'self'"]).and_then(Csp::danger_without_default_src).is_err());
    }

    #[test]
    fn a_header_is_read_as_browsers_read_it() {
        for (text, printed) in [
            ("default-src 'self'; IMG-SRC  *\t data: ;; ", Some("default-src 'self';img-src * data:")),
            ("img-src a; img-src b; Img-Src c", Some("img-src a")),
            ("script-src self", Some("script-src self")), // weak, but what the site says
            ("", Some("")),
            ("img-src a, img-src b", None),
            ("img-src \u{e9}", None),
            ("img-src a\r\nb", None),
        ] {
            let csp = text.parse::<Csp>().ok();
            assert_eq!(csp.map(|csp| csp.to_string()).as_deref(), printed, "{text}");
        }
        assert!("a;".repeat(LONGEST).parse::<Csp>().is_err());
    }

    #[test]
    fn a_text_in_the_settings_is_held_to_the_same_rules() {
        for (text, taken) in [
            ("default-src 'self'; img-src *", true),
            ("frame-ancestors 'self'", true),
            ("script-src self", false),
            ("_x 'self'", false),
            ("", false),
            (" ; ", false),
        ] {
            assert_eq!(text.parse().and_then(Csp::checked).is_ok(), taken, "{text}");
        }
    }

    #[test]
    fn a_bare_directive_has_no_sources() {
        let csp = Csp::default().directive("trusted-types", NO_SOURCES).unwrap();
        assert_eq!(csp.sources("trusted-types").map(Iterator::count), Some(0));
        assert_eq!(csp.directives().last(), Some("trusted-types"));
        assert!(csp.sources("worker-src").is_none());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(
            directives in prop::collection::vec(
                ("[a-z][a-zA-Z0-9-]{0,12}[a-z0-9]", prop::collection::vec("[!-+\\--:<-~ \t]{0,16}", 0..4)),
                0..8,
            )
        ) {
            let mut csp = Csp::default();
            for (name, sources) in directives {
                if let Ok(more) = csp.clone().directive(&name, sources) {
                    csp = more;
                }
            }
            prop_assert_eq!(csp.to_string().parse(), Ok(csp));
        }

        #[test]
        fn a_header_that_was_read_keeps_its_meaning(text in "[ -~\t;]{0,200}") {
            if let Ok(csp) = text.parse::<Csp>() {
                prop_assert_eq!(csp.to_string().parse(), Ok(csp));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<Csp>();
        }
    }
}
