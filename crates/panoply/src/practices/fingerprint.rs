//! A header names the software and its version, and so the holes that fit.
//!
//! **Stops** `Server`, `X-Powered-By` and some fifty of their kin on every answer, the refused ones too.
//!
//! **Leaves** what tells software by its manner: the order of headers, the style of an `ETag` (Express's is weak,
//! a length and 27 letters), the name of a session cookie (`connect.sid`), how long an answer takes. Hiding a
//! version mends nothing; it takes a site off the lists of those who search for one.
//!
//! **Defaults** are the same in an app and in front of one. Removed is what only names or measures the software,
//! or was meant for developers. Kept is what somebody reads: `Via` (proxies find loops by it, RFC 9110 §7.6.3),
//! `X-Nextjs-*` but for the cache's (Next.js's own router reads them), `X-Cache` and `Age` (of a CDN), the ids of
//! traces and requests, and `X-Version`, which may be an API's own.
//!
//! ```
//! use http::{Request, Response, header};
//! use panoply::{Fingerprint, RequestBody, Shield};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let app = service_fn(|_: Request<RequestBody<String>>| async {
//!     Response::builder().header("x-powered-by", "Express").header("etag", "\"1\"").body(String::new())
//! });
//! let app = Shield::bare().fingerprint(Fingerprint::default()).layer(app);
//!
//! let response = app.oneshot(Request::new(String::new())).await.unwrap();
//! assert!(!response.headers().contains_key("x-powered-by"));
//! assert!(response.headers().contains_key(header::ETAG));
//! # }
//! ```

use http::HeaderName;
use http::response::Parts;
use serde::{Deserialize, Deserializer};

use crate::{Policy, Practice, SettingError, Visit};

/// Removes headers that name the software.
///
/// ```toml
/// [shield.fingerprint]
/// also = ["x-shop-build"]   # removed too
/// keep = ["server"]         # not removed
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Fingerprint {
    #[serde(deserialize_with = "names")]
    also: Vec<HeaderName>,
    #[serde(deserialize_with = "names")]
    keep: Vec<HeaderName>,
}

impl Fingerprint {
    /// Removes `name` too.
    #[must_use]
    pub fn also(mut self, name: HeaderName) -> Self {
        self.also.push(name);
        self
    }

    /// Lets `name` through; it wins over [`also`](Self::also).
    #[must_use]
    pub fn keep(mut self, name: HeaderName) -> Self {
        self.keep.push(name);
        self
    }

    pub(crate) fn finish(&self, _visit: &Visit, response: &mut Parts) {
        // An answer has few names and fewer of these: to look for its names in the table is the shorter way.
        let mut clean = 0;
        let removed = |(_, name): &(usize, &HeaderName)| self.removes(name);
        while let Some((at, name)) = response.headers.keys().enumerate().skip(clean).find(removed) {
            clean = at; // the last header comes to this place
            let name = name.clone();
            response.headers.remove(name);
        }
    }

    fn removes(&self, name: &HeaderName) -> bool {
        (names_software(name.as_str()) || self.also.contains(name)) && !self.keep.contains(name)
    }
}

impl Policy for Fingerprint {
    const PRACTICE: Practice = Practice::Fingerprint;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        String::new()
    }
}

/// The first letter is asked first, since it clears most headers of an answer.
fn names_software(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| FIRST_LETTERS.contains(&first))
        && NAMES.binary_search(&name).is_ok()
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HeaderName>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().map(|name| parse(name).map_err(SettingError::into_serde)).collect()
}

fn parse(name: &str) -> Result<HeaderName, SettingError> {
    name.parse().map_err(|_| {
        SettingError::new(
            format!("a header's name is letters, digits and `-`, but `{name}` is not"),
            "write the name alone, such as `x-powered-by`",
        )
    })
}

/// With what the names of the table begin.
const FIRST_LETTERS: [u8; 5] = *b"lmpsx";

/// Sorted, as the search needs it.
static NAMES: [&str; 54] = [
    "liferay-portal",
    "microsoftsharepointteamservices",
    "powered-by",
    "product",
    "server",
    "x-amzn-remapped-server",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-backend-server",
    "x-beserver",
    "x-calculatedbetarget",
    "x-cf-powered-by",
    "x-cms",
    "x-cocoon-version",
    "x-confluence-request-time",
    "x-content-encoded-by",
    "x-diaginfo",
    "x-drupal-cache",
    "x-drupal-cache-contexts",
    "x-drupal-cache-max-age",
    "x-drupal-cache-tags",
    "x-drupal-dynamic-cache",
    "x-engine",
    "x-envoy-decorator-operation",
    "x-envoy-upstream-service-time",
    "x-feserver",
    "x-framework",
    "x-generated-by",
    "x-generator",
    "x-jenkins",
    "x-jenkins-session",
    "x-joomla-version",
    "x-litespeed-cache",
    "x-litespeed-tag",
    "x-magento-cache-debug",
    "x-magento-tags",
    "x-mod-pagespeed",
    "x-nextjs-cache",
    "x-nextjs-prerender",
    "x-owa-version",
    "x-page-speed",
    "x-php-version",
    "x-powered-by",
    "x-powered-by-plesk",
    "x-powered-cms",
    "x-rack-cache",
    "x-redirect-by",
    "x-runtime",
    "x-server-powered-by",
    "x-sourcefiles",
    "x-turbo-charged-by",
    "x-umbraco-version",
    "x-varnish",
    "x-wix-server-artifact-id",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_of_names() {
        assert!(NAMES.is_sorted_by(|a, b| a < b));
        for name in NAMES {
            assert_eq!(parse(name).unwrap().as_str(), name);
            assert!(names_software(name), "{name}");
        }
    }

    #[test]
    fn what_names_the_software_goes_and_what_somebody_reads_stays() {
        let usual = Fingerprint::default();
        let own = Fingerprint::default()
            .also(HeaderName::from_static("x-shop-build"))
            .keep(HeaderName::from_static("server"));
        for (name, usually, own_way) in [
            ("server", true, false),
            ("x-powered-by", true, true),
            ("x-aspnet-version", true, true),
            ("x-runtime", true, true),
            ("x-shop-build", false, true),
            ("via", false, false),
            ("etag", false, false),
            ("age", false, false),
            ("x-cache", false, false),
            ("x-nextjs-redirect", false, false),
            ("x-request-id", false, false),
            ("x-version", false, false),
            ("set-cookie", false, false),
            ("content-type", false, false),
        ] {
            let name = HeaderName::from_static(name);
            assert_eq!(usual.removes(&name), usually, "{name}");
            assert_eq!(own.removes(&name), own_way, "{name} with settings");
        }
    }

    #[test]
    fn settings_parse_on_the_way_in() {
        let read: Fingerprint = toml::from_str("also = [\"X-Shop-Build\"]\nkeep = [\"Server\"]").unwrap();
        let built = Fingerprint::default()
            .also(HeaderName::from_static("x-shop-build"))
            .keep(HeaderName::from_static("server"));
        assert_eq!(read, built);
        assert_eq!(toml::from_str::<Fingerprint>("").unwrap(), Fingerprint::in_front());
        for (text, says) in [
            ("also = [\"x shop\"]", "but `x shop` is not\nhint: write the name alone"),
            ("also = [\"x-shop: 1\"]", "but `x-shop: 1` is not"),
            ("also = \"x-shop\"", "expected a sequence"),
            ("alse = []", "unknown field `alse`"),
        ] {
            let error = toml::from_str::<Fingerprint>(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
