//! Answers what comes over NATS: fetches the sources that a question only names, asks Lean, counts.

use std::sync::Arc;
use std::time::Instant;

use atlas_bus::Bus;
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, LookupReply, LookupRequest, ModuleSource};

use crate::lean::{Lean, fault};
use crate::status::Counters;

pub(crate) struct Pool {
    lean: Lean,
    bus: Bus,
    counters: Arc<Counters>,
}

impl Pool {
    pub(crate) fn new(lean: Lean, bus: Bus, counters: Arc<Counters>) -> Self {
        Self { lean, bus, counters }
    }

    /// Answers one check.
    pub(crate) async fn check(&self, mut request: CheckRequest) -> CheckReply {
        let asked = Instant::now();
        let id = request.id.clone();
        let certified = request.level() == CheckLevel::Certified;
        let _waiting = self.counters.waiting(certified);
        let mut reply = match self.fetch(&mut request.modules).await {
            Ok(()) => self.lean.check(request, asked, ()).await,
            Err(why) => fault(why),
        };
        reply.id = id;
        self.counters.answered(certified, &reply);
        reply
    }

    pub(crate) async fn lookup(&self, mut request: LookupRequest) -> LookupReply {
        match self.fetch(&mut request.modules).await {
            Ok(()) => self.lean.lookup(request).await,
            Err(fault) => LookupReply { fault, ..LookupReply::default() },
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
