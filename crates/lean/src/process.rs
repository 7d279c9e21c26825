//! A child process that ends, with all its descendants, at a deadline.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Longest output that is read back, in bytes.
const MOST_OUTPUT: u64 = 1 << 20;

/// How a child ended.
pub(crate) enum Ended {
    /// By itself, with the first megabyte of both its streams.
    With(ExitStatus, String),
    /// It was killed at the deadline.
    TimedOut,
}

/// Runs `command` in a process group of its own for at most `left`. The whole group is killed in the end, so that nothing
/// that the child started outlives it.
pub(crate) fn run(mut command: Command, left: Duration) -> std::io::Result<Ended> {
    // To a file and not a pipe: a descendant that holds a pipe open would hold us up.
    let mut output = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?).process_group(0);
    let mut child = command.spawn()?;
    let group = Pid::from_raw(child.id().cast_signed());
    let (ended, end) = channel();
    let waiter = std::thread::spawn(move || {
        // Nobody listens any more only after the thread has been joined.
        drop(ended.send(child.wait()));
    });
    let status = match end.recv_timeout(left) {
        Ok(status) => Some(status?),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
    };
    // Of a group that has ended there is nothing left to kill.
    let _ = killpg(group, Signal::SIGKILL);
    drop(waiter.join());
    let Some(status) = status else { return Ok(Ended::TimedOut) };
    Ok(Ended::With(status, read_back(&mut output)?))
}

fn read_back(output: &mut File) -> std::io::Result<String> {
    use std::io::Seek as _;
    output.rewind()?;
    let mut bytes = vec![];
    output.take(MOST_OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use atlas_testkit::Watched;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_status_come_back() {
        let Ended::With(status, output) =
            run(shell("echo out; echo err >&2; exit 3"), Duration::from_secs(10)).unwrap()
        else {
            panic!()
        };
        assert_eq!((status.code(), output.as_str()), (Some(3), "out\nerr\n"));
    }

    #[test]
    fn the_whole_group_ends_at_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        assert!(matches!(run(shell(&script), Duration::from_millis(500)).unwrap(), Ended::TimedOut));
        let grandchild = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        // Killed, it may take a moment to end.
        let ends = Watched::begin(grandchild).map_or(true, |one| one.ends_within(Duration::from_secs(10)));
        assert!(ends, "the grandchild lives");
    }
}
