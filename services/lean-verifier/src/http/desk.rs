//! Where checks that came over HTTP are taken on, wait for their turn and are counted.

use std::sync::Arc;
use std::time::Instant;

use atlas_proto::{CheckLevel, CheckReply, CheckRequest};
use atlas_telemetry::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio_util::sync::CancellationToken;

use super::clients::{Admission, Client, Clients, Reason, Refusal};
use crate::lean::Lean;
use crate::status::CheckMetrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    path: String,
    status: u16,
}

/// Lean and who may ask it.
pub(super) struct Desk {
    pub(super) lean: Lean,
    pub(super) clients: Arc<Clients>,
    pub(super) stopping: CancellationToken,
    checks: CheckMetrics,
    refused: Family<Refused, Counter>,
    requests: Family<Answered, Counter>,
}

/// A check that was taken on.
pub(super) struct Taken {
    admission: Admission,
    asked: Instant,
    _waiting: Waiting,
}

struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Desk {
    pub(super) fn new(lean: Lean, clients: Clients, metrics: &Metrics, stopping: CancellationToken) -> Self {
        Self {
            lean,
            clients: Arc::new(clients),
            stopping,
            checks: CheckMetrics::new(metrics),
            refused: metrics.register("checks_refused", "Checks that were not taken on, by reason"),
            requests: metrics.register("http_requests", "Requests answered over HTTP, by path and status"),
        }
    }

    /// Takes a check on: from now it counts as open.
    pub(super) fn take(&self, client: Client) -> Result<Taken, Refusal> {
        let asked = Instant::now();
        let admitted = match self.stopping.is_cancelled() {
            true => Err(Refusal { reason: Reason::Stopping, again: std::time::Duration::from_secs(5) }),
            false => self.clients.admit(client, asked),
        };
        match admitted {
            Ok(admission) => {
                self.checks.waiting.inc();
                Ok(Taken { admission, asked, _waiting: Waiting(self.checks.waiting.clone()) })
            }
            Err(refusal) => {
                let reason = match refusal.reason {
                    Reason::ClientOpen => "client-open",
                    Reason::ClientRate => "client-rate",
                    Reason::Full => "full",
                    Reason::Stopping => "stopping",
                };
                self.refused.get_or_create(&Refused { reason: reason.to_owned() }).inc();
                Err(refusal)
            }
        }
    }

    /// Answers a check. A future that is dropped before Lean has begun asks Lean nothing.
    pub(super) async fn answer(&self, taken: Taken, request: CheckRequest) -> CheckReply {
        let certified = request.level() == CheckLevel::Certified;
        let slots = Arc::clone(&taken.admission.slots);
        // The client's own slot first: of each client only so many stand in line with everybody's. It is never closed.
        let share = slots.acquire_owned().await.ok();
        let asked = taken.asked;
        let reply = self.lean.check(request, asked, (share, taken)).await;
        self.checks.answered(certified, &reply);
        reply
    }

    /// Counts an answered request.
    pub(super) fn answered(&self, path: &'static str, status: u16) {
        self.requests.get_or_create(&Answered { path: path.to_owned(), status }).inc();
    }
}
