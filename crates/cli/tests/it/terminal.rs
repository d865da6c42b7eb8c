//! A terminal that goes away ends what was started in it, but for who was started to stay: for him SIGHUP is a reload.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::gateway::PATIENCE;
use crate::scratch::Scratch;

/// A shell in a terminal of its own, with a gateway in the background.
struct Session {
    terminal: Child,
    folder: Scratch,
}

impl Session {
    /// `jobs`: what the shell is told before.
    fn start(jobs: &str) -> Self {
        let folder = Scratch::new();
        let place = folder.path().display().to_string();
        fs::write(folder.path().join("panoply.toml"), "[[site]]\nupstream = 'http://127.0.0.1:1'\n").unwrap();
        let panoply = env!("CARGO_BIN_EXE_panoply");
        let shell = format!(
            "{jobs} {panoply} serve --config {place}/panoply.toml --https 127.0.0.1:0 2>{place}/log & \
             echo $! >{place}/pid; read line"
        );
        // Who runs the tests may have been started with `nohup`, and what is ignored is so in children, too.
        let terminal = Command::new("env")
            .args(["--default-signal=HUP", "script", "--quiet", "--command", &shell, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("STATE_DIRECTORY", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("script is a program of Debian's bsdutils");
        let session = Self { terminal, folder };
        session.logged("headers");
        session.wait("its number", || session.read("pid").ends_with('\n'));
        session
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }

    fn logged(&self, text: &str) {
        self.wait(text, || self.read("log").contains(text));
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}:\n{}", self.read("log"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, name: &str) -> bool {
        let pid = self.read("pid");
        Command::new("kill").args(["-s", name, pid.trim()]).stderr(Stdio::null()).status().unwrap().success()
    }

    /// As a window that is closed.
    fn hang_up(&mut self) {
        self.terminal.kill().unwrap();
        self.terminal.wait().unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ = self.terminal.kill();
        let _ = self.terminal.wait();
    }
}

#[test]
fn who_belongs_to_a_terminal_reads_again_while_it_is_there_and_ends_with_it() {
    let mut session = Session::start("");
    session.signal("HUP");
    session.logged("the configuration was read again");
    session.hang_up();
    session.wait("it ends with its terminal", || !session.signal("0"));
    assert!(session.read("log").contains("told to end"), "{}", session.read("log"));
}

/// With jobs of its own a shell keeps those in the background out of the terminal's group, as `disown` does.
#[test]
fn who_outlives_his_terminal_reads_again_when_he_is_told_to() {
    let mut session = Session::start("set -m;");
    session.hang_up();
    session.logged("the terminal is gone, and this goes on without");
    session.signal("HUP");
    session.logged("the configuration was read again");
    assert!(session.signal("0"));
}
