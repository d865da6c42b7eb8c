//! The processes of an app: the one that was started, and what it started in turn (`npm` → `sh` → `node`).

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process_group};

/// A process group, by the id of the process that leads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group(Pid);

impl Group {
    /// The group that the process with this id leads.
    pub(super) fn led_by(id: u32) -> Option<Self> {
        i32::try_from(id).ok().and_then(Pid::from_raw).map(Self)
    }

    /// Sends `signal` to every process of the group; a group that is gone is no error.
    pub(super) fn signal(self, signal: Signal) -> io::Result<()> {
        match kill_process_group(self.0, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// The processes that still run. A dead one that nobody waited for does not: where panoply is the first
    /// process of a container, orphans stay like that.
    ///
    /// # Errors
    /// Where the kernel shows no processes: another system, or a sandbox without `/proc`.
    pub(super) fn members(self) -> io::Result<Vec<u32>> {
        let mut members = Vec::new();
        for entry in fs::read_dir("/proc")? {
            // A process may end between any two of these lines.
            let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Ok(stat) = fs::read(format!("/proc/{id}/stat")) else { continue };
            if group_of_running(&String::from_utf8_lossy(&stat)) == Some(self.0.as_raw_nonzero().get()) {
                members.push(id);
            }
        }
        Ok(members)
    }

    /// The inodes of the sockets that the group holds, as far as we may look.
    pub(super) fn sockets(self) -> io::Result<Vec<u64>> {
        let mut sockets = Vec::new();
        for id in self.members()? {
            let Ok(descriptors) = fs::read_dir(format!("/proc/{id}/fd")) else { continue };
            for descriptor in descriptors.flatten() {
                let Ok(target) = fs::read_link(descriptor.path()) else { continue };
                sockets.extend(target.to_str().and_then(inode));
            }
        }
        Ok(sockets)
    }

    /// Whether a process of the group is Node, as far as we may look.
    pub(super) fn runs_node(self) -> bool {
        self.members()
            .unwrap_or_default()
            .into_iter()
            .any(|id| fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|program| is_node(&program)))
    }
}

/// The group in a line of `/proc/<pid>/stat`, unless the process is dead: `pid (name) state ppid pgrp …`.
///
/// A process chooses its name, and may put brackets and blanks in it: what counts comes after the last bracket.
fn group_of_running(stat: &str) -> Option<i32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let group = fields.nth(1)?;
    if matches!(state, "Z" | "X" | "x") { None } else { group.parse().ok() }
}

/// `socket:[4242]`
fn inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// `node`, or as some systems call it `nodejs`.
fn is_node(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "node" || name == "nodejs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_tells_the_group_of_what_runs() {
        for (stat, group) in [
            ("17 (node) S 1 4242 4242 0 -1 4194560", Some(4242)),
            ("17 (node) R 1 4242", Some(4242)),
            ("17 (a) S 1 666 (b) S 1 4242 0", Some(4242)), // a name that looks like the rest of the line
            ("17 () S 1 4242 0", Some(4242)),
            ("17 (node) Z 1 4242 4242", None), // dead, and nobody waited for it
            ("17 (node) X 1 4242 4242", None),
            ("17 (node) S 1", None),
            ("17 (node", None),
            ("17 (node) S 1 many", None),
            ("17 (node) S 1 99999999999", None),
            ("", None),
        ] {
            assert_eq!(group_of_running(stat), group, "{stat}");
        }
    }

    #[test]
    fn a_descriptor_tells_its_socket() {
        for (target, socket) in [
            ("socket:[4242]", Some(4242)),
            ("pipe:[4242]", None),
            ("/tmp/socket:[4242]", None),
            ("socket:[]", None),
            ("socket:[4242", None),
            ("socket:[-1]", None),
        ] {
            assert_eq!(inode(target), socket, "{target}");
        }
    }

    #[test]
    fn node_is_told_by_its_program() {
        for (program, node) in
            [("/usr/bin/node", true), ("/usr/bin/nodejs", true), ("/bin/nodetool", false), ("/", false)]
        {
            assert_eq!(is_node(Path::new(program)), node, "{program}");
        }
    }
}
