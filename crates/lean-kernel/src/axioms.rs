//! Which axioms a declaration rests on.
//!
//! An axiom counts if any term that a declaration is made of names it, or names a constant that rests on it. What a declaration of
//! a base rests on is computed once, when the base is made; so walking the new declarations is enough to walk everything.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::environment::{Axioms, Environment, Kind, Layer};
use crate::term::{ExprId, Map, NameId, Set, Terms};

/// The axioms of every declaration of a layer that stands on `below`.
pub(crate) fn of_layer(below: &Environment, layer: &Layer, terms: &Terms) -> Vec<Axioms> {
    let mut interned: Map<Vec<NameId>, Axioms> = Map::default();
    let mut found: Vec<Axioms> = Vec::with_capacity(layer.decls.len());
    let mut seen: Set<ExprId> = Set::default();
    for d in &layer.decls {
        let consts = &layer.consts[d.range()];
        let mut axioms: BTreeSet<NameId> =
            consts.iter().filter(|c| c.kind == Kind::Axiom).map(|c| c.name).collect();
        seen.clear();
        let mut named = terms.constants(consts.iter().flat_map(|c| c.exprs()), &mut seen);
        named.sort_unstable();
        named.dedup();
        // Most of what a declaration names rests on one of few sets.
        let mut last: Option<&Axioms> = None;
        for n in named {
            let of = match layer.by_name.get(&n) {
                // Declarations are in order, so what comes later is not there yet (and will be refused).
                Some(i) => {
                    layer.consts.get(*i as usize).and_then(|c| found.get((c.decl - layer.first) as usize))
                }
                None => below.find(n).and_then(|c| below.axioms_of(c.decl)),
            };
            if let Some(of) = of
                && !last.is_some_and(|l| Arc::ptr_eq(l, of))
            {
                axioms.extend(of.iter().copied());
                last = Some(of);
            }
        }
        let axioms: Vec<NameId> = axioms.into_iter().collect();
        found.push(Arc::clone(interned.entry(axioms).or_insert_with_key(|k| Arc::from(k.as_slice()))));
    }
    found
}
