//! Git, Lean and the model, with published and measured figures: what is in the library, how long things take, what agents say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use atlas_agent_runner::command::RunTools;
use atlas_domain::Usage;
use atlas_library::layout;
use atlas_merge_coordinator::{Assembly, Command, Footprint};
use atlas_proto::{
    AgentPrepared, AnswerBlock, AnswerStop, Automated, BaseFile, CheckReply, DeclarationFacts, Diagnostic,
    MergeRequest, ModelAnswered, Outcome, Severity, Task, ToolCall, ToolResult, ToolsAnswered, answer_block,
};
use serde_json::{Value, json};

use crate::clock::{MS, Micros, SECOND, hash, mix};
use crate::net::Net;
use crate::run::Options;

/// What a model call costs.
pub const CALL_MICRODOLLARS: u64 = 10_000;

/// A question to the verifier.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its id.
    pub id: String,
    /// The tree to certify.
    pub tree: String,
}

#[derive(Debug, Clone)]
struct Tree {
    base: usize,
    added: Vec<String>,
}

#[derive(Debug, Clone)]
struct Offered {
    target: String,
    module: String,
    facts: Option<DeclarationFacts>,
    base: usize,
}

/// The library: `main` only grows, one commit a submission. Two submissions on one target conflict when neither has seen the
/// other, as two edits of one region do.
#[derive(Debug, Default)]
pub struct World {
    main: Vec<String>,
    places: HashMap<String, usize>,
    trees: HashMap<String, Tree>,
    offered: HashMap<String, Offered>,
    /// Of each module: at which length of `main` it became what.
    modules: BTreeMap<String, Vec<(usize, u64)>>,
    /// When a target's region was last written.
    written: HashMap<String, usize>,
    targets: HashMap<String, (String, bool)>,
    breaks: u64,
    seed: u64,
}

impl World {
    /// An empty library.
    pub fn new(options: &Options) -> Self {
        Self { breaks: 30, seed: options.seed, ..Self::default() }
    }

    /// A target lies in this module.
    pub fn target(&mut self, id: &str, module: &str, definition: bool) {
        self.targets.insert(id.to_owned(), (module.to_owned(), definition));
    }

    fn commit(length: usize) -> String {
        if length == 0 { String::new() } else { format!("c{length}") }
    }

    fn length(commit: &str) -> usize {
        commit.strip_prefix('c').and_then(|length| length.parse().ok()).unwrap_or(0)
    }

    fn offer(&mut self, request: &MergeRequest) -> String {
        let Some(submission) = &request.submission else { return String::new() };
        let (module, definition) = self.targets.get(&submission.target).cloned().unwrap_or_default();
        let facts = request.expectations.first().map(|expected| {
            let stated = expected.may_sorry && !definition;
            DeclarationFacts {
                name: expected.declaration.clone(),
                module: module.clone(),
                kind: if definition { "def" } else { "theorem" }.to_owned(),
                statement: format!("statement of {}", submission.target),
                statement_hash: format!("hash of {}", submission.target),
                uses_sorry: stated,
                sorry_from: if stated { vec![expected.declaration.clone()] } else { Vec::new() },
                ..DeclarationFacts::default()
            }
        });
        let offered = Offered {
            target: submission.target.clone(),
            module,
            facts,
            base: Self::length(&submission.base_commit),
        };
        self.offered.insert(submission.id.clone(), offered);
        submission.id.clone()
    }

    fn content(&self, base: usize, added: &[String], footprint: &Footprint) -> String {
        let mut content = String::new();
        for module in &footprint.reads {
            let versions = self.modules.get(module).map_or(&[][..], Vec::as_slice);
            let at = versions.partition_point(|(length, _)| *length <= base);
            let mut sum = at.checked_sub(1).map_or(0, |at| versions[at].1);
            for id in added.iter().filter(|id| self.offered.get(*id).is_some_and(|o| o.module == *module)) {
                // A sum: two orders of the same submissions make the same source.
                sum = sum.wrapping_add(mix(hash(id)));
            }
            content.push_str(&format!("{module}:{sum:x};"));
        }
        content
    }

    fn footprint(&self, added: &[String]) -> Footprint {
        let modules = added.iter().filter_map(|id| self.offered.get(id)).map(|o| o.module.clone());
        let writes: BTreeSet<String> = modules.filter(|module| !module.is_empty()).collect();
        Footprint { check: writes.clone(), reads: writes.clone(), writes, ..Footprint::default() }
    }

    /// Puts a candidate together.
    pub fn assemble(&mut self, candidate: u64, base: &str, submissions: &[Arc<MergeRequest>]) -> Command {
        let base = Self::length(base);
        let mut added: Vec<String> = Vec::new();
        for request in submissions {
            let id = self.offer(request);
            let Some(offered) = self.offered.get(&id) else { continue };
            let target = &offered.target;
            let since = self.written.get(target).is_some_and(|&at| at > offered.base && at <= base);
            let beside =
                added.iter().any(|other| self.offered.get(other).is_some_and(|o| o.target == *target));
            if !target.is_empty() && (since || beside) {
                let reason = format!("{id} and another change the region of {target}");
                return Command::Blocked { candidate, kind: "conflict".to_owned(), reason };
            }
            added.push(id);
        }
        let footprint = self.footprint(&added);
        let content = self.content(base, &added, &footprint);
        let tree = format!("{base}+{}", added.join("+"));
        self.trees.insert(tree.clone(), Tree { base, added });
        Command::Assembled {
            candidate,
            assembly: Assembly { tree, footprint, content, ..Assembly::default() },
        }
    }

    /// Lean's answer about a tree.
    pub fn check(&self, check: &Check) -> CheckReply {
        let mut reply =
            CheckReply { id: check.id.clone(), toolchain: "modelled".to_owned(), ..CheckReply::default() };
        let Some(tree) = self.trees.get(&check.tree) else {
            reply.set_outcome(Outcome::EnvironmentFault);
            "there is no such tree".clone_into(&mut reply.fault);
            return reply;
        };
        if tree.added.iter().any(|id| mix(hash(id) ^ self.seed) % 1000 < self.breaks && id != "skeleton") {
            reply.set_outcome(Outcome::Rejected);
            let severity = Severity::Error.into();
            reply.diagnostics.push(Diagnostic {
                severity,
                message: "type mismatch".to_owned(),
                ..Diagnostic::default()
            });
        } else {
            reply.set_outcome(Outcome::Accepted);
            let facts = tree.added.iter().filter_map(|id| self.offered.get(id)?.facts.clone());
            reply.declarations = facts.collect();
        }
        reply
    }

    /// Moves `main`, or finds that it has moved already. Also what landed just now.
    pub fn land(
        &mut self,
        candidate: u64,
        head: &str,
        submissions: &[Arc<MergeRequest>],
        assembly: &Assembly,
    ) -> (Command, Vec<String>) {
        let base = Self::length(head);
        let ids: Vec<String> = submissions.iter().map(|request| self.offer(request)).collect();
        let mut landed = Vec::new();
        if base == self.main.len() {
            let certified = self
                .trees
                .get(&assembly.tree)
                .map(|tree| self.content(tree.base, &tree.added, &assembly.footprint));
            if certified != Some(self.content(base, &ids, &assembly.footprint)) {
                let cause = "the content differs".to_owned();
                return (Command::Stale { candidate, cause }, landed);
            }
            for id in &ids {
                let Some(offered) = self.offered.get(id).cloned() else { continue };
                self.places.insert(id.clone(), self.main.len());
                self.main.push(id.clone());
                let length = self.main.len();
                let versions = self.modules.entry(offered.module).or_default();
                let before = versions.last().map_or(0, |(_, sum)| *sum);
                versions.push((length, before.wrapping_add(mix(hash(id)))));
                self.written.insert(offered.target, length);
                landed.push(id.clone());
            }
        } else if self.main.get(base..base + ids.len()) != Some(&ids[..]) {
            let cause = format!("main is at {} commits, not at {base}", self.main.len());
            return (Command::Stale { candidate, cause }, landed);
        }
        let commits = ids.into_iter().enumerate().map(|(at, id)| (id, Self::commit(base + at + 1))).collect();
        (Command::Landed { candidate, commits }, landed)
    }
}

/// How long Lean takes for a check of one region: measured on the embedded Lean, 0.1 to 3 s, rarely more.
pub fn lean(net: &mut Net) -> Micros {
    let slow = if net.chance.hit(20) { 10 } else { 1 };
    slow * net.chance.range(100 * MS, 3 * SECOND)
}

/// How long a certification takes.
pub fn certification(net: &mut Net) -> Micros {
    let usual = net.chance.range(500 * MS, 8 * SECOND);
    if net.weather.slow_lean > 0 { usual + net.chance.range(0, 120 * SECOND) } else { usual }
}

/// How long a model takes for a turn.
pub fn model(net: &mut Net) -> Micros {
    net.chance.range(2 * SECOND, 20 * SECOND)
}

/// What a call uses.
pub fn call_usage() -> Usage {
    Usage {
        input_tokens: 4_000,
        output_tokens: 400,
        cost_microdollars: CALL_MICRODOLLARS,
        model_calls: 1,
        ..Usage::default()
    }
}

fn is_author(role: &str) -> bool {
    matches!(role, "formalizer" | "prover" | "fixer")
}

/// What an attempt starts from.
pub fn prepared(task: &Task, turns: u32) -> AgentPrepared {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let (tools, ends) = match task.role.as_str() {
        "automation" => (Vec::new(), Vec::new()),
        role if is_author(role) => {
            (names(&["check", "write_region", "submit", "give_up"]), names(&["submit", "give_up"]))
        }
        "triage" => (names(&["check", "triage"]), names(&["triage"])),
        _ => (names(&["read_file", "verdict"]), names(&["verdict"])),
    };
    let target = task.target.clone().unwrap_or_default();
    let text = format!("-- begin {0}\n-- end {0}\n", target.id);
    AgentPrepared {
        model: if task.role == "automation" { String::new() } else { "modelled".to_owned() },
        opening: "Work.".to_owned(),
        tools,
        ends_with: ends,
        max_turns: turns * 2 + 4,
        max_tokens: u64::MAX / 2,
        max_output_tokens: 4_000,
        loaded: vec![BaseFile { path: layout::module_path(&target.module), text: Some(text) }],
        ..AgentPrepared::default()
    }
}

/// What the model says: checks for most of its turns, then an ending. 22 % of authors that got so far merge in the published
/// run; here their attempts, so that books are finished.
pub fn answer(task: &Task, turn: u32, turns: u32) -> ModelAnswered {
    let bits = mix(hash(&task.attempt));
    let (name, arguments): (&str, Value) = match task.role.as_str() {
        role if is_author(role) => {
            let last = (u64::from(turns) / 2 + bits % u64::from(turns.max(1)) + 2) as u32;
            match last.saturating_sub(turn) {
                0 if bits / 1000 % 1000 < 220 || task.number > 6 => ("submit", json!({"summary": "done"})),
                0 => ("give_up", json!({"reason": "no idea"})),
                1 => (
                    "write_region",
                    json!({"content": format!("theorem t : True := trivial -- {}", task.attempt)}),
                ),
                _ => ("check", json!({})),
            }
        }
        "triage" => ("triage", json!({"action": "retry", "text": "use induction"})),
        _ if bits % 1000 < 900 => ("verdict", json!({"decision": "approve", "reasons": []})),
        _ => ("verdict", json!({"decision": "request_changes", "reasons": ["not what the book says"]})),
    };
    let call = ToolCall { id: turn.to_string(), name: name.to_owned(), arguments: arguments.to_string() };
    ModelAnswered {
        turn,
        blocks: vec![AnswerBlock { block: Some(answer_block::Block::Call(call)) }],
        usage: Some(call_usage().into()),
        model: "modelled-1".to_owned(),
        stop: AnswerStop::ToolUse.into(),
    }
}

/// What tools find.
pub fn worked(work: &RunTools) -> ToolsAnswered {
    let result = |call: &atlas_agent_runner::command::Call| ToolResult {
        text: "1:1: unsolved goals".to_owned(),
        accepted: call.tool == "submit",
        checks: 1,
        ..ToolResult::default()
    };
    let loaded = work.load.iter().map(|path| BaseFile { path: path.clone(), text: None });
    ToolsAnswered {
        turn: work.turn,
        first: work.first,
        results: work.calls.iter().map(result).collect(),
        loaded: loaded.collect(),
    }
}

/// What the automation tier finds: nothing.
pub fn automated() -> Automated {
    Automated { summary: "no tactic closes it".to_owned(), checks: 3, ..Automated::default() }
}
