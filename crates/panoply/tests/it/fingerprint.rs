use http::{HeaderName, Request, Response};
use panoply::{Fingerprint, Guard, Policies, Shield};

use crate::app::answer;

fn express() -> Response<&'static str> {
    Response::builder()
        .header("server", "nginx/1.22.1")
        .header("x-powered-by", "Express")
        .header("x-powered-by", "PHP/8.3") // one after the other
        .header("x-aspnet-version", "4.0")
        .header("x-shop-build", "77")
        .header("via", "1.1 cdn")
        .header("etag", "W/\"5-x\"")
        .body("hello")
        .unwrap()
}

#[tokio::test]
async fn what_names_the_software_is_gone_and_nothing_else() {
    let also = Fingerprint::default().also(HeaderName::from_static("x-shop-build"));
    let keep = Fingerprint::default().keep(HeaderName::from_static("server"));
    for (fingerprint, left) in [
        (Fingerprint::default().into(), vec!["x-shop-build", "via", "etag"]),
        (also.into(), vec!["via", "etag"]),
        (keep.into(), vec!["server", "x-shop-build", "via", "etag"]),
        (
            Guard::Observe(Fingerprint::default()),
            vec!["server", "x-powered-by", "x-aspnet-version", "x-shop-build", "via", "etag"],
        ),
    ] {
        let shield = Shield::bare().fingerprint(fingerprint.clone());
        let answer = answer(&shield, Request::new(""), express()).await;
        let mut names: Vec<_> = answer.headers.keys().map(HeaderName::as_str).collect();
        names.sort_by_key(|name| left.iter().position(|left| left == name));
        assert_eq!(names, left, "{fingerprint:?}");
        assert_eq!(answer.text(), "hello");
    }
}

#[tokio::test]
async fn the_file_says_it_in_the_same_words() {
    let policies: Policies = toml::from_str("fingerprint = { also = [\"x-shop-build\"] }").unwrap();
    let answer = answer(&Shield::bare().with(policies), Request::new(""), express()).await;
    assert!(!answer.headers.contains_key("x-shop-build") && !answer.headers.contains_key("server"));
}
