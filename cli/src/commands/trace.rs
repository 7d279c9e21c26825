//! `atlas trace`: an agent's journal as a table: when, what, on which host, at what cost, and why it ended.

use atlas_agent_runner::timeline::{Timeline, Waited, timeline};
use atlas_domain::{ActorId, ActorKind};

use crate::args::{Output, TraceArgs};
use crate::attach::Attached;
use crate::directory::Directory;
use crate::failure::{Exit, Failure, Result};
use crate::format::{duration, plural, short, usd};
use crate::print::{self, FAINT, STRONG, styled};

/// The longest description that fits a row.
const WIDTH: usize = 64;

/// Shows an agent's journal.
pub async fn trace(args: &TraceArgs) -> Result<Exit> {
    let directory = Directory::find(&args.dir, args.run.as_deref())?;
    let attached = Attached::to(&directory).await?;
    let id = ActorId { run: attached.run.clone(), kind: ActorKind::Agent, id: args.agent.clone() };
    let read = timeline(&attached.bus, &id).await;
    attached.close().await;
    let timeline =
        read.map_err(|e| Failure::input(e.to_string()).hint("`atlas agents` lists the agents of the run"))?;
    match args.output.output {
        Output::Json => print::json(&timeline)?,
        Output::Text => print::line(told(&timeline)),
    }
    Ok(Exit::Done)
}

fn told(timeline: &Timeline) -> String {
    let started = timeline.moments.first().map_or(0, |moment| moment.time_ms);
    let mut before = started;
    let mut rows = Vec::new();
    for moment in &timeline.moments {
        let took = moment.time_ms.saturating_sub(before);
        before = moment.time_ms;
        let usage = moment.usage.unwrap_or_default();
        let what: String = moment.what.chars().take(WIDTH).collect();
        rows.push(vec![
            duration(moment.time_ms.saturating_sub(started)),
            if took < 100 { String::new() } else { format!("+{}", duration(took)) },
            moment.epoch.to_string(),
            if moment.checks > 0 { moment.checks.to_string() } else { String::new() },
            if moment.usage.is_some() { short(usage.tokens()) } else { String::new() },
            if moment.usage.is_some() { usd(usage.cost_microdollars as f64 / 1e6) } else { String::new() },
            what,
        ]);
    }
    let table =
        print::table(&["AT", "TOOK", "EPOCH", "CHECKS", "TOKENS", "COST", "WHAT"], rows, &[0, 1, 2, 3, 4, 5]);
    let used = timeline.moments.iter().filter_map(|moment| moment.usage);
    let (tokens, cost) =
        used.fold((0, 0), |(tokens, cost), usage| (tokens + usage.tokens(), cost + usage.cost_microdollars));
    let turns = timeline.moments.iter().filter(|moment| moment.usage.is_some()).count();
    let checks: u32 = timeline.moments.iter().map(|moment| moment.checks).sum();
    let mut hosts: Vec<u64> = timeline.moments.iter().map(|moment| moment.epoch).collect();
    hosts.dedup();
    let waits = [
        ("the model", Waited::Model),
        ("tools", Waited::Tools),
        ("automation", Waited::Automation),
        ("the runner", Waited::Runner),
    ];
    let waits: Vec<String> = waits
        .iter()
        .map(|(whom, waited)| (whom, timeline.waited(*waited)))
        .filter(|(_, ms)| *ms >= 100)
        .map(|(whom, ms)| format!("{} for {whom}", duration(ms)))
        .collect();
    let mut lines = vec![
        format!("{}: {} at work on {}", styled(STRONG, &timeline.attempt), timeline.role, timeline.target),
        String::new(),
        table.trim_end().to_owned(),
        String::new(),
        timeline.ended.clone().unwrap_or_else(|| "it has not ended".to_owned()),
        format!(
            "{}, {}, {} tokens, {}; {} in all{}",
            plural(turns, "turn"),
            plural(checks as usize, "check"),
            short(tokens),
            usd(cost as f64 / 1e6),
            duration(before.saturating_sub(started)),
            if waits.is_empty() { String::new() } else { format!(": {}", waits.join(", ")) },
        ),
    ];
    if hosts.len() > 1 {
        let moved = format!("it changed hosts {}: see EPOCH", plural(hosts.len() - 1, "time"));
        lines.push(styled(FAINT, moved));
    }
    lines.join("\n")
}
