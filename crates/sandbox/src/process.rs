//! The outside: a confined process as its parent sees it.

use std::io::{IoSlice, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::Pid;
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::cgroup::Places;
use crate::confine::{Hello, LAUNCHER, OUT_OF_MEMORY, Order};
use crate::frame::{self, Until};
use crate::{Error, Layer, Plan, Report, guest};

/// Connections that one process can have.
pub(crate) const MOST_LANES: usize = 64;
/// Bytes of a process's first message.
const MOST_HELLO: u64 = 1 << 16;
/// How long a process may take to end, its memory given back, before its launcher is killed: its status is then not known, and its group is left
/// to the next launcher.
const ENDING_MS: u16 = 10_000;
/// Bytes that are kept of what a process says about its end.
const MOST_LAST_WORDS: usize = 4096;

/// A confined process. It ends when this is dropped.
pub struct Process {
    child: Mutex<Child>,
    control: UnixStream,
    report: Report,
    leash: Option<ChildStdout>,
    /// Where it can write, or where the place of that is in its own root.
    _scratch: Option<TempDir>,
}

impl Process {
    /// Starts `program`, which begins with [`crate::enter`], confined by `plan` and told `task`. `build` names what both must have been built
    /// from to understand each other. Gives the process, once its sandbox is in force, and `lanes` connections to it (at most 64).
    ///
    /// # Errors
    /// [`Error::Refused`] names the layer that cannot be had; [`Error::Start`], [`Error::Build`], [`Error::Silent`].
    pub fn start(
        program: &Path,
        build: &str,
        plan: &Plan,
        task: &str,
        lanes: usize,
        patience: Duration,
    ) -> Result<(Self, Vec<UnixStream>), Error> {
        let start = |cause: std::io::Error| Error::Start { program: program.into(), cause };
        let until = Instant::now() + patience;
        let lanes = lanes.min(MOST_LANES);
        let scratch = plan.guest.as_ref().map(|_| guest::scratch()).transpose().map_err(start)?;
        let order = Order {
            plan: plan.clone(),
            task: task.to_owned(),
            lanes,
            places: if plan.has(Layer::Group) { Places::here().clone() } else { Places::default() },
            report: Report::default(),
            privileged: false,
            scratch: scratch.as_ref().map(|folder| folder.path().to_owned()),
        };
        let order = serde_json::to_string(&order).map_err(|e| start(e.into()))?;
        let (control, theirs) = UnixStream::pair().map_err(start)?;
        let mut command = Command::new(program);
        command.arg(LAUNCHER).arg(build).arg(order);
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
        if plan.has(Layer::Environment) {
            command.env_clear();
        }
        let mut child = command.spawn().map_err(start)?;
        drop(command);
        let leash = child.stdout.take();
        let mut process =
            Self { child: Mutex::new(child), control, report: Report::default(), leash, _scratch: scratch };
        // What refuses to start says why, and takes nothing.
        let ends = process.hand_over(lanes);
        let hello = frame::receive(&mut Until(&process.control, until), MOST_HELLO);
        let hello = hello.ok().and_then(|hello| serde_json::from_slice(&hello).ok());
        match hello {
            Some(Hello::Confined(report)) => process.report = report,
            Some(Hello::Refused(why)) => return Err(Error::Refused(why)),
            Some(Hello::Built(its)) => {
                return Err(Error::Build { program: program.into(), its, own: build.to_owned() });
            }
            None => return Err(Error::Silent(process.last_words())),
        }
        // The worker has tied its life to the launcher's, which must have been there to tie it to.
        if process.child.get_mut().try_wait().map_err(start)?.is_some() {
            return Err(Error::Silent(process.end()));
        }
        Ok((process, ends.map_err(start)?))
    }

    /// Makes connections and sends their other ends over.
    fn hand_over(&self, lanes: usize) -> std::io::Result<Vec<UnixStream>> {
        let pairs = (0..lanes).map(|_| UnixStream::pair()).collect::<std::io::Result<Vec<_>>>()?;
        let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let numbers: Vec<RawFd> = theirs.iter().map(|end| end.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let rights = if lanes == 0 { &[][..] } else { &rights[..] };
        let flags = MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(self.control.as_raw_fd(), &[IoSlice::new(&[1])], rights, flags, None)?;
        Ok(ours)
    }

    /// The launcher's number.
    pub fn id(&self) -> u32 {
        self.child.lock().id()
    }

    /// What confines it.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The connection over which it was started.
    pub fn control(&self) -> &UnixStream {
        &self.control
    }

    /// Waits for the end of one that has hung up, and gives what it said last.
    pub fn last_words(&self) -> String {
        self.wait();
        self.end()
    }

    /// Whether it was killed at its group's memory limit. Known when it has ended.
    pub fn out_of_memory(&self) -> bool {
        let status = self.child.lock().try_wait().ok().flatten();
        status.and_then(|status| status.code()) == Some(OUT_OF_MEMORY.into())
    }

    /// Waits for what it says next on the connection over which it was started, and says whether something came before its end: that
    /// connection may be held open by others.
    pub(crate) fn speaks(&self, until: Instant) -> bool {
        let patience = PollTimeout::try_from(until.saturating_duration_since(Instant::now()));
        let mut either = vec![PollFd::new(self.control.as_fd(), PollFlags::POLLIN)];
        either.extend(self.leash.as_ref().map(|leash| PollFd::new(leash.as_fd(), PollFlags::POLLIN)));
        let _ = poll(&mut either, patience.unwrap_or(PollTimeout::MAX));
        either[0].any() == Some(true)
    }

    /// Waits for the launcher's end, whose output is closed then.
    fn wait(&self) {
        if let Some(leash) = &self.leash {
            let _ = poll(&mut [PollFd::new(leash.as_fd(), PollFlags::POLLIN)], PollTimeout::from(ENDING_MS));
        }
    }

    /// Kills it, with all that it has started, waits for its end, and gives what it said last.
    pub fn end(&self) -> String {
        let mut child = self.child.lock();
        let status = child.try_wait().ok().flatten();
        if status.is_none() {
            // The launcher ends the worker, takes its group away, and ends.
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
            self.wait();
        }
        let _ = child.kill();
        let _ = child.wait();
        let mut words = vec![0; MOST_LAST_WORDS];
        let length = match child.stderr.as_mut() {
            Some(stderr) => read_what_is_there(stderr, &mut words),
            None => 0,
        };
        words.truncate(length);
        let words = String::from_utf8_lossy(&words);
        let words = words.trim();
        match (status, words) {
            (Some(status), "") => format!("it ended with {status}"),
            (None, "") => "it was ended".to_owned(),
            (Some(status), words) => format!("it ended with {status}: {words}"),
            (None, words) => words.to_owned(),
        }
    }
}

/// Reads without waiting for more: what is left behind a dead process, or held open by one that should be dead.
fn read_what_is_there(from: &mut std::process::ChildStderr, buffer: &mut [u8]) -> usize {
    let ready = poll(&mut [PollFd::new(from.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO);
    if ready == Ok(1) { from.read(buffer).unwrap_or_default() } else { 0 }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
