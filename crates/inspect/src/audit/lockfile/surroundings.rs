use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::workspaces;

/// The folder that a lockfile lies in: where the manifests are that it was made from.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    root: Option<PathBuf>,
}

/// How deep `**` looks, and at how many folders a pattern looks at most.
const DEEPEST: usize = 16;
const MOST_FOLDERS: usize = 100_000;

/// A manifest is this large at most, in bytes.
const LARGEST_MANIFEST: u64 = 4 << 20;

impl Surroundings {
    /// A text without a file has nothing beside it.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// What lies beside a lockfile. The one that npm hides in `node_modules` belongs to the folder above.
    #[must_use]
    pub fn of(lockfile: &Path) -> Self {
        let mut root = lockfile.parent().unwrap_or(Path::new(""));
        if root.file_name().is_some_and(|name| name == "node_modules") {
            root = root.parent().unwrap_or(Path::new(""));
        }
        // A name without a folder is one in this folder, and no folder can be listed by an empty name.
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        Self { root: Some(root.to_owned()) }
    }

    /// A file by its path from here; `None` where there is none, or where the path leads out of the folder.
    pub(super) fn read(&self, path: &str) -> io::Result<Option<String>> {
        let Some(root) = &self.root else { return Ok(None) };
        let path = Path::new(path);
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Ok(None);
        }
        text_of(&root.join(path))
    }

    /// The folders below that the pattern means and that have a `manifest`, by their paths from here.
    pub(super) fn matching(&self, pattern: &str, manifest: &str) -> io::Result<Vec<String>> {
        let Some(root) = &self.root else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let mut left = MOST_FOLDERS;
        let deepest = if pattern.contains("**") { DEEPEST } else { pattern.split('/').count() };
        let mut open = vec![(String::new(), 0)];
        while let Some((folder, depth)) = open.pop() {
            left = left.checked_sub(1).ok_or_else(|| io::Error::other("there are too many folders"))?;
            if depth > 0
                && workspaces::matches(pattern, &folder)
                && root.join(&folder).join(manifest).is_file()
            {
                found.push(folder.clone());
            }
            if depth < deepest {
                open.extend(inside(root, &folder, pattern)?.map(|below| (below, depth + 1)));
            }
        }
        Ok(found)
    }
}

/// The text of a manifest; `None` where there is none.
pub(super) fn text_of(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(LARGEST_MANIFEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_MANIFEST {
        return Err(io::Error::other(format!("it is larger than {LARGEST_MANIFEST} bytes")));
    }
    Ok(Some(text))
}

/// The folders inside one, without those that no workspace lies in.
fn inside(root: &Path, folder: &str, pattern: &str) -> io::Result<impl Iterator<Item = String>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if entry.file_type()?.is_dir() && name != "node_modules" && name != ".git" {
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            folders.extend(workspaces::leads_to(pattern, &path).then_some(path));
        }
    }
    Ok(folders.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_is_found_from_any_way_to_write_the_path() {
        let here = env!("CARGO_MANIFEST_DIR");
        for lockfile in
            ["yarn.lock", "./yarn.lock", "node_modules/.package-lock.json", &format!("{here}/yarn.lock")]
        {
            let beside = Surroundings::of(Path::new(lockfile));
            let text = beside.read("Cargo.toml").unwrap();
            assert!(text.is_some_and(|text| text.contains("panoply-inspect")), "{lockfile}");
            assert_eq!(beside.matching("s*", "lib.rs").unwrap(), ["src"], "{lockfile}");
        }
    }

    #[test]
    fn nothing_outside_is_read() {
        let beside = Surroundings::of(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/yarn.lock")));
        for path in
            ["../Cargo.toml", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "a/../../Cargo.toml"]
        {
            assert_eq!(beside.read(path).unwrap(), None, "{path}");
        }
        assert!(beside.read("./lib.rs").unwrap().is_some());
        assert_eq!(Surroundings::none().read("lib.rs").unwrap(), None);
    }
}
