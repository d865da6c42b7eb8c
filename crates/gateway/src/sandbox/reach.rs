//! Where the gateway reads and writes.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::{env, fmt, fs};

use landlock::{AccessFs, BitFlags};

use crate::config::{Config, KeySource, LogFile, Secret};
use crate::{GatewayError, denied, state};

/// What can still be read and written. Folders are known with all that is below them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    reads: BTreeSet<PathBuf>,
    writes: BTreeSet<PathBuf>,
    /// Where lines are added to files, and files are made.
    logs: BTreeSet<PathBuf>,
    /// Files in a home, without the home.
    alone: Vec<PathBuf>,
}

impl Reach {
    /// What a gateway with this configuration needs, and `reads`, which something else here reads. The state folder is
    /// made, since there can be no right to what is not there.
    pub(super) fn of(config: &Config, reads: &[PathBuf]) -> Self {
        let mut reach = Self::default();
        reach.reads.extend(OF_THE_SYSTEM.iter().map(PathBuf::from));
        let trusted =
            ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(env::var_os).map(PathBuf::from);
        for path in files(config).map(Path::to_owned).chain(trusted) {
            around(&path, &mut reach.reads, LINKS);
        }
        for path in reads {
            reach.alone.extend(around_but_homes(path, &mut reach.reads));
        }
        if let Ok(folder) = state::folder(config.state.as_deref()) {
            let _ = state::make(&folder);
            reach.writes.extend(fs::canonicalize(&folder));
        }
        // Where systemd gives a folder for sockets.
        let run = env::var_os("RUNTIME_DIRECTORY").filter(|path| !path.is_empty());
        reach.writes.extend(run.and_then(|folder| fs::canonicalize(folder).ok()));
        if let Some(LogFile::At(path)) = &config.access_log {
            // A rotated log is made anew beside the old one; a device or a pipe is written where it is.
            match fs::metadata(path) {
                Ok(found) if !found.is_file() => drop(reach.logs.insert(path.clone())),
                _ => reach.alone.extend(around_but_homes(path, &mut reach.logs)),
            }
        }
        reach
    }

    /// Refuses a configuration that names what cannot be read any more.
    ///
    /// # Errors
    /// With the folder, and that a restart is the mend.
    pub(crate) fn admit(&self, config: &Config) -> Result<(), GatewayError> {
        let is_within =
            |path: &Path| self.reads.iter().chain(&self.writes).any(|within| path.starts_with(within));
        for file in files(config) {
            // A file that is not there has an error of its own.
            let Some(place) = real(file) else { continue };
            if !is_within(&place) {
                let folder = place.parent().unwrap_or(&place).display();
                return Err(GatewayError::Setting {
                    message: format!(
                        "`{}` is in `{folder}`, where the sandbox of this process does not reach",
                        file.display()
                    ),
                    hint: denied::RESTART.to_owned(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = (&Path, BitFlags<AccessFs>)> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        // Not to be emptied, replaced or taken away.
        let log = AccessFs::WriteFile | AccessFs::MakeReg;
        // No links: the next to start here may be root, who reads what is there.
        let write = AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::MakeDir
            | AccessFs::MakeSock
            | AccessFs::RemoveFile
            | AccessFs::Refer;
        let all = [(&self.reads, read), (&self.writes, read | write), (&self.logs, log)];
        all.into_iter().flat_map(|(paths, rights)| paths.iter().map(move |path| (path.as_path(), rights)))
    }

    /// What an operator should know: a home has keys in it that are none of a gateway's business.
    pub(super) fn warn(&self) {
        for file in &self.alone {
            tracing::warn!(
                file = %file.display(),
                "it lies in a home, of which the sandbox leaves this one file: what replaces it is out of reach\n\
                 hint: move it into a folder of its own, or restart panoply after each change"
            );
        }
        for home in self.reads.iter().filter(|folder| is_home(folder)) {
            tracing::warn!(
                home = %home.display(),
                "a file that the configuration names lies in a home, so all of that can be read from the sandbox\n\
                 hint: move the file into a folder of its own"
            );
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writes: BTreeSet<_> = self.writes.union(&self.logs).collect();
        let writes: Vec<_> = writes.iter().map(|path| path.display().to_string()).collect();
        match writes.as_slice() {
            [] => f.write_str("no writes"),
            writes => write!(f, "writes only in {}", writes.join(", ")),
        }
    }
}

/// The files that a configuration names.
pub(crate) fn files(config: &Config) -> impl Iterator<Item = &Path> {
    let acme = &config.tls.acme;
    let secrets = [
        config.store.url.as_ref(),
        config.admin_token.as_ref(),
        acme.external_account.as_ref().map(|account| &account.key),
        acme.dns.as_ref().and_then(|dns| dns.key.as_ref()).map(|key| &key.secret),
    ];
    let secrets = secrets.into_iter().flatten().filter_map(|secret| match secret {
        Secret::File(path) => Some(path),
        _ => None,
    });
    let keys = match &config.keys {
        Some(KeySource::File(path)) => Some(path),
        _ => None,
    };
    let alone = [&config.trusted_proxies_file, &config.tls.cert, &config.tls.key, &acme.ca];
    let sites = config.sites.iter().flat_map(|site| {
        let tls = &site.tls;
        let rules = site.rules.iter().filter_map(|rule| rule.upstreams.ca.as_ref());
        let page = site.maintenance.as_ref().and_then(|maintenance| maintenance.page.as_ref());
        let own = [&tls.cert, &tls.key, &tls.client_ca, &tls.client_crl, &site.upstreams.ca];
        own.into_iter().filter_map(Option::as_ref).chain(page).chain(rules)
    });
    let named = alone.into_iter().filter_map(Option::as_ref).chain(keys).chain(secrets).chain(sites);
    named.map(PathBuf::as_path)
}

/// Adds the folder that `path` is in, since what replaces the file is another one; and where links lead, the folders that
/// hold the links too: one that is laid anew leads to a neighbour.
fn around(path: &Path, folders: &mut BTreeSet<PathBuf>, links: usize) {
    let Ok(path) = std::path::absolute(path) else { return };
    let mut walked = PathBuf::new();
    for part in path.components() {
        walked.push(part);
        if let (Ok(target), Some(folder), true) = (fs::read_link(&walked), walked.parent(), links > 0) {
            if folder != Path::new("/") {
                folders.extend(fs::canonicalize(folder));
            }
            around(&folder.join(target), folders, links - 1);
        }
    }
    let Some(place) = real(&path) else { return };
    folders.insert(if place.is_dir() { place } else { folder_of(&place) });
}

/// The same, but of a home nothing but the file that is there now, which is told: who must restart panoply after a change
/// loses less than who lets his keys be read. A certificate is no such file, since nobody is there when it is renewed.
fn around_but_homes(path: &Path, folders: &mut BTreeSet<PathBuf>) -> Option<PathBuf> {
    let mut found = BTreeSet::new();
    around(path, &mut found, LINKS);
    let place = real(path)?;
    if place.is_dir() {
        folders.extend(found);
        return None;
    }
    let is_alone = place.parent().is_some_and(is_home);
    folders.extend(found.into_iter().filter(|folder| !is_home(folder)));
    is_alone.then(|| {
        folders.insert(place.clone());
        place
    })
}

/// Of this user, or of another.
fn is_home(folder: &Path) -> bool {
    let own = env::var_os("HOME").and_then(|home| fs::canonicalize(home).ok());
    own.is_some_and(|own| own == folder)
        || folder == Path::new("/root")
        || folder.parent() == Some(Path::new("/home"))
}

/// The folder of a file; a file at the top is alone, or it would bring all others with it.
fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder.components().ne([Component::RootDir]) => folder.to_owned(),
        _ => file.to_owned(),
    }
}

/// Where a file is, or would be; `None` where not even its folder is there.
fn real(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let beside = || Some(fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    fs::canonicalize(&path).ok().or_else(beside)
}

/// Links one after the other that are followed; the kernel follows 40 in all (path_resolution(7)).
const LINKS: usize = 8;

/// The C library and what it resolves names with, authorities, what the kernel tells; where NixOS and Guix keep all
/// that. No home, no /root, /srv, /var, /tmp.
const OF_THE_SYSTEM: &[&str] = &[
    "/etc",
    "/gnu/store",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/proc",
    "/run",
    "/sys",
    "/usr",
    "/dev/null",
    "/dev/random",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folders_of_files_and_of_links_are_within_reach_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for name in ["certs/2025", "certs/2026", "plain", "conf", "far"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::write(root.join("certs/2025/x.pem"), "").unwrap();
        fs::write(root.join("far/y"), "").unwrap();
        symlink("2025", root.join("certs/current")).unwrap();
        symlink("../far/y", root.join("conf/linked")).unwrap();
        for (path, expected) in [
            ("plain/x", &["plain"][..]),
            ("certs/current/x.pem", &["certs", "certs/2025"]),
            ("conf/linked", &["conf", "far"]),
            ("conf", &["conf"]),
            ("none/at/all", &[]),
        ] {
            let mut found = BTreeSet::new();
            around(&root.join(path), &mut found, LINKS);
            let expected: BTreeSet<_> = expected.iter().map(|name| root.join(name)).collect();
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(folder_of(Path::new("/x.pem")), Path::new("/x.pem"));
        assert_eq!(folder_of(Path::new("/a/x.pem")), Path::new("/a"));
    }

    /// A setting that names a file has to be known here, or the gateway could not read it.
    #[test]
    fn every_file_that_the_example_names_is_known() {
        let uncommented = |line: &str| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                setting.to_owned()
            }
            _ => line.to_owned(),
        };
        let text: Vec<String> = Config::EXAMPLE.lines().map(uncommented).collect();
        let config = Config::parse(&text.join("\n")).unwrap();
        let known: BTreeSet<_> = files(&config).map(|path| path.display().to_string()).collect();
        for line in text.iter().filter(|line| !line.starts_with('#')) {
            for path in line.split('"').filter(|path| path.starts_with("/etc/panoply/")) {
                assert!(known.contains(path), "{line}: {known:?}");
            }
        }
        assert!(known.len() > 8, "{known:?}");
    }
}
