//! HTTP/2 frames in numbers that no honest client sends: who sends them is cut off, who asks beside them is served.

use std::time::{Duration, Instant};

use crate::client::get;
use crate::connections::{cut, serve};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, literal,
};
use crate::gateway::{Gateway, PATIENCE};
use crate::recorder::{OK, Recorder};
use crate::slow::{h2load, peak};

/// What one connection can make the gateway hold, and then some.
const MOST_KIB: u64 = 64 * 1024;

#[tokio::test]
async fn floods_end_their_connection_and_nobody_elses() {
    let app = Recorder::answering(OK);
    let gateway = serve(app.address(), "[shield]\nrate_limit = \"off\"\n");
    let url = format!("https://localhost:{}/", gateway.https().port());
    assert_eq!(h2load(&url, 1000).0, 0);
    let memory = peak(gateway.pid());
    let client = gateway.client();
    let request = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")];
    let block: Vec<u8> = request.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let bomb: Vec<u8> = literal("x", &"y".repeat(4000)).repeat(4);
    type Flood<'a> = Box<dyn Fn(u32) -> Vec<(u8, u8, u32, Vec<u8>)> + 'a>;
    let floods: [(&str, Flood<'_>); 9] = [
        ("PING", Box::new(|_| vec![(PING, 0, 0, vec![0; 8])])),
        ("SETTINGS", Box::new(|_| vec![(SETTINGS, 0, 0, vec![])])),
        ("PRIORITY", Box::new(|_| vec![(PRIORITY, 0, 1, vec![0, 0, 0, 0, 1])])),
        ("WINDOW_UPDATE", Box::new(|_| vec![(WINDOW_UPDATE, 0, 0, vec![0, 0, 0, 1])])),
        ("unknown", Box::new(|_| vec![(0xfa, 0, 0, vec![])])),
        // Rapid Reset (CVE-2023-44487).
        (
            "RST_STREAM",
            Box::new(|at| {
                let stream = 2 * at + 1;
                vec![
                    (HEADERS, END_HEADERS | END_STREAM, stream, block.clone()),
                    (RST_STREAM, 0, stream, vec![0, 0, 0, 8]),
                ]
            }),
        ),
        // MadeYouReset (CVE-2025-8671): the client makes us reset, by room for a stream that overflows.
        (
            "made resets",
            Box::new(|at| {
                let stream = 2 * at + 1;
                vec![
                    (HEADERS, END_HEADERS | END_STREAM, stream, block.clone()),
                    (WINDOW_UPDATE, 0, stream, vec![0, 0, 0, 0]),
                ]
            }),
        ),
        (
            "CONTINUATION",
            Box::new(|at| match at {
                0 => vec![(HEADERS, 0, 1, block.clone())],
                _ => vec![(CONTINUATION, 0, 1, bomb[..400].to_vec())],
            }),
        ),
        (
            "empty DATA",
            Box::new(|at| match at {
                0 => vec![(HEADERS, END_HEADERS, 1, block.clone())],
                _ => vec![(DATA, 0, 1, vec![])],
            }),
        ),
    ];
    for (name, flood) in floods {
        let (begun, before) = (Instant::now(), counted(&gateway));
        let beside = url.clone();
        let beside = tokio::task::spawn_blocking(move || h2load(&beside, 500));
        let mut frames = Frames::open(&client).await;
        let mut sent = 0;
        while frames.is_open() && sent < 20_000 {
            for (kind, flags, stream, payload) in flood(sent) {
                frames.send(kind, flags, stream, &payload).await;
            }
            sent += 1;
        }
        assert!(sent < 20_000 || frames.until(&[GOAWAY]).await.is_some(), "{name}: {sent} passed");
        // It is counted when it is closed already.
        while counted(&gateway) == before {
            assert!(begun.elapsed() < PATIENCE, "{name} is not counted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(begun.elapsed() < PATIENCE, "{name} took {:?}", begun.elapsed());
        assert_eq!(client.ask_http_2(get("/")).await.status, 200, "beside {name}");
        let (failed, said) = beside.await.unwrap();
        assert_eq!(failed, 0, "beside {name}:\n{said}");
        let grown = peak(gateway.pid()) - memory;
        assert!(grown < MOST_KIB, "{name} took {grown} KiB");
    }
}

/// An increment of nothing breaks the rules; the others are only too many.
fn counted(gateway: &Gateway) -> u64 {
    cut(gateway, "flood") + cut(gateway, "framing")
}

/// Fields that are small on the wire and large in memory: one is put into HPACK's table, and then named a thousand times
/// in each of a hundred requests; and a cookie that is cut into as many crumbs.
#[tokio::test]
async fn what_unpacks_to_more_than_it_is_stays_bounded() {
    let app = Recorder::answering(OK);
    let gateway = serve(app.address(), "[shield]\nrate_limit = \"off\"\n");
    let client = gateway.client();
    assert_eq!(client.ask_http_2(get("/")).await.status, 200);
    let memory = peak(gateway.pid());
    let request = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")];
    let begin: Vec<u8> = request.iter().flat_map(|(name, value)| literal(name, value)).collect();
    // RFC 7541 §6.2.1 adds a field to the table, as its entry 62; §6.1 names it in one byte.
    let added = [&[0x40][..], &literal("x-bomb", &"y".repeat(3900))[1..]].concat();
    let crumb = [&[0x40][..], &literal("cookie", "a=b")[1..]].concat();
    for (name, first, app_sees) in [("a bomb", added, false), ("crumbs", crumb, false)] {
        let mut frames = Frames::open(&client).await;
        for stream in (0..100).map(|at| 2 * at + 1) {
            let block = [&begin[..], &first, &[0x80 | 62; 8000]].concat();
            frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &block).await;
        }
        while frames.is_open() && frames.next().await.is_some() {}
        let grown = peak(gateway.pid()) - memory;
        assert!(grown < MOST_KIB, "{name} took {grown} KiB");
        assert_eq!(client.ask_http_2(get("/")).await.status, 200, "beside {name}");
        let seen = app.seen().concat();
        assert_eq!(seen.contains("x-bomb") || seen.contains("a=b"), app_sees, "{name} reached the app");
    }
}
