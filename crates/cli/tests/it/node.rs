//! The Node apps in `tests/node`, as processes of their own.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::gateway::PATIENCE;
use crate::port::free_address;

/// Where the apps are; their packages must have been installed.
pub(crate) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/node");
    assert!(
        folder.join("node_modules/express").exists(),
        "the packages of tests/node are not installed: run scripts/test, or `npm ci` in {}",
        folder.display()
    );
    folder
}

pub(crate) struct Node {
    child: Child,
    address: SocketAddr,
}

impl Node {
    /// `node SCRIPT` on a free port.
    pub(crate) fn start(script: &str) -> Self {
        Self::start_with(script, &[])
    }

    /// The same, with more variables in its environment.
    pub(crate) fn start_with(script: &str, environment: &[(&str, &str)]) -> Self {
        // Another program may take the port between its being found and Node's listening on it.
        for _ in 0..3 {
            let address = free_address();
            let mut node = Self { child: spawn(script, environment, address), address };
            if node.listens() {
                return node;
            }
        }
        panic!("{script} did not listen; its own words are above")
    }

    /// Whether it does before it ends: who else has its port listens too.
    fn listens(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|exit| exit.is_some()) {
                return false;
            }
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Ends it at once, as a machine ends that loses its power.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it anew, at the address that it had.
    pub(crate) fn start_again(&mut self, script: &str, environment: &[(&str, &str)]) {
        self.child = spawn(script, environment, self.address);
        assert!(self.listens(), "{script} does not listen where it did");
    }
}

fn spawn(script: &str, environment: &[(&str, &str)], address: SocketAddr) -> Child {
    Command::new("node")
        .arg(script)
        .current_dir(folder())
        .envs(environment.iter().copied())
        .env("PORT", address.port().to_string())
        .stdout(Stdio::null())
        .spawn()
        .expect("node is installed: run scripts/test")
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
