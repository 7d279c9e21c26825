//! The certified verdict: everything that decides whether a module may land, and the record that is kept of it. To be read in one
//! sitting, in this order:
//!
//! ```text
//! judge.rs       a module's declarations, as text, are read over what has been certified: what is refused, the second kernel's word
//! library.rs       where the library ends and the toolchain begins
//! facts.rs         what the terms say of each declaration …
//! statement.rs       … its statement's hash
//! foundation.rs      … the axioms behind it, and whose `sorry`
//! names.rs           … and what it is called
//! kernels.rs     Lean's kernel and ours: both accept, or it does not pass; a contradiction is an incident
//! gate.rs        what the request expects: frozen statements, no `sorry` but that of stated targets
//! tags/          what was noticed of declarations that no kernel refuses, for reviewers
//! outline.rs     what has changed since a statement was frozen, in words
//! receipt.rs     what a receipt says; its file (JSON) and its message (proto)
//! canonical.rs     the bytes that are signed
//! signing.rs       the private key, made on first use
//! ring.rs        public keys, those that sign no more among them
//! verify.rs      whether a receipt holds, anywhere, without Lean and without the network: signature, then policy
//! ```
//!
//! It elaborates nothing, runs no Lean and does no I/O but for keys: `crates/lean` gives it the text that left a guest, and `docs/architecture.md`
//! follows one theorem through both.

mod canonical;
mod facts;
mod foundation;
mod gate;
mod judge;
mod kernels;
mod library;
mod names;
mod outline;
mod receipt;
mod ring;
mod signing;
mod statement;
mod verify;

pub mod tags;

pub use facts::{Facts, LibraryFacts};
pub use gate::{Checked, Reason, allowed_axioms, gate};
pub use judge::{Bound, Fetch, Ground, Groundless, JUDGE, Judge, Judged, KERNEL, Refusal, Wanted};
pub use kernels::{Settled, Spoken, Word, settle};
pub use library::{Kind, TOOLCHAIN_AXIOMS, TooLarge};
pub use names::{is_auxiliary_text, text as name_text};
pub use outline::{Outline, Said};
pub use receipt::{AXIOMS, Certified, Import, KERNELS, KernelVerdict, Malformed, Receipt, SORRY, VERSION};
pub use ring::{KeyRing, PublicKey, RING_FILE, RingKey};
pub use signing::{KeyError, SIGNING_FILE, SigningKey};
pub use verify::{Invalid, Policy, Stale, verify, verify_signature};
