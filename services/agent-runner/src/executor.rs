//! Carries out what agents wait for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use atlas_actor::{EffectError, Executor, Machine as _, Scope};
use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind};
use atlas_llm::{Answer, Call, CallKey, Content, ModelError, ModelOptions, Models, Stop};
use atlas_proto::letter::Letter as Written;
use atlas_proto::{
    AnswerBlock, AnswerStop, BudgetRefused, Letter, ModelAnswered, ModelFailed, Report, Task, ToolCall,
    answer_block,
};
use atlas_telemetry::trace;
use parking_lot::Mutex;
use tracing::Instrument as _;

use crate::command::{CallModel, Command, Effect, RunTools, Settlement, call_id, report_id};
use crate::machine::Agent;
use crate::metrics::AgentMetrics;
use crate::money::{self, LedgerUnavailable};
use crate::role::Roles;
use crate::status::Board;
use crate::{automation, prepare, semconv, tool, tools};

/// How often a model call that failed for a passing reason is made again, beyond the retries within the
/// provider's own limits: by then minutes have passed.
const MODEL_RETRIES: u32 = 3;
/// Pause before a model call is made again when the provider names none.
const MODEL_PAUSE: Duration = Duration::from_secs(10);
/// Pause before anything else on the bus is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs the effects of all agents that this process hosts.
#[derive(Debug)]
pub struct AgentExecutor {
    bus: Bus,
    roles: Roles,
    models: Models,
    known: Vec<ModelOptions>,
    /// What the agents are doing.
    pub board: Board,
    metrics: AgentMetrics,
    /// Failures of model calls that are being tried again, by attempt and turn.
    retries: Mutex<HashMap<String, u32>>,
    /// System prompts by digest.
    systems: Mutex<HashMap<String, Arc<str>>>,
}

type Done = Result<Option<Command>, EffectError>;

impl AgentExecutor {
    /// An executor with the run's roles and models.
    pub fn new(
        bus: Bus,
        roles: Roles,
        models: Models,
        known: Vec<ModelOptions>,
        metrics: AgentMetrics,
    ) -> Self {
        Self {
            bus,
            roles,
            models,
            known,
            board: Board::default(),
            metrics,
            retries: Mutex::default(),
            systems: Mutex::default(),
        }
    }

    async fn prepare(&self, task: &Task) -> Done {
        let prepared = prepare::prepare(&self.bus, &self.roles, &self.known, task).await;
        prepared
            .map(|prepared| Some(Command::Prepared(Box::new(prepared))))
            .map_err(|error| later(PAUSE, &error))
    }

    async fn settle(&self, run: &str, settlement: Option<&Settlement>) -> Result<(), EffectError> {
        match settlement {
            None => Ok(()),
            Some(settlement) => money::settle(&self.bus, run, settlement).await.map_err(unavailable),
        }
    }

    async fn call_model(&self, scope: &Scope, call: &CallModel) -> Done {
        let (task, setup, turn) = (&call.task, &call.setup, call.turn);
        self.settle(&task.run, call.settle.as_ref()).await?;
        let system = self.system(&setup.system_sha256).await?;
        let question = Call {
            key: CallKey {
                role: task.role.clone(),
                target: task.target.as_ref().map(|t| t.id.clone()).unwrap_or_default(),
                attempt: task.number,
                turn,
            },
            model: setup.model.clone(),
            system,
            messages: call.messages.clone(),
            tools: tool::specs(&setup.tools),
            max_output_tokens: setup.max_output_tokens,
        };
        let id = call_id(&task.attempt, turn);
        let failed = |error: &ModelError| Command::Failed(ModelFailed { turn, reason: error.to_string() });
        let estimate = match self.models.estimate(&question) {
            Ok(estimate) => estimate,
            Err(error) => return Ok(Some(failed(&error))),
        };
        if let Err(reason) = money::reserve(&self.bus, task, turn, estimate).await.map_err(unavailable)? {
            return Ok(Some(Command::Refused(BudgetRefused { turn, reason })));
        }
        if !scope.holds() {
            let cause = "the agent's partition was lost before its model was asked".to_owned();
            return Err(EffectError::Retry { after: PAUSE, cause });
        }
        let answer = self.models.call(&question).await;
        match answer {
            Ok(answer) => {
                self.retries.lock().remove(&id);
                Ok(Some(Command::Answered(Box::new(answered(turn, answer)))))
            }
            Err(error) if error.is_transient() && self.again(&id) => {
                // The reservation stays: the same call takes it up.
                Err(later(error.retry_after().unwrap_or(MODEL_PAUSE), &error))
            }
            Err(error) => {
                self.retries.lock().remove(&id);
                Ok(Some(failed(&error)))
            }
        }
    }

    /// The system prompt of this digest. There are as many as roles, whatever the number of agents.
    async fn system(&self, sha256: &str) -> Result<Arc<str>, EffectError> {
        if let Some(system) = self.systems.lock().get(sha256) {
            return Ok(Arc::clone(system));
        }
        let system = self.bus.file(sha256).await.map_err(|error| later(PAUSE, &error))?;
        let system: Arc<str> = String::from_utf8_lossy(&system).into();
        Ok(Arc::clone(self.systems.lock().entry(sha256.to_owned()).or_insert(system)))
    }

    /// Counts a failure; whether there is another try.
    fn again(&self, id: &str) -> bool {
        let mut retries = self.retries.lock();
        let count = retries.entry(id.to_owned()).or_default();
        *count += 1;
        *count <= MODEL_RETRIES
    }

    async fn run_tools(&self, work: &RunTools) -> Done {
        self.settle(&work.task.run, work.settle.as_ref()).await?;
        let answered = tools::run(&self.bus, work).await;
        answered
            .map(|answered| Some(Command::Worked(answered)))
            .map_err(|fault| later(fault.retry_after(), &fault))
    }

    async fn report(&self, scope: &Scope, task: &Task, report: Report, settle: Option<&Settlement>) -> Done {
        self.settle(&task.run, settle).await?;
        let report = Report { traceparent: scope.traceparent.clone(), ..report };
        let planner = ActorId::singleton(&scope.actor.run, ActorKind::Plan);
        let id = report_id(&task.attempt);
        let letter = Letter { letter: Some(Written::Report(report)) };
        self.bus.send(&planner, letter, &id).await.map_err(|error| later(PAUSE, &error))?;
        Ok(Some(Command::Reported))
    }
}

impl Executor<Agent> for AgentExecutor {
    fn command(&self, letter: Letter) -> Option<Command> {
        match letter.letter {
            Some(Written::Task(task)) => Some(Command::Start(Box::new(task))),
            _ => None,
        }
    }

    async fn execute(&self, scope: Scope, effect: Effect) -> Done {
        let task = match &effect {
            Effect::Prepare { task } | Effect::Automate { task, .. } | Effect::SendReport { task, .. } => {
                task
            }
            Effect::CallModel(call) => &call.task,
            Effect::RunTools(work) => &work.task,
        };
        let span = tracing::info_span!(
            "invoke_agent",
            otel.name = format!("invoke_agent {}", task.role),
            { semconv::OPERATION } = "invoke_agent",
            { semconv::AGENT } = task.role.as_str(),
            { semconv::AGENT_ID } = task.attempt.as_str(),
            atlas.effect = scope.key.as_str(),
        );
        let span = trace::with_parent(&scope.traceparent, span);
        let run = async {
            match effect {
                Effect::Prepare { task } => self.prepare(&task).await,
                Effect::Automate { task, draft } => {
                    let automated = automation::automate(&self.bus, &task, draft).await;
                    automated
                        .map(|done| Some(Command::Automated(done)))
                        .map_err(|fault| later(fault.retry_after(), &fault))
                }
                Effect::CallModel(call) => self.call_model(&scope, &call).await,
                Effect::RunTools(work) => self.run_tools(&work).await,
                Effect::SendReport { task, report, settle } => {
                    self.report(&scope, &task, *report, settle.as_ref()).await
                }
            }
        };
        // Boxed: the states of a whole attempt's effects are large, and there are thousands of agents.
        Box::pin(run).instrument(span).await
    }

    fn observed(&self, actor: &ActorId, agent: &Agent) {
        let added = self.board.observe(actor, agent);
        self.metrics.observe(agent, added);
        if agent.is_finished() {
            let prefix = format!("{}/", actor.id);
            self.retries.lock().retain(|call, _| !call.starts_with(&prefix));
        }
    }
}

fn later(after: Duration, error: &dyn std::error::Error) -> EffectError {
    EffectError::Retry { after, cause: error.to_string() }
}

fn unavailable(error: LedgerUnavailable) -> EffectError {
    later(PAUSE, &error)
}

fn answered(turn: u32, answer: Answer) -> ModelAnswered {
    let block = |content: Content| match content {
        Content::Text(text) => Some(answer_block::Block::Text(text)),
        Content::ToolUse { id, name, arguments } => {
            // What was not JSON stays the text that came, so that the model can be told.
            let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
            Some(answer_block::Block::Call(ToolCall { id, name, arguments }))
        }
        Content::ToolResult { .. } => None,
    };
    let blocks = answer
        .content
        .into_iter()
        .filter_map(block)
        .map(|block| AnswerBlock { block: Some(block) })
        .collect();
    let stop = match answer.stop {
        Stop::EndTurn => AnswerStop::EndTurn,
        Stop::ToolUse => AnswerStop::ToolUse,
        Stop::MaxTokens => AnswerStop::MaxTokens,
        Stop::Refusal => AnswerStop::Refusal,
    };
    ModelAnswered { turn, blocks, usage: Some(answer.usage.into()), model: answer.model, stop: stop.into() }
}
