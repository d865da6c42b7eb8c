//! `panoply serve`: in front of an app that runs elsewhere.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;

use panoply_gateway::dependencies::Dependencies;
use panoply_gateway::takeover::{Offer, Predecessor, Successor};
use panoply_gateway::{Config, Gateway, GatewayError, Given, Notices, Running};

use crate::advisories;
use crate::args::{Database, Serve};
use crate::audit::gate::Gated;
use crate::front::{App, parse};
use crate::outset;
use crate::reload::{News, Reload, reload};
use crate::signals::{Ending, Rotation};
use crate::trouble::Trouble;

pub(crate) async fn serve(serve: Serve, given: Given) -> Result<ExitCode, Trouble> {
    let notices = Notices::from_environment();
    let (front, to) = (serve.front.settled(), serve.to);
    let file = front.config.clone();
    let (mut ending, mut rotation) = (Ending::listen()?, Rotation::listen()?);
    let mut again = Reload::listen(file.as_deref())?;
    let address = to.clone();
    let read = move || {
        let app = address.as_ref().map_or(Ok(App::InTheFile), |to| parse("--to", to).map(App::At));
        front.config(app?)
    };
    let config = read()?;
    let reads = still_read(file.as_deref(), serve.project.as_deref());
    let mut predecessor = if serve.take_over { found(&config).await? } else { None };
    let told = Dependencies::default();
    let gated = serve.project.map(|project| Gated::new(serve.dependencies, project, told.clone()));
    let takes_over = predecessor.is_some();
    if takes_over {
        // What is wrong with this one is found while the other is at work: no visitor waits for that.
        Gateway::check(&config)?;
        apart(gated.as_ref())?;
    }
    let (mut gateway, notices) = open(&config, given, predecessor.as_mut(), notices).await?;
    gateway.confine(&reads)?;
    if !takes_over {
        admit(gated.as_ref()).await?;
    }
    gateway.tell_of(&told);
    outset::print(&gateway, &config, to.as_deref().unwrap_or("the sites of the file"));
    let mut running = gateway.start()?;
    let mut offer = Offer::open(&config, None);
    if let Some(predecessor) = predecessor {
        if let Some(bequest) = predecessor.relieve().await? {
            running.inherit(bequest);
        }
        tracing::info!("serves in the place of the one before");
    }
    notices.ready(&outset::status(&running));
    let watchdog = tokio::spawn(notices.clone().keep_watchdog(running.heartbeats()));
    let audits = gated.map(|gated| tokio::spawn(gated.keep()));
    let (mut has_successor, mut is_over) = (false, false);
    while !is_over {
        tokio::select! {
            () = ending.asked() => is_over = true,
            successor = offer.asked() => {
                (has_successor, is_over) = succeed(&mut running, successor, &notices, &mut ending).await;
                if !is_over {
                    offer = Offer::open(&config, None); // the other may have put its own into this one's place
                }
            }
            () = rotation.asked() => running.reopen_access_log(),
            news = again.news() => match news {
                News::HungUp => is_over = true,
                News::Configuration => tokio::select! {
                    () = reload(&mut running, &mut again, read.clone(), &notices) => {}
                    () = ending.asked() => is_over = true, // and the reload is given up
                },
            },
        }
    }
    drop(offer);
    let end = async {
        if has_successor {
            watchdog.abort(); // systemd hears the other
            return running.retire().await;
        }
        tracing::info!("told to end: requests may end");
        notices.stopping("told to end: requests may end");
        notices.while_busy(running.end(None)).await
    };
    let at_once = async {
        if has_successor {
            ending.asked().await; // it ends already, and has not been told to hurry
        }
        ending.asked().await; // a second time: now
    };
    let open = tokio::select! {
        open = end => open,
        () = at_once => 0,
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

/// On the sockets of the one before, who then waits for this one to serve; without one, on those that are `given`.
async fn open(
    config: &Config,
    given: Given,
    predecessor: Option<&mut Predecessor>,
    notices: Notices,
) -> Result<(Gateway, Notices), Trouble> {
    if let Some(predecessor) = predecessor {
        let (sockets, its_notices) = predecessor.take().await?;
        return Ok((Gateway::open_on(config, sockets)?, notices.or(its_notices)));
    }
    match Gateway::open_on(config, given) {
        Ok(gateway) => Ok((gateway, notices)),
        Err(error) => Err(in_its_place(error, config).await),
    }
}

/// Whether `successor` goes on, and whether this one ends. Who is told to end meanwhile waits to see: a new one that is
/// left alone in between would end too, and nobody would serve.
async fn succeed(
    running: &mut Running,
    successor: Successor,
    notices: &Notices,
    ending: &mut Ending,
) -> (bool, bool) {
    let mut handed = pin!(running.hand_over(successor, notices));
    tokio::select! {
        handed = handed.as_mut() => (handed, handed),
        () = ending.asked() => tokio::select! {
            handed = handed => (handed, true),
            () = ending.asked() => (false, true),
        },
    }
}

/// Whether the app's dependencies let it start.
async fn admit(gated: Option<&Gated>) -> Result<(), Trouble> {
    match gated {
        Some(gated) => gated.admit().await,
        None => Ok(()),
    }
}

/// The same in a thread that is gone afterwards: who closes the sandbox has to be the only one there is.
fn apart(gated: Option<&Gated>) -> Result<(), Trouble> {
    let Some(gated) = gated else { return Ok(()) };
    let admit = || crate::block_on(async { gated.admit().await.map(|()| ExitCode::SUCCESS) });
    let ended = std::thread::scope(|scope| scope.spawn(admit).join());
    let ended = ended.unwrap_or_else(|_| Err(Trouble::new("the audit broke off", "leave out --project")));
    ended.map(drop)
}

/// Who is to hand over; where there is nobody, this is a start like any other.
async fn found(config: &Config) -> Result<Option<Predecessor>, Trouble> {
    let found = Predecessor::find(config).await?;
    if found.is_none() {
        tracing::info!("nobody is at work with this state folder: started as without --take-over");
    }
    Ok(found)
}

/// Where the address is taken by one who would hand it over, that is the mend.
async fn in_its_place(error: GatewayError, config: &Config) -> Trouble {
    let is_taken = matches!(
        &error,
        GatewayError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse
    );
    if is_taken && let Ok(Some(other)) = Predecessor::find(config).await {
        let process = other.process().map_or_else(String::new, |process| format!(", process {process},"));
        return Trouble::chained(
            &error,
            &format!(
                "a panoply with the same state folder{process} is at work: add --take-over to go on in its place, or \
                 stop it"
            ),
        );
    }
    error.into()
}
