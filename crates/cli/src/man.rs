//! `panoply man`: a manual page for each command, made of the definitions that the command line is read by.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::Arguments;
use crate::trouble::Trouble;

pub(crate) fn man(folder: &Path) -> Result<ExitCode, Trouble> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    pages(&command, folder).map_err(|error| {
        Trouble::new(
            format_args!("cannot write manual pages to `{}`: {error}", folder.display()),
            "name a folder that is there and that this user may write",
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages(command, folder)?;
    }
    // An empty date would be left out, and what follows taken for it (man(7)).
    Man::new(command.clone()).date(" ").source(VERSION).manual("panoply").generate_to(folder)?;
    Ok(())
}

const VERSION: &str = concat!("panoply ", env!("CARGO_PKG_VERSION"));
