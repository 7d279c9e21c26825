//! The services as tasks of this process. Each is the same code that its own binary runs.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use atlas_api::Provider;
use atlas_bus::Bus;
use atlas_domain::RunId;
use atlas_lean::Toolchain;
use atlas_merge_coordinator::Policy;
use atlas_telemetry::{Metrics, Readiness};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::args::RunArgs;
use crate::directory::Directory;
use crate::failure::Failure;
use crate::input::Input;
use crate::run::PARTITIONS;

/// What certified verdicts of this run must be made with.
pub fn policy(input: &Input, lean: &dyn Toolchain) -> Policy {
    let axioms = input.loaded.run.spec.verifiers.axioms.iter();
    Policy {
        toolchain: Some(lean.name()),
        axioms: axioms.map(|axiom| axiom.name().to_owned()).collect(),
        ..Policy::default()
    }
}

/// The services of a run at work.
pub struct Services {
    tasks: JoinSet<Result<(), String>>,
    names: HashMap<Id, &'static str>,
    shutdown: CancellationToken,
}

impl Services {
    /// Starts them all.
    pub fn start(
        args: &RunArgs,
        input: &Input,
        directory: &Directory,
        bus: &Bus,
        run: &RunId,
        lean: Arc<dyn Toolchain>,
    ) -> Self {
        let mut services =
            Self { tasks: JoinSet::new(), names: HashMap::new(), shutdown: CancellationToken::new() };
        let spec = &input.loaded.run.spec;
        let folder = input.loaded.path.parent().map(ToOwned::to_owned).unwrap_or_default();
        let (metrics, readiness) = (Metrics::default(), Readiness::default());
        let host = format!("atlas-{}", std::process::id());
        let shutdown = services.shutdown.clone();

        let planner = atlas_planner::Options {
            run: run.clone(),
            host: host.clone(),
            targets_file: Some(directory.root().join("targets.yaml")),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
        };
        services.spawn("planner", atlas_planner::run(planner, bus.clone(), shutdown.clone()));

        let mut models = spec.models.clone();
        for model in models.iter_mut().filter(|model| model.provider == Provider::Recorded) {
            // What a provider's bill would show: the calls that were answered.
            model.call_log.get_or_insert_with(|| directory.logs().join("model-calls.jsonl"));
        }
        let runner = atlas_agent_runner::Options {
            run: run.clone(),
            host: host.clone(),
            partitions: PARTITIONS,
            models,
            agents: spec.agents.clone(),
            folder,
            record: args.record.clone(),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
        };
        services.spawn("agent runner", atlas_agent_runner::run(runner, bus.clone(), shutdown.clone()));

        let merge = atlas_merge_coordinator::Options {
            run: run.clone(),
            host: host.clone(),
            package: spec.library.package.clone(),
            repository: directory.repository(),
            window_min: 2,
            window_max: 20,
            // A landing may rebuild a whole library behind other certifications.
            patience_s: 1_800,
            receipt_keys: Some(directory.keys().join(atlas_judge::RING_FILE)),
            policy: policy(input, &*lean),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
        };
        services
            .spawn("merge coordinator", atlas_merge_coordinator::run(merge, bus.clone(), shutdown.clone()));

        let verifiers = &spec.verifiers;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let verifier = atlas_lean_verifier::Options {
            run: run.clone(),
            host,
            concurrency: verifiers.concurrency.map_or(cores, |n| n as usize) * verifiers.replicas as usize,
            waiting: 256,
            deadline_ms: u64::try_from(verifiers.deadline.get().as_millis()).unwrap_or(u64::MAX),
            memory_bytes: verifiers.memory.bytes(),
            receipt_keys: directory.keys(),
            metrics,
            readiness,
        };
        services.spawn("Lean verifier", atlas_lean_verifier::run(verifier, lean, bus.clone(), shutdown));
        services
    }

    /// Runs one service until shutdown.
    fn spawn<E: Display>(
        &mut self,
        name: &'static str,
        service: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(async move { service.await.map_err(|e| e.to_string()) });
        self.names.insert(task.id(), name);
    }

    /// Waits until a service ends, which none should before it is told to.
    pub async fn failed(&mut self) -> Failure {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.failure(ended),
            None => std::future::pending().await,
        }
    }

    fn failure(&self, ended: Result<(Id, Result<(), String>), JoinError>) -> Failure {
        let name = |id: Id| self.names.get(&id).copied().unwrap_or("service");
        let (name, cause) = match ended {
            Ok((id, Ok(()))) => (name(id), "it ended without being told to".to_owned()),
            Ok((id, Err(cause))) => (name(id), cause),
            Err(panic) => (name(panic.id()), "it panicked; the run's log has the place".to_owned()),
        };
        Failure::fault(format!("the {name} of the run failed: {cause}"))
            .hint("what is done is kept: once the cause is gone, the same command goes on where the run was")
            .hint("docs/troubleshooting.md lists faults; the log is logs/atlas.log in the run's folder")
    }

    /// Tells all services to finish what they have in hand and waits for them, `patience` at most.
    pub async fn stop(mut self, patience: Duration) {
        self.shutdown.cancel();
        let all = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                if let Ok((id, Err(cause))) = ended {
                    tracing::warn!(
                        service = self.names.get(&id),
                        cause,
                        "a service failed while it was stopping"
                    );
                }
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(
                "services did not stop in time and are dropped; their journals have what was done"
            );
        }
    }
}
