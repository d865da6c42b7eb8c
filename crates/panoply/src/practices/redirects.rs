//! A link to our site takes its visitor to an attacker's, because the app redirects wherever a link says.
//!
//! **Stops** open redirects, in two places. [`target`] is for the app, which alone knows which input is a
//! target: it reads it as browsers do (WHATWG URL), and gives back what to send. And every answer is looked
//! at: a `Location` off the site that the request's own query named is refused.
//!
//! **Leaves** targets that come from elsewhere (a form's body, a cookie, a path); redirects by script, by
//! `Refresh` or by `<meta>`; off-site links, which are not redirects.
//!
//! **Defaults.** In an app that panoply is part of, such an answer becomes a neutral page with status 400: it
//! is the link that is at fault, and neither the app nor what is behind it, so it is not 502; and the page
//! has no link to go on by. What the app did before it answered stays done. An app that redirects to others
//! by trade (OAuth) says to whom, by [`trust`](Redirects::trust), or on which path it checks that itself,
//! by [`exempt`](Redirects::exempt). A parent domain or a subdomain of the asked host is no other site here:
//! `shop.example` sends to `www.shop.example` all day. In front of an app that panoply does not know, such
//! answers are only observed, since it cannot know what the app has checked.
//!
//! ```
//! use panoply::{Origin, practices::redirects};
//!
//! let ours: [Origin; 1] = ["https://shop.example".parse()?];
//! let next = |input| redirects::target(input, &ours).map(|target| target.to_string());
//!
//! assert_eq!(next("/account?tab=2#top").as_deref(), Some("/account?tab=2#top"));
//! assert_eq!(next("https://shop.example/a b").as_deref(), Some("https://shop.example/a%20b"));
//! assert_eq!(next("//evil.example"), None);
//! assert_eq!(next("https://shop.example@evil.example"), None);
//! # Ok::<(), panoply::OriginError>(())
//! ```

mod reflection;
mod target;

use http::header::LOCATION;
use http::response::Parts;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use url::Url;

pub use self::target::{Target, target};
use crate::{Exemption, Origin, Policy, Practice, Rejection, Visit};

/// Refuses redirects off the site that a link has asked for, with 400.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Redirects {
    trusted_origins: Vec<Origin>,
    exempt: Vec<Exemption>,
}

impl Redirects {
    /// Lets links redirect to `origin`.
    #[must_use]
    pub fn trust(mut self, origin: Origin) -> Self {
        self.trusted_origins.push(origin);
        self
    }

    /// Lets this path redirect anywhere; the app there has to check targets by itself.
    #[must_use]
    pub fn exempt(mut self, path: Exemption) -> Self {
        self.exempt.push(path);
        self
    }

    /// Refuses an answer that leads where the request's query said, off the site.
    pub(crate) fn finish(&self, visit: &Visit, response: &Parts) -> Result<(), Rejection> {
        let Some(query) = visit.uri.query() else { return Ok(()) };
        let Some(off) = off_site(visit, response) else { return Ok(()) };
        if self.exempt.iter().any(|path| path.covers(visit.uri.path()))
            || self.trusted_origins.iter().any(|origin| origin.holds(&off.location))
            || !reflection::is_named_in(query, &off)
        {
            return Ok(());
        }
        let to = match off.location.host_str() {
            Some(host) => host.to_owned(),
            None => format!("{}:", off.location.scheme()),
        };
        let reason = format!("the query named the off-site redirect to `{to}`");
        Err(Rejection::by(Practice::Redirects, StatusCode::BAD_REQUEST, reason))
    }
}

impl Policy for Redirects {
    const PRACTICE: Practice = Practice::Redirects;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        String::new()
    }
}

/// Whether `response` takes its visitor to another site.
pub(crate) fn leads_off_site(visit: &Visit, response: &Parts) -> bool {
    off_site(visit, response).is_some()
}

/// A redirect to another site.
#[derive(Debug)]
struct OffSite {
    /// The page that was asked for, as far as its name is known: relative targets start there.
    here: Url,
    location: Url,
}

fn off_site(visit: &Visit, response: &Parts) -> Option<OffSite> {
    if !response.status.is_redirection() {
        return None;
    }
    let location = response.headers.get(LOCATION).map(HeaderValue::as_bytes)?;
    if is_plainly_a_path(location) {
        return None;
    }
    let here = here(visit)?;
    // What no browser can read leads nowhere. Bytes beyond ASCII are read as UTF-8.
    let location = here.join(&String::from_utf8_lossy(location)).ok()?;
    let stays = matches!(location.scheme(), "http" | "https")
        && are_related(here.host_str().unwrap_or_default(), location.host_str().unwrap_or_default());
    (!stays).then_some(OffSite { here, location })
}

/// Most redirects: a slash and then a letter or digit, which no browser reads as a host.
fn is_plainly_a_path(location: &[u8]) -> bool {
    matches!(location, [b'/'] | [b'/', b'?' | b'#', ..])
        || matches!(location, [b'/', first, ..] if first.is_ascii_alphanumeric())
}

fn here(visit: &Visit) -> Option<Url> {
    // Without a name the own host is one that no target has (RFC 6761 §6.4).
    let host = visit.authority.as_ref().map_or("unnamed.invalid", |authority| authority.as_str());
    Url::parse(&format!("{}://{host}{}", visit.scheme.as_str(), visit.uri.path())).ok()
}

/// The same host, or one that is a subdomain of the other.
fn are_related(one: &str, other: &str) -> bool {
    let is_below = |sub: &str, domain: &str| {
        sub.strip_suffix(domain).is_some_and(|left| left.is_empty() || left.ends_with('.'))
    };
    !one.is_empty() && !other.is_empty() && (is_below(one, other) || is_below(other, one))
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use proptest::prelude::*;
    use url::form_urlencoded;

    use super::*;
    use crate::{Connection, RequestId, TrustedProxies};

    /// The answer to `GET uri` at us.example, over http, redirects to `location`.
    fn redirect(redirects: &Redirects, uri: &str, location: &str) -> Result<(), Rejection> {
        answer(redirects, uri, 302, location)
    }

    fn answer(redirects: &Redirects, uri: &str, status: u16, location: &str) -> Result<(), Rejection> {
        let (request, ()) = Request::get(uri).header("host", "us.example").body(()).unwrap().into_parts();
        let connection = Connection::unknown();
        let (client, scheme) = TrustedProxies::default().client(&connection, &request.headers);
        let visit = Visit::new(&request, connection, client, scheme, RequestId(0));
        let response =
            Response::builder().status(status).header("location", location.as_bytes()).body(()).unwrap();
        redirects.finish(&visit, &response.into_parts().0)
    }

    #[test]
    fn an_off_site_redirect_that_the_query_named_is_refused() {
        for (uri, location) in [
            ("/go?to=https://evil.example", "https://evil.example"),
            ("/go?to=https://evil.example", "https://evil.example/"),
            ("/go?to=https%3A%2F%2Fevil.example%2Fa", "https://evil.example/a"),
            ("/go?to=https%253A%252F%252Fevil.example", "https://evil.example"), // encoded twice
            ("/go?a=1&to=https://evil.example&b=2", "https://evil.example"),
            ("/go?https://evil.example", "https://evil.example"),
            ("/go?https://evil.example/?a=b", "https://evil.example/?a=b"),
            ("/go?to=https://evil.example/cb", "https://evil.example/cb?code=1"), // a prefix
            ("/go?to=https://evil.example/a b".replace(' ', "+").as_str(), "https://evil.example/a%20b"),
            ("/go?to=//evil.example", "//evil.example"),
            ("/go?to=/\\evil.example", "/\\evil.example"),
            ("/go?to=%5C%5Cevil.example", "\\\\evil.example"),
            ("/go?to=%2F%09%2Fevil.example", "/\t/evil.example"), // browsers drop the tab
            ("/go?to=%2F%09%2Fevil.example", "//evil.example"),
            ("/go?to=https:evil.example", "https:evil.example"),
            ("/go?to=HTTPS://EVIL.example", "https://evil.example/"),
            ("/go?to=http://good.example%5C@evil.example", "http://good.example\\@evil.example"),
            ("/go?to=https://us.example@evil.example", "https://us.example@evil.example"),
            ("/go?to=https://us.example.evil.example", "https://us.example.evil.example"),
            ("/go?host=evil.example", "https://evil.example/path"), // a name alone
            ("/go?path=.evil.example", "https://us.example.evil.example"), // glued to our own name
            ("/go?path=@evil.example", "https://us.example@evil.example"),
            ("/go?path=-evil.example", "https://us.example-evil.example"),
            ("/go?to=javascript:alert(1)", "javascript:alert(1)"),
            ("/go?to=JavaScript:alert(1)", "JavaScript:alert(1)"),
            ("/go?to=data:text/html,hi", "data:text/html,hi"),
            ("/go?to=app://callback", "app://callback?code=1"),
            ("/go?to=https://b%C3%BCcher.example", "https://xn--bcher-kva.example/"),
        ] {
            let rejection =
                redirect(&Redirects::default(), uri, location).expect_err(&format!("{uri} {location}"));
            assert_eq!(rejection.status(), StatusCode::BAD_REQUEST, "{uri} {location}");
        }
    }

    #[test]
    fn every_other_redirect_passes() {
        for (uri, location) in [
            ("/go?to=/account", "/account"),
            ("/go?to=%2F", "/"),
            ("/go?to=account", "account"),
            ("/go?to=http://us.example/a", "http://us.example/a"),
            ("/go?to=https://us.example/a", "https://us.example/a"), // from http to https
            ("/go?to=https://www.us.example/a", "https://www.us.example/a"),
            ("/go?to=https://us.example:8443/a", "https://us.example:8443/a"),
            ("/go?to=/.//evil.example", "/.//evil.example"), // a path, for browsers
            ("/login?next=/account", "https://idp.example/authorize?client=us"), // the app's own choice
            (
                "/login?next=https://evil.example",
                "https://idp.example/authorize?back=https%3A%2F%2Fevil.example",
            ),
            ("/login", "https://idp.example/"),
            ("/go?to=h", "https://partner.example/"), // a prefix, but of no host
            ("/go?to=http", "https://partner.example/"),
            ("/go?to=https://", "https://partner.example/"),
            ("/go?to=https://partner", "https://partner.example/"),
            ("/go?tld=example", "https://partner.example/"),
            ("/go?tenant=acme", "https://acme.idp.example/"),
            ("/go?to=https://evil.example", "https://["), // leads nowhere
            ("/go?to=", "https://partner.example/"),
            ("/go?", "https://partner.example/"),
            ("/go?id=17", "https://partner.example/17"),
        ] {
            assert!(redirect(&Redirects::default(), uri, location).is_ok(), "{uri} {location}");
        }
        for status in [200, 201, 404] {
            assert!(
                answer(&Redirects::default(), "/?a=//evil.example", status, "//evil.example").is_ok(),
                "{status}"
            );
        }
    }

    #[test]
    fn trusted_origins_and_exempt_paths_pass() {
        let redirects = Redirects::default()
            .trust("https://pay.example".parse().unwrap())
            .exempt("/oauth/authorize".parse().unwrap());
        for (uri, location, passes) in [
            ("/go?to=https://pay.example/done", "https://pay.example/done", true),
            ("/go?to=http://pay.example/done", "http://pay.example/done", false),
            ("/go?to=https://www.pay.example/", "https://www.pay.example/", false),
            ("/oauth/authorize?to=https://client.example/cb", "https://client.example/cb?code=1", true),
            ("/oauth/authorize/?to=https://client.example/cb", "https://client.example/cb?code=1", false),
        ] {
            assert_eq!(redirect(&redirects, uri, location).is_ok(), passes, "{uri} {location}");
        }
    }

    #[test]
    fn the_log_names_where_it_led() {
        let led = |to: &str| {
            redirect(&Redirects::default(), &format!("/?to={to}"), to).unwrap_err().reason().to_owned()
        };
        assert_eq!(
            led("https://evil.example/secret"),
            "the query named the off-site redirect to `evil.example`"
        );
        assert_eq!(led("javascript:alert(1)"), "the query named the off-site redirect to `javascript:`");
    }

    proptest! {
        #[test]
        fn whatever_an_app_reflects_is_refused_or_stays(to in "(https?:|[/\\\\.:@?#%a\t ]|//|evil\\.example|us\\.example|\\PC){1,10}") {
            let to = to.trim_matches(' ');
            let page = Url::parse("http://us.example/go").unwrap();
            let leaves = page.join(to).is_ok_and(|reached| {
                let is_page = matches!(reached.scheme(), "http" | "https");
                !is_page || !are_related(reached.host_str().unwrap_or_default(), "us.example")
            });
            let query: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
            prop_assert_eq!(redirect(&Redirects::default(), &format!("/go?to={query}"), to).is_err(), leaves, "{}", to);
        }
    }

    #[test]
    fn hosts_are_related_by_whole_labels() {
        for (one, other, related) in [
            ("us.example", "us.example", true),
            ("us.example", "www.us.example", true),
            ("www.us.example", "us.example", true),
            ("us.example", "evilus.example", false),
            ("a.us.example", "b.us.example", false),
            ("us.example", "us.example.evil.example", false),
            ("us.example", "", false),
        ] {
            assert_eq!(are_related(one, other), related, "{one} {other}");
        }
    }
}
