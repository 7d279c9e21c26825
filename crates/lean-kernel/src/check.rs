//! Checking a set of declarations on one or more threads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::axioms;
use crate::checker::Checker;
use crate::declarations::Declarations;
use crate::environment::{Axioms, Environment, Kind};
use crate::fault::{Fault, Rule};
use crate::known::{OPS, Op, OpSet};
use crate::limits::{Limit, Limits};
use crate::pinned;
use crate::policy::{AllowedAxioms, Policy, STANDARD_AXIOMS};
use crate::rules::check_declaration;
use crate::term::{NameId, Set, Terms};
use crate::verdict::{Accepted, Certified, Rejected, Stands, Undecided, Verdict, undecided};
use crate::{closure, stack};

/// Everything that was found out about a set of declarations.
#[derive(Clone, Debug)]
pub struct Report {
    /// Number of declarations.
    pub declarations: usize,
    /// What is wrong, in order of the declarations. A declaration may appear twice: once for its axioms.
    pub rejected: Vec<Rejected>,
    /// What is undecided, in order.
    pub undecided: Vec<Undecided>,
    accepted: Option<Accepted>,
}

impl Report {
    /// The answer: the first thing that is wrong, else the first that is undecided, else a pass.
    pub fn verdict(self) -> Verdict {
        if let Some(r) = self.rejected.into_iter().next() {
            Verdict::Rejected(r)
        } else if let Some(u) = self.undecided.into_iter().next() {
            Verdict::Undecided(u)
        } else if let Some(a) = self.accepted {
            Verdict::Accepted(a)
        } else {
            undecided(String::new(), Limit::Fault)
        }
    }

    /// Declarations that nothing was found against.
    pub fn sound(&self) -> usize {
        let bad: BTreeSet<&String> = self
            .rejected
            .iter()
            .map(|r| &r.declaration)
            .chain(self.undecided.iter().map(|u| &u.declaration))
            .collect();
        self.declarations - bad.len()
    }
}

/// Checks `declarations`, made of ids of `terms`, on top of their base, and stops at the first that is wrong.
///
/// Each declaration is checked on the assumption that those before it and the base are right, so all of them are if the verdict is
/// [`Verdict::Accepted`]. Blocks the calling thread; the work is done on threads with stacks of their own. A panic of the
/// checker is an [`Verdict::Undecided`] with [`Limit::Fault`].
pub fn check(terms: &mut Terms, declarations: &Declarations, policy: &Policy, limits: &Limits) -> Verdict {
    Check::new(terms, declarations, policy, limits).run(true).verdict()
}

/// Like [`check`], but goes on to the end and reports everything: for libraries.
pub fn examine(terms: &mut Terms, declarations: &Declarations, policy: &Policy, limits: &Limits) -> Report {
    Check::new(terms, declarations, policy, limits).run(false)
}

struct Check<'c> {
    terms: &'c mut Terms,
    declarations: &'c Declarations,
    policy: &'c Policy,
    limits: &'c Limits,
}

/// A declaration's number and what is wrong with it.
type Found = (u32, Fault);

impl<'c> Check<'c> {
    fn new(
        terms: &'c mut Terms,
        declarations: &'c Declarations,
        policy: &'c Policy,
        limits: &'c Limits,
    ) -> Check<'c> {
        Check { terms, declarations, policy, limits }
    }

    fn run(mut self, stop_early: bool) -> Report {
        let n = self.declarations.len();
        let nothing = Report { declarations: n, rejected: vec![], undecided: vec![], accepted: None };
        if self.terms.base != self.declarations.over || self.terms.overrun().is_some() {
            // A caller's mistake, or terms that were cut short. No verdict.
            return nothing;
        }
        let mut layer = self.declarations.layer.clone();
        layer.axioms = axioms::of_layer(&self.declarations.base, &layer, self.terms);
        let mut found = self.forbidden(&layer.axioms);
        let axioms = layer.axioms.clone();
        let ops = self.ops();
        let mut environment = self.declarations.base.clone();
        environment.push(Arc::new(layer));
        let tables = self.terms.freeze();
        if found.is_empty() || !stop_early {
            let work = Work {
                first: self.declarations.layer.first,
                end: environment.len(),
                stop_early,
                steps: AtomicU64::new(self.limits.total_steps),
                limits: self.limits,
                environment: &environment,
            };
            let make = || Checker::new(tables.clone(), self.terms.known, &environment, ops, self.limits);
            found.extend(work.run(make));
        }
        found.sort_by_key(|f| f.0);
        let mut report = nothing;
        for (k, fault) in found {
            let declaration = environment.show(self.terms, k);
            match fault {
                Fault::Wrong(rule, reason) => report.rejected.push(Rejected { declaration, rule, reason }),
                Fault::Limit(limit) => report.undecided.push(Undecided { declaration, limit }),
            }
        }
        if report.rejected.is_empty() && report.undecided.is_empty() {
            let first = self.declarations.layer.first;
            let stands = axioms.iter().zip(first..).map(|(a, k)| Stands {
                name: environment.show(self.terms, k),
                axioms: a.iter().map(|n| self.terms.show(*n)).collect(),
            });
            report.accepted = Some(Accepted {
                declarations: stands.collect(),
                certified: Certified { over: self.terms.base, tables, environment, ops },
            });
        }
        report
    }

    /// What the policy has against the declarations.
    fn forbidden(&mut self, axioms: &[Axioms]) -> Vec<Found> {
        let AllowedAxioms::Listed(listed) = &self.policy.axioms else { return self.look_alikes() };
        let allowed: Set<NameId> = listed.iter().map(|n| self.terms.path(n)).collect();
        let stated: Set<NameId> = self.policy.stated.iter().map(|n| self.terms.path(n)).collect();
        let sorry = self.terms.known.sorry;
        let mut found = self.look_alikes();
        let layer = &self.declarations.layer;
        for ((k, d), axioms) in (layer.first..).zip(&layer.decls).zip(axioms) {
            let named = || layer.consts[d.range()].iter().any(|c| stated.contains(&c.name));
            let bad = axioms.iter().find(|a| !(allowed.contains(*a) || (**a == sorry && named())));
            if let Some(a) = bad {
                let reason = format!("it rests on the axiom {}, which is not allowed", self.terms.show(*a));
                found.push((k, Fault::Wrong(Rule::Axiom, reason)));
            }
        }
        found
    }

    /// Axioms that have the name of a standard one and say something else.
    fn look_alikes(&mut self) -> Vec<Found> {
        let standard: Vec<NameId> = STANDARD_AXIOMS.iter().map(|n| self.terms.path(n)).collect();
        let layer = &self.declarations.layer;
        let mut found = Vec::new();
        for c in layer.consts.iter().filter(|c| c.kind == Kind::Axiom && standard.contains(&c.name)) {
            let digest = closure::digest(self.terms, self.declarations, c.name);
            if !pinned::is_axiom(&self.terms.show(c.name), &digest) {
                let reason = "an axiom with a standard name that does not say what it always says";
                found.push((c.decl, Fault::Wrong(Rule::Axiom, reason.to_owned())));
            }
        }
        found
    }

    /// Operations on numbers that may be computed: those of the base, and here those that are refused unless their equations
    /// hold, and those whose definitions are known.
    fn ops(&mut self) -> OpSet {
        let mut ops = self.declarations.ops;
        for (op, path) in OPS {
            let name = self.terms.path(path);
            let Some(c) = self.declarations.layer.find(name) else { continue };
            let is_def = matches!(c.kind, Kind::Def { .. });
            let known = match op {
                Op::Add | Op::Sub | Op::Mul | Op::Pow | Op::Beq | Op::Ble | Op::Shl => is_def,
                Op::Div | Op::Mod | Op::Log2 => {
                    is_def
                        && pinned::is_operation(path, &closure::digest(self.terms, self.declarations, name))
                }
                Op::Shr | Op::Gcd | Op::Land | Op::Lor | Op::Xor => false,
            };
            if known || self.policy.trust_arithmetic {
                ops.insert(op);
            }
            // Its equation speaks of division.
            if op == Op::Shr && is_def {
                let div = self.terms.path("Nat.div");
                let pinned = self.declarations.layer.find(div).is_some()
                    && pinned::is_operation("Nat.div", &closure::digest(self.terms, self.declarations, div));
                if pinned || (self.declarations.ops.contains(Op::Div)) {
                    ops.insert(op);
                }
            }
        }
        ops
    }
}

/// The declarations that are still to be checked.
struct Work<'w> {
    first: u32,
    end: u32,
    stop_early: bool,
    /// Steps left for all of them.
    steps: AtomicU64,
    limits: &'w Limits,
    environment: &'w Environment,
}

impl Work<'_> {
    fn run<'a>(&self, make: impl Fn() -> Checker<'a> + Sync) -> Vec<Found> {
        let next = AtomicU32::new(self.first);
        // The first declaration that is known to be wrong: those after it need no check.
        let wrong = AtomicU32::new(u32::MAX);
        let done = AtomicU32::new(0);
        let threads = (self.limits.threads.get() as u32).min(self.end - self.first).max(1);
        let worker = || {
            let mut ck = make();
            let mut found = Vec::new();
            loop {
                let k = next.fetch_add(1, Ordering::Relaxed);
                if k >= self.end {
                    return found;
                }
                if self.stop_early && k > wrong.load(Ordering::Relaxed) {
                    done.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let steps = self.limits.steps.min(self.steps.load(Ordering::Relaxed));
                let result = check_declaration(&mut ck, self.environment, k, steps);
                let used = steps - ck.t.steps_left();
                let _ = self
                    .steps
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |s| Some(s.saturating_sub(used)));
                if let Err(fault) = result {
                    if matches!(fault, Fault::Wrong(..)) {
                        wrong.fetch_min(k, Ordering::Relaxed);
                    }
                    found.push((k, fault));
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        let results = stack::run_all(self.limits, (0..threads).map(|_| &worker));
        let crashed = results.iter().any(Option::is_none);
        let mut found: Vec<Found> = results.into_iter().flatten().flatten().collect();
        // What a thread that panicked had found is lost, and its last declaration has no verdict: none may pass.
        if crashed || done.load(Ordering::Relaxed) != self.end - self.first {
            found.push((self.first, Fault::Limit(Limit::Fault)));
        }
        found
    }
}
