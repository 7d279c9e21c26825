//! `atlas`: mathematics books become Lean libraries, from the command line.
//!
//! `atlas run` links all services in and runs them as tasks of one process beside a nats-server of its own; the other
//! commands look at runs, answer their questions, check Lean and measure.

mod args;
mod attach;
mod commands;
mod directory;
mod failure;
mod format;
mod input;
mod print;
mod progress;
mod report;
mod run;
mod toolchain;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::failure::{Exit, Failure, Result};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        Command::Run(args) => wait(run::run(&args)),
        Command::Status(args) => wait(commands::status::status(&args)),
        Command::Check(args) => commands::check::check(&args),
        Command::Certify(args) => commands::certify::certify(&args),
        Command::Audit(args) => commands::audit::audit(&args),
        Command::Verify(args) => wait(commands::verify::verify(&args.what)),
        Command::Receipt(args) => commands::receipt::receipt(&args.what),
        Command::Reply(args) => wait(commands::reply::reply(&args)),
        Command::Agents(args) => wait(commands::agents::agents(&args)),
        Command::Trace(args) => wait(commands::trace::trace(&args)),
        Command::Dlq(args) => wait(commands::dlq::dlq(&args)),
        Command::Drain(args) => wait(commands::drain::drain(&args)),
        Command::Queues(args) => wait(commands::queues::queues(&args)),
        Command::Repair(args) => wait(commands::repair::repair(&args)),
        Command::Backup(args) => commands::backup::backup(&args),
        Command::Restore(args) => commands::backup::restore(&args),
        Command::Incident(args) => wait(commands::incident::incident(&args)),
        Command::Logs(args) => wait(commands::logs::logs(&args)),
        Command::Simulate(args) => wait(commands::simulate::simulate(args)),
        Command::Bench(args) => commands::bench::bench(&args.what),
    }
}

/// Runs a command that waits for others.
fn wait<F: Future<Output = Result<Exit>>>(command: F) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::fault(format!("cannot start the runtime: {e}")))?;
    let ended = runtime.block_on(command);
    // A check that Lean is still at is of no use any more; nobody waits for its thread.
    runtime.shutdown_background();
    ended
}
