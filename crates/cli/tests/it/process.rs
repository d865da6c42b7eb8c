//! Other programs, which end with the test.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::scratch::Scratch;

/// A process that ends with the test, even when the test is killed.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program);
        command
    }

    /// Waits until it listens.
    pub(crate) fn start(command: &mut Command, port: u16) -> Self {
        Self::until(command, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    }

    /// Waits until it is `ready`.
    pub(crate) fn until(command: &mut Command, ready: impl Fn() -> bool) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut process = Self(child.expect("setpriv is part of util-linux, which every Debian has"));
        let deadline = Instant::now() + Duration::from_secs(120);
        while !ready() {
            assert!(process.0.try_wait().unwrap().is_none(), "{command:?} ended: run scripts/test");
            assert!(Instant::now() < deadline, "{command:?} does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        process
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Redis of the test's own, at a socket in a folder: no port can be taken by another.
pub(crate) struct Redis {
    process: Process,
    folder: Scratch,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let folder = Scratch::new();
        let socket = folder.path().join("redis.sock");
        let mut command = Process::command("redis-server");
        command.args(["--port", "0", "--save", ""]).arg("--unixsocket").arg(&socket);
        let process = Process::until(&mut command, || UnixStream::connect(&socket).is_ok());
        Self { process, folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// One command, and what comes back.
    pub(crate) fn ask(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        write!(stream, "{command}\r\nQUIT\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }
}
