//! What start-up says: where it listens, what is protected, what to know.

use panoply::Practice;
use panoply_gateway::config::{HostName, RulePath, Upstream};
use panoply_gateway::{Config, Gateway, Running};

/// Printed to stderr once everything is open.
#[expect(clippy::print_stderr, reason = "this is where start-up reaches the terminal")]
pub(crate) fn print(gateway: &Gateway, config: &Config, app: &str) {
    eprint!("{}", page(gateway, config, app));
}

/// The same in a few words, for `systemctl status`.
pub(crate) fn status(running: &Running) -> String {
    match running.https() {
        Ok(https) => format!("serving https on {https}"),
        Err(_) => "serving".to_owned(),
    }
}

fn page(gateway: &Gateway, config: &Config, app: &str) -> String {
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
    if let Some(admin) = gateway.admin() {
        say(format!("  admin        {admin}, for `panoply bans` and `panoply explain`"));
    }
    if let Some(file) = &config.access_log {
        say(format!("  access log   {file}"));
    }
    for (site, rule, shield) in gateway.shields() {
        say(match rule {
            None => names(config, site),
            Some(path) => format!("  at {path}{}", elsewhere(config, site, path)),
        });
        for practice in Practice::ALL {
            let (state, figure) = shield.state(practice);
            say(format!("  {:<12} {state:<8} {figure}", practice.name()).trim_end().to_owned());
        }
    }
    if config.sites.iter().all(|site| site.hosts.is_empty()) {
        say("note: any host name is served; name yours with --host".to_owned());
    }
    if !gateway.trusted_certificate() && config.tls.acme.contact.is_some() {
        say("note: a certificate that was made here is shown until the authority's has come".to_owned());
    } else if !gateway.trusted_certificate() {
        say("note: the certificate was made here: browsers warn once; give your own with --cert and --key"
            .to_owned());
    }
    page
}

fn names(config: &Config, site: usize) -> String {
    let hosts = config.sites.get(site).map(|site| site.hosts.as_slice()).unwrap_or_default();
    match hosts {
        [] => "any host".to_owned(),
        hosts => hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// Where a rule leads, unless that is the site's own app.
fn elsewhere(config: &Config, site: usize, path: &RulePath) -> String {
    let rule = config.sites.get(site).and_then(|site| site.rules.iter().find(|rule| rule.path == *path));
    match rule.map_or(&[][..], |rule| &rule.upstream) {
        [] => String::new(),
        apps => format!(", to {}", apps.iter().map(Upstream::to_string).collect::<Vec<_>>().join(", ")),
    }
}
