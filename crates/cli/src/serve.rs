//! `panoply serve`: in front of an app that runs elsewhere.

use std::process::ExitCode;

use panoply_gateway::{Gateway, Given, Notices};

use crate::args::Serve;
use crate::audit::gate::Gated;
use crate::front::{App, parse};
use crate::outset;
use crate::reload::{News, Reload, reload};
use crate::signals::{Ending, Rotation};
use crate::trouble::Trouble;

pub(crate) async fn serve(serve: Serve, given: Given) -> Result<ExitCode, Trouble> {
    let notices = Notices::from_environment();
    let (front, to) = (serve.front.settled(), serve.to);
    let (mut ending, mut rotation) = (Ending::listen()?, Rotation::listen()?);
    let mut again = Reload::listen(front.config.as_deref())?;
    let read = || front.config(to.as_ref().map_or(Ok(App::InTheFile), |to| parse("--to", to).map(App::At))?);
    let config = read()?;
    let gateway = Gateway::open_on(&config, given)?;
    let gated = serve.project.map(|project| Gated::new(serve.dependencies, project, gateway.dependencies()));
    if let Some(gated) = &gated {
        gated.admit().await?;
    }
    outset::print(&gateway, &config, to.as_deref().unwrap_or("the sites of the file"));
    let mut running = gateway.start()?;
    notices.ready(&outset::status(&running));
    tokio::spawn(notices.clone().keep_watchdog(running.heartbeats()));
    let audits = gated.map(|gated| tokio::spawn(gated.keep()));
    loop {
        tokio::select! {
            () = ending.asked() => break,
            () = rotation.asked() => running.reopen_access_log(),
            news = again.news() => match news {
                News::HungUp => break,
                News::Configuration => reload(&mut running, read(), &notices).await,
            },
        }
    }
    tracing::info!("told to end: requests may end");
    notices.stopping("told to end: requests may end");
    let open = tokio::select! {
        open = notices.while_busy(running.end(None)) => open,
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
