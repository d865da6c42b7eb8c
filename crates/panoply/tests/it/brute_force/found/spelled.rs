//! However a guess is written, it counts.

use super::*;

#[tokio::test]
async fn a_body_that_cannot_be_read_counts_by_address_where_logins_are() {
    let app = App::behind(in_front());
    app.says(401, &[], "no");
    let compressed = || {
        let mut request = post("/login", "application/json", "\u{1f}not really gzip");
        request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        request
    };
    let large = format!("{LOGIN}&x={}", "x".repeat(70_000));
    let multipart = "--x\r\ncontent-disposition: form-data; name=password\r\n\r\nguess\r\n--x--";
    let broken = || post("/login", "application/json", "{\"password\": \"gue");
    assert_eq!(app.reached(compressed, "192.0.2.1", 150).await, 101, "nobody logged in there yet");
    app.post("/login", FORM, LOGIN, "192.0.2.9").await;
    for (ip, request, reached) in [
        ("198.51.100.1", Box::new(compressed) as Box<dyn Fn() -> Request<Full<Bytes>>>, 11),
        ("198.51.100.2", Box::new(|| post("/login", FORM, &large)), 11),
        ("198.51.100.3", Box::new(|| post("/login", "multipart/form-data; boundary=x", multipart)), 11),
        ("198.51.100.4", Box::new(broken), 101),
    ] {
        assert_eq!(app.reached(request, ip, 150).await, reached, "{ip}");
    }
    for host in 10..40 {
        app.reached(compressed, &format!("198.51.100.{host}"), 2).await;
    }
    assert_eq!(app.reached(compressed, "203.0.113.1", 30).await, 2, "from everywhere they are one");
    assert_eq!(
        app.reached(|| post("/login", FORM, LOGIN), "203.0.113.1", 30).await,
        11,
        "nobody else suffers"
    );
}

#[tokio::test]
async fn every_spelling_of_a_request_in_which_apps_find_a_login_is_one() {
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\nann@shop.example\r\n\
                     --x\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nguess\r\n--x--\r\n";
    let in_query = format!("/login?{LOGIN}");
    let as_method = |method: &'static str, path: &str, body: &str| {
        let mut request = post(path, FORM, body);
        *request.method_mut() = method.parse().unwrap();
        request
    };
    let bare = |method: &'static str, path: &str| {
        let mut request = as_method(method, path, "");
        request.headers_mut().remove(CONTENT_TYPE);
        request
    };
    for (name, request) in [
        ("PUT", as_method("PUT", "/session", LOGIN)),
        ("PATCH", as_method("PATCH", "/enter", LOGIN)),
        ("a method of its own", as_method("LOGIN", "/enter", LOGIN)),
        ("GET with a body", as_method("GET", "/login", LOGIN)),
        ("GET with a query", bare("GET", &in_query)),
        ("HEAD with a query", bare("HEAD", &in_query)),
        ("POST with a query and no body", bare("POST", &in_query)),
        ("multipart", post("/enter", "multipart/form-data; boundary=x", multipart)),
        ("two slashes", post("//login", FORM, LOGIN)),
        ("matrix parameters", post("/login;jsessionid=1", FORM, LOGIN)),
    ] {
        let app = App::behind(in_front());
        app.says(401, &[], "no");
        let again = || {
            let mut copy = Request::new(request.body().clone());
            *copy.method_mut() = request.method().clone();
            *copy.uri_mut() = request.uri().clone();
            *copy.headers_mut() = request.headers().clone();
            copy
        };
        assert_eq!(app.reached(again, "192.0.2.1", 30).await, 11, "{name}");
        assert_eq!(app.post("/login", FORM, LOGIN, "192.0.2.1").await, 429, "{name}: it was ann's count");
    }
}

#[tokio::test]
async fn a_batch_of_guesses_counts_as_many_as_it_is_and_a_list_of_people_is_none() {
    let batch = |users: usize, guesses: usize| {
        let one = |n| format!(r#"{{"user":"user{}","password":"guess{n}"}}"#, n % users);
        format!("[{}]", (0..guesses).map(one).collect::<Vec<_>>().join(","))
    };
    let app = App::behind(in_front());
    app.says(401, &[], "no");
    let at = |path: &'static str, body: String| move || post(path, "application/json", &body);
    assert_eq!(app.reached(at("/login", batch(1, 50)), "192.0.2.1", 5).await, 0);
    assert_eq!(app.reached(at("/login", batch(1, 5)), "192.0.2.1", 9).await, 2, "ten are let pass");
    assert_eq!(app.reached(at("/login", batch(1, 1)), "192.0.2.1", 9).await, 1, "and one more");
    app.says(201, &[], "");
    assert_eq!(app.reached(at("/people", batch(12, 12)), "192.0.2.2", 9).await, 9);
    assert_eq!(app.reached(at("/cameras", batch(1, 50)), "192.0.2.2", 9).await, 9, "of one name");

    let query = |guesses: usize| {
        let one = |n| format!(r#"a{n}:login(user:\"tim\",password:\"{n}\"){{id}}"#);
        format!(r#"{{"query":"mutation{{{}}}"}}"#, (0..guesses).map(one).collect::<String>())
    };
    app.says(200, &[(CONTENT_TYPE, "application/json")], r#"{"errors":[{"message":"no"}]}"#);
    assert_eq!(app.reached(at("/graphql", query(1)), "192.0.2.3", 3).await, 3);
    assert_eq!(app.reached(at("/graphql", query(50)), "192.0.2.3", 5).await, 0);
    assert_eq!(app.reached(at("/graphql", query(4)), "192.0.2.3", 5).await, 2);
}

#[tokio::test]
async fn a_field_that_is_sent_twice_charges_every_value_and_forgives_none() {
    let app = App::behind(in_front());
    app.says(401, &[], "no");
    let both = "email=mine%40shop.example&email=ann%40shop.example&password=x";
    assert_eq!(app.reached(|| post("/login", FORM, both), "192.0.2.1", 8).await, 8);
    app.says(302, &[(LOCATION, "/account")], "");
    app.post("/login", FORM, both, "192.0.2.1").await;
    app.says(401, &[], "no");
    assert_eq!(
        app.reached(|| post("/login", FORM, LOGIN), "192.0.2.1", 30).await,
        3,
        "ann has eight already"
    );
}

#[tokio::test]
async fn a_password_without_a_user_is_counted_by_its_path() {
    let app = App::behind(in_front());
    app.says(401, &[], "no");
    let at = |path: &'static str| move || post(path, FORM, "password=guess");
    assert_eq!(app.reached(at("/share/a"), "192.0.2.1", 30).await, 11);
    assert_eq!(app.reached(at("/share/b"), "192.0.2.1", 30).await, 11);
    assert_eq!(app.reached(at("/share/a"), "192.0.2.2", 30).await, 11);
    app.says(204, &[], "");
    for _ in 0..8 {
        app.says(401, &[], "no");
        app.reached(at("/share/c"), "192.0.2.3", 9).await;
        app.says(204, &[], "");
        assert_eq!(app.post("/share/c", FORM, "password=right", "192.0.2.3").await, 204, "an office");
    }
}
