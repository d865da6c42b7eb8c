//! Empty files in the places of a Cargo project's sources: Cargo takes no manifest whose targets are not there, and reads
//! none of them to write a lockfile.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::trouble::Trouble;

/// Makes them in the folder `copy`.
pub(super) fn stand_in(project: &Path, copy: &Path) -> Result<(), Trouble> {
    make(project, copy).map_err(|error| {
        Trouble::new(
            format_args!("the sources in `{}` cannot be listed: {error}", project.display()),
            "change it by hand: `panoply audit` says how",
        )
    })
}

fn make(project: &Path, copy: &Path) -> io::Result<()> {
    let mut left = MOST;
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        let here = project.join(&folder);
        let here = if here.as_os_str().is_empty() { PathBuf::from(".") } else { here };
        for entry in fs::read_dir(here)? {
            left = left.checked_sub(1).ok_or_else(|| io::Error::other(format!("more than {MOST} files")))?;
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            let place = folder.join(&name);
            let hidden = name.to_string_lossy().starts_with('.');
            if kind.is_dir() && !hidden && name != "target" && name != "node_modules" {
                open.push(place);
            } else if place.extension().is_some_and(|extension| extension == "rs") {
                fs::create_dir_all(copy.join(&folder))?;
                fs::write(copy.join(&place), "")?;
            }
        }
    }
    Ok(())
}

/// As many as in the largest of trees.
const MOST: usize = 200_000;
