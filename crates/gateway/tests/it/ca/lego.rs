//! That the CA is one, says a client that others wrote: lego, of Debian.

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use panoply_gateway::supervise::free_port;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::process::Command;
use tokio::time::timeout;

use super::order::Name;
use super::{Ca, Clock, DAY, HOUR, Verdict};

#[tokio::test]
async fn lego_gets_its_certificate_by_either_challenge() {
    for kind in ["http-01", "tls-alpn-01"] {
        let (ca, lego) = (Ca::start(Clock::new()).await, Lego::new(kind));
        let clock = ca.inner.clock.now();
        ca.rules(|rules| {
            rules.ports = (lego.port, lego.port);
            rules.polls_to_wait = 1;
        });
        lego.run(&ca, &[]).await.expect(kind);

        let seen = ca.seen();
        let names = vec![Name::Dns("shop.example".into()), Name::Dns("www.shop.example".into())];
        assert_eq!(seen.certificates.len(), 1, "{kind}");
        assert_eq!(seen.certificates[0].names, names, "{kind}");
        assert_eq!(seen.certificates[0].not_before, clock - HOUR, "{kind}: by the clock of the test");
        assert_eq!(
            seen.certificates[0].not_after,
            clock - HOUR + DAY * 90 - Duration::from_secs(1),
            "{kind}"
        );
        let looked: Vec<_> =
            seen.validations.iter().map(|looked| (looked.kind.as_str(), looked.succeeded)).collect();
        assert_eq!(looked, [(kind, true), (kind, true)], "each name was looked up");

        let chain = fs::read(lego.folder.join("certificates/shop.example.crt")).unwrap();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().unwrap();
        assert_eq!(chain.len(), 2, "{kind}: a leaf and its intermediate");
        assert_eq!(chain[0], seen.certificates[0].der, "{kind}");
    }
}

#[tokio::test]
async fn lego_is_told_no_by_a_ca_that_finds_nobody_there() {
    let (ca, lego) = (Ca::start(Clock::new()).await, Lego::new("rejected"));
    ca.rules(|rules| rules.ports = (free_port().unwrap(), lego.port));
    let said = lego.run(&ca, &[]).await.unwrap_err();
    assert!(said.contains("acme:error:connection"), "nobody listens there: {said}");

    ca.rules(|rules| rules.verdict = Verdict::Reject);
    let said = lego.run(&ca, &[]).await.unwrap_err();
    assert!(said.contains("nobody holds this name"), "{said}");
    assert!(ca.seen().certificates.is_empty());
    assert!(ca.seen().validations.iter().all(|looked| !looked.succeeded));
}

#[tokio::test]
async fn lego_needs_the_right_key_of_the_external_account() {
    let ca = Ca::start(Clock::new()).await;
    ca.rules(|rules| {
        rules.external_accounts = [("customer".into(), b"thirty-two bytes of a secret....".to_vec())].into();
    });
    for (id, key, admitted) in [
        ("customer", "thirty-two bytes of a secret....", true),
        ("customer", "thirty-two bytes of another one.", false),
        ("stranger", "thirty-two bytes of a secret....", false),
    ] {
        let lego = Lego::new("http-01");
        ca.rules(|rules| rules.ports = (lego.port, lego.port));
        let (key, before) = (URL_SAFE_NO_PAD.encode(key), ca.seen().accounts);
        let _ = lego.run(&ca, &["--eab", "--kid", id, "--hmac", &key]).await;
        assert_eq!(ca.seen().accounts > before, admitted, "{id} {key}");
    }
}

struct Lego {
    kind: &'static str,
    port: u16,
    folder: PathBuf,
}

impl Lego {
    fn new(kind: &'static str) -> Self {
        let port = free_port().unwrap();
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("lego-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self { kind, port, folder }
    }

    /// What it said, when it failed.
    async fn run(&self, ca: &Ca, more: &[&str]) -> Result<(), String> {
        let root = self.folder.join("root.pem");
        fs::write(&root, ca.root()).unwrap();
        let mut lego = Command::new("lego");
        lego.env("LEGO_CA_CERTIFICATES", &root)
            .arg("--path")
            .arg(&self.folder)
            .args(["--server", &ca.directory()]);
        lego.args([
            "--accept-tos",
            "--email",
            "ops@shop.example",
            "-d",
            "shop.example",
            "-d",
            "www.shop.example",
        ]);
        let here = format!("127.0.0.1:{}", self.port);
        match self.kind {
            "tls-alpn-01" => lego.args(["--tls", "--tls.port", &here]),
            _ => lego.args(["--http", "--http.port", &here]),
        };
        lego.args(more).arg("run").stdin(Stdio::null()).kill_on_drop(true);
        let ended = timeout(Duration::from_secs(60), lego.output()).await.expect("lego ends in a minute");
        let Output { status, stderr, .. } = ended.expect("lego is a package of Debian: run scripts/test");
        match status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&stderr).into_owned()),
        }
    }
}

impl Drop for Lego {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
