//! `panoply` as a process: started on free ports, its log read along, ended with the test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::scratch::Scratch;

pub(crate) struct Gateway {
    child: Child,
    https: SocketAddr,
    http: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    state: Arc<Scratch>,
    log: Arc<Mutex<String>>,
}

impl Gateway {
    /// `panoply serve --to http://APP`, and more arguments.
    pub(crate) fn serve(app: SocketAddr, more: &[&str]) -> Self {
        let to = format!("http://{app}");
        Self::start(&[&["serve", "--to", &to, "--https", "127.0.0.1:0"], more].concat(), &[])
    }

    /// `panoply run [options] -- COMMAND`, in the folder of the Node apps.
    pub(crate) fn run(options: &[&str], command: &[&str]) -> Self {
        Self::start(&[&["run", "--https", "127.0.0.1:0"], options, &["--"], command].concat(), &[])
    }

    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_in(&Scratch::new().into(), arguments, environment)
    }

    /// The same in the place of one that works in `state`, on addresses of its own choice.
    pub(crate) fn start_in(state: &Arc<Scratch>, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(arguments, state);
        Self::of(command.envs(environment.iter().copied()), Arc::clone(state))
    }

    /// On sockets that `systemd-socket-activate` opens, which waits for somebody to come by the first.
    pub(crate) fn activated(options: &[&str], arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let state = Scratch::new();
        let mut command = activated(options, arguments, environment, &state);
        Self::of(&mut command, state.into())
    }

    /// However it is started.
    pub(crate) fn of(command: &mut Command, state: Arc<Scratch>) -> Self {
        let (child, log, lines) = spawn(command);
        let https = SocketAddr::from(([0; 4], 0));
        let mut gateway = Self { child, https, http: None, admin: None, state, log };
        let deadline = Instant::now() + START;
        loop {
            let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                panic!("{command:?} did not start:\n{}", gateway.log());
            };
            let mut words = line.split([' ', ',']).filter(|word| !word.is_empty());
            match (words.next(), words.next().and_then(|word| word.parse().ok())) {
                (Some("https"), Some(address)) => gateway.https = address,
                (Some("http"), Some(address)) => gateway.http = Some(address),
                (Some("admin"), Some(address)) => gateway.admin = Some(address),
                (Some("headers"), _) => return gateway, // the last line of what is protected
                _ => {}
            }
        }
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.https
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http.expect("started with --http")
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.expect("started with --admin")
    }

    /// Runs `panoply` for this gateway's operator: exit code, stdout, stderr.
    pub(crate) fn operate(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        panoply(&[arguments, &["--admin", &self.admin().to_string()]].concat())
    }

    /// A client that trusts this gateway's self-made certificate and nothing else.
    pub(crate) fn client(&self) -> Client {
        Client::trusting(&self.state.path().join("self-made.crt"), self.https)
    }

    pub(crate) fn state(&self) -> &Arc<Scratch> {
        &self.state
    }

    /// What it wrote to stderr so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log has `text`.
    pub(crate) fn logged(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "`{text}` is not in the log:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "panoply did not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            // Asked to end, so that it ends its app too; a signal twice means at once.
            for _ in 0..2 {
                let _ = Command::new("kill").arg(self.pid().to_string()).status();
                thread::sleep(Duration::from_millis(50));
            }
            let deadline = Instant::now() + Duration::from_secs(12);
            while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs `panoply` to its end: exit code, stdout, stderr.
pub(crate) fn panoply(arguments: &[&str]) -> (Option<i32>, String, String) {
    let state = Scratch::new();
    let output = command(arguments, &state).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// `panoply` by way of `systemd-socket-activate`, which passes no more of its environment on than it is told.
pub(crate) fn activated(
    options: &[&str],
    arguments: &[&str],
    environment: &[(&str, &str)],
    state: &Scratch,
) -> Command {
    let mut command = Command::new("systemd-socket-activate");
    command.args(options).current_dir(crate::node::folder());
    command.arg(format!("--setenv=STATE_DIRECTORY={}", state.path().display()));
    command.args(environment.iter().map(|(name, value)| format!("--setenv={name}={value}")));
    command.arg(env!("CARGO_BIN_EXE_panoply")).args(arguments);
    command
}

fn spawn(command: &mut Command) -> (Child, Arc<Mutex<String>>, Receiver<String>) {
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}: run scripts/test"));
    let log = Arc::new(Mutex::new(String::new()));
    let (sender, lines) = mpsc::channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let copy = Arc::clone(&log);
    thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            {
                let mut log = copy.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
            let _ = sender.send(line);
        }
    });
    (child, log, lines)
}

/// It is told to end, and ends its app, also when the test is killed.
pub(crate) fn command(arguments: &[&str], state: &Scratch) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", env!("CARGO_BIN_EXE_panoply")])
        .args(arguments)
        .current_dir(crate::node::folder())
        .env("STATE_DIRECTORY", state.path())
        .env_remove("NODE_ENV")
        .env_remove("PANOPLY_LOG")
        .env_remove("PANOPLY_STORE")
        .env_remove("PANOPLY_ADMIN_TOKEN");
    command
}

/// A Node app on a busy machine takes its time.
const START: Duration = Duration::from_secs(90);
/// How long a test waits for what is to come: who passes waits no longer for it. It is less than the minute after which the
/// gateway looks at its files by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);
