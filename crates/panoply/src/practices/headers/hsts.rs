use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::SettingError;

/// For how long a browser comes back over https alone: `Strict-Transport-Security` (RFC 6797).
///
/// The default is Helmet's: a year, subdomains too.
///
/// ```
/// use panoply::practices::headers::Hsts;
///
/// assert_eq!(Hsts::default().to_string(), "max-age=31536000; includeSubDomains");
/// assert_eq!("Max-Age=\"0\"; later".parse::<Hsts>()?.to_string(), "max-age=0");
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    max_age: u64,
    include_subdomains: bool,
    preload: bool,
}

impl Hsts {
    /// For `max_age` from each answer on, whole seconds, this host alone. Zero makes browsers forget.
    #[must_use]
    pub const fn for_host(max_age: Duration) -> Self {
        Self { max_age: max_age.as_secs(), include_subdomains: false, preload: false }
    }

    /// Every subdomain too, those of other servers and of the intranet with them.
    #[must_use]
    pub const fn include_subdomains(mut self) -> Self {
        self.include_subdomains = true;
        self
    }

    /// Agrees to be built into browsers, which takes months to undo.
    #[must_use]
    pub const fn preload(mut self) -> Self {
        self.preload = true;
        self
    }

    /// How long.
    #[must_use]
    pub const fn max_age(&self) -> Duration {
        Duration::from_secs(self.max_age)
    }

    /// Whether subdomains are bound too.
    #[must_use]
    pub const fn includes_subdomains(&self) -> bool {
        self.include_subdomains
    }

    /// Whether it agrees to be built into browsers.
    #[must_use]
    pub const fn is_preload(&self) -> bool {
        self.preload
    }

    pub(super) fn value(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.to_string()).ok()
    }
}

impl Default for Hsts {
    fn default() -> Self {
        Self::for_host(YEAR).include_subdomains()
    }
}

impl fmt::Display for Hsts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "max-age={}", self.max_age)?;
        if self.include_subdomains {
            f.write_str("; includeSubDomains")?;
        }
        if self.preload {
            f.write_str("; preload")?;
        }
        Ok(())
    }
}

/// RFC 6797 §6.1: names in any case, each once, `max-age` always, unknown ones passed over.
impl FromStr for Hsts {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let mut max_age = None;
        let (mut subdomains, mut preload) = (false, false);
        for directive in text.split(';').map(str::trim).filter(|directive| !directive.is_empty()) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let name = name.trim_end();
            let twice = if name.eq_ignore_ascii_case("max-age") {
                max_age.replace(seconds(value.trim_start())?).is_some()
            } else if name.eq_ignore_ascii_case("includeSubDomains") {
                std::mem::replace(&mut subdomains, true)
            } else if name.eq_ignore_ascii_case("preload") {
                std::mem::replace(&mut preload, true)
            } else {
                false
            };
            if twice {
                return Err(SettingError::new(
                    format!("Strict-Transport-Security says `{name}` twice, and browsers then pass it over"),
                    "leave one of them out",
                ));
            }
        }
        let max_age = max_age.ok_or_else(|| {
            SettingError::new(
                format!("Strict-Transport-Security needs `max-age`, but `{text}` has none"),
                "write `max-age=31536000`",
            )
        })?;
        Ok(Self { max_age, include_subdomains: subdomains, preload })
    }
}

/// Its text, or a table of `max_age`, `include_subdomains` and `preload`; what is missing is the gateway's.
impl<'de> Deserialize<'de> for Hsts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = Hsts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Strict-Transport-Security, or a table with `max_age`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Hsts, E> {
        text.parse().map_err(SettingError::into_serde)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Hsts, A::Error> {
        let table = Table::deserialize(de::value::MapAccessDeserializer::new(table))?;
        Ok(Hsts {
            max_age: table.max_age.0,
            include_subdomains: table.include_subdomains,
            preload: table.preload,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Table {
    max_age: MaxAge,
    include_subdomains: bool,
    preload: bool,
}

/// Seconds; a fraction is cut off.
struct MaxAge(u64);

impl Default for MaxAge {
    fn default() -> Self {
        Self(YEAR.as_secs())
    }
}

impl<'de> Deserialize<'de> for MaxAge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number)
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = MaxAge;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds, zero or more")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<MaxAge, E> {
        Ok(MaxAge(seconds))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<MaxAge, E> {
        u64::try_from(seconds).map(MaxAge).map_err(|_| no_seconds(seconds).into_serde())
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<MaxAge, E> {
        let whole = Duration::try_from_secs_f64(seconds).map_err(|_| no_seconds(seconds).into_serde())?;
        Ok(MaxAge(whole.as_secs()))
    }
}

/// Whether `host` is a public name, which HSTS may bind.
///
/// It binds every port of a name. What shares a name that is not public — `localhost`, an address, a single
/// label, a name that only the local network knows (RFC 6761, 6762, 8375) — is often another, plain service.
pub(super) fn is_public(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let Some((_, last)) = host.rsplit_once('.') else { return false };
    if address.parse::<IpAddr>().is_ok() || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    !LOCAL.iter().any(|local| ends_with(host, local))
}

/// RFC 6797 §6.1.1: digits, or the same between quotes. More than fits is as good as for ever.
fn seconds(text: &str) -> Result<u64, SettingError> {
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_seconds(text));
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

fn no_seconds(found: impl fmt::Display) -> SettingError {
    SettingError::new(
        format!("the max-age of Strict-Transport-Security is a number of seconds, but `{found}` is none"),
        "write `31536000` for a year",
    )
}

fn ends_with(host: &str, suffix: &str) -> bool {
    let at = host.len().checked_sub(suffix.len());
    at.and_then(|at| host.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const LOCAL: [&str; 7] = [".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test", ".invalid"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_is_read_as_browsers_read_it() {
        for (text, printed) in [
            ("max-age=31536000", Some("max-age=31536000")),
            ("MAX-AGE=1;INCLUDESUBDOMAINS ; Preload", Some("max-age=1; includeSubDomains; preload")),
            ("; ; preload; max-age = \"7\" ;", Some("max-age=7; preload")),
            ("max-age=1; later=2; later=3", Some("max-age=1")),
            ("max-age=99999999999999999999", Some("max-age=18446744073709551615")),
            ("includeSubDomains", None), // no max-age
            ("", None),
            ("max-age", None),
            ("max-age=-1", None),
            ("max-age=1.5", None),
            ("max-age='1'", None),
            ("max-age=1; max-age=1", None), // RFC 6797 §6.1 (2): each once
            ("max-age=1; preload; Preload", None),
        ] {
            let hsts = text.parse::<Hsts>().ok();
            assert_eq!(hsts.map(|hsts| hsts.to_string()).as_deref(), printed, "{text}");
        }
    }

    #[test]
    fn a_table_takes_what_helmet_takes() {
        for (table, printed) in [
            ("{}", Some("max-age=31536000")),
            (r#"{ "max_age": 0 }"#, Some("max-age=0")),
            (r#"{ "max_age": 12.9, "preload": true }"#, Some("max-age=12; preload")),
            (r#"{ "include_subdomains": true }"#, Some("max-age=31536000; includeSubDomains")),
            (r#""max-age=5""#, Some("max-age=5")),
            (r#"{ "max_age": -1 }"#, None),
            (r#"{ "max_age": -0.5 }"#, None),
            (r#"{ "max_age": "123" }"#, None),
            (r#"{ "max_age": null }"#, None),
            (r#"{ "maxage": 1 }"#, None),
            (r#"{ "includeSubdomains": true }"#, None),
        ] {
            let hsts = serde_json::from_str::<Hsts>(table).ok();
            assert_eq!(hsts.map(|hsts| hsts.to_string()).as_deref(), printed, "{table}");
        }
        for seconds in ["inf", "nan", "-inf"] {
            assert!(toml::from_str::<Table>(&format!("max_age = {seconds}")).is_err(), "{seconds}");
        }
    }

    #[test]
    fn only_public_names_are_bound() {
        for (host, public) in [
            ("shop.example", true),
            ("WWW.Shop.Example.", true),
            ("localhost.example", true),
            ("localhost", false),
            ("app.localhost", false),
            ("intranet", false),
            ("127.0.0.1", false),
            ("10.1", false),
            ("[::1]", false),
            ("[2001:db8::1.2.3.4]", false),
            ("printer.local", false),
            ("db.INTERNAL", false),
            ("nas.lan.", false),
            ("shop.test", false),
            ("", false),
            (".", false),
        ] {
            assert_eq!(is_public(host), public, "{host}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(max_age: u64, include_subdomains: bool, preload: bool) {
            let hsts = Hsts { max_age, include_subdomains, preload };
            prop_assert_eq!(hsts.to_string().parse(), Ok(hsts));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<Hsts>();
        }
    }
}
