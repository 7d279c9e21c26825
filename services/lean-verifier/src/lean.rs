//! Lean behind slots: as many checks at once as there is room for, each within the verifier's limits, its receipts signed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_judge::SigningKey;
use atlas_lean::Toolchain;
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, LookupReply, LookupRequest, Outcome};
use tokio::sync::Semaphore;

/// Diagnostics that a reply carries at most; what a person or a model can use.
const MAX_DIAGNOSTICS: usize = 200;

/// The most that a check may take, whatever it asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub deadline: Duration,
    pub memory_bytes: u64,
}

/// A toolchain, its limits and the key that signs what it certifies.
pub(crate) struct Lean {
    toolchain: Arc<dyn Toolchain>,
    key: SigningKey,
    slots: Arc<Semaphore>,
    limits: Limits,
}

impl Lean {
    /// At most `concurrency` checks at once; none is 1.
    pub(crate) fn new(
        toolchain: Arc<dyn Toolchain>,
        key: SigningKey,
        concurrency: usize,
        limits: Limits,
    ) -> Self {
        Self { toolchain, key, slots: Arc::new(Semaphore::new(concurrency.max(1))), limits }
    }

    /// How verdicts name the toolchain.
    pub(crate) fn name(&self) -> String {
        self.toolchain.name()
    }

    /// Answers one check, whose modules have their sources, that was asked at `asked`. Whatever goes wrong outside of Lean is an
    /// environment fault, never a verdict on the content. `held` is let go when Lean is done, also when nobody waits for the answer any more.
    pub(crate) async fn check(
        &self,
        mut request: CheckRequest,
        asked: Instant,
        held: impl Send + 'static,
    ) -> CheckReply {
        let certified = request.level() == CheckLevel::Certified;
        let Limits { deadline, memory_bytes } = self.limits;
        request.deadline_ms =
            within(request.deadline_ms, u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX));
        request.memory_bytes = within(request.memory_bytes, memory_bytes);
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
            return fault("the verifier is shutting down".to_owned());
        };
        let queued = asked.elapsed();
        let toolchain = Arc::clone(&self.toolchain);
        let question = move || {
            let reply = toolchain.check(&request);
            drop((slot, held));
            reply
        };
        let mut reply = match tokio::task::spawn_blocking(question).await {
            Ok(reply) => reply,
            Err(error) => fault(format!("the check's thread died: {error}")),
        };
        self.sign(certified, &mut reply);
        reply.queue_ms = u32::try_from(queued.as_millis()).unwrap_or(u32::MAX);
        reply.diagnostics.truncate(MAX_DIAGNOSTICS);
        reply
    }

    /// Answers a look-up, whose modules have their sources.
    pub(crate) async fn lookup(&self, request: LookupRequest) -> LookupReply {
        let toolchain = Arc::clone(&self.toolchain);
        match tokio::task::spawn_blocking(move || toolchain.lookup(&request)).await {
            Ok(reply) => reply,
            Err(error) => {
                LookupReply { fault: format!("the look-up's thread died: {error}"), ..LookupReply::default() }
            }
        }
    }

    /// Signs what a certified verdict is told by. Nothing else leaves with a receipt.
    fn sign(&self, certified: bool, reply: &mut CheckReply) {
        let receipts = std::mem::take(&mut reply.receipts);
        if !certified || reply.outcome() != Outcome::Accepted {
            return;
        }
        for receipt in receipts {
            let module = receipt.module.clone();
            match self.key.sign_message(receipt) {
                Ok(signed) => reply.receipts.push(signed),
                Err(error) => {
                    *reply = fault(format!("the toolchain's receipt of {module} cannot be signed: {error}"));
                    return;
                }
            }
        }
    }
}

/// What was asked for, 0 being as much as there is, within `most`.
fn within<N: Ord + Default>(asked: N, most: N) -> N {
    if asked == N::default() { most } else { asked.min(most) }
}

/// A reply that says nothing about the content.
pub(crate) fn fault(why: String) -> CheckReply {
    CheckReply { outcome: Outcome::EnvironmentFault.into(), fault: why, ..CheckReply::default() }
}
