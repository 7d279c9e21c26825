//! The host: partitions by lease.

use std::sync::Arc;
use std::time::Duration;

use atlas_bus::Bus;
use atlas_domain::RunId;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::live::panic_text;
use crate::partition::{Place, tenure};
use crate::{Error, Executor, Machine};

/// Pause before the bus is asked again for what it failed to do.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How often all claims are read anew.
const REFRESH: Duration = Duration::from_secs(300);
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
    let freed = &freed[usize::from(place.partition)];
    loop {
        tokio::select! {
            () = freed.notified() => {}
            () = shutdown.cancelled() => return,
        }
        let ended = match place.bus.try_lease(&place.run, M::KIND, place.partition, &host).await {
            Ok(Some(lease)) => tenure::<M, E>(&place, lease, &shutdown).await,
            // Another was faster.
            Ok(None) => continue,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = ended {
            tracing::warn!(kind = %M::KIND, partition = place.partition, %error, "a partition was not taken, or given up");
            // The lease that it gave back is news that the partition is free: without a pause it would try, and
            // fail, as fast as it can.
            let offset = Duration::from_millis(u64::from(place.partition % 32) * 20);
            tokio::select! {
                () = tokio::time::sleep(TRY_AGAIN + offset) => freed.notify_one(),
                () = shutdown.cancelled() => return,
            }
        }
    }
}

/// Passes on which partitions are free, and looks at the hosts of the others.
async fn announce<M: Machine>(bus: Bus, run: RunId, freed: Arc<Vec<Notify>>, shutdown: CancellationToken) {
    // As many as there are partitions.
    let partitions = freed.len() as u16;
    let pass_on = async {
        loop {
            match bus.claims(&run, M::KIND, partitions).await {
                Ok(mut claims) => {
                    let heard = async {
                        while let Some(partition) = claims.next().await {
                            if let Some(waiting) = freed.get(usize::from(partition)) {
                                waiting.notify_one();
                            }
                        }
                    };
                    // Read anew now and then, should news have been missed.
                    let _ = tokio::time::timeout(REFRESH, heard).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "the claims cannot be read");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    };
    tokio::select! {
        () = pass_on => {}
        () = shutdown.cancelled() => {}
    }
}
