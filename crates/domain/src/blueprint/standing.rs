//! How far each target has come: what the library holds of it, and what of the book is open below it.

use serde::{Deserialize, Serialize};

use super::{Blueprint, TargetIx};

/// What the library itself holds of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Holding {
    /// Nothing that others may build on.
    #[default]
    Nothing,
    /// A frozen statement with `sorry` in the proof's place.
    Statement,
    /// The whole definition, or the statement with a proof of its own.
    Whole,
    /// The certified negation.
    Negation,
}

impl Holding {
    /// True when there is a statement that others may build on.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Statement | Self::Whole)
    }
}

/// How far a target has come, in leanblueprint's words. Derived: see [`Blueprint::standing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The library holds nothing of it.
    Unstated,
    /// Its statement is frozen, its proof is open.
    Stated,
    /// It is whole in itself, given the statements that it rests on; one of those is open.
    Proved,
    /// It is fully proved: whole, and nothing below it is open.
    Certified,
    /// Its negation is certified.
    Refuted,
}

impl Standing {
    /// True when there is nothing left to write of the target itself.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Proved | Self::Certified | Self::Refuted)
    }
}

impl Blueprint {
    /// What the library holds of it.
    pub fn holding(&self, ix: TargetIx) -> Holding {
        self.node(ix).holding
    }

    /// How far it has come. *Certified* is leanblueprint's *fully proved*: the target is whole, and so is everything
    /// that the book says it depends on and everything that its proof in the library inherits `sorry` from.
    pub fn standing(&self, ix: TargetIx) -> Standing {
        let node = self.node(ix);
        match node.holding {
            Holding::Nothing => Standing::Unstated,
            Holding::Statement => Standing::Stated,
            Holding::Whole if node.certified => Standing::Certified,
            Holding::Whole => Standing::Proved,
            Holding::Negation => Standing::Refuted,
        }
    }

    /// Targets that its landed proof inherited `sorry` from, whether the book names them or not.
    pub fn uses(&self, ix: TargetIx) -> &[TargetIx] {
        &self.node(ix).uses
    }

    /// Targets whose landed proofs inherited `sorry` from it.
    pub fn users(&self, ix: TargetIx) -> &[TargetIx] {
        &self.node(ix).users
    }

    /// Targets that keep it from being certified: those of its dependencies, the book's and the proof's own, that are
    /// not certified.
    pub fn open_below(&self, ix: TargetIx) -> Vec<TargetIx> {
        let mut open: Vec<TargetIx> =
            self.rests_on(ix).filter(|&below| !self.node(below).certified).collect();
        open.sort_unstable();
        open.dedup();
        open
    }

    fn rests_on(&self, ix: TargetIx) -> impl Iterator<Item = TargetIx> {
        let node = self.node(ix);
        node.statement_edges.iter().chain(&node.proof_edges).chain(&node.uses).copied()
    }

    /// Records what the library now holds of `ix`. Gives the targets whose readiness this may change.
    pub fn set_holding(&mut self, ix: TargetIx, holding: Holding) -> Vec<TargetIx> {
        let before = std::mem::replace(&mut self.node_mut(ix).holding, holding);
        let mut touched = vec![ix];
        if before.is_usable() != holding.is_usable() {
            let wait = |count: &mut u32| {
                // Each edge is counted once while its end is not usable.
                *count = if holding.is_usable() { count.saturating_sub(1) } else { *count + 1 };
            };
            for dependant in self.node(ix).statement_dependants.clone() {
                wait(&mut self.node_mut(dependant).statement_waits);
                touched.push(dependant);
            }
            for dependant in self.node(ix).proof_dependants.clone() {
                wait(&mut self.node_mut(dependant).proof_waits);
                touched.push(dependant);
            }
        } else if before != holding {
            // What became of it is news to those above even when they may build on it as before.
            touched.extend(self.node(ix).statement_dependants.iter().chain(&self.node(ix).proof_dependants));
        }
        touched.extend(self.settle(ix));
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Records which targets the proof of `ix` in the library inherits `sorry` from, in the place of what was recorded
    /// before. Gives the targets whose readiness this may change.
    ///
    /// Uses alone cannot form a circle: all of them are taken from one state of the library, where a declaration names
    /// only what stands before it in its module or in a module that is imported, and imports are acyclic. With the book's
    /// edges they can, when a region has been moved against the book's order: `a` is proved from `b`, whose proof in the
    /// book needs `a`. Then Lean, which has checked the order that there is, knows better: the proof of `b` cannot
    /// use `a` any more, and the book's edge is dropped, for two targets that wait for each other would never be
    /// certified.
    pub fn set_uses(&mut self, ix: TargetIx, mut uses: Vec<TargetIx>) -> Vec<TargetIx> {
        uses.retain(|&used| used != ix);
        uses.sort_unstable();
        uses.dedup();
        if self.node(ix).uses == uses {
            return Vec::new();
        }
        // What it waits for may be another even when it goes on waiting.
        let mut touched = vec![ix];
        for below in std::mem::take(&mut self.node_mut(ix).uses) {
            let open = !self.node(below).certified;
            self.node_mut(ix).open_below -= u32::from(open);
            self.node_mut(below).users.retain(|&user| user != ix);
        }
        for &below in &uses {
            while let Some((from, to)) = self.books_edge_between(below, ix) {
                touched.extend(self.unlink(from, to));
            }
            let open = !self.node(below).certified;
            self.node_mut(ix).open_below += u32::from(open);
            self.node_mut(below).users.push(ix);
        }
        self.node_mut(ix).uses = uses;
        touched.extend(self.settle(ix));
        touched
    }

    /// An edge that only the book knows, on a way from `from` down to `to`, if there is such a way.
    fn books_edge_between(&self, from: TargetIx, to: TargetIx) -> Option<(TargetIx, TargetIx)> {
        let mut above: Vec<Option<TargetIx>> = vec![None; self.len()];
        let mut stack = vec![from];
        while let Some(at) = stack.pop() {
            for below in self.rests_on(at) {
                if above[below.index()].is_none() && below != from {
                    above[below.index()] = Some(at);
                    stack.push(below);
                }
            }
        }
        let mut below = to;
        while let Some(at) = above[below.index()] {
            if !self.node(at).uses.contains(&below) {
                return Some((at, below));
            }
            below = at;
        }
        None
    }

    /// Brings `certified` up to date after a change of `ix` and of all above that follow it. Gives those that changed.
    pub(super) fn settle(&mut self, ix: TargetIx) -> Vec<TargetIx> {
        let mut touched = Vec::new();
        let mut stack = vec![ix];
        while let Some(at) = stack.pop() {
            let node = self.node_mut(at);
            let certified = node.holding == Holding::Whole && node.open_below == 0;
            if node.certified == certified {
                continue;
            }
            node.certified = certified;
            touched.push(at);
            let node = self.node(at);
            let above: Vec<TargetIx> = node
                .statement_dependants
                .iter()
                .chain(&node.proof_dependants)
                .chain(&node.users)
                .copied()
                .collect();
            for &dependant in &above {
                let open = &mut self.node_mut(dependant).open_below;
                *open = if certified { open.saturating_sub(1) } else { *open + 1 };
            }
            // Those above show what they wait for.
            touched.extend(&above);
            stack.extend(above);
        }
        touched
    }
}
