//! Programs that a confined process starts, which know nothing of sandboxes: a compiler, say, that runs what it compiles.

use std::io::Result as IoResult;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition,
    SeccompRule, apply_filter, apply_filter_all_threads,
};
use tempfile::TempDir;

use crate::Error;
use crate::confine::NOBODY;
use crate::syscalls::{NAMESPACES, Rules, compiled};

/// What ordinary programs call beyond what a worker does: files below a directory of their own, pipes, waiting, the start of a program.
/// No sockets, signals to others, tracing, mounts, keys.
const CALLS: &[i64] = &[
    libc::SYS_chdir,
    libc::SYS_clock_getres,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_execve,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getppid,
    libc::SYS_getrusage,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_linkat,
    libc::SYS_mincore,
    libc::SYS_mkdirat,
    libc::SYS_msync,
    libc::SYS_nanosleep,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_preadv,
    libc::SYS_pselect6,
    libc::SYS_pwritev,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sendfile,
    libc::SYS_set_tid_address,
    libc::SYS_statfs,
    libc::SYS_symlinkat,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_writev,
];

/// The same by the names that only this architecture has.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[i64] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[i64] = &[];

/// What a worker may call that starts a program.
pub(crate) fn allowed(mut rules: Rules) -> Result<Rules, BackendError> {
    rules.extend(CALLS.iter().chain(OLD_CALLS).map(|call| (*call, vec![])));
    // Processes too, in the namespaces that there are.
    rules.insert(libc::SYS_clone, vec![only(0, Is::MaskedEq(NAMESPACES), 0)?]);
    let tie = only(0, Is::Eq, libc::PR_SET_PDEATHSIG as u64)?;
    rules.entry(libc::SYS_prctl).or_default().push(tie);
    // Two ends that are connected already: how the standard library hears whether a program could be started.
    rules.insert(libc::SYS_socketpair, vec![only(0, Is::Eq, libc::AF_UNIX as u64)?]);
    let terminal = only(1, Is::Eq, libc::TCGETS)?;
    rules.entry(libc::SYS_ioctl).or_default().push(terminal);
    Ok(rules)
}

fn only(argument: u8, condition: Is, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, Width::Qword, condition, value)?])
}

/// What is taken from a program that was started: it starts no process beside itself, and does not outlive who started it.
fn withheld() -> Result<BpfProgram, Error> {
    let rules = || -> Result<Rules, BackendError> {
        Ok(Rules::from([
            (libc::SYS_clone, vec![only(0, Is::MaskedEq(libc::CLONE_THREAD as u64), 0)?]),
            (libc::SYS_prctl, vec![only(0, Is::Eq, libc::PR_SET_PDEATHSIG as u64)?]),
        ]))
    };
    compiled(rules(), SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))
}

/// Takes from this process, in all threads and for good, what is taken from a program that it starts.
pub(crate) fn restrict() -> Result<(), Error> {
    apply_filter_all_threads(&withheld()?).map_err(Error::confine("put a seccomp filter in force"))
}

/// Starts a program in a confined process whose plan has a [`crate::Guest`]. It ends at the latest with the thread that calls this, and can start
/// none itself.
///
/// # Errors
/// [`Error::Confine`].
pub fn start(command: &mut Command) -> Result<Child, Error> {
    let filter = withheld()?;
    let before = move || -> IoResult<()> {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        apply_filter(&filter).map_err(|_| std::io::ErrorKind::PermissionDenied.into())
    };
    // SAFETY: between `fork` and `exec` only async-signal-safe calls are made: two of `prctl` and one of `seccomp`, on a filter that was made before;
    // nothing is allocated or freed but on the way to a failure, after which the child ends.
    unsafe { command.pre_exec(before) };
    command.spawn().map_err(Error::confine("start a program"))
}

/// A directory that a confined process may have for itself.
pub(crate) fn scratch() -> IoResult<TempDir> {
    let folder = tempfile::Builder::new().prefix("atlas-scratch-").tempdir()?;
    if Uid::effective().is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
    }
    Ok(folder)
}
