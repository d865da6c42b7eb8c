//! A configuration is tried on yesterday's traffic: logs that nginx has written, and the gateway's own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

use crate::access_log::Place;
use crate::client::get;
use crate::gateway::{Gateway, PATIENCE, panoply};
use crate::port::free_port;
use crate::process::Process;
use crate::recorder::{OK, Recorder};

/// `panoply replay`, and its report as JSON.
fn replay(arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, report, error) = panoply(&[&["replay", "--format", "json"], arguments].concat());
    (code, serde_json::from_str(&report).unwrap_or_else(|_| panic!("{report}{error}")))
}

/// Of one rule: refused, observed, answered then, clients.
fn rule(report: &Value, practice: &str, name: &str) -> [u64; 4] {
    let rules = report["rules"].as_array().unwrap();
    let is_it = |rule: &&Value| rule["practice"] == practice && rule["rule"].as_str().unwrap_or("") == name;
    let Some(rule) = rules.iter().find(is_it) else { return [0; 4] };
    let number = |value: &Value| value.as_u64().unwrap();
    [&rule["refused"], &rule["observed"], &rule["answered"], &rule["clients"]["count"]].map(number)
}

/// Lines as nginx writes them: so many from a client, one a second.
fn combined(client: &str, path: &str, status: u16, count: usize) -> String {
    let line = |second| {
        format!(
            "{client} - - [31/Dec/2026:00:{:02}:{:02} +0000] \"GET {path} HTTP/1.1\" {status} 5 \"-\" \"curl/8\"\n",
            second / 60,
            second % 60
        )
    };
    (0..count).map(line).collect()
}

#[tokio::test]
async fn what_a_real_nginx_has_written_is_read() {
    let place = Place::new();
    let (process, port) = nginx(
        &place,
        "[::]:PORT ipv6only=off",
        "location / { return 200 ok; } location /not { return 404; }",
    );
    let send = |host: &str, bytes: &[u8]| {
        let mut stream = TcpStream::connect((host, port)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    };
    let ask = |host: &str, path: &str| {
        send(
            host,
            format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n").as_bytes(),
        );
    };
    for number in 0..20 {
        ask("127.0.0.1", &format!("/page/{number}?q=\\ü"));
        ask("::1", "/not");
    }
    for _ in 0..3 {
        ask("127.0.0.1", "/page?q=\"a\""); // which is no address (RFC 3986), and nginx does not mind
    }
    send("127.0.0.1", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"); // TLS, at a port in the clear
    send("127.0.0.1", b"");
    send("127.0.0.1", b"NONSENSE\r\n\r\n");
    // A name with all that a log is made of.
    send(
        "127.0.0.1",
        b"GET /auth HTTP/1.1\r\nhost: a\r\nuser-agent: \"\\ \xff\r\nconnection: close\r\n\
          authorization: Basic eCBbMjA5OV0gIkdFVCAvZm9yZ2VkIEhUVFAvMS4xIiAyMDA6eA==\r\n\r\n",
    );
    send(
        "127.0.0.1",
        b"GET http://elsewhere.example/ HTTP/1.1\r\nhost: elsewhere.example\r\nconnection: close\r\n\r\n",
    );
    let text = written(&place, 47);
    drop(process);
    assert!(text.contains("\\x16\\x03") && text.contains("x [2099] \\x22GET /forged"), "{text}");

    let config = place.write(
        "new.toml",
        "shield.rate_limit = '15/day'\n[[site]]\nhosts = ['shop.example']\nupstream = 'http://127.0.0.1:1'",
    );
    let (code, report) = replay(&[place.log.to_str().unwrap(), "--config", &config]);
    assert_eq!(code, Some(1), "{report:#}\n{text}");
    // 127.0.0.1 asked 21 times and was answered, ::1 20 times for what is not there.
    assert_eq!(rule(&report, "rate_limit", "default"), [6 + 5, 0, 6, 2], "{report:#}\n{text}");
    assert_eq!(rule(&report, "hosts", ""), [1, 0, 1, 1], "{report:#}");
    assert_eq!(rule(&report, "http", ""), [3, 0, 3, 1], "{report:#}");
    assert_eq!(report["unreadable"], 0, "{report:#}\n{text}");
    assert_eq!(report["judged"].as_u64().unwrap() + report["no_request"].as_u64().unwrap(), report["lines"]);
    assert_eq!(report["judged"], 45, "{report:#}\n{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_the_gateway_has_refused_is_refused_again_to_the_request() {
    // A line has the time when its request came, and the limit that of a moment later: nobody asks at the very moment when
    // there is one request more, twelve seconds after his first.
    const LIMITS: &str = "shield.rate_limit = { rate = '5/min, burst 40', \
         limits = { search = { rate = '30/h', path = '/search', cost = 10 } } }";
    let place = Place::new();
    let app = Recorder::answering(OK);
    let config = place.config(LIMITS);
    let gateway = Gateway::serve(app.address(), &["--host", "localhost", "--config", &config]);
    let client = gateway.client();
    let attackers = (1..=6).map(|number: u8| {
        let client = client.from([127, 1, 0, number]);
        tokio::spawn(async move {
            let mut kept = client.keep(number.is_multiple_of(2)).await;
            let mut refused = 0;
            for count in 0..60_usize * usize::from(number) {
                let request = match count % 10 {
                    0 => get("/search?q=a&token=b"),
                    1 => get(&format!("/long?{}", "x".repeat(9_000))), // 414, which charges nothing
                    _ => get("/"),
                };
                refused += usize::from(client.ask_on(&mut kept, request).await.status == 429);
                if count == 100 {
                    tokio::time::sleep(Duration::from_secs(13)).await;
                }
            }
            refused
        })
    });
    let mut refused = 0;
    for attacker in attackers.collect::<Vec<_>>() {
        refused += attacker.await.unwrap();
    }
    let asked = 60 * (1 + 2 + 3 + 4 + 5 + 6);
    let lines = place.lines(asked);
    let logged = |rule: &str| lines.iter().filter(|line| line["rule"] == rule).count() as u64;
    assert_eq!(lines.iter().filter(|line| line["status"] == 429).count(), refused);

    let again = place.write("again.toml", &format!("{LIMITS}\n[[site]]\nhosts = ['localhost']"));
    let (code, report) = replay(&[place.log.to_str().unwrap(), "--config", &again]);
    assert_eq!((code, &report["judged"]), (Some(1), &asked.into()), "{report:#}");
    for name in ["default", "search"] {
        let [refused, ..] = rule(&report, "rate_limit", name);
        assert!(refused > 0, "{name} was not tried: {report:#}");
        assert_eq!(refused, logged(name), "{name}: {report:#}");
    }
    let too_long = lines.iter().filter(|line| line["status"] == 414).count() as u64;
    assert_eq!(rule(&report, "limits", "")[0], too_long, "{report:#}");

    let looser = place.write("looser.toml", "shield.limits.uri = '16 KiB'");
    let (code, report) = replay(&[place.log.to_str().unwrap(), "--config", &looser]);
    assert_eq!(
        (code, &report["refused"], &report["judged"]),
        (Some(0), &0.into(), &asked.into()),
        "{report:#}"
    );
}

#[test]
fn what_is_wrong_with_a_log_is_shown_by_line_and_stops_nothing() {
    let place = Place::new();
    let broken = [
        combined("192.0.2.1", "/", 200, 3),
        "what is this\n\n".to_owned(),
        "x".repeat(1 << 20),
        "\n{\"time\":\"2026-12-31T00:00:00Z\"}\n".to_owned(),
        combined("2001:db8::1", "/", 404, 3),
        combined("192.0.2.1", "/", 400, 1).replace("GET / HTTP/1.1", "\\x16\\x03\\x01"),
        combined("192.0.2.1", "/", 200, 1).replace("00:00:00", "05:00:00"),
        combined("192.0.2.1", "/", 200, 1).replace("200 5", ""), // and no line's end behind the last
    ];
    let log = place.write("broken.log", broken.concat().trim_end());
    let config = place.write("panoply.toml", "shield.rate_limit = '2/h'");
    let (code, report) = replay(&[&log, "--config", &config]);
    assert_eq!(code, Some(1), "{report:#}");
    for (name, count) in
        [("lines", 13), ("judged", 7), ("no_request", 1), ("unreadable", 4), ("late", 0), ("refused", 2)]
    {
        assert_eq!(report[name], count, "{name}: {report:#}");
    }
    let complaints: Vec<_> = report["complaints"].as_array().unwrap().iter().collect();
    let lines: Vec<_> = complaints.iter().map(|complaint| complaint["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [4, 6, 7, 13], "{report:#}");
    assert!(complaints.iter().all(|complaint| complaint["log"] == *log), "{report:#}");
    assert_eq!(rule(&report, "rate_limit", "default"), [2, 0, 1, 2], "{report:#}");

    let (code, text, error) = panoply(&["replay", &log, "--config", &config]);
    assert_eq!((code, &*error), (Some(1), ""));
    for part in [
        "13 lines of 1 log",
        "rate_limit  default",
        "2001:db8::/64",
        "broken.log:6: it is longer than",
        "brute_force",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn older_logs_come_first_and_slow_requests_are_put_in_their_place() {
    let place = Place::new();
    let older = place.write("access.log.1", &combined("192.0.2.1", "/", 200, 30));
    let newer = place.write("access.log", &combined("192.0.2.1", "/", 200, 30).replace("2026:00", "2026:01"));
    let config = place.write("panoply.toml", "shield.rate_limit = '1/s, burst 5'");
    let (code, report) = replay(&[&older, &newer, "--config", &config]);
    assert_eq!((code, &report["judged"], &report["late"]), (Some(0), &60.into(), &0.into()), "{report:#}");

    // Few lines are put in order, whatever it was; only a log's worth of them is too much to remember.
    let (code, report) = replay(&[&newer, &older, "--config", &config]);
    assert_eq!((code, &report["judged"]), (Some(0), &60.into()), "{report:#}");
    let day = |day: usize| {
        combined("192.0.2.1", "/", 200, 3_000).repeat(12).replace("31/Dec", &format!("{day}/Dec"))
    };
    let (today, yesterday) = (place.write("today", &day(31)), place.write("yesterday", &day(30)));
    let (_, report) = replay(&[&today, &yesterday, "--config", &config]);
    assert!(report["late"].as_u64().unwrap() > 3_000, "{report:#}");
    assert!(report["notes"].to_string().contains("name the older log before the newer"), "{report:#}");

    let begun = |second: u32, seconds: u32| {
        format!(
            "{{\"time\":\"2026-12-31T00:00:{second:02}Z\",\"client\":\"192.0.2.1\",\"method\":\"GET\",\"host\":\"a\",\
             \"path\":\"/\",\"protocol\":\"HTTP/1.1\",\"tls\":true,\"status\":200,\"seconds\":{seconds}}}\n"
        )
    };
    // Five at once at the beginning, each of which took long: at the end they would be one too many.
    let slow = (6..40).map(|second| begun(second, 0)).chain((0..5).map(|_| begun(0, 40)));
    let log = place.write("slow.log", &slow.collect::<String>());
    let (code, report) = replay(&[&log, "--config", &config]);
    assert_eq!((code, &report["refused"], &report["judged"]), (Some(0), &0.into(), &39.into()), "{report:#}");
}

#[test]
fn each_site_and_what_only_observes_is_counted_by_itself() {
    let place = Place::new();
    let config = place.write(
        "panoply.toml",
        "[[site]]\nhosts = ['a.example']\nshield.rate_limit = { mode = 'observe', rate = '3/h' }\n\
         [[site]]\nhosts = ['b.example']\nshield.rate_limit = { rate = '5/h', limits = { key = { rate = '1/h', by = 'header:x-api-key' } } }\n\
         [[site.rule]]\npath = '/api/*'\nshield.rate_limit = { rate = '1/h', deny = ['198.51.100.0/24'] }",
    );
    let line = |host: &str, client: &str, path: &str, number: usize| {
        format!(
            "{{\"time\":\"2026-12-31T00:00:{number:02}Z\",\"client\":\"{client}\",\"method\":\"POST\",\"host\":\"{host}\",\
             \"path\":\"{path}\",\"protocol\":\"HTTP/2\",\"tls\":true,\"status\":403}}\n"
        )
    };
    let mut log = String::new();
    for number in 0..10 {
        log += &line("a.example", "192.0.2.1", "/", number);
        log += &line("b.example", "192.0.2.1", "/", number);
        log += &line("b.example", "198.51.100.7", "/API/x", number);
        log += &line("c.example", "203.0.113.1", "/", number);
    }
    let log = place.write("access.log", &log);
    let (code, report) = replay(&[&log, "--config", &config]);
    assert_eq!(code, Some(1));
    assert_eq!(rule(&report, "rate_limit", "default"), [5, 7, 0, 1], "{report:#}");
    assert_eq!(rule(&report, "rate_limit", "deny"), [10, 0, 0, 1], "{report:#}");
    assert_eq!(rule(&report, "hosts", ""), [10, 0, 0, 1], "{report:#}");
    let sites: Vec<_> = report["sites"].as_array().unwrap().iter().collect();
    for (site, name, judged, refused, observed) in
        [(sites[0], "a.example", 20, 10, 7), (sites[1], "b.example", 20, 15, 0)]
    {
        assert_eq!((&site["site"], &site["judged"]), (&name.into(), &judged.into()), "{report:#}");
        assert_eq!((&site["refused"], &site["observed"]), (&refused.into(), &observed.into()), "{report:#}");
    }
    let not_judged = report["not_judged"].to_string();
    for what in ["rate_limit key", "csrf", "brute_force"] {
        assert!(not_judged.contains(&format!("\"{what}\"")), "{what}: {not_judged}");
    }
    assert!(!not_judged.contains("\"hosts\""), "{not_judged}");

    // What only observes refuses nothing.
    let observing = place.write("observing.toml", "shield.rate_limit = { mode = 'observe', rate = '3/h' }");
    let (code, report) = replay(&[&log, "--config", &observing]);
    assert_eq!(
        (code, &report["refused"], &report["observed"]),
        (Some(0), &0.into(), &31.into()),
        "{report:#}"
    );
}

#[test]
fn what_cannot_be_told_is_a_two() {
    let place = Place::new();
    let garbage = place.write("garbage.log", "what is this\nand this\n");
    let empty = place.write("empty.log", "");
    let good = place.write("good.log", &combined("192.0.2.1", "/", 200, 3));
    let wrong = place.write("wrong.toml", "[shield]\ncsfr = 'on'");
    let right = place.write("right.toml", "");
    let gzip = place.path("gzip.log");
    fs::write(&gzip, b"\x1f\x8b\x08\x00").unwrap();
    for (arguments, says) in [
        (&["/no/such/log", "--config", &right][..], "cannot read `/no/such/log`"),
        (&[&good, "/no/such/log", "--config", &right], "cannot read `/no/such/log`"),
        (&["/tmp", "--config", &right], "cannot read `/tmp`"),
        (&[&garbage, "--config", &right], "there is no request"),
        (&[&empty, "--config", &right], "there is no request"),
        (&[gzip.to_str().unwrap(), "--config", &right], "zcat"),
        (&[&good, "--config", &wrong], "did you mean `csrf`"),
        (&[&good, "--config", &right, "--host", "https://a.example"], "--host"),
    ] {
        let (code, _, error) = panoply(&[&["replay"], arguments].concat());
        assert_eq!(code, Some(2), "{arguments:?}: {error}");
        assert!(error.contains(says) && error.contains("hint: "), "{arguments:?}: {error}");
        assert_eq!(error.matches("error: ").count(), 1, "{arguments:?}: {error}");
    }
    assert_eq!(panoply(&["replay", &good, "--config", &right]).0, Some(0));
    assert_eq!(panoply(&["replay"]).0, Some(2));
}

#[test]
fn a_log_comes_through_a_pipe_and_memory_stays_where_it_is() {
    let place = Place::new();
    let config = place.write("panoply.toml", "shield.limits.uri = '32 KiB'\nshield.limits.head = '64 KiB'");
    let mut child = Command::new(env!("CARGO_BIN_EXE_panoply"))
        .args(["replay", "-", "--format", "json", "--config", &config])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let mut log = child.stdin.take().unwrap();
    let mut at_most = 0;
    for round in 0..40_u32 {
        let mut lines = String::new();
        for number in 0..5_000_u32 {
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + (round * 5_000 + number) % 150_000);
            let path = if number % 500 == 0 { "x".repeat(20_000) } else { number.to_string() };
            let line = combined(&ip.to_string(), &format!("/{path}"), 200, 1);
            lines += &line.replace(":00:00:00 ", &format!(":00:00:{round:02} "));
        }
        log.write_all(lines.as_bytes()).unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
        at_most = kib.max(at_most);
    }
    drop(log);
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["judged"]), (Some(0), &200_000.into()), "{report:#}");
    let clients = report["clients"]["count"].as_u64().unwrap();
    assert!((135_000..165_000).contains(&clients) && report["clients"]["exact"] == false, "{clients}");
    assert!(at_most < 100 * 1024, "{at_most} KiB");
}

/// nginx takes HTTP/2 in the clear from who knows it: the log then says `HTTP/2.0`.
#[tokio::test]
async fn http_2_in_nginxs_log_is_http_2() {
    let place = Place::new();
    let (process, port) = nginx(&place, "127.0.0.1:PORT http2", "location / { return 200 ok; }");
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..5 {
        let request = Request::get("http://shop.example/a").body(Full::<Bytes>::default()).unwrap();
        sender.ready().await.unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    }
    let text = written(&place, 5);
    drop((sender, process));
    assert!(text.contains("\"GET /a HTTP/2.0\" 200"), "{text}");
    let config = place.write("new.toml", "shield.rate_limit = '2/h'");
    let (code, report) = replay(&[place.log.to_str().unwrap(), "--config", &config]);
    assert_eq!((code, rule(&report, "rate_limit", "default")), (Some(1), [3, 0, 3, 1]), "{report:#}");
}

/// An nginx with a log in its own combined format, and its port.
fn nginx(place: &Place, listen: &str, locations: &str) -> (Process, u16) {
    let port = free_port();
    let (folder, log, listen) =
        (place.path(""), place.log.display(), listen.replace("PORT", &port.to_string()));
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|of| format!("{of}_temp_path {}{of};\n", folder.display()))
        .concat();
    let config = place.write(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; pid {0}pid; error_log {0}error.log;\nevents {{ }}\n\
             http {{ access_log {log} combined; {temporary} server {{ listen {listen}; {locations} }} }}",
            folder.display(),
        ),
    );
    let mut command = Process::command("/usr/sbin/nginx");
    command.args(["-c", &config, "-p", folder.to_str().unwrap(), "-e", "error.log"]);
    (Process::start(&mut command, port), port)
}

/// The log, when it has so many lines: nginx writes one after it has answered.
fn written(place: &Place, count: usize) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = String::from_utf8_lossy(&fs::read(&place.log).unwrap_or_default()).into_owned();
        if text.lines().count() >= count {
            return text;
        }
        assert!(Instant::now() < deadline, "{count} lines were expected:\n{text}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
