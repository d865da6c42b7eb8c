//! docs/migration.md, walked: its blocks are run in its order, by real Redis, Express, axum and panoply.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::gateway::Gateway;
use crate::port::free_port;
use crate::process::Process;
use crate::scratch::Scratch;

#[test]
fn every_block_of_the_migration_guide_does_what_it_says() {
    let guide = read("docs/migration.md");
    let mut walk = Walk::begin();
    for block in blocks(&guide) {
        match block.language {
            "js" => walk.takes_js(block.text),
            "toml" if block.text.contains("[[site") => walk.takes_config(block.text),
            "console" => walk.runs(&block),
            "sh" => walk.takes_exports(block.text),
            _ => {}
        }
    }
    assert_eq!(walk.checks, guide.matches("\n$ ").count(), "every command was run");

    // Back to the beginning, with Ann's cookie from the end: the guide says that nobody is logged out.
    let all = walk.config.clone();
    walk.logs_in("ann", "Rust");
    walk.config = all[..all.find("\n[[site.rule]]").unwrap()].to_owned();
    walk.restarts();
    assert_eq!(walk.asks("ann", "/account"), "the account of ann@shop.example, says Express\n");

    // A browser that never saw a Rust route is logged out with the others, by the lines for Express.
    walk.logs_in("laptop", "Express");
    walk.config = all;
    walk.restarts();
    walk.logs_in("phone", "Rust");
    let everywhere = walk.asks("phone", "/account/log-out-everywhere -X POST");
    assert_eq!(everywhere, "logged out of 3 browsers, says Rust\n");
    for browser in ["ann", "laptop", "phone"] {
        assert_eq!(walk.asks(browser, "/"), "hello stranger, says Express\n", "{browser}");
    }
}

#[test]
fn the_guides_rust_app_is_the_example() {
    let guide = read("docs/migration.md");
    let example = read("crates/panoply/examples/shared_with_express.rs");
    let (app, _) = example.split_once("\n#[cfg(test)]\n").unwrap();
    let app: String =
        app.lines().skip_while(|line| line.starts_with("//!") || line.is_empty()).map(with_newline).collect();
    let shown: Vec<_> = blocks(&guide).into_iter().filter(|block| block.language == "rust").collect();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].text, app);
}

#[test]
fn the_guide_installs_what_is_tested() {
    let guide = read("docs/migration.md");
    let packages: serde_json::Value = serde_json::from_str(&read("tests/node/package.json")).unwrap();
    let install = guide.lines().find_map(|line| line.strip_prefix("npm install ")).unwrap();
    for package in install.split(' ') {
        assert!(packages["dependencies"].get(package).is_some(), "{package} is in tests/node");
    }
    let workspace = read("Cargo.toml");
    let manifest = blocks(&guide).into_iter().find(|block| block.text.contains("[dependencies]")).unwrap();
    let (_, dependencies) = manifest.text.split_once("[dependencies]\n").unwrap();
    for line in dependencies.lines().filter(|line| !line.contains("path = ")) {
        let (name, rest) = line.split_once(" = ").unwrap();
        let version = rest.split('"').nth(1).unwrap();
        let ours = workspace.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap();
        assert!(ours.split('"').nth(1).unwrap().starts_with(version), "{line}\n{ours}");
    }
}

/// The reader, with everything that the guide had them start.
struct Walk {
    running: Option<Running>,
    _redis: Process, // ends after those that use it
    folder: Scratch,
    ports: Ports,
    /// What was exported in the terminals of both apps.
    exports: BTreeMap<String, String>,
    express: String,
    config: String,
    checks: usize,
}

struct Running {
    gateway: Gateway,
    _apps: [Process; 2],
}

#[derive(Clone, Copy)]
struct Ports {
    redis: u16,
    express: u16,
    rust: u16,
}

impl Walk {
    fn begin() -> Self {
        let folder = Scratch::new();
        let [redis, express, rust] = [(); 3].map(|()| free_port());
        let mut server = Process::command("redis-server");
        server.args(["--bind", "127.0.0.1", "--port", &redis.to_string(), "--save", ""]);
        Self {
            running: None,
            _redis: Process::start(server.current_dir(folder.path()), redis),
            folder,
            ports: Ports { redis, express, rust },
            exports: BTreeMap::new(),
            express: String::new(),
            config: String::new(),
            checks: 0,
        }
    }

    /// The app, or lines for it: they go where the guide says.
    fn takes_js(&mut self, text: &str) {
        const ABOVE: &str = "    req.session.userId = email;\n";
        if self.express.is_empty() {
            text.clone_into(&mut self.express);
        } else {
            assert_eq!(self.express.matches(ABOVE).count(), 1);
            self.express = self.express.replace(ABOVE, &format!("{ABOVE}{text}"));
        }
    }

    fn takes_config(&mut self, text: &str) {
        let separator = if self.config.is_empty() { "" } else { "\n" };
        self.config.push_str(separator);
        self.config.push_str(text);
    }

    fn takes_exports(&mut self, text: &str) {
        for line in text.lines().filter_map(|line| line.strip_prefix("export ")) {
            let (name, value) = line.split_once('=').unwrap();
            self.exports.insert(name.to_owned(), value.trim_matches('\'').to_owned());
        }
    }

    /// Both apps and the gateway begin anew, with what the guide has said so far; Redis goes on.
    fn restarts(&mut self) {
        self.running = None;
        let Ports { redis, express, rust } = self.ports;
        let file = |name: &str, text: &str| {
            let path = self.folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let app = |command: &mut Command, port: u16| {
            command.envs(&self.exports).env("REDIS_URL", format!("redis://127.0.0.1:{redis}"));
            Process::start(command.env("PORT", port.to_string()), port)
        };
        let mut node = Process::command("node");
        node.arg(file("app.js", &self.express)).env("NODE_PATH", crate::node::folder().join("node_modules"));
        let apps = [app(&mut node, express), app(&mut Process::command(rust_app()), rust)];
        let config =
            self.config.replace(":3000", &format!(":{express}")).replace(":4000", &format!(":{rust}"));
        let config = file("panoply.toml", &config);
        let arguments = ["serve", "--config", config.to_str().unwrap(), "--https", "127.0.0.1:0"];
        self.running = Some(Running { gateway: Gateway::start(&arguments, &[]), _apps: apps });
    }

    /// Each command of the block, and what the guide says that it prints.
    fn runs(&mut self, block: &Block<'_>) {
        self.restarts();
        for check in block.text.split("$ ").skip(1) {
            let (command, expected) = check.split_once('\n').unwrap();
            assert!(command.starts_with("curl "), "line {}: {command}", block.line);
            assert_eq!(self.says(command), expected, "below line {}: {command}", block.line);
            self.checks += 1;
        }
    }

    fn logs_in(&self, browser: &str, side: &str) {
        let said =
            self.asks(browser, "/login -d email=ann@shop.example --data-urlencode 'password=correct horse'");
        assert_eq!(said, format!("welcome ann@shop.example, says {side}\n"));
    }

    fn asks(&self, browser: &str, path: &str) -> String {
        self.says(&format!("curl -ks -c {browser} -b {browser} https://localhost:8443{path}"))
    }

    fn says(&self, command: &str) -> String {
        let Running { gateway, .. } = self.running.as_ref().unwrap();
        let command = command.replace(":8443", &format!(":{}", gateway.https().port()));
        let mut shell = Command::new("bash");
        let output = shell.args(["-c", &command]).current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}\n{}", gateway.log());
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A block of code of the guide.
struct Block<'g> {
    language: &'g str,
    text: &'g str,
    line: usize,
}

fn blocks(guide: &str) -> Vec<Block<'_>> {
    let mut parts = guide.split("```");
    let mut line = 1 + parts.next().unwrap().matches('\n').count();
    let mut blocks = Vec::new();
    while let (Some(block), Some(prose)) = (parts.next(), parts.next()) {
        let (language, text) = block.split_once('\n').unwrap();
        blocks.push(Block { language, text, line });
        line += [block, prose].concat().matches('\n').count();
    }
    blocks
}

/// `cargo test` builds it before any test runs, unless it is told which tests.
fn rust_app() -> PathBuf {
    let app = Path::new(env!("CARGO_BIN_EXE_panoply")).with_file_name("examples").join("migration");
    assert!(app.exists(), "the guide's app is not built: cargo build -p panoply-cli --example migration");
    app
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

fn with_newline(line: &str) -> String {
    format!("{line}\n")
}
