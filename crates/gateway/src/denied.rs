//! Why this process may not read a file that is there: what it has taken from itself, and how to give it back.

use std::io::{self, ErrorKind};
use std::path::Path;

use nix::unistd::{User, geteuid};
use rustix::fs::{Access, access};

use crate::sandbox;

/// The mend, where a file was refused to this process; `None` where something else is wrong with it.
///
/// The rights of a user and the sandbox are told apart by asking for the first alone, which the second has no word in
/// (access(2), landlock(7)).
#[must_use]
pub fn hint(path: &Path, error: &io::Error) -> Option<String> {
    if error.kind() != ErrorKind::PermissionDenied {
        return None;
    }
    let may_read = access(path, Access::READ_OK).is_ok();
    Some(match (may_read, sandbox::is_closed()) {
        (true, true) => RESTART.to_owned(),
        (true, false) => {
            "the rights of this user are enough: look at what AppArmor or SELinux says".to_owned()
        }
        (false, _) => give(path, &user()),
    })
}

/// How the file becomes one that `user` can read. A group would not do: a key that others can read is refused.
pub(crate) fn give(path: &Path, user: &str) -> String {
    format!(
        "this process is `{user}`, who may not read it: `chown {user} {}`, and let him enter the folders above it; what \
         renews the file has to do so each time (certbot: a deploy hook)",
        path.display()
    )
}

/// By name, where there is one.
fn user() -> String {
    let user = geteuid();
    User::from_uid(user).ok().flatten().map_or_else(|| user.to_string(), |user| user.name)
}

/// What is in force cannot be widened.
pub(crate) const RESTART: &str = "restart panoply: its sandbox is made of the configuration that it is started with, and of where its files are then";
