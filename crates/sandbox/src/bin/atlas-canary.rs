//! Says whether the sandbox holds on this machine: which layers are in force, which ways out canaries found.
//!
//! Exit status: 0 when nothing got out, 1 when something did, 2 when the sandbox cannot be had.

use std::process::ExitCode;
use std::time::Duration;

use atlas_sandbox::canary::{self, Targets};
use atlas_sandbox::{Entered, Plan, Sandbox, enter};

const BUILD: &str = concat!("atlas-canary ", env!("CARGO_PKG_VERSION"));

fn main() -> ExitCode {
    if std::env::args_os().len() > 1 {
        return match enter(BUILD, || Ok(())) {
            Ok(entered) => sing(entered).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
            Err(status) => status,
        };
    }
    let looked = look();
    match looked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn sing(mut entered: Entered) -> std::io::Result<()> {
    entered.forbid_new_code().map_err(std::io::Error::other)?;
    let targets: Targets = serde_json::from_str(&entered.task)?;
    canary::sing(&mut entered, &targets)
}

fn look() -> Result<bool, Box<dyn std::error::Error>> {
    let sandbox = Sandbox::from_environment().map_err(|other| format!("{}={other}", Sandbox::VARIABLE))?;
    let plan = Plan { sandbox, ..Plan::default() };
    let task = |targets: Targets| serde_json::to_string(&targets).unwrap_or_default();
    let (report, found) =
        canary::run(&std::env::current_exe()?, BUILD, &plan, task, Duration::from_secs(20))?;
    println!("in force: {:?}", report.layers);
    for missing in &report.missing {
        println!("missing: {missing}");
    }
    for unlimited in &report.unlimited {
        println!("not limited by control group: {unlimited}");
    }
    for finding in &found {
        println!("a way out: {finding}");
    }
    Ok(found.is_empty())
}
