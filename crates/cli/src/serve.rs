//! `panoply serve`: in front of an app that runs elsewhere.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use panoply_gateway::Gateway;

use crate::advisories;
use crate::args::{Database, Serve};
use crate::audit::gate::Gated;
use crate::front::{App, parse};
use crate::outset;
use crate::reload::{News, Reload, reload};
use crate::signals::{Ending, Rotation};
use crate::trouble::Trouble;

pub(crate) async fn serve(serve: Serve) -> Result<ExitCode, Trouble> {
    let (front, to) = (serve.front.settled(), serve.to);
    let (mut ending, mut rotation) = (Ending::listen()?, Rotation::listen()?);
    let mut again = Reload::listen(front.config.as_deref())?;
    let read = || front.config(to.as_ref().map_or(Ok(App::InTheFile), |to| parse("--to", to).map(App::At))?);
    let config = read()?;
    let mut gateway = Gateway::open(&config)?;
    gateway.confine(&still_read(front.config.as_deref(), serve.project.as_deref()))?;
    let gated = serve.project.map(|project| Gated::new(serve.dependencies, project, gateway.dependencies()));
    if let Some(gated) = &gated {
        gated.admit().await?;
    }
    outset::print(&gateway, &config, to.as_deref().unwrap_or("the sites of the file"));
    let mut running = gateway.start()?;
    let audits = gated.map(|gated| tokio::spawn(gated.keep()));
    loop {
        tokio::select! {
            () = ending.asked() => break,
            () = rotation.asked() => running.reopen_access_log(),
            news = again.news() => match news {
                News::HungUp => break,
                News::Configuration => reload(&mut running, read()).await,
            },
        }
    }
    tracing::info!("told to end: requests may end");
    let open = tokio::select! {
        open = running.end(None) => open,
        () = ending.asked() => 0, // a second time: now
    };
    if let Some(audits) = audits {
        audits.abort();
    }
    if open > 0 {
        tracing::warn!(connections = open, "closed while still in use");
    }
    Ok(ExitCode::SUCCESS)
}

/// What is read again while it serves, beside the files that the configuration names.
fn still_read(config: Option<&Path>, project: Option<&Path>) -> Vec<PathBuf> {
    let database = project.and_then(|_| advisories::place(&Database::default()).ok());
    config.into_iter().chain(project).map(Path::to_owned).chain(database).collect()
}
