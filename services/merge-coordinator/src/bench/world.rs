//! A simulated clock and verifier that drive the merge queue itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use atlas_actor::Machine;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::{
    CheckReply, DeclarationFacts, Diagnostic, Expectation, MergeEvent, MergeOutcome, MergeRequest, Outcome,
    Receipt, Severity, Submission, merge_surveyed, receipt::KernelVerdict,
};

use crate::machine::{
    Assembly, Command, Effect, Footprint, MergeQueue, Policy, SKELETON, name_hash, submission_of,
};

/// The module that imports all others.
const TOP: &str = "N.Top";

/// What is true of the submissions of a simulated run.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// Break on their own.
    pub bad: BTreeSet<String>,
    /// Break on their own, and on them two kernels contradict each other.
    pub contradicted: BTreeSet<String>,
    /// Break together, in either order.
    pub clashes: BTreeSet<(String, String)>,
    /// Change the same lines, in either order.
    pub conflicts: BTreeSet<(String, String)>,
    /// Touch a protected file.
    pub forbidden: BTreeSet<String>,
    /// The modules that each writes; `N.A` where none is given. Where any writes `N.Top`, it imports all others.
    pub writes: BTreeMap<String, Vec<String>>,
    /// How often checks of a submission alone, or of a module that is certified again, fail for no fault of their own.
    pub faults: BTreeMap<String, u32>,
    /// Rest on this axiom.
    pub axioms: BTreeMap<String, String>,
    /// Accepted verdicts bring receipts.
    pub receipts: bool,
}

impl Truth {
    /// Whether two submissions are a pair of `pairs`.
    fn meets(pairs: &BTreeSet<(String, String)>, one: &str, other: &str) -> bool {
        partners(pairs, one).any(|partner| partner == other)
    }

    fn written(&self, submission: &str) -> Vec<String> {
        self.writes.get(submission).cloned().unwrap_or_else(|| vec!["N.A".to_owned()])
    }
}

/// Partners of `one`. Pairs are stored both ways by [`World::new`], so that a range finds them.
fn partners<'a>(pairs: &'a BTreeSet<(String, String)>, one: &'a str) -> impl Iterator<Item = &'a str> {
    pairs.range((one.to_owned(), String::new())..).take_while(move |(a, _)| a == one).map(|(_, b)| b.as_str())
}

/// Git, Lean and the planner, simulated. `main` only ever grows: a commit is how many submissions it holds, a tree is a
/// commit and what was added to it.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// What is true.
    pub truth: Truth,
    /// What `main` holds, in order.
    pub main: Vec<String>,
    /// Builds begun.
    pub builds: u64,
    /// What the verifier certifies with, and the host asks for.
    pub policy: Policy,
    /// Outcomes as the planner got them, by submission; a second of one submission is an error.
    pub outcomes: BTreeMap<String, Vec<MergeOutcome>>,
    places: HashMap<String, usize>,
    /// For each length of `main`: what each module is made of.
    modules: Vec<BTreeMap<String, u64>>,
    trees: HashMap<String, Tree>,
}

#[derive(Debug, Clone)]
struct Tree {
    base: usize,
    added: Vec<String>,
    modules: BTreeMap<String, u64>,
}

impl Tree {
    /// A digest's form.
    fn source(&self, module: &str) -> String {
        format!("{:064x}", self.modules.get(module).copied().unwrap_or_default())
    }
}

impl World {
    /// An empty repository.
    pub fn new(mut truth: Truth) -> Self {
        for pairs in [&mut truth.clashes, &mut truth.conflicts] {
            let back: Vec<_> = pairs.iter().map(|(one, other)| (other.clone(), one.clone())).collect();
            pairs.extend(back);
        }
        Self { truth, modules: vec![BTreeMap::new()], ..Self::default() }
    }

    /// The name of `main`'s commit when it holds so many submissions.
    pub fn commit(length: usize) -> String {
        if length == 0 { String::new() } else { format!("c{length}") }
    }

    fn length(commit: &str) -> usize {
        commit.strip_prefix('c').and_then(|length| length.parse().ok()).unwrap_or(0)
    }

    /// Whether what `main` holds builds: no bad submission, no clash.
    pub fn main_builds(&self) -> bool {
        let tree = Tree { base: 0, added: self.main.clone(), modules: BTreeMap::new() };
        self.builds(&tree, None)
    }

    /// Whether what was added builds, with what it stands on; in the modules of `check`, else in all.
    fn builds(&self, tree: &Tree, check: Option<&[String]>) -> bool {
        let affected = |id: &str| {
            check.is_none_or(|check| self.truth.written(id).iter().any(|module| check.contains(module)))
        };
        let there = |id: &str| {
            self.places.get(id).is_some_and(|place| *place < tree.base)
                || tree.added.iter().any(|own| own == id)
        };
        tree.added.iter().filter(|id| affected(id)).all(|id| {
            !self.truth.bad.contains(id)
                && !self.truth.contradicted.contains(id)
                && !partners(&self.truth.clashes, id).any(|partner| there(partner) && affected(partner))
        })
    }

    fn tree(&self, base: usize, added: &[String]) -> Tree {
        let mut modules = self.modules.get(base).cloned().unwrap_or_default();
        for id in added {
            for module in self.truth.written(id) {
                // A sum: two orders of the same submissions make the same source.
                let content = modules.entry(module).or_default();
                *content = content.wrapping_add(name_hash(id));
            }
        }
        Tree { base, added: added.to_vec(), modules }
    }

    fn footprint(&self, added: &[String]) -> Footprint {
        let writes: BTreeSet<String> = added.iter().flat_map(|id| self.truth.written(id)).collect();
        let all = || self.truth.writes.values().flatten().cloned();
        let mut footprint =
            Footprint { check: writes.clone(), reads: writes.clone(), writes, ..Footprint::default() };
        if all().any(|module| module == TOP) {
            if footprint.writes.contains(TOP) {
                footprint.below = all().filter(|module| !footprint.writes.contains(module)).collect();
            }
            footprint.check.insert(TOP.to_owned());
            footprint.reads.extend(all());
        }
        footprint
    }

    fn content(tree: &Tree, footprint: &Footprint) -> String {
        let reads: Vec<_> = footprint.reads.iter().map(|module| (module, tree.modules.get(module))).collect();
        format!("{reads:?} {:?}", footprint.check)
    }

    /// Puts a candidate together as git would.
    pub fn assemble(&mut self, candidate: u64, base: &str, submissions: &[Arc<MergeRequest>]) -> Command {
        let blocked =
            |kind: &str, reason: String| Command::Blocked { candidate, kind: kind.to_owned(), reason };
        let base = Self::length(base);
        let mut added: Vec<String> = Vec::new();
        for request in submissions {
            let id = submission_of(request).to_owned();
            if self.truth.forbidden.contains(&id) {
                return blocked("policy", format!("{id} touches a protected file"));
            }
            let landed = partners(&self.truth.conflicts, &id)
                .find(|other| self.places.get(*other).is_some_and(|place| *place < base));
            let ahead = added.iter().find(|other| Truth::meets(&self.truth.conflicts, &id, other));
            if let Some(other) = landed.or_else(|| ahead.map(String::as_str)) {
                return blocked("conflict", format!("{id} conflicts with {other}"));
            }
            added.push(id);
        }
        let footprint = self.footprint(&added);
        let tree = self.tree(base, &added);
        let name = format!("{base}+{added:?}");
        let content = Self::content(&tree, &footprint);
        let sources = footprint.check.iter().map(|module| (module.clone(), tree.source(module))).collect();
        self.trees.insert(name.clone(), tree);
        Command::Assembled {
            candidate,
            assembly: Assembly { tree: name, footprint, content, sources, ..Assembly::default() },
        }
    }

    /// Looks at modules of `main` that are to be certified again, as git would.
    pub fn survey(&mut self, head: &str, wanted: &BTreeSet<String>) -> Command {
        let base = Self::length(head);
        let tree = self.tree(base, &[]);
        let name = format!("{base}+[]");
        let mut modules: Vec<merge_surveyed::Module> = wanted
            .iter()
            .map(|module| {
                let check = BTreeSet::from([module.clone()]);
                let mut reads = check.clone();
                if module == TOP {
                    reads.extend(tree.modules.keys().cloned());
                }
                let footprint = Footprint { check, reads, ..Footprint::default() };
                merge_surveyed::Module {
                    module: module.clone(),
                    source: tree.source(module),
                    content: Self::content(&tree, &footprint),
                    reads: footprint.reads.into_iter().collect(),
                    depth: u32::from(module == TOP),
                }
            })
            .collect();
        modules.sort_by_key(|module| module.depth);
        self.trees.insert(name.clone(), tree);
        Command::Surveyed { head: head.to_owned(), tree: name, modules }
    }

    /// The axiom behind one of these modules that the policy does not allow.
    pub fn foreign_axiom(&self, tree: &[String], check: &[String]) -> Option<&String> {
        let written = |id: &str| self.truth.written(id).iter().any(|module| check.contains(module));
        let behind = tree.iter().filter(|id| written(id)).filter_map(|id| self.truth.axioms.get(id));
        behind.into_iter().find(|axiom| !self.policy.axioms.contains(*axiom))
    }

    fn receipt(&self, tree: &Tree, module: &str) -> Receipt {
        let kernel = |kernel: &str| KernelVerdict { kernel: kernel.to_owned(), ..KernelVerdict::default() };
        Receipt {
            version: atlas_judge::VERSION,
            toolchain: self.policy.toolchain.clone().unwrap_or_else(|| "simulated".to_owned()),
            module: module.to_owned(),
            source_sha256: tree.source(module),
            export_sha256: tree.source(module),
            kernels: vec![kernel("one"), kernel("two")],
            allowed_axioms: self.policy.axioms.iter().cloned().collect(),
            judge: self.policy.judge.clone().unwrap_or_else(|| "simulated".to_owned()),
            key: "00".repeat(32),
            // Nobody looks at signatures here: the host does.
            signature: vec![0; 64],
            ..Receipt::default()
        }
    }

    /// Lean's answer about a tree.
    pub fn check(&mut self, id: &str, tree: &str, check: &[String]) -> CheckReply {
        let mut reply = CheckReply { id: id.to_owned(), ..CheckReply::default() };
        let Some(tree) = self.trees.get(tree).cloned() else { return reply };
        if let Some(about) = tree.added.last().or(check.first())
            && let Some(left) = self.truth.faults.get_mut(about)
            && *left > 0
        {
            *left -= 1;
            reply.set_outcome(Outcome::EnvironmentFault);
            "disk full".clone_into(&mut reply.fault);
            return reply;
        }
        let mut whole = self.main[..tree.base.min(self.main.len())].to_vec();
        whole.extend(tree.added.iter().cloned());
        if let Some(axiom) = self.foreign_axiom(&whole, check) {
            reply.set_outcome(Outcome::Rejected);
            let message = format!("it rests on the axiom `{axiom}`");
            let severity = Severity::Error.into();
            reply.diagnostics.push(Diagnostic { severity, message, ..Diagnostic::default() });
        } else if self.builds(&tree, Some(check)) {
            reply.set_outcome(Outcome::Accepted);
            if self.truth.receipts {
                reply.receipts = check.iter().map(|module| self.receipt(&tree, module)).collect();
            }
            let facts = |id: &String| DeclarationFacts {
                name: format!("N.{id}"),
                module: self.truth.written(id).swap_remove(0),
                statement_hash: format!("hash of {id}"),
                ..DeclarationFacts::default()
            };
            reply.declarations = tree.added.iter().map(facts).collect();
        } else {
            reply.set_outcome(Outcome::Rejected);
            let contradicted = tree.added.iter().filter(|id| self.truth.contradicted.contains(*id));
            reply.incidents = contradicted.map(|id| format!("N.{id}: one kernel accepts it")).collect();
            let message = "type mismatch".to_owned();
            let severity = Severity::Error.into();
            reply.diagnostics.push(Diagnostic { severity, message, ..Diagnostic::default() });
        }
        reply
    }

    /// Moves `main`, or finds that it has moved already.
    pub fn land(
        &mut self,
        candidate: u64,
        head: &str,
        submissions: &[Arc<MergeRequest>],
        assembly: &Assembly,
    ) -> Command {
        let base = Self::length(head);
        let ids: Vec<String> = submissions.iter().map(|request| submission_of(request).to_owned()).collect();
        if base == self.main.len() {
            let tree = self.tree(base, &ids);
            let certified =
                self.trees.get(&assembly.tree).map(|tree| Self::content(tree, &assembly.footprint));
            if certified != Some(Self::content(&tree, &assembly.footprint)) {
                return Command::Stale { candidate, cause: "the content differs".to_owned() };
            }
            for id in &ids {
                let next = self.tree(self.main.len(), std::slice::from_ref(id)).modules;
                self.places.insert(id.clone(), self.main.len());
                self.main.push(id.clone());
                self.modules.push(next);
            }
        }
        let commits = ids.into_iter().enumerate().map(|(at, id)| (id, Self::commit(base + at + 1))).collect();
        Command::Landed { candidate, commits }
    }
}

/// A queue and its world.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// The machine.
    pub machine: MergeQueue,
    /// Git, Lean and the planner.
    pub world: World,
    /// Simulated Unix ms.
    pub now_ms: u64,
    /// Everything that was journaled.
    pub journal: Vec<(u64, MergeEvent)>,
}

impl Simulation {
    /// A queue whose repository is open; `window`: bounds of both windows.
    pub fn new(truth: Truth, window: (u32, u32)) -> Self {
        let mut simulation = Self {
            machine: MergeQueue::new(&actor()),
            world: World::new(truth),
            now_ms: 0,
            journal: Vec::new(),
        };
        simulation.tell(Command::Opened { package: "N".to_owned(), window });
        let policy = simulation.world.policy.message();
        simulation.tell(Command::Policy(policy));
        simulation
    }

    /// One command: decided, journaled, folded.
    pub fn tell(&mut self, command: Command) {
        for event in self.machine.decide(command, self.now_ms) {
            self.machine.apply(&event, self.now_ms);
            self.journal.push((self.now_ms, event));
        }
    }

    /// Sends a submission.
    pub fn submit(&mut self, id: &str) {
        self.tell(Command::Request(request(id)));
    }

    /// The effects that are not done: the watch on the policy is one only while that differs.
    pub fn effects(&self) -> Vec<(String, Effect)> {
        let mut effects = self.machine.effects();
        let policy = Some(self.world.policy.message());
        effects.retain(|(_, effect)| !matches!(effect, Effect::WatchPolicy { known } if *known == policy));
        effects
    }

    /// Does one effect that takes no time; `None`: it takes a build or a wait.
    pub fn act(&mut self, effect: &Effect) -> Option<Command> {
        match effect {
            Effect::Open => Some(Command::Opened { package: "N".to_owned(), window: (1, 20) }),
            Effect::Assemble { candidate, base, submissions } => {
                Some(self.world.assemble(*candidate, base, submissions))
            }
            Effect::Land { candidate, head, submissions, assembly, .. } => {
                Some(self.world.land(*candidate, head, submissions, assembly))
            }
            Effect::Report { outcome } => {
                let submission = outcome.submission.clone();
                self.world.outcomes.entry(submission.clone()).or_default().push(outcome.as_ref().clone());
                Some(Command::Reported { submission })
            }
            Effect::WatchPolicy { .. } => Some(Command::Policy(self.world.policy.message())),
            Effect::Survey { head, modules } => Some(self.world.survey(head, modules)),
            Effect::Keep { module, receipt } => {
                let digest = name_hash(&format!("{receipt:?}"));
                Some(Command::Kept { module: module.clone(), sha256: format!("{digest:064x}") })
            }
            Effect::Certify { .. } | Effect::Wait { .. } => None,
        }
    }
}

/// The queue's address in simulations.
pub fn actor() -> ActorId {
    #[allow(clippy::expect_used)] // a constant that is a valid name
    let run = RunId::new("simulated").expect("a valid name");
    ActorId::singleton(&run, ActorKind::Merge)
}

/// A submission that states target `id`.
pub fn request(id: &str) -> MergeRequest {
    let submission = Submission {
        id: id.to_owned(),
        target: id.to_owned(),
        title: format!("State {id}"),
        ..Submission::default()
    };
    let own = Expectation {
        declaration: format!("N.{id}"),
        target: id.to_owned(),
        may_sorry: true,
        ..Expectation::default()
    };
    let expectations = if id == SKELETON { Vec::new() } else { vec![own] };
    MergeRequest { submission: Some(submission), expectations, ..MergeRequest::default() }
}
