//! Who keeps a log, or replays one, is told what was said of a request.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use panoply::metrics::Said;
use panoply::practices::rate_limit::Limit;
use panoply::{Connection, Guard, Hosts, Practice, RateLimit, Redirects, Rejection, Shield, Verdict};

#[tokio::test]
async fn a_passage_has_what_was_refused_and_what_was_only_observed() {
    let limits = RateLimit::of("3/day".parse().unwrap())
        .limit("watched", Limit::of("1/day".parse().unwrap()).observe())
        .unwrap();
    let shield = Shield::bare()
        .hosts(Guard::Observe(Hosts::named(["shop.example"]).unwrap()))
        .rate_limit(limits)
        .redirects(Redirects::default());
    let rate_limit = |rule: &'static str, said| (Some(Practice::RateLimit), Some(rule), said);
    let hosts = (Some(Practice::Hosts), None, Said::Observed);
    let watched = rate_limit("watched", Said::Observed);
    let refused = rate_limit("default", Said::Refused);
    let redirected = (Some(Practice::Redirects), None, Said::Refused);
    for (target, verdicts, refused) in [
        ("http://shop.example/", &[][..], None),
        ("http://other.example/", &[hosts, watched], None),
        ("http://shop.example/?to=https://evil.example/", &[watched, redirected], Some(redirected)),
        ("http://other.example/", &[hosts, refused], Some(refused)),
    ] {
        let to = target.split_once("to=").map_or("/", |(_, to)| to);
        let answer = Response::builder().status(302).header("location", to).body(Full::<Bytes>::default());
        let connection = Connection::plain(([192, 0, 2, 1], 50_000).into());
        let request = Request::get(target).body(Full::<Bytes>::default()).unwrap();
        let app = |_, _| async move { Ok::<_, Rejection>(answer.unwrap()) };
        let (answer, passage) = shield.pass::<_, Full<Bytes>, _, _>(connection, request, app).await;
        let told: Vec<_> = passage.verdicts.iter().map(said).collect();
        assert_eq!(told, verdicts, "{target}");
        assert_eq!(passage.refused().map(said), refused, "{target}");
        assert_eq!(answer.status() == 302, refused.is_none(), "{target}");
        assert_eq!(passage.visitor.ip.to_string(), "192.0.2.1");
    }
    let unanswered = |_, _| async {
        Err::<Response<Full<Bytes>>, _>(Rejection::new(http::StatusCode::BAD_GATEWAY, "down"))
    };
    let request = Request::get("http://shop.example/").body(Full::<Bytes>::default()).unwrap();
    let elsewhere = Connection::plain(([192, 0, 2, 2], 50_000).into());
    let (_, passage) = shield.pass(elsewhere, request, unanswered).await;
    assert_eq!(passage.refused().map(said), Some((None, None, Said::Refused)), "no practice did");
}

fn said(verdict: &Verdict) -> (Option<Practice>, Option<&str>, Said) {
    (verdict.practice, verdict.rule.as_deref(), verdict.said)
}
