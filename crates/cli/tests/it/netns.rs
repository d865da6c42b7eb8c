//! Machines of a test's own: network namespaces, joined to the test's by cables that can be cut. It takes no root, and
//! nothing is left however the test ends: the kernel takes the namespaces down with their first process.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use crate::gateway::PATIENCE;
use crate::process::Process;

/// Whether this is the test in namespaces of its own. Outside, it runs `test` there first, and wants it to pass.
pub(crate) fn inside(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        run(Command::new("ip").args(["link", "set", "lo", "up"]));
        return true;
    }
    let output = Process::command("unshare")
        .args(["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        // Where Debian keeps `ip` and `tc`, which is not on everybody's path.
        .env("PATH", env::var("PATH").unwrap_or_default() + ":/usr/sbin")
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{test} in namespaces of its own:\n{said}");
    false
}

/// A machine with one cable, which leads to the test.
pub(crate) struct Machine {
    /// The namespace lives as long as this, which does nothing.
    holder: Process,
    number: u8,
}

impl Machine {
    /// `number`: no two machines of a test have the same.
    pub(crate) fn new(number: u8) -> Self {
        let mut command = Process::command("unshare");
        command.args(["--net", "sleep", "infinity"]);
        let machine = Self { holder: Process::until(&mut command, || true), number };
        let ours = fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", machine.holder.id());
        let deadline = Instant::now() + PATIENCE;
        while fs::read_link(&theirs).unwrap() == ours {
            assert!(Instant::now() < deadline, "unshare made no namespace");
            thread::sleep(Duration::from_millis(5));
        }
        let (here, holder) = (format!("to{number}"), machine.holder.id().to_string());
        let pair = ["link", "add", &here, "type", "veth", "peer", "name", CABLE, "netns", &holder];
        run(Command::new("ip").args(pair));
        run(Command::new("ip").args(["address", "add", &format!("{}/24", machine.test()), "dev", &here]));
        run(Command::new("ip").args(["link", "set", &here, "up"]));
        machine.ip(&["link", "set", "lo", "up"]);
        machine.ip(&["address", "add", &format!("{}/24", machine.address()), "dev", CABLE]);
        machine.ip(&["link", "set", CABLE, "up"]);
        machine
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number, 2)
    }

    /// A program to be run there.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Process::command("nsenter");
        command.args(["--net", "--target", &self.holder.id().to_string(), "--"]).arg(program);
        command
    }

    /// Runs it, and waits until it listens at `port` of this machine.
    pub(crate) fn start(&self, command: &mut Command, port: u16) -> Process {
        let address = SocketAddr::from((self.address(), port));
        Process::until(command, || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
    }

    /// The cable is pulled out: nothing comes and nothing goes, and nobody is told.
    pub(crate) fn cut_off(&self) {
        self.ip(&["link", "set", CABLE, "down"]);
    }

    /// It hears everything, and what it says goes to an address of Ethernet that nobody has.
    pub(crate) fn mute(&self) {
        let nobody = ["lladdr", "02:00:00:00:00:99", "dev", CABLE, "nud", "permanent"];
        self.ip(&[&["neighbour", "replace", &self.test().to_string()], &nobody[..]].concat());
    }

    /// What it says comes as slowly as over a modem.
    pub(crate) fn slow(&self) {
        let shape = ["root", "tbf", "rate", "56kbit", "burst", "2kb", "latency", "2s"];
        run(self.command("tc").args(["qdisc", "add", "dev", CABLE]).args(shape));
    }

    /// Takes back all of it.
    pub(crate) fn heal(&self) {
        let _ = self.command("tc").args(["qdisc", "del", "dev", CABLE, "root"]).output();
        let test = self.test().to_string();
        let _ = self.command("ip").args(["neighbour", "del", &test, "dev", CABLE]).output();
        self.ip(&["link", "set", CABLE, "up"]);
    }

    /// The test's own address on this cable.
    fn test(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number, 1)
    }

    fn ip(&self, arguments: &[&str]) {
        run(self.command("ip").args(arguments));
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("a program is missing: run scripts/test");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

const INSIDE: &str = "PANOPLY_TEST_IS_INSIDE";
const CABLE: &str = "cable";
