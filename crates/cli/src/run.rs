//! `panoply run`: starts the app, stands in front of it, stops it last.

use std::process::ExitCode;
use std::time::Duration;

use panoply_gateway::supervise::{App, Command, Signal, exit_code, free_port};
use panoply_gateway::takeover::Offer;
use panoply_gateway::{Gateway, Given, Notices, state_folder};

use crate::args::Run;
use crate::audit::gate::Gated;
use crate::front;
use crate::outset;
use crate::reload::{News, Reload, reload};
use crate::signals::{Ending, ForTheApp};
use crate::trouble::Trouble;

pub(crate) async fn run(run: Run, given: Given) -> Result<ExitCode, Trouble> {
    let Some((program, arguments)) = run.command.split_first() else {
        return Err(Trouble::new("no command", "write it after `--`: panoply run -- npm start"));
    };
    let (mut ending, mut for_the_app) = (Ending::listen()?, ForTheApp::listen()?);
    let notices = Notices::from_environment();
    // Everything that can be wrong with us is found before the app is started.
    let port = free_port()?;
    let front = run.front.settled();
    let mut again = Reload::listen(front.config.as_deref())?;
    let read = move || {
        let mut config = front.config(front::App::Started)?;
        config.exempt_loopback = true;
        Ok(config)
    };
    let config = read()?;
    if config.user.is_some() {
        return Err(Trouble::new(
            "`user` is for `panoply serve`: here the app would lose root with us",
            "start `panoply run` as the app's own user, and leave `user` out of the file",
        ));
    }
    let gateway = Gateway::open_on(&config, given)?;
    gateway.conceal()?;
    tracing::info!(
        "sandbox: none, since the app would inherit it; `panoply serve` has one; memory closed to other processes"
    );
    let gated = Gated::new(run.dependencies, ".", gateway.dependencies());
    gated.admit().await?;

    let app = App::start(
        Command {
            production: run.production,
            preload: !run.no_preload,
            allow_public_port: run.allow_public_port,
            withheld: config.secret_variables().map(Into::into).collect(),
            ..Command::new(program, arguments, state_folder(config.state.as_deref())?)
        },
        port,
    )?;
    let ready = tokio::select! {
        ready = notices.while_busy(app.ready(PATIENCE)) => ready,
        () = ending.asked() => {
            return Ok(ExitCode::from(app.stop(Duration::from_secs(run.grace)).await));
        }
    };
    let address = ready?;
    gateway.found_app(address, app.proof());
    outset::print(&gateway, &config, &format!("`{}` on {address}", run.command.join(" ")));
    let mut running = gateway.start()?;
    let _offer = Offer::open(&config, Some(REFUSES));
    notices.ready(&outset::status(&running));
    tokio::spawn(notices.clone().keep_watchdog(running.heartbeats()));
    let audits = tokio::spawn(gated.keep());

    let grace = Duration::from_secs(run.grace);
    let mut is_over = false;
    let code = loop {
        tokio::select! {
            status = app.exited() => {
                tracing::error!(%status, "the app ended by itself");
                notices.stopping("the app ended by itself");
                running.drain(LAST_WORDS).await;
                app.stop(grace).await; // what it started and left behind
                break exit_code(status);
            }
            () = ended(&mut ending, is_over) => {
                tracing::info!("told to end: requests may end, then the app");
                notices.stopping("told to end: requests may end, then the app");
                tokio::select! {
                    _ = notices.while_busy(running.end(Some(grace))) => {}
                    () = ending.asked() => {} // a second time: now
                }
                break notices.while_busy(app.stop(grace)).await;
            }
            news = again.news(), if !is_over => match news {
                News::HungUp => is_over = true,
                News::Configuration => tokio::select! {
                    () = reload(&mut running, &mut again, read.clone(), &notices) => {}
                    // Both give the reload up.
                    () = ending.asked() => is_over = true,
                    _ = app.exited() => {} // which the next round hears again
                },
            },
            // A log's rotation is no word to the app: Node would open its debugger.
            received = for_the_app.next() => match received {
                Signal::USR1 if config.access_log.is_some() => running.reopen_access_log(),
                received => {
                    if let Err(error) = app.signal(received) {
                        tracing::warn!(%error, signal = ?received, "the app could not be told");
                    }
                }
            },
        }
    };
    audits.abort();
    Ok(ExitCode::from(code))
}

/// Who closes a terminal wants an end, too.
async fn ended(ending: &mut Ending, is_over: bool) {
    if !is_over {
        ending.asked().await;
    }
}

/// To who asks for its place.
const REFUSES: &str = "it has started the app itself, which ends with it";
/// A large app compiles itself at start-up; after this long it is taken to be stuck.
const PATIENCE: Duration = Duration::from_secs(300);
/// For answers that were on their way when the app ended.
const LAST_WORDS: Duration = Duration::from_millis(100);
