use std::convert::Infallible;

use http::{Request, Response};
use panoply::practices::headers::{
    CrossOriginEmbedderPolicy, CrossOriginOpenerPolicy, CrossOriginResourcePolicy, Csp, Hsts, ReferrerPolicy,
    ReferrerToken, XDnsPrefetchControl, XFrameOptions, XPermittedCrossDomainPolicies,
};
use panoply::{Headers, SettingError, Shield};
use tower::{Layer, ServiceExt, service_fn};

use super::node;

/// What an answer of Express has without Helmet.
const NOT_HELMETS: [&str; 7] =
    ["connection", "content-length", "content-type", "date", "etag", "keep-alive", "x-powered-by"];

/// Helmet's defaults where a table of settings begins with those of the gateway.
const AS_HELMET: &str = r#"
    cautious = false
    cross_origin_opener_policy = "same-origin"
    cross_origin_resource_policy = "same-origin"
    referrer_policy = "no-referrer"
    hsts = "max-age=31536000; includeSubDomains"
    csp_report_only = "off"
"#;

#[tokio::test]
async fn the_headers_are_helmets_to_the_byte() {
    for (options, headers) in rows().unwrap() {
        let app = node::App::start("helmeted.js", &[("HELMET_OPTIONS", options)]);
        let mut theirs = app.get("/");
        theirs.retain(|(name, _)| !NOT_HELMETS.contains(&name.as_str()));
        theirs.sort_unstable();
        assert_eq!(ours(headers).await, theirs, "{options}");
    }
}

#[test]
fn what_helmet_refuses_is_refused() {
    let expressions: Vec<&str> = REFUSED.iter().map(|&(options, _)| options).collect();
    let theirs = node::evaluate(REFUSES, &expressions);
    for ((options, settings), refused) in REFUSED.iter().zip(theirs.lines()) {
        assert_eq!(refused, "refused", "helmet({options})");
        assert!(toml::from_str::<Headers>(settings).is_err(), "{settings}");
    }
    assert_eq!(theirs.lines().count(), REFUSED.len());
}

async fn ours(headers: Headers) -> Vec<(String, String)> {
    let app = service_fn(async |_| Ok::<_, Infallible>(Response::new(String::new())));
    let app = Shield::bare().headers(headers).layer(app);
    let answer = app.oneshot(Request::new(String::new())).await.unwrap();
    let mut headers: Vec<_> = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort_unstable();
    headers
}

/// Helmet's options, and the same in ours.
fn rows() -> Result<Vec<(&'static str, Headers)>, SettingError> {
    let helmet = Headers::default;
    let old_and_new = ReferrerPolicy::of([ReferrerToken::NoReferrer, ReferrerToken::StrictOrigin])?;
    let half_a_day = Hsts::for_host(std::time::Duration::from_millis(43_200_999));
    Ok(vec![
        ("{}", helmet()),
        ("{}", written("csp = {}")),
        (
            r#"{"contentSecurityPolicy":false,"crossOriginOpenerPolicy":false,"crossOriginResourcePolicy":false,
                "originAgentCluster":false,"referrerPolicy":false,"strictTransportSecurity":false,
                "xContentTypeOptions":false,"xDnsPrefetchControl":false,"xDownloadOptions":false,
                "xFrameOptions":false,"xPermittedCrossDomainPolicies":false,"xXssProtection":false}"#,
            Headers::none(),
        ),
        (
            r#"{"crossOriginEmbedderPolicy":true,"originAgentCluster":false,"xDownloadOptions":false}"#,
            helmet()
                .cross_origin_embedder_policy(CrossOriginEmbedderPolicy::RequireCorp)
                .origin_agent_cluster(None)
                .x_download_options(None),
        ),
        (
            r#"{"crossOriginEmbedderPolicy":{"policy":"credentialless"},
                "crossOriginOpenerPolicy":{"policy":"noopener-allow-popups"},
                "crossOriginResourcePolicy":{"policy":"cross-origin"}}"#,
            helmet()
                .cross_origin_embedder_policy(CrossOriginEmbedderPolicy::Credentialless)
                .cross_origin_opener_policy(CrossOriginOpenerPolicy::NoopenerAllowPopups)
                .cross_origin_resource_policy(CrossOriginResourcePolicy::CrossOrigin),
        ),
        (
            r#"{"referrerPolicy":{"policy":["no-referrer","strict-origin"]}}"#,
            helmet().referrer_policy(old_and_new),
        ),
        (r#"{"referrerPolicy":{"policy":""}}"#, helmet().referrer_policy(ReferrerToken::Empty)),
        (
            r#"{"hsts":{"maxAge":43200.999,"includeSubDomains":false,"preload":true}}"#,
            helmet().hsts(half_a_day.preload()),
        ),
        (
            r#"{"strictTransportSecurity":{"maxAge":0}}"#,
            helmet().hsts(Hsts::for_host(std::time::Duration::ZERO).include_subdomains()),
        ),
        (
            r#"{"frameguard":{"action":"Deny"},"dnsPrefetchControl":{"allow":true},
                "permittedCrossDomainPolicies":{"permittedPolicies":"by-content-type"}}"#,
            helmet()
                .x_frame_options(XFrameOptions::Deny)
                .x_dns_prefetch_control(XDnsPrefetchControl::On)
                .x_permitted_cross_domain_policies(XPermittedCrossDomainPolicies::ByContentType),
        ),
        (
            r#"{"xFrameOptions":{"action":"same-origin"}}"#,
            written("x_frame_options = \"same-origin\"\ncsp = {}"),
        ),
        (
            r#"{"contentSecurityPolicy":{"directives":{"scriptSrc":["'self'","https://cdn.example"],
                "workerSrc":"blob:","font-src":["'none'"],"upgradeInsecureRequests":null}}}"#,
            helmet().csp(
                Csp::default()
                    .directive("scriptSrc", ["'self'", "https://cdn.example"])?
                    .directive("workerSrc", ["blob:"])?
                    .directive("font-src", ["'none'"])?
                    .without("upgradeInsecureRequests")?,
            ),
        ),
        (
            r#"{"contentSecurityPolicy":{"useDefaults":false,"directives":{"defaultSrc":["'self'",""],
                "sandbox":[],"reportURI":"/csp","img-src":"self cdn.example"}}}"#,
            helmet().csp(
                Csp::only(["'self'", ""])?
                    .directive("sandbox", [""; 0])?
                    .directive("reportURI", ["/csp"])?
                    .directive("img-src", ["self cdn.example"])?,
            ),
        ),
        (
            r#"{"contentSecurityPolicy":{"reportOnly":true}}"#,
            helmet().csp(None).csp_report_only(Csp::default()),
        ),
        (
            r#"{"contentSecurityPolicy":{"directives":{"script-src":["'self'","'sha256-abc='"],"objectSrc":null,
                "imgSrc":""}}}"#,
            written(
                r#"[csp.directives]
                script-src = ["'self'", "'sha256-abc='"]
                objectSrc = false
                imgSrc = """#,
            ),
        ),
        (
            r#"{"contentSecurityPolicy":{"useDefaults":false,"directives":{"defaultSrc":"'none'"}}}"#,
            written("csp = { use_defaults = false, directives.defaultSrc = \"'none'\" }"),
        ),
    ])
}

fn written(settings: &str) -> Headers {
    toml::from_str(&format!("{AS_HELMET}{settings}")).unwrap_or_else(|error| panic!("{settings}: {error}"))
}

/// Says of each argument, an expression for Helmet's options, whether Helmet refuses it.
const REFUSES: &str = "
    const helmet = require('helmet');
    const off = helmet.contentSecurityPolicy.dangerouslyDisableDefaultSrc;
    for (const options of process.argv.slice(1)) {
        try {
            helmet(eval(`(${options})`));
            console.log('taken');
        } catch {
            console.log('refused');
        }
    }
";

/// Helmet's options, and the same in ours; for `undefined` and its like, the nearest that TOML can say.
const REFUSED: &[(&str, &str)] = &[
    ("{ contentSecurityPolicy: null }", "csp = true"),
    ("{ contentSecurityPolicy: { useDefaults: false } }", "csp.use_defaults = false"),
    (
        "{ contentSecurityPolicy: { useDefaults: false, directives: { imgSrc: '*' } } }",
        "csp = { use_defaults = false, directives.imgSrc = '*' }",
    ),
    (
        "{ contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: off } } }",
        "csp = { use_defaults = false, danger_without_default_src = true }",
    ),
    ("{ contentSecurityPolicy: { directives: { defaultSrc: null } } }", "csp.directives.defaultSrc = false"),
    ("{ contentSecurityPolicy: { directives: { DefaultSrc: 'a' } } }", "csp.directives.DefaultSrc = 'a'"),
    ("{ contentSecurityPolicy: { directives: { '': 'a' } } }", "csp.directives.'' = 'a'"),
    ("{ contentSecurityPolicy: { directives: { _x: 'a' } } }", "csp.directives._x = 'a'"),
    ("{ contentSecurityPolicy: { directives: { ['__proto__']: 'a' } } }", "csp.directives.__proto__ = 'a'"),
    ("{ contentSecurityPolicy: { directives: { 'img-': 'a' } } }", "csp.directives.img- = 'a'"),
    ("{ contentSecurityPolicy: { directives: { 'img src': 'a' } } }", "csp.directives.'img src' = 'a'"),
    ("{ contentSecurityPolicy: { directives: { 'img;src': 'a' } } }", "csp.directives.'img;src' = 'a'"),
    (
        "{ contentSecurityPolicy: { directives: { imgSrc: 'a', 'img-src': 'a' } } }",
        "csp.directives = { imgSrc = 'a', img-src = 'a' }",
    ),
    ("{ contentSecurityPolicy: { directives: { imgSrc: 0 } } }", "csp.directives.imgSrc = 0"),
    ("{ contentSecurityPolicy: { directives: { imgSrc: true } } }", "csp.directives.imgSrc = true"),
    ("{ contentSecurityPolicy: { directives: { imgSrc: 'a;b' } } }", "csp.directives.imgSrc = 'a;b'"),
    (
        "{ contentSecurityPolicy: { directives: { imgSrc: ['a', 'b,c'] } } }",
        "csp.directives.imgSrc = ['a', 'b,c']",
    ),
    ("{ contentSecurityPolicy: { directives: { imgSrc: 'none' } } }", "csp.directives.imgSrc = 'none'"),
    ("{ contentSecurityPolicy: { directives: { imgSrc: ['self'] } } }", "csp.directives.imgSrc = ['self']"),
    (
        "{ contentSecurityPolicy: { directives: { scriptSrc: ['strict-dynamic'] } } }",
        "csp.directives.x = ['strict-dynamic']",
    ),
    (
        "{ contentSecurityPolicy: { directives: { scriptSrc: ['report-sample'] } } }",
        "csp.directives.x = ['report-sample']",
    ),
    (
        "{ contentSecurityPolicy: { directives: { scriptSrc: ['inline-speculation-rules'] } } }",
        "csp.directives.x = ['inline-speculation-rules']",
    ),
    (
        "{ contentSecurityPolicy: { directives: { scriptSrc: ['unsafe-inline'] } } }",
        "csp.directives.x = ['unsafe-inline']",
    ),
    (
        "{ contentSecurityPolicy: { directives: { scriptSrc: ['unsafe-eval'] } } }",
        "csp.directives.x = ['unsafe-eval']",
    ),
    (
        "{ contentSecurityPolicy: { directives: { scriptSrc: ['unsafe-hashes'] } } }",
        "csp.directives.x = ['unsafe-hashes']",
    ),
    (
        "{ contentSecurityPolicy: { directives: { scriptSrc: ['wasm-unsafe-eval'] } } }",
        "csp.directives.x = ['wasm-unsafe-eval']",
    ),
    (
        "{ contentSecurityPolicy: { directives: { scriptSrc: ['nonce-a'] } } }",
        "csp.directives.x = ['nonce-a']",
    ),
    (
        "{ contentSecurityPolicy: { directives: { scriptSrc: ['sha256-a'] } } }",
        "csp.directives.x = ['sha256-a']",
    ),
    (
        "{ contentSecurityPolicy: { directives: { scriptSrc: ['sha384-a'] } } }",
        "csp.directives.x = ['sha384-a']",
    ),
    (
        "{ contentSecurityPolicy: { directives: { scriptSrc: ['sha512-a'] } } }",
        "csp.directives.x = ['sha512-a']",
    ),
    ("{ crossOriginEmbedderPolicy: { policy: 'none' } }", "cross_origin_embedder_policy = 'none'"),
    ("{ crossOriginOpenerPolicy: { policy: 'Same-Origin' } }", "cross_origin_opener_policy = 'Same-Origin'"),
    ("{ crossOriginResourcePolicy: { policy: '' } }", "cross_origin_resource_policy = ''"),
    ("{ referrerPolicy: { policy: [] } }", "referrer_policy = []"),
    ("{ referrerPolicy: { policy: 'foo' } }", "referrer_policy = 'foo'"),
    ("{ referrerPolicy: { policy: ['origin', 'origin'] } }", "referrer_policy = ['origin', 'origin']"),
    ("{ hsts: { maxAge: -1 } }", "hsts = { max_age = -1 }"),
    ("{ hsts: { maxAge: -0.1 } }", "hsts = { max_age = -0.1 }"),
    ("{ hsts: { maxAge: NaN } }", "hsts = { max_age = nan }"),
    ("{ hsts: { maxAge: Infinity } }", "hsts = { max_age = inf }"),
    ("{ hsts: { maxAge: '123' } }", "hsts = { max_age = '123' }"),
    ("{ hsts: { maxage: 1 } }", "hsts = { maxage = 1 }"),
    ("{ hsts: { includeSubdomains: true } }", "hsts = { includeSubdomains = true }"),
    (
        "{ xFrameOptions: { action: 'allow-from https://a.example' } }",
        "x_frame_options = 'allow-from https://a.example'",
    ),
    ("{ xFrameOptions: { action: '' } }", "x_frame_options = ''"),
    (
        "{ xPermittedCrossDomainPolicies: { permittedPolicies: 'NONE' } }",
        "x_permitted_cross_domain_policies = 'NONE'",
    ),
    ("{ hsts: false, strictTransportSecurity: false }", "hsts = 'off'\nhsts = 'off'"),
    ("{ frameguard: false, xFrameOptions: undefined }", "x_frame_options = 'off'\nx_frame_options = 'off'"),
    ("{ contentSecurityPolicy: { directives: { imgSrc: off } } }", "csp.directives.imgSrc = 'off'"),
    ("{ contentSecurityPolicy: { directives: { imgSrc: undefined } } }", "csp.directives.imgSrc = 0"),
    ("{ hsts: { maxAge: null } }", "hsts = { max_age = '' }"),
    ("new (class IncomingMessage {})()", "method = 'GET'"),
];
