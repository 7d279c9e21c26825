//! A modelled library: what Lean and the merge queue would know of it.

use std::collections::{BTreeMap, BTreeSet};

use atlas_planner::{MergeOrder, refuted_name};
use atlas_proto::DeclarationFacts;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// What the library holds of one target.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Counts its statements.
    pub version: u32,
    /// Its own part is complete.
    pub whole: bool,
    /// Targets that its proof names.
    pub uses: BTreeSet<String>,
    /// The negation stands in its place.
    pub refuted: bool,
    /// Whose `sorry` its proof rested on when the planner was last told.
    pub told: BTreeSet<String>,
}

/// What a submission asks of the merge queue.
pub struct Request {
    /// The submission.
    pub id: String,
    /// Its target.
    pub target: String,
    /// What its proof names; `None`: it ends in `sorry`.
    pub proof: Option<BTreeSet<String>>,
    /// It states.
    pub states: bool,
    /// It may change a statement that is frozen.
    pub unfreezes: bool,
    /// It refutes.
    pub refutes: bool,
    /// Landed proofs that may give way.
    pub reopen: BTreeSet<String>,
}

impl Request {
    /// As the planner ordered it, with the proof that the agent wrote.
    pub fn of(order: &MergeOrder, proof: Option<BTreeSet<String>>) -> Self {
        let request = order.request();
        let expectation = &request.expectations[0];
        Self {
            id: request.submission.as_ref().unwrap().id.clone(),
            target: expectation.target.clone(),
            proof,
            states: expectation.may_sorry || expectation.definition,
            unfreezes: !request.unfreeze.is_empty(),
            refutes: expectation.negated,
            reopen: request.reopen.iter().map(|name| label(name)).collect(),
        }
    }
}

/// The full Lean name of a target.
pub fn declaration(target: &str) -> String {
    format!("N.{}", target.replace('-', "_"))
}

fn label(declaration: &str) -> String {
    declaration.trim_start_matches("N.").replace('_', "-")
}

/// The library at its newest commit.
#[derive(Debug, Clone)]
pub struct Library {
    random: StdRng,
    /// Targets in the order of their regions: a declaration names only what stands before it.
    order: Vec<String>,
    entries: BTreeMap<String, Entry>,
    /// Landings.
    pub commits: u64,
    /// Proofs that gave way to `sorry`.
    pub reopened: u32,
}

impl Library {
    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            order: Vec::new(),
            entries: BTreeMap::new(),
            commits: 0,
            reopened: 0,
        }
    }

    /// Lays regions out: at the end, or right before that of `parent`.
    pub fn lay_out(&mut self, targets: impl Iterator<Item = String>, parent: &str) {
        let at = self.order.iter().position(|target| target == parent).unwrap_or(self.order.len());
        let after = self.order.split_off(at);
        self.order.extend(targets);
        self.order.extend(after);
    }

    pub fn entry(&self, target: &str) -> Option<&Entry> {
        self.entries.get(target)
    }

    pub fn is_refuted(&self, target: &str) -> bool {
        self.entries.get(target).is_some_and(|entry| entry.refuted)
    }

    fn is_usable(&self, target: &str) -> bool {
        self.entries.get(target).is_some_and(|entry| entry.version > 0 && !entry.refuted)
    }

    /// Hash of the statement as it stands.
    pub fn hash(&self, target: &str) -> String {
        format!("hash of {target} {}", self.entries.get(target).map_or(0, |entry| entry.version))
    }

    /// A proof of `target`: it uses most of what the book names and some that it does not.
    pub fn proof(&mut self, target: &str, book: &[String]) -> BTreeSet<String> {
        let place = self.order.iter().position(|other| other == target).unwrap_or(0);
        let above: Vec<String> =
            self.order[..place].iter().filter(|other| self.is_usable(other)).cloned().collect();
        let mut uses: BTreeSet<String> = above
            .iter()
            .filter(|other| book.contains(other) && self.random.random_range(0..10) < 8)
            .cloned()
            .collect();
        if self.random.random_range(0..10) < 4 {
            uses.extend(above.into_iter().choose_multiple(&mut self.random, 2));
        }
        uses
    }

    /// Whose `sorry` it rests on: what Lean says.
    pub fn sorry_from(&self, target: &str) -> BTreeSet<String> {
        let mut from = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut todo = vec![target];
        while let Some(at) = todo.pop() {
            if !seen.insert(at) {
                continue;
            }
            match self.entries.get(at) {
                Some(entry) if entry.whole => todo.extend(entry.uses.iter().map(String::as_str)),
                _ => {
                    from.insert(at.to_owned());
                }
            }
        }
        from
    }

    /// Whether what `target` rests on, and it itself, is complete.
    pub fn is_fully_proved(&self, target: &str) -> bool {
        self.entries.get(target).is_some_and(|entry| entry.whole) && self.sorry_from(target).is_empty()
    }

    fn facts(&self, target: &str) -> DeclarationFacts {
        let sorry_from: Vec<String> = self.sorry_from(target).iter().map(|from| declaration(from)).collect();
        DeclarationFacts {
            name: declaration(target),
            kind: "theorem".into(),
            statement: format!("statement of {target}"),
            statement_hash: self.hash(target),
            uses_sorry: !sorry_from.is_empty(),
            sorry_from,
            ..DeclarationFacts::default()
        }
    }

    /// Lands a submission, or says why it does not build or may not land. Gives what the merge queue reports: its own
    /// declaration, and what does not follow from that of others.
    pub fn land(&mut self, request: &Request) -> Result<Vec<DeclarationFacts>, &'static str> {
        let target = request.target.as_str();
        if request.proof.iter().flatten().any(|used| !self.is_usable(used)) {
            return Err("build");
        }
        let stated = self.entries.get(target).is_some_and(|entry| entry.version > 0);
        let changes = request.refutes || (request.states && stated);
        if changes && !request.unfreezes {
            return Err("statement");
        }
        let open = |used: &String| !self.is_fully_proved(used);
        if request.refutes && request.proof.iter().flatten().any(open) {
            return Err("axioms");
        }
        assert!(request.states || request.proof.is_some(), "{} proves nothing", request.id);
        let mut changed = if changes { self.mend(target, request)? } else { BTreeSet::new() };
        let entry = self.entries.entry(target.to_owned()).or_default();
        entry.version += u32::from(request.states);
        entry.refuted |= request.refutes;
        entry.whole = request.proof.is_some();
        entry.uses = request.proof.clone().unwrap_or_default();
        self.commits += 1;
        let news = |(other, entry): (&String, &Entry)| {
            let told = other != target && !entry.refuted && !entry.told.is_empty();
            (told && self.expected(other) != self.rests_on(other)).then(|| other.clone())
        };
        if changes || self.entries.len() < 50 {
            // A proof that lands is no news of others; in small books that is looked at, too.
            changed.extend(self.entries.iter().filter_map(news).collect::<Vec<_>>());
        }
        let mut reported: Vec<DeclarationFacts> = changed.iter().map(|other| self.facts(other)).collect();
        let mut own = self.facts(target);
        if request.refutes {
            own.name = refuted_name(&own.name);
        }
        reported.push(own);
        changed.insert(target.to_owned());
        changed.iter().for_each(|told| self.tell(told));
        Ok(reported)
    }

    /// The statement that these proofs rest on changes or goes: each holds all the same, is mended or is left open.
    fn mend(&mut self, target: &str, request: &Request) -> Result<BTreeSet<String>, &'static str> {
        let users: Vec<String> =
            self.entries.iter().filter(|(_, e)| e.uses.contains(target)).map(|(id, _)| id.clone()).collect();
        let mut mended: Vec<(String, bool)> = Vec::new();
        for user in users {
            let holds = !request.refutes && self.random.random_range(0..3) == 0;
            let mends = self.random.random_range(0..3) == 0;
            if !(holds || mends || request.reopen.contains(&user)) {
                return Err("build");
            }
            if !holds {
                mended.push((user, mends));
            }
        }
        for (user, mends) in &mended {
            if let Some(entry) = self.entries.get_mut(user) {
                if *mends {
                    entry.uses.remove(target);
                } else {
                    entry.whole = false;
                    entry.uses.clear();
                    self.reopened += 1;
                }
            }
        }
        Ok(mended.into_iter().map(|(user, _)| user).collect())
    }

    fn rests_on(&self, target: &str) -> BTreeSet<String> {
        self.sorry_from(target).into_iter().filter(|from| from != target).collect()
    }

    fn tell(&mut self, target: &str) {
        let rests_on = self.rests_on(target);
        if let Some(entry) = self.entries.get_mut(target) {
            entry.told = rests_on;
        }
    }

    /// What follows from what was told.
    fn expected(&self, target: &str) -> BTreeSet<String> {
        let mut open = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut todo: Vec<&str> = self.entries[target].told.iter().map(String::as_str).collect();
        while let Some(at) = todo.pop() {
            if seen.insert(at)
                && let Some(entry) = self.entries.get(at).filter(|entry| !entry.refuted)
            {
                if entry.whole {
                    todo.extend(entry.told.iter().map(String::as_str));
                } else {
                    open.insert(at.to_owned());
                }
            }
        }
        open
    }
}
