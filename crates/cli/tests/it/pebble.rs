//! Pebble, Let's Encrypt's authority for tests, as Debian has it, with a DNS of its own that leads every name here.

use std::fs;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::authority::Authority;
use crate::port::free_port;
use crate::process::Process;
use crate::scratch::Scratch;

/// The authority, and the ports where it comes to look: there the gateway listens.
pub(crate) struct Pebble {
    process: Option<Process>,
    dns: Process,
    folder: Scratch,
    port: u16,
    management: u16,
    dns_management: u16,
    dns_port: u16,
    pub(crate) https: u16,
    pub(crate) http: u16,
    environment: Vec<(&'static str, &'static str)>,
}

impl Pebble {
    pub(crate) fn start() -> Self {
        Self::start_as("", &[])
    }

    /// With more settings, in JSON behind a comma, and variables.
    pub(crate) fn start_as(settings: &str, environment: &[(&'static str, &'static str)]) -> Self {
        let mut pebble = Self::stopped(settings, environment);
        pebble.restart();
        pebble
    }

    /// One that is not there yet.
    pub(crate) fn stopped(settings: &str, environment: &[(&'static str, &'static str)]) -> Self {
        let [port, management, https, http, dns_port, dns_management] = [(); 6].map(|()| free_port());
        let folder = Scratch::new();
        let root = Authority::new("the tests' root of Pebble");
        let own = root.issue(&["localhost", "127.0.0.1"]);
        for (file, text) in [("root.pem", &root.pem()), ("own.pem", &own.chain), ("own.key", &own.key)] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let path = |file: &str| folder.path().join(file).display().to_string();
        let (chain, key) = (path("own.pem"), path("own.key"));
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{port}", "managementListenAddress": "127.0.0.1:{management}",
            "certificate": "{chain}", "privateKey": "{key}", "httpPort": {http}, "tlsPort": {https},
            "ocspResponderURL": "" {settings}}}}}"#
        );
        fs::write(folder.path().join("pebble.json"), config).unwrap();
        let mut dns = Process::command("pebble-challtestsrv");
        dns.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        dns.args(["-dns01", &format!("127.0.0.1:{dns_port}")]);
        dns.args(["-management", &format!("127.0.0.1:{dns_management}")]).stderr(Stdio::null());
        let dns = Process::start(&mut dns, dns_management);
        let environment = environment.to_vec();
        let process = None;
        Self { process, dns, folder, port, management, dns_management, dns_port, https, http, environment }
    }

    /// Looks names up there, and no longer at a DNS of its own.
    pub(crate) fn look_up_at(&mut self, port: u16) {
        self.dns_port = port;
    }

    pub(crate) fn restart(&mut self) {
        // A shell, since it writes its log to stdout.
        let mut command = Process::command("sh");
        command.args(["-c", "log=$1; shift; exec \"$@\" >>\"$log\" 2>&1", "sh"]).arg(self.log_file());
        command.args(["pebble", "-config"]).arg(self.folder.path().join("pebble.json"));
        command.args(["-dnsserver", &format!("127.0.0.1:{}", self.dns_port)]);
        // Without the first it waits up to fifteen seconds before it looks.
        command.envs([
            ("PEBBLE_VA_NOSLEEP", "1"),
            ("PEBBLE_WFE_NONCEREJECT", "0"),
            ("PEBBLE_AUTHZREUSE", "0"),
        ]);
        command.envs(self.environment.iter().copied());
        self.process = Some(Process::start(&mut command, self.port));
    }

    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// A file of settings with it as the authority; `more` stands in `[tls.acme]`.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "[tls.acme]\ncontact = 'ops@shop.example'\ndirectory = 'https://localhost:{}/dir'\nca = '{}'\n{more}\n",
            self.port,
            self.folder.path().join("root.pem").display(),
        )
    }

    /// Where a TXT record is set and cleared: `POST /set-txt`.
    pub(crate) fn dns_management(&self) -> u16 {
        let _ = &self.dns;
        self.dns_management
    }

    /// By what the gateway tells it from other authorities: its host, and the beginning of its URL's hash.
    pub(crate) fn authority(&self) -> String {
        let url = self.folder.path().join("url");
        fs::write(&url, format!("https://localhost:{}/dir", self.port)).unwrap();
        let hash = Command::new("sha256sum").arg(url).output().unwrap().stdout;
        format!("localhost-{}", std::str::from_utf8(&hash[..8]).unwrap())
    }

    /// How often its log has a text.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// How many certificates it gave.
    pub(crate) fn issued(&self) -> usize {
        self.logged("Issued certificate serial")
    }

    /// Waits until the server at `address` shows a certificate of Pebble's for `name`, and gives it.
    pub(crate) async fn certificate_of(&self, address: u16, name: &str) -> CertificateDer<'static> {
        let deadline = Instant::now() + Duration::from_secs(240);
        loop {
            if let Some(found) = self.shown_at(address, name).await {
                return found;
            }
            assert!(Instant::now() < deadline, "no certificate of Pebble's for {name}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The certificate that is shown for `name`, where Pebble signed it.
    pub(crate) async fn shown_at(&self, address: u16, name: &str) -> Option<CertificateDer<'static>> {
        self.shown_to(self.roots()?, address, name).await
    }

    /// The same for a name whose certificate is ordered when somebody asks: whom a busy machine kept waiting for longer than a
    /// handshake may take comes again.
    pub(crate) async fn shown_on_demand(&self, address: u16, name: &str) -> Option<CertificateDer<'static>> {
        loop {
            let begun = Instant::now();
            let shown = self.shown_at(address, name).await;
            if shown.is_some() || begun.elapsed() < Duration::from_secs(7) {
                return shown;
            }
        }
    }

    /// The same, for whoever trusts `roots`.
    pub(crate) async fn shown_to(
        &self,
        roots: RootCertStore,
        address: u16,
        name: &str,
    ) -> Option<CertificateDer<'static>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, address)).await.ok()?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        stream.get_ref().1.peer_certificates()?.first().cloned().map(CertificateDer::into_owned)
    }

    /// The root that it made for this run.
    pub(crate) fn roots(&self) -> Option<RootCertStore> {
        let url = format!("https://localhost:{}/roots/0", self.management);
        let root = self.folder.path().join("root.pem");
        let asked = Command::new("curl").arg("-sf").arg("--cacert").arg(root).arg(url).output().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&asked.stdout).ok()?).unwrap();
        Some(roots)
    }

    fn log_file(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }
}
