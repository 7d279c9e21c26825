//! Runs what the planner asks for: letters to agents and merge queue, files, waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atlas_actor::{EffectError, Executor, Scope};
use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, Blueprint, RunId, Target};
use atlas_library::layout;
use atlas_proto::letter::Letter as Written;
use atlas_proto::{
    FileChange, Letter, MergeOutcome, MergeRequest, Refused, RunSpec, Submission, Task, merge_outcome,
};
use atlas_telemetry::trace;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::command::{Command, Effect, letter_id, limits};
use crate::ledger_service::{LedgerHandle, unix_ms};
use crate::machine::Planner;
use crate::role::Role;
use crate::skeleton;
use crate::status::Status;

/// The author that the planner's own files name.
const ROLE: &str = "planner";
/// Least pause before a send is tried again.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct PlannerExecutor {
    pub bus: Bus,
    pub run: RunId,
    pub ledger: LedgerHandle,
    /// Where the extracted targets go.
    pub targets_file: Option<PathBuf>,
    pub status: watch::Sender<Status>,
}

impl Executor<Planner> for PlannerExecutor {
    fn command(&self, letter: Letter) -> Option<Command> {
        match letter.letter? {
            Written::RunSpec(spec) => Some(Command::Open(Box::new(spec))),
            Written::Report(report) => Some(Command::Report(Box::new(report))),
            Written::MergeOutcome(outcome) => Some(Command::Merged(Box::new(outcome))),
            Written::HumanReply(reply) => Some(Command::Reply(reply)),
            _ => None,
        }
    }

    async fn execute(&self, scope: Scope, effect: Effect) -> Result<Option<Command>, EffectError> {
        match effect {
            Effect::Plan => Ok(Some(Command::Plan)),
            Effect::OpenLedger { number, policy } => {
                self.ledger.limit(limits(&policy)).await.map_err(retry)?;
                Ok(Some(Command::LedgerOpened(number)))
            }
            Effect::WatchBudget => {
                let refusal = self.ledger.exhausted().await;
                Ok(Some(Command::Stop { kind: refusal.kind, reason: refusal.reason }))
            }
            Effect::Deadline { at_ms } => {
                tokio::time::sleep(Duration::from_millis(at_ms.saturating_sub(unix_ms()))).await;
                Ok(Some(Command::Stop {
                    kind: "deadline",
                    reason: "the run's deadline has passed".to_owned(),
                }))
            }
            Effect::Start(task) => self.start(&scope, &task).await,
            Effect::Revoke { attempt } => {
                self.ledger.revoke(&attempt).await;
                Ok(None)
            }
            Effect::WriteTargets(targets) => self.write_targets(&targets).await,
            Effect::Skeleton { id, spec, targets } => self.lay_out(&scope, id, &spec, &targets).await,
            Effect::MakeRoom { id, parent, module, parts, imports, base_commit } => {
                let room = self.room(&parent, &module, &parts, &imports, &base_commit).await?;
                let names: Vec<&str> = parts.iter().map(|(part, _)| part.as_str()).collect();
                let submission = Submission {
                    id: id.clone(),
                    role: ROLE.to_owned(),
                    agent: ROLE.to_owned(),
                    base_commit,
                    title: format!("Make room for the parts of {parent}"),
                    summary: format!("Triage decomposed `{parent}` into {}.", names.join(", ")),
                    ..Submission::default()
                };
                match room {
                    Ok(change) => {
                        let submission = Submission { changes: vec![change], ..submission };
                        self.submit(
                            &scope,
                            MergeRequest { submission: Some(submission), ..MergeRequest::default() },
                        )
                        .await
                    }
                    Err(reason) => Ok(Some(refused(id, reason))),
                }
            }
            Effect::Merge(order) => self.submit(&scope, order.request()).await,
        }
    }

    fn observed(&self, _: &ActorId, planner: &Planner) {
        self.status.send_replace(planner.status());
    }
}

impl PlannerExecutor {
    async fn start(&self, scope: &Scope, task: &Task) -> Result<Option<Command>, EffectError> {
        let target = task.target.as_ref().map(|target| target.id.as_str()).unwrap_or_default();
        let span = tracing::info_span!(
            "attempt",
            otel.name = format!("start {}", task.role),
            target = target,
            attempt = task.attempt,
        );
        // One trace holds all that is ever done for a target.
        let root = traceparent(&self.run, target);
        let span = trace::with_parent(&root, span);
        let first = matches!(Role::named(&task.role), Some(Role::Formalizer | Role::Extractor));
        if first && task.number == 1 {
            // The root, which every attempt names as its parent. Nobody starts on a target sooner.
            let span = tracing::info_span!(parent: None, "target", otel.name = format!("target {target}"), run = %self.run);
            drop(trace::root(&root, span));
        }
        let agent = ActorId { run: self.run.clone(), kind: ActorKind::Agent, id: task.attempt.clone() };
        let letter = Letter { letter: Some(Written::Task(task.clone())) };
        self.send(&agent, letter, &scope.key).instrument(span).await
    }

    async fn submit(&self, scope: &Scope, mut request: MergeRequest) -> Result<Option<Command>, EffectError> {
        let queue = ActorId::singleton(&self.run, ActorKind::Merge);
        if request.traceparent.is_empty() {
            request.traceparent.clone_from(&scope.traceparent);
        }
        let submission =
            request.submission.as_ref().map(|submission| submission.id.clone()).unwrap_or_default();
        let span = tracing::info_span!("submit", otel.name = "submit to the merge queue", submission);
        let span = trace::with_parent(&request.traceparent, span);
        let letter = Letter { letter: Some(Written::MergeRequest(request)) };
        self.send(&queue, letter, &scope.key).instrument(span).await
    }

    async fn send(&self, to: &ActorId, letter: Letter, key: &str) -> Result<Option<Command>, EffectError> {
        self.bus.send(to, letter, &letter_id(key)).await.map_err(|error| retry(error.to_string()))?;
        Ok(None)
    }

    async fn write_targets(&self, targets: &Arc<Vec<Target>>) -> Result<Option<Command>, EffectError> {
        if let Some(file) = self.targets_file.clone() {
            let targets = targets.clone();
            let written =
                tokio::task::spawn_blocking(move || atlas_book::write_targets(&file, &targets)).await;
            match written {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => return Err(retry(problem.to_string())),
                Err(panic) => return Err(EffectError::Fatal(format!("writing the targets failed: {panic}"))),
            }
        }
        Ok(Some(Command::TargetsWritten))
    }

    async fn lay_out(
        &self,
        scope: &Scope,
        id: String,
        spec: &RunSpec,
        targets: &[Target],
    ) -> Result<Option<Command>, EffectError> {
        let changes = match Blueprint::new(targets.to_vec()) {
            Ok(blueprint) => skeleton::files(spec, &blueprint),
            // The machine has built the same blueprint before it asked.
            Err(errors) => {
                let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
                return Ok(Some(refused(id, words.join("; "))));
            }
        };
        let submission = Submission {
            id,
            role: ROLE.to_owned(),
            agent: ROLE.to_owned(),
            base_commit: spec.base_commit.clone(),
            changes,
            title: format!("Lay out {}", spec.package),
            summary: format!("An empty region for each of {} targets.", targets.len()),
            ..Submission::default()
        };
        self.submit(scope, MergeRequest { submission: Some(submission), ..MergeRequest::default() }).await
    }

    /// The module with regions for the parts; the inner error says why there can be none.
    async fn room(
        &self,
        parent: &str,
        module: &str,
        parts: &[(String, String)],
        imports: &[String],
        commit: &str,
    ) -> Result<Result<FileChange, String>, EffectError> {
        let path = layout::module_path(module);
        let manifest = self.bus.manifest(commit).await.map_err(|error| retry(error.to_string()))?;
        let Some(entry) = manifest.files.iter().find(|entry| entry.path == path) else {
            return Ok(Err(format!("the library has no {path} at {commit}")));
        };
        let bytes = self.bus.file(&entry.sha256).await.map_err(|error| retry(error.to_string()))?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(skeleton::with_room(&text, parent, parts, imports)
            .map(|text| FileChange { path: path.clone(), content: Some(text.into_bytes()) })
            .map_err(|error| format!("{path}: {error}")))
    }
}

fn refused(submission: String, reason: String) -> Command {
    Command::Merged(Box::new(MergeOutcome {
        submission,
        target: String::new(),
        result: Some(merge_outcome::Result::Refused(Refused {
            kind: "policy".to_owned(),
            reason,
            ..Refused::default()
        })),
    }))
}

fn retry(cause: String) -> EffectError {
    EffectError::Retry { after: PAUSE, cause }
}

/// The trace of a target: made from its name, so that no one has to keep it.
fn traceparent(run: &RunId, target: &str) -> String {
    let digest = hex::encode(Sha256::digest(format!("{run}/{target}")));
    format!("00-{}-{}-01", &digest[..32], &digest[32..48])
}
