use http::{HeaderMap, HeaderValue};
use panoply::Origin;
use panoply::forwarded::{addresses, elements};
use panoply::practices::cookies::{SameSite, SetCookie};
use panoply::practices::headers::{Csp, Hsts, ReferrerPolicy};
use panoply::practices::redirects::target;
use panoply::trace::{TraceId, clean};

use crate::text;

/// A policy prints as what it was read from, or its like.
pub fn csp(input: &[u8]) {
    if let Ok(csp) = text(input).parse::<Csp>() {
        assert_eq!(csp.to_string().parse::<Csp>().ok(), Some(csp));
    }
    if let Ok(hsts) = text(input).parse::<Hsts>() {
        assert_eq!(hsts.to_string().parse::<Hsts>().ok(), Some(hsts));
    }
    if let Ok(policy) = text(input).parse::<ReferrerPolicy>() {
        assert_eq!(policy.to_string().parse::<ReferrerPolicy>().ok(), Some(policy));
    }
}

/// The walk ends, and each hop says again what it said.
pub fn forwarded(input: &[u8]) {
    for element in elements(input).filter_map(Result::ok) {
        assert_eq!(elements(element.to_string().as_bytes()).next(), Some(Ok(element)));
    }
    assert!(addresses(input).count() <= input.len() + 1, "a hop takes a byte");
}

/// Headers, a line each: what is left of a trace is read, to the byte what came, and cleaned once and for all.
pub fn trace(input: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(64) {
        let (name, line) = match line.split_first() {
            Some((b's', line)) => ("tracestate", line),
            _ => ("traceparent", line),
        };
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    let before = headers.clone();
    clean(&mut headers);
    assert_eq!(TraceId::of(&headers), TraceId::of(&before));
    assert_eq!(headers.contains_key("traceparent"), TraceId::of(&before).is_some());
    assert!(headers.contains_key("traceparent") || !headers.contains_key("tracestate"));
    for (name, value) in &headers {
        assert!(before.get_all(name).iter().eq(headers.get_all(name)), "{name} {value:?}");
    }
    let cleaned = headers.clone();
    clean(&mut headers);
    assert_eq!(headers, cleaned);
}

/// A target leads to this site or to one that is trusted, and stays what it is when it is asked again.
pub fn redirect(input: &[u8]) {
    let trusted: Vec<Origin> = "https://pay.example".parse().into_iter().collect();
    if let Some(target_read) = target(text(input), &trusted) {
        let sent = target_read.as_str();
        assert!(sent.is_ascii(), "{sent}");
        let leads_home = sent.starts_with('/') && !sent.starts_with("//") && !sent.contains('\\');
        assert!(leads_home || sent.starts_with("https://pay.example/"), "{sent}");
        assert_eq!(target(sent, &trusted).as_ref(), Some(&target_read), "{sent}");
    }
}

/// A line that nobody changed leaves as it came; what was added is found again.
pub fn set_cookie(input: &[u8]) {
    let Some(cookie) = SetCookie::parse(input) else { return };
    assert_eq!(cookie.print(), input);
    let printed = cookie.with_secure().with_http_only().with_same_site(SameSite::Lax).print();
    let Some(again) = SetCookie::parse(&printed) else { unreachable!("{}", printed.escape_ascii()) };
    assert_eq!((again.name(), again.value()), (cookie.name(), cookie.value()));
    assert!(again.is_secure() && again.is_http_only(), "{}", printed.escape_ascii());
    assert_eq!(again.same_site(), Some(SameSite::Lax), "{}", printed.escape_ascii());
}
