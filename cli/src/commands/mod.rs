//! The commands, one file each.

pub mod agents;
pub mod audit;
pub mod backup;
pub mod bench;
pub mod certify;
pub mod check;
pub mod dlq;
pub mod drain;
pub mod incident;
pub mod logs;
pub mod models;
pub mod queues;
pub mod receipt;
pub mod repair;
pub mod reply;
pub mod report;
pub mod simulate;
pub mod status;
pub mod trace;
pub mod validate;
pub mod verify;

use clap::CommandFactory;

use crate::args::Cli;
use crate::failure::Exit;

/// `atlas completions`.
pub fn completions(shell: clap_complete::Shell) -> Exit {
    // To memory first: a reader that leaves in the middle is no fault.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "atlas", &mut script);
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
    Exit::Done
}
