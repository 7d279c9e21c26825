//! What a run leaves behind: the library's working copy and the report, from the planner's journal and the library.

use std::collections::HashMap;

use atlas_agent_runner::Agent;
use atlas_agent_runner::machine::Doing;
use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId, Standing, Usage};
use atlas_library::layout;
use atlas_planner::{AttemptStatus, Finished, Planner, TargetStatus};
use atlas_proto::{PlannerEvent, merge_outcome, planner_event};
use bytes::Bytes;
use prost::Message as _;

use crate::directory::{Directory, Identity};
use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::progress::Progress;
use crate::report::{Attempt, Chapter, Cpu, Escalation, Refusal, Report, Target};

/// Writes the working copy and gathers the report of the run as it stands.
///
/// # Errors
/// When the journal or the library cannot be read, or a folder cannot be written.
pub async fn conclude(
    bus: &Bus,
    run: &RunId,
    input: &Input,
    directory: &Directory,
    identity: &Identity,
    progress: &Progress,
    finished: Option<&Finished>,
) -> Result<Report> {
    let (repository, library) = (directory.repository(), directory.library());
    let exported =
        tokio::task::spawn_blocking(move || atlas_merge_coordinator::export(&repository, &library)).await;
    exported
        .map_err(|e| Failure::fault(format!("writing the library's working copy failed: {e}")))?
        .map_err(|e| Failure::fault(format!("the library's working copy cannot be written: {e}")))?;
    let planner: Planner = atlas_actor::replay(bus, &ActorId::singleton(run, ActorKind::Plan))
        .await
        .map_err(|e| Failure::fault(format!("cannot read the planner's journal for the report: {e}")))?;
    let modules = modules(bus, planner.head()).await?;
    let mut report = report(&planner, &modules, input, identity, progress);
    report.outcome = finished.map(|finished| finished.reason.clone());
    report.refusals = refusals(bus, run).await?;
    let (repository, library) = (directory.repository(), directory.library());
    if repository.is_dir() {
        let exported =
            tokio::task::spawn_blocking(move || atlas_merge_coordinator::export(&repository, &library)).await;
        exported
            .map_err(|e| Failure::fault(format!("writing the library's working copy failed: {e}")))?
            .map_err(|e| Failure::fault(e.to_string()))?;
    }
    report.exit_code = finished.map(|finished| finished.exit_code);
    Ok(report)
}

/// The library's Lean files at `commit`, by module; none before the first landing.
async fn modules(bus: &Bus, commit: &str) -> Result<HashMap<String, Bytes>> {
    let mut modules = HashMap::new();
    if commit.is_empty() {
        return Ok(modules);
    }
    let unreadable =
        |e: atlas_bus::Error| Failure::fault(format!("cannot read the library at {commit}: {e}"));
    for entry in bus.manifest(commit).await.map_err(unreadable)?.files {
        if let Some(module) = layout::module_name(&entry.path) {
            modules.insert(module, bus.file(&entry.sha256).await.map_err(unreadable)?);
        }
    }
    Ok(modules)
}

fn report(
    planner: &Planner,
    modules: &HashMap<String, Bytes>,
    input: &Input,
    identity: &Identity,
    progress: &Progress,
) -> Report {
    let status = planner.status();
    let mut usage = Usage::default();
    for of_role in status.usage.values() {
        usage += *of_role;
    }
    let budget = status.budget;
    let mut report = Report {
        run: identity.run.to_string(),
        title: identity.title.clone(),
        chapters: input
            .chapters
            .iter()
            .map(|chapter| Chapter {
                slug: chapter.slug.clone(),
                title: chapter.title.clone(),
                module: chapter.module.clone(),
            })
            .collect(),
        targets: planner.targets().iter().map(|status| target(planner, modules, status)).collect(),
        usage,
        usage_by_role: status.usage,
        budget_usd: (budget.microdollars > 0).then(|| usd(budget.microdollars)),
        budget_tokens: (budget.tokens > 0).then_some(budget.tokens),
        checks: progress.verifier.checks,
        checks_cached: progress.verifier.cache_hits,
        lean_ms: progress.verifier.lean_ms,
        model_calls: usage.model_calls,
        repeated_calls: identity.repeated_calls,
        landings: status.landings,
        library_commit: planner.head().to_owned(),
        toolchain: progress.verifier.toolchain.clone(),
        started_ms: status.started_ms,
        elapsed_ms: status.updated_ms.saturating_sub(status.started_ms),
        ..Report::default()
    };
    report.count();
    report
}

fn target(planner: &Planner, modules: &HashMap<String, Bytes>, status: &TargetStatus) -> Target {
    let blueprint = planner.blueprint();
    let found = blueprint.find(&status.id).map(|ix| (blueprint.target(ix), blueprint.standing(ix)));
    let source = modules.get(&status.module).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let question = status.question.clone().unwrap_or_default();
    let ids = |ids: &[atlas_domain::TargetId]| ids.iter().map(ToString::to_string).collect();
    let mut target = Target {
        id: status.id.clone(),
        kind: status.kind.clone(),
        chapter: status.chapter.clone(),
        title: status.title.clone(),
        state: status.state,
        declaration: status.declaration.clone(),
        module: status.module.clone(),
        attempts: status.attempts,
        tokens: status.tokens,
        cost: usd(status.cost),
        landed_commit: status.landed_commit.clone(),
        reason: status.reason.clone(),
        parent: status.parent.clone(),
        lean: source
            .and_then(|text| layout::region_text(text, &status.id))
            .unwrap_or_default()
            .trim()
            .to_owned(),
        escalation: (status.question.is_some() || status.reply.is_some())
            .then(|| Escalation { question, reply: status.reply.clone() }),
        history: planner.attempts(&status.id).iter().map(|past| attempt(&status.id, past)).collect(),
        ..Target::default()
    };
    if let Some((book, standing)) = found {
        target.stated = standing != Standing::Unstated;
        target.statement.clone_from(&book.statement);
        target.proof.clone_from(&book.proof);
        target.source.clone_from(&book.source);
        target.line = book.line;
        target.statement_depends_on = ids(&book.statement_depends_on);
        target.proof_depends_on = ids(&book.proof_depends_on);
    }
    target
}

fn attempt(target: &str, past: &AttemptStatus) -> Attempt {
    let reasons = past.reason.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
    Attempt {
        id: format!("{target}.{}.{}", past.role, past.number),
        role: past.role.clone(),
        number: past.number,
        outcome: past.outcome.clone(),
        reasons: reasons.collect(),
        turns: past.turns,
        checks: past.checks,
        tokens: past.usage.tokens(),
        cost: usd(past.usage.cost_microdollars),
        commit: past.commit.clone(),
    }
}

fn usd(microdollars: u64) -> f64 {
    microdollars as f64 / 1e6
}

/// What the merge queue sent back, in order, from the planner's journal.
async fn refusals(bus: &Bus, run: &RunId) -> Result<Vec<Refusal>> {
    let records = bus
        .records(&ActorId::singleton(run, ActorKind::Plan))
        .await
        .map_err(|e| Failure::fault(format!("cannot read the planner's journal for the report: {e}")))?;
    let events = records.iter().flat_map(|(_, record)| &record.events);
    let outcomes = events.filter_map(|bytes| match PlannerEvent::decode(bytes.as_slice()).ok()?.event? {
        planner_event::Event::Merged(outcome) => Some(outcome),
        _ => None,
    });
    let refused = outcomes.filter_map(|outcome| match outcome.result? {
        merge_outcome::Result::Refused(refused) => Some(Refusal {
            submission: outcome.submission,
            target: outcome.target,
            kind: refused.kind,
            reason: refused.reason,
        }),
        merge_outcome::Result::Landed(_) => None,
    });
    Ok(refused.collect())
}

/// Agents whose model was asked and has not answered: before a process starts, the calls that the last one left under
/// way. Their answers may have been given and lost.
///
/// # Errors
/// When the journals cannot be read.
pub async fn calls_under_way(bus: &Bus, run: &RunId) -> Result<u64> {
    let unreadable = |cause: String| Failure::fault(format!("cannot read the agents' journals: {cause}"));
    let mut calls = 0;
    for actor in bus.actors(run, ActorKind::Agent, None).await.map_err(|e| unreadable(e.to_string()))? {
        let agent: Agent = atlas_actor::replay(bus, &actor).await.map_err(|e| unreadable(e.to_string()))?;
        calls += u64::from(agent.doing() == Doing::Asking);
    }
    Ok(calls)
}

/// Processor time of this process so far; `lean_ms` of it was in Lean.
pub fn cpu(lean_ms: u64) -> Cpu {
    use nix::sys::resource::{UsageWho, getrusage};
    let of = |who| {
        getrusage(who).map_or(0, |usage| {
            let both = usage.user_time() + usage.system_time();
            u64::try_from(both.tv_sec() * 1000 + both.tv_usec() / 1000).unwrap_or(0)
        })
    };
    let own = of(UsageWho::RUSAGE_SELF);
    Cpu { lean_ms, nats_ms: of(UsageWho::RUSAGE_CHILDREN), atlas_ms: own.saturating_sub(lean_ms) }
}
