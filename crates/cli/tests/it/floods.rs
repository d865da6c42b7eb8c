//! HTTP/2 frames in numbers that no honest client sends: who sends them is cut off, who asks beside them is served.

use std::time::Instant;

use crate::client::get;
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, literal,
};
use crate::gateway::Gateway;
use crate::recorder::{OK, Recorder};

#[tokio::test]
async fn floods_end_their_connection_and_nobody_elses() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &[]);
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
        let begun = Instant::now();
        let mut frames = Frames::open(&client).await;
        let mut sent = 0;
        while frames.is_open() && sent < 20_000 {
            for (kind, flags, stream, payload) in flood(sent) {
                frames.send(kind, flags, stream, &payload).await;
            }
            sent += 1;
        }
        assert!(sent < 20_000 || frames.until(&[GOAWAY]).await.is_some(), "{name}: {sent} passed");
        assert!(begun.elapsed().as_secs() < 20, "{name} took {:?}", begun.elapsed());
        assert_eq!(client.ask_http_2(get("/")).await.status, 200, "beside {name}");
    }
}
