//! The blueprint: targets as a graph with statement edges and proof edges kept apart.
//!
//! It knows what can be stated and what can be proved (leanblueprint's `can_state`, `can_prove`), what is fully
//! proved (here: certified), and how long a chain of work waits on each target. All of it is kept up to date edge by
//! edge, so a change costs what it touches and not the whole book.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::target::EveryField;
use crate::{Target, TargetId};

mod heights;
mod standing;

pub use standing::{Holding, Standing};

/// A target's place in a [`Blueprint`]; stays the same while the blueprint grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TargetIx(u32);

impl TargetIx {
    /// As an index into a list that runs parallel to [`Blueprint::targets`].
    pub fn index(self) -> usize {
        self.0 as usize
    }

    fn of(index: usize) -> Self {
        // A blueprint is built from targets in memory; four thousand million do not fit.
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// Why targets do not make a blueprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlueprintError {
    /// One label, two targets.
    #[error("the label `{id}` is used twice, at {first} and at {second}; rename one of them")]
    Duplicate {
        /// The label.
        id: TargetId,
        /// Place of its first use.
        first: String,
        /// Place of its second use.
        second: String,
    },
    /// An edge to nowhere.
    #[error("{place}: `{id}` depends on `{reference}`, which is no target{}", suggestion(.near.as_ref()))]
    UnknownReference {
        /// The target that refers.
        id: TargetId,
        /// Where it stands.
        place: String,
        /// What it refers to.
        reference: TargetId,
        /// A label that looks like it.
        near: Option<TargetId>,
    },
    /// Targets that wait for each other.
    #[error(
        "targets depend on each other in a circle: {}; remove one of these dependencies",
        path(.0)
    )]
    Cycle(Vec<TargetId>),
}

fn suggestion(near: Option<&TargetId>) -> String {
    near.map_or_else(
        || "; remove it or add that target".to_owned(),
        |near| format!("; did you mean `{near}`?"),
    )
}

fn path(ids: &[TargetId]) -> String {
    let mut words: Vec<&str> = ids.iter().map(TargetId::as_str).collect();
    if let Some(first) = words.first().copied() {
        words.push(first);
    }
    words.join(" → ")
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Node {
    #[serde(with = "EveryField")]
    target: Target,
    holding: Holding,
    statement_edges: Vec<TargetIx>,
    proof_edges: Vec<TargetIx>,
    statement_dependants: Vec<TargetIx>,
    proof_dependants: Vec<TargetIx>,
    parts: Vec<TargetIx>,
    /// Targets that its landed proof inherited `sorry` from.
    uses: Vec<TargetIx>,
    /// Targets whose landed proofs inherited `sorry` from it.
    users: Vec<TargetIx>,
    /// Statement edges to targets that are not usable.
    statement_waits: u32,
    /// Proof edges to targets that are not usable.
    proof_waits: u32,
    /// Edges of both kinds, and uses, to targets that are not certified.
    open_below: u32,
    /// It is whole and nothing below it is open.
    certified: bool,
    statement_height: u32,
    proof_height: u32,
}

/// The targets of a run and what each waits for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Blueprint {
    nodes: Vec<Node>,
    index: HashMap<TargetId, TargetIx>,
}

impl Serialize for Blueprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.nodes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Blueprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nodes = Vec::<Node>::deserialize(deserializer)?;
        let index = nodes.iter().enumerate().map(|(at, node)| (node.target.id.clone(), TargetIx::of(at)));
        Ok(Self { index: index.collect(), nodes })
    }
}

impl Blueprint {
    /// Builds the graph.
    ///
    /// # Errors
    /// Every duplicate label and unknown reference, or else every independent circle that was found.
    pub fn new(targets: Vec<Target>) -> Result<Self, Vec<BlueprintError>> {
        let mut blueprint = Self::default();
        blueprint.insert(targets)?;
        Ok(blueprint)
    }

    /// Adds the parts that `parent` was decomposed into: its proof (and, while it is unstated, its
    /// statement) depends on all of them. Nothing changes when this fails.
    ///
    /// # Errors
    /// As [`Blueprint::new`].
    pub fn decompose(
        &mut self,
        parent: TargetIx,
        parts: Vec<Target>,
    ) -> Result<Vec<TargetIx>, Vec<BlueprintError>> {
        let mut trial = self.clone();
        let parent_id = trial.target(parent).id.clone();
        let added = trial.insert(
            parts
                .into_iter()
                .map(|mut part| {
                    part.parent = Some(parent_id.clone());
                    part
                })
                .collect(),
        )?;
        let unstated = trial.node(parent).holding == Holding::Nothing;
        for &part in &added {
            trial.link(parent, part, unstated);
            trial.node_mut(parent).parts.push(part);
        }
        if let Some(cycle) = trial.cycle() {
            return Err(vec![BlueprintError::Cycle(cycle)]);
        }
        trial.refresh_heights();
        *self = trial;
        Ok(added)
    }

    fn insert(&mut self, targets: Vec<Target>) -> Result<Vec<TargetIx>, Vec<BlueprintError>> {
        let mut errors = Vec::new();
        let first_new = self.nodes.len();
        for target in targets {
            if let Some(&first) = self.index.get(&target.id) {
                errors.push(BlueprintError::Duplicate {
                    id: target.id.clone(),
                    first: self.target(first).place(),
                    second: target.place(),
                });
                continue;
            }
            self.index.insert(target.id.clone(), TargetIx::of(self.nodes.len()));
            self.nodes.push(Node {
                target,
                holding: Holding::Nothing,
                statement_edges: Vec::new(),
                proof_edges: Vec::new(),
                statement_dependants: Vec::new(),
                proof_dependants: Vec::new(),
                parts: Vec::new(),
                uses: Vec::new(),
                users: Vec::new(),
                statement_waits: 0,
                proof_waits: 0,
                open_below: 0,
                certified: false,
                statement_height: 0,
                proof_height: 0,
            });
        }
        let added: Vec<TargetIx> = (first_new..self.nodes.len()).map(TargetIx::of).collect();
        for &ix in &added {
            let target = self.target(ix);
            let edges: Vec<(TargetId, bool)> = target
                .statement_depends_on
                .iter()
                .map(|id| (id.clone(), true))
                .chain(target.proof_depends_on.iter().map(|id| (id.clone(), false)))
                .collect();
            for (reference, statement) in edges {
                match self.index.get(&reference) {
                    Some(&to) => self.link(ix, to, statement),
                    None => errors.push(BlueprintError::UnknownReference {
                        id: self.target(ix).id.clone(),
                        place: self.target(ix).place(),
                        near: self.nearest(&reference),
                        reference,
                    }),
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if let Some(cycle) = self.cycle() {
            return Err(vec![BlueprintError::Cycle(cycle)]);
        }
        self.refresh_heights();
        Ok(added)
    }

    /// Adds one edge unless it is there already; a statement edge makes a proof edge to the same target needless.
    fn link(&mut self, from: TargetIx, to: TargetIx, statement: bool) {
        if self.node(from).statement_edges.contains(&to)
            || (!statement && self.node(from).proof_edges.contains(&to))
        {
            return;
        }
        self.unlink(from, to);
        let (usable, certified) = (self.node(to).holding.is_usable(), self.node(to).certified);
        let node = self.node_mut(from);
        if statement {
            node.statement_edges.push(to);
            node.statement_waits += u32::from(!usable);
        } else {
            node.proof_edges.push(to);
            node.proof_waits += u32::from(!usable);
        }
        node.open_below += u32::from(!certified);
        let dependency = self.node_mut(to);
        if statement {
            dependency.statement_dependants.push(from);
        } else {
            dependency.proof_dependants.push(from);
        }
        self.settle(from);
    }

    /// Removes the edge between two targets, whichever kind it is. Used when a dependency has been refuted and the
    /// dependant must go on without it. Gives the targets whose readiness this may change.
    pub fn unlink(&mut self, from: TargetIx, to: TargetIx) -> Vec<TargetIx> {
        let (usable, certified) = (self.node(to).holding.is_usable(), self.node(to).certified);
        let node = self.node_mut(from);
        let statement = node.statement_edges.len();
        node.statement_edges.retain(|&edge| edge != to);
        let statement = node.statement_edges.len() < statement;
        let proof = node.proof_edges.len();
        node.proof_edges.retain(|&edge| edge != to);
        let proof = node.proof_edges.len() < proof;
        node.statement_waits -= u32::from(statement && !usable);
        node.proof_waits -= u32::from(proof && !usable);
        node.open_below -= u32::from((statement || proof) && !certified);
        node.parts.retain(|&part| part != to);
        let dependency = self.node_mut(to);
        dependency.statement_dependants.retain(|&dependant| dependant != from);
        dependency.proof_dependants.retain(|&dependant| dependant != from);
        let mut touched = vec![from];
        touched.extend(self.settle(from));
        touched
    }

    /// All targets, in the order in which they came.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = (TargetIx, &Target)> {
        self.nodes.iter().enumerate().map(|(index, node)| (TargetIx::of(index), &node.target))
    }

    /// How many targets there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True without targets.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Looks a label up.
    pub fn find(&self, id: &str) -> Option<TargetIx> {
        // Ids are valid by construction, so a word that is none names no target.
        TargetId::new(id).ok().and_then(|id| self.index.get(&id).copied())
    }

    /// The target at `ix`.
    pub fn target(&self, ix: TargetIx) -> &Target {
        &self.node(ix).target
    }

    /// True when all that its statement speaks of is stated.
    pub fn can_state(&self, ix: TargetIx) -> bool {
        self.node(ix).statement_waits == 0
    }

    /// True when it is stated and all that its statement and its proof speak of is stated, the parts that it was
    /// decomposed into among them. None of that need be proved: a proof is complete given the statements that it rests
    /// on, and tells early whether they are the right ones.
    pub fn can_prove(&self, ix: TargetIx) -> bool {
        let node = self.node(ix);
        node.holding.is_usable() && node.statement_waits == 0 && node.proof_waits == 0
    }

    /// Targets that its statement speaks of.
    pub fn statement_edges(&self, ix: TargetIx) -> &[TargetIx] {
        &self.node(ix).statement_edges
    }

    /// Targets that only its proof uses.
    pub fn proof_edges(&self, ix: TargetIx) -> &[TargetIx] {
        &self.node(ix).proof_edges
    }

    /// Targets that the book says depend on it, by statement or by proof.
    pub fn dependants(&self, ix: TargetIx) -> Vec<TargetIx> {
        let node = self.node(ix);
        node.statement_dependants.iter().chain(&node.proof_dependants).copied().collect()
    }

    /// Targets that it was decomposed into.
    pub fn parts(&self, ix: TargetIx) -> &[TargetIx] {
        &self.node(ix).parts
    }

    /// Targets whose statements rest on `ix`'s statement, directly or not.
    pub fn statement_cone(&self, ix: TargetIx) -> BTreeSet<TargetIx> {
        self.closure(ix, |node| &node.statement_dependants)
    }

    /// Targets that `ix`'s statement rests on, directly or not.
    pub fn statement_closure(&self, ix: TargetIx) -> BTreeSet<TargetIx> {
        self.closure(ix, |node| &node.statement_edges)
    }

    fn closure(&self, ix: TargetIx, next: impl Fn(&Node) -> &Vec<TargetIx>) -> BTreeSet<TargetIx> {
        let mut seen = BTreeSet::new();
        let mut stack = next(self.node(ix)).clone();
        while let Some(at) = stack.pop() {
            if seen.insert(at) {
                stack.extend(next(self.node(at)));
            }
        }
        seen
    }

    /// The longest chain of work that waits for `ix`'s statement, itself included, in pieces of work
    /// (stating one, proving another).
    pub fn statement_height(&self, ix: TargetIx) -> u32 {
        self.node(ix).statement_height
    }

    /// The longest chain of work that waits for `ix`'s proof, itself included.
    pub fn proof_height(&self, ix: TargetIx) -> u32 {
        self.node(ix).proof_height
    }

    /// Targets in an order in which each comes after all that it depends on; among those free to come
    /// next, the one that stands first in the book.
    pub fn in_dependency_order(&self) -> Vec<TargetIx> {
        let mut waits: Vec<usize> =
            self.nodes.iter().map(|node| node.statement_edges.len() + node.proof_edges.len()).collect();
        let mut free: BTreeSet<TargetIx> =
            (0..self.nodes.len()).filter(|&index| waits[index] == 0).map(TargetIx::of).collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(ix) = free.pop_first() {
            order.push(ix);
            let node = self.node(ix);
            for &dependant in node.statement_dependants.iter().chain(&node.proof_dependants) {
                waits[dependant.index()] -= 1;
                if waits[dependant.index()] == 0 {
                    free.insert(dependant);
                }
            }
        }
        order
    }

    fn cycle(&self) -> Option<Vec<TargetId>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.nodes.len()];
        for start in 0..self.nodes.len() {
            if marks[start] != Mark::New {
                continue;
            }
            let mut stack: Vec<(usize, usize)> = vec![(start, 0)];
            marks[start] = Mark::Open;
            while let Some((at, edge)) = stack.last_mut() {
                let node = &self.nodes[*at];
                let next =
                    node.statement_edges.iter().chain(&node.proof_edges).nth(*edge).map(|ix| ix.index());
                *edge += 1;
                match next {
                    None => {
                        marks[*at] = Mark::Done;
                        stack.pop();
                    }
                    Some(next) if marks[next] == Mark::New => {
                        marks[next] = Mark::Open;
                        stack.push((next, 0));
                    }
                    Some(next) if marks[next] == Mark::Open => {
                        let from = stack.iter().position(|&(at, _)| at == next).unwrap_or(0);
                        return Some(
                            stack[from..].iter().map(|&(at, _)| self.nodes[at].target.id.clone()).collect(),
                        );
                    }
                    Some(_) => {}
                }
            }
        }
        None
    }

    fn nearest(&self, reference: &TargetId) -> Option<TargetId> {
        self.nodes
            .iter()
            .map(|node| (edit_distance(node.target.id.as_str(), reference.as_str()), &node.target.id))
            .filter(|(distance, _)| *distance <= 1 + reference.as_str().len() / 4)
            .min()
            .map(|(_, id)| id.clone())
    }

    fn node(&self, ix: TargetIx) -> &Node {
        &self.nodes[ix.index()]
    }

    fn node_mut(&mut self, ix: TargetIx) -> &mut Node {
        &mut self.nodes[ix.index()]
    }
}

/// Levenshtein's distance between two labels, in bytes.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
