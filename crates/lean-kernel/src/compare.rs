//! Is what was proved what was asked? Comparing a declaration of two sets as terms, with everything that it rests on.

use serde::Serialize;

use crate::closure::{meaning, walk};
use crate::declarations::Declarations;
use crate::environment::{Const, Kind};
use crate::term::{NameId, Terms};

/// How two sets differ about a constant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// The challenge does not declare what is to be compared.
    NotAsked,
    /// The solution does not declare it.
    Missing,
    /// One declares it, the other does not.
    OnlyOne,
    /// Axiom, definition, theorem, …
    Kind,
    /// Universe parameters.
    UniverseParameters,
    /// The type; of a theorem the statement.
    Type,
    /// The value.
    Value,
    /// Parameters, constructors, flags or rules of an inductive block.
    Block,
}

/// The first difference.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, thiserror::Error)]
#[error("{constant}: {aspect:?} differs")]
pub struct Difference {
    /// The constant that differs, by full name.
    pub constant: String,
    /// In what.
    pub aspect: Aspect,
}

/// Does the solution's declaration `name` state what the challenge's does? Both sets are over one base and made of ids of `terms`.
///
/// A theorem must have the same universe parameters and statement, anything else must be the same altogether; and so must every
/// constant in the closure of that ([`closure`](crate::closure)), and the constants that the kernel treats specially: literals and
/// arithmetic mean something without naming them. Names and kinds of bound variables, proofs, and hints about unfolding do not count.
///
/// # Errors
/// The first [`Difference`], in the order in which the challenge reaches constants.
pub fn compare(
    terms: &Terms,
    challenge: &Declarations,
    solution: &Declarations,
    name: NameId,
) -> Result<(), Difference> {
    let differ = |n: NameId, aspect| Err(Difference { constant: terms.show(n), aspect });
    if challenge.find(name).is_none() {
        return differ(name, Aspect::NotAsked);
    }
    if solution.find(name).is_none() {
        return differ(name, Aspect::Missing);
    }
    let mut roots = vec![name];
    roots.extend(terms.known.special());
    // What is in the base is the same for both: a set cannot declare it anew.
    let own = |c: &Const| challenge.declares(c.name);
    for n in walk(terms, challenge, &roots, &own) {
        match (challenge.find(n), solution.find(n)) {
            (None, None) => {}
            (Some(a), Some(b)) => {
                if let Some(aspect) = difference(a, b) {
                    return differ(n, aspect);
                }
            }
            (None, Some(_)) | (Some(_), None) => return differ(n, Aspect::OnlyOne),
        }
    }
    Ok(())
}

fn difference(a: &Const, b: &Const) -> Option<Aspect> {
    if std::mem::discriminant(&a.kind) != std::mem::discriminant(&b.kind) {
        return Some(Aspect::Kind);
    }
    if a.params != b.params {
        return Some(Aspect::UniverseParameters);
    }
    if a.ty != b.ty {
        return Some(Aspect::Type);
    }
    match (&a.kind, &b.kind) {
        (Kind::Def { .. } | Kind::Opaque { .. }, _) => (meaning(a) != meaning(b)).then_some(Aspect::Value),
        (Kind::Axiom | Kind::Given | Kind::Thm { .. }, _) => None,
        (x, y) => (x != y).then_some(Aspect::Block),
    }
}
