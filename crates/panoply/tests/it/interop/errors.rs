use http::{Request, Response};
use panoply::{Errors, Fingerprint, Shield};

use super::node;
use crate::app::answer;

#[tokio::test]
async fn expresss_own_pages_become_neutral() {
    let shield = Shield::bare().errors(Errors::default()).fingerprint(Fingerprint::default());
    for environment in ["development", "production"] {
        let app = node::App::start("bare.js", &[("NODE_ENV", environment)]);
        for (method, path, status) in [
            ("GET", "/nope", 404),
            ("POST", "/nope%20here", 404),
            ("GET", "/items/%ZZ", 400),
            ("GET", "/error/403", 403),
            ("GET", "/error/418", 418),
            ("GET", "/error/503", 503),
            ("GET", "/throw", 500),
            ("GET", "/reject", 500),
            ("OPTIONS", "/both", 200),
        ] {
            let row = format!("{method} {path} in {environment}");
            let said = parsed(&app.ask(method, path, ""));
            assert_eq!(said.status(), status, "{row}");
            assert_eq!(said.headers()["x-powered-by"], "Express", "{row}");
            assert!(!said.body().is_empty(), "{row}");

            let request = Request::builder().method(method).uri(path).body("").unwrap();
            let answer = answer(&shield, request, said.clone()).await;
            assert_eq!(answer.status, status, "{row}");
            assert_eq!(answer.headers.get("allow"), said.headers().get("allow"), "{row}");
            if status == 200 {
                assert_eq!(answer.text(), "", "{row}");
            } else {
                assert!(answer.text().contains(&format!("<title>{status} ")), "{row}: {answer:?}");
            }
            for shows in ["Cannot", "<pre>", "failed with", "node_modules", "Express", "bare.js"] {
                assert!(!format!("{answer:?}").contains(shows), "{row} shows {shows}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_an_app_wrote_on_purpose_passes_byte_for_byte() {
    let shield = Shield::bare().errors(Errors::default());
    for (script, method, path, form, status) in [
        ("bare.js", "GET", "/", "", 200),
        ("bare.js", "GET", "/items/7", "", 200),
        ("shop.js", "GET", "/", "", 200),
        ("shop.js", "POST", "/login", "email=ann&password=wrong", 401),
        ("shop.js", "POST", "/upload", "no=file", 400),
        ("shop.js", "GET", "/go?to=/account", "", 302),
    ] {
        let said = parsed(&node::App::start(script, &[]).ask(method, path, form));
        assert_eq!(said.status(), status, "{method} {path}");
        let request = Request::builder().method(method).uri(path).body("").unwrap();
        let answer = answer(&shield, request, said.clone()).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(&answer.headers, said.headers(), "{method} {path}");
        assert_eq!(&answer.body, said.body(), "{method} {path}");
    }
}

/// An answer whose body is as long as it says, or until the end of the connection.
fn parsed(wire: &[u8]) -> Response<Vec<u8>> {
    let end = wire.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
    let head = std::str::from_utf8(&wire[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line has a status");
    let mut response = Response::builder().status(status);
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header has a name");
        assert!(!name.eq_ignore_ascii_case("transfer-encoding"), "this body is in chunks: {head}");
        response = response.header(name, value);
    }
    response.body(wire[end + 4..].to_vec()).unwrap()
}
