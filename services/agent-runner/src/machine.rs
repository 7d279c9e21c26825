//! The agent: one attempt as a state machine without I/O.
//!
//! ```text
//! New ─task─▶ Preparing ─▶ Asking(turn) ─answer─▶ Working(turn, next call) ─results─▶ Asking(turn + 1) …
//!                 └─▶ Automating                         └──── an ending call ────▶ Reporting ─▶ Finished
//! ```
//!
//! The journal holds what came from outside: the task, the preparation, the model's answers, results of tools that needed
//! I/O. All else is derived here: edits, which call is next, when to ask again, when it is over.

use std::sync::Arc;

use atlas_actor::Machine;
use atlas_domain::{ActorId, ActorKind, Usage};
use atlas_llm::{Content, Message, Speaker};
use atlas_proto::agent_event::Event;
use atlas_proto::report::Result as Outcome;
use atlas_proto::{
    AgentEvent, AgentFinished, AgentPrepared, AnswerStop, Automated, BudgetRefused, Compacted, ModelAnswered,
    ModelFailed, Nudged, Report, Submission, Task, ToolResult, ToolsAnswered, answer_block,
};
use serde_json::Value;

use crate::conversation::Conversation;
use crate::draft::Draft;
use crate::tool::Request;
use crate::verdict;

/// Answers in a row that cannot be used, after which the attempt has failed.
const MAX_NONSENSE: usize = 3;
/// Messages that stay whole when the conversation is shortened: four turns.
const KEEP_MESSAGES: u32 = 8;
/// Tokens of the system prompt and the tools' schemas, which every call carries besides the conversation.
const FIXED_TOKENS: u64 = 8_000;
/// Turns left at which the model is told so.
const WARN_AT: [u32; 2] = [3, 1];

/// What to pay for a call whose answer, or whose failure, is journaled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The ledger's key of the call: `<attempt>/<turn>`.
    pub call: String,
    /// What it used; zero when it was not billed.
    pub usage: Usage,
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

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    New,
    Preparing,
    Automating,
    Asking,
    Working { next: usize },
    Reporting(Box<Report>),
    Finished,
}

/// What an agent is doing, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing<'a> {
    /// Nothing yet.
    Waiting,
    /// Reads the library.
    Preparing,
    /// Tries tactics.
    Automating,
    /// Waits for the model.
    Asking,
    /// Waits for this tool.
    Tool(&'a str),
    /// Sends its report.
    Reporting,
    /// Done.
    Finished,
}

/// One attempt.
#[derive(Debug, Clone)]
pub struct Agent {
    id: ActorId,
    phase: Phase,
    task: Arc<Task>,
    setup: Arc<AgentPrepared>,
    draft: Draft,
    conversation: Conversation,
    /// The turn that is asked for or worked on, from 1.
    turn: u32,
    calls: Arc<Vec<Call>>,
    results: Vec<Content>,
    /// Why the last answers in a row could not be used.
    nonsense: Vec<String>,
    /// The conversation was shortened this many times since it last fitted.
    compactions: u32,
    usage: Usage,
    checks: u32,
    /// Of these, those in which Lean found errors.
    rejected: u32,
    unsettled: Option<Settlement>,
    /// How it ends, once that is known.
    outcome: Option<Outcome>,
    model: String,
    started_ms: u64,
    changed_ms: u64,
}

impl Agent {
    /// The attempt's task; empty before it has come.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// What the conversation started from; empty before it has.
    pub fn setup(&self) -> &AgentPrepared {
        &self.setup
    }

    /// The conversation, as far as it has not been shortened.
    pub fn messages(&self) -> &[Arc<Message>] {
        self.conversation.messages()
    }

    /// The calls of the current turn and the results that are there.
    pub fn current(&self) -> (&[Call], &[Content]) {
        (&self.calls, &self.results)
    }

    /// The draft.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// The current turn; 0 before the first.
    pub fn turn(&self) -> u32 {
        self.turn
    }

    /// What the model calls have used.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Questions that were put to Lean.
    pub fn checks(&self) -> u32 {
        self.checks
    }

    /// When the task came, Unix milliseconds.
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// When something was last recorded, Unix milliseconds.
    pub fn changed_ms(&self) -> u64 {
        self.changed_ms
    }

    /// How the attempt ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// What it is doing.
    pub fn doing(&self) -> Doing<'_> {
        match &self.phase {
            Phase::New => Doing::Waiting,
            Phase::Preparing => Doing::Preparing,
            Phase::Automating => Doing::Automating,
            Phase::Asking => Doing::Asking,
            Phase::Working { next } => {
                Doing::Tool(self.calls.get(*next).map_or("", |call| call.tool.as_str()))
            }
            Phase::Reporting(_) => Doing::Reporting,
            Phase::Finished => Doing::Finished,
        }
    }

    fn region_id(task: &Task) -> String {
        task.target.as_ref().map(|t| t.id.clone()).unwrap_or_default()
    }

    fn prepared(&mut self, prepared: &AgentPrepared) {
        let module = self.task.target.as_ref().map(|t| t.module.clone()).unwrap_or_default();
        let package = module.split('.').next().unwrap_or_default();
        let path = atlas_library::layout::module_path(&module);
        self.draft = Draft::new(package, &path, &Self::region_id(&self.task));
        prepared.loaded.iter().for_each(|file| self.draft.load(file));
        prepared.changes.iter().for_each(|change| self.draft.put(change));
        self.setup = Arc::new(prepared.clone());
        if !prepared.problem.is_empty() {
            self.outcome = Some(Outcome::Failed(prepared.problem.clone()));
        }
        if prepared.model.is_empty() {
            self.phase = Phase::Automating;
            return;
        }
        self.conversation.push(Message::user(prepared.opening.clone()));
        self.turn = 1;
        self.phase = Phase::Asking;
    }

    fn answered(&mut self, answer: &ModelAnswered) {
        let usage = Usage::from(answer.usage.unwrap_or_default());
        self.usage += usage;
        self.unsettled = Some(Settlement { call: format!("{}/{}", self.id.id, answer.turn), usage });
        self.model.clone_from(&answer.model);
        let mut content = Vec::with_capacity(answer.blocks.len());
        let mut calls = Vec::new();
        for block in answer.blocks.iter().filter_map(|block| block.block.as_ref()) {
            match block {
                answer_block::Block::Text(text) if text.trim().is_empty() => {}
                answer_block::Block::Text(text) => content.push(Content::Text(text.clone())),
                answer_block::Block::Call(call) => {
                    let (id, name) = (call.id.clone(), call.name.clone());
                    let arguments = serde_json::from_str(&call.arguments)
                        .unwrap_or_else(|_| Value::from(call.arguments.as_str()));
                    let request = Request::parse(&name, &arguments, &self.setup.tools);
                    // The conversation goes back to a provider: arguments must be an object there.
                    let sent = if arguments.is_object() {
                        arguments.clone()
                    } else {
                        Value::Object(serde_json::Map::new())
                    };
                    content.push(Content::ToolUse { id: id.clone(), name: name.clone(), arguments: sent });
                    calls.push(Call { id, tool: name, arguments, request });
                }
            }
        }
        if content.is_empty() {
            content.push(Content::Text("(no words)".to_owned()));
        }
        self.conversation.push(Message::assistant(content));
        match calls.iter().find_map(|call| call.request.as_ref().err()) {
            Some(why) if calls.iter().all(|call| call.request.is_err()) => self.nonsense.push(why.clone()),
            _ if calls.is_empty() => self.nonsense.push(no_call(answer.stop(), &self.setup.ends_with)),
            _ => self.nonsense.clear(),
        }
        self.calls = Arc::new(calls);
        self.results.clear();
        self.phase = Phase::Working { next: 0 };
        self.advance();
    }

    /// Carries out what needs no I/O, up to the first call that does, an ending, or the end of the turn.
    fn advance(&mut self) {
        let calls = Arc::clone(&self.calls);
        while let Phase::Working { next } = &mut self.phase {
            let Some(call) = calls.get(*next) else { break };
            let result = match &call.request {
                Err(why) => Err(why.clone()),
                Ok(request) if request.needs_io() || self.draft.needs(request).is_some() => return,
                Ok(Request::ReadBook(read)) => Ok(excerpt(&self.task.excerpt, read.from, read.to)),
                Ok(request) => match verdict::outcome(request, &self.task) {
                    Some(Ok(outcome)) => {
                        self.outcome = Some(outcome);
                        return;
                    }
                    Some(Err(why)) => Err(why),
                    None => self.draft.edit(request),
                },
            };
            *next += 1;
            let is_error = result.is_err();
            let text = result.unwrap_or_else(|why| why);
            self.results.push(Content::ToolResult { id: call.id.clone(), text, is_error });
        }
        if !calls.is_empty() {
            self.next_turn(None);
        }
    }

    fn next_turn(&mut self, nudge: Option<&str>) {
        let mut content = std::mem::take(&mut self.results);
        content.extend(nudge.map(|text| Content::Text(text.to_owned())));
        let left = self.setup.max_turns.saturating_sub(self.turn);
        if WARN_AT.contains(&left) {
            let turns = if left == 1 { "turn is" } else { "turns are" };
            content.push(Content::Text(format!(
                "[{left} {turns} left. End with {}.]",
                list(&self.setup.ends_with)
            )));
        }
        self.conversation.push(Message { speaker: Speaker::User, content });
        self.calls = Arc::default();
        self.turn += 1;
        self.phase = Phase::Asking;
    }

    fn worked(&mut self, answered: &ToolsAnswered) {
        self.unsettled = None;
        answered.loaded.iter().for_each(|file| self.draft.load(file));
        let calls = Arc::clone(&self.calls);
        for result in &answered.results {
            self.checks += result.checks;
            self.rejected += result.rejected;
            let Phase::Working { next } = &mut self.phase else { return };
            let Some(call) = calls.get(*next) else { return };
            if let (Ok(Request::Submit(submit)), true) = (&call.request, result.accepted) {
                self.outcome = Some(Outcome::Submission(self.submission(&submit.summary)));
                return;
            }
            *next += 1;
            let (text, is_error) = (result.text.clone(), result.is_error);
            self.results.push(Content::ToolResult { id: call.id.clone(), text, is_error });
        }
        self.advance();
    }

    fn automated(&mut self, automated: &Automated) {
        self.checks += automated.checks;
        automated.changes.iter().for_each(|change| self.draft.put(change));
        self.outcome = Some(if automated.changes.is_empty() {
            Outcome::GaveUp(automated.summary.clone())
        } else {
            Outcome::Submission(self.submission(&automated.summary))
        });
    }

    fn submission(&self, summary: &str) -> Submission {
        let task = &self.task;
        let target = task.target.clone().unwrap_or_default();
        let verb = match task.role.as_str() {
            "formalizer" => "State",
            "fixer" => "Repair",
            _ if task.refute => "Refute",
            _ => "Prove",
        };
        let title = if target.title.is_empty() { String::new() } else { format!(" ({})", target.title) };
        let agent = if self.model.is_empty() { task.role.clone() } else { self.model.clone() };
        Submission {
            id: format!("{}.1", task.attempt),
            attempt: task.attempt.clone(),
            target: target.id.clone(),
            role: task.role.clone(),
            agent,
            base_commit: task.base_commit.clone(),
            changes: self.draft.changes(),
            title: format!("{verb} {}{title}", target.id),
            summary: summary.to_owned(),
        }
    }

    fn report(&self, outcome: Outcome) -> Report {
        Report {
            attempt: self.task.attempt.clone(),
            role: self.task.role.clone(),
            target: Self::region_id(&self.task),
            number: self.task.number,
            usage: Some(self.usage.into()),
            turns: self.usage.model_calls.min(u64::from(u32::MAX)) as u32,
            checks: self.checks,
            rejected: self.rejected,
            traceparent: String::new(), // the host's, when it is sent
            result: Some(outcome),
        }
    }

    /// What follows from the state by itself; the next one after it is applied.
    fn follow_up(&self) -> Option<Event> {
        let conclude = |outcome: Outcome| Some(Event::Concluded(self.report(outcome)));
        let fail = |why: String| conclude(Outcome::Failed(why));
        if matches!(self.phase, Phase::Reporting(_) | Phase::Finished) {
            return None;
        }
        if let Some(outcome) = &self.outcome {
            return conclude(outcome.clone());
        }
        let stuck = matches!(self.phase, Phase::Working { .. }) && self.calls.is_empty();
        if (stuck || self.phase == Phase::Asking) && self.nonsense.len() >= MAX_NONSENSE {
            let last = self.nonsense.last().map(String::as_str).unwrap_or_default();
            return fail(format!(
                "the model gave {MAX_NONSENSE} answers in a row that cannot be used; of the last: {last}"
            ));
        }
        if stuck {
            let text = self.nonsense.last().cloned().unwrap_or_default();
            return Some(Event::Nudged(Nudged { turn: self.turn, text }));
        }
        if self.phase != Phase::Asking {
            return None;
        }
        let setup = &self.setup;
        if self.turn > setup.max_turns {
            return fail(format!(
                "all {} turns are used without {}",
                setup.max_turns,
                list(&setup.ends_with)
            ));
        }
        if self.usage.tokens() >= setup.max_tokens {
            let used = self.usage.tokens();
            return fail(format!(
                "all {} tokens are used ({used}) without {}",
                setup.max_tokens,
                list(&setup.ends_with)
            ));
        }
        if self.conversation.tokens() > self.room() {
            let keep = KEEP_MESSAGES >> self.compactions.saturating_sub(1).min(2);
            return match self.compactions {
                0 => Some(Event::Compacted(Compacted { turn: self.turn, keep, drop: false })),
                1..=3 => Some(Event::Compacted(Compacted { turn: self.turn, keep, drop: true })),
                _ => fail(format!(
                    "the task and the last turn do not fit into the model's window of {} tokens; use a model with a larger one, or correct its `contextWindow`",
                    setup.context_window
                )),
            };
        }
        None
    }

    /// Tokens that the conversation may have.
    fn room(&self) -> u64 {
        match self.setup.context_window {
            0 => u64::MAX,
            window => {
                window.saturating_sub(u64::from(self.setup.max_output_tokens) + FIXED_TOKENS).max(window / 4)
            }
        }
    }

    /// The calls from `next` on that can run at once: they need I/O and change nothing. `submit` runs alone.
    fn batch(&self, next: usize) -> Vec<Call> {
        let io = |call: &Call| matches!(&call.request, Ok(request) if request.needs_io());
        let submit = |call: &Call| matches!(call.request, Ok(Request::Submit(_)));
        let mut batch: Vec<Call> = Vec::new();
        for call in self.calls[next..].iter().take_while(|call| io(call)) {
            if submit(call) && !batch.is_empty() {
                break;
            }
            batch.push(call.clone());
            if submit(call) {
                break;
            }
        }
        batch
    }

    fn accepts(&self, command: Command) -> Option<Event> {
        Some(match (&self.phase, command) {
            (Phase::New, Command::Start(task)) => Event::Started(*task),
            (Phase::Preparing, Command::Prepared(prepared)) => Event::Prepared(*prepared),
            (Phase::Automating, Command::Automated(automated)) => Event::Automated(automated),
            (Phase::Asking, Command::Answered(answer)) if answer.turn == self.turn => {
                Event::ModelAnswered(*answer)
            }
            (Phase::Asking, Command::Refused(refused)) if refused.turn == self.turn => {
                Event::BudgetRefused(refused)
            }
            (Phase::Asking, Command::Failed(failed)) if failed.turn == self.turn => {
                Event::ModelFailed(failed)
            }
            (Phase::Working { next }, Command::Worked(answered))
                if answered.turn == self.turn
                    && answered.first as usize == *next
                    && answered.results.len() == self.batch(*next).len() =>
            {
                Event::ToolsAnswered(answered)
            }
            (Phase::Reporting(_), Command::Reported) => Event::Finished(AgentFinished {}),
            _ => return None,
        })
    }

    fn fold(&mut self, event: &Event, time_ms: u64) {
        self.changed_ms = time_ms;
        match event {
            Event::Started(task) => {
                self.task = Arc::new(task.clone());
                self.started_ms = time_ms;
                self.phase = Phase::Preparing;
            }
            Event::Prepared(prepared) => self.prepared(prepared),
            Event::ModelAnswered(answer) => self.answered(answer),
            Event::ToolsAnswered(answered) => self.worked(answered),
            Event::Nudged(nudged) => self.next_turn(Some(&nudged.text)),
            Event::Compacted(compacted) => {
                self.conversation.compact(compacted.keep as usize, compacted.drop);
                let fits = self.conversation.tokens() <= self.room();
                self.compactions = if fits { 0 } else { self.compactions + 1 };
            }
            Event::BudgetRefused(refused) => {
                self.outcome = Some(Outcome::OutOfBudget(refused.reason.clone()))
            }
            Event::ModelFailed(failed) => {
                let call = format!("{}/{}", self.id.id, failed.turn);
                self.unsettled = Some(Settlement { call, usage: Usage::default() });
                self.outcome = Some(Outcome::Failed(failed.reason.clone()));
            }
            Event::Automated(automated) => self.automated(automated),
            Event::Concluded(report) => {
                self.outcome.clone_from(&report.result);
                self.phase = Phase::Reporting(Box::new(report.clone()));
            }
            Event::Finished(_) => self.phase = Phase::Finished,
        }
    }
}

impl Machine for Agent {
    const KIND: ActorKind = ActorKind::Agent;
    const VERSION: u32 = 1;
    type Event = AgentEvent;
    type Command = Command;
    type Effect = Effect;

    fn new(id: &ActorId) -> Self {
        Self {
            id: id.clone(),
            phase: Phase::New,
            task: Arc::default(),
            setup: Arc::default(),
            draft: Draft::default(),
            conversation: Conversation::default(),
            turn: 0,
            calls: Arc::default(),
            results: Vec::new(),
            nonsense: Vec::new(),
            compactions: 0,
            usage: Usage::default(),
            checks: 0,
            rejected: 0,
            unsettled: None,
            outcome: None,
            model: String::new(),
            started_ms: 0,
            changed_ms: 0,
        }
    }

    fn apply(&mut self, event: &AgentEvent, time_ms: u64) {
        // An event of a newer program that this one does not know changes nothing.
        if let Some(event) = &event.event {
            self.fold(event, time_ms);
        }
    }

    fn decide(&self, command: Command, now_ms: u64) -> Vec<AgentEvent> {
        let Some(first) = self.accepts(command) else { return Vec::new() };
        let mut next = self.clone();
        let mut events = Vec::new();
        let mut event = Some(first);
        while let Some(happened) = event {
            next.fold(&happened, now_ms);
            events.push(AgentEvent { event: Some(happened) });
            event = next.follow_up();
        }
        events
    }

    fn effects(&self) -> Vec<(String, Effect)> {
        let (task, setup, turn) = (Arc::clone(&self.task), Arc::clone(&self.setup), self.turn);
        let settle = self.unsettled.clone();
        let effect = match &self.phase {
            Phase::New | Phase::Finished => return Vec::new(),
            Phase::Preparing => ("prepare".to_owned(), Effect::Prepare { task }),
            Phase::Automating => {
                ("automate".to_owned(), Effect::Automate { task, draft: self.draft.clone() })
            }
            Phase::Asking => {
                let messages = self.conversation.messages().to_vec();
                (
                    format!("model/{turn}"),
                    Effect::CallModel(Box::new(CallModel { task, setup, turn, messages, settle })),
                )
            }
            Phase::Working { next } => {
                let calls = self.batch(*next);
                let waiting = self.calls.get(*next).and_then(|call| call.request.as_ref().ok());
                let load = waiting.filter(|_| calls.is_empty()).and_then(|request| self.draft.needs(request));
                let key = match &load {
                    Some(_) => format!("load/{turn}/{next}"),
                    None => format!("tools/{turn}/{next}"),
                };
                let (first, draft) = (*next as u32, self.draft.clone());
                (
                    key,
                    Effect::RunTools(Box::new(RunTools {
                        task,
                        setup,
                        turn,
                        first,
                        calls,
                        load,
                        draft,
                        settle,
                    })),
                )
            }
            Phase::Reporting(report) => {
                ("report".to_owned(), Effect::SendReport { task, report: report.clone(), settle })
            }
        };
        vec![effect]
    }

    fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }
}

fn list(tools: &[String]) -> String {
    let quoted: Vec<String> = tools.iter().map(|tool| format!("`{tool}`")).collect();
    quoted.join(" or ")
}

fn no_call(stop: AnswerStop, ends_with: &[String]) -> String {
    let why = match stop {
        AnswerStop::MaxTokens => {
            "Your answer was cut off at the output limit before it called a tool. Be shorter."
        }
        AnswerStop::Refusal => "Your answer was a refusal and called no tool.",
        _ => "Your answer called no tool, so nothing happened.",
    };
    format!("{why} Words alone decide nothing here: call a tool, and end with {}.", list(ends_with))
}

/// The lines `from` to `to` of an excerpt whose lines begin with their numbers.
fn excerpt(excerpt: &str, from: Option<u32>, to: Option<u32>) -> String {
    let number = |line: &str| -> Option<u32> {
        let digits: String = line.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let (from, to) = (from.unwrap_or(0), to.unwrap_or(u32::MAX));
    let shown: Vec<&str> =
        excerpt.lines().filter(|line| number(line).is_none_or(|n| (from..=to).contains(&n))).collect();
    if shown.is_empty() {
        "There are no such lines in your part of the book.".to_owned()
    } else {
        shown.join("\n")
    }
}

/// A result of a tool that failed.
pub fn failed_result(text: impl Into<String>) -> ToolResult {
    ToolResult { text: text.into(), is_error: true, ..ToolResult::default() }
}
