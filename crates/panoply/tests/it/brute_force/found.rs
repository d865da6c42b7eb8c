//! In front of an app that is not changed: logins are found, or named, and judged by its answers.

mod spelled;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, Full};
use panoply::practices::brute_force::Signs;
use panoply::{BruteForce, Connection, Guard, Policies, RequestBody, Shield};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};

use crate::app::{Answer, read};

const FORM: &str = "application/x-www-form-urlencoded";

type Service = BoxCloneService<Request<Full<Bytes>>, Response<panoply::Body<Full<Bytes>>>, Infallible>;

/// An app that answers what the test last told it to, and what it got.
struct App {
    service: Service,
    says: Arc<Mutex<Response<Bytes>>>,
    asked: Arc<AtomicU32>,
    last: Arc<Mutex<(HeaderMap, Bytes)>>,
}

impl App {
    fn behind(brute_force: impl Into<Guard<BruteForce>>) -> Self {
        let says = Arc::new(Mutex::new(Response::new(Bytes::new())));
        let (asked, last) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::default()));
        let shield = Shield::bare().brute_force(brute_force);
        let service = service_fn({
            let (says, asked, last) = (Arc::clone(&says), Arc::clone(&asked), Arc::clone(&last));
            move |request: Request<RequestBody<Full<Bytes>>>| {
                let (says, asked, last) = (Arc::clone(&says), Arc::clone(&asked), Arc::clone(&last));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
                    asked.fetch_add(1, Relaxed);
                    *last.lock().unwrap() = (head.headers, body);
                    let says = says.lock().unwrap().clone();
                    Ok::<_, Infallible>(says.map(Full::new))
                }
            }
        });
        Self { service: BoxCloneService::new(shield.layer(service)), says, asked, last }
    }

    fn says(&self, status: u16, headers: &[(http::HeaderName, &str)], body: &'static str) -> &Self {
        let mut says = Response::new(Bytes::from_static(body.as_bytes()));
        *says.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            says.headers_mut().append(name, value.parse().unwrap());
        }
        *self.says.lock().unwrap() = says;
        self
    }

    async fn ask(&self, mut request: Request<Full<Bytes>>, ip: &str) -> Answer {
        request.extensions_mut().insert(Connection::tls(SocketAddr::new(ip.parse().unwrap(), 1)));
        read(self.service.clone().oneshot(request).await).await
    }

    async fn post(&self, path: &str, kind: &str, body: &str, ip: &str) -> u16 {
        self.ask(post(path, kind, body), ip).await.status.as_u16()
    }

    /// How many requests reached the app of so many that are the same.
    async fn reached(&self, request: impl Fn() -> Request<Full<Bytes>>, ip: &str, times: u32) -> u32 {
        self.asked.store(0, Relaxed);
        for _ in 0..times {
            self.ask(request(), ip).await;
        }
        self.asked.load(Relaxed)
    }
}

fn post(path: &str, kind: &str, body: &str) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", "shop.example")
        .header(CONTENT_TYPE, kind)
        .header(ACCEPT_ENCODING, "gzip, br")
        .body(Full::from(body.to_owned()))
        .unwrap()
}

fn in_front() -> Guard<BruteForce> {
    read_toml("brute_force = \"on\"")
}

fn read_toml(toml: &str) -> Guard<BruteForce> {
    toml::from_str::<Policies>(toml).unwrap_or_else(|error| panic!("{toml}: {error}")).brute_force.unwrap()
}

const LOGIN: &str = "email=ann%40shop.example&password=guess";

#[tokio::test]
async fn what_is_held_is_passed_on_to_the_byte_and_nothing_else_is_touched() {
    let app = App::behind(in_front());
    for (n, (kind, body, is_login)) in [
        (FORM, LOGIN, true),
        (FORM, "q=shoes", false),
        ("application/json", "{\"email\": \"ann@shop.example\",\t\"password\":\"x\"}", true),
        ("application/json", "{\"q\":1}", false),
        ("application/json", "{\"broken", false),
        ("text/plain", LOGIN, false),
    ]
    .into_iter()
    .enumerate()
    {
        app.ask(post(&format!("/{n}"), kind, body), "192.0.2.1").await;
        let (headers, got) = app.last.lock().unwrap().clone();
        assert_eq!(got, body, "{kind}");
        assert_eq!(headers.contains_key(ACCEPT_ENCODING), !is_login, "{kind} {body}");
    }
}

#[tokio::test]
async fn each_way_to_say_no_is_counted_and_each_way_to_say_yes_forgives() {
    let html = (CONTENT_TYPE, "text/html");
    let form_again = "<form><input type=password name=p></form>";
    let session = (
        SET_COOKIE,
        "connect.sid=s%3Aabcdefghijklmnopqrstuvwxyz012345.bm90IGEgc2lnbmF0dXJlbm90IGEgc2lnbmF0dXJl; Path=/",
    );
    for (status, headers, body, reached) in [
        (401, vec![], "", 11),
        (403, vec![session.clone()], "", 11), // everybody gets one
        (400, vec![html.clone()], "wrong", 11),
        (422, vec![], "{}", 11),
        (302, vec![(LOCATION, "/login?error=1")], "", 11),
        (200, vec![html.clone()], form_again, 11),
        (200, vec![html.clone()], "<p>welcome</p>", 40),
        (303, vec![(LOCATION, "/account"), session], "", 40),
        (204, vec![], "", 40),
        (403, vec![html], "ForbiddenError: invalid csrf token", 40),
        (404, vec![], "", 40), // unclear: counts by address, of which a hundred are let pass
    ] {
        let app = App::behind(in_front());
        app.says(status, &headers, body);
        let request = || post("/login", FORM, LOGIN);
        assert_eq!(app.reached(request, "192.0.2.1", 40).await, reached, "{status} {headers:?} {body}");
    }
}

#[tokio::test]
async fn what_is_unclear_counts_by_address() {
    let app = App::behind(in_front());
    app.says(500, &[], "oops");
    assert_eq!(app.reached(|| post("/login", FORM, LOGIN), "192.0.2.1", 120).await, 101);
    assert_eq!(app.reached(|| post("/login", FORM, LOGIN), "192.0.2.2", 20).await, 20);
}

#[tokio::test]
async fn a_sign_up_is_no_login_but_where_logins_are_a_second_password_is_no_way_around() {
    let two = "email=ann%40shop.example&password=guess&again=x&password2=guess";
    let app = App::behind(in_front());
    app.says(422, &[], "taken");
    assert_eq!(app.reached(|| post("/sign-up", FORM, two), "192.0.2.1", 130).await, 130);
    assert_eq!(app.reached(|| post("/login", FORM, two), "192.0.2.1", 5).await, 5, "fewer than are too many");
    app.says(401, &[], "no");
    assert_eq!(app.post("/login", FORM, LOGIN, "192.0.2.9").await, 401);
    for path in ["/login", "/Login/", "/%6cogin"] {
        let reached = app.reached(|| post(path, FORM, two), "192.0.2.1", 30).await;
        assert!(reached <= 11, "{path}: {reached}");
    }
}

#[tokio::test]
async fn a_form_of_settings_is_no_login() {
    let app = App::behind(in_front());
    let html = (CONTENT_TYPE, "text/html");
    let with_session = |path: &'static str| {
        move || {
            let mut request = post(path, FORM, "username=mailer&password=smtp");
            request.headers_mut().insert("cookie", "connect.sid=s%3Aabc.def".parse().unwrap());
            request
        }
    };
    app.says(200, &[html], "<form>saved <input type=password name=password></form>");
    assert_eq!(app.reached(with_session("/settings/mail"), "192.0.2.1", 60).await, 60);
    app.says(302, &[(LOCATION, "/settings/mail")], "");
    assert_eq!(
        app.reached(with_session("/settings/mail"), "192.0.2.1", 60).await,
        41,
        "a hundred of an address"
    );
    for path in ["/login", "/%6Cogin", "/users/sign_in"] {
        app.says(302, &[(LOCATION, path)], "");
        let ip = format!("198.51.100.{}", path.len());
        assert_eq!(app.reached(with_session(path), &ip, 60).await, 11, "a session of his own making: {path}");
    }
    app.says(401, &[], "");
    assert_eq!(app.reached(with_session("/settings/mail"), "192.0.2.9", 60).await, 11);
}

#[tokio::test]
async fn what_only_looks_at_a_login_is_none() {
    let app = App::behind(in_front());
    app.says(401, &[], "no");
    app.post("/login", FORM, LOGIN, "192.0.2.9").await;
    app.says(200, &[(CONTENT_TYPE, "text/html")], "<form><input type=password name=p></form>");
    let bare = |method: &'static str, path: &'static str| {
        move || {
            let mut request = Request::new(Full::default());
            *request.method_mut() = method.parse().unwrap();
            *request.uri_mut() = path.parse().unwrap();
            request
        }
    };
    for (method, path) in [
        ("GET", "/login"),
        ("GET", "/login?next=/account"),
        ("HEAD", "/login?next=/account"),
        ("OPTIONS", "/login?email=ann&password=x"), // a preflight
        ("POST", "/login?next=/account"),
        ("DELETE", "/session"),
        ("GET", "/search?q=password"),
    ] {
        assert_eq!(app.reached(bare(method, path), "192.0.2.1", 150).await, 150, "{method} {path}");
    }
}

#[tokio::test]
async fn a_client_with_a_token_that_sets_a_password_is_not_kept_out() {
    let app = App::behind(in_front());
    let with_token = |path: &'static str| {
        move || {
            let mut request = post(path, "application/json", r#"{"host":"db","user":"app","password":"x"}"#);
            request.headers_mut().insert(AUTHORIZATION, "Bearer abc".parse().unwrap());
            request
        }
    };
    app.says(422, &[], "{}");
    assert_eq!(app.reached(with_token("/api/connections"), "192.0.2.1", 60).await, 60);
    assert_eq!(app.reached(with_token("/api/login"), "192.0.2.2", 60).await, 11, "a token of his own making");
}

#[tokio::test]
async fn a_named_login_takes_a_body_that_can_be_read_and_no_other() {
    let app = App::behind(BruteForce::logins("form:user[kennung]".parse().unwrap()));
    app.says(401, &[], "no");
    let login = "user[kennung]=4711&user[kennwort]=x";
    assert_eq!(app.reached(|| post("/anmelden", FORM, login), "192.0.2.1", 30).await, 11);
    assert_eq!(app.reached(|| post("/anmelden", FORM, "user[kennung]=4712"), "192.0.2.1", 30).await, 11);

    let app_for_all = App::behind(BruteForce::logins("form:email".parse().unwrap()));
    app_for_all.says(401, &[], "no");
    let get = |uri: &'static str| move || Request::get(uri).body(Full::default()).unwrap();
    assert_eq!(app_for_all.reached(get("/login?email=ann&password=x"), "192.0.2.1", 30).await, 11);
    assert_eq!(app_for_all.reached(get("/login?email=bob&next=/"), "192.0.2.1", 30).await, 30, "a look");

    app.asked.store(0, Relaxed);
    let large = format!("{login}&x={}", "x".repeat(70_000));
    for (kind, body, status) in [
        (FORM, &*large, 413),
        ("application/json", "{\"user\": {\"kennung\": \"4711\"", 400),
        ("text/plain", login, 400),
    ] {
        assert_eq!(app.post("/anmelden", kind, body, "192.0.2.2").await, status, "{kind}");
    }
    assert_eq!(app.asked.load(Relaxed), 0, "none of them reached the app");

    // Node's clients send in pieces, of no length, what they are not given at once.
    let (mut sender, body) = http_body_util::channel::Channel::<Bytes, Infallible>::new(1);
    sender.send_data(Bytes::from(login)).await.unwrap();
    drop(sender);
    let in_pieces = Request::post("/anmelden").header(CONTENT_TYPE, FORM).body(body).unwrap();
    let answer = Shield::bare()
        .brute_force(BruteForce::logins("form:user".parse().unwrap()))
        .layer(service_fn(async |_: Request<RequestBody<_>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }))
        .oneshot(in_pieces)
        .await;
    assert_eq!(read(answer).await.status, StatusCode::OK);

    for _ in 0..120 {
        app.post("/anmelden", "text/plain", login, "192.0.2.3").await;
    }
    assert_eq!(app.post("/anmelden", FORM, login, "192.0.2.3").await, 429, "each was a try");
}

#[tokio::test]
async fn basic_and_headers_name_users_too() {
    let request = |name: http::HeaderName, value: &'static str| {
        move || Request::get("/admin").header(&name, value).body(Full::default()).unwrap()
    };
    let basic = request(AUTHORIZATION, "Basic YW5uOmd1ZXNz"); // ann:guess
    let app = App::behind(BruteForce::logins("basic".parse().unwrap()));
    app.says(401, &[], "no");
    assert_eq!(app.reached(&basic, "192.0.2.1", 30).await, 11);
    let nobody = || Request::get("/admin").body(Full::default()).unwrap();
    assert_eq!(app.reached(nobody, "192.0.2.1", 200).await, 200, "who brings no password tries none");

    let app = App::behind(BruteForce::logins("header:x-user".parse().unwrap()));
    app.says(401, &[], "no");
    assert_eq!(
        app.reached(request(http::HeaderName::from_static("x-user"), "ann"), "192.0.2.1", 30).await,
        11
    );
}

#[tokio::test]
async fn a_route_says_what_tells_a_failure() {
    let signs = Signs::default().body("Wrong password").unwrap();
    let app = App::behind(BruteForce::logins("form:email".parse().unwrap()).failure(signs));
    let html = (CONTENT_TYPE, "text/html");
    app.says(200, std::slice::from_ref(&html), "<h1>Wrong password</h1>");
    assert_eq!(app.reached(|| post("/", FORM, LOGIN), "192.0.2.1", 30).await, 11);
    app.says(200, &[html], "<h1>Welcome</h1>");
    assert_eq!(app.reached(|| post("/", FORM, LOGIN), "192.0.2.2", 30).await, 30);
}

#[tokio::test]
async fn the_browser_that_logs_in_is_trusted_by_a_cookie_that_the_app_did_not_set() {
    let app = App::behind(in_front());
    let session =
        "connect.sid=s%3Aabcdefghijklmnopqrstuvwxyz012345.bm90IGEgc2lnbmF0dXJlbm90IGEgc2lnbmF0dXJl; Path=/";
    app.says(302, &[(LOCATION, "/account"), (SET_COOKIE, session)], "");
    let answer = app.ask(post("/login", FORM, LOGIN), "192.0.2.1").await;
    let cookies: Vec<_> =
        answer.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
    assert_eq!(cookies.len(), 2);
    assert!(cookies[1].starts_with("__Host-device="), "{cookies:?}");

    app.says(200, &[(CONTENT_TYPE, "text/html")], "<p>hello</p>");
    let answer = app.ask(post("/login", FORM, LOGIN), "192.0.2.1").await;
    assert!(!answer.headers.contains_key(SET_COOKIE), "a page alone proves nothing");
}

#[tokio::test]
async fn the_file_sets_what_the_builders_set() {
    let toml = r#"
        [brute_force]
        by_username_and_ip = { failures = 2, window = "1h", block = "5min" }
        by_ip = { failures = 5, window = "1h" }
        trust_browsers = "off"
    "#;
    let app = App::behind(read_toml(toml));
    app.says(401, &[], "no");
    assert_eq!(app.reached(|| post("/login", FORM, LOGIN), "192.0.2.1", 10).await, 3);
    let other = || post("/login", FORM, "email=bob&password=x");
    assert_eq!(app.reached(other, "192.0.2.1", 10).await, 3);
    assert_eq!(app.reached(|| post("/login", FORM, "email=eve&password=x"), "192.0.2.1", 10).await, 0);

    let observed = App::behind(read_toml("brute_force = \"observe\""));
    observed.says(401, &[], "no");
    assert_eq!(observed.reached(|| post("/login", FORM, LOGIN), "192.0.2.1", 200).await, 200);

    for (toml, hint) in [
        ("brute_force.by_ip = { failures = 3 }", "missing field `window`"),
        ("brute_force.by_ip = { failures = 3, window = \"1 week\" }", "hint: write a whole number"),
        ("brute_force.username = \"email\"", "hint:"),
        ("brute_force.keys = \"plain\"", "hashed"),
        ("brute_force.trust_browsers = \"never\"", "hint:"),
        ("brute_force.attempts = 3", "unknown field `attempts`"),
        ("brute_force = \"10/h\"", "neither \"on\""),
    ] {
        let error = toml::from_str::<Policies>(toml).unwrap_err().to_string();
        assert!(error.contains(hint), "{toml}: {error}");
    }
}
