//! The file and the flags become one [`Config`]; a flag goes before the file.

use std::path::Path;
use std::{env, fs};

use panoply::SettingError;
use panoply_gateway::config::{Secret, Site, Upstream};
use panoply_gateway::{Config, denied};

use crate::args::Front;
use crate::trouble::Trouble;

/// Where the command line says the app is.
#[derive(Debug)]
pub(crate) enum App {
    /// It says nothing: the file must.
    InTheFile,
    /// It runs there.
    At(Upstream),
    /// It is to be started, and known then.
    Started,
}

impl Front {
    /// Stays with the file that is here now: one that goes away later must not leave all settings at their defaults.
    pub(crate) fn settled(mut self) -> Self {
        if self.config.is_none() && Path::new(DEFAULT_FILE).exists() {
            self.config = Some(DEFAULT_FILE.into());
        }
        self
    }

    /// What the file says, and over it what the flags say.
    pub(crate) fn config(&self, app: App) -> Result<Config, Trouble> {
        let mut config = file(self.config.as_deref())?;
        if let Some(contact) = &self.acme {
            config.order_certificates(parse("--acme", contact)?);
        }
        if let Some(https) = &self.https {
            config.https = parse("--https", https)?;
        }
        if let Some(http) = &self.http {
            config.http = Some(parse("--http", http)?);
        }
        if self.cert.is_some() {
            config.tls.cert.clone_from(&self.cert);
            config.tls.key.clone_from(&self.key);
        }
        if self.state.is_some() {
            config.state.clone_from(&self.state);
        }
        if let Some(admin) = &self.admin {
            config.admin = Some(parse("--admin", admin)?);
        }
        // On the command line, every process of the machine can read a password.
        if let Some(url) = &self.store {
            config.store.url = Some(Secret::Here(url.clone()));
        } else if env::var_os(STORE).is_some_and(|url| !url.is_empty()) {
            config.store.url = Some(Secret::Variable(STORE.to_owned()));
        }
        self.name_hosts(&mut config)?;
        place(&mut config, app)?;
        Ok(config)
    }

    fn name_hosts(&self, config: &mut Config) -> Result<(), Trouble> {
        if self.hosts.is_empty() {
            return Ok(());
        }
        let hosts = self.hosts.iter().map(|host| parse("--host", host)).collect::<Result<_, _>>()?;
        only_site(config, "--host", "name the hosts in the file's `[[site]]` tables")?.hosts = hosts;
        Ok(())
    }
}

/// What the file says that was named, else the one that is here, if there is one.
pub(crate) fn file(named: Option<&Path>) -> Result<Config, Trouble> {
    match named {
        Some(path) => read(path),
        None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE)),
        None => Ok(Config::default()),
    }
}

/// Reads and checks a configuration file.
pub(crate) fn read(path: &Path) -> Result<Config, Trouble> {
    let text = fs::read_to_string(path).map_err(|error| {
        let denied = denied::hint(path, &error);
        let hint = denied.as_deref().unwrap_or("write one with `panoply config default > panoply.toml`");
        Trouble::new(format_args!("cannot read `{}`: {error}", path.display()), hint)
    })?;
    Config::parse(&text).map_err(|error| error.in_file(path).into())
}

/// A flag's value.
pub(crate) fn parse<T: std::str::FromStr<Err = SettingError>>(flag: &str, text: &str) -> Result<T, Trouble> {
    text.parse().map_err(|error| Trouble::flag(flag, &error))
}

/// Gives the app to every site that does not say where its own is; there must be such a site just when the command
/// line has an app.
fn place(config: &mut Config, app: App) -> Result<(), Trouble> {
    if config.sites.is_empty() && !matches!(app, App::InTheFile) {
        config.sites.push(Site::default());
    }
    let homeless = config.sites.iter().filter(|site| site.upstream.is_empty()).count();
    match app {
        App::InTheFile if homeless > 0 || config.sites.is_empty() => Err(Trouble::new(
            "nothing says where the app is",
            "name it with `--to http://127.0.0.1:3000`, or in the file with `upstream`",
        )),
        App::At(_) | App::Started if homeless == 0 => Err(Trouble::new(
            "the command line names an app, but every site of the file has its own",
            "leave `upstream` out of the site that this app is for",
        )),
        App::At(address) => {
            for site in config.sites.iter_mut().filter(|site| site.upstream.is_empty()) {
                site.upstream.push(address.clone());
            }
            Ok(())
        }
        App::InTheFile | App::Started => Ok(()),
    }
}

fn only_site<'c>(config: &'c mut Config, flag: &str, hint: &str) -> Result<&'c mut Site, Trouble> {
    if config.sites.is_empty() {
        config.sites.push(Site::default());
    }
    match config.sites.as_mut_slice() {
        [site] => Ok(site),
        sites => {
            Err(Trouble::new(format_args!("{flag} is for one site, but the file has {}", sites.len()), hint))
        }
    }
}

const STORE: &str = "PANOPLY_STORE";
const DEFAULT_FILE: &str = "panoply.toml";
