//! Files of root become another user's. That user may have laid links there, to have more given: so no link is followed,
//! and no file with a second name is given away.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chownat, fchown, fstat, openat};
use rustix::io::Errno;
use rustix::path::Arg;

/// The folder and what is below it, of what root owns.
pub(super) fn folder(path: &Path, user: Uid, group: Gid) -> io::Result<()> {
    // The last part may be a link of the operator's, who is root.
    let folder = openat(CWD, std::fs::canonicalize(path)?, FOLDER, Mode::empty())?;
    give_folder(&folder, user, group, DEEPEST)
}

/// One file, of what root owns; none is no error.
pub(super) fn file(path: &Path, user: Uid, group: Gid) -> io::Result<()> {
    match give_entry(CWD, path, user, group) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A link that `user` has laid in the folder or below it.
pub(super) fn link_of(folder: &Path, user: Uid, depth: usize) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let Ok(found) = entry.metadata() else { continue };
        if found.is_symlink() && found.uid() == user.as_raw() {
            return Some(path);
        }
        if found.is_dir()
            && depth > 0
            && let Some(link) = link_of(&path, user, depth - 1)
        {
            return Some(link);
        }
    }
    None
}

/// Makes a file that is not there, for him alone to write; one that is there is left to him.
pub(super) fn make(path: &Path, user: Uid, group: Gid) -> io::Result<()> {
    // No link is followed, and nothing that is there is opened.
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    match openat(CWD, path, new, Mode::from_raw_mode(0o640)) {
        Ok(file) => Ok(fchown(file, Some(owner(user)), Some(owners(group)))?),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn give_folder(folder: &OwnedFd, user: Uid, group: Gid, depth: usize) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::other(format!("folders more than {DEEPEST} deep were found in it")));
    }
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match openat(folder, name, FOLDER, Mode::empty()) {
            Ok(below) => give_folder(&below, user, group, depth - 1)?,
            Err(_) => give_entry(folder.as_fd(), name, user, group)?,
        }
    }
    if fstat(folder)?.st_uid == 0 {
        fchown(folder, Some(owner(user)), Some(owners(group)))?;
    }
    Ok(())
}

fn give_entry(folder: BorrowedFd<'_>, name: impl Arg, user: Uid, group: Gid) -> io::Result<()> {
    // Opened without a right to anything: not even a pipe waits for its other end.
    let entry = openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let found = fstat(&entry)?;
    let is_plain = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_nlink == 1;
    if is_plain && found.st_uid == 0 {
        chownat(&entry, c"", Some(owner(user)), Some(owners(group)), AtFlags::EMPTY_PATH)?;
    }
    Ok(())
}

fn owner(user: Uid) -> rustix::fs::Uid {
    rustix::fs::Uid::from_raw(user.as_raw())
}

fn owners(group: Gid) -> rustix::fs::Gid {
    rustix::fs::Gid::from_raw(group.as_raw())
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Ours are two deep.
pub(super) const DEEPEST: usize = 8;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// It asks for root, as all of this does: scripts/test runs as root in CI, and anybody else can see that it says so.
    #[test]
    fn what_root_owns_is_given_and_nothing_that_a_link_leads_to() {
        if !nix::unistd::geteuid().is_root() {
            let folder = tempfile::tempdir().unwrap();
            return assert!(self::folder(folder.path(), Uid::from_raw(0), Gid::from_raw(0)).is_ok());
        }
        let (state, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (state, other) = (state.path(), other.path());
        fs::create_dir_all(state.join("acme/deep")).unwrap();
        for file in ["keys", "acme/deep/order"] {
            fs::write(state.join(file), "").unwrap();
        }
        fs::write(other.join("shadow"), "").unwrap();
        fs::write(other.join("linked"), "").unwrap();
        symlink(other.join("shadow"), state.join("soft")).unwrap();
        symlink(other, state.join("soft_folder")).unwrap();
        fs::hard_link(other.join("linked"), state.join("hard")).unwrap();
        let (user, group) = (Uid::from_raw(1234), Gid::from_raw(1235));
        folder(state, user, group).unwrap();
        for (path, given) in [
            (state.to_owned(), true),
            (state.join("keys"), true),
            (state.join("acme/deep"), true),
            (state.join("acme/deep/order"), true),
            (state.join("soft"), false),
            (other.to_owned(), false),
            (other.join("shadow"), false),
            (other.join("linked"), false),
        ] {
            let found = fs::symlink_metadata(&path).unwrap();
            let expected = if given { (1234, 1235) } else { (0, 0) };
            assert_eq!((found.uid(), found.gid()), expected, "{}", path.display());
        }
        assert_eq!(link_of(state, user, DEEPEST), None, "these are root's own");
        std::os::unix::fs::lchown(state.join("soft"), Some(1234), None).unwrap();
        assert_eq!(link_of(state.parent().unwrap(), user, 0), None, "no deeper than told");
        assert_eq!(link_of(state, user, DEEPEST), Some(state.join("soft")));
        file(&other.join("soft"), user, group).unwrap();
        file(&state.join("soft"), user, group).unwrap();
        assert_eq!(fs::metadata(other.join("shadow")).unwrap().uid(), 0);
    }
}
