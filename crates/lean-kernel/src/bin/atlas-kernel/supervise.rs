//! The parent: starts the child and makes an answer of whatever becomes of it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use crate::answer::{Answer, Statement};
use crate::options::Options;

/// The child's answer; if it has none (it was killed, it ran out of memory or stack, it panicked) the file is declined.
pub fn answer(options: &Options) -> Answer {
    let declined = |reason: String| Statement::because(Answer::Declined, reason).print(options.output);
    let program = match std::env::current_exe() {
        Ok(p) => p,
        Err(e) => return declined(format!("cannot find this program's own file: {e}")),
    };
    // Without backtraces: to make one out of memory takes half a minute and says nothing.
    let status = Command::new(program)
        .arg("--worker")
        .args(std::env::args_os().skip(1))
        .env("RUST_BACKTRACE", "0")
        .status();
    match status {
        Err(e) => declined(format!("cannot start the checking process: {e}")),
        Ok(s) => match (s.code(), s.signal()) {
            (Some(0), _) => Answer::Accepted,
            (Some(1), _) => Answer::Rejected,
            (Some(2), _) => Answer::Declined,
            (Some(c), _) => declined(format!("the checking process failed (status {c})")),
            (None, Some(signal)) => declined(match signal {
                6 => "the checking process ran out of memory".to_owned(),
                9 | 24 => "the checking process was ended from outside or ran out of time".to_owned(),
                11 => "the checking process ran out of stack".to_owned(),
                n => format!("the checking process was ended by signal {n}"),
            }),
            (None, None) => declined("the checking process failed".to_owned()),
        },
    }
}
