//! `panoply`: production security practices for web apps, in one command.

mod advisories;
mod args;
mod ask;
mod audit;
mod bans;
mod certificates;
mod completions;
mod config;
mod demo;
mod explain;
mod front;
mod man;
mod outset;
mod reload;
mod replay;
mod run;
mod serve;
mod signals;
mod store;
mod terminal;
mod trouble;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::OptionalWriter;

use args::{Arguments, Command, Subject};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log(match &arguments.command {
        // Its shields refuse by the thousand, and the report says whom.
        Command::Replay(_) => "warn",
        _ => "info",
    });
    let ended = match arguments.command {
        Command::Demo(demo) => block_on(demo::demo(demo)),
        // Before there is a second thread.
        Command::Run(run) => given().and_then(|given| block_on(run::run(run, given))),
        Command::Serve(serve) => given().and_then(|given| block_on(serve::serve(serve, given))),
        Command::Audit(command) => audit::audit(command),
        Command::Advisories(advisories) => block_on(advisories::advisories(advisories)),
        Command::Store(store) => block_on(store::store(store)),
        Command::Replay(replay) => block_on(replay::replay(replay)),
        Command::Config(configuration) => block_on(config::config(configuration)),
        Command::Certificates(command) => certificates::certificates(command),
        Command::Completions { shell } => completions::completions(shell),
        Command::Man { folder } => man::man(&folder),
        Command::Bans(command) => block_on(bans::bans(command)),
        Command::Explain { subject: Subject::Practice(practice), .. } => {
            explain::practice(practice);
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain { subject: Subject::Request(id), at, format } => {
            block_on(explain::request(id, at, format))
        }
    };
    ended.unwrap_or_else(|trouble| {
        trouble.print();
        ExitCode::from(COULD_NOT)
    })
}

/// The sockets that systemd has opened, if it has.
fn given() -> Result<panoply_gateway::Given, trouble::Trouble> {
    Ok(panoply_gateway::Given::take()?)
}

/// The thread that accepts, watches signals and the app; requests have threads of their own.
pub(crate) fn block_on(
    command: impl Future<Output = Result<ExitCode, trouble::Trouble>>,
) -> Result<ExitCode, trouble::Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        trouble::Trouble::new(format!("no runtime: {error}"), "check the limit on open files")
    })?;
    let ended = runtime.block_on(command);
    runtime.shutdown_timeout(LAST_FILES);
    ended
}

/// To stderr: stdout is the app's and the reports'. Nothing is written while a demonstration does itself what its table
/// then says, unless somebody asked for a log.
fn log(level: &str) {
    let asked = EnvFilter::try_from_env("PANOPLY_LOG");
    let is_asked = asked.is_ok();
    let to_stderr = move || {
        if demo::is_under_way() && !is_asked {
            OptionalWriter::none()
        } else {
            OptionalWriter::some(std::io::stderr())
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(asked.unwrap_or_else(|_| EnvFilter::new(level)))
        .with_writer(to_stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .init();
}

/// For files that are still read or written at the end: a disk that is away keeps nobody for ever.
const LAST_FILES: std::time::Duration = std::time::Duration::from_secs(2);

/// 0 is clean, 1 is findings, 2 is this.
const COULD_NOT: u8 = 2;
