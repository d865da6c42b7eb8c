//! What start-up says: where it listens, what is protected, what to know.

use panoply::Practice;
use panoply_gateway::Gateway;

/// Printed to stderr once everything is open.
#[expect(clippy::print_stderr, reason = "this is where start-up reaches the terminal")]
pub(crate) fn print(gateway: &Gateway, app: &str) {
    eprint!("{}", page(gateway, app));
}

fn page(gateway: &Gateway, app: &str) -> String {
    let mut page = String::new();
    let mut say = |line: String| {
        page.push_str(&line);
        page.push('\n');
    };
    if let Ok(https) = gateway.https() {
        say(format!("panoply stands in front of {app}"));
        say(format!("  https        {https}"));
        say(format!("               open https://localhost:{}/", https.port()));
    }
    if let Some(http) = gateway.http() {
        say(format!("  http         {http}, redirects to https"));
    }
    for (name, shield) in gateway.routes().shields() {
        say(format!("{name}"));
        for practice in Practice::ALL {
            let (state, figure) = shield.state(practice);
            say(format!("  {:<12} {state:<8} {figure}", practice.name()).trim_end().to_owned());
        }
    }
    if gateway.routes().hosts().is_empty() {
        say("note: any host name is served; name yours with --host".to_owned());
    }
    if !gateway.trusted_certificate() {
        say("note: the certificate was made here: browsers warn once; give your own with --cert and --key".to_owned());
    }
    page
}
