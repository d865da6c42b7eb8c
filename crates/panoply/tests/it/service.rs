use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::{ConnectInfo, Extension};
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use panoply::{Connection, RequestBody, Scheme, Shield, Visitor};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::app::{answer, read};

#[tokio::test]
async fn it_stands_before_any_tower_service() {
    let answer = answer(
        &Shield::default(),
        Request::builder().header("host", "shop.example").body("hello").unwrap(),
        Response::new("hello too"),
    )
    .await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "hello too"));
}

#[tokio::test]
async fn it_is_a_layer_of_axums_and_knows_who_asks() {
    let peer: SocketAddr = "192.0.2.7:50000".parse().unwrap();
    let whoami = |Extension(visitor): Extension<Visitor>| async move { format!("{visitor:?}") };
    let app = Router::new().route("/", get(whoami)).layer(Shield::default());

    let request = Request::builder().header("host", "shop.example").extension(ConnectInfo(peer));
    let request = request.body(axum::body::Body::empty()).unwrap();
    let plain = read(app.clone().oneshot(request).await).await;
    assert!(plain.text().contains("192.0.2.7") && plain.text().contains("Http,"), "{}", plain.text());

    // What the server says itself counts more than what axum saw of the socket.
    let request = Request::builder().header("host", "shop.example").extension(ConnectInfo(peer));
    let tls = read(
        app.oneshot(request.extension(Connection::tls(peer)).body(axum::body::Body::empty()).unwrap()).await,
    )
    .await;
    assert!(tls.text().contains(&format!("{:?}", Scheme::Https)), "{}", tls.text());
}

#[tokio::test]
async fn an_error_of_the_app_is_a_500_that_says_nothing_of_it() {
    let app = service_fn(|_: Request<RequestBody<Full<Bytes>>>| async {
        Err::<Response<Full<Bytes>>, _>(std::io::Error::other("/srv/till.db is locked"))
    });
    let answer = read(Shield::default().layer(app).oneshot(to("/")).await).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.text().contains("500 Internal Server Error"), "{}", answer.text());
    assert!(!answer.text().contains("till"), "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
}

/// Fails to get ready, and panics when it is asked again or called nevertheless, as tower allows.
#[derive(Clone)]
struct Broken(Arc<AtomicUsize>);

impl Service<Request<RequestBody<Full<Bytes>>>> for Broken {
    type Response = Response<Full<Bytes>>;
    type Error = std::io::Error;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        assert_eq!(self.0.fetch_add(1, Ordering::Relaxed), 0, "polled again");
        Poll::Ready(Err(std::io::Error::other("the pool is gone")))
    }

    fn call(&mut self, _: Request<RequestBody<Full<Bytes>>>) -> Self::Future {
        panic!("called although it is not ready");
    }
}

#[tokio::test]
async fn a_service_that_fails_to_get_ready_is_answered_for_and_left_alone() {
    let polled = Arc::new(AtomicUsize::new(0));
    let mut service = Shield::default().layer(Broken(Arc::clone(&polled)));
    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(to("/")).await;
        let answer = read(response).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!answer.text().contains("pool"), "{}", answer.text());
    }
    assert_eq!(polled.load(Ordering::Relaxed), 1);
}

/// Only the clone that was polled ready may be called.
#[derive(Default)]
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<RequestBody<Full<Bytes>>>> for Strict {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<Full<Bytes>>>) -> Self::Future {
        assert!(self.ready, "called before it was ready");
        ready(Ok(Response::new(request.uri().path().to_owned().into())))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clones_are_called_at_once_and_each_only_when_it_is_ready() {
    let service = Shield::default().layer(Strict::default());
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..100 {
        let mut clone = service.clone();
        calls.spawn(async move {
            for _ in 0..3 {
                let path = format!("/{number}");
                let answer = read(clone.ready().await.unwrap().call(to(&path)).await).await;
                assert_eq!((answer.status, answer.text()), (StatusCode::OK, &*path));
            }
        });
    }
    calls.join_all().await;
}

fn to(path: &str) -> Request<Full<Bytes>> {
    Request::builder().uri(path).header("host", "shop.example").body(Full::default()).unwrap()
}
