//! `panoply demo`: a badly protected shop, alone and behind the gateway, and what a stranger sees of either.

mod questions;
mod shop;
mod table;
mod visit;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use panoply::{Guard, Policy, Redirects};
use panoply_gateway::Gateway;
use panoply_gateway::config::Site;
use rustls::RootCertStore;
use tokio::net::TcpListener;

use crate::args::Demo;
use crate::front::parse;
use crate::signals::Ending;
use crate::trouble::Trouble;

use shop::shop;
use table::{Paint, invitation, table};
use visit::compare;

#[expect(clippy::print_stdout, reason = "the comparison is this command's data")]
pub(crate) async fn demo(demo: Demo) -> Result<ExitCode, Trouble> {
    let listener = TcpListener::bind(demo.naked).await.map_err(|error| {
        Trouble::new(
            format_args!("cannot listen on {}: {error}", demo.naked),
            "choose another port with --naked",
        )
    })?;
    let naked = listener.local_addr().unwrap_or(demo.naked);
    let mut ending = Ending::listen()?;
    let gateway = Gateway::open(&config(&demo, naked)?)?;
    let shielded = gateway.https().unwrap_or(demo.https);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(gateway.certificates());

    tokio::spawn(shop(listener));
    let running = gateway.start()?;
    IS_UNDER_WAY.store(true, Ordering::Relaxed);
    let findings = compare(naked, shielded, roots).await;
    IS_UNDER_WAY.store(false, Ordering::Relaxed);
    let paint = Paint::of_stdout();
    print!("{}", table(&findings, paint));
    if !demo.once {
        print!("{}", invitation(naked, shielded, paint));
        ending.asked().await;
    }
    running.drain(Duration::from_secs(1)).await;
    let bare = findings.iter().any(|finding| !finding.shielded.safe);
    Ok(ExitCode::from(u8::from(bare)))
}

/// Whether what the gateway sees is this command's own doing.
pub(crate) fn is_under_way() -> bool {
    IS_UNDER_WAY.load(Ordering::Relaxed)
}

static IS_UNDER_WAY: AtomicBool = AtomicBool::new(false);

/// The gateway's own defaults, but for `redirects`, which in front of an unknown app is only observed.
fn config(demo: &Demo, naked: std::net::SocketAddr) -> Result<panoply_gateway::Config, Trouble> {
    let mut config = panoply_gateway::Config::default();
    config.https = parse("--https", &demo.https.to_string())?;
    config.state.clone_from(&demo.state);
    config.shield.redirects = Some(Guard::On(Redirects::in_front()));
    let mut site = Site::default();
    site.hosts = vec![parse("demo", "localhost")?];
    site.upstream = vec![parse("demo", &format!("http://{naked}"))?];
    config.sites.push(site);
    Ok(config)
}
