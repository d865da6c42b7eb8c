//! Where an answer leads.

use percent_encoding::percent_decode_str;
use url::{Url, form_urlencoded};

use super::fields::folded;
use super::login_path::is_login;
use super::outcome::Asked;

/// Where a redirect leads whoever tried to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Led {
    /// Back to the form, or it says that something is wrong.
    Back,
    /// To the page that the visitor came from, which may have the form, or be what he wanted to see; or from the
    /// front page to itself.
    ToWhereHeWas,
    /// Elsewhere.
    On,
    /// A browser cannot follow it.
    Nowhere,
}

/// Judges a `Location` of an answer to `asked`.
pub(super) fn led(asked: &Asked, location: &str) -> Led {
    let Some(to) = resolved(asked, location) else { return Led::Nowhere };
    let fragment = to.fragment().unwrap_or_default();
    // An app of one page has its pages in the fragment.
    let (inner, inner_query) = fragment.split_once('?').unwrap_or((fragment, ""));
    if is_login(to.path())
        || is_login(inner)
        || says_wrong(to.query().unwrap_or_default())
        || says_wrong(inner_query)
        || has_word(inner)
    {
        return Led::Back;
    }
    let to_host = to.host_str();
    let is_here =
        asked.host.as_deref().is_none_or(|host| to_host.is_some_and(|to| host.eq_ignore_ascii_case(to)));
    let to = page(to.path());
    match &asked.referer {
        // Whichever host it names: the attacker says which one he asked for, and an app may have one that it names.
        _ if !to.is_empty() && to == page(&asked.path) => Led::Back,
        _ if to.is_empty() && is_here && page(&asked.path).is_empty() => Led::ToWhereHeWas,
        Some(referer) if is_here && to == page(referer) => Led::ToWhereHeWas,
        _ => Led::On,
    }
}

/// The whole address, as a browser makes it of `Location`.
pub(super) fn resolved(asked: &Asked, location: &str) -> Option<Url> {
    let host = asked.host.as_deref().unwrap_or("unnamed.invalid");
    let here = Url::parse(&format!("http://{host}")).and_then(|site| site.join(&asked.path)).ok()?;
    here.join(location).ok().filter(Url::has_host)
}

/// A path as most routers compare them: decoded, in small letters, without the last slash.
fn page(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().trim_end_matches('/').to_lowercase()
}

/// Whether a query says that something went wrong: `?error=1`, `?login=failed`. Where it says a page to go to next,
/// that page's name is nobody's failure.
fn says_wrong(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
        let is_page = value.contains('/') || PAGES.iter().any(|page| folded(&name).contains(page));
        let is_denied = matches!(&*folded(&value), "0" | "false" | "no" | "none" | "null");
        !is_page && !is_denied && (has_word(&name) || has_word(&value))
    })
}

fn has_word(text: &str) -> bool {
    let text = folded(text);
    WORDS.iter().any(|word| text.contains(word))
}

const WORDS: [&str; 9] = [
    "error",
    "fail",
    "invalid",
    "denied",
    "incorrect",
    "wrong",
    "badcredentials",
    "unauthorized",
    "badpassword",
];

const PAGES: [&str; 6] = ["next", "return", "redirect", "continue", "goto", "url"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_back_or_on() {
        for (path, referer, location, expected) in [
            ("/login", None, "/login", Led::Back),
            ("/login", None, "/account", Led::On),
            ("/login", None, "/", Led::On),
            ("/login", None, "https://shop.example/Login/", Led::Back),
            ("/login", None, "http://127.0.0.1:3000/login", Led::Back),
            ("/enter", None, "/enter", Led::Back),
            ("/enter", None, "enter", Led::Back),
            ("/enter", None, "?again", Led::Back),
            ("/enter", None, "%65nter/", Led::Back),
            ("/enter", None, "https://other.example/enter", Led::Back),
            ("/", None, "https://other.example/", Led::On),
            ("/enter", None, "/welcome?error=1", Led::Back),
            ("/enter", None, "/welcome?login=failed", Led::Back),
            ("/enter", None, "/welcome?error=false", Led::On),
            ("/enter", None, "/welcome?next=/error-report", Led::On),
            ("/enter", None, "/welcome?next=error", Led::On),
            ("/enter", None, "/#/login", Led::Back),
            ("/enter", None, "/#/home?failed=1", Led::Back),
            ("/enter", None, "/#/home", Led::On),
            ("/session", Some("/shoes"), "/shoes", Led::ToWhereHeWas),
            ("/session", Some("/shoes"), "/account", Led::On),
            ("/session", Some("/users/sign_in"), "/users/sign_in", Led::Back),
            ("/", None, "/", Led::ToWhereHeWas),
            ("/", None, "/account", Led::On),
            ("/enter", None, "http://", Led::Nowhere),
            ("/enter", None, "javascript:x", Led::Nowhere),
        ] {
            let asked = Asked {
                path: path.to_owned(),
                host: Some("shop.example".to_owned()),
                referer: referer.map(ToOwned::to_owned),
                ..Asked::default()
            };
            assert_eq!(led(&asked, location), expected, "{path} to {location}");
        }
    }
}
