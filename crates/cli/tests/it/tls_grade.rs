//! What the scanners say that people grade their sites with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::authority::{Authority, write};
use crate::gateway::Gateway;
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;

/// A site at localhost, with a certificate of an authority whose file the scanners get.
struct Site {
    gateway: Gateway,
    _app: Recorder,
    folder: Scratch,
}

impl Site {
    fn start(profile: &str) -> Self {
        let (authority, folder) = (Authority::new("scanned"), Scratch::new());
        let at = folder.path();
        authority.issue(&["localhost"]).write(at, "site");
        write(&at.join("ca.pem"), authority.pem().as_bytes());
        let app = Recorder::answering(OK);
        let (config, shown) = (at.join("panoply.toml"), at.display());
        let text = format!(
            "[tls]\nprofile = \"{profile}\"\ncert = \"{shown}/site.pem\"\nkey = \"{shown}/site.key\"\n[[site]]\nhosts = \
             [\"localhost\"]\nupstream = \"http://{}\"\nshield.rate_limit = \"off\"\n",
            app.address()
        );
        fs::write(&config, text).unwrap();
        let arguments = ["serve", "--config", config.to_str().unwrap(), "--https", "127.0.0.1:0"];
        Self { gateway: Gateway::start(&arguments, &[]), _app: app, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn sslyze_finds_both_profiles_as_mozilla_wants_them() {
    let sslyze = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../sslyze/bin/sslyze");
    assert!(sslyze.exists(), "sslyze is not installed: run scripts/test");
    for (served, judged, compliant) in [
        ("intermediate", "intermediate", true),
        ("modern", "modern", true),
        ("intermediate", "modern", false), // and so it is seen that sslyze can say no
    ] {
        let site = Site::start(served);
        let output = Command::new(&sslyze)
            .arg(format!("--mozilla_config={judged}"))
            .arg(format!("--certinfo_ca_file={}", site.file("ca.pem").display()))
            .arg(format!("localhost:{}{{127.0.0.1}}", site.gateway.https().port()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.contains("OK - Compliant"), compliant, "{served} judged as {judged}:\n{said}");
        assert_eq!(output.status.success(), compliant, "{served} judged as {judged}:\n{said}");
    }
}

#[test]
fn testssl_finds_nothing_that_matters() {
    let site = Site::start("intermediate");
    let report = site.file("report.json");
    let status = Command::new("timeout")
        .args(["600", "testssl", "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1"])
        .arg("--openssl=/usr/bin/openssl")
        .arg("--add-ca")
        .arg(site.file("ca.pem"))
        .arg("--jsonfile")
        .arg(&report)
        .arg(format!("https://localhost:{}", site.gateway.https().port()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.is_ok(), "timeout is part of coreutils, which every Debian has");
    let text = fs::read_to_string(&report).expect("testssl is installed: run scripts/test");
    let findings: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let of =
        |id: &str| findings.iter().find(|finding| finding["id"] == id).map(|finding| &finding["finding"]);
    assert!(of("TLS1_3").is_some() && of("scanTime").is_some(), "it came to its end: {text}");
    let bad: Vec<_> = findings
        .iter()
        .filter(|finding| finding["id"] != "engine_problem") // of the scanner's own openssl
        .filter(|finding| !left_before_its_ticket(finding))
        .filter(|finding| {
            ["MEDIUM", "HIGH", "CRITICAL", "FATAL", "WARN"].iter().any(|one| finding["severity"] == *one)
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// In TLS 1.3 a ticket comes after the handshake (RFC 8446 §4.6.1), and the scanner's client, which has nothing to say, may
/// be gone by then: it has no session to come back with, and takes that for a server that cannot be reached.
fn left_before_its_ticket(finding: &Value) -> bool {
    finding["id"] == "sessionresumption_ticket"
        && finding["finding"] == "check failed because of connect problem"
}
