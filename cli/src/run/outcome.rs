//! What a run leaves behind: the library's working copy and the report, from the planner's journal and the library.

use std::collections::HashMap;

use atlas_agent_runner::Agent;
use atlas_agent_runner::machine::Doing;
use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId, Standing, TargetState, Usage};
use atlas_judge::{KeyRing, RING_FILE, Receipt};
use atlas_library::layout;
use atlas_merge_coordinator::{MergeQueue, export_receipts};
use atlas_planner::{AttemptStatus, Finished, Planner, TargetStatus};
use atlas_proto::{MergeOutcome, PlannerEvent, merge_outcome, planner_event, report, triage};
use bytes::Bytes;
use prost::Message as _;

use crate::directory::{Directory, Identity};
use crate::failure::{Exit, Failure, Result};
use crate::input::Input;
use crate::progress::Progress;
use crate::report::{Attempt, Chapter, Cpu, Escalation, Refusal, Report, Tag, Target, TargetReceipt, ways};

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
    if repository.is_dir() {
        let exported =
            tokio::task::spawn_blocking(move || atlas_merge_coordinator::export(&repository, &library)).await;
        exported
            .map_err(|e| Failure::fault(format!("writing the library's working copy failed: {e}")))?
            .map_err(|e| Failure::fault(format!("the library's working copy cannot be written: {e}")))?;
    }
    let planner: Planner = atlas_actor::replay(bus, &ActorId::singleton(run, ActorKind::Plan))
        .await
        .map_err(|e| Failure::fault(format!("cannot read the planner's journal for the report: {e}")))?;
    let modules = modules(bus, planner.head()).await?;
    let mut report = report(&planner, &modules, input, identity, progress);
    receipts(bus, run, directory, &mut report).await?;
    report.count();
    report.outcome = finished.map(|finished| finished.reason.clone());
    let told = Told::read(bus, run).await?;
    report.refusals = told.refusals;
    for target in &mut report.targets {
        // The planner keeps a question until it is answered.
        if let (Some(escalation), Some(asked)) = (&mut target.escalation, told.questions.get(&target.id))
            && escalation.question.is_empty()
        {
            escalation.question.clone_from(asked);
        }
    }
    report.exit_code = finished.map(|finished| match finished.exit_code {
        0 if !report.lapsed.is_empty() => Exit::Open as u8,
        code => code,
    });
    Ok(report)
}

/// Writes the receipts of what is in the library beside it, and tells them with their targets.
async fn receipts(bus: &Bus, run: &RunId, directory: &Directory, report: &mut Report) -> Result<()> {
    let queue: MergeQueue =
        atlas_actor::replay(bus, &ActorId::singleton(run, ActorKind::Merge)).await.map_err(|e| {
            Failure::fault(format!("cannot read the merge queue's journal for the receipts: {e}"))
        })?;
    let keys = directory.keys().join(RING_FILE);
    let ring = KeyRing::read(&keys).map_err(|e| Failure::fault(format!("the keys of receipts: {e}")))?;
    let exported = export_receipts(bus, queue.receipts(), &ring, &directory.receipts())
        .await
        .map_err(|e| Failure::fault(format!("the receipts cannot be written: {e}")))?;
    // The skeleton's and the planner's own among them.
    report.landings = queue.totals().landed;
    report.landings_with_receipts = queue.totals().receipted;
    report.incidents = queue.incidents().cloned().collect();
    report.receipts = queue.receipt_counts();
    report.lapsed = queue.lapsed().cloned().collect();
    for target in &mut report.targets {
        if let Some(lapsed) = report.lapsed.iter().find(|lapsed| lapsed.module == target.module) {
            lapse(target, &lapsed.reason);
            continue;
        }
        let found = exported.get(&target.module).zip(queue.receipts().get(&target.module));
        target.receipt = found.and_then(|(receipt, sha256)| of_target(target, receipt, sha256));
    }
    Ok(())
}

/// A target of a module that does not certify any more is not certified.
fn lapse(target: &mut Target, reason: &str) {
    if target.state == TargetState::Certified {
        target.state = TargetState::Proved;
    }
    let reason = format!("{} is no longer certified under the present policy: {reason}", target.module);
    target.reason.get_or_insert(reason);
}

/// What a module's receipt says of a target that is settled in it.
fn of_target(target: &Target, receipt: &Receipt, sha256: &str) -> Option<TargetReceipt> {
    let declaration = match target.state {
        TargetState::Certified => target.declaration.clone(),
        TargetState::Refuted => format!("{}_refuted", target.declaration),
        _ => return None,
    };
    let certified = receipt.declarations.iter().find(|one| one.name == declaration)?;
    // It would not be of what the planner calls settled.
    certified.sorry_from.is_empty().then(|| TargetReceipt {
        sha256: sha256.to_owned(),
        file: format!("../receipts/{}.json", receipt.module),
        kernels: receipt.kernels.iter().map(|verdict| verdict.kernel.clone()).collect(),
        axioms: certified.axioms.clone(),
        made_ms: receipt.made_ms,
    })
}

/// The library's Lean files at `commit`, by module; none before the first landing.
async fn modules(bus: &Bus, commit: &str) -> Result<HashMap<String, Bytes>> {
    let mut modules = HashMap::new();
    if commit.is_empty() {
        return Ok(modules);
    }
    let unreadable =
        |e: atlas_bus::Error| Failure::fault(format!("cannot read the library at {commit}: {e}"));
    for entry in &bus.manifest(commit).await.map_err(unreadable)?.files {
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
    Report {
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
    }
}

fn target(planner: &Planner, modules: &HashMap<String, Bytes>, status: &TargetStatus) -> Target {
    let blueprint = planner.blueprint();
    let found = blueprint.find(&status.id).map(|ix| (blueprint.target(ix), blueprint.standing(ix)));
    let source = modules.get(&status.module).and_then(|bytes| std::str::from_utf8(bytes).ok());
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
        escalation: (status.question.is_some() || status.reply.is_some()).then(|| Escalation {
            question: status.question.clone().unwrap_or_default(),
            reply: status.reply.clone(),
        }),
        tags: planner.tags(&status.id).into_iter().map(tag).collect(),
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
    target.ways = ways(&target);
    target
}

fn tag(tag: atlas_proto::Tag) -> Tag {
    let weight = tag.weight().word();
    Tag { kind: tag.kind, weight: weight.to_owned(), evidence: tag.evidence }
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
        rejected: past.rejected,
        tokens: past.usage.tokens(),
        cost: usd(past.usage.cost_microdollars),
        commit: past.commit.clone(),
    }
}

fn usd(microdollars: u64) -> f64 {
    microdollars as f64 / 1e6
}

/// What the planner's journal tells and its state no longer holds.
struct Told {
    /// What the merge queue sent back, in order.
    refusals: Vec<Refusal>,
    /// The last question to a person about each target.
    questions: HashMap<String, String>,
}

impl Told {
    async fn read(bus: &Bus, run: &RunId) -> Result<Self> {
        let records = bus
            .records(&ActorId::singleton(run, ActorKind::Plan))
            .await
            .map_err(|e| Failure::fault(format!("cannot read the planner's journal for the report: {e}")))?;
        let mut told = Self { refusals: Vec::new(), questions: HashMap::new() };
        for bytes in records.iter().flat_map(|(_, record)| &record.events) {
            // An event of a newer program tells this one nothing.
            let event = PlannerEvent::decode(bytes.as_slice()).ok().and_then(|event| event.event);
            match event {
                Some(planner_event::Event::Merged(outcome)) => told.merged(outcome),
                Some(planner_event::Event::Escalated(asked)) => {
                    told.questions.insert(asked.target, asked.question);
                }
                Some(planner_event::Event::Reported(report)) => {
                    if let Some(report::Result::Triage(triage)) = report.result
                        && let Some(triage::Action::Escalate(question)) = triage.action
                    {
                        told.questions.insert(report.target, question);
                    }
                }
                _ => {}
            }
        }
        Ok(told)
    }

    fn merged(&mut self, outcome: MergeOutcome) {
        if let Some(merge_outcome::Result::Refused(refused)) = outcome.result {
            self.refusals.push(Refusal {
                submission: outcome.submission,
                target: outcome.target,
                kind: refused.kind,
                reason: refused.reason,
            });
        }
    }
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

#[cfg(test)]
mod tests {
    use atlas_judge::Certified;

    use super::*;

    #[test]
    fn a_settled_target_is_told_with_what_its_receipt_says_of_it() {
        let certified = |name: &str, sorry_from: &[&str]| Certified {
            name: name.into(),
            axioms: vec!["propext".into()],
            sorry_from: sorry_from.iter().map(|&name| name.into()).collect(),
            ..Certified::default()
        };
        let receipt = Receipt {
            module: "N.A".into(),
            declarations: vec![
                certified("N.whole", &[]),
                certified("N.false_refuted", &[]),
                certified("N.open", &["N.open"]),
            ],
            ..Receipt::default()
        };
        let of = |declaration: &str, state| {
            let target = Target { declaration: declaration.into(), state, ..Target::default() };
            of_target(&target, &receipt, "ab12")
        };
        let whole = of("N.whole", TargetState::Certified).unwrap();
        assert_eq!((whole.file.as_str(), whole.sha256.as_str()), ("../receipts/N.A.json", "ab12"));
        assert_eq!(whole.axioms, ["propext"]);
        assert!(of("N.false", TargetState::Refuted).is_some());
        assert_eq!(
            of("N.false", TargetState::Certified),
            None,
            "of its negation there is a receipt, not of it"
        );
        assert_eq!(of("N.open", TargetState::Certified), None, "what rests on `sorry` is not certified");
        assert_eq!(of("N.whole", TargetState::Proved), None);
    }
}
