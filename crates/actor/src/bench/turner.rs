//! An agent that counts its turns.

use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::{Letter, Task, letter};

use crate::Machine;

pub(super) fn agent(run: &RunId, number: u32) -> ActorId {
    ActorId { run: run.clone(), kind: ActorKind::Agent, id: format!("bench.{number}") }
}

/// The letter that starts one.
pub(super) fn start(turns: u32) -> Letter {
    Letter { letter: Some(letter::Letter::Task(Task { max_turns: turns, ..Task::default() })) }
}

pub(super) fn command(letter: Letter) -> Option<Command> {
    match letter.letter? {
        letter::Letter::Task(task) => Some(Command::Start(task.max_turns)),
        _ => None,
    }
}

/// Counts to its goal.
pub(super) struct Turner {
    goal: Option<u32>,
    turns: u32,
}

/// The first one sets the goal.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Turned {
    #[prost(uint32, tag = "1")]
    goal: u32,
}

pub(super) enum Command {
    Start(u32),
    Turn,
}

impl Machine for Turner {
    const KIND: ActorKind = ActorKind::Agent;
    const VERSION: u32 = 1;
    type Event = Turned;
    type Command = Command;
    type Effect = ();

    fn new(_: &ActorId) -> Self {
        Self { goal: None, turns: 0 }
    }

    fn apply(&mut self, event: &Turned, _: u64) {
        match self.goal {
            None => self.goal = Some(event.goal),
            Some(_) => self.turns += 1,
        }
    }

    fn decide(&self, command: Command, _: u64) -> Vec<Turned> {
        match (command, self.goal) {
            (Command::Start(goal), None) => vec![Turned { goal }],
            (Command::Turn, Some(goal)) if self.turns < goal => vec![Turned::default()],
            _ => Vec::new(),
        }
    }

    fn effects(&self) -> Vec<(String, ())> {
        if self.goal.is_some() && !self.is_finished() {
            vec![(format!("turn/{}", self.turns), ())]
        } else {
            Vec::new()
        }
    }

    fn is_finished(&self) -> bool {
        self.goal.is_some_and(|goal| self.turns >= goal)
    }
}
