//! Canaries: a confined process tries to get out, in every way that the layers are there to stop, and says which ways it found.
//!
//! Nothing that it tries harms anything: what it writes is a file in a folder made for that, what it reads a secret made for that, whom it
//! signals it sends signal 0.

use std::fs::Permissions;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, fork, pause, setsid};
use serde::{Deserialize, Serialize};

use crate::frame::{self, Until};
use crate::{Entered, Error, Layer, Plan, Process, Report};

/// Children that a fork bomb makes at most; a plan for canaries allows fewer threads.
const BOMB: usize = 64;
/// Seconds that a child lives which nothing stops.
const LIFE_S: u32 = 5;
/// How long what a daemon holds may stay open after its ancestors' end.
const SURVIVES: Duration = Duration::from_millis(300);
const MOST_BYTES: u64 = 1 << 20;
/// What a process must be able to do that becomes another program.
const NEEDED_TO_START: [&str; 2] = ["make new code", "call execve"];

/// What a canary tries itself on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Targets {
    folder: PathBuf,
    secret: PathBuf,
    socket: PathBuf,
    abstract_socket: String,
    port: u16,
    parent: i32,
    /// Bytes that it may take.
    memory: u64,
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was attempted, e.g. `read a secret`.
    pub attempt: String,
    /// How it went.
    pub how: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.attempt, self.how)
    }
}

/// Starts a canary, `program` confined by `plan`, and gives what confined it and the ways out that it found; none is as it should be. `task` says to the program
/// that it is to call [`sing`].
///
/// # Errors
/// As [`Process::start`]'s; a canary that says nothing has shown nothing.
pub fn run(
    program: &Path,
    build: &str,
    plan: &Plan,
    task: impl FnOnce(Targets) -> String,
    patience: Duration,
) -> Result<(Report, Vec<Finding>), Error> {
    let until = Instant::now() + patience;
    let failed = || Error::confine::<std::io::Error>("prepare what canaries try themselves on");
    let folder = tempfile::Builder::new().prefix("atlas-canary-").tempdir().map_err(failed())?;
    let open = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
    open(folder.path(), 0o777).map_err(failed())?;
    let (secret, socket) = (folder.path().join("secret"), folder.path().join("socket"));
    std::fs::write(&secret, "a secret").map_err(failed())?;
    open(&secret, 0o644).map_err(failed())?;
    let _named = UnixListener::bind(&socket).map_err(failed())?;
    open(&socket, 0o777).map_err(failed())?;
    let abstract_socket = folder.path().to_string_lossy().into_owned();
    let address = SocketAddr::from_abstract_name(&abstract_socket).map_err(failed())?;
    let _abstract = UnixListener::bind_addr(&address).map_err(failed())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed())?;
    let targets = Targets {
        folder: folder.path().to_owned(),
        secret,
        socket,
        abstract_socket,
        port: listener.local_addr().map_err(failed())?.port(),
        parent: i32::try_from(std::process::id()).unwrap_or(i32::MAX),
        memory: plan.memory,
    };
    let (process, mut lanes) = Process::start(program, build, plan, &task(targets), 1, patience)?;
    let said = frame::receive(&mut Until(process.control(), until), MOST_BYTES);
    let said = said.ok().and_then(|said| serde_json::from_slice::<Vec<Finding>>(&said).ok());
    let Some(mut found) = said else {
        return Err(Error::Silent(format!("a canary fell silent: {}", process.last_words())));
    };
    if plan.guest.is_some() {
        found.retain(|finding| !NEEDED_TO_START.contains(&finding.attempt.as_str()));
    }
    // The last, since it dies of it; and where no group can be had, nothing is to hold it.
    if process.report().layers.contains(&Layer::Group) || !plan.has(Layer::Group) {
        let _ = frame::send(&mut Until(process.control(), until), &[]);
        if process.speaks(until) {
            let said = frame::receive(&mut Until(process.control(), until), MOST_BYTES);
            found.extend(said.ok().and_then(|said| serde_json::from_slice::<Finding>(&said).ok()));
        }
    }
    process.end();
    if let Some(lane) = lanes.pop()
        && Until(&lane, Instant::now() + SURVIVES).read(&mut [0]).is_err()
    {
        let how = "it lived on when all that had started it was dead";
        found.push(Finding { attempt: "leave a daemon behind".into(), how: how.into() });
    }
    Ok((process.report().clone(), found))
}

/// The confined side: tries everything, and tells. With a plan that has a [`crate::Guest`], as that.
///
/// # Errors
/// When the parent cannot be told.
pub fn sing(entered: &mut Entered, targets: &Targets) -> std::io::Result<()> {
    entered.become_guest().map_err(std::io::Error::other)?;
    let found = serde_json::to_vec(&attempts(targets))?;
    frame::send(&mut entered.control, &found)?;
    // Else the end comes from the parent.
    if frame::receive(&mut entered.control, 0).is_ok() {
        let how = take_memory(targets);
        let finding = Finding { attempt: "take memory without end".into(), how };
        frame::send(&mut entered.control, &serde_json::to_vec(&finding)?)?;
        let _ = entered.control.read(&mut [0]);
    }
    Ok(())
}

/// Takes twice the memory that it may have, and writes to all of it.
fn take_memory(targets: &Targets) -> String {
    let bytes = usize::try_from(2 * targets.memory).unwrap_or(usize::MAX);
    let taken = std::hint::black_box(vec![1_u8; bytes]);
    format!("{} MB where {} are allowed", taken.len() >> 20, targets.memory >> 20)
}

fn attempts(targets: &Targets) -> Vec<Finding> {
    let attempts: [(&str, Attempt); 14] = [
        ("write outside", write_outside),
        ("read a secret", read_secret),
        ("read the environment", read_environment),
        ("use an inherited descriptor", inherited),
        ("open a TCP connection", |t| {
            TcpStream::connect((Ipv4Addr::LOCALHOST, t.port)).ok().map(|_| format!("to port {}", t.port))
        }),
        ("open a UNIX socket", |t| UnixStream::connect(&t.socket).ok().map(|_| "by its path".into())),
        ("open an abstract socket", abstract_socket),
        ("follow a link outside", link_outside),
        ("signal the parent", signal_parent),
        ("trace the parent", trace_parent),
        ("make new code", new_code),
        ("fork without end", bomb),
        ("leave a daemon behind", daemon),
        // The last: in a user namespace of its own it has no rights over others any more.
        ("mount a file system", mount_something),
    ];
    let tried = attempts
        .into_iter()
        .filter_map(|(attempt, try_it)| Some(Finding { attempt: attempt.into(), how: try_it(targets)? }));
    let calls = CALLS.iter().filter_map(|(name, number, arguments)| {
        let how = reached(*number, *arguments)?;
        Some(Finding { attempt: format!("call {name}"), how })
    });
    calls.chain(tried).collect()
}

type Attempt = fn(&Targets) -> Option<String>;

fn write_outside(targets: &Targets) -> Option<String> {
    let folders =
        [&targets.folder, Path::new("/tmp"), Path::new("/"), Path::new("/dev/shm"), Path::new("/var/tmp")];
    folders.into_iter().find_map(|folder| {
        let file = folder.join("atlas-canary-was-here");
        std::fs::write(&file, "").ok()?;
        let _ = std::fs::remove_file(&file);
        Some(format!("in `{}`", folder.display()))
    })
}

fn read_secret(targets: &Targets) -> Option<String> {
    [&targets.secret, Path::new("/etc/passwd")]
        .into_iter()
        .find(|file| std::fs::read(file).is_ok())
        .map(|file| format!("`{}`", file.display()))
}

fn read_environment(_: &Targets) -> Option<String> {
    std::env::vars_os().next().map(|(name, _)| format!("`{}`", name.to_string_lossy()))
}

/// Descriptors of its own are marked to be closed when a program is started; one that came with the program is not.
fn inherited(_: &Targets) -> Option<String> {
    (3..256).find_map(|number| {
        // SAFETY: asks for flags; of a number that is no descriptor, an error comes back.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        (flags >= 0 && flags & libc::FD_CLOEXEC == 0).then(|| format!("number {number}"))
    })
}

fn abstract_socket(targets: &Targets) -> Option<String> {
    let address = SocketAddr::from_abstract_name(&targets.abstract_socket).ok()?;
    UnixStream::connect_addr(&address).ok().map(|_| "by its name".into())
}

fn link_outside(targets: &Targets) -> Option<String> {
    [&targets.folder, Path::new("/tmp"), Path::new("/")].into_iter().find_map(|folder| {
        let link = folder.join("atlas-canary-link");
        std::os::unix::fs::symlink(&targets.secret, &link).ok()?;
        let read = std::fs::read(&link).is_ok();
        let _ = std::fs::remove_file(&link);
        read.then(|| format!("from `{}`", folder.display()))
    })
}

fn mount_something(_: &Targets) -> Option<String> {
    let own = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).is_ok();
    mount(Some("tmpfs"), "/", Some("tmpfs"), MsFlags::empty(), None::<&str>).ok()?;
    Some(if own { "on the root, in a namespace of its own" } else { "on the root" }.into())
}

fn signal_parent(targets: &Targets) -> Option<String> {
    // In a namespace of its own the number may be this process's.
    let other = std::process::id().cast_signed() != targets.parent;
    (other && kill(Pid::from_raw(targets.parent), None).is_ok()).then(|| "signal 0".into())
}

fn trace_parent(targets: &Targets) -> Option<String> {
    // SAFETY: takes numbers and touches no memory of ours; the parent goes on meanwhile, and is let go of when who did this ends.
    let seized = || unsafe { libc::ptrace(libc::PTRACE_SEIZE, targets.parent, 0, 0) } == 0;
    // SAFETY: as in `child`; the call and the end are async-signal-safe.
    let seized = match unsafe { fork() } {
        Ok(ForkResult::Child) => unsafe { libc::_exit(i32::from(!seized())) },
        Ok(ForkResult::Parent { child }) => waitpid(child, None) == Ok(WaitStatus::Exited(child, 0)),
        Err(_) => seized(),
    };
    seized.then(|| "seized".into())
}

fn new_code(_: &Targets) -> Option<String> {
    let protection = libc::PROT_READ | libc::PROT_EXEC;
    // SAFETY: a new mapping where the kernel likes; nothing refers to it, and it is given back.
    unsafe {
        let page = libc::mmap(
            std::ptr::null_mut(),
            4096,
            protection,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if page == libc::MAP_FAILED {
            return None;
        }
        libc::munmap(page, 4096);
    }
    Some("a page that can be executed".into())
}

/// A child that waits for its end, which comes by itself where nothing else brings it.
fn child() -> Option<Pid> {
    // SAFETY: this process has one thread; the child calls nothing but `alarm` and `pause`.
    match unsafe { fork() }.ok()? {
        ForkResult::Parent { child } => Some(child),
        ForkResult::Child => loop {
            alarm::set(LIFE_S);
            pause();
        },
    }
}

fn bomb(_: &Targets) -> Option<String> {
    let children: Vec<Pid> = (0..BOMB).map_while(|_| child()).collect();
    for child in &children {
        let _ = kill(*child, Signal::SIGKILL);
        let _ = waitpid(*child, None);
    }
    (children.len() == BOMB).then(|| format!("{BOMB} children"))
}

/// Leaves a process behind that holds the connections to the parent, by which the parent knows that it lives.
fn daemon(_: &Targets) -> Option<String> {
    // SAFETY: as in `child`; `setsid` is async-signal-safe too.
    if let Ok(ForkResult::Child) = unsafe { fork() } {
        let _ = setsid();
        child();
        // SAFETY: ends this process at once, without any of the code that would run at its end.
        unsafe { libc::_exit(0) }
    }
    None
}

/// System calls by name, number and harmless arguments. `-3` is the session's keyring, flag 1 of `userfaultfd` asks for user mode.
const CALLS: &[(&str, i64, [i64; 4])] = &[
    ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0]),
    ("bpf", libc::SYS_bpf, [5, 0, 0, 0]),
    ("keyctl", libc::SYS_keyctl, [0, -3, 0, 0]),
    ("add_key", libc::SYS_add_key, [0, 0, 0, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, [1 | libc::O_CLOEXEC as i64, 0, 0, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, [0, 0, 0, 0]),
    ("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0, 0]),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, [0, 0, 0, 0]),
    ("init_module", libc::SYS_init_module, [0, 0, 0, 0]),
    ("pidfd_open", libc::SYS_pidfd_open, [1, 0, 0, 0]),
    ("execve", libc::SYS_execve, [0, 0, 0, 0]),
];

/// How the kernel answers; `None` when it does not let the call in.
fn reached(number: i64, [a, b, c, d]: [i64; 4]) -> Option<String> {
    // SAFETY: every pointer among the arguments is null, which the kernel refuses, and none of the calls changes this process by numbers.
    let result = unsafe { libc::syscall(number, a, b, c, d, 0, 0) };
    if result >= 0 {
        return Some(format!("it gave {result}"));
    }
    let error = nix::Error::last();
    let refused = matches!(error, nix::Error::EPERM | nix::Error::EACCES | nix::Error::ENOSYS);
    (!refused).then(|| format!("it was let in, and answered {error}"))
}
