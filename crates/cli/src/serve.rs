//! `panoply serve`: in front of an app that runs elsewhere.

use std::process::ExitCode;
use std::time::Duration;

use panoply_gateway::Gateway;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Serve;
use crate::front::{App, parse};
use crate::outset;
use crate::trouble::Trouble;

pub(crate) async fn serve(serve: Serve) -> Result<ExitCode, Trouble> {
    let app = match &serve.to {
        Some(to) => App::At(parse("--to", to)?),
        None => App::InTheFile,
    };
    let config = serve.front.config(app)?;
    let gateway = Gateway::open(&config)?;
    outset::print(&gateway, &config, serve.to.as_deref().unwrap_or("the sites of the file"));
    let running = gateway.start()?;
    asked_to_end().await?;
    tracing::info!("no more connections; requests may end");
    let open = tokio::select! {
        open = running.drain(GRACE) => open,
        asked = asked_to_end() => { asked?; 0 } // a second time: now
    };
    if open > 0 {
        tracing::warn!(connections = open, "closed while still in use");
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn asked_to_end() -> Result<(), Trouble> {
    let no_signals = |error| Trouble::new(format_args!("cannot wait for signals: {error}"), "report this");
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// What container runtimes and systemd allow before they kill is ten seconds or more.
const GRACE: Duration = Duration::from_secs(10);
