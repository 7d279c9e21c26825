//! `atlas bench run`: where the time of a run went, from its report.

use serde_json::json;

use crate::args::{Output, WhichRun};
use crate::directory::Directory;
use crate::failure::{Exit, Result};
use crate::format::{count, duration, percent, usd};
use crate::print;
use crate::report::Report;

/// RepoProver's published run: submissions landed an hour, mean of 168 hours.
const REPOPROVER_PER_HOUR: f64 = 20.8;

/// Prints the figures.
pub fn run(which: &WhichRun, output: Output) -> Result<Exit> {
    let directory = Directory::find(&which.dir, which.run.as_deref())?;
    let report = Report::read(&directory.report())?;
    let hours = report.elapsed_ms as f64 / 3.6e6;
    let per_hour = if hours > 0.0 { report.landings as f64 / hours } else { 0.0 };
    let agents: usize = report.targets.iter().map(|target| target.history.len()).sum();
    let cpu = report.cpu;
    let all = cpu.atlas_ms + cpu.nats_ms + cpu.lean_ms;
    if output == Output::Json {
        print::json(&json!({
            "run": report.run, "elapsed_ms": report.elapsed_ms, "cpu": cpu, "lean_ms": report.lean_ms,
            "tokens": report.usage.tokens(), "cost_usd": report.usage.cost_microdollars as f64 / 1e6,
            "model_calls": report.model_calls, "agents": agents, "checks": report.checks,
            "landings": report.landings, "landings_per_hour": per_hour, "totals": report.totals,
            "peers": [{ "who": "RepoProver", "landings_per_hour": REPOPROVER_PER_HOUR, "source": "its paper's run of 168 hours" }],
        }))?;
        return Ok(Exit::Done);
    }
    let share = |ms: u64| format!("{}  {}", duration(ms), percent(ms, all));
    let totals = report.totals;
    let rows = vec![
        vec!["wall time, pauses included".into(), duration(report.elapsed_ms)],
        vec!["processor time in Lean".into(), share(cpu.lean_ms)],
        vec!["processor time in NATS".into(), share(cpu.nats_ms)],
        vec!["processor time in Atlas".into(), share(cpu.atlas_ms)],
        vec![
            "targets certified, refuted, all".into(),
            format!("{}, {}, {}", totals.certified, totals.refuted, totals.targets),
        ],
        vec!["agents".into(), count(agents as u64)],
        vec![
            "checks, from cache".into(),
            format!("{}, {}", count(report.checks), count(report.checks_cached)),
        ],
        vec!["model calls".into(), count(report.model_calls)],
        vec![
            "tokens".into(),
            format!("{}, {}", count(report.usage.tokens()), usd(report.usage.cost_microdollars as f64 / 1e6)),
        ],
        vec!["landings".into(), count(report.landings)],
        vec!["landings an hour".into(), format!("{per_hour:.1}")],
        vec!["RepoProver's (its paper's run of 168 hours)".into(), format!("{REPOPROVER_PER_HOUR}")],
    ];
    print::line(print::table(&[&report.run.to_uppercase(), ""], rows, &[1]).trim_end());
    Ok(Exit::Done)
}
