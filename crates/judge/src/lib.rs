//! What is kept of a certified verdict: the [`Receipt`] of a module, signed by the verifier that judged it, to be verified
//! by anybody, anywhere, without Lean and without the network.
//!
//! ```text
//! receipt.rs    what a receipt says; its file (JSON) and its message (proto)
//! canonical.rs  the bytes that are signed
//! signing.rs    the private key, made on first use
//! ring.rs       public keys, those that sign no more among them
//! verify.rs     whether a receipt holds: signature, then policy
//! tags/         what was noticed of declarations that no kernel refuses
//! ```

mod canonical;
mod receipt;
mod ring;
mod signing;
mod verify;

pub mod tags;

pub use receipt::{AXIOMS, Certified, Import, KERNELS, KernelVerdict, Malformed, Receipt, SORRY, VERSION};
pub use ring::{KeyRing, PublicKey, RING_FILE, RingKey};
pub use signing::{KeyError, SIGNING_FILE, SigningKey};
pub use verify::{Invalid, Policy, Stale, verify, verify_signature};
