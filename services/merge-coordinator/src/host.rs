//! Runs what the merge queue asks for: git, the object store, the verifier's work queue, the planner's inbox.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atlas_actor::{EffectError, Executor, Scope};
use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_library::RepositoryError;
use atlas_proto::letter::Letter as Written;
use atlas_proto::{Axioms, CheckLevel, CheckRequest, Expectation, Letter, MergePolicy, ModuleSource};
use atlas_telemetry::trace;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::machine::{Assembly, Command, Effect, MergeQueue, Policy, View};
use crate::receipts::{self, Keys, STORED_AT_ONCE};
use crate::tree::{Obstacle, Trees};

/// The verifier's work queue.
const CERTIFY: &str = "certify";
/// Least pause before an effect is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// How often the key ring's file is looked at.
const POLICY_TICK: Duration = Duration::from_secs(10);

pub(crate) struct MergeExecutor {
    pub bus: Bus,
    pub run: RunId,
    pub package: String,
    pub trees: Arc<Trees>,
    pub window: (u32, u32),
    /// How long a certification may stay without an answer.
    pub patience: Duration,
    pub view: watch::Sender<Option<View>>,
    /// What certified verdicts must be made with, whoever signs them.
    pub policy: Policy,
    /// Whose receipts count.
    pub keys: Option<Keys>,
    /// Digests of files that this process knows to be in the object store.
    pub stored: Mutex<BTreeSet<String>>,
}

/// The id of the letter that tells the planner what became of a submission.
pub fn outcome_id(submission: &str) -> String {
    format!("outcome:{submission}")
}

/// The id under which a check lies in the verifier's queue. That of its verdict is the same.
pub fn certification_id(check: &str) -> String {
    format!("certify:{check}")
}

/// A certification as the machine asks for it.
struct Question {
    id: String,
    key: String,
    attempt: u32,
    tree: String,
    check: Vec<String>,
    expectations: Arc<Vec<Expectation>>,
    stated: Arc<Vec<String>>,
    axioms: Option<Axioms>,
    pause: Duration,
}

impl Executor<MergeQueue> for MergeExecutor {
    fn command(&self, letter: Letter) -> Option<Command> {
        match letter.letter? {
            Written::MergeRequest(request) => Some(Command::Request(request)),
            Written::CheckReply(reply) => Some(Command::Checked(match &self.keys {
                Some(keys) => keys.vouched(reply),
                None => reply,
            })),
            Written::ClearIncident(clear) => Some(Command::Clear(clear)),
            _ => None,
        }
    }

    async fn execute(&self, scope: Scope, effect: Effect) -> Result<Option<Command>, EffectError> {
        match effect {
            Effect::Open => {
                let main =
                    self.blocking(|trees| trees.repository.main()).await?.map_err(|error| git(&error))?;
                match main {
                    None => Ok(Some(Command::Opened { package: self.package.clone(), window: self.window })),
                    // Without its journal nobody knows which statements of that library are frozen.
                    Some(commit) => Err(EffectError::Fatal(format!(
                        "the repository {} holds the library of another run (main is at {commit}); give this run an empty folder",
                        self.trees.repository.path().display()
                    ))),
                }
            }
            Effect::Assemble { candidate, base, submissions } => {
                let assembled = self.blocking(move |trees| trees.assemble(&base, &submissions)).await?;
                Ok(Some(match assembled {
                    Ok(assembly) => Command::Assembled { candidate, assembly },
                    Err(Obstacle::Blocked { kind, reason }) => {
                        Command::Blocked { candidate, kind: kind.to_owned(), reason }
                    }
                    Err(Obstacle::Git(error)) => return Err(git(&error)),
                }))
            }
            Effect::Certify {
                id,
                key,
                attempt,
                tree,
                check,
                expectations,
                stated,
                axioms,
                pause_ms,
                traceparents,
            } => {
                let spans = trace::shared(traceparents.iter().map(String::as_str), || {
                    tracing::info_span!("certify", otel.name = "ask for a certificate", attempt)
                });
                let pause = Duration::from_millis(pause_ms);
                let question =
                    Question { id, key, attempt, tree, check, expectations, stated, axioms, pause };
                let span = spans.first().cloned().unwrap_or_else(tracing::Span::none);
                self.certify(question).instrument(span).await
            }
            Effect::Land { candidate, head, submissions, assembly, verdict, time_ms } => {
                let spans =
                    trace::shared(submissions.iter().map(|request| request.traceparent.as_str()), || {
                        tracing::info_span!("land", candidate, submissions = submissions.len())
                    });
                let span = spans.first().cloned().unwrap_or_else(tracing::Span::none);
                let land = async {
                    // First, so that no commit names a receipt that is not to be had.
                    let receipts = receipts::store(&self.bus, &verdict.receipts).await.map_err(retry)?;
                    let landed = self
                        .blocking(move |trees| {
                            land(trees, &head, &submissions, &assembly, &receipts, time_ms)
                        })
                        .await?;
                    let (commits, trees) = match landed.map_err(|error| git(&error))? {
                        Ok(landed) => landed,
                        Err(cause) => return Ok(Some(Command::Stale { candidate, cause })),
                    };
                    futures::future::try_join_all(trees.into_iter().map(|commit| self.publish(commit)))
                        .await?;
                    Ok(Some(Command::Landed { candidate, commits }))
                };
                land.instrument(span).await
            }
            Effect::Report { outcome } => {
                let planner = ActorId::singleton(&self.run, ActorKind::Plan);
                let submission = outcome.submission.clone();
                let letter = Letter { letter: Some(Written::MergeOutcome(outcome.as_ref().clone())) };
                self.bus
                    .send(&planner, letter, &outcome_id(&submission))
                    .await
                    .map_err(|error| retry(error.to_string()))?;
                Ok(Some(Command::Reported { submission }))
            }
            Effect::Wait { until_ms } => {
                tracing::trace!(key = scope.key, "waiting for an older submission");
                tokio::time::sleep(Duration::from_millis(until_ms.saturating_sub(unix_ms()))).await;
                Ok(Some(Command::Waited))
            }
            Effect::WatchPolicy { known } => loop {
                let now = self.policy_now().map_err(retry)?;
                if known.as_ref() != Some(&now) {
                    break Ok(Some(Command::Policy(now)));
                }
                tokio::time::sleep(POLICY_TICK).await;
            },
            Effect::Survey { head, modules } => {
                let of = head.clone();
                let surveyed = self.blocking(move |trees| trees.survey(&of, &modules)).await?;
                let (tree, modules) = surveyed.map_err(obstacle)?;
                Ok(Some(Command::Surveyed { head, tree, modules }))
            }
            Effect::Keep { module, receipt } => {
                let digests = receipts::store(&self.bus, &[receipt]).await.map_err(retry)?;
                Ok(digests.into_iter().next().map(|sha256| Command::Kept { module, sha256 }))
            }
        }
    }

    fn observed(&self, _: &ActorId, queue: &MergeQueue) {
        self.view.send_replace(Some(queue.view()));
    }
}

/// Lands and says which commits, in order, their files are to be published of.
type Landed = (Vec<(String, String)>, Vec<String>);

fn land(
    trees: &Trees,
    head: &str,
    submissions: &[Arc<atlas_proto::MergeRequest>],
    assembly: &Assembly,
    receipts: &[String],
    time_ms: u64,
) -> Result<Result<Landed, String>, RepositoryError> {
    let landed = trees.land(head, submissions, assembly, receipts, time_ms)?;
    Ok(landed.map(|commits| {
        let ids = commits.iter().map(|(_, commit)| commit.clone()).collect();
        (commits, ids)
    }))
}

impl MergeExecutor {
    /// The policy as it is now, with the keys of the ring's file.
    fn policy_now(&self) -> Result<MergePolicy, String> {
        let mut policy = self.policy.message();
        if let Some(keys) = &self.keys {
            policy.keys = keys.now().map_err(|error| error.to_string())?;
        }
        Ok(policy)
    }

    /// Asks the verifier; its answer comes as a letter. Only when none comes in all the time that one may take does this end.
    async fn certify(&self, question: Question) -> Result<Option<Command>, EffectError> {
        let Question { id, key, attempt, tree, check, expectations, stated, axioms, pause } = question;
        tokio::time::sleep(pause).await;
        let (of, names) = (tree.clone(), check.clone());
        let closure = self.blocking(move |trees| trees.closure(&of, &names)).await?;
        let closure = closure.map_err(obstacle)?;
        self.store(tree).await?;
        let request = CheckRequest {
            id,
            run: self.run.to_string(),
            level: CheckLevel::Certified.into(),
            modules: closure
                .into_iter()
                .map(|(name, sha256)| ModuleSource { name, sha256, source: None })
                .collect(),
            check,
            expectations: expectations.as_ref().clone(),
            stated: stated.as_ref().clone(),
            axioms,
            reply_to: ActorId::singleton(&self.run, ActorKind::Merge).to_string(),
            ..CheckRequest::default()
        };
        let id = certification_id(&request.id);
        self.bus
            .send_work(&self.run, CERTIFY, &request, &id)
            .await
            .map_err(|error| retry(error.to_string()))?;
        tokio::time::sleep(self.patience).await;
        Ok(Some(Command::Silent { key, attempt, seconds: self.patience.as_secs() }))
    }

    /// Puts the files of a tree where others read them.
    async fn store(&self, tree: String) -> Result<(), EffectError> {
        let known = self.stored.lock().clone();
        let unknown = self
            .blocking(move |trees| trees.unknown_files(&tree, &known))
            .await?
            .map_err(|error| git(&error))?;
        let store = |(sha256, bytes)| async move {
            self.bus.put_file(Bytes::from(bytes)).await.map_err(|error| retry(error.to_string()))?;
            self.stored.lock().insert(sha256);
            Ok(())
        };
        futures::stream::iter(unknown).map(store).buffer_unordered(STORED_AT_ONCE).try_collect().await
    }

    /// Puts a commit where agents read it: its files and its manifest. Nobody reads either before the landing is told.
    async fn publish(&self, commit: String) -> Result<(), EffectError> {
        let of = commit.clone();
        let manifest = self.blocking(move |trees| {
            Ok::<_, RepositoryError>((trees.repository.tree(&of)?, trees.repository.manifest(&of)?))
        });
        let (tree, manifest) = manifest.await?.map_err(|error| git(&error))?;
        let told = async { self.bus.put_manifest(&manifest).await.map_err(|error| retry(error.to_string())) };
        tokio::try_join!(self.store(tree), told).map(drop)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Trees) -> T + Send + 'static,
    ) -> Result<T, EffectError> {
        let trees = Arc::clone(&self.trees);
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || span.in_scope(|| work(&trees))).await;
        done.map_err(|error| retry(format!("a git operation's thread died: {error}")))
    }
}

fn obstacle(obstacle: Obstacle) -> EffectError {
    match obstacle {
        Obstacle::Blocked { reason, .. } => retry(reason),
        Obstacle::Git(error) => git(&error),
    }
}

fn git(error: &RepositoryError) -> EffectError {
    match error {
        // Nobody but this queue moves main: going on would lose what somebody else put there.
        RepositoryError::Moved { .. } => EffectError::Fatal(format!(
            "{error}; only the merge coordinator may move it: put it back with `git update-ref refs/heads/main`"
        )),
        _ => retry(error.to_string()),
    }
}

fn retry(cause: String) -> EffectError {
    EffectError::Retry { after: PAUSE, cause }
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
