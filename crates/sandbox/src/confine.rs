//! The inside: how a process that has just been started confines itself.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IoSliceMut, Result as IoResult};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use caps::CapSet;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::{Gid, Uid, setgroups, sethostname, setresgid, setresuid};
use serde::{Deserialize, Serialize};

use crate::cgroup::{Group, Places};
use crate::{Error, Layer, Plan, Report, Sandbox, frame, guest, root, syscalls};

/// The first arguments by which a program knows what it has been started as.
pub(crate) const LAUNCHER: &str = "--launch";
const WORKER: &str = "--confine";
/// The launcher's status when the worker was killed at its group's memory limit.
pub(crate) const OUT_OF_MEMORY: u8 = 12;
/// Whom privileged parents' workers run as.
pub(crate) const NOBODY: u32 = 65534;
/// Descriptors that a worker may have open: its image, the toolchain's files that guests read, layers in memory, sockets.
const DESCRIPTORS: u64 = 1024;
/// Bytes of a file that a worker writes; all lie in memory.
const FILE_BYTES: u64 = 4 << 30;
/// What Landlock is asked for; older kernels give less.
const LANDLOCK: ABI = ABI::V6;

/// What a worker is started with.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) plan: Plan,
    pub(crate) task: String,
    pub(crate) lanes: usize,
    /// Where the launcher may make groups.
    pub(crate) places: Places,
    /// What the launcher has put in force.
    pub(crate) report: Report,
    /// The launcher had the rights of an administrator.
    pub(crate) privileged: bool,
    /// A directory of its own.
    pub(crate) scratch: Option<PathBuf>,
}

/// The first message of a worker.
#[derive(Serialize, Deserialize)]
pub(crate) enum Hello {
    Confined(Report),
    Refused(String),
    /// It is of this build, and understands no other's orders.
    Built(String),
}

/// A confined process: what it was started for.
pub struct Entered {
    /// What the parent asks of it, in words that they share.
    pub task: String,
    /// The parent's end closes when the parent is gone.
    pub control: UnixStream,
    /// Connections to the parent.
    pub lanes: Vec<UnixStream>,
    /// Where it can write, if it starts a program ([`crate::Guest`]).
    pub scratch: Option<PathBuf>,
    filtered: bool,
}

/// Confines this process, as it was told by who started it, who must be of the same `build` ([`crate::Process::start`]). `before` is called
/// while all files are still in reach, before anything of the parent's is read. The caller is the program's only thread.
///
/// # Errors
/// The status to exit with: the process was the launcher and its worker has ended; or it could not be confined, which the parent has
/// been told; or it was not started by [`crate::Process::start`], or by one of another build.
pub fn enter(build: &str, before: impl FnOnce() -> IoResult<()>) -> Result<Entered, ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, stage, theirs, order] = &arguments[..] else { return Err(alone()) };
    let Ok(control) = std::io::stdin().as_fd().try_clone_to_owned() else { return Err(ExitCode::FAILURE) };
    let mut control = UnixStream::from(control);
    if theirs != build {
        if let Ok(said) = serde_json::to_vec(&Hello::Built(build.to_owned())) {
            let _ = frame::send(&mut control, &said);
        }
        return Err(ExitCode::FAILURE);
    }
    let Ok(order) = serde_json::from_str::<Order>(order) else { return Err(alone()) };
    let scratch = order.scratch.clone();
    let ended = match stage.as_str() {
        LAUNCHER => match launch(build, order) {
            Ok(status) => return Err(ExitCode::from(status)),
            Err(error) => Err(error),
        },
        WORKER => confine(&order, &control, before).map(|(lanes, report)| (lanes, report, order.task)),
        _ => return Err(alone()),
    };
    let (said, entered) = match ended {
        Ok((lanes, report, task)) => (Hello::Confined(report.clone()), Some((lanes, task, report))),
        Err(Error::Refused(why)) => (Hello::Refused(why), None),
        Err(error) => (Hello::Refused(error.to_string()), None),
    };
    let told = serde_json::to_vec(&said).is_ok_and(|said| frame::send(&mut control, &said).is_ok());
    match entered {
        Some((lanes, task, report)) if told => {
            Ok(Entered { task, control, lanes, scratch, filtered: report.layers.contains(&Layer::Seccomp) })
        }
        _ => Err(ExitCode::FAILURE),
    }
}

fn alone() -> ExitCode {
    eprintln!("this program is started by others: it speaks to them over sockets that they hand to it");
    ExitCode::from(2)
}

impl Entered {
    /// Forbids any code but what has been loaded, in all threads and for good. For when a worker has loaded its own; one that starts a program
    /// keeps the right, as that has code of its own.
    ///
    /// # Errors
    /// [`Error::Confine`].
    pub fn forbid_new_code(&self) -> Result<(), Error> {
        if self.filtered && self.scratch.is_none() { syscalls::restrict_code() } else { Ok(()) }
    }

    /// Takes from this process what is taken from a program that it starts, if it does: for a canary in its place.
    pub(crate) fn become_guest(&self) -> Result<(), Error> {
        if self.filtered && self.scratch.is_some() { guest::restrict() } else { Ok(()) }
    }
}

/// The launcher: makes the namespaces, starts the worker in them, and ends with it or with the parent, whichever ends first.
fn launch(build: &str, mut order: Order) -> Result<u8, Error> {
    if order.plan.has(Layer::Environment) {
        close_inherited().map_err(Error::confine("close what was inherited"))?;
        order.report.layers.insert(Layer::Environment);
    }
    order.privileged = caps::has_cap(None, CapSet::Effective, caps::Capability::CAP_SYS_ADMIN)
        .map_err(Error::confine("ask for its rights"))?
        && Uid::effective().is_root();
    let places = std::mem::take(&mut order.places);
    let group = order.plan.has(Layer::Group).then(|| Group::enter(&places, &order.plan));
    if let Some((group, unlimited)) = &group {
        order.report.layers.extend(group.limits_memory().then_some(Layer::Group));
        order.report.unlimited.extend(unlimited.clone());
    }
    let worker = start_worker(build, &mut order);
    if let Some((group, _)) = &group {
        group.leave();
    }
    let status = hold(&mut worker?).map_err(Error::confine("wait for the worker"))?;
    if group.is_some_and(|(group, _)| group.ran_out()) {
        eprintln!("it was killed at the limit of its memory, {} MB", order.plan.memory >> 20);
        return Ok(OUT_OF_MEMORY);
    }
    let status = status.code().unwrap_or(128 + status.signal().unwrap_or_default());
    Ok(u8::try_from(status).unwrap_or(u8::MAX))
}

/// Makes the namespaces, and starts the worker in them and in the group that the launcher is in.
fn start_worker(build: &str, order: &mut Order) -> Result<Child, Error> {
    match namespaces(order) {
        Ok(made) => order.report.layers.extend(made),
        Err(error) if order.plan.sandbox == Sandbox::Reduced => {
            order.report.missing.push(format!("namespaces: {error}"));
        }
        Err(error) => return Err(Error::Refused(error.to_string())),
    }
    let text = serde_json::to_string(order).map_err(Error::confine("write the worker's orders"))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(WORKER).arg(build).arg(text).stdout(Stdio::null());
    command.spawn().map_err(Error::confine("start the worker"))
}

/// Waits for the end of the worker, and brings it when the parent asks for it (`SIGTERM`) or is gone: the parent holds the reading end of our
/// output for as long as it lives. By signal, as who has made a PID namespace for its children can have no second thread.
fn hold(worker: &mut Child) -> IoResult<ExitStatus> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK)?;
    let output = std::io::stdout();
    loop {
        if let Some(status) = worker.try_wait()? {
            return Ok(status);
        }
        let leash = PollFd::new(output.as_fd(), PollFlags::empty());
        let mut either = [leash, PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        poll(&mut either, PollTimeout::NONE)?;
        let asked = signals.read_signal()?.is_some_and(|signal| signal.ssi_signo == Signal::SIGTERM as u32);
        if asked || either[0].any() == Some(true) {
            worker.kill()?;
            return worker.wait();
        }
    }
}

/// Closes every descriptor beyond the three standard ones.
fn close_inherited() -> IoResult<()> {
    let numbers = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|number| *number > 2)
        .collect::<Vec<_>>();
    for number in numbers {
        // SAFETY: nothing in this process owns it: the program has just begun, and all that it has opened itself is the clone of its input,
        // which is marked to be closed when the worker is started, and the folder's own, which is closed by now.
        if !is_own(number) {
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    Ok(())
}

/// Whether a descriptor was opened by this program: those it inherited are not marked to be closed.
fn is_own(number: i32) -> bool {
    // SAFETY: asks for flags; of a number that is no descriptor, an error comes back.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags < 0 || flags & libc::FD_CLOEXEC != 0
}

fn namespaces(order: &Order) -> Result<BTreeSet<Layer>, Error> {
    let of = |layer: Layer| match layer {
        Layer::Mounts => CloneFlags::CLONE_NEWNS,
        Layer::Processes => CloneFlags::CLONE_NEWPID,
        Layer::Network => CloneFlags::CLONE_NEWNET,
        Layer::Ipc => CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWCGROUP,
        _ => CloneFlags::empty(),
    };
    let made: BTreeSet<Layer> = Layer::NAMESPACES.into_iter().filter(|l| order.plan.has(*l)).collect();
    let flags: CloneFlags = made.iter().map(|layer| of(*layer)).collect();
    let (user, group) = (Uid::effective(), Gid::effective());
    let own = if order.privileged { CloneFlags::empty() } else { CloneFlags::CLONE_NEWUSER };
    unshare(flags | own).map_err(Error::confine(format!(
        "make {}namespaces for {made:?}",
        if order.privileged { "" } else { "a user namespace and " }
    )))?;
    if !order.privileged {
        let maps = [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("0 {user} 1")),
            ("gid_map", format!("0 {group} 1")),
        ];
        for (file, map) in maps {
            std::fs::write(format!("/proc/self/{file}"), map)
                .map_err(Error::confine(format!("write the user namespace's {file}")))?;
        }
    }
    Ok(made)
}

/// The worker.
fn confine(
    order: &Order,
    control: &UnixStream,
    before: impl FnOnce() -> IoResult<()>,
) -> Result<(Vec<UnixStream>, Report), Error> {
    let (plan, mut report) = (&order.plan, order.report.clone());
    let lanes = receive_lanes(control, order.lanes)?;
    let nothing = File::options().read(true).write(true).open("/dev/null");
    let nothing = nothing.map_err(Error::confine("open `/dev/null`"))?;
    nix::unistd::dup2_stdin(&nothing).map_err(Error::confine("close its input"))?;
    before().map_err(Error::confine("prepare"))?;
    if report.layers.contains(&Layer::Mounts) {
        let guest = plan.guest.as_ref().zip(order.scratch.as_deref());
        root::make(&plan.readable, guest)?;
    }
    if report.layers.contains(&Layer::Ipc) {
        sethostname("worker").map_err(Error::confine("name its host"))?;
    }
    if plan.has(Layer::Privileges) {
        drop_privileges(order, &mut report)?;
    }
    if plan.has(Layer::Limits) {
        limit(plan, &report)?;
        report.layers.insert(Layer::Limits);
    }
    prctl::set_dumpable(false).map_err(Error::confine("hide its memory"))?;
    prctl::set_no_new_privs().map_err(Error::confine("renounce new privileges"))?;
    // Set last: changes of the user take it away.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(Error::confine("tie its life to its parent's"))?;
    if plan.has(Layer::Landlock) {
        landlock(plan, order.scratch.as_deref(), &mut report)?;
    }
    if plan.has(Layer::Seccomp) {
        syscalls::restrict(plan.guest.is_some())?;
        report.layers.insert(Layer::Seccomp);
    }
    Ok((lanes, report))
}

fn receive_lanes(control: &UnixStream, count: usize) -> Result<Vec<UnixStream>, Error> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = vec![0; nix::sys::socket::cmsg_space::<[i32; crate::process::MOST_LANES]>()];
    let failed = || Error::confine("receive its connections");
    let message =
        recvmsg::<()>(control.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
            .map_err(failed())?;
    let mut lanes = vec![];
    for part in message.cmsgs().map_err(failed())? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            // SAFETY: the kernel has just opened these for this process, and nothing else here knows them.
            lanes.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    if lanes.len() != count {
        return Err(Error::Confine {
            attempt: "receive its connections".into(),
            cause: format!("{} of {count} came", lanes.len()),
        });
    }
    Ok(lanes.into_iter().map(UnixStream::from).collect())
}

/// Becomes nobody in particular, in a user namespace where that is nobody either.
fn drop_privileges(order: &Order, report: &mut Report) -> Result<(), Error> {
    if order.privileged || Uid::effective().is_root() && report.layers.is_disjoint(&Layer::NAMESPACES.into())
    {
        let failed = || Error::confine::<nix::Error>("become nobody");
        setgroups(&[]).map_err(failed())?;
        let (group, user) = (Gid::from_raw(NOBODY), Uid::from_raw(NOBODY));
        setresgid(group, group, group).map_err(failed())?;
        setresuid(user, user, user).map_err(failed())?;
    }
    if order.privileged {
        match unshare(CloneFlags::CLONE_NEWUSER) {
            Ok(()) => {}
            Err(error) if order.plan.sandbox == Sandbox::Reduced => {
                report.missing.push(format!("a user namespace: {error}"));
            }
            Err(error) => return Err(Error::Refused(format!("cannot make a user namespace: {error}"))),
        }
    }
    // Without the right to shorten the list there is nothing in it that could be had: no program is ever started.
    let _ = caps::clear(None, CapSet::Bounding);
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(Error::confine("drop its capabilities"))?;
    }
    report.layers.insert(Layer::Privileges);
    Ok(())
}

fn limit(plan: &Plan, report: &Report) -> Result<(), Error> {
    let mut limits = vec![
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, FILE_BYTES),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_NOFILE, DESCRIPTORS),
    ];
    // Counted in the user namespace; without one, all that the user runs would count.
    if !report.layers.is_disjoint(&Layer::NAMESPACES.into()) {
        limits.push((Resource::RLIMIT_NPROC, plan.threads));
    }
    limits.extend(plan.guest.as_ref().map(|guest| (Resource::RLIMIT_DATA, guest.memory)));
    for (resource, most) in limits {
        setrlimit(resource, most, most).map_err(Error::confine(format!("limit {resource:?}")))?;
    }
    Ok(())
}

fn landlock(plan: &Plan, scratch: Option<&Path>, report: &mut Report) -> Result<(), Error> {
    let run = if plan.guest.is_some() { AccessFs::Execute.into() } else { BitFlags::EMPTY };
    let rules = || -> Result<RulesetStatus, Box<dyn std::error::Error>> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?;
        for path in &plan.readable {
            let access = AccessFs::ReadFile | AccessFs::ReadDir | run;
            rules = rules.add_rule(PathBeneath::new(PathFd::new(path)?, access))?;
        }
        if let Some(scratch) = scratch {
            // Nothing that was written there is ever executed.
            let access = AccessFs::from_all(LANDLOCK) & !AccessFs::Execute;
            rules = rules.add_rule(PathBeneath::new(PathFd::new(scratch)?, access))?;
        }
        Ok(rules.restrict_self()?.ruleset)
    };
    match rules().map_err(Error::confine("put Landlock in force"))? {
        RulesetStatus::FullyEnforced => {}
        RulesetStatus::PartiallyEnforced => {
            report.missing.push("parts of Landlock: the kernel is older than 6.12".into());
        }
        RulesetStatus::NotEnforced => {
            return Err(Error::Refused("the kernel has no Landlock (5.13 or newer, and switched on)".into()));
        }
    }
    report.layers.insert(Layer::Landlock);
    Ok(())
}
