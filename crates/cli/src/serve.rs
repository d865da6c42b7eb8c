//! `panoply serve`: in front of an app that runs elsewhere.

use std::process::ExitCode;
use std::time::Duration;

use panoply_gateway::Gateway;

use crate::args::Serve;
use crate::front::{App, parse};
use crate::outset;
use crate::signals::{Ending, Rotation};
use crate::trouble::Trouble;

pub(crate) async fn serve(serve: Serve) -> Result<ExitCode, Trouble> {
    let app = match &serve.to {
        Some(to) => App::At(parse("--to", to)?),
        None => App::InTheFile,
    };
    let config = serve.front.config(app)?;
    let (mut ending, mut rotation) = (Ending::listen()?, Rotation::listen()?);
    let gateway = Gateway::open(&config)?;
    outset::print(&gateway, &config, serve.to.as_deref().unwrap_or("the sites of the file"));
    let running = gateway.start()?;
    loop {
        tokio::select! {
            () = ending.asked() => break,
            () = rotation.asked() => running.reopen_access_log(),
        }
    }
    tracing::info!("no more connections; requests may end");
    let open = tokio::select! {
        open = running.drain(GRACE) => open,
        () = ending.asked() => 0, // a second time: now
    };
    if open > 0 {
        tracing::warn!(connections = open, "closed while still in use");
    }
    Ok(ExitCode::SUCCESS)
}

/// What container runtimes and systemd allow before they kill is ten seconds or more.
const GRACE: Duration = Duration::from_secs(10);
