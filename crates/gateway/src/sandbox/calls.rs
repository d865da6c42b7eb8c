//! System calls that no gateway makes: ways to other programs, to more rights, and to the parts of the kernel in which
//! holes are found.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// Has them answered with EPERM in all threads, and tells how many they are; `None` where the kernel has no seccomp. With
/// `has_hook` programs can be started, and make code as they run.
///
/// The list is of what is refused: one of what is allowed would break with each version of the C library.
pub(super) fn refuse(has_hook: bool) -> Result<Option<usize>, Error> {
    let Ok(target) = TargetArch::try_from(ARCH) else { return Ok(None) };
    let filter = |rules, answer: i32| -> Result<BpfProgram, BackendError> {
        let answer = SeccompAction::Errno(answer.unsigned_abs());
        SeccompFilter::new(rules, SeccompAction::Allow, answer, target)?.try_into()
    };
    let refused = refused(has_hook);
    for filter in [filter(rules(&refused, has_hook)?, libc::EPERM)?, filter(unknown(), libc::ENOSYS)?] {
        match seccompiler::apply_filter_all_threads(&filter) {
            Err(Error::Seccomp(error)) if is_missing(&error) => return Ok(None),
            applied => applied?,
        }
    }
    Ok(Some(refused.len()))
}

fn refused(has_hook: bool) -> Vec<i64> {
    let of_programs: &[i64] = if has_hook { &[] } else { OF_PROGRAMS };
    [DEEP, OF_THE_PROCESSOR, of_programs].concat()
}

/// What is refused whatever it is asked with, and what is refused with some arguments.
fn rules(refused: &[i64], has_hook: bool) -> Result<Rules, BackendError> {
    let mut rules: Rules =
        refused.iter().flat_map(|call| spellings(*call)).map(|call| (call, Vec::new())).collect();
    let code = if has_hook { Vec::new() } else { own_code()? };
    let some = [
        (libc::SYS_clone, namespaces()?),
        (libc::SYS_ioctl, terminals()?),
        (libc::SYS_socket, other_families()?),
    ];
    for (call, when) in some.into_iter().chain(code) {
        for call in spellings(call) {
            rules.insert(call, when.clone());
        }
    }
    Ok(rules)
}

/// What the C library is told that there is none of, and does in the way of before. The flags of `clone3` lie in memory,
/// where no filter looks (seccomp(2)); and of what is newer than this list nobody here knows what it can.
fn unknown() -> Rules {
    let newer = NEWER.filter(|call| *call != MSEAL).chain([libc::SYS_clone3]);
    newer.flat_map(spellings).map(|call| (call, Vec::new())).collect()
}

/// The numbers of a call: on x86-64 each has a second one (x32), and some a third.
fn spellings(call: i64) -> impl Iterator<Item = i64> {
    let x32 = cfg!(target_arch = "x86_64").then_some(X32);
    let own = X32_OWN.iter().find(|(native, _)| *native == call).map(|(_, own)| *own);
    [Some(call), x32.map(|bit| call | bit), x32.zip(own).map(|(bit, own)| own | bit)].into_iter().flatten()
}

/// A thread, and a process, but none in namespaces of its own: there it would be root.
fn namespaces() -> Result<Vec<SeccompRule>, BackendError> {
    let flags = [
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWUTS,
    ];
    flags.into_iter().map(|flag| all([has(0, flag.unsigned_abs().into())?])).collect()
}

/// What is typed for the shell that this was started from, and drivers of lines, which the kernel loads when they are
/// asked for (ioctl_tty(2)).
fn terminals() -> Result<Vec<SeccompRule>, BackendError> {
    [TIOCSTI, TIOCLINUX, TIOCSETD].into_iter().map(|request| all([is(1, request)?])).collect()
}

/// Sockets of other kinds than the network's own, those of this machine, and what the C library asks for addresses of
/// this machine (rtnetlink(7)): for each of the others the kernel loads a module that few have looked at.
fn other_families() -> Result<Vec<SeccompRule>, BackendError> {
    let family = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let protocol = [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP];
    let none_of = |index, known: &[i32]| -> Result<Vec<SeccompCondition>, BackendError> {
        known.iter().map(|value| is_not(index, value.unsigned_abs().into())).collect()
    };
    let route = is_not(2, libc::NETLINK_ROUTE.unsigned_abs().into())?;
    Ok(vec![
        all(none_of(0, &family)?)?,
        all(none_of(2, &protocol)?)?,
        all([is(0, libc::AF_NETLINK.unsigned_abs().into())?, route])?,
    ])
}

/// Memory that is written and then run: code that did not come with this program.
fn own_code() -> Result<Vec<(i64, Vec<SeccompRule>)>, BackendError> {
    let [run, both] =
        [libc::PROT_EXEC, libc::PROT_EXEC | libc::PROT_WRITE].map(|bits| u64::from(bits.unsigned_abs()));
    Ok(vec![(libc::SYS_mmap, vec![all([has(2, both)?])?]), (libc::SYS_mprotect, vec![all([has(2, run)?])?])])
}

fn all(conditions: impl Into<Vec<SeccompCondition>>) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.into())
}

fn is(index: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn is_not(index: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
}

fn has(index: u8, bits: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), bits)
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL))
}

/// Calls, and with which arguments; none: with any.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Programs, other users, and what processes share: what the operator's own program has to be able to.
const OF_PROGRAMS: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_capset,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setuid,
    libc::SYS_mq_open,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_pkey_mprotect,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_shmat,
    libc::SYS_shmget,
];

const DEEP: &[i64] = &[
    // Other processes.
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // Other file systems, and files without a path.
    libc::SYS_chroot,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    // Other namespaces.
    libc::SYS_setns,
    libc::SYS_unshare,
    // The kernel itself, and the machine.
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    KEXEC_FILE_LOAD,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_memfd_secret,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

#[cfg(target_arch = "x86_64")]
const OF_THE_PROCESSOR: &[i64] = &[
    libc::SYS__sysctl,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
#[cfg(not(target_arch = "x86_64"))]
const OF_THE_PROCESSOR: &[i64] = &[];

/// Not every libc has a name for it.
const KEXEC_FILE_LOAD: i64 = if cfg!(target_arch = "x86_64") { 320 } else { 294 };
/// From Linux 6.8 on, with one number on all processors (scripts/syscall.tbl), and below those that x32 has for itself.
const NEWER: std::ops::Range<i64> = 457..512;
/// Takes rights away and gives none: the C library seals itself with it.
const MSEAL: i64 = 462;

/// include/uapi/asm-generic/ioctls.h.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541C;
const TIOCSETD: u64 = 0x5423;

/// `__X32_SYSCALL_BIT`: the numbers of pointers of 32 bits, which some kernels take from any program.
const X32: i64 = 0x4000_0000;
/// Those that have a number of their own there (arch/x86/entry/syscalls/syscall_64.tbl).
const X32_OWN: &[(i64, i64)] = &[
    (libc::SYS_ioctl, 514),
    (libc::SYS_execve, 520),
    (libc::SYS_ptrace, 521),
    (libc::SYS_kexec_load, 528),
    (libc::SYS_move_pages, 533),
    (libc::SYS_process_vm_readv, 539),
    (libc::SYS_process_vm_writev, 540),
    (libc::SYS_io_setup, 543),
    (libc::SYS_execveat, 545),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::process::Command;
    use std::{env, fs};

    use super::*;

    /// A filter cannot be taken off again, so it is tried in a process of its own: this test, once more. Python calls by
    /// number; what keeps it from being started is the one call that is let through here.
    #[test]
    fn what_is_refused_is_refused_by_number_and_by_argument_and_no_more() {
        if env::var_os(INSIDE).is_some() {
            return inside();
        }
        let test = "sandbox::calls::tests::what_is_refused_is_refused_by_number_and_by_argument_and_no_more";
        let mut child = Command::new(env::current_exe().unwrap());
        let said = child.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(said.contains("1 passed"), "{said}");
    }

    fn inside() {
        rustix::thread::set_no_new_privs(true).unwrap();
        let target = TargetArch::try_from(ARCH).unwrap();
        let calls: Vec<i64> = refused(false).into_iter().filter(|call| *call != libc::SYS_execve).collect();
        let calls = rules(&calls, false).unwrap();
        for (calls, answer) in [(calls, libc::EPERM), (unknown(), libc::ENOSYS)] {
            let answer = SeccompAction::Errno(answer.unsigned_abs());
            let filter = SeccompFilter::new(calls, SeccompAction::Allow, answer, target).unwrap();
            let filter: BpfProgram = filter.try_into().unwrap();
            seccompiler::apply_filter(&filter).unwrap();
        }
        let (inet, stream, netlink) = (libc::AF_INET, libc::SOCK_STREAM, libc::AF_NETLINK);
        let socket = |family: i32, kind: i32, protocol: i32| {
            format!("{}, {family}, {kind}, {protocol}", libc::SYS_socket)
        };
        let map = |rights: i32| {
            format!(
                "{}, None, 4096, {rights}, {}, -1, 0",
                libc::SYS_mmap,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS
            )
        };
        let (write, run) = (libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ | libc::PROT_EXEC);
        let refused = Some(libc::EPERM);
        for (what, call, expected) in [
            ("a quota by file", format!("{}, -1, 0, 0, None", libc::SYS_quotactl_fd), refused),
            ("shared memory", format!("{}, 0, 4096, 0o600", libc::SYS_shmget), refused),
            ("reads of its own list", format!("{}, 1, None", libc::SYS_io_setup), refused),
            ("mounts", "457, None, None, 0, 0".to_owned(), Some(libc::ENOSYS)),
            ("what is not there yet", "511".to_owned(), Some(libc::ENOSYS)),
            ("a key for a terminal", format!("{}, 0, {TIOCSTI}, b'x'", libc::SYS_ioctl), refused),
            ("a driver of lines", format!("{}, 0, {TIOCSETD}, None", libc::SYS_ioctl), refused),
            ("a socket of virtual machines", socket(libc::AF_VSOCK, stream, 0), refused),
            ("a socket of ciphers", socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0), refused),
            ("SCTP", socket(inet, stream, libc::IPPROTO_SCTP), refused),
            ("the firewall", socket(netlink, libc::SOCK_RAW, libc::NETLINK_NETFILTER), refused),
            ("code of its own", map(write | libc::PROT_EXEC), refused),
            ("code of its own, later", format!("{}, 0, 4096, {run}", libc::SYS_mprotect), refused),
            ("TCP", socket(inet, stream | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0), None),
            ("UDP over IPv6", socket(libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP), None),
            ("a socket of this machine", socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0), None),
            ("addresses of this machine", socket(netlink, libc::SOCK_RAW, libc::NETLINK_ROUTE), None),
            ("memory", map(write), None),
            ("code from a file", map(run), None),
        ] {
            let script = format!(
                "import ctypes; libc = ctypes.CDLL(None, use_errno=True); \
                 print(libc.syscall({call}) == -1 and ctypes.get_errno() or 'None')"
            );
            let said = Command::new("python3").args(["-c", &script]).output().unwrap();
            let answer = String::from_utf8_lossy(&said.stdout).trim().parse().ok();
            assert!(said.status.success(), "{what}: {}", String::from_utf8_lossy(&said.stderr));
            assert_eq!(answer, expected, "{what}: {call}");
        }
    }

    /// All but x86-64 have the generic table (arch/arm64/include/asm/unistd.h). Nobody builds for them here, so it is the
    /// sources that are asked: those of the crate for the names, and the kernel's for the numbers.
    #[test]
    fn the_list_is_one_of_arm_too() {
        let generic = fs::read_to_string("/usr/include/asm-generic/unistd.h");
        let generic = generic.expect("the kernel's headers are part of any C compiler: run scripts/test");
        let number_of = |call: &str| {
            let names = [format!("#define __NR_{call} "), format!("#define __NR3264_{call} ")];
            names.iter().find_map(|name| {
                let rest = generic.split(name.as_str()).nth(1)?;
                rest.lines().next()?.trim().parse::<i64>().ok()
            })
        };
        let of_arm = of_arm();
        let before = include_str!("calls.rs").split("mod tests").next().unwrap();
        let (begin, of_x86) = before.split_once("#[cfg(target_arch = \"x86_64\")]").unwrap();
        let (_, end) = of_x86.split_once("];").unwrap();
        let end = end.split("const X32_OWN").next().unwrap();
        let names = |text: &str| -> BTreeSet<String> {
            let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            text.split("libc::SYS_")
                .skip(1)
                .filter_map(|rest| Some(rest.split(ends).next()?.to_owned()))
                .collect()
        };
        let all = names(&[begin, end].concat());
        assert!(all.len() > 80 && !names(of_x86).is_subset(&all), "{all:?}");
        for call in all {
            assert!(number_of(&call).is_some(), "{call} is no call of the generic table");
            let named = of_arm.split(&format!("pub const SYS_{call}: c_long = ")).nth(1);
            let named = named.and_then(|rest| rest.split(';').next()?.parse().ok());
            assert_eq!(named, number_of(&call), "{call} in the crate for aarch64");
        }
        assert_eq!(number_of("kexec_file_load"), Some(294));
    }

    /// What the crate has for aarch64 alone.
    fn of_arm() -> String {
        let tree = ["metadata", "--offline", "--format-version", "1"];
        let told = Command::new(env::var_os("CARGO").unwrap_or("cargo".into())).args(tree).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        let packages = told["packages"].as_array().unwrap();
        let libc = packages.iter().find(|package| package["name"] == "libc").unwrap();
        let manifest = Path::new(libc["manifest_path"].as_str().unwrap());
        let folder = manifest.with_file_name("src/unix/linux_like/linux/gnu/b64/aarch64");
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    const INSIDE: &str = "PANOPLY_TEST_INSIDE_CALLS";
}
