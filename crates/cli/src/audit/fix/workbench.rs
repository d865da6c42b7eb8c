//! A copy of what a package manager reads of a project, in which it may write.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use panoply_inspect::audit::fix::manager::{Manager, format};
use panoply_inspect::audit::fix::manifest::{Manifest, ManifestError};
use panoply_inspect::audit::fix::{Changes, Fix, Raise, cargo, workspace};
use panoply_inspect::audit::graph::{Graph, Source};
use tempfile::TempDir;

use super::installer::Installer;
use super::{settings, sources, text};
use crate::audit::whole;
use crate::trouble::Trouble;

pub(super) struct Workbench {
    folder: TempDir,
    project: PathBuf,
    manager: Manager,
    /// Whether overrides are written to pnpm-workspace.yaml.
    in_workspace: bool,
    lockfile: PathBuf,
    /// What may change, by its path in the project.
    files: BTreeMap<PathBuf, File>,
}

/// A file of the project; of one that is not there `was` is nothing.
#[derive(Debug)]
struct File {
    was: Option<String>,
    now: String,
}

impl Workbench {
    /// Copies the manifests, the settings and the lockfile.
    pub(super) fn set_up(lockfile: &Path, graph: &Graph, manager: Manager) -> Result<Self, Trouble> {
        let folder = tempfile::tempdir().map_err(|error| {
            Trouble::new(
                format_args!("no folder for a copy: {error}"),
                "set TMPDIR to a folder that can be written to",
            )
        })?;
        let mut bench = Self {
            folder,
            project: lockfile.parent().unwrap_or(Path::new("")).to_owned(),
            manager,
            in_workspace: false,
            lockfile: lockfile.file_name().unwrap_or_default().into(),
            files: BTreeMap::new(),
        };
        bench.copy(bench.lockfile.clone())?;
        if manager == Manager::Pnpm {
            bench.refuse_set_up()?;
        }
        for manifest in manifests(graph, manager)? {
            bench.copy(manifest)?;
        }
        bench.copy_settings()?;
        if manager == Manager::Cargo {
            sources::stand_in(&bench.project, bench.folder.path())?;
        }
        let major = Installer::new(manager, bench.folder.path()).version()?;
        let settings = bench.files.get(Path::new(WORKSPACE)).map_or("", |file| &file.now);
        bench.in_workspace = major >= NO_OVERRIDES_IN_MANIFEST || workspace::overrides(settings);
        Ok(bench)
    }

    pub(super) fn lockfile(&self) -> PathBuf {
        self.folder.path().join(&self.lockfile)
    }

    /// Lets the package manager write the lockfile for the changes of `fix`.
    pub(super) fn run(&mut self, fix: &Fix) -> Result<(), Trouble> {
        let takes_names = matches!(self.manager, Manager::Npm | Manager::Cargo);
        if takes_names {
            self.ask_for(&[&fix.changes])?;
            self.installer().update(fix, &self.lockfile())?;
        } else {
            self.ask_for(&[&fix.changes, &fix.pins])?;
            self.installer().install()?;
            self.ask_for(&[&fix.changes])?;
            self.installer().install()?;
        }
        let written = text(&self.lockfile())?;
        let Some(file) = self.files.get_mut(&self.lockfile) else { return Ok(()) };
        let (before, after) = (file.was.as_deref().and_then(format), format(&written));
        if before != after {
            let said = |format: Option<&str>| format.unwrap_or("none").to_owned();
            let program = self.manager.program();
            return Err(Trouble::new(
                format_args!(
                    "{program} writes lockfiles of another format: `{}`, and this one has `{}`",
                    said(after),
                    said(before)
                ),
                format_args!("put the {program} on PATH that wrote it; nothing was written"),
            ));
        }
        file.now = written;
        Ok(())
    }

    /// Writes what has changed over the project's own files, each whole or not at all; unless somebody else has changed
    /// them meanwhile.
    pub(super) fn take_over(&self) -> Result<Vec<PathBuf>, Trouble> {
        for (path, file) in &self.files {
            let place = self.project.join(path);
            let now = if place.exists() { Some(text(&place)?) } else { None };
            if now != file.was {
                return Err(Trouble::new(
                    format_args!("`{}` has changed meanwhile", place.display()),
                    "run it again",
                ));
            }
        }
        let mut written = Vec::new();
        for (path, file) in
            self.files.iter().filter(|(_, file)| file.was.as_deref().unwrap_or_default() != file.now)
        {
            let place = self.project.join(path);
            whole::write(&place, &file.now).map_err(|error| {
                Trouble::new(
                    format_args!("cannot write `{}`: {error}", place.display()),
                    "check its rights; what git has is the old one",
                )
            })?;
            written.push(place);
        }
        Ok(written)
    }

    fn installer(&self) -> Installer<'_> {
        Installer::new(self.manager, self.folder.path())
    }

    fn copy(&mut self, path: PathBuf) -> Result<(), Trouble> {
        let place = self.project.join(&path);
        refuse_link(&self.project, &place)?;
        let text = text(&place)?;
        self.write(&path, &text)?;
        self.files.insert(path, File { was: Some(text.clone()), now: text });
        Ok(())
    }

    /// Before the projects' own document pnpm 11 writes what it is set up with, which brings programs: without them it
    /// would write another lockfile.
    fn refuse_set_up(&self) -> Result<(), Trouble> {
        let lockfile = self.files.get(&self.lockfile).map_or("", |file| &file.now);
        if lockfile.lines().all(|line| line.trim_end() != "---") {
            return Ok(());
        }
        Err(Trouble::new(
            "the lockfile has what pnpm is set up with, and no program of the project is run",
            "change it by hand: `panoply audit` says how",
        ))
    }

    fn copy_settings(&mut self) -> Result<(), Trouble> {
        if let Some(program) =
            settings::programs(self.manager).iter().find(|name| self.project.join(name).exists())
        {
            return Err(Trouble::new(
                format_args!("`{program}` changes what is installed, and no program of the project is run"),
                "change it by hand: `panoply audit` says how",
            ));
        }
        for (name, harmless) in settings::of(self.manager) {
            let place = self.project.join(name);
            let was = if place.exists() { Some(text(&place)?) } else { None };
            if let Some(was) = &was {
                refuse_link(&self.project, &place)?;
                self.write(Path::new(name), &kept(name, *harmless, was)?)?;
            }
            if *name == WORKSPACE {
                let now = was.clone().unwrap_or_default();
                self.files.insert(WORKSPACE.into(), File { was, now });
            }
        }
        Ok(())
    }

    /// Makes the manifests ask for all of `changes`, and for nothing that an earlier call has asked for.
    fn ask_for(&mut self, changes: &[&Changes]) -> Result<(), Trouble> {
        for file in self.files.values_mut() {
            file.now = file.was.clone().unwrap_or_default();
        }
        for raise in changes.iter().flat_map(|changes| &changes.raises) {
            if self.manager == Manager::Cargo {
                self.raise_crate(raise)?;
            } else {
                self.change(&self.own_manifest(raise), |text| {
                    changed(text, |manifest| manifest.raise(raise))
                })?;
            }
        }
        for one in changes.iter().flat_map(|changes| &changes.overrides) {
            let (manager, in_workspace) = (self.manager, self.in_workspace);
            if manager == Manager::Pnpm && in_workspace {
                self.change(Path::new(WORKSPACE), |text| workspace::add_override(text, one))?;
            } else {
                self.change(Path::new(manager.manifest()), |text| {
                    changed(text, |manifest| manifest.add_override(one, manager))
                })?;
            }
        }
        for (path, file) in self.files.iter().filter(|(path, _)| **path != self.lockfile) {
            let harmless = settings::of(self.manager).iter().find(|(name, _)| path == Path::new(name));
            match harmless {
                Some(_) if file.was.is_none() && file.now.is_empty() => {
                    let _ = fs::remove_file(self.folder.path().join(path));
                }
                Some((name, harmless)) => self.write(path, &kept(name, *harmless, &file.now)?)?,
                None => self.write(path, &file.now)?,
            }
        }
        Ok(())
    }

    /// Where it is asked for: in the crate's own manifest, or in the root's for all that inherit it.
    fn raise_crate(&mut self, raise: &Raise) -> Result<(), Trouble> {
        let (root, own) = (Path::new(self.manager.manifest()), self.own_manifest(raise));
        let member = self.files.get(&own).map(|file| file.now.clone()).unwrap_or_default();
        let mut is_shared = false;
        self.change(root, |text| {
            let raised = cargo::raise_shared(text, &member, raise)?;
            is_shared = raised.is_some();
            Ok(raised.unwrap_or_else(|| text.to_owned()))
        })?;
        self.change(&own, |text| match cargo::raise(text, raise)? {
            Some(text) => Ok(text),
            None if is_shared => Ok(text.to_owned()),
            None => Err(ManifestError::Changed {
                manifest: "Cargo.toml",
                name: raise.name.clone(),
                range: raise.from.clone(),
            }),
        })
    }

    /// The manifest, relative to the lockfile's folder, in which `raise` is made.
    pub(super) fn manifest(&self, raise: &Raise) -> PathBuf {
        let (root, own) = (PathBuf::from(self.manager.manifest()), self.own_manifest(raise));
        let now = |path: &Path| self.files.get(path).map_or("", |file| &file.now);
        let is_shared = self.manager == Manager::Cargo
            && cargo::raise_shared(now(&root), now(&own), raise).is_ok_and(|raised| raised.is_some());
        if is_shared { root } else { own }
    }

    fn own_manifest(&self, raise: &Raise) -> PathBuf {
        Path::new(&raise.folder).join(self.manager.manifest())
    }

    fn change(
        &mut self,
        path: &Path,
        change: impl FnOnce(&str) -> Result<String, ManifestError>,
    ) -> Result<(), Trouble> {
        let file = self.files.get_mut(path).ok_or_else(|| {
            Trouble::new(format_args!("no `{}`", path.display()), "the lockfile names it: install once more")
        })?;
        file.now = change(&file.now)
            .map_err(|error| Trouble::new(error, "change it by hand: `panoply audit` says how"))?;
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
}

fn changed(
    text: &str,
    change: impl FnOnce(&mut Manifest) -> Result<(), ManifestError>,
) -> Result<String, ManifestError> {
    let mut manifest = Manifest::new(text.to_owned());
    change(&mut manifest)?;
    Ok(manifest.as_str().to_owned())
}

fn kept(name: &str, harmless: fn(&str) -> Option<String>, text: &str) -> Result<String, Trouble> {
    harmless(text).ok_or_else(|| {
        Trouble::new(
            format_args!("`{name}` cannot be read"),
            "mend it: the package manager cannot read it either",
        )
    })
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
fn manifests(graph: &Graph, manager: Manager) -> Result<Vec<PathBuf>, Trouble> {
    let projects = graph.projects.iter().map(|project| project.folder.as_str());
    let links = graph.packages.iter().filter_map(|package| match &package.source {
        Source::Folder(folder) => Some(folder.as_str()),
        _ => None,
    });
    let mut manifests = vec![PathBuf::from(manager.manifest())];
    for folder in projects.chain(links) {
        let folder = Path::new(folder);
        if !folder.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(Trouble::new(
                format_args!("the lockfile leads out of its folder, to `{}`", folder.display()),
                "change it by hand: `panoply audit` says how",
            ));
        }
        let folder: PathBuf = folder.components().filter(|part| *part != Component::CurDir).collect();
        manifests.push(folder.join(manager.manifest()));
    }
    manifests.sort();
    manifests.dedup();
    Ok(manifests)
}

const WORKSPACE: &str = "pnpm-workspace.yaml";
/// From this version on pnpm reads its settings in pnpm-workspace.yaml alone.
const NO_OVERRIDES_IN_MANIFEST: u64 = 11;
