//! Declarations that this crate knows, by the digest of everything that they are made of.
//!
//! A digest can be trusted to be the declaration that someone once looked at. What these are, and that the operations compute
//! as their names say, is tested in `tests/arithmetic.rs` against the declarations of a real Lean.

use crate::digest::Digest;

/// The standard axioms with `Eq`, `Iff`, `Nonempty`, `Quot` as they have been since Lean 4.0.
const AXIOMS: &[(&str, &str)] = &[];

/// Definitions of operations on numbers. One line a version of Lean that changed one of them.
const OPERATIONS: &[(&str, &str)] = &[];

fn has(table: &[(&str, &str)], name: &str, digest: &Digest) -> bool {
    let digest = digest.to_string();
    table.iter().any(|(n, d)| *n == name && *d == digest)
}

/// Is this the standard axiom of that name?
pub(crate) fn is_axiom(name: &str, digest: &Digest) -> bool {
    has(AXIOMS, name, digest)
}

/// Is this a known definition of the operation of that name?
pub(crate) fn is_operation(name: &str, digest: &Digest) -> bool {
    has(OPERATIONS, name, digest)
}
