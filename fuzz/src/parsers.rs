use std::fmt::Display;
use std::str::FromStr;

use panoply::practices::cookies::SetCookie;
use panoply::practices::headers::Csp;
use panoply::practices::redirects;
use panoply::{Origin, Rate, forwarded};
use panoply_gateway::Config;

/// What a policy prints means what was read.
pub fn csp(input: &[u8]) {
    printed_is_read_again::<Csp>(input);
}

/// So with an origin.
pub fn origin(input: &[u8]) {
    printed_is_read_again::<Origin>(input);
}

/// So with a rate.
pub fn rate(input: &[u8]) {
    printed_is_read_again::<Rate>(input);
}

/// A line that nothing is added to leaves as it came.
pub fn set_cookie(input: &[u8]) {
    if let Some(cookie) = SetCookie::parse(input) {
        assert_eq!(cookie.print(), input);
        let hardened = cookie.with_secure().with_http_only().print();
        assert!(
            SetCookie::parse(&hardened).is_some_and(|cookie| cookie.is_secure() && cookie.is_http_only())
        );
    }
}

/// Both ways to say who asks end, whatever a proxy or a visitor wrote.
pub fn forwarded(input: &[u8]) {
    let hops = forwarded::elements(input).count() + forwarded::addresses(input).count();
    assert!(hops <= 2 * (input.len() + 1), "no more hops than bytes");
}

/// A target that is let through leads to this site, or to one that is trusted.
pub fn target(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(trusted) = "https://shop.example".parse::<Origin>() else { return };
    if let Some(target) = redirects::target(text, &[trusted]) {
        let sent = target.to_string();
        let on_site = sent.starts_with('/') && !sent.starts_with("//") && !sent.starts_with("/\\");
        let trusted = sent == "https://shop.example" || sent.starts_with("https://shop.example/");
        assert!(on_site || trusted, "{text:?} became {sent:?}");
        assert!(!sent.bytes().any(|byte| byte.is_ascii_control()), "{sent:?}");
    }
}

/// A file is read, or its error is two lines.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(error) = Config::parse(text) {
        assert_eq!(error.to_string().lines().count(), 2, "{error}");
    }
}

fn printed_is_read_again<T: FromStr + Display>(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(parsed) = text.parse::<T>() else { return };
    let printed = parsed.to_string();
    let again = printed.parse::<T>().map(|again| again.to_string());
    assert_eq!(again.ok().as_ref(), Some(&printed), "{text:?}");
}
