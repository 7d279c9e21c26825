//! The model of the fleet's agents: it thinks, edits, checks and submits as published agents did, at a pace that the bench sets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atlas_llm::{Call, CallKey, Content, Script, Stop, Turn};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::book;

/// Of a hundred contributors, those whose submission lands (RepoProver: 3,490 of 16,112).
const MERGING: u64 = 22;
/// Bytes of a model's words in a turn: provers' output tokens by turn (RepoProver: 194.2 million, 8,704 agents of 50 turns), 4 bytes each.
const WORDS: usize = 1_784;
/// Turns of reviewers for each 55 of an author's: mathematical 21.7, engineering 12.7 (RepoProver).
const REVIEWERS: [(&str, u32); 2] = [("mathematical-reviewer", 22), ("engineering-reviewer", 13)];
/// What those are relative to.
const TURNS: u32 = 55;

/// Agents of one process before the gate, by the turn that they wait for.
#[derive(Debug, Default)]
pub struct Gate {
    waiting: Mutex<BTreeMap<u32, u64>>,
    answered: AtomicU64,
}

impl Gate {
    /// Agents that wait for this turn.
    pub fn waiting(&self, turn: u32) -> u64 {
        self.waiting.lock().get(&turn).copied().unwrap_or_default()
    }

    /// Turns answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// An agent before the gate.
struct Waiting<'g> {
    gate: &'g Gate,
    turn: u32,
}

impl<'g> Waiting<'g> {
    fn new(gate: &'g Gate, turn: u32) -> Self {
        *gate.waiting.lock().entry(turn).or_default() += 1;
        Self { gate, turn }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.gate.waiting.lock().get_mut(&self.turn) {
            *count -= 1;
        }
    }
}

/// Plays all roles.
#[derive(Debug)]
pub struct Actor {
    /// Turns of an author's attempt.
    turns: u32,
    /// Turns up to this one are answered at once; later ones wait.
    level: watch::Receiver<u32>,
    gate: Arc<Gate>,
}

impl Actor {
    /// Authors of `turns` turns, who go as far as `level` lets them.
    pub fn new(turns: u32, level: watch::Receiver<u32>, gate: Arc<Gate>) -> Self {
        Self { turns, level, gate }
    }

    fn act(&self, key: &CallKey) -> (&'static str, Value) {
        let number = book::number(&key.target).unwrap_or_default();
        let read = || ("read_file", json!({ "path": book::module(number).replace('.', "/") + ".lean" }));
        if let Some((_, share)) = REVIEWERS.iter().find(|(role, _)| *role == key.role) {
            let last = (self.turns * share).div_ceil(TURNS);
            return if key.turn < last { read() } else { ("verdict", json!({ "decision": "approve" })) };
        }
        if key.role == "triage" {
            return ("triage", json!({ "action": "escalate", "text": "It was tried once." }));
        }
        let proves = key.role == "prover";
        let write = |proved| {
            let note = format!("Draft of turn {}.", key.turn);
            ("write_region", json!({ "content": book::region(number, &note, proved) }))
        };
        match self.turns - key.turn.min(self.turns) {
            0 if merges(number, proves) => ("submit", json!({ "summary": "As the book says." })),
            0 => ("give_up", json!({ "reason": "It did not come out." })),
            1 => write(proves),
            _ => match key.turn % 3 {
                1 => read(),
                2 => write(false),
                _ => ("check", json!({})),
            },
        }
    }
}

impl Script for Actor {
    fn turn<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Turn> {
        let key = &call.key;
        async move {
            let mut level = self.level.clone();
            if *level.borrow_and_update() < key.turn {
                let _waiting = Waiting::new(&self.gate, key.turn);
                if level.wait_for(|&level| level >= key.turn).await.is_err() {
                    // The bench is over.
                    std::future::pending::<()>().await;
                }
            }
            self.gate.answered.fetch_add(1, Ordering::Relaxed);
            let (tool, arguments) = self.act(key);
            let id = format!("{tool}-{}", key.turn);
            let words = "Let us see what is there and what is left to do. ".repeat(WORDS / 49);
            let content =
                vec![Content::Text(words), Content::ToolUse { id, name: tool.to_owned(), arguments }];
            Turn { content, usage: None, stop: Stop::ToolUse }
        }
        .boxed()
    }
}

/// Whether an attempt's submission is to land: [`MERGING`] of a hundred, always the same.
fn merges(number: u32, proves: bool) -> bool {
    // Knuth's multiplier: neighbours go different ways.
    let mixed = (u64::from(number) * 2 + u64::from(proves)).wrapping_mul(2_654_435_761) >> 8;
    mixed % 100 < MERGING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_contributors_merge_as_published() {
        for proves in [false, true] {
            let merging = (0..30_000).filter(|&number| merges(number, proves)).count();
            assert!((6_300..6_900).contains(&merging), "{merging} of 30,000");
        }
    }
}
