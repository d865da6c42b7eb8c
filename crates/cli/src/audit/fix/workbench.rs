//! A copy of what npm reads of a project, in which it may write.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use panoply_inspect::audit::fix::Fix;
use panoply_inspect::audit::fix::manifest::Manifest;
use panoply_inspect::audit::graph::{Graph, Source};
use tempfile::{NamedTempFile, TempDir};

use super::text;
use crate::trouble::Trouble;

pub(super) struct Workbench {
    folder: TempDir,
    project: PathBuf,
    lockfile: PathBuf,
    /// What was copied, by its path in the project, as it was.
    copied: BTreeMap<PathBuf, String>,
}

impl Workbench {
    /// Copies the manifests and the lockfile, and makes the changes of `fix` in the manifests.
    pub(super) fn set_up(lockfile: &Path, graph: &Graph, fix: &Fix) -> Result<Self, Trouble> {
        let project = lockfile.parent().unwrap_or(Path::new("")).to_owned();
        let name = PathBuf::from(lockfile.file_name().unwrap_or_default());
        let folder = tempfile::tempdir().map_err(|error| {
            Trouble::new(
                format_args!("no folder for a copy: {error}"),
                "set TMPDIR to a folder that can be written to",
            )
        })?;
        let mut bench =
            Self { lockfile: folder.path().join(&name), folder, project, copied: BTreeMap::new() };
        bench.copy(&name)?;
        for manifest in manifests(graph)? {
            bench.copy(&manifest)?;
        }
        let settings = PathBuf::from(".npmrc");
        if bench.project.join(&settings).exists() {
            bench.write(&settings, &harmless(&text(&bench.project.join(&settings))?))?;
        }
        bench.change(fix)?;
        Ok(bench)
    }

    pub(super) fn lockfile(&self) -> &Path {
        &self.lockfile
    }

    /// Lets npm write the lockfile. It installs nothing, and runs no program of a package or of the project.
    pub(super) fn run(&self, fix: &Fix) -> Result<(), Trouble> {
        let status = Command::new("npm")
            .arg("update")
            .args(["--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"])
            .arg("--git=git")
            .arg("--")
            .args(&fix.updates)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Trouble::new(
                format_args!("npm could not write the lockfile ({status})"),
                "its own words are above; nothing was written",
            )),
            Err(error) => Err(Trouble::new(
                format_args!("npm cannot be started: {error}"),
                "install npm, or put it on PATH",
            )),
        }
    }

    /// Writes what has changed over the project's own files, each whole or not at all; unless somebody else has changed
    /// them meanwhile.
    pub(super) fn take_over(&self) -> Result<Vec<PathBuf>, Trouble> {
        let mut written = Vec::new();
        for (path, was) in &self.copied {
            let now = text(&self.project.join(path))?;
            if now != *was {
                return Err(Trouble::new(
                    format_args!("`{}` has changed meanwhile", self.project.join(path).display()),
                    "run it again",
                ));
            }
        }
        for (path, was) in &self.copied {
            let now = text(&self.folder.path().join(path))?;
            if now != *was {
                let place = self.project.join(path);
                replace(&place, &now).map_err(|error| {
                    Trouble::new(
                        format_args!("cannot write `{}`: {error}", place.display()),
                        "check its rights; what git has is the old one",
                    )
                })?;
                written.push(place);
            }
        }
        Ok(written)
    }

    fn copy(&mut self, path: &Path) -> Result<(), Trouble> {
        let place = self.project.join(path);
        refuse_link(&self.project, &place)?;
        let text = text(&place)?;
        self.write(path, &text)?;
        self.copied.insert(path.to_owned(), text);
        Ok(())
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), Trouble> {
        let place = self.folder.path().join(path);
        let made = place.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&place, text)).map_err(|error| {
            Trouble::new(
                format_args!("cannot write `{}`: {error}", place.display()),
                "set TMPDIR to a folder that can be written to",
            )
        })
    }

    fn change(&self, fix: &Fix) -> Result<(), Trouble> {
        let mut manifests: BTreeMap<PathBuf, Manifest> = BTreeMap::new();
        let open = |folder: &str| -> Result<(PathBuf, Manifest), Trouble> {
            let path = Path::new(folder).join("package.json");
            let text = self.copied.get(&path).ok_or_else(|| {
                Trouble::new(
                    format_args!("no `{}`", path.display()),
                    "the lockfile names it: install once more",
                )
            })?;
            Ok((path, Manifest::new(text.clone())))
        };
        let hint = "change it by hand: `panoply audit` says how";
        for raise in &fix.raises {
            let (path, manifest) = open(&raise.folder)?;
            let manifest = manifests.entry(path).or_insert(manifest);
            manifest.raise(raise).map_err(|error| Trouble::new(error, hint))?;
        }
        for one in &fix.overrides {
            let (path, manifest) = open("")?;
            let manifest = manifests.entry(path).or_insert(manifest);
            manifest.add_override(one).map_err(|error| Trouble::new(error, hint))?;
        }
        manifests.iter().try_for_each(|(path, manifest)| self.write(path, manifest.as_str()))
    }
}

/// Of the project's settings those that say where packages are: others name programs that npm would start, or send a
/// secret of the environment to whoever the project likes.
fn harmless(settings: &str) -> String {
    let is_harmless = |line: &&str| {
        let key = line.split('=').next().unwrap_or_default().trim();
        let is_place = key == "registry" || key.ends_with(":registry") || key.starts_with("//");
        is_place && !line.contains("${")
    };
    settings.lines().filter(is_harmless).flat_map(|line| [line, "\n"]).collect()
}

/// A link could lead out of the project, and would be replaced by a file.
fn refuse_link(project: &Path, place: &Path) -> Result<(), Trouble> {
    let whole = |path: &Path| if path.as_os_str().is_empty() { Path::new(".") } else { path }.canonicalize();
    match (whole(project), whole(place)) {
        (Ok(project), Ok(whole)) if whole.starts_with(&project) && !place.is_symlink() => Ok(()),
        (Ok(_), Ok(_)) => Err(Trouble::new(
            format_args!("`{}` is a link, or leads out of the project", place.display()),
            "change it by hand: `panoply audit` says how",
        )),
        // Who reads it next says why it cannot be.
        _ => Ok(()),
    }
}

/// The manifests that the lockfile is of: its own, those of workspaces, and those of folders that it links to.
fn manifests(graph: &Graph) -> Result<BTreeSet<PathBuf>, Trouble> {
    let projects = graph.projects.iter().map(|project| project.folder.as_str());
    let links = graph.packages.iter().filter_map(|package| match &package.source {
        Source::Folder(folder) => Some(folder.as_str()),
        _ => None,
    });
    let mut manifests = BTreeSet::from([PathBuf::from("package.json")]);
    for folder in projects.chain(links) {
        let folder = Path::new(folder);
        if !folder.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(Trouble::new(
                format_args!("the lockfile leads out of its folder, to `{}`", folder.display()),
                "change it by hand: `panoply audit` says how",
            ));
        }
        manifests.insert(
            folder
                .components()
                .filter(|part| *part != Component::CurDir)
                .collect::<PathBuf>()
                .join("package.json"),
        );
    }
    Ok(manifests)
}

/// Keeps the file's rights.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let rights = fs::metadata(path)?.permissions();
    let mut fresh = NamedTempFile::new_in(
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    )?;
    io::Write::write_all(&mut fresh, text.as_bytes())?;
    fresh.as_file().set_permissions(rights)?;
    fresh.as_file().sync_all()?;
    fresh.persist(path).map_err(|error| error.error)?;
    Ok(())
}
