//! The package manager at work in a copy. It installs nothing, and runs no program of a package or of the project.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use panoply_inspect::audit::fix::Fix;
use panoply_inspect::audit::fix::manager::Manager;
use panoply_inspect::audit::hole::Fixed;

use crate::ask::shown;
use crate::trouble::Trouble;

pub(super) struct Installer<'f> {
    manager: Manager,
    folder: &'f Path,
}

impl<'f> Installer<'f> {
    pub(super) const fn new(manager: Manager, folder: &'f Path) -> Self {
        Self { manager, folder }
    }

    /// The major version of the program; that it is one that writes lockfiles of this kind.
    pub(super) fn version(&self) -> Result<u64, Trouble> {
        let output = self.run(&["--version"])?;
        let said = String::from_utf8_lossy(&output.stdout);
        let number = said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let major = number.and_then(|number| number.split('.').next()?.parse().ok()).unwrap_or_default();
        let fits = match self.manager {
            Manager::Yarn => major == 1,
            Manager::Berry => major > 1,
            _ => true,
        };
        if fits {
            return Ok(major);
        }
        let (program, said) = (self.manager.program(), shown(said.trim()));
        Err(Trouble::new(
            format_args!("`{program}` on PATH is {said}, and the lockfile is of another yarn"),
            format_args!("put the yarn on PATH that wrote it: {}; nothing was written", source(self.manager)),
        ))
    }

    /// Has the lockfile written anew for what the manifests ask for now.
    pub(super) fn install(&self) -> Result<(), Trouble> {
        // Yarn 1 believes what it finds there, and looks at no manifest again.
        let _ = fs::remove_dir_all(self.folder.join("node_modules"));
        self.run(match self.manager {
            Manager::Npm => &["install", "--package-lock-only", "--ignore-scripts", "--git=git"],
            // In CI pnpm and berry write nothing unless they are told to.
            Manager::Pnpm => &[
                "install",
                "--lockfile-only",
                "--no-frozen-lockfile",
                "--ignore-scripts",
                "--ignore-pnpmfile",
            ],
            Manager::Yarn => &[
                "install",
                "--ignore-scripts",
                "--ignore-platform",
                "--ignore-engines",
                "--no-bin-links",
                "--non-interactive",
                "--no-progress",
            ],
            Manager::Berry => &["install", "--mode=update-lockfile"],
            Manager::Bun => &["install", "--lockfile-only", "--save-text-lockfile", "--ignore-scripts"],
            _ => &["update", "--workspace"],
        })
        .map(drop)
    }

    /// Has what `fix` names looked at again, by managers that take names.
    pub(super) fn update(&self, fix: &Fix, lockfile: &Path) -> Result<(), Trouble> {
        if self.manager == Manager::Cargo {
            return self.update_crates(fix, lockfile);
        }
        let mut arguments = vec![
            "update",
            "--package-lock-only",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-progress",
            "--git=git",
            "--",
        ];
        arguments.extend(fix.updates.keys().map(|installed| installed.name.as_str()));
        self.run(&arguments).map(drop)
    }

    fn update_crates(&self, fix: &Fix, lockfile: &Path) -> Result<(), Trouble> {
        for (installed, to) in &fix.updates {
            // A version may have gone with the one before.
            let entry = format!("name = \"{}\"\nversion = \"{}\"\n", installed.package, installed.version);
            if !super::text(lockfile)?.replace("\r\n", "\n").contains(&entry) {
                continue;
            }
            let old = format!("{}@{}", installed.package, installed.version);
            match to {
                Fixed::In(version) => self.run(&["update", "-p", &old, "--precise", version])?,
                Fixed::After(_) => self.run(&["update", "-p", &old])?,
            };
        }
        Ok(())
    }

    fn run(&self, arguments: &[&str]) -> Result<Output, Trouble> {
        let program = self.manager.program();
        let output = Command::new(program)
            .args(arguments)
            .current_dir(self.folder)
            .envs(SETTINGS.iter().copied())
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(output),
            Ok(output) => {
                print(&output);
                Err(Trouble::new(
                    format_args!("{program} could not write the lockfile ({})", output.status),
                    "its own words are above; nothing was written",
                ))
            }
            Err(error) => Err(Trouble::new(
                format_args!("{program} cannot be started: {error}"),
                format_args!("install it ({}), or put it on PATH; nothing was written", source(self.manager)),
            )),
        }
    }
}

/// The last of its words: some managers tell errors on stdout.
#[expect(clippy::print_stderr, reason = "why it failed is no data")]
fn print(output: &Output) {
    for words in [&output.stdout, &output.stderr] {
        let words = String::from_utf8_lossy(words);
        let lines: Vec<&str> = words.lines().collect();
        for line in lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default() {
            eprintln!("{}", shown(line));
        }
    }
}

/// Where it is to be had.
const fn source(manager: Manager) -> &'static str {
    match manager {
        Manager::Npm => "it comes with Node",
        Manager::Pnpm => "`npm install --global pnpm`",
        Manager::Yarn => "`npm install --global yarn@1`",
        Manager::Berry => "`npm install --global @yarnpkg/cli-dist`, or `corepack enable`",
        Manager::Bun => "`npm install --global bun`",
        _ => "https://rustup.rs",
    }
}

/// What is set for all of them: no other version of the manager is fetched from where the project says, no program is
/// named by it, and a lockfile may be written where `CI` is set.
const SETTINGS: &[(&str, &str)] = &[
    ("COREPACK_ENABLE_UNSAFE_CUSTOM_URLS", "0"),
    ("COREPACK_ENABLE_DOWNLOAD_PROMPT", "0"),
    ("npm_config_manage_package_manager_versions", "false"),
    ("npm_config_package_manager_strict", "false"),
    ("pnpm_config_pm_on_fail", "ignore"), // what pnpm 11 has instead of the two before
    ("YARN_ENABLE_IMMUTABLE_INSTALLS", "0"),
    ("YARN_ENABLE_SCRIPTS", "0"),
    ("YARN_ENABLE_TELEMETRY", "0"),
    ("YARN_IGNORE_PATH", "1"),
];
const LAST_WORDS: usize = 20;
