//! Declarations that this crate knows, by the digest of everything that they are made of.
//!
//! A digest can be trusted to be the declaration that someone once looked at. What these are, and that the operations compute
//! as their names say, is tested in `tests/arithmetic.rs` against the declarations of a real Lean.

use crate::digest::Digest;

/// The standard axioms with `Eq`, `Iff`, `Nonempty`, `Quot` as Lean 4.28 has them.
const AXIOMS: &[(&str, &str)] = &[
    ("propext", "19437d88478733240ec375ad25af6dcad7adae40e3ca8d928ed3159c83b688d8"),
    ("Classical.choice", "02049bdd124cb84e0487231efcb6e4420dfe7006f116a239cca58918d8f00ff6"),
    ("Quot.sound", "961b1f0190a3ccc97a537a9db840dbe8df65cd75c4452a034ea835c0aec2b0be"),
];

/// Definitions of operations on numbers. One line a version of Lean that changed one of them.
const OPERATIONS: &[(&str, &str)] = &[
    // Lean 4.28
    ("Nat.div", "b4ce6e90f19d36323729788a80070bbe9fbf6a49d4997fd0b426e07b8712fd02"),
    ("Nat.mod", "582f742e4f0914728597bd4bb24d9a367e5a0cde7f4ee2bfb627f1e2cecb6b7a"),
    ("Nat.log2", "7bcdd511a6043310473331717d7d68cb43dd3eb35a0a48464cbdc4fdafafd113"),
];

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
