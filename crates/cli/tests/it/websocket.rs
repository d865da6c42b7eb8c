//! Both ends of a WebSocket are told that the gateway goes away, between two frames and nowhere else.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::gateway::{Gateway, PATIENCE};
use crate::port::free_address;
use crate::process::Process;
use crate::recorder::Recorder;

/// A Node script with the `ws` package, and what it has said.
struct Script {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Script {
    fn start(script: &str, arguments: &[&str]) -> Self {
        let mut command = Process::command("node");
        command.args(["-e", script]).args(arguments).current_dir(crate::node::folder());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let (said, lines) = (Arc::new(Mutex::new(String::new())), child.stdout.take().unwrap());
        let copy = Arc::clone(&said);
        thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                copy.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, said }
    }

    fn says(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.said.lock().unwrap().contains(text) {
            assert!(Instant::now() < deadline, "`{text}` is not in: {}", self.said.lock().unwrap());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SERVER: &str = "
const { WebSocketServer } = require('ws');
new WebSocketServer({ port: process.argv[1], host: '127.0.0.1' }, () => console.log('listens')).on('connection', (visitor) => {
  visitor.on('message', (text) => visitor.send('again ' + text));
  visitor.on('error', (error) => console.log('error', error.message));
  visitor.on('close', (code) => console.log('server closed', code));
});
";

const CLIENT: &str = "
const { WebSocket } = require('ws');
const socket = new WebSocket(process.argv[1], { rejectUnauthorized: false });
socket.on('open', () => socket.send('x'.repeat(70000)));
socket.on('message', (text) => console.log('heard', text.length));
socket.on('error', (error) => console.log('error', error.message));
socket.on('close', (code) => console.log('client closed', code));
";

#[test]
fn the_real_client_and_the_real_server_hear_that_it_goes_away() {
    let address = free_address();
    let server = Script::start(SERVER, &[&address.port().to_string()]);
    server.says("listens");
    let mut gateway = Gateway::serve(address, &[]);
    let url = format!("wss://localhost:{}/", gateway.https().port());
    let client = Script::start(CLIENT, &[&url]);
    client.says("heard 70006");
    let told = Instant::now();
    gateway.signal("TERM");
    client.says("client closed 1001");
    server.says("server closed 1001");
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(8), "no patience is used up: {:?}", told.elapsed());
    for script in [&client, &server] {
        assert!(!script.said.lock().unwrap().contains("error"), "{}", script.said.lock().unwrap());
    }
}

const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: WebSocket\r\n\r\n";
const ASK: &[u8] =
    b"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_under_way_ends_before_anybody_is_told() {
    let is_told = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_told);
    let app = Recorder::with(move |stream, record| {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap();
        record.add(&chunk[..read]);
        let mut stream = stream.try_clone().unwrap();
        let mut slow = stream.try_clone().unwrap();
        let told = Arc::clone(&is_told);
        thread::spawn(move || {
            slow.write_all(SWITCH).unwrap();
            // A text of ten letters, in pieces, and then one that nobody is to have.
            slow.write_all(b"\x81").unwrap();
            thread::sleep(Duration::from_millis(300));
            slow.write_all(b"\x0aapp's").unwrap();
            while !told.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
            }
            slow.write_all(b" text\x81\x04late").unwrap();
        });
        while let Ok(read @ 1..) = stream.read(&mut chunk) {
            record.add(&chunk[..read]);
        }
    });
    let mut gateway = Gateway::serve(app.address(), &[]);
    let mut stream = gateway.client().connect("http/1.1").await;
    stream.write_all(ASK).await.unwrap();
    let mut got = Vec::new();
    while !got.windows(5).any(|window| window == b"app's") {
        assert!(stream.read_buf(&mut got).await.unwrap() > 0, "{}", String::from_utf8_lossy(&got));
    }
    // The visitor's frame is under way too: masked with zeros.
    stream.write_all(b"\x81\x8a\0\0\0\0visi").await.unwrap();
    app.bytes(|sent| sent.ends_with(b"visi"));
    gateway.signal("TERM");
    gateway.logged("told to end");
    // Each thread has to hear it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    ends.store(true, Ordering::Relaxed);
    stream.write_all(b"tor's \x81\x84\0\0\0\0late").await.unwrap();
    let _ = stream.read_to_end(&mut got).await;
    let head = got.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(got[head..], *b"\x81\x0aapp's text\x88\x02\x03\xe9", "{}", String::from_utf8_lossy(&got));
    assert_eq!(gateway.ended().code(), Some(0));
    let behind =
        |sent: &[u8]| sent.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    let sent = app.bytes(|sent| sent.len() >= behind(sent) + 24);
    let frames = &sent[behind(&sent)..];
    assert_eq!(frames[..16], *b"\x81\x8a\0\0\0\0visitor's ");
    let [0x88, 0x82, mask @ .., high, low] = &frames[16..] else { panic!("{frames:?}") };
    assert_eq!([high ^ mask[0], low ^ mask[1]], 1001_u16.to_be_bytes(), "{frames:?}");
    assert_eq!(mask.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_the_sites_place_tells_them_too() {
    let address = free_address();
    let server = Script::start(SERVER, &[&address.port().to_string()]);
    server.says("listens");
    let folder = crate::scratch::Scratch::new();
    let file = folder.path().join("panoply.toml");
    let site = |more: &str| format!("[[site]]\nhosts = ['localhost'{more}]\nupstream = 'http://{address}'\n");
    std::fs::write(&file, site(", 'a.example'")).unwrap();
    let gateway =
        Gateway::start(&["serve", "--https", "127.0.0.1:0", "--config", file.to_str().unwrap()], &[]);
    let client = Script::start(CLIENT, &[&format!("wss://localhost:{}/", gateway.https().port())]);
    client.says("heard 70006");
    std::fs::write(&file, site("")).unwrap();
    gateway.signal("HUP");
    client.says("client closed 1001");
    server.says("server closed 1001");
}
