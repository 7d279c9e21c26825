//! What the agents that a process hosts are doing, as one small document: `<run>.agents.<host>` among the status documents.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use atlas_bus::StatusWriter;
use atlas_domain::ActorId;
use atlas_proto::report::Result as Outcome;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::machine::{Agent, Doing};
use crate::transcript::ending;

/// Agents that the document lists; it stays small whatever their number.
const SHOWN: usize = 50;
/// Lines of `recent`.
const RECENT: usize = 20;
/// How often the document is written when something changed.
const PERIOD: Duration = Duration::from_millis(300);

/// One agent at work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// The attempt.
    pub attempt: String,
    /// Its role.
    pub role: String,
    /// Its target.
    pub target: String,
    /// Its model's current turn, from 1; 0 before the first.
    pub turn: u32,
    /// What it waits for: `the model`, `Lean: check`, …
    pub doing: String,
    /// When it started, Unix milliseconds.
    pub since_ms: u64,
}

/// An attempt that could not do its work: its model failed, or its task could not be prepared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// The attempt.
    pub attempt: String,
    /// Why, and the way out.
    pub reason: String,
}

/// The status document of the agents that one process hosts; or the sum over processes ([`Document::add`]). What a document
/// of another version lacks is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Document {
    /// Agents at work.
    pub active: u64,
    /// The same by role.
    pub by_role: BTreeMap<String, u64>,
    /// Model turns, of the agents that this process has hosted since it started.
    pub turns: u64,
    /// Questions to Lean, likewise.
    pub checks: u64,
    /// Tokens of all classes, likewise.
    pub tokens: u64,
    /// Up to 50 of the agents at work, longest at work first.
    pub running: Vec<Row>,
    /// The last things that happened, oldest first.
    pub recent: Vec<String>,
    /// The last attempts that failed, oldest first; up to 50.
    pub failures: Vec<Failure>,
}

impl Document {
    /// Adds another process's document. Of a process that is not `at_work` any more, only what it counted remains.
    pub fn add(&mut self, other: Self, at_work: bool) {
        self.turns += other.turns;
        self.checks += other.checks;
        self.tokens += other.tokens;
        if !at_work {
            return;
        }
        self.active += other.active;
        for (role, count) in other.by_role {
            *self.by_role.entry(role).or_default() += count;
        }
        self.running.extend(other.running);
        self.running.sort_by(|a, b| (a.since_ms, &a.attempt).cmp(&(b.since_ms, &b.attempt)));
        self.running.truncate(SHOWN);
        self.recent.extend(other.recent);
        self.failures.extend(other.failures);
    }
}

#[derive(Debug, Default)]
struct State {
    rows: HashMap<String, (Row, [u64; 3])>,
    totals: [u64; 3],
    recent: VecDeque<String>,
    failures: VecDeque<Failure>,
    changed: bool,
}

/// Follows agents. Cheap to tell; written by [`Board::publish`].
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<State>,
}

impl Board {
    /// An agent has changed. Returns what it added in turns, checks and tokens.
    pub fn observe(&self, actor: &ActorId, agent: &Agent) -> [u64; 3] {
        let doing = describe(agent.doing());
        let task = agent.task();
        let counts = [agent.usage().model_calls, u64::from(agent.checks()), agent.usage().tokens()];
        let mut state = self.state.lock();
        let before = state.rows.remove(&actor.id);
        let known = before.as_ref().map_or([0; 3], |(_, counts)| *counts);
        let added = [0, 1, 2].map(|at| counts[at].saturating_sub(known[at]));
        for (total, added) in state.totals.iter_mut().zip(added) {
            *total += added;
        }
        let told = before.as_ref().map(|(row, _)| (row.turn, row.doing.as_str()));
        match agent.doing() {
            Doing::Finished => {
                state.tell(format!("{}: {}", actor.id, ending(agent.outcome())));
                if let (Some(Outcome::Failed(reason)), Some(_)) = (agent.outcome(), &before) {
                    let failure = Failure { attempt: actor.id.clone(), reason: reason.clone() };
                    keep(&mut state.failures, failure, SHOWN);
                }
            }
            Doing::Reporting => {}
            _ if told != Some((agent.turn(), doing.as_str())) => {
                state.tell(format!("{} turn {}: {doing}", actor.id, agent.turn()));
            }
            _ => {}
        }
        if agent.doing() != Doing::Finished {
            let row = Row {
                attempt: actor.id.clone(),
                role: task.role.clone(),
                target: task.target.as_ref().map(|t| t.id.clone()).unwrap_or_default(),
                turn: agent.turn(),
                doing,
                since_ms: agent.started_ms(),
            };
            state.rows.insert(actor.id.clone(), (row, counts));
        }
        state.changed = true;
        added
    }

    /// The document as it is now.
    pub fn document(&self) -> Document {
        let state = self.state.lock();
        let mut by_role = BTreeMap::new();
        for (row, _) in state.rows.values() {
            *by_role.entry(row.role.clone()).or_default() += 1;
        }
        let mut running: Vec<&Row> = state.rows.values().map(|(row, _)| row).collect();
        running.sort_by(|a, b| (a.since_ms, &a.attempt).cmp(&(b.since_ms, &b.attempt)));
        let [turns, checks, tokens] = state.totals;
        Document {
            active: state.rows.len() as u64,
            by_role,
            turns,
            checks,
            tokens,
            running: running.into_iter().take(SHOWN).cloned().collect(),
            recent: state.recent.iter().cloned().collect(),
            failures: state.failures.iter().cloned().collect(),
        }
    }

    /// Writes the document whenever something changed, until `shutdown`.
    pub async fn publish(&self, writer: StatusWriter, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            if std::mem::take(&mut self.state.lock().changed) {
                writer.set(&self.document());
            }
        }
        writer.set(&self.document());
    }
}

impl State {
    fn tell(&mut self, line: String) {
        keep(&mut self.recent, line, RECENT);
    }
}

/// Appends, and lets go of the oldest beyond `most`.
fn keep<T>(queue: &mut VecDeque<T>, new: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(new);
}

/// What an agent waits for, in words.
pub fn describe(doing: Doing<'_>) -> String {
    match doing {
        Doing::Waiting => "waits for its task".to_owned(),
        Doing::Preparing => "reads the library".to_owned(),
        Doing::Automating => "tries tactics".to_owned(),
        Doing::Asking => "asks the model".to_owned(),
        Doing::Tool(tool @ ("check" | "submit" | "find_declarations")) => format!("asks Lean: {tool}"),
        Doing::Tool(tool) => tool.to_owned(),
        Doing::Reporting => "reports".to_owned(),
        Doing::Finished => "finished".to_owned(),
    }
}
