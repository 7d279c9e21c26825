//! What an agent is told, and what it waits for from the world.

use std::sync::Arc;

use atlas_domain::Usage;
use atlas_llm::Message;
use atlas_proto::{
    AgentPrepared, Automated, BudgetRefused, ModelAnswered, ModelFailed, Report, Reserve, Settle, Task,
    ToolResult, ToolsAnswered,
};
use serde_json::Value;

use crate::draft::Draft;
use crate::tool::Request;

/// What to pay for a call whose answer, or whose failure, is journaled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The ledger's key of the call: `<attempt>/<turn>`.
    pub call: String,
    /// What it used; zero when it was not billed.
    pub usage: Usage,
}

impl Settlement {
    /// As the ledger is told it.
    pub fn message(&self) -> Settle {
        Settle { call: self.call.clone(), usage: Some(self.usage.into()) }
    }
}

/// The ledger's key of a model call.
pub fn call_id(attempt: &str, turn: u32) -> String {
    format!("{attempt}/{turn}")
}

/// What the ledger is asked before a call.
pub fn reservation(task: &Task, turn: u32, estimate: Usage) -> Reserve {
    let target = task.target.as_ref().map(|target| target.id.clone()).unwrap_or_default();
    let call = call_id(&task.attempt, turn);
    Reserve { call, role: task.role.clone(), target, estimate: Some(estimate.into()) }
}

/// The id of the letter that reports an attempt's end.
pub fn report_id(attempt: &str) -> String {
    format!("{attempt}/report")
}

/// A tool call of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The provider's id.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// The arguments as the model gave them.
    pub arguments: Value,
    /// The call as a type, or what to tell the model instead.
    pub request: Result<Request, String>,
}

/// What an agent waits for from the world.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Read the base, render the prompt.
    Prepare {
        /// The attempt's task.
        task: Arc<Task>,
    },
    /// Try the automation tier's tactics.
    Automate {
        /// The attempt's task.
        task: Arc<Task>,
        /// The library as the attempt sees it.
        draft: Draft,
    },
    /// Reserve money and ask the model.
    CallModel(Box<CallModel>),
    /// Run tools, or load a base file.
    RunTools(Box<RunTools>),
    /// Send the report to the planner.
    SendReport {
        /// The attempt's task.
        task: Arc<Task>,
        /// The report.
        report: Box<Report>,
        /// What is to be settled first.
        settle: Option<Settlement>,
    },
}

/// The question of one turn.
#[derive(Debug, Clone)]
pub struct CallModel {
    /// The attempt's task.
    pub task: Arc<Task>,
    /// What the conversation started from.
    pub setup: Arc<AgentPrepared>,
    /// 1-based.
    pub turn: u32,
    /// The conversation so far.
    pub messages: Vec<Arc<Message>>,
    /// The call before this one, if it is not settled yet.
    pub settle: Option<Settlement>,
}

/// A run of tool calls that need I/O.
#[derive(Debug, Clone)]
pub struct RunTools {
    /// The attempt's task.
    pub task: Arc<Task>,
    /// What the conversation started from.
    pub setup: Arc<AgentPrepared>,
    /// 1-based.
    pub turn: u32,
    /// Index of the first of `calls` among the turn's calls.
    pub first: u32,
    /// The calls, in order; they do not change the draft.
    pub calls: Vec<Call>,
    /// A base file that an edit waits for; then there are no `calls`.
    pub load: Option<String>,
    /// The library as the calls see it.
    pub draft: Draft,
    /// The turn's model call, if it is not settled yet.
    pub settle: Option<Settlement>,
}

/// What an agent is told: a letter, or the result of an effect.
#[derive(Debug, Clone)]
pub enum Command {
    /// The task, from the planner.
    Start(Box<Task>),
    /// Result of [`Effect::Prepare`].
    Prepared(Box<AgentPrepared>),
    /// Results of [`Effect::CallModel`].
    Answered(Box<ModelAnswered>),
    /// The ledger does not grant the call.
    Refused(BudgetRefused),
    /// The model did not answer.
    Failed(ModelFailed),
    /// Result of [`Effect::RunTools`].
    Worked(ToolsAnswered),
    /// Result of [`Effect::Automate`].
    Automated(Automated),
    /// Result of [`Effect::SendReport`].
    Reported,
}

/// A result of a tool that failed.
pub fn failed_result(text: impl Into<String>) -> ToolResult {
    ToolResult { text: text.into(), is_error: true, ..ToolResult::default() }
}
