//! The service: options in, checks answered until shutdown.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atlas_bus::{Bus, ServeLimit, Work};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_judge::{KeyError, SigningKey};
use atlas_lean::Toolchain;
use atlas_proto::letter::Letter as Kind;
use atlas_proto::{CheckReply, CheckRequest, Letter, LookupReply, LookupRequest};
use atlas_telemetry::{Metrics, Readiness};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::lean::{Lean, Limits};
use crate::pool::Pool;
use crate::smoke::smoke_test;
use crate::status::Counters;

/// Name of the service's status documents, one a process.
pub const STATUS: &str = "verifier";
/// Subject of checks.
const CHECK: &str = "atlas.check";
/// Subject of look-ups.
const LOOKUP: &str = "atlas.lookup";
/// The queue group that shares requests, and the work queue of certifications.
const GROUP: &str = "lean-verifier";
const CERTIFY: &str = "certify";
/// How long a worker leaves a certification alone that it could not answer.
const AGAIN: Duration = Duration::from_secs(2);

/// What a verifier needs to know of its run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The run whose certifications it answers.
    pub run: RunId,
    /// Name of this process among the run's verifiers.
    pub host: String,
    /// Checks in Lean at once; about one per core.
    pub concurrency: usize,
    /// Checks that may wait beyond those; further askers are told to come back.
    #[serde(default = "default_waiting")]
    pub waiting: usize,
    /// Milliseconds that a check may take, whatever it asks for.
    #[serde(default = "default_deadline_ms")]
    pub deadline_ms: u64,
    /// Bytes of memory that a check may take, whatever it asks for.
    #[serde(default = "default_memory_bytes")]
    pub memory_bytes: u64,
    /// The folder of the key that signs receipts, made on first use: `signing-key.pem` (PKCS#8, Ed25519, mode 0600) and beside it
    /// `keys.json`, the public keys that sign and have signed. The private key goes nowhere else.
    pub receipt_keys: PathBuf,
    /// The process's metrics.
    #[serde(skip)]
    pub metrics: Metrics,
    /// What the process waits for before it is ready.
    #[serde(skip)]
    pub readiness: Readiness,
}

fn default_waiting() -> usize {
    256
}

fn default_deadline_ms() -> u64 {
    120_000
}

fn default_memory_bytes() -> u64 {
    1 << 30
}

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment does not tell true from false.
    #[error("the Lean environment failed its smoke test: {0}; run `scripts/setup lean` to prepare it again")]
    Smoke(String),
    /// There is no key to sign receipts with.
    #[error("receipts cannot be signed: {0}")]
    Key(#[from] KeyError),
    /// NATS cannot be used.
    #[error(transparent)]
    Bus(#[from] atlas_bus::Error),
}

/// Serves checks by `toolchain` until `shutdown`.
///
/// # Errors
/// [`Error::Key`], [`Error::Smoke`] before anything is served; [`Error::Bus`] when a subject or queue cannot be had.
pub async fn run(
    options: Options,
    toolchain: Arc<dyn Toolchain>,
    bus: Bus,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    options.readiness.waiting(STATUS, "the smoke test of Lean has not ended");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let key = SigningKey::open_or_make(&options.receipt_keys, now_ms)?;
    let name = toolchain.name();
    let tested = Arc::clone(&toolchain);
    let smoke = tokio::task::spawn_blocking(move || smoke_test(&*tested));
    match smoke.await {
        Ok(Ok(())) => tracing::info!(toolchain = name, "Lean is ready"),
        Ok(Err(why)) => return Err(Error::Smoke(why)),
        Err(error) => return Err(Error::Smoke(format!("its thread died: {error}"))),
    }
    let counters = Arc::new(Counters::new(
        bus.process_status(&options.run, STATUS, &options.host),
        &options.metrics,
        name,
    ));
    let limits =
        Limits { deadline: Duration::from_millis(options.deadline_ms), memory_bytes: options.memory_bytes };
    let lean = Lean::new(toolchain, key, options.concurrency, limits);
    let pool = Arc::new(Pool::new(lean, bus.clone(), Arc::clone(&counters)));
    options.readiness.ready(STATUS);

    let limit = ServeLimit { concurrency: options.concurrency.max(1), waiting: options.waiting };
    let (checks, lookups) = (Arc::clone(&pool), Arc::clone(&pool));
    let serve = async {
        tokio::try_join!(
            bus.serve::<CheckRequest, CheckReply, _, _>(
                CHECK,
                GROUP,
                limit,
                move |asked| {
                    let pool = Arc::clone(&checks);
                    async move { Ok(pool.check(asked.message).await) }
                },
                shutdown.clone(),
            ),
            bus.serve::<LookupRequest, LookupReply, _, _>(
                LOOKUP,
                GROUP,
                limit,
                move |asked| {
                    let pool = Arc::clone(&lookups);
                    async move { Ok(pool.lookup(asked.message).await) }
                },
                shutdown.clone(),
            ),
            certify(&options, &bus, pool, shutdown.clone()),
        )
    };
    tokio::select! {
        served = serve => served.map(drop)?,
        () = counters.follow_rate() => {}
    }
    Ok(())
}

/// Takes certifications from the work queue; a verdict is with the merge queue before its work is acknowledged.
async fn certify(
    options: &Options,
    bus: &Bus,
    pool: Arc<Pool>,
    shutdown: CancellationToken,
) -> Result<(), atlas_bus::Error> {
    let mut queue = bus.work::<CheckRequest>(&options.run, CERTIFY, options.concurrency.max(1)).await?;
    let merge = ActorId::singleton(&options.run, ActorKind::Merge);
    let mut tasks = JoinSet::new();
    loop {
        let work = tokio::select! {
            work = queue.next() => work,
            Some(_) = tasks.join_next() => continue,
            () = shutdown.cancelled() => None,
        };
        let Some(work) = work else { break };
        let span = tracing::info_span!("certify", otel.kind = "consumer", id = work.id);
        let span = atlas_telemetry::trace::with_parent(&work.traceparent, span);
        tasks.spawn(answer(work, bus.clone(), merge.clone(), Arc::clone(&pool)).instrument(span));
    }
    // Certifications under way are dropped: unacknowledged, they are delivered again.
    tasks.shutdown().await;
    Ok(())
}

async fn answer(work: Work<CheckRequest>, bus: Bus, merge: ActorId, pool: Arc<Pool>) {
    let _alive = work.keep_alive();
    let id = work.message.id.clone();
    let reply = pool.check(work.message.clone()).await;
    let letter = Letter { letter: Some(Kind::CheckReply(reply)) };
    if let Err(error) = bus.send(&merge, letter, &format!("certify:{id}")).await {
        tracing::warn!(id, %error, "a verdict could not be sent; the certification will be done again");
        work.retry(AGAIN).await;
        return;
    }
    if let Err(error) = work.ack().await {
        tracing::debug!(id, %error, "a certification may be delivered again; its verdict is known by its id");
    }
}
