use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::store::server::free_port;

/// A Node app from `tests/node`, on a port of its own until it is dropped.
pub(super) struct App {
    child: Child,
    port: u16,
}

impl App {
    /// Starts `script` with `env`, and waits until it takes connections.
    pub(super) fn start(script: &str, env: &[(&str, &str)]) -> Self {
        // Another program may take the port between its being found and Node's listening on it.
        for _ in 0..3 {
            let port = free_port();
            let child = node()
                .arg(script)
                .envs(env.iter().copied())
                .env("PORT", port.to_string())
                .stdin(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("node did not start: {error}\n{INSTALL}"));
            let mut app = Self { child, port };
            if app.listens() {
                return app;
            }
        }
        panic!("{script} did not listen; its own words are above")
    }

    /// The head of the answer to `GET path`: names in lower case, values as sent.
    pub(super) fn get(&self, path: &str) -> Vec<(String, String)> {
        let answer = self.ask("GET", path, "");
        let answer = String::from_utf8_lossy(&answer);
        let (head, _) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("HTTP/1.1 200 OK"), "{answer}");
        lines
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a header has a name");
                (name.to_ascii_lowercase(), value.strip_prefix(' ').unwrap_or(value).to_owned())
            })
            .collect()
    }

    /// The answer to one request, as it came over the wire; `form` is the body of a POST.
    pub(super) fn ask(&self, method: &str, path: &str, form: &str) -> Vec<u8> {
        let mut socket = self.connect().expect("it listened a moment ago");
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(socket, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").unwrap();
        if !form.is_empty() {
            let length = form.len();
            write!(socket, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n")
                .unwrap();
        }
        write!(socket, "\r\n{form}").unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        answer
    }

    /// What a browser gets for a POST of JSON: the lines of `Set-Cookie`, and the body.
    pub(super) async fn post(&self, path: &str, cookie: &str, json: &str) -> (Vec<String>, String) {
        let mut socket = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.unwrap();
        let length = json.len();
        let request = format!(
            "POST {path} HTTP/1.0\r\nHost: localhost\r\nCookie: {cookie}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{json}"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{answer}");
        let lines = head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: "));
        (lines.map(ToOwned::to_owned).collect(), body.to_owned())
    }

    fn listens(&mut self) -> bool {
        for _ in 0..1_500 {
            if self.connect().is_ok() {
                return true;
            }
            if self.child.try_wait().is_ok_and(|exit| exit.is_some()) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `script` prints, run in `tests/node` with `arguments`.
pub(super) fn evaluate(script: &str, arguments: &[&str]) -> String {
    let output = node()
        .args(["-e", script, "--"])
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("node did not start: {error}\n{INSTALL}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("node prints UTF-8")
}

/// What the function `answer`, which `script` sets, says of each row: one process for all of them.
pub(super) fn table(script: &str, rows: impl Iterator<Item = Value>) -> Vec<(Value, Value)> {
    let rows: Vec<Value> = rows.collect();
    let asked: Vec<String> = rows.iter().map(Value::to_string).collect();
    let script = format!(
        "let answer; {script}; for (const row of process.argv.slice(1)) console.log(JSON.stringify(answer(JSON.parse(row))));"
    );
    let said = evaluate(&script, &asked.iter().map(String::as_str).collect::<Vec<_>>());
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    assert_eq!(said.len(), rows.len(), "an answer for each row");
    rows.into_iter().zip(said).collect()
}

/// What `script` says to each row, one line of JSON for a line of JSON: one process for all of them.
pub(super) fn told(script: &str, rows: impl Iterator<Item = Value>) -> Vec<Value> {
    let rows: Vec<String> = rows.map(|row| format!("{row}\n")).collect();
    let mut child = node()
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("node did not start: {error}\n{INSTALL}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let asked = rows.concat();
    // Beside reading: neither waits for the other when the pipes are full.
    let asking = std::thread::spawn(move || stdin.write_all(asked.as_bytes()));
    let output = child.wait_with_output().expect("it was started");
    asking.join().expect("writing does not panic").expect("node reads all of it");
    assert!(output.status.success(), "{script} failed; its own words are above");
    let said = String::from_utf8(output.stdout).expect("node prints UTF-8");
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    assert_eq!(said.len(), rows.len(), "an answer for each row");
    said
}

fn node() -> Command {
    let folder = folder();
    assert!(folder.join("node_modules").is_dir(), "tests/node/node_modules is missing\n{INSTALL}");
    let mut node = Command::new("node");
    node.current_dir(folder);
    node
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/node")
}

const INSTALL: &str = "hint: run `scripts/test`, which installs what the tests need";
