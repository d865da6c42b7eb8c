//! A person's browser (headless Chromium) and an app that knows nothing of the gateway.

use std::process::Command;

use crate::gateway::Gateway;
use crate::scratch::Scratch;

#[test]
fn an_unchanged_app_works_in_a_browser() {
    works_in_a_browser(&[], "connect.sid");
}

/// Logins, forms and WebSockets with a session that has another name and is sealed.
#[test]
fn an_unchanged_app_works_in_a_browser_that_cannot_read_its_session() {
    let folder = Scratch::new();
    let file = folder.path().join("panoply.toml");
    let text = "[shield.cookies]\nrename = { 'connect.sid' = '__Host-id' }\nseal = ['connect.sid']";
    std::fs::write(&file, text).unwrap();
    works_in_a_browser(&["--config", file.to_str().unwrap()], "__Host-id");
}

fn works_in_a_browser(options: &[&str], session: &str) {
    let gateway = Gateway::run(options, &["node", "shop.js"]);
    let output = Command::new("node")
        .args(["browser.js", &format!("https://localhost:{}", gateway.https().port()), session])
        .current_dir(crate::node::folder())
        .output()
        .expect("node is installed: run scripts/test");
    let (steps, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "(no Chromium? run scripts/test)\n{steps}\n{complaint}\n{}",
        gateway.log()
    );
    assert_eq!(steps.matches("\"works\":true").count(), 6, "{steps}");
}
