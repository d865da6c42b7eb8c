//! A person's browser (headless Chromium) and an app that knows nothing of the gateway.

use std::process::Command;

use crate::gateway::Gateway;

#[test]
fn an_unchanged_app_works_in_a_browser() {
    let gateway = Gateway::run(&[], &["node", "shop.js"]);
    let output = Command::new("node")
        .args(["browser.js", &format!("https://localhost:{}", gateway.https().port())])
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
