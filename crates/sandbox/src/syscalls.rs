//! The system calls that a worker needs.
//!
//! The list was measured: workers were traced (`strace -f`) while they elaborated, saved warm guests, and met loops and memory
//! limits; to what they called is added what the C library calls when it has to wait, or to end a process. All else fails with `EPERM`,
//! except `clone3`, whose arguments a filter cannot see: it is said not to exist, and the C library falls back to `clone`.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter_all_threads,
};

use crate::{Error, guest};

pub(crate) type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Flags of `clone` that make namespaces.
pub(crate) const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// Calls with any arguments.
const FREE: &[i64] = &[
    // memory and threads
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    // files: those that can be opened, and files in memory
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_memfd_create,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_statx,
    libc::SYS_write,
    // the parent's sockets
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    // time, chance, signals to itself, the end
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // narrower filters only
    libc::SYS_seccomp,
];

/// Allows what a worker needs, in all threads and for good; with `guest`, what a program needs that it starts.
pub(crate) fn restrict(guest: bool) -> Result<(), Error> {
    let rules =
        allowed(std::process::id()).and_then(|rules| if guest { guest::allowed(rules) } else { Ok(rules) });
    apply(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)?;
    let hidden = Rules::from([(libc::SYS_clone3, vec![])]);
    apply(Ok(hidden), SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))
}

/// Forbids memory that can be executed, in all threads and for good: the code that has been loaded is all there will be.
pub(crate) fn restrict_code() -> Result<(), Error> {
    let executable = || -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        let executable = Is::MaskedEq(libc::PROT_EXEC as u64);
        let condition = SeccompCondition::new(2, Width::Dword, executable, libc::PROT_EXEC as u64)?;
        Ok(vec![SeccompRule::new(vec![condition])?])
    };
    let rules = || Ok(Rules::from([(libc::SYS_mmap, executable()?), (libc::SYS_mprotect, executable()?)]));
    apply(rules(), SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))
}

fn allowed(own: u32) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = FREE.iter().map(|call| (*call, vec![])).collect();
    let only = |argument, condition, value| {
        SeccompRule::new(vec![SeccompCondition::new(argument, Width::Qword, condition, value)?])
    };
    // Threads, and no processes or namespaces.
    let thread = (libc::CLONE_THREAD | libc::CLONE_VM) as u64;
    rules.insert(libc::SYS_clone, vec![only(0, Is::MaskedEq(thread | NAMESPACES), thread)?]);
    rules.insert(libc::SYS_tgkill, vec![only(0, Is::Eq, own.into())?]);
    // Which pages a guest has written to (`PAGEMAP_SCAN`): asked after each check.
    rules.insert(libc::SYS_ioctl, vec![only(1, Is::Eq, 0xC060_6610)?]);
    // What limits are, not what they shall be.
    rules.insert(libc::SYS_prlimit64, vec![only(2, Is::Eq, 0)?]);
    let commands = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC];
    let fcntl = commands.map(|command| only(1, Is::Eq, command as u64));
    rules.insert(libc::SYS_fcntl, fcntl.into_iter().collect::<Result<_, _>>()?);
    // Names for threads and memory, for whoever looks from outside; `no_new_privs` again, which each filter asks for.
    let options = [libc::PR_SET_NAME, libc::PR_SET_VMA, libc::PR_SET_NO_NEW_PRIVS];
    let prctl = options.map(|option| only(0, Is::Eq, option as u64));
    rules.insert(libc::SYS_prctl, prctl.into_iter().collect::<Result<_, _>>()?);
    Ok(rules)
}

fn apply(
    rules: Result<Rules, seccompiler::BackendError>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<(), Error> {
    let program = compiled(rules, otherwise, matched)?;
    apply_filter_all_threads(&program).map_err(Error::confine("put a seccomp filter in force"))
}

/// A filter as the kernel takes it.
pub(crate) fn compiled(
    rules: Result<Rules, seccompiler::BackendError>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, Error> {
    let failed = || Error::confine("make a seccomp filter");
    let rules = rules.map_err(failed())?;
    let target = std::env::consts::ARCH.try_into().map_err(failed())?;
    let filter = SeccompFilter::new(rules, otherwise, matched, target).map_err(failed())?;
    filter.try_into().map_err(failed())
}
