use std::net::{IpAddr, SocketAddr};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::routing::get;
use axum::{Extension, Router};
use panoply::{Connection, Shield, TrustedProxies, Visitor};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::node;

/// Where proxy-addr comes to something that is no address, panoply stays with the hop before it.
#[tokio::test]
async fn who_asks_is_whom_proxy_addr_finds() {
    let trusts = [
        json!(false),
        json!(true),
        json!(1),
        json!(2),
        json!(["loopback"]),
        json!(["uniquelocal", "linklocal"]),
        json!(["loopback", "10.0.0.0/8", "2001:db8:1::/48"]),
        json!(["10.0.0.1"]),
    ];
    let peers = ["10.0.0.1", "127.0.0.1", "::1", "::ffff:10.0.0.1", "192.0.2.1", "2001:db8:1::1", "fe80::1"];
    let headers = [
        json!(null),
        json!("192.0.2.9"),
        json!("6.6.6.6, 192.0.2.9"),
        json!("6.6.6.6, 192.0.2.9, 10.0.0.2"),
        json!("10.0.0.3, 10.0.0.2"),
        json!("127.0.0.1, 192.0.2.9"),
        json!("192.0.2.9,10.0.0.2,   127.0.0.1"),
        json!("2001:db8::9, fd00::1, fe80::2, 169.254.1.1"),
        json!("::ffff:192.0.2.9"),
        json!("6.6.6.6, unknown, 10.0.0.2"),
        json!("bogus"),
    ];
    let mut rows = Vec::new();
    for trust in &trusts {
        for peer in peers {
            rows.extend(
                headers.iter().map(|header| json!({ "trust": trust, "peer": peer, "header": header })),
            );
        }
    }
    let (mut count, mut others) = (0, 0);
    for (row, theirs) in node::table(PROXY_ADDR, rows.into_iter()) {
        let hops = theirs.as_array().unwrap().iter();
        let found = hops.map_while(|hop| hop.as_str()?.parse::<IpAddr>().ok()).last();
        let ours = visitor(&row).await;
        assert_eq!(ours, found.unwrap().to_canonical(), "{row}: {theirs}");
        count += 1;
        others += u32::from(ours != row["peer"].as_str().unwrap().parse::<IpAddr>().unwrap().to_canonical());
    }
    assert_eq!((count, others > 200), (8 * 7 * 11, true), "{others}");
}

async fn visitor(row: &Value) -> IpAddr {
    let proxies = match &row["trust"] {
        Value::Bool(false) => TrustedProxies::default(),
        Value::Bool(true) => TrustedProxies::danger_everyone(),
        Value::Number(hops) => TrustedProxies::hops(hops.as_u64().unwrap() as usize),
        list => {
            TrustedProxies::new(list.as_array().unwrap().iter().map(|name| name.as_str().unwrap())).unwrap()
        }
    };
    let who = |visitor: Extension<Visitor>| async move { visitor.ip.to_string() };
    let app = Router::new().route("/", get(who)).layer(Shield::bare().trusted_proxies(proxies));
    let mut request = Request::get("/");
    if let Some(header) = row["header"].as_str() {
        request = request.header("x-forwarded-for", header);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let peer: IpAddr = row["peer"].as_str().unwrap().parse().unwrap();
    request.extensions_mut().insert(Connection::plain(SocketAddr::new(peer, 4711)));
    let answer = app.oneshot(request).await.unwrap();
    let body = to_bytes(answer.into_body(), 100).await.unwrap();
    std::str::from_utf8(&body).unwrap().parse().unwrap()
}

/// Express makes a function of what `trust proxy` is (`utils.compileTrust`).
const PROXY_ADDR: &str = r"
    const proxyAddr = require('proxy-addr');
    const { compileTrust } = require('express/lib/utils');
    answer = ({ trust, peer, header }) => {
        const headers = header === null ? {} : { 'x-forwarded-for': header };
        return proxyAddr.all({ socket: { remoteAddress: peer }, connection: {}, headers }, compileTrust(trust));
    }";
