//! `panoply config`: is the file right, and what could it say?

use std::process::ExitCode;

use panoply_gateway::{Config, Gateway};

use crate::args::Configuration;
use crate::front;
use crate::trouble::Trouble;

#[expect(clippy::print_stdout, reason = "the report is this command's data")]
pub(crate) async fn config(command: Configuration) -> Result<ExitCode, Trouble> {
    match command {
        Configuration::Check { file } => {
            let mut config = front::read(&file)?;
            let sites = config.sites.len();
            // What would be made on first use is made where nobody looks for it.
            let folder = tempfile::tempdir().map_err(|error| {
                Trouble::new(format_args!("no folder for what is tried: {error}"), "check TMPDIR")
            })?;
            config.state = Some(folder.path().to_owned());
            Gateway::check(&config)?;
            println!("{}: right, {sites} {}", file.display(), if sites == 1 { "site" } else { "sites" });
        }
        Configuration::Default => print!("{}", Config::EXAMPLE),
    }
    Ok(ExitCode::SUCCESS)
}
