//! `panoply config`: is the file right, and what could it say?

use std::process::ExitCode;

use panoply_gateway::Config;

use crate::args::Configuration;
use crate::front;
use crate::trouble::Trouble;

#[expect(clippy::print_stdout, reason = "the report is this command's data")]
pub(crate) fn config(command: Configuration) -> Result<ExitCode, Trouble> {
    match command {
        Configuration::Check { file } => {
            let config = front::read(&file)?;
            let sites = config.sites.len();
            println!("{}: right, {sites} {}", file.display(), if sites == 1 { "site" } else { "sites" });
        }
        Configuration::Default => print!("{}", Config::EXAMPLE),
    }
    Ok(ExitCode::SUCCESS)
}
