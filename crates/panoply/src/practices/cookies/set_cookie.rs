use std::fmt;

use http::HeaderValue;

/// One line of `Set-Cookie`, read as browsers read it (RFC 6265bis §5.6), on its bytes.
///
/// Every attribute is kept, in order and spelling, also one that nobody here has heard of. What is added goes
/// to the end, where it wins.
///
/// ```
/// use panoply::practices::cookies::{SameSite, SetCookie};
///
/// let cookie = SetCookie::parse(b"sid=1; path=/; Priority=High").unwrap();
/// assert!(!cookie.is_secure());
///
/// let cookie = cookie.with_secure().with_same_site(SameSite::Lax);
/// assert_eq!(cookie.print(), b"sid=1; path=/; Priority=High; Secure; SameSite=Lax");
/// ```
#[derive(Clone, Copy)]
pub struct SetCookie<'l> {
    line: &'l [u8],
    name: &'l [u8],
    value: &'l [u8],
    attributes: &'l [u8],
    new_name: Option<&'l [u8]>,
    new_value: Option<&'l [u8]>,
    added: [Option<Added>; 4],
    flags: Flags,
}

/// What is asked of every line, noted when it is read: to look it up each time would be to read it again.
#[derive(Clone, Copy, Default)]
struct Flags {
    is_secure: bool,
    is_http_only: bool,
    is_partitioned: bool,
    same_site: Option<SameSite>,
}

/// An attribute behind those of the line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Added {
    Secure,
    HttpOnly,
    SameSite(SameSite),
    RootPath,
}

/// Name and value of an attribute, both without the white space around them; the value is empty where there
/// is none.
pub type Attribute<'l> = (&'l [u8], &'l [u8]);

/// Whether a cookie is sent with requests that other sites start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// With links to us, not with forms, frames or scripts.
    Lax,
    /// Always.
    None,
}

impl<'l> SetCookie<'l> {
    /// Reads a line. `None`: browsers ignore it whole, for control characters, for want of both name and
    /// value, or for more than 4,096 bytes of them.
    #[must_use]
    pub fn parse(line: &'l [u8]) -> Option<Self> {
        // To the end in any case: without a way out the compiler takes sixteen bytes at once.
        if line.iter().fold(false, |found, byte| found | (byte.is_ascii_control() & (*byte != b'\t'))) {
            return None;
        }
        let (pair, attributes) = split_once(line, b';');
        let (name, value) = halves(pair);
        let (name, value) = (name.trim_ascii(), value.trim_ascii());
        let is_kept = (1..=LONGEST_PAIR).contains(&(name.len() + value.len()));
        is_kept.then_some(Self {
            line,
            name,
            value,
            attributes,
            new_name: None,
            new_value: None,
            added: [None; 4],
            flags: attributes_in(attributes).fold(Flags::default(), Flags::with),
        })
    }

    /// The name in a line, also in one that browsers ignore for what else is in it.
    pub(super) fn name_in(line: &'l [u8]) -> &'l [u8] {
        let (pair, _) = split_once(line, b';');
        halves(pair).0.trim_ascii()
    }

    /// The name; empty in a line without `=`, which is a value alone.
    #[must_use]
    pub fn name(&self) -> &'l [u8] {
        self.new_name.unwrap_or(self.name)
    }

    /// The value, as it is: neither quotes nor percent signs mean anything to a browser.
    #[must_use]
    pub fn value(&self) -> &'l [u8] {
        self.new_value.unwrap_or(self.value)
    }

    /// All attributes, in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'l>> {
        let added = self.added.into_iter().flatten().map(|added| -> Attribute<'l> { added.attribute() });
        attributes_in(self.attributes).chain(added)
    }

    /// The value of an attribute, the last one where there are several; `name` in any case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'l [u8]> {
        let of_name = |attribute: &Attribute<'_>| {
            attribute.0.eq_ignore_ascii_case(name.as_bytes()) && !is_overlooked(attribute)
        };
        self.attributes().filter(of_name).last().map(|(_, value)| value)
    }

    /// Sent over TLS only. What is written behind `Secure=` does not matter, not even `false`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.flags.is_secure
    }

    /// Out of reach of scripts.
    #[must_use]
    pub fn is_http_only(&self) -> bool {
        self.flags.is_http_only
    }

    /// Kept apart for each site that frames us.
    pub(super) fn is_partitioned(&self) -> bool {
        self.flags.is_partitioned
    }

    /// What is said of other sites, if it is a word that browsers know.
    #[must_use]
    pub fn same_site(&self) -> Option<SameSite> {
        self.flags.same_site
    }

    /// Adds `Secure`, unless it is there.
    #[must_use]
    pub fn with_secure(self) -> Self {
        if self.is_secure() { self } else { self.with(Added::Secure) }
    }

    /// Adds `HttpOnly`, unless it is there.
    #[must_use]
    pub fn with_http_only(self) -> Self {
        if self.is_http_only() { self } else { self.with(Added::HttpOnly) }
    }

    /// Adds `SameSite`; an earlier one stays in the line and counts no more.
    #[must_use]
    pub fn with_same_site(self, same_site: SameSite) -> Self {
        if self.same_site() == Some(same_site) {
            return self;
        }
        self.with(Added::SameSite(same_site))
    }

    /// Adds `Path=/`, unless that is what is said already; an earlier one stays in the line and counts no more.
    #[must_use]
    pub fn with_root_path(self) -> Self {
        if self.attribute("Path") == Some(b"/") { self } else { self.with(Added::RootPath) }
    }

    /// Gives it another name; the white space around the name stays. It is for the caller to see that browsers take
    /// it: no `=`, no `;`, no control characters, and not too long.
    ///
    /// ```
    /// use panoply::practices::cookies::SetCookie;
    ///
    /// let cookie = SetCookie::parse(b"sid=1; path=/").unwrap().with_name(b"id").with_value(b"2");
    /// assert_eq!(cookie.print(), b"id=2; path=/");
    /// ```
    #[must_use]
    pub fn with_name(self, name: &'l [u8]) -> Self {
        Self { new_name: Some(name), ..self }
    }

    /// Gives it another value, under the same terms.
    #[must_use]
    pub fn with_value(self, value: &'l [u8]) -> Self {
        Self { new_value: Some(value), ..self }
    }

    /// Whether name and value together are more than browsers take.
    pub(super) fn is_too_long(&self) -> bool {
        self.name().len() + self.value().len() > LONGEST_PAIR
    }

    /// The line: what was parsed, to the byte, with what was replaced, and behind it what was added.
    #[must_use]
    pub fn print(&self) -> Vec<u8> {
        if !self.is_changed() {
            return self.line.to_vec();
        }
        let kept = if self.added.iter().any(Option::is_some) { unpadded(self.line) } else { self.line };
        let mut line = Vec::with_capacity(self.printed_length(kept));
        if self.new_name.is_some() || self.new_value.is_some() {
            let (pair, rest) = kept.split_at(split_once(kept, b';').0.len());
            self.print_pair(pair, &mut line);
            line.extend_from_slice(rest);
        } else {
            line.extend_from_slice(kept);
        }
        for text in self.added.into_iter().flatten().map(Added::text) {
            line.extend_from_slice(b"; ");
            line.extend_from_slice(text);
        }
        line
    }

    /// The line as a header, if it differs from the one that was parsed.
    pub(super) fn changed(&self) -> Option<HeaderValue> {
        self.is_changed()
            .then(|| HeaderValue::from_maybe_shared(bytes::Bytes::from(self.print())).ok())
            .flatten()
    }

    /// No more than that, since `Bytes` takes over a vector without room to spare as it is, and any other with one
    /// more piece of memory.
    fn printed_length(&self, kept: &[u8]) -> usize {
        let equals = usize::from(self.name.is_empty() && !self.name().is_empty());
        let pair = self.name().len() + self.value().len() + equals;
        let added = self.added.into_iter().flatten().map(|added| "; ".len() + added.text().len());
        kept.len() + pair - self.name.len() - self.value.len() + added.sum::<usize>()
    }

    /// What stands before the first `;`, with another name or value between the same white space.
    fn print_pair(&self, pair: &[u8], line: &mut Vec<u8>) {
        let (name, value) = halves(pair);
        let has_name = pair.contains(&b'=');
        if has_name {
            print_within(name, self.name(), line);
        } else if !self.name().is_empty() {
            line.extend_from_slice(self.name());
        }
        if has_name || !self.name().is_empty() {
            line.push(b'=');
        }
        print_within(value, self.value(), line);
    }

    fn is_changed(&self) -> bool {
        self.new_name.is_some() || self.new_value.is_some() || self.added.iter().any(Option::is_some)
    }

    /// Takes the next free place. There is one for each of the four attributes; `SameSite` can be changed
    /// over and over, and then takes the place that it has.
    fn with(mut self, attribute: Added) -> Self {
        let is_its_place = |place: &&mut Option<Added>| {
            place.is_none_or(|placed| std::mem::discriminant(&placed) == std::mem::discriminant(&attribute))
        };
        if let Some(place) = self.added.iter_mut().find(is_its_place) {
            *place = Some(attribute);
        }
        self.flags = self.flags.with(attribute.attribute());
        self
    }
}

impl Flags {
    /// With what one more attribute says.
    fn with(mut self, attribute: Attribute<'_>) -> Self {
        let (name, value) = attribute;
        if is_overlooked(&attribute) {
            return self;
        }
        if name.eq_ignore_ascii_case(b"Secure") {
            self.is_secure = true;
        } else if name.eq_ignore_ascii_case(b"HttpOnly") {
            self.is_http_only = true;
        } else if name.eq_ignore_ascii_case(b"Partitioned") {
            self.is_partitioned = true;
        } else if name.eq_ignore_ascii_case(b"SameSite") {
            self.same_site = SameSite::named(value); // the last one counts, whatever it says
        }
        self
    }
}

impl Added {
    /// As it stands in a line.
    const fn text(self) -> &'static [u8] {
        match self {
            Self::Secure => b"Secure",
            Self::HttpOnly => b"HttpOnly",
            Self::SameSite(SameSite::Strict) => b"SameSite=Strict",
            Self::SameSite(SameSite::Lax) => b"SameSite=Lax",
            Self::SameSite(SameSite::None) => b"SameSite=None",
            Self::RootPath => b"Path=/",
        }
    }

    const fn attribute(self) -> Attribute<'static> {
        match self {
            Self::Secure => (b"Secure", b""),
            Self::HttpOnly => (b"HttpOnly", b""),
            Self::SameSite(same_site) => (b"SameSite", same_site.as_str().as_bytes()),
            Self::RootPath => (b"Path", b"/"),
        }
    }
}

/// Two lines are equal when they say the same: white space around names and values does not count.
impl PartialEq for SetCookie<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.name(), self.value()) == (other.name(), other.value())
            && self.attributes().eq(other.attributes())
    }
}

impl Eq for SetCookie<'_> {}

/// Shows everything but the value, which may be a secret.
impl fmt::Debug for SetCookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetCookie({}=[secret]", self.name().escape_ascii())?;
        for (name, value) in self.attributes() {
            write!(f, "; {}={}", name.escape_ascii(), value.escape_ascii())?;
        }
        f.write_str(")")
    }
}

impl SameSite {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }

    fn named(word: &[u8]) -> Option<Self> {
        let known = [Self::Strict, Self::Lax, Self::None];
        known.into_iter().find(|known| word.eq_ignore_ascii_case(known.as_str().as_bytes()))
    }
}

/// What stands behind the pair, in order.
fn attributes_in(text: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    let all = text.split(|byte| *byte == b';').map(|attribute| {
        let (name, value) = split_once(attribute, b'=');
        (name.trim_ascii(), value.trim_ascii())
    });
    all.filter(|(name, value)| !name.is_empty() || !value.is_empty())
}

/// Browsers pass over an attribute with a long value (RFC 6265bis §5.6).
fn is_overlooked((_, value): &Attribute<'_>) -> bool {
    value.len() > LONGEST_ATTRIBUTE
}

/// Name and value of a pair, white space and all; without `=`, all is value.
fn halves(pair: &[u8]) -> (&[u8], &[u8]) {
    if pair.contains(&b'=') { split_once(pair, b'=') } else { (&[], pair) }
}

/// Prints `text` between the white space that is around what stood there.
fn print_within(stood: &[u8], text: &[u8], line: &mut Vec<u8>) {
    let before = stood.len() - stood.trim_ascii_start().len();
    let behind = if before == stood.len() { before } else { stood.trim_ascii_end().len() };
    line.extend_from_slice(stood.get(..before).unwrap_or_default());
    line.extend_from_slice(text);
    line.extend_from_slice(stood.get(behind..).unwrap_or_default());
}

/// Without the semicolons and white space at the end.
fn unpadded(line: &[u8]) -> &[u8] {
    let is_padding = |byte: &u8| matches!(byte, b';' | b' ' | b'\t');
    let end = line.iter().rposition(|byte| !is_padding(byte)).map_or(0, |last| last + 1);
    line.get(..end).unwrap_or_default()
}

/// The parts before and behind the first `at`; without one, all is before.
fn split_once(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    let position = bytes.iter().position(|byte| *byte == at).unwrap_or(bytes.len());
    let (before, rest) = bytes.split_at_checked(position).unwrap_or((bytes, &[]));
    (before, rest.get(1..).unwrap_or_default())
}

/// Name and value together, in bytes (RFC 6265bis §5.6).
const LONGEST_PAIR: usize = 4096;

/// The value of an attribute, in bytes (RFC 6265bis §5.6).
const LONGEST_ATTRIBUTE: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> SetCookie<'_> {
        SetCookie::parse(line.as_bytes()).unwrap_or_else(|| panic!("{line}"))
    }

    #[test]
    fn a_line_is_read_as_browsers_read_it() {
        for (line, name, value, attributes) in [
            ("a=b", "a", "b", &[][..]),
            (" a\t=  b c ; Path = /x ", "a", "b c", &[("Path", "/x")][..]),
            ("a=\"b\"; secure", "a", "\"b\"", &[("secure", "")]),
            ("a=b=c;x=y=z", "a", "b=c", &[("x", "y=z")]),
            ("a=", "a", "", &[]),
            ("=b", "", "b", &[]),
            ("b", "", "b", &[]), // a value without a name
            ("a=b;;; HttpOnly;", "a", "b", &[("HttpOnly", "")]),
            (
                "a=b; Partitioned; Priority=High; New=1",
                "a",
                "b",
                &[("Partitioned", ""), ("Priority", "High"), ("New", "1")],
            ),
            (
                "a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/",
                "a",
                "b",
                &[("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Path", "/")],
            ),
        ] {
            let cookie = parse(line);
            let said: Vec<_> = cookie.attributes().collect();
            let expected: Vec<_> =
                attributes.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            assert_eq!((cookie.name(), cookie.value()), (name.as_bytes(), value.as_bytes()), "{line}");
            assert_eq!(said, expected, "{line}");
        }
    }

    #[test]
    fn what_browsers_ignore_is_no_cookie() {
        let long = format!("a={}", "b".repeat(LONGEST_PAIR));
        for line in ["", ";", "=", " = ; Path=/", "a=b\u{1}", "a=b\r\nc=d", "a\u{7f}=b", long.as_str()] {
            assert_eq!(SetCookie::parse(line.as_bytes()), None, "{line:?}");
        }
        assert!(SetCookie::parse(&long.as_bytes()[..LONGEST_PAIR]).is_some());
        assert!(SetCookie::parse(b"a=\xff\xfe").is_some(), "bytes beyond ASCII are a value");
    }

    #[test]
    fn the_last_attribute_of_a_name_counts_in_any_case() {
        for (line, secure, http_only, same_site) in [
            ("a=b", false, false, None),
            ("a=b; SECURE; httponly; samesite=lax", true, true, Some(SameSite::Lax)),
            ("a=b; Secure=false; HttpOnly=0", true, true, None),
            ("a=b; SameSite=Lax; SameSite=None", false, false, Some(SameSite::None)),
            ("a=b; SameSite=STRICT", false, false, Some(SameSite::Strict)),
            ("a=b; SameSite=true", false, false, None),
            ("a=b; SameSite", false, false, None),
            ("a=Secure; Path=HttpOnly", false, false, None),
        ] {
            let cookie = parse(line);
            assert_eq!(
                (cookie.is_secure(), cookie.is_http_only(), cookie.same_site()),
                (secure, http_only, same_site),
                "{line}"
            );
        }
        let overlooked = format!("a=b; Secure={}", "x".repeat(LONGEST_ATTRIBUTE + 1));
        assert!(!parse(&overlooked).is_secure());
    }

    #[test]
    fn what_is_added_goes_to_the_end_and_wins() {
        for (line, printed) in [
            ("a=b", "a=b; Secure; HttpOnly; SameSite=Lax"),
            ("a=b; ; ", "a=b; Secure; HttpOnly; SameSite=Lax"),
            ("a = b ;path=/", "a = b ;path=/; Secure; HttpOnly; SameSite=Lax"),
            ("a=b; SameSite=No", "a=b; SameSite=No; Secure; HttpOnly; SameSite=Lax"),
            ("a=b; secure; httponly; samesite=lax", "a=b; secure; httponly; samesite=lax"),
        ] {
            let cookie = parse(line).with_secure().with_http_only().with_same_site(SameSite::Lax);
            assert_eq!(cookie.print().escape_ascii().to_string(), printed, "{line}");
            assert_eq!(cookie.same_site(), Some(SameSite::Lax), "{line}");
        }
        let changed_twice = parse("a=b").with_same_site(SameSite::None).with_same_site(SameSite::Strict);
        assert_eq!(changed_twice.print(), b"a=b; SameSite=Strict");
    }

    #[test]
    fn another_name_and_value_take_the_place_of_the_old_ones() {
        for (line, printed) in [
            ("a=b", "id=new"),
            (" a\t=  b c ; Path = /x ", " id\t=  new ; Path = /x "),
            ("a=; Max-Age=0;", "id=new; Max-Age=0;"),
            ("a=  ; x", "id=  new; x"),
            ("a=b=c; Partitioned; Priority=High", "id=new; Partitioned; Priority=High"),
            ("=b", "id=new"),
            ("b; Path=/", "id=new; Path=/"),
        ] {
            let cookie = parse(line).with_name(b"id").with_value(b"new");
            assert_eq!(
                cookie.print().escape_ascii().to_string(),
                printed.escape_default().to_string(),
                "{line}"
            );
            assert_eq!((cookie.name(), cookie.value()), (&b"id"[..], &b"new"[..]));
        }
        let cookie = parse("a=b; path=/x; ").with_name(b"id").with_root_path().with_secure();
        assert_eq!(cookie.print(), b"id=b; path=/x; Path=/; Secure");
        assert_eq!(parse("a=b; path=/").with_root_path().with_value(b"").print(), b"a=; path=/");
        assert!(parse("a=b").with_value(&[b'x'; LONGEST_PAIR]).is_too_long());
    }

    #[test]
    fn the_value_is_not_shown() {
        let shown = format!("{:?}", parse("sid=s3cret; Path=/"));
        assert_eq!(shown, "SetCookie(sid=[secret]; Path=/)");
    }

    proptest! {
        #[test]
        fn a_line_prints_as_it_was_parsed(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(cookie) = SetCookie::parse(&line) {
                prop_assert_eq!(cookie.print(), line.clone());
            }
        }

        #[test]
        fn a_line_with_another_name_and_value_keeps_every_other_byte(line in "[ab= \t]{0,8}(;[ -~]{0,12}){0,3}") {
            if let Some(cookie) = SetCookie::parse(line.as_bytes()) {
                let (name, value) = (cookie.name().to_vec(), cookie.value().to_vec());
                let changed = cookie.with_name(b"id").with_value(b"new").print();
                let read = SetCookie::parse(&changed).expect("it is a cookie");
                prop_assert_eq!((read.name(), read.value()), (&b"id"[..], &b"new"[..]));
                prop_assert!(read.attributes().eq(cookie.attributes()));
                if line.split(';').next().is_some_and(|pair| pair.contains('=')) {
                    prop_assert_eq!(read.with_name(&name).with_value(&value).print(), line.as_bytes());
                }
            }
        }

        #[test]
        fn a_hardened_line_parses_as_it_was_printed(line in "[ -~]{1,8}(; ?(Path=/|Secure|HttpOnly|SameSite=[a-zA-Z]{0,6}|[ -~]{0,8}))*") {
            if let Some(cookie) = SetCookie::parse(line.as_bytes()) {
                let hardened = cookie.with_http_only().with_same_site(SameSite::Strict).with_secure();
                let printed = hardened.print();
                prop_assert_eq!(SetCookie::parse(&printed), Some(hardened));
                prop_assert!(printed.starts_with(line.trim_end_matches([';', ' ']).as_bytes()));
            }
        }
    }
}
