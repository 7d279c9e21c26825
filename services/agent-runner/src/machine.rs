//! The agent: one attempt as a state machine without I/O.
//!
//! ```text
//! New ─task─▶ Preparing ─▶ Asking(turn) ─answer─▶ Working(turn, next call) ─results─▶ Asking(turn + 1) …
//!                 └─▶ Automating                         └──── an ending call ────▶ Reporting ─▶ Finished
//! ```
//!
//! The journal holds what came from outside: the task, the preparation, the model's answers, results of tools that needed
//! I/O. All else is derived here: edits, which call is next, when to ask again, when it is over.

mod ending;
mod turn;

use std::sync::Arc;

use atlas_actor::Machine;
use atlas_domain::{ActorId, ActorKind, Usage};
use atlas_llm::{Content, Message};
use atlas_proto::agent_event::Event;
use atlas_proto::report::Result as Outcome;
use atlas_proto::{AgentEvent, AgentFinished, AgentPrepared, Report, Task};

use crate::command::{Call, CallModel, Command, Effect, RunTools, Settlement, call_id};
use crate::conversation::Conversation;
use crate::draft::Draft;

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
                let call = call_id(&self.id.id, failed.turn);
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

    fn is_costly(effect: &Effect) -> bool {
        matches!(effect, Effect::CallModel(_))
    }

    fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }
}
