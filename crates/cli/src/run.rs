//! `panoply run`: starts the app, stands in front of it, stops it last.

use std::process::ExitCode;
use std::time::Duration;

use panoply_gateway::supervise::{App, Command, Signal, exit_code, free_port};
use panoply_gateway::{Gateway, state_folder};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Run;
use crate::front;
use crate::outset;
use crate::serve::asked_to_end;
use crate::trouble::Trouble;

pub(crate) async fn run(run: Run) -> Result<ExitCode, Trouble> {
    let Some((program, arguments)) = run.command.split_first() else {
        return Err(Trouble::new("no command", "write it after `--`: panoply run -- npm start"));
    };
    // Everything that can be wrong with us is found before the app is started.
    let port = free_port()?;
    let mut config = run.front.config(front::App::Started)?;
    config.exempt_loopback = true;
    let gateway = Gateway::open(&config)?;

    let app = App::start(
        Command {
            production: run.production,
            preload: !run.no_preload,
            allow_public_port: run.allow_public_port,
            ..Command::new(program, arguments, state_folder(config.state.as_deref())?)
        },
        port,
    )?;
    let ready = tokio::select! {
        ready = app.ready(PATIENCE) => ready,
        asked = asked_to_end() => {
            asked?;
            return Ok(ExitCode::from(app.stop(Duration::from_secs(run.grace)).await));
        }
    };
    let address = ready?;
    gateway.found_app(address, app.proof());
    outset::print(&gateway, &config, &format!("`{}` on {address}", run.command.join(" ")));
    let running = gateway.start()?;

    let grace = Duration::from_secs(run.grace);
    let code = tokio::select! {
        status = app.exited() => {
            tracing::error!(%status, "the app ended by itself");
            running.drain(Duration::from_millis(100)).await;
            app.stop(grace).await; // what it started and left behind
            exit_code(status)
        }
        asked = asked_to_end() => {
            asked?;
            tracing::info!("no more connections; requests may end, then the app");
            tokio::select! {
                _ = running.drain(grace) => {}
                asked = asked_to_end() => asked?, // a second time: now
            }
            app.stop(grace).await
        }
        trouble = pass_on(&app) => return Err(trouble),
    };
    Ok(ExitCode::from(code))
}

/// Signals that mean something to an app and nothing to us.
async fn pass_on(app: &App) -> Trouble {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| Trouble::new(format_args!("cannot wait for signals: {error}"), "report this"))
    };
    let (hangup, user_1, user_2) = match (
        listen(SignalKind::hangup()),
        listen(SignalKind::user_defined1()),
        listen(SignalKind::user_defined2()),
    ) {
        (Ok(hangup), Ok(user_1), Ok(user_2)) => (hangup, user_1, user_2),
        (Err(trouble), ..) | (_, Err(trouble), _) | (.., Err(trouble)) => return trouble,
    };
    let (mut hangup, mut user_1, mut user_2) = (hangup, user_1, user_2);
    loop {
        let received = tokio::select! {
            _ = hangup.recv() => Signal::HUP,
            _ = user_1.recv() => Signal::USR1,
            _ = user_2.recv() => Signal::USR2,
        };
        if let Err(error) = app.signal(received) {
            tracing::warn!(%error, signal = ?received, "the app could not be told");
        }
    }
}

/// A large app compiles itself at start-up; after this long it is taken to be stuck.
const PATIENCE: Duration = Duration::from_secs(300);
