//! The verifier as a process of its own; `atlas run` links the same service in.
fn main() {}
