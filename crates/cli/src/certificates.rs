//! `panoply certificates`: which there are on this machine, and until when.

use std::process::ExitCode;

use panoply_gateway::inventory::{Entry, Inventory, Origin};

use crate::args::{Certificates, Format};
use crate::ask::shown;
use crate::front;
use crate::trouble::Trouble;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the list is data, what cannot be read is not")]
pub(crate) fn certificates(command: Certificates) -> Result<ExitCode, Trouble> {
    let Certificates::List { config, state, format } = command;
    let mut config = front::file(config.as_deref())?;
    if state.is_some() {
        config.state = state;
    }
    let inventory = Inventory::of(&config)?;
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&inventory).unwrap_or_default()),
        Format::Text if inventory.certificates.is_empty() => println!("there are no certificates yet"),
        Format::Text => inventory.certificates.iter().for_each(|entry| print!("{}", text(entry))),
    }
    for fault in &inventory.faults {
        eprintln!("error: {fault}\nhint: {}", fault.hint());
    }
    Ok(if inventory.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(crate::COULD_NOT) })
}

fn text(entry: &Entry) -> String {
    let from = match entry.from {
        Origin::Acme => "ordered by the gateway",
        Origin::SelfMade => "made here, and trusted by no browser",
        _ => "a file of yours",
    };
    let renewal = entry.renewal.as_deref().unwrap_or("by whoever writes the file");
    format!(
        "{}\n  issuer   {}\n  valid    {} to {}\n  from     {from}: {}\n  renewed  {renewal}\n",
        shown(&entry.names.join(" ")),
        shown(&entry.issuer),
        entry.not_before,
        entry.not_after,
        shown(&entry.file.display().to_string()),
    )
}
