//! Runs checks on threads of their own, as many at once as there is room for, certifications first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_bus::Bus;
use atlas_judge::SigningKey;
use atlas_lean::Toolchain;
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, LookupReply, LookupRequest, ModuleSource, Outcome};
use tokio::sync::Semaphore;

use crate::status::Counters;

/// Diagnostics that a reply carries at most; what a person or a model can use.
const MAX_DIAGNOSTICS: usize = 200;

pub(crate) struct Pool {
    toolchain: Arc<dyn Toolchain>,
    bus: Bus,
    key: SigningKey,
    slots: Semaphore,
    counters: Arc<Counters>,
    limits: Limits,
}

/// The most that a check may take, whatever it asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub deadline: Duration,
    pub memory_bytes: u64,
}

impl Pool {
    pub(crate) fn new(
        toolchain: Arc<dyn Toolchain>,
        bus: Bus,
        key: SigningKey,
        concurrency: usize,
        counters: Arc<Counters>,
        limits: Limits,
    ) -> Self {
        Self { toolchain, bus, key, slots: Semaphore::new(concurrency.max(1)), counters, limits }
    }

    /// Answers one check. Whatever goes wrong outside of Lean is an environment fault, never a verdict on the content.
    pub(crate) async fn check(&self, mut request: CheckRequest) -> CheckReply {
        let asked = Instant::now();
        let id = request.id.clone();
        let certified = request.level() == CheckLevel::Certified;
        let _waiting = self.counters.waiting(certified);
        let Limits { deadline, memory_bytes } = self.limits;
        request.deadline_ms =
            within(request.deadline_ms, u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX));
        request.memory_bytes = within(request.memory_bytes, memory_bytes);
        let mut reply = match self.fetch(&mut request.modules).await {
            Ok(()) => self.run(request, asked).await,
            Err(why) => fault(why),
        };
        self.sign(certified, &mut reply);
        reply.id = id;
        reply.diagnostics.truncate(MAX_DIAGNOSTICS);
        self.counters.answered(certified, &reply);
        reply
    }

    async fn run(&self, request: CheckRequest, asked: Instant) -> CheckReply {
        // The semaphore is never closed.
        let Ok(_slot) = self.slots.acquire().await else {
            return fault("the verifier is shutting down".to_owned());
        };
        let queued = asked.elapsed();
        let toolchain = Arc::clone(&self.toolchain);
        let mut reply = match tokio::task::spawn_blocking(move || toolchain.check(&request)).await {
            Ok(reply) => reply,
            Err(error) => fault(format!("the check's thread died: {error}")),
        };
        reply.queue_ms = u32::try_from(queued.as_millis()).unwrap_or(u32::MAX);
        reply
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

    pub(crate) async fn lookup(&self, mut request: LookupRequest) -> LookupReply {
        if let Err(fault) = self.fetch(&mut request.modules).await {
            return LookupReply { fault, ..LookupReply::default() };
        }
        let toolchain = Arc::clone(&self.toolchain);
        match tokio::task::spawn_blocking(move || toolchain.lookup(&request)).await {
            Ok(reply) => reply,
            Err(error) => {
                LookupReply { fault: format!("the look-up's thread died: {error}"), ..LookupReply::default() }
            }
        }
    }

    /// Fetches the sources that are named by digest only.
    async fn fetch(&self, modules: &mut [ModuleSource]) -> Result<(), String> {
        for module in modules.iter_mut().filter(|module| module.source.is_none()) {
            let bytes = self
                .bus
                .file(&module.sha256)
                .await
                .map_err(|error| format!("the source of {} cannot be had: {error}", module.name))?;
            module.source = Some(bytes.to_vec());
        }
        Ok(())
    }
}

/// What was asked for, 0 being as much as there is, within `most`.
fn within<N: Ord + Default>(asked: N, most: N) -> N {
    if asked == N::default() { most } else { asked.min(most) }
}

fn fault(why: String) -> CheckReply {
    CheckReply { outcome: Outcome::EnvironmentFault.into(), fault: why, ..CheckReply::default() }
}
