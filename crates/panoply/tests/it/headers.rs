use std::convert::Infallible;
use std::net::SocketAddr;

use http::{HeaderMap, Request, Response, StatusCode};
use panoply::practices::headers::Csp;
use panoply::{Connection, Guard, Headers, Nonce, Policy, Shield};
use tower::{Layer, ServiceExt, service_fn};

const HELMET: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';\
         frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';\
         script-src-attr 'none';style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("origin-agent-cluster", "?1"),
    ("referrer-policy", "no-referrer"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
    ("x-dns-prefetch-control", "off"),
    ("x-download-options", "noopen"),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-permitted-cross-domain-policies", "none"),
    ("x-xss-protection", "0"),
];

const IN_FRONT: &[(&str, &str)] = &[
    ("content-security-policy", "base-uri 'self';frame-ancestors 'self';object-src 'none'"),
    (
        "content-security-policy-report-only",
        "default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';\
         frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';\
         script-src-attr 'none';style-src 'self' https: 'unsafe-inline'",
    ),
    ("cross-origin-opener-policy", "same-origin-allow-popups"),
    ("cross-origin-resource-policy", "same-site"),
    ("origin-agent-cluster", "?1"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("strict-transport-security", "max-age=31536000"),
    ("x-content-type-options", "nosniff"),
    ("x-dns-prefetch-control", "off"),
    ("x-download-options", "noopen"),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-permitted-cross-domain-policies", "none"),
    ("x-xss-protection", "0"),
];

/// What leaves when the app answers `status` with the headers `app`, to a visitor who asked for `url`.
async fn answer_to(
    url: &str,
    connection: Connection,
    headers: impl Into<Guard<Headers>>,
    status: StatusCode,
    app: &'static [(&'static str, &'static str)],
) -> HeaderMap {
    let service = Shield::bare().headers(headers).layer(service_fn(move |_| {
        let mut response = Response::new(String::new());
        *response.status_mut() = status;
        for (name, value) in app {
            response.headers_mut().append(*name, value.parse().unwrap());
        }
        std::future::ready(Ok::<_, Infallible>(response))
    }));
    let request = Request::get(url).extension(connection).body(String::new()).unwrap();
    service.oneshot(request).await.unwrap().headers().clone()
}

async fn answer(headers: Headers, app: &'static [(&'static str, &'static str)]) -> HeaderMap {
    answer_to("https://shop.example/", tls(), headers, StatusCode::OK, app).await
}

fn tls() -> Connection {
    Connection::tls(SocketAddr::from(([192, 0, 2, 1], 50_000)))
}

fn texts(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut texts: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    texts.sort_unstable();
    texts
}

#[tokio::test]
async fn an_app_gets_helmets_set_to_the_byte() {
    assert_eq!(texts(&answer(Headers::default(), &[]).await), HELMET);
}

#[tokio::test]
async fn an_unknown_app_gets_what_breaks_no_page() {
    let sent = answer(Headers::in_front(), &[("content-type", "text/html")]).await;
    let mut expected = IN_FRONT.to_vec();
    expected.insert(2, ("content-type", "text/html"));
    assert_eq!(texts(&sent), expected);
}

#[tokio::test]
async fn every_status_but_101_and_304_gets_the_same() {
    for status in [200, 204, 301, 400, 404, 500, 502] {
        let status = StatusCode::from_u16(status).unwrap();
        let sent = answer_to("https://shop.example/", tls(), Headers::default(), status, &[]).await;
        assert_eq!(texts(&sent), HELMET, "{status}");
    }
    let upgrade = StatusCode::SWITCHING_PROTOCOLS;
    for headers in [Headers::default(), Headers::in_front()] {
        let sent = answer_to("https://shop.example/", tls(), headers, upgrade, &[]).await;
        assert_eq!(texts(&sent), []);
    }
}

#[tokio::test]
async fn a_304_in_front_carries_none_that_could_replace_the_apps_own() {
    let stored = StatusCode::NOT_MODIFIED;
    let sent = answer_to("https://shop.example/", tls(), Headers::in_front(), stored, &[]).await;
    assert_eq!(texts(&sent), [("strict-transport-security", "max-age=31536000")]);
    let sent = answer_to("https://shop.example/", tls(), Headers::default(), stored, &[]).await;
    assert_eq!(texts(&sent), HELMET);
}

#[tokio::test]
async fn what_the_app_sets_itself_wins() {
    for &(name, _) in HELMET {
        let app: &'static [(&str, &str)] = Box::leak(Box::new([(name, "the app's own")]));
        for headers in [Headers::default(), Headers::in_front()] {
            let sent = answer(headers, app).await;
            let values: Vec<_> = sent.get_all(name).iter().collect();
            assert_eq!(values, ["the app's own"], "{name}");
        }
    }
}

#[tokio::test]
async fn beside_a_policy_that_the_app_enforces_there_is_none_of_ours() {
    let sent = answer(Headers::in_front(), &[("content-security-policy", "default-src *")]).await;
    assert_eq!(sent["content-security-policy"], "default-src *");
    assert!(!sent.contains_key("content-security-policy-report-only"));
}

#[tokio::test]
async fn a_policy_that_the_app_only_tries_out_takes_away_no_protection() {
    let sent = answer(Headers::in_front(), &[("content-security-policy-report-only", "default-src *")]).await;
    assert_eq!(sent["content-security-policy-report-only"], "default-src *");
    assert_eq!(sent["content-security-policy"], "base-uri 'self';frame-ancestors 'self';object-src 'none'");
}

#[tokio::test]
async fn an_app_that_says_who_may_frame_it_is_not_contradicted() {
    // Browsers heed `frame-ancestors` before X-Frame-Options: with 'self', a DENY would be loosened.
    for headers in [Headers::default(), Headers::in_front()] {
        let sent = answer(headers, &[("x-frame-options", "DENY")]).await;
        assert_eq!(sent["x-frame-options"], "DENY");
        for name in ["content-security-policy", "content-security-policy-report-only"] {
            let policy = sent.get(name).map_or("", |value| value.to_str().unwrap());
            assert!(!policy.contains("frame-ancestors"), "{name}: {policy}");
        }
        assert!(sent.contains_key("content-security-policy"));
    }
}

#[tokio::test]
async fn hsts_in_front_binds_public_sites_alone() {
    let self_made = Connection { trusted_certificate: false, ..tls() };
    let plain = Connection::plain(SocketAddr::from(([192, 0, 2, 1], 50_000)));
    for (url, connection, sent) in [
        ("https://shop.example/", tls(), true),
        ("https://shop.example:443/", tls(), true),
        ("https://shop.example:8443/", tls(), false),
        ("https://shop.example/", self_made, false),
        ("http://shop.example/", plain, false),
        ("http://shop.example:443/", plain, false),
        ("https://localhost/", tls(), false),
        ("https://app.localhost/", tls(), false),
        ("https://192.0.2.7/", tls(), false),
        ("https://[2001:db8::7]/", tls(), false),
        ("https://intranet/", tls(), false),
        ("https://printer.local/", tls(), false),
        ("https://db.internal/", tls(), false),
        ("https://NAS.LAN/", tls(), false),
        ("/", tls(), false),
    ] {
        let headers = answer_to(url, connection, Headers::in_front(), StatusCode::OK, &[]).await;
        assert_eq!(headers.contains_key("strict-transport-security"), sent, "{url} {connection:?}");
        let headers = answer_to(url, connection, Headers::default(), StatusCode::OK, &[]).await;
        assert!(headers.contains_key("strict-transport-security"), "{url}: Helmet always sends it");
    }
}

#[tokio::test]
async fn what_the_app_shares_by_cors_other_sites_may_embed() {
    let shared = &[("access-control-allow-origin", "*")];
    let sent = answer(Headers::in_front(), shared).await;
    assert_eq!(sent["cross-origin-resource-policy"], "cross-origin");
    let sent = answer(Headers::in_front().cross_origin_resource_policy(None), shared).await;
    assert!(!sent.contains_key("cross-origin-resource-policy"));
    let sent = answer(Headers::default(), shared).await;
    assert_eq!(sent["cross-origin-resource-policy"], "same-origin");
}

#[tokio::test]
async fn a_page_whose_type_nobody_declared_is_still_a_page() {
    assert!(!answer(Headers::in_front(), &[]).await.contains_key("x-content-type-options"));
    assert!(answer(Headers::in_front().regardless(), &[]).await.contains_key("x-content-type-options"));
}

#[tokio::test]
async fn observing_changes_nothing() {
    let guard = Guard::Observe(Headers::default());
    let sent = answer_to("https://shop.example/", tls(), guard, StatusCode::OK, &[]).await;
    assert_eq!(texts(&sent), []);
}

/// The answer of an app whose page is its nonce.
async fn nonced(url: &str, shield: Shield, status: StatusCode) -> Response<String> {
    let app = shield.layer(service_fn(move |request: Request<_>| {
        let nonce = request.extensions().get::<Nonce>().map(ToString::to_string);
        let mut response = Response::new(String::new());
        *response.status_mut() = status;
        response.extensions_mut().insert(nonce.unwrap_or_default());
        std::future::ready(Ok::<_, Infallible>(response))
    }));
    let answer = app.oneshot(Request::get(url).body(String::new()).unwrap()).await.unwrap();
    let page = answer.extensions().get::<String>().cloned().unwrap_or_default();
    answer.map(|_| page)
}

#[tokio::test]
async fn a_nonce_is_new_with_every_answer_and_the_same_for_policy_and_app() {
    let csp =
        Csp::only(["'none'"]).unwrap().directive("script-src", ["'nonce'", "'strict-dynamic'"]).unwrap();
    let shield = Shield::bare().headers(Headers::none().csp(csp));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = nonced("/", shield.clone(), StatusCode::OK).await;
        let nonce = answer.body();
        assert_eq!(nonce.len(), 32);
        let policy = format!("default-src 'none';script-src 'nonce-{nonce}' 'strict-dynamic'");
        assert_eq!(answer.headers()["content-security-policy"], *policy);
        assert!(!seen.contains(nonce));
        seen.push(nonce.clone());
    }
    // The browser goes on with the page it has, and with that page's nonce.
    let answer = nonced("/", shield.clone(), StatusCode::NOT_MODIFIED).await;
    assert!(!answer.headers().contains_key("content-security-policy"));

    let without = nonced("/", Shield::bare().headers(Headers::default()), StatusCode::OK).await;
    assert_eq!(without.body(), "");
}
