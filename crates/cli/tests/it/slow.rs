//! slowhttptest in its four modes: it holds nothing, and who asks beside it notices nothing.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::get;
use crate::connections::{cut, serve};
use crate::gateway::PATIENCE;
use crate::process::Process;
use crate::recorder::{OK, Recorder};

const SETTINGS: &str = "[connections]\nhandshake = \"4s\"\nhead = \"4s\"\nidle = \"4s\"\nunread = \"4s\"\n\
                        [shield]\nrate_limit = \"off\"\n[shield.limits]\nidle = \"4s\"\n";

/// As the settings have it.
const IDLE: Duration = Duration::from_secs(4);

/// An answer of a megabyte to whoever asks for it, a small one to others.
fn app() -> Recorder {
    Recorder::with(|stream, _| {
        let mut head = Vec::new();
        let mut piece = [0; 16384];
        while let Ok(read @ 1..) = stream.read(&mut piece) {
            head.extend_from_slice(&piece[..read]);
            if !head.windows(4).any(|end| end == b"\r\n\r\n") {
                continue;
            }
            let large = head.starts_with(b"GET /large");
            head.clear();
            let body = vec![b'x'; if large { 1 << 20 } else { 0 }];
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let answer = if large { [answer.as_bytes(), &body].concat() } else { OK.to_vec() };
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    })
}

#[tokio::test]
async fn slowhttptest_holds_nothing_and_disturbs_nobody() {
    const CONNECTIONS: usize = 200;
    for (name, options, at_once, reason) in [
        ("slow heads", &["-H"][..], 50, Some("head")),
        ("slow bodies", &["-B", "-s", "100000"], 50, None), // it is `limits` that answers 408
        ("many ranges", &["-R", "-a", "1", "-b", "500"], 1, None),
        ("slow readers", &["-X", "-w", "10", "-y", "20", "-z", "5", "-k", "3"], 50, Some("unread")),
    ] {
        let app = app();
        let gateway = serve(app.address(), SETTINGS);
        let client = gateway.client();
        let path = if name == "slow readers" { "large" } else { "" };
        let mut command = Process::command("slowhttptest");
        command
            .args(options)
            .args(["-c", &CONNECTIONS.to_string(), "-r", "200", "-i", "1", "-l", "60"])
            .args(["-u", &format!("https://localhost:{}/{path}", gateway.https().port())])
            .current_dir(gateway.state().path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut attack = command.spawn().expect("slowhttptest is missing: run scripts/test");
        let begun = Instant::now();
        let (mut most, mut last, mut slowest) = (0, 0, Duration::ZERO);
        let mut kept = Vec::new();
        for http_2 in [false, true] {
            kept.push((http_2, client.keep(http_2).await, Instant::now()));
        }
        let seen = Duration::from_secs(9);
        while begun.elapsed() < seen
            || ((most < at_once || last >= CONNECTIONS / 10) && begun.elapsed() < PATIENCE)
        {
            for (http_2, kept, answered) in &mut kept {
                let asked = Instant::now();
                let answer = match client.try_on(kept, get("/")).await {
                    Ok(answer) => answer,
                    // On a busy machine a visitor may rest as long as he may.
                    Err(error) => {
                        assert!(answered.elapsed() >= IDLE, "beside {name}: {error}");
                        *kept = client.keep(*http_2).await;
                        client.ask_on(kept, get("/")).await
                    }
                };
                assert_eq!(answer.status, 200, "beside {name}");
                *answered = Instant::now();
                slowest = slowest.max(asked.elapsed());
            }
            last = open(&gateway);
            most = most.max(last);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        attack.kill().unwrap();
        attack.wait().unwrap();
        assert!(most >= at_once, "{name} had {most} connections at once");
        assert!(app.seen().len() > 2 || reason == Some("head"), "{name} did not reach the app");
        assert!(last < CONNECTIONS / 10, "{name} still holds {last} of {most} connections");
        assert!(slowest < Duration::from_secs(8), "beside {name} a request took {slowest:?}");
        if let Some(reason) = reason {
            assert!(cut(&gateway, reason) > 0, "{name} is counted as {reason}");
        }
    }
}

fn open(gateway: &crate::gateway::Gateway) -> usize {
    let page = crate::admin::ask(gateway.admin(), "GET /metrics", "", "");
    let line = page.lines().find_map(|line| line.strip_prefix("panoply_connections "));
    line.expect("a figure").parse().unwrap()
}

/// The most memory that a process ever had, in KiB.
pub(crate) fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// h2load's word on so many requests: how many did not succeed.
pub(crate) fn h2load(url: &str, requests: u32) -> (u32, String) {
    let output = Command::new("h2load")
        .args(["-n", &requests.to_string(), "-c", "4", "-m", "10", url])
        .output()
        .expect("h2load is missing: run scripts/test");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let succeeded = said
        .split(", ")
        .find_map(|part| part.strip_suffix(" succeeded"))
        .unwrap_or_else(|| panic!("{said}"))
        .parse::<u32>()
        .unwrap();
    (requests - succeeded, said)
}
