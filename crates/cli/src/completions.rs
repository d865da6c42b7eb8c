//! `panoply completions`: what a shell needs, made of the definitions that the command line is read by.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::aot;

use crate::args::{Arguments, Shell};
use crate::trouble::Trouble;

pub(crate) fn completions(shell: Shell) -> Result<ExitCode, Trouble> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    aot::generate(shell, &mut command, "panoply", &mut script);
    io::Write::write_all(&mut io::stdout(), &script).map_err(|error| {
        Trouble::new(format_args!("cannot write the completions: {error}"), "is there room where they go?")
    })?;
    Ok(ExitCode::SUCCESS)
}
