//! `atlas`: mathematics books become Lean libraries, from the command line.
//!
//! `atlas run` links all services in and runs them as tasks of one process beside a nats-server of its own; the other
//! commands look at runs, answer their questions, check Lean and measure.

mod args;
mod commands;
mod directory;
mod failure;
mod format;
mod input;
mod print;
mod progress;
mod report;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::failure::{Exit, Failure, Result};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = dispatch(cli.command).unwrap_or_else(|failure| {
        let title = if failure.titled { String::new() } else { print::styled(print::WRONG, "error") + ": " };
        print::error_line(format!("{title}{failure}"));
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn dispatch(command: Command) -> Result<Exit> {
    match command {
        Command::Report(args) => commands::report::report(&args),
        Command::Models(args) => commands::models::models(&args),
        Command::Validate(args) => commands::validate::validate(&args),
        Command::Schema => commands::validate::schema(),
        Command::Completions { shell } => Ok(commands::completions(shell)),
        _ => Ok(Exit::Done),
    }
}

/// Runs a command that waits for others.
fn wait<F: Future<Output = Result<Exit>>>(command: F) -> Result<Exit> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::fault(format!("cannot start the runtime: {e}")))?
        .block_on(command)
}
