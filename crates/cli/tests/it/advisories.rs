//! `panoply advisories`: made from files, made from the network, and what it says of itself.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

#[test]
fn what_is_imported_is_told_by_info() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("records.jsonl"), RECORDS).unwrap();
    let imported = panoply(&folder, &["import", "records.jsonl"]);
    assert_eq!(code(&imported), 0, "{imported:?}");

    let told = panoply(&folder, &["info"]);
    let text = String::from_utf8(told.stdout.clone()).unwrap();
    for line in ["imported   just now", "records    467, of them 0 withdrawn", "npm        467 advisories"] {
        assert!(text.lines().any(|told| told == line), "{line:?} in {text}");
    }
    let told = panoply(&folder, &["info", "--format", "json"]);
    let about: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(about["sources"][0]["place"], "records.jsonl");
    assert_eq!(about["records"], 467);
}

#[test]
fn what_could_not_be_read_is_told_with_its_line_and_exit_2() {
    let folder = TempDir::new().unwrap();
    let good = RECORDS.lines().next().unwrap();
    fs::write(folder.path().join("records.jsonl"), format!("{good}\n{{\"id\":\u{1b}[2J\n")).unwrap();
    let imported = panoply(&folder, &["import", "records.jsonl"]);
    let text = String::from_utf8(imported.stderr.clone()).unwrap();
    assert_eq!(code(&imported), 2, "{text}");
    assert!(text.contains("records.jsonl:2: no OSV record"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let told = String::from_utf8(panoply(&folder, &["info"]).stdout).unwrap();
    assert!(told.contains("1 could not be read"), "{told}");
}

#[test]
fn without_a_database_there_is_the_mend() {
    let folder = TempDir::new().unwrap();
    let told = panoply(&folder, &["info"]);
    let text = String::from_utf8(told.stderr.clone()).unwrap();
    assert_eq!(code(&told), 2, "{text}");
    assert!(
        text.contains("found no database")
            && text.contains("hint: make one with `panoply advisories update`")
    );
    fs::write(folder.path().join("empty.jsonl"), "").unwrap();
    assert_eq!(code(&panoply(&folder, &["import", "empty.jsonl"])), 2);
    assert!(!folder.path().join("advisories.db").exists());
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let folder = TempDir::new().unwrap();
    let whole = zip();
    let half = whole.len() / 2;
    let file = whole.clone();
    let server = Server::start(move |connection, request, stream| match connection {
        0 => answer(stream, "200 OK", &headers(file.len(), "\"v1\""), &file[..half]),
        _ if request.contains(&format!("range: bytes={half}-\r\n"))
            && request.contains("if-range: \"v1\"\r\n") =>
        {
            let range = format!("content-range: bytes {half}-{}/{}\r\n", file.len() - 1, file.len());
            let headers = range + &headers(file.len() - half, "\"v1\"");
            answer(stream, "206 Partial Content", &headers, &file[half..]);
        }
        _ => answer(stream, "500 Oh No", "content-length: 0\r\n", b""),
    });
    let updated = update(&folder, &server.url());
    assert_eq!(code(&updated), 0, "{updated:?}");
    assert_eq!(server.requests(), 2);
    assert!(panoply(&folder, &["info"]).status.success());
    assert_eq!(left(&folder), ["advisories.db"]);
}

#[test]
fn what_came_in_one_run_is_not_asked_for_in_the_next() {
    let folder = TempDir::new().unwrap();
    let file = zip();
    let half = file.len() / 2;
    let mended = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&mended);
    let server = Server::start(move |connection, request, stream| {
        if now.load(Ordering::SeqCst) && request.contains(&format!("range: bytes={half}-\r\n")) {
            let range = format!("content-range: bytes {half}-{}/{}\r\n", file.len() - 1, file.len());
            let headers = range + &headers(file.len() - half, "\"v1\"");
            answer(stream, "206 Partial Content", &headers, &file[half..]);
        } else if connection == 0 {
            answer(stream, "200 OK", &headers(file.len(), "\"v1\""), &file[..half]);
        }
    });
    let broken = update(&folder, &server.url());
    assert_eq!(code(&broken), 2, "{broken:?}");
    assert!(
        String::from_utf8_lossy(&broken.stderr).contains("hint: run it again: it goes on where it stopped")
    );
    mended.store(true, Ordering::SeqCst);
    let updated = update(&folder, &server.url());
    assert_eq!(code(&updated), 0, "{updated:?}");
}

#[test]
fn a_file_that_changed_meanwhile_comes_anew() {
    let folder = TempDir::new().unwrap();
    let file = zip();
    let server = Server::start(move |connection, _, stream| match connection {
        0 => answer(stream, "200 OK", &headers(999_999, "\"old\""), b"PK of yesterday"),
        _ => answer(stream, "200 OK", &headers(file.len(), "\"new\""), &file),
    });
    let updated = update(&folder, &server.url());
    assert_eq!(code(&updated), 0, "{updated:?}");
}

#[test]
fn whatever_a_server_does_the_old_database_stays() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("records.jsonl"), RECORDS).unwrap();
    assert_eq!(code(&panoply(&folder, &["import", "records.jsonl"])), 0);
    let before = fs::read(folder.path().join("advisories.db")).unwrap();

    type Answer = fn(usize, &str, &mut TcpStream);
    let misdeeds: [(&str, Answer, &str); 11] = [
        ("stalls at once", |_, _, _| thread::sleep(STALL), "took longer than 1 seconds"),
        (
            "stalls in the middle",
            |_, _, stream| {
                answer(stream, "200 OK", &headers(1_000_000, "\"v\""), b"PK");
                thread::sleep(STALL);
            },
            "the next byte took longer than 1 seconds",
        ),
        (
            "says that there is more",
            |_, _, stream| answer(stream, "200 OK", &headers(zip().len() + 10, "\"v\""), &zip()),
            "broke off after",
        ),
        (
            "says that there is less",
            |_, _, stream| answer(stream, "200 OK", &headers(zip().len() - 10, "\"v\""), &zip()),
            "damaged",
        ),
        (
            "serves garbage",
            |_, _, stream| answer(stream, "200 OK", &headers(26, "\"v\""), b"<html>please log in</html>"),
            "damaged",
        ),
        (
            "has nothing there",
            |_, _, stream| answer(stream, "404 Not Found", "content-length: 0\r\n", b""),
            "404",
        ),
        (
            "sends a part unasked",
            |_, _, stream| {
                let headers = "content-range: bytes 5-9/10\r\n".to_owned() + &headers(5, "\"v\"");
                answer(stream, "206 Partial Content", &headers, b"56789");
            },
            "another part than it was asked for",
        ),
        (
            "leads nowhere",
            |_, _, stream| answer(stream, "302 Found", "location: /again\r\ncontent-length: 0\r\n", b""),
            "without end",
        ),
        (
            "leads away from this machine without TLS",
            |_, _, stream| {
                answer(stream, "302 Found", "location: http://a.example/\r\ncontent-length: 0\r\n", b"");
            },
            "expected an https:// address",
        ),
        (
            "speaks something else",
            |_, _, stream| drop(stream.write_all(b"220 mail.example ESMTP\r\n")),
            "broke off",
        ),
        (
            "says it is enormous",
            |_, _, stream| answer(stream, "200 OK", &headers(usize::MAX / 2, "\"v\""), b"PK"),
            "has more than",
        ),
    ];
    for (deed, answer, told) in misdeeds {
        let server = Server::start(answer);
        let started = Instant::now();
        let patience = if deed.starts_with("stalls") { "1" } else { PATIENCE };
        let updated = panoply(&folder, &["update", "--patience", patience, "--url", &server.url()]);
        let text = String::from_utf8_lossy(&updated.stderr);
        assert_eq!(code(&updated), 2, "{deed}: {text}");
        assert!(text.contains(told) && text.contains("hint: "), "{deed}: {text}");
        assert!(started.elapsed() < Duration::from_secs(60), "{deed}: {:?}", started.elapsed());
        assert!(fs::read(folder.path().join("advisories.db")).unwrap() == before, "{deed}");
    }
    assert!(!left(&folder).iter().any(|name| name.ends_with(".zip")), "{:?}", left(&folder));
}

#[test]
fn over_tls_only_whom_the_machine_trusts_is_believed() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    let config = Arc::new(config);
    let file = zip();
    let server = Server::listen(move |_, stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        if read_head(&mut stream).is_some() {
            answer(&mut stream, "200 OK", &headers(file.len(), "\"v\""), &file);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    let url = format!("https://localhost:{}/all.zip", server.port);
    for (trusted, expected) in [(&other, 2), (&made, 0)] {
        let folder = TempDir::new().unwrap();
        let authorities = folder.path().join("authorities.pem");
        fs::write(&authorities, trusted.cert.pem()).unwrap();
        let updated =
            command(&folder, &["update", "--url", &url]).env("SSL_CERT_FILE", &authorities).output().unwrap();
        assert_eq!(code(&updated), expected, "{updated:?}");
        assert_eq!(folder.path().join("advisories.db").exists(), expected == 0);
    }
}

fn update(folder: &TempDir, url: &str) -> Output {
    panoply(folder, &["update", "--patience", PATIENCE, "--url", url])
}

fn panoply(folder: &TempDir, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn command(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panoply"));
    command
        .arg("advisories")
        .args(arguments)
        .current_dir(folder.path())
        .env("PANOPLY_ADVISORIES", folder.path().join("advisories.db"));
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// What lies in the folder, without what the test has put there.
fn left(folder: &TempDir) -> Vec<String> {
    let names = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.ends_with(".jsonl"));
    names.sort();
    names
}

/// A server that does with each connection what it is told.
struct Server {
    port: u16,
    requests: Arc<Mutex<usize>>,
}

impl Server {
    fn start(answer: impl Fn(usize, &str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::listen(move |connection, mut stream| {
            if let Some(request) = read_head(&mut stream) {
                answer(connection, &request, &mut stream);
            }
        })
    }

    fn listen(answer: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(0));
        let count = Arc::clone(&requests);
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = {
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    *count - 1
                };
                let answer = Arc::clone(&answer);
                thread::spawn(move || answer(number, stream));
            }
        });
        Self { port, requests }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/npm/all.zip", self.port)
    }

    fn requests(&self) -> usize {
        *self.requests.lock().unwrap()
    }
}

fn read_head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap().to_lowercase())
}

fn answer(stream: &mut impl Write, status: &str, headers: &str, body: &[u8]) {
    // Who is gone already needs no answer.
    let _ = stream.write_all(format!("HTTP/1.1 {status}\r\n{headers}\r\n").as_bytes());
    let _ = stream.write_all(body);
    let _ = stream.flush();
}

fn headers(length: usize, tag: &str) -> String {
    format!("content-length: {length}\r\netag: {tag}\r\n")
}

/// As osv.dev's, of some records.
fn zip() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut bytes);
    for (place, record) in RECORDS.lines().take(40).enumerate() {
        let (mut entry, config) = archive
            .new_file(format!("NSWG-ECO-{place}.json"))
            .compression_method(rawzip::CompressionMethod::STORE)
            .start()
            .unwrap();
        let mut writer = config.wrap(&mut entry);
        writer.write_all(record.as_bytes()).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    bytes
}

const STALL: Duration = Duration::from_secs(5);
/// In seconds: only who stalls on purpose is given up.
const PATIENCE: &str = "60";
const RECORDS: &str = include_str!("../../../inspect/tests/data/osv_npm.jsonl");
