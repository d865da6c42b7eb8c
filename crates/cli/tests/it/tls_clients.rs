//! Sites that ask visitors for certificates.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use crate::authority::{Authority, Issued, write};
use crate::gateway::{Gateway, PATIENCE, panoply};
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;
use crate::visitor::Visitor;

/// A site that asks its staff, one that asks whoever has one, and one that asks nobody.
struct Office {
    authority: Authority,
    staff: Authority,
    app: Recorder,
    folder: Scratch,
    gateway: Gateway,
}

impl Office {
    fn start() -> Self {
        let (authority, staff) = (Authority::new("sites"), Authority::new("staff"));
        let folder = Scratch::new();
        let at = folder.path().display();
        authority.issue(&["shop.example", "staff.example", "forum.example"]).write(folder.path(), "all");
        write(&folder.path().join("staff.pem"), staff.pem().as_bytes());
        write(&folder.path().join("staff.crl"), staff.revoke(&[66]).as_bytes());
        let app = Recorder::answering(OK);
        let upstream = format!("upstream = \"http://{}\"", app.address());
        let text = format!(
            r#"
            tls.cert = "{at}/all.pem"
            tls.key = "{at}/all.key"
            [[site]]
            hosts = ["shop.example"]
            {upstream}
            [[site]]
            hosts = ["staff.example"]
            {upstream}
            tls.client_ca = "{at}/staff.pem"
            tls.client_crl = "{at}/staff.crl"
            [[site]]
            hosts = ["forum.example"]
            {upstream}
            tls.client_ca = "{at}/staff.pem"
            tls.client = "optional"
            "#
        );
        let file = folder.path().join("panoply.toml");
        fs::write(&file, text).unwrap();
        let arguments = ["serve", "--config", file.to_str().unwrap(), "--https", "127.0.0.1:0"];
        let gateway = Gateway::start(&arguments, &[]);
        Self { authority, staff, app, folder, gateway }
    }

    fn visitor(&self, identity: Option<&Issued>) -> Visitor {
        Visitor::new(self.gateway.https(), &self.authority, identity)
    }
}

#[tokio::test]
async fn only_whom_the_authority_vouches_for_is_let_in() {
    let office = Office::start();
    let other = Authority::new("staff");
    let (ann, fired, stranger) =
        (office.staff.vouch("ann", 1), office.staff.vouch("bob", 66), other.vouch("ann", 1));
    let ended = office.staff.issue_as(&[], |params| {
        params.not_after = (SystemTime::now() - Duration::from_secs(3600)).into();
    });
    for (who, identity, site, status) in [
        ("ann", Some(&ann), "staff.example", Some(200)),
        ("nobody", None, "staff.example", None),
        ("of another authority of that name", Some(&stranger), "staff.example", None),
        ("taken back", Some(&fired), "staff.example", None),
        ("ended", Some(&ended), "staff.example", None),
        ("ann", Some(&ann), "forum.example", Some(200)),
        ("nobody", None, "forum.example", Some(200)),
        ("of another authority of that name", Some(&stranger), "forum.example", None),
        ("nobody", None, "shop.example", Some(200)),
    ] {
        let met = office.visitor(identity).ask(site, site, "").await;
        assert_eq!(met.ok().map(|met| met.status), status, "{who} at {site}");
    }
}

#[tokio::test]
async fn no_way_leads_past_the_question_for_a_certificate() {
    let office = Office::start();
    let ann = office.staff.vouch("ann", 1);
    for (visitor, name, host, status) in [
        (office.visitor(None), "shop.example", "staff.example", 421),
        (office.visitor(None), "shop.example", "STAFF.example.:443", 421),
        (office.visitor(None), "forum.example", "staff.example", 421),
        (office.visitor(None).nameless(), "shop.example", "staff.example", 421),
        (office.visitor(None).nameless(), "shop.example", "forum.example", 421),
        // Nor is anybody shown to a site that did not ask who he is.
        (office.visitor(Some(&ann)), "staff.example", "shop.example", 421),
        (office.visitor(Some(&ann)), "staff.example", "forum.example", 421),
    ] {
        let met = visitor.ask(name, host, "").await.unwrap();
        assert_eq!(met.status, status, "{name} then {host}");
    }
    let asked = office.visitor(None).ask_http_2("shop.example", &["shop.example", "staff.example"]).await;
    assert_eq!(asked.unwrap(), [200, 421]);
}

#[tokio::test]
async fn the_app_is_told_who_was_verified_and_by_nobody_else() {
    let office = Office::start();
    let ann = office.staff.vouch("Ann, CN=root", 1);
    let forged = "client-cert: :AAAA:\r\nClient_Cert: :AAAA:\r\nclient-cert-chain: :AAAA:\r\nX-Client-Cert-Subject: \
                  CN=root\r\nx_client_cert_subject: CN=root\r\nX-SSL-Client-S-DN: CN=root\r\n";
    for (identity, site) in [(None, "shop.example"), (None, "forum.example"), (Some(&ann), "staff.example")] {
        office.visitor(identity).ask(site, site, forged).await.unwrap();
    }
    let heads = office.app.heads(3);
    for head in &heads {
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("aaaa") && !head.contains("cn=root\r\n"), "{head}");
        assert!(!head.contains("_cert") && !head.contains("x-ssl"), "{head}");
    }
    assert!(
        heads[2].contains("\r\nx-client-cert-subject: CN=Ann\\, CN\\=root,O=Shop\\, Inc.\r\n"),
        "{}",
        heads[2]
    );
    let sent =
        heads[2].split("\r\nclient-cert: :").nth(1).and_then(|rest| rest.split(":\r\n").next()).unwrap();
    let pem: String = ann.chain.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(sent, pem, "RFC 9440 §2.2: the certificate itself");
    assert!(!heads[0].contains("client-cert") && !heads[1].contains("client-cert"));
}

#[tokio::test]
async fn a_list_that_has_ended_is_refused_with_its_mend_and_lets_nobody_in() {
    let office = Office::start();
    let ann = office.staff.vouch("ann", 1);
    let asks = async || office.visitor(Some(&ann)).ask("staff.example", "staff.example", "").await.is_ok();
    let put = |end: SystemTime| {
        write(&office.folder.path().join("staff.crl"), office.staff.revoke_until(&[66], end).as_bytes());
    };
    put(SystemTime::now() - Duration::from_secs(3_600));
    office.gateway.logged("holds a list of revoked certificates that ended at");
    assert!(asks().await, "the last good list holds");
    let file = office.folder.path().join("panoply.toml").display().to_string();
    let (code, _, stderr) = panoply(&["serve", "--config", &file, "--https", "127.0.0.1:0"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("hint: fetch the authority's newest list"), "{stderr}");
    let end = SystemTime::now() + Duration::from_secs(15);
    put(end);
    office.gateway.logged("visitors' certificates are of other authorities from now on");
    assert!(asks().await);
    while SystemTime::now() < end + Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!asks().await, "who was locked out since nobody knows");
}

#[tokio::test]
async fn a_ticket_of_older_authorities_opens_no_more() {
    let office = Office::start();
    let (ann, bob) = (office.staff.vouch("ann", 1), office.staff.vouch("bob", 2));
    let (ann, bob) = (office.visitor(Some(&ann)), office.visitor(Some(&bob)));
    for visitor in [&ann, &bob] {
        assert!(!visitor.ask("staff.example", "staff.example", "").await.unwrap().resumed);
        assert!(visitor.ask("staff.example", "staff.example", "").await.unwrap().resumed);
    }
    write(&office.folder.path().join("staff.crl"), office.staff.revoke(&[2]).as_bytes());
    office.gateway.logged("visitors' certificates are of other authorities from now on");
    assert!(
        bob.ask("staff.example", "staff.example", "").await.is_err(),
        "he was fired, ticket or no ticket"
    );
    let again = ann.ask("staff.example", "staff.example", "").await.unwrap();
    assert!(!again.resumed, "of what is sealed for an older list nobody knows whether it holds");
    assert!(ann.ask("staff.example", "staff.example", "").await.unwrap().resumed);

    let other = Authority::new("other");
    write(&office.folder.path().join("staff.pem"), other.pem().as_bytes());
    write(&office.folder.path().join("staff.crl"), other.revoke(&[]).as_bytes());
    let deadline = Instant::now() + PATIENCE;
    while ann.ask("staff.example", "staff.example", "").await.is_ok() {
        assert!(Instant::now() < deadline, "who was vouched for by the old authority is still let in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let carl = other.vouch("carl", 1);
    assert_eq!(
        office.visitor(Some(&carl)).ask("staff.example", "staff.example", "").await.unwrap().status,
        200
    );
}
