//! `atlas status`: how far a run is.

use atlas_domain::TargetState;
use serde_json::json;

use crate::args::{Output, StatusArgs};
use crate::attach::Attached;
use crate::directory::Directory;
use crate::failure::{Exit, Result};
use crate::format::{count, now_ms, plural, usd};
use crate::print::{self, ASK, FAINT, STRONG, WRONG, style_of, styled};
use crate::progress::{Progress, STATES};
use crate::report::Report;

/// Prints how far the run is, from its status documents, or from its report when it has stopped.
pub async fn status(args: &StatusArgs) -> Result<Exit> {
    let directory = Directory::find(&args.which.dir, args.which.run.as_deref())?;
    if !directory.is_at_work()
        && let Ok(report) = Report::read(&directory.report())
    {
        match args.output.output {
            Output::Json => print::json(&json!({ "at_work": false, "report": report }))?,
            Output::Text => {
                print::line(format!("{} is not at work", styled(STRONG, &report.run)));
                print::line(report.summary(true));
            }
        }
        return Ok(exit(report.open_incidents().next().is_some(), !report.lapsed.is_empty()));
    }
    let attached = Attached::to(&directory).await?;
    let documents = attached.bus.read_status(&attached.run).await;
    let (run, at_work) = (attached.run.clone(), attached.at_work);
    attached.close().await;
    let documents = documents
        .map_err(|e| crate::failure::Failure::fault(format!("cannot read the status of `{run}`: {e}")))?;
    let mut progress = Progress::default();
    for (service, document) in &documents {
        progress.absorb(service, document);
    }
    let merge = &progress.merge;
    let exit = exit(merge.open_incidents().next().is_some(), !merge.lapsed.is_empty());
    if args.output.output == Output::Json {
        print::json(&json!({ "run": run, "at_work": at_work, "services": documents }))?;
        return Ok(exit);
    }
    let phase = match (at_work, progress.planner.phase.as_str()) {
        (false, _) => "not at work",
        (true, "") => "starting",
        (true, phase) => phase,
    };
    print::line(format!("{} is {phase}", styled(STRONG, &run)));
    print::line(text(&progress));
    Ok(exit)
}

/// What a run's standing asks of a person.
fn exit(stopped: bool, lapsed: bool) -> Exit {
    match (stopped, lapsed) {
        (true, _) => Exit::Incident,
        (false, true) => Exit::Open,
        (false, false) => Exit::Done,
    }
}

/// The whole standing of a run as text.
fn text(progress: &Progress) -> String {
    let planner = &progress.planner;
    let mut lines = Vec::new();
    let states: Vec<String> = STATES
        .iter()
        .zip(progress.states())
        .filter(|(_, count)| *count > 0)
        .map(|(&state, count)| styled(style_of(state), format!("{count} {state}")))
        .collect();
    lines.push(format!("targets    {} ({})", planner.targets.len(), states.join(", ")));
    let roles: Vec<String> = planner.agents.iter().map(|(role, count)| format!("{count} {role}")).collect();
    lines.push(format!("agents     {}  {}", progress.active(), styled(FAINT, roles.join(", "))));
    let verifier = &progress.verifier;
    lines.push(format!(
        "checks     {}, {:.1}/s, {} from cache, {} waiting",
        count(verifier.checks),
        verifier.per_second,
        count(verifier.cache_hits),
        verifier.queue
    ));
    let merge = &progress.merge;
    lines.push(format!(
        "landings   {}, {} refused, {} in the queue",
        progress.landings(),
        progress.refusals(),
        merge.queue
    ));
    if let Some(receipts) = progress.receipts() {
        lines.push(format!("receipts   {receipts}"));
    }
    if !merge.receipts.fault.is_empty() {
        lines.push(format!("           asked again: {}", merge.receipts.fault));
    }
    for lapsed in &merge.lapsed {
        let what = styled(WRONG, "no longer certified");
        lines.push(format!(
            "           {}: {what} under the present policy: {}",
            lapsed.module, lapsed.reason
        ));
    }
    for incident in merge.open_incidents() {
        lines.push(format!("{} {}: {}", styled(WRONG, "incident"), incident.id, incident.what));
        lines.push(format!("           nothing lands: atlas incident clear {} \"…\"", incident.id));
    }
    let doubtful: Vec<u32> = planner.targets.iter().map(|t| t.doubts).filter(|doubts| *doubts > 0).collect();
    if !doubtful.is_empty() {
        let (doubts, targets) = (doubtful.iter().sum::<u32>() as usize, doubtful.len());
        lines.push(format!("noticed    {} about {}", plural(doubts, "doubt"), plural(targets, "target")));
    }
    let usage = progress.usage();
    let of = |limit: u64, text: String| if limit == 0 { String::new() } else { format!(" of {text}") };
    let budget = planner.budget;
    lines.push(format!(
        "spent      {}{}, {} tokens{}",
        usd(usage.cost_microdollars as f64 / 1e6),
        of(budget.microdollars, usd(budget.microdollars as f64 / 1e6)),
        count(usage.tokens()),
        of(budget.tokens, count(budget.tokens)),
    ));
    if budget.deadline_ms > 0 {
        let left = budget.deadline_ms.saturating_sub(now_ms());
        lines.push(format!("deadline   in {}", crate::format::duration(left)));
    }
    for state in [TargetState::Proving, TargetState::Stating] {
        let ids: Vec<&str> = planner
            .targets
            .iter()
            .filter(|target| target.state == state)
            .map(|target| target.id.as_str())
            .collect();
        for (at, row) in rows(&ids).into_iter().enumerate() {
            let name = if at == 0 { state.as_str() } else { "" };
            lines.push(format!("{}  {row}", styled(style_of(state), format!("{name:<9}"))));
        }
    }
    for escalation in &planner.escalations {
        lines.push(format!("{} {}: {}", styled(ASK, "question"), escalation.target, escalation.question));
        lines.push(format!("           atlas reply {} \"…\"", escalation.target));
    }
    if let Some(finished) = &planner.finished {
        lines.push(finished.reason.clone());
    }
    lines.join("\n")
}

/// Names, separated by commas, in rows that fit a terminal of 100 columns.
fn rows(names: &[&str]) -> Vec<String> {
    const WIDTH: usize = 86;
    let mut rows: Vec<String> = Vec::new();
    for name in names {
        match rows.last_mut().filter(|row| row.len() + name.len() + 2 <= WIDTH) {
            Some(row) => {
                row.push_str(", ");
                row.push_str(name);
            }
            None => rows.push((*name).to_owned()),
        }
    }
    rows
}
