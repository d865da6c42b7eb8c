//! What systemd and panoply say to each other: sockets that are given, how the service is, and the watchdog.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::get;
use crate::gateway::{Gateway, PATIENCE, activated};
use crate::port::free_address;
use crate::process::Process;
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;

/// Comes by until somebody listens: `systemd-socket-activate` starts nothing before.
fn knock(address: SocketAddr) {
    thread::spawn(move || {
        while TcpStream::connect(address).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_are_given_have_the_role_of_their_name_or_of_their_address() {
    let app = Recorder::answering(OK);
    let to = format!("http://{}", app.address());
    let [https, http, admin] = [free_address(), free_address(), free_address()];
    let [one, other, third] = [https, http, admin].map(|address| address.to_string());
    for (options, arguments, given) in [
        // What the file says of a role does not matter to one that is named.
        (vec!["-l", &one, "--fdname=https"], vec!["--https", "127.0.0.1:0"], 1),
        (
            vec!["-l", &one, "-l", &other, "-l", &third, "--fdname=https:http:admin"],
            vec!["--https", "127.0.0.1:0"],
            3,
        ),
        (vec!["-l", &one, "-l", &other], vec!["--https", &one, "--http", &other], 2),
        (vec!["-l", &one, "-l", &third, "--fdname=x.socket:admin"], vec!["--https", &one], 2),
    ] {
        knock(https);
        let gateway = Gateway::activated(&options, &[&["serve", "--to", &to][..], &arguments].concat(), &[]);
        let client = gateway.client();
        assert_eq!(gateway.https(), https, "{options:?}");
        assert_eq!(client.get("/").await.status, 200, "{options:?}");
        if options.contains(&other.as_str()) {
            assert_eq!(gateway.http(), http, "{options:?}");
        }
        if options.contains(&third.as_str()) {
            assert_eq!(gateway.admin(), admin, "{options:?}");
        }
        // A reload finds them as they are: to listen there anew would fail.
        gateway.signal("HUP");
        gateway.logged("the configuration was read again");
        assert_eq!(client.ask_http_2(get("/")).await.status, 200, "{options:?}");
        let sockets = [https, http, admin].iter().filter(|it| TcpStream::connect(it).is_ok()).count();
        assert_eq!(sockets, given, "{options:?}");
    }
}

#[test]
fn a_socket_that_fits_nothing_is_named_with_the_mend() {
    let (to, other) = (["--to", "http://127.0.0.1:1"], free_address().to_string());
    for (options, arguments, said) in [
        (vec![], vec!["--https", "127.0.0.1:0"], "descriptor 3 (``) listens on"),
        (vec!["--fdname=shop.socket"], vec![], "descriptor 3 (`shop.socket`) listens on"),
        (vec!["-l", &other, "--fdname=https:https"], vec![], "for https there is one already"),
        (vec!["--datagram", "--fdname=https"], vec![], "it is no TCP socket that listens"),
    ] {
        let (address, state) = (free_address(), Scratch::new());
        let listen = address.to_string();
        let options = [&["-l", &listen][..], &options].concat();
        let arguments = [&["serve"], &to[..], &arguments].concat();
        knock(address);
        let datagram = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let child = activated(&options, &arguments, &[], &state).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut child = child;
        while child.try_wait().unwrap().is_none() {
            datagram.send_to(b"x", address).unwrap();
            assert!(Instant::now() < deadline, "{options:?}");
            thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {stderr}");
        assert!(stderr.contains(said) && stderr.contains("hint: write "), "{options:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_meant_for_panoply_is_not_passed_on_to_the_app() {
    let script = "const fs = require('fs'); require('http').createServer((_, answer) => answer.end(JSON.stringify({ \
                  names: Object.keys(process.env), files: fs.readdirSync('/proc/self/fd').flatMap(file => { \
                  try { return [fs.readlinkSync('/proc/self/fd/' + file)] } catch { return [] } }) \
                  }))).listen(process.env.PORT)";
    let (https, folder) = (free_address(), Scratch::new());
    let listens = folder.path().join("notify");
    let _systemd = UnixDatagram::bind(&listens).unwrap();
    let listen = https.to_string();
    knock(https);
    let environment = [("NOTIFY_SOCKET", listens.to_str().unwrap()), ("WATCHDOG_USEC", "10000000")];
    let path = std::env::var("PATH").unwrap();
    let environment = [&environment[..], &[("PATH", &*path)]].concat();
    let gateway = Gateway::activated(
        &["-l", &listen, "--fdname=https"],
        &["run", "--", "node", "-e", script],
        &environment,
    );
    let seen = gateway.client().get("/").await;
    let seen: Value = serde_json::from_slice(&seen.body).unwrap();
    let texts = |key: &str| -> Vec<String> {
        seen[key].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let names = texts("names");
    assert!(names.contains(&"PORT".to_owned()), "{names:?}");
    for prefix in ["LISTEN_", "NOTIFY_", "WATCHDOG_"] {
        assert!(!names.iter().any(|name| name.starts_with(prefix)), "{names:?}");
    }
    // Its folder of descriptors is for root alone to read; who listens where is not (proc_net_tcp(5)).
    let listening = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", https.port());
    let ours: Vec<_> = listening
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|words| words[1].ends_with(&port) && words[3] == "0A")
        .map(|words| format!("socket:[{}]", words[9]))
        .collect();
    let theirs = texts("files");
    assert!(!ours.is_empty() && !theirs.iter().any(|file| ours.contains(file)), "{theirs:?} {ours:?}");
}

/// The socket on which systemd would hear.
struct Systemd {
    socket: UnixDatagram,
    folder: Scratch,
}

impl Systemd {
    fn new() -> Self {
        let folder = Scratch::new();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    fn name(&self) -> String {
        self.folder.path().join("notify").display().to_string()
    }

    fn next(&self) -> String {
        let mut words = [0; 1024];
        let read = self.socket.recv(&mut words).expect("a word in time");
        String::from_utf8_lossy(&words[..read]).into_owned()
    }

    /// The next that is not of the watchdog.
    fn hears(&self) -> String {
        loop {
            let words = self.next();
            if words != "WATCHDOG=1" {
                return words;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_of_readiness_of_reloads_and_of_the_end() {
    let slow = Recorder::with(|stream, record| {
        use std::io::{Read, Write};
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut chunk) {
            record.add(&chunk[..read]);
            thread::sleep(Duration::from_secs(2));
            let _ = stream.write_all(OK);
        }
    });
    let (systemd, folder) = (Systemd::new(), Scratch::new());
    let file = folder.path().join("panoply.toml");
    let right = format!("[[site]]\nupstream = 'http://{}'\n", slow.address());
    fs::write(&file, &right).unwrap();
    let mut gateway = Gateway::start(
        &["serve", "--https", "127.0.0.1:0", "--config", file.to_str().unwrap()],
        &[("NOTIFY_SOCKET", &systemd.name())],
    );
    let serving = format!("READY=1\nSTATUS=serving https on {}", gateway.https());
    assert_eq!(systemd.hears(), serving);
    gateway.signal("HUP");
    let words = systemd.hears();
    let time = words.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("Type=notify-reload wants both");
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let age = uptime - time.parse::<f64>().unwrap() / 1e6;
    assert!((-1.0..20.0).contains(&age), "{words}");
    assert_eq!(systemd.hears(), serving);
    fs::write(&file, "shield.csfr = 'on'").unwrap();
    gateway.signal("HUP");
    assert!(systemd.hears().starts_with("RELOADING=1\n"));
    let refused = systemd.hears();
    assert!(refused.starts_with("READY=1\nSTATUS=the new configuration is refused"), "{refused}");

    let client = gateway.client();
    let request = tokio::spawn(async move { client.get("/").await });
    slow.heads(1);
    gateway.signal("TERM");
    loop {
        let words = systemd.hears();
        if words.starts_with("STOPPING=1\nSTATUS=") {
            break;
        }
        // A file that was written in place may be noticed once more.
        assert!(words.starts_with("RELOADING=1") || words.starts_with("READY=1"), "{words}");
    }
    assert_eq!(systemd.hears(), "EXTEND_TIMEOUT_USEC=15000000");
    assert_eq!(request.await.unwrap().status, 200);
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn a_thread_that_is_stuck_makes_the_watchdog_bark() {
    let app = Recorder::answering(OK);
    let systemd = Systemd::new();
    let to = format!("http://{}", app.address());
    let environment = [("NOTIFY_SOCKET", &*systemd.name()), ("WATCHDOG_USEC", "2000000")];
    let gateway = Gateway::start(&["serve", "--https", "127.0.0.1:0", "--to", &to], &environment);
    let alive = |within: Duration| {
        let deadline = Instant::now() + within;
        systemd.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut words = [0; 1024];
        loop {
            if systemd.socket.recv(&mut words).is_ok_and(|read| &words[..read] == b"WATCHDOG=1") {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
        }
    };
    for _ in 0..3 {
        assert!(alive(PATIENCE), "it is told in time:\n{}", gateway.log());
    }
    let thread = Halted::thread(&gateway, "panoply-0");
    // What was answered before is told once more; and who is halted may have been said to be stuck a moment before.
    let is_stuck = || gateway.log().matches(STUCK).count();
    let (before, deadline) = (is_stuck(), Instant::now() + PATIENCE);
    while is_stuck() < before + 2 {
        assert!(Instant::now() < deadline, "{}", gateway.log());
        alive(Duration::from_millis(200));
    }
    while alive(Duration::ZERO) {}
    assert!(
        !alive(Duration::from_secs(4)),
        "a thread does not answer, and the watchdog is told that all is well"
    );
    drop(thread);
    assert!(alive(PATIENCE), "the thread goes on:\n{}", gateway.log());
}

const STUCK: &str = "stuck: the watchdog is not told that all is well threads=\"panoply-0\"";

/// One thread of a process that stands still, while the others go on: the kernel halts it for a debugger.
struct Halted(Child);

impl Halted {
    fn thread(gateway: &Gateway, name: &str) -> Self {
        use std::io::{BufRead, BufReader};
        let mut tasks = fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap().map(Result::unwrap);
        let named =
            |task: &fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap().trim() == name;
        let task = tasks.find(named).unwrap().file_name().into_string().unwrap();
        let mut command = Process::command("python3");
        command.args(["-c", HALT, &task]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child: Child = Command::spawn(&mut command).unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "halted\n", "ptrace(2) has to be allowed for root or for one's own processes");
        Self(child)
    }
}

impl Drop for Halted {
    fn drop(&mut self) {
        let _ = self.0.kill(); // who debugs lets go when he ends
        let _ = self.0.wait();
    }
}

const HALT: &str = "
import ctypes, os, sys
libc, thread = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
SEIZE, INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
for request in (SEIZE, INTERRUPT):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(thread, WALL)
print('halted', flush=True)
sys.stdin.read()
";
