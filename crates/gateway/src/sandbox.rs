//! What somebody who made this process do his will could still not do: write or read elsewhere, start programs, reach
//! deep into the kernel. Landlock and seccomp are for ever: no code of ours can lift them, and no code of his.

mod calls;
mod reach;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, RestrictSelfError, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::GatewayError;
use crate::config::{Config, Sandbox as Setting};
pub(crate) use reach::{Reach, files};

/// What is in force, as the log says it at the start.
#[derive(Debug)]
pub(crate) struct Sandbox {
    landlock: Landlock,
    /// How many system calls are refused; `None`: the kernel has no seccomp.
    calls: Option<usize>,
}

#[derive(Debug)]
enum Landlock {
    /// In this version of its interface.
    On(i32, Arc<Reach>),
    Missing,
    /// A program of the operator's would inherit it.
    Hook,
}

/// Closes the sandbox around this thread and all that it starts from now on; `None` where the configuration does not
/// want it. `reads`: what else has to be read, beside what the configuration names.
///
/// # Errors
/// When the kernel has it and refuses it, or other threads are there already, which would stay outside.
pub(crate) fn close(config: &Config, reads: &[PathBuf]) -> Result<Option<Sandbox>, GatewayError> {
    alone()?;
    // Nothing that is started can have more rights than we: no file with a set-uid bit helps (prctl(2)).
    rustix::thread::set_no_new_privs(true).map_err(|error| refused(&error))?;
    // After the change of users, which would undo it.
    conceal()?;
    if config.sandbox == Setting::Off {
        return Ok(None);
    }
    let sandbox = enter(config, reads)?;
    IS_CLOSED.store(matches!(sandbox.landlock, Landlock::On(..)), Ordering::Relaxed);
    Ok(Some(sandbox))
}

/// From now on no other process reads this one's memory, in which keys are, and no core dump has it: ptrace(2), also by
/// way of `/proc`, is for root alone. Of what is its own in `/proc` it reads on whatever everybody may read.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn conceal() -> Result<(), GatewayError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| GatewayError::Setting {
        message: format!("the kernel does not close this process's memory to others: {error}"),
        hint: "let prctl(2) through where panoply is confined".to_owned(),
    })
}

fn enter(config: &Config, reads: &[PathBuf]) -> Result<Sandbox, GatewayError> {
    let has_hook = config.tls.acme.dns.as_ref().is_some_and(|dns| !dns.hook.is_empty());
    let landlock = if has_hook {
        Landlock::Hook
    } else {
        let reach = Reach::of(config, reads);
        match confine(&reach).map_err(|error| refused(&error))? {
            Some(version) => Landlock::On(version, Arc::new(reach)),
            None => Landlock::Missing,
        }
    };
    Ok(Sandbox { landlock, calls: calls::refuse(has_hook).map_err(|error| refused(&error))? })
}

/// Whether files are out of this process's reach, whoever it is.
pub(crate) fn is_closed() -> bool {
    IS_CLOSED.load(Ordering::Relaxed)
}

impl Sandbox {
    /// Tells the log what is in force, and what to make of it.
    pub(crate) fn tell(&self) {
        tracing::info!("sandbox: {self}");
        if let Landlock::On(_, reach) = &self.landlock {
            reach.warn();
        }
    }

    /// What can be read and written from now on; `None`: whatever this user may.
    pub(crate) fn reach(&self) -> Option<Arc<Reach>> {
        match &self.landlock {
            Landlock::On(_, reach) => Some(Arc::clone(reach)),
            Landlock::Missing | Landlock::Hook => None,
        }
    }
}

impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.landlock {
            Landlock::On(version, reach) => write!(f, "Landlock ABI {version} ({reach})"),
            Landlock::Missing => f.write_str("this kernel has no Landlock"),
            Landlock::Hook => {
                f.write_str("no Landlock, which the program of tls.acme.dns.hook would inherit")
            }
        }?;
        match self.calls {
            Some(calls) => write!(f, ", {calls} system calls refused"),
            None => f.write_str(", this kernel has no seccomp"),
        }?;
        write!(f, ", {ALWAYS}")
    }
}

/// The version of Landlock that holds from now on; `None` where the kernel has none.
fn confine(reach: &Reach) -> Result<Option<i32>, RulesetError> {
    let mut scopes = BitFlags::from(Scope::Signal);
    // systemd may listen there for what we have to tell (sd_notify(3)).
    if !std::env::var_os("NOTIFY_SOCKET").is_some_and(|name| name.as_encoded_bytes().starts_with(b"@")) {
        scopes |= Scope::AbstractUnixSocket;
    }
    let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(KNOWN))?.scope(scopes)?.create()?;
    for (path, rights) in reach.rules() {
        // What is not there needs no right.
        let Ok(opened) = PathFd::new(path) else { continue };
        let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(KNOWN) };
        ruleset = ruleset.add_rule(PathBeneath::new(opened, rights))?;
    }
    let status = match ruleset.restrict_self() {
        // gVisor and seccomp filters of containers know its first half alone.
        Err(RulesetError::RestrictSelf(RestrictSelfError::RestrictSelfCall { .. })) => return Ok(None),
        status => status?,
    };
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            Some(kernel_abi.unwrap_or(effective_abi as i32))
        }
        _ => None,
    })
}

/// Landlock holds for the thread that asks and for what it starts (landlock(7)): one that is there already would stay
/// outside.
fn alone() -> Result<(), GatewayError> {
    match std::fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(threads) if threads > 1 => Err(GatewayError::Setting {
            message: format!("{threads} threads were there before the sandbox, but one was expected"),
            hint: "this is a fault of panoply's: report it; `sandbox = \"off\"` goes on without".to_owned(),
        }),
        // Without /proc nobody can tell; the tests have one.
        _ => Ok(()),
    }
}

fn refused(error: &dyn std::error::Error) -> GatewayError {
    GatewayError::Setting {
        message: format!("the kernel refuses the sandbox: {error}"),
        hint: "`sandbox = \"off\"` goes on without".to_owned(),
    }
}

/// What holds without a sandbox too.
pub(crate) const ALWAYS: &str = "no new privileges, memory closed to other processes";
/// Of the whole process and for ever, as the sandbox is.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);
/// What was known of Landlock when this was written, and tried: Linux 6.15.
const KNOWN: ABI = ABI::V7;

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::io::ErrorKind::PermissionDenied;
    use std::process::Command;

    use super::*;

    /// The sandbox cannot be left again, so it is tried in a process of its own: this test, once more.
    #[test]
    fn in_the_sandbox_only_what_is_needed_can_be_done() {
        if env::var_os(INSIDE).is_some() {
            return inside();
        }
        let test = "sandbox::tests::in_the_sandbox_only_what_is_needed_can_be_done";
        let mut child = Command::new(env::current_exe().unwrap());
        let said = child.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output().unwrap();
        let said = [said.stdout, said.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("1 passed") && said.contains("all was tried"), "{said}");
    }

    fn inside() {
        let folder = tempfile::tempdir().unwrap();
        let (state, named, other) =
            (folder.path().join("state"), folder.path().join("named"), folder.path().join("other"));
        for folder in [&state, &named, &other] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("there"), "x").unwrap();
        }
        let text =
            format!("state = '{}'\ntls.cert = '{1}/c'\ntls.key = '{1}/k'", state.display(), named.display());
        let config = Config::parse(&text).unwrap();
        assert!(alone().is_err(), "the threads of the tests are seen");
        rustix::thread::set_no_new_privs(true).unwrap();
        let sandbox = enter(&config, &[]).unwrap();
        let reach = sandbox.reach().expect("a kernel with Landlock, which Linux has since 5.13");

        let link = |to: &std::path::Path| fs::hard_link(other.join("there"), to.join("linked"));
        for (what, tried, can) in [
            ("read what is named", fs::read(named.join("there")).map(drop), true),
            ("list what is named", fs::read_dir(&named).map(drop), true),
            ("read for the resolver", fs::read("/etc/passwd").map(drop), true),
            ("count processors", fs::read_dir("/sys/devices/system").map(drop), true),
            ("write the state", fs::write(state.join("new"), "y"), true),
            ("replace the state", fs::rename(state.join("new"), state.join("there")), true),
            ("remove the state", fs::remove_file(state.join("there")), true),
            ("lay a link", std::os::unix::fs::symlink("/etc/shadow", state.join("link")), false),
            ("write what is named", fs::write(named.join("there"), "y"), false),
            ("make a file beside it", fs::write(named.join("new"), "y"), false),
            ("remove what is named", fs::remove_file(named.join("there")), false),
            ("read elsewhere", fs::read(other.join("there")).map(drop), false),
            ("list elsewhere", fs::read_dir(&other).map(drop), false),
            ("write elsewhere", fs::write(other.join("there"), "y"), false),
            ("make a folder elsewhere", fs::create_dir(other.join("new")), false),
            ("take in what is elsewhere", link(&state), false),
            (
                "write to a system file",
                fs::OpenOptions::new().append(true).open("/etc/passwd").map(drop),
                false,
            ),
            ("start a program", Command::new("/bin/true").status().map(drop), false),
            (
                "start a program of its own",
                Command::new(env::current_exe().unwrap()).status().map(drop),
                false,
            ),
            ("change the root", std::os::unix::fs::chroot(&state), false),
            (
                "make namespaces",
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).map_err(Into::into),
                false,
            ),
            (
                "become another user",
                nix::unistd::setuid(nix::unistd::Uid::from_raw(65534)).map_err(Into::into),
                false,
            ),
            ("signal others", rustix::process::test_kill_process(parent()).map_err(Into::into), false),
            ("start a thread", std::thread::Builder::new().spawn(|| ()).map(drop), true),
        ] {
            match tried {
                Ok(()) => assert!(can, "it could {what}"),
                // A link out of a folder that may not be written is one across file systems to the kernel.
                Err(error) => assert!(
                    !can && (error.kind() == PermissionDenied || error.raw_os_error() == Some(libc::EXDEV)),
                    "it could not {what}, or not for this: {error}"
                ),
            }
        }
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n"), "{status}");

        let next = |path: &str| Config::parse(&format!("trusted_proxies_file = '{path}'")).unwrap();
        reach.admit(&next("/etc/hosts")).unwrap();
        reach.admit(&next(&named.join("there").display().to_string())).unwrap();
        let error = reach.admit(&next(&other.join("there").display().to_string())).unwrap_err();
        assert!(error.to_string().contains(&format!("in `{}`", other.display())), "{error}");
        assert!(error.hint().contains("restart"), "{}", error.hint());
        println!("all was tried: {sandbox}");
    }

    fn parent() -> rustix::process::Pid {
        rustix::process::getppid().unwrap()
    }

    const INSIDE: &str = "PANOPLY_TEST_INSIDE";
}
