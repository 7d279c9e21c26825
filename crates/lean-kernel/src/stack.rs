//! Threads with stacks that are big enough for the limits.

use std::thread::{Builder, scope};

use crate::limits::Limits;

/// Runs the closures, each on a thread of its own. `None`: it panicked, or there was no memory for its stack.
pub(crate) fn run_all<T: Send, F: FnOnce() -> T + Send>(
    limits: &Limits,
    work: impl IntoIterator<Item = F>,
) -> Vec<Option<T>> {
    scope(|s| {
        let threads: Vec<_> = work
            .into_iter()
            .map(|f| Builder::new().name("kernel".into()).stack_size(limits.stack_bytes()).spawn_scoped(s, f))
            .collect();
        threads.into_iter().map(|t| t.ok().and_then(|t| t.join().ok())).collect()
    })
}

/// Runs one closure on a thread of its own.
pub(crate) fn run<T: Send>(limits: &Limits, f: impl FnOnce() -> T + Send) -> Option<T> {
    run_all(limits, [f]).pop().flatten()
}
