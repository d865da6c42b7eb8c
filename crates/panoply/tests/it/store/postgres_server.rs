//! PostgreSQL, one for each test that wants it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use super::server::{Certificate, Process, Scratch, die_with_parent, free_port, installed, until};

pub(crate) struct PostgresServer {
    port: u16,
    process: Option<Process>,
    folder: Scratch,
}

impl PostgresServer {
    pub(crate) fn start() -> Self {
        let mut server = Self { port: free_port(), process: None, folder: owned_by_server(Scratch::new()) };
        let made = as_server()
            .arg(postgres_program("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(server.data())
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.restart();
        server
    }

    /// The same, where TLS is offered.
    pub(crate) fn start_with_tls(certificate: &Certificate) -> Self {
        let mut server = Self::start();
        let (chain, key) = certificate.write(server.folder.path());
        if root() {
            let given = Command::new("chown").arg("postgres:postgres").args([&chain, &key]).status().unwrap();
            assert!(given.success());
        }
        let settings = format!("ssl = on\nssl_cert_file = '{chain}'\nssl_key_file = '{key}'\n");
        fs::write(server.data().join("postgresql.auto.conf"), settings).unwrap();
        server.kill();
        server.restart();
        server
    }

    pub(crate) fn restart(&mut self) {
        let mut command = as_server();
        command.arg(postgres_program("postgres")).arg("-D").arg(self.data()).current_dir("/");
        command.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        command.args(["-c", "unix_socket_directories="]);
        self.process = Some(Process::start(&mut command));
        until("PostgreSQL answers", || self.try_psql("select 1").is_ok());
    }

    pub(crate) fn kill(&mut self) {
        // At once, and with its children and its shared memory.
        if let Some(process) = &mut self.process {
            process.signal("QUIT");
            process.wait();
        }
        self.process = None;
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// What psql prints for `sql`: rows by line, columns by `|`.
    pub(crate) fn psql(&self, sql: &str) -> String {
        self.try_psql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_psql(&self, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(postgres_program("psql"));
        let output = psql.args(["-X", "-q", "-A", "-t", "-d", &self.url(), "-c", sql]).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// PostgreSQL refuses to be root, so that its files are another's.
fn owned_by_server(folder: Scratch) -> Scratch {
    if root() {
        let given = Command::new("chown").args(["postgres:postgres"]).arg(folder.path()).status().unwrap();
        assert!(
            given.success(),
            "there is no user postgres: run scripts/test, or apt-get install postgresql"
        );
    }
    folder
}

fn as_server() -> Command {
    let mut command = die_with_parent();
    if root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command
}

fn root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// On the path, or where Debian keeps what belongs to one version: the newest.
pub(crate) fn postgres_program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let newest = versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse::<u32>().ok()?, version.path())))
        .map(|(number, path)| (number, path.join("bin").join(name)))
        .filter(|(_, path)| path.exists())
        .max();
    newest.map_or_else(|| installed(name, "postgresql"), |(_, path)| path)
}
