//! System calls that no gateway makes: ways to other programs, to more rights, and to the parts of the kernel in which
//! holes are found.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// Has them answered with EPERM in all threads, and tells how many they are; `None` where the kernel has no seccomp. With
/// `has_hook` programs can be started.
///
/// The list is of what is refused: one of what is allowed would break with each version of the C library.
pub(super) fn refuse(has_hook: bool) -> Result<Option<usize>, Error> {
    let Ok(target) = TargetArch::try_from(ARCH) else { return Ok(None) };
    let starting: &[i64] = if has_hook { &[] } else { STARTING };
    let refused: Vec<i64> = [DEEP, OF_THE_PROCESSOR, starting].concat();
    let filter = |rules, answer: i32| -> Result<BpfProgram, BackendError> {
        let answer = SeccompAction::Errno(answer.unsigned_abs());
        SeccompFilter::new(rules, SeccompAction::Allow, answer, target)?.try_into()
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        refused.iter().flat_map(|call| spellings(*call)).map(|call| (call, Vec::new())).collect();
    for call in spellings(libc::SYS_clone) {
        rules.insert(call, namespaces()?);
    }
    // Its flags lie in memory, where no filter looks; told that there is none, the C library takes `clone` (seccomp(2)).
    let clone3 = spellings(libc::SYS_clone3).map(|call| (call, Vec::new())).collect();
    for filter in [filter(rules, libc::EPERM)?, filter(clone3, libc::ENOSYS)?] {
        match seccompiler::apply_filter_all_threads(&filter) {
            Err(Error::Seccomp(error)) if is_missing(&error) => return Ok(None),
            applied => applied?,
        }
    }
    Ok(Some(refused.len()))
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
    let rule = |flag: i32| {
        let bit = u64::from(flag.unsigned_abs());
        let has = SeccompCmpOp::MaskedEq(bit);
        SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Dword, has, bit)?])
    };
    flags.into_iter().map(rule).collect()
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL))
}

/// Programs, and other users: what the operator's own program has to be able to.
const STARTING: &[i64] = &[
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
];

const DEEP: &[i64] = &[
    // Other processes.
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // Other file systems, and files without a path.
    libc::SYS_chroot,
    libc::SYS_fanotify_init,
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
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
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
const OF_THE_PROCESSOR: &[i64] =
    &[libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_modify_ldt, libc::SYS_uselib, libc::SYS_ustat];
#[cfg(not(target_arch = "x86_64"))]
const OF_THE_PROCESSOR: &[i64] = &[];

/// `__X32_SYSCALL_BIT`: the numbers of pointers of 32 bits, which some kernels take from any program.
const X32: i64 = 0x4000_0000;
/// Those that have a number of their own there (arch/x86/entry/syscalls/syscall_64.tbl).
const X32_OWN: &[(i64, i64)] = &[
    (libc::SYS_execve, 520),
    (libc::SYS_ptrace, 521),
    (libc::SYS_kexec_load, 528),
    (libc::SYS_move_pages, 533),
    (libc::SYS_process_vm_readv, 539),
    (libc::SYS_process_vm_writev, 540),
    (libc::SYS_execveat, 545),
];
