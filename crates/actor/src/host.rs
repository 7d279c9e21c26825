//! The host: partitions by lease.

use std::sync::Arc;
use std::time::Duration;

use atlas_bus::Bus;
use atlas_domain::RunId;
use futures::{Stream, StreamExt as _};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::live::panic_text;
use crate::partition::{Place, tenure};
use crate::{Error, Executor, Machine};

/// How often a partition that another hosts is tried, should the news that it is free be missed.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Partitions that fold their journals at once.
const FOLDING: usize = 4;

/// What a host works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOptions {
    /// The run.
    pub run: RunId,
    /// Partitions of this kind of actor: those of the bus for agents, 1 for singletons.
    pub partitions: u16,
    /// This process, for people to read.
    pub host: String,
}

/// Hosts all actors of `M::KIND` of one run in the partitions whose leases it wins, until `shutdown`. On
/// taking a partition it activates every unfinished actor there and runs its effects. At shutdown, and when it is told to drain
/// ([`Bus::drain`]), it stops pulling letters, drops the effects under way and gives its leases back.
///
/// # Errors
/// [`Error::Panicked`] when the host itself fails. What the bus fails to do is tried again for ever.
pub async fn host<M: Machine, E: Executor<M>>(
    bus: Bus,
    options: HostOptions,
    executor: Arc<E>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let over = bus.until_drained(&options.run, &options.host, &shutdown);
    let freed: Arc<Vec<Notify>> = Arc::new((0..options.partitions).map(|_| Notify::new()).collect());
    let folding = Arc::new(Semaphore::new(FOLDING));
    let mut tasks = JoinSet::new();
    tasks.spawn(announce::<M>(bus.clone(), options.run.clone(), freed.clone(), over.clone()));
    for partition in 0..options.partitions {
        let place = Place {
            bus: bus.clone(),
            run: options.run.clone(),
            partition,
            executor: executor.clone(),
            folding: folding.clone(),
        };
        tasks.spawn(tend::<M, E>(place, options.host.clone(), freed.clone(), over.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            return Err(Error::Panicked { kind: M::KIND.as_str(), cause: panic_text(&*panic).to_owned() });
        }
    }
    // The last acknowledgements are on their way.
    if let Err(error) = bus.flush().await {
        tracing::debug!(%error, "not everything was sent before the end");
    }
    // A drained host stays, idle: whoever runs it decides when it ends.
    shutdown.cancelled().await;
    Ok(())
}

/// Takes a partition whenever it is free.
async fn tend<M: Machine, E: Executor<M>>(
    place: Place<E>,
    host: String,
    freed: Arc<Vec<Notify>>,
    shutdown: CancellationToken,
) {
    // So that the partitions do not ask all at once.
    let offset = Duration::from_millis(u64::from(place.partition % 32) * 20);
    while !shutdown.is_cancelled() {
        match place.bus.try_lease(&place.run, M::KIND, place.partition, &host).await {
            Ok(Some(lease)) => {
                if let Err(error) = tenure::<M, E>(&place, lease, &shutdown).await {
                    tracing::warn!(kind = %M::KIND, partition = place.partition, %error, "gave a partition up");
                    // The lease that it gave back is news that the partition is free: without a pause it would try, and
                    // fail, as fast as it can.
                    tokio::select! {
                        () = tokio::time::sleep(TRY_AGAIN + offset) => {}
                        () = shutdown.cancelled() => {}
                    }
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(kind = %M::KIND, partition = place.partition, %error, "a lease could not be asked for")
            }
        }
        tokio::select! {
            () = freed[usize::from(place.partition)].notified() => {}
            () = tokio::time::sleep(TRY_AGAIN + offset) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// Passes on which leases become free.
async fn announce<M: Machine>(bus: Bus, run: RunId, freed: Arc<Vec<Notify>>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        match bus.freed_leases(&run, M::KIND).await {
            Ok(watch) => {
                let mut watch = std::pin::pin!(watch);
                pass_on(&mut watch, &freed, &shutdown).await;
            }
            Err(error) => tracing::debug!(%error, "the leases cannot be watched"),
        }
        tokio::select! {
            () = tokio::time::sleep(TRY_AGAIN) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn pass_on(
    watch: &mut (impl Stream<Item = u16> + Unpin),
    freed: &[Notify],
    shutdown: &CancellationToken,
) {
    loop {
        let partition = tokio::select! {
            partition = watch.next() => partition,
            () = shutdown.cancelled() => return,
        };
        match partition {
            Some(partition) => {
                if let Some(waiting) = freed.get(usize::from(partition)) {
                    waiting.notify_one();
                }
            }
            None => return,
        }
    }
}
