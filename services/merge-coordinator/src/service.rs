//! The service: options in, the merge queue of one run hosted until shutdown.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use atlas_actor::{HostOptions, Journaled};
use atlas_bus::{Bus, StatusWriter};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_judge::KeyError;
use atlas_library::{Repository, RepositoryError};
use atlas_telemetry::{Metrics, Readiness};
use parking_lot::Mutex;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::host::MergeExecutor;
use crate::machine::{MergeQueue, Policy, ReceiptCounts, View};
use crate::receipts::Keys;
use crate::tree::Trees;

/// Name of the service's status document.
pub const STATUS: &str = "merge";

/// What a merge coordinator needs to know of its run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The run.
    pub run: RunId,
    /// Name of this process among the run's hosts, for leases and logs.
    pub host: String,
    /// The library's root module.
    pub package: String,
    /// The bare repository; made when it is not there.
    pub repository: PathBuf,
    /// Fewest submissions that are speculated on at once.
    #[serde(default = "default_window_min")]
    pub window_min: u32,
    /// Most submissions that are speculated on at once.
    #[serde(default = "default_window_max")]
    pub window_max: u32,
    /// Seconds that a certification may stay without an answer.
    #[serde(default = "default_patience_s")]
    pub patience_s: u64,
    /// The public keys (a key ring's file) of the verifiers whose receipts count: a verdict with a receipt of another key, or one that was
    /// changed, is no verdict. Without a ring signatures are left to those who read the receipts.
    #[serde(default)]
    pub receipt_keys: Option<PathBuf>,
    /// What certified verdicts must be made with. Modules of `main` with receipts of another policy are certified again.
    #[serde(default)]
    pub policy: Policy,
    /// The process's metrics.
    #[serde(skip)]
    pub metrics: Metrics,
    /// What the process waits for before it is ready.
    #[serde(skip)]
    pub readiness: Readiness,
}

fn default_window_min() -> u32 {
    2
}

fn default_window_max() -> u32 {
    20
}

fn default_patience_s() -> u64 {
    1_800
}

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository cannot be opened or made.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The key ring cannot be read.
    #[error("the keys of receipts cannot be had: {0}")]
    Keys(#[from] KeyError),
    /// The policy allows what no judge does.
    #[error(
        "the policy allows the axiom `{0}`; a library may rest on `propext`, `Classical.choice` and `Quot.sound` only"
    )]
    Axiom(String),
    /// The repository has not what the journal says has landed.
    #[error(
        "the library's repository {} is not what the merge queue's journal says: {cause}; with the run stopped, `atlas repair` builds it anew from the journal",
        repository.display()
    )]
    Damaged {
        /// The repository.
        repository: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The journal of the merge queue cannot be read.
    #[error(transparent)]
    Journal(atlas_actor::Error),
    /// The host of the merge queue failed.
    #[error(transparent)]
    Host(#[from] atlas_actor::Error),
}

/// Hosts the merge queue of `options.run` until `shutdown`.
///
/// # Errors
/// [`Error`]: the policy cannot be met, the repository or the host of the queue failed.
pub async fn run(options: Options, bus: Bus, shutdown: CancellationToken) -> Result<(), Error> {
    let unknown = |axiom: &&String| !atlas_judge::AXIOMS.contains(&axiom.as_str());
    if let Some(axiom) = options.policy.axioms.iter().find(unknown) {
        return Err(Error::Axiom(axiom.clone()));
    }
    options.readiness.waiting(STATUS, "the repository is not open yet");
    let repository = Repository::open_or_init(&options.repository)?;
    is_whole(&bus, &options.run, &repository).await?;
    let keys = options.receipt_keys.map(Keys::open).transpose()?;
    options.readiness.ready(STATUS);
    let (view, observed) = watch::channel(None);
    let executor = MergeExecutor {
        bus: bus.clone(),
        run: options.run.clone(),
        package: options.package.clone(),
        trees: Arc::new(Trees::new(repository, options.package)),
        window: (options.window_min, options.window_max),
        patience: Duration::from_secs(options.patience_s),
        view,
        policy: options.policy,
        keys,
        stored: Mutex::default(),
    };
    let publish = publish(bus.status(&options.run, STATUS), observed, Gauges::new(&options.metrics));
    let host = HostOptions { run: options.run, partitions: 1, host: options.host };
    tokio::select! {
        hosted = atlas_actor::host::<MergeQueue, _>(bus, host, Arc::new(executor), shutdown) => Ok(hosted?),
        () = publish => Ok(()),
    }
}

/// Looks whether the head that the journal has is there to build on. What a killed host had landed beyond it is found when it is landed again.
async fn is_whole(bus: &Bus, run: &RunId, repository: &Repository) -> Result<(), Error> {
    let queue = ActorId::singleton(run, ActorKind::Merge);
    let queue = Journaled::<MergeQueue>::load(bus, &queue).await.map_err(Error::Journal)?;
    let queue = queue.machine();
    let damaged = |cause| Error::Damaged { repository: repository.path().to_owned(), cause };
    if queue.head().is_empty() {
        return Ok(());
    }
    if repository.main()?.is_none() {
        return Err(damaged(format!("it has no branch main, which was at {}", queue.head())));
    }
    let readable = |repository: &Repository| {
        repository.history(queue.head(), "", usize::MAX)?;
        let files = repository.files(&repository.tree(queue.head())?)?;
        files.values().try_for_each(|blob| repository.blob(blob).map(drop))
    };
    readable(repository).map_err(|error| damaged(error.to_string()))
}

/// Ends never: the executor, which holds the sender, lives as long as the host.
async fn publish(writer: StatusWriter, mut observed: watch::Receiver<Option<View>>, gauges: Gauges) {
    while observed.changed().await.is_ok() {
        if let Some(view) = observed.borrow_and_update().as_ref() {
            writer.set(view);
            gauges.set(view);
        }
    }
    std::future::pending().await
}

struct Gauges {
    queue: Gauge,
    verifying: Gauge,
    window: Gauge,
    landed: Gauge<u64, AtomicU64>,
    incidents: Gauge<u64, AtomicU64>,
    open: Gauge,
    receipts: Family<Vec<(&'static str, &'static str)>, Gauge>,
    refused: Family<Vec<(&'static str, String)>, Gauge<u64, AtomicU64>>,
}

impl Gauges {
    fn new(metrics: &Metrics) -> Self {
        Self {
            queue: metrics.register("merge_queue", "Submissions that wait"),
            verifying: metrics.register("merge_verifying", "Certifications that wait for an answer"),
            window: metrics.register("merge_window", "Submissions certified alone at once, at most"),
            landed: metrics.register("merge_landed", "Submissions landed"),
            incidents: metrics.register("merge_incidents", "Contradictions between kernels, ever"),
            open: metrics
                .register("merge_incidents_open", "Of those, not cleared by a person: nothing lands"),
            receipts: metrics.register("merge_receipts", "Receipts of modules of main, by standing"),
            refused: metrics.register("merge_refused", "Submissions refused by kind"),
        }
    }

    fn set(&self, view: &View) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.queue.set(count(view.queue));
        self.verifying.set(count(view.verifying));
        self.window.set(i64::from(view.window));
        self.landed.set(view.landed);
        self.incidents.set(view.incidents.len() as u64);
        self.open.set(count(view.open_incidents().count()));
        let ReceiptCounts { current, renewing, undecided, lapsed, .. } = view.receipts;
        for (standing, receipts) in
            [("current", current), ("renewing", renewing), ("undecided", undecided), ("lapsed", lapsed)]
        {
            self.receipts.get_or_create(&vec![("standing", standing)]).set(count(receipts));
        }
        for (kind, refused) in &view.refused {
            self.refused.get_or_create(&vec![("kind", kind.clone())]).set(*refused);
        }
    }
}
