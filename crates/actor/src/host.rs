//! The host: partitions by lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use atlas_bus::{Ask, Bus, Claims, News};
use atlas_domain::RunId;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::live::panic_text;
use crate::partition::{Place, Until, tenure};
use crate::{Error, Executor, Machine};

/// Pause before the bus is asked again for what it failed to do.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How often all claims are read anew.
const REFRESH: Duration = Duration::from_secs(300);
/// Partitions that read and fold their journals at once. The server answers what one connection asks one after the other: with four of
/// them reading, renewals waited so long behind pages of long journals that hosts lost their sessions, and with these what they had read.
const FOLDING: usize = 1;

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

/// What is heard of one partition.
struct Seat {
    /// It is free, or was handed over.
    freed: Notify,
    /// The revision of the claim by which it was handed over; 0: it was not.
    handed: AtomicU64,
    /// To be handed over, by the tenure of this epoch.
    asked: mpsc::UnboundedSender<(u64, Ask)>,
    under_way: TaskTracker,
}

impl Seat {
    /// The partition is free, or was handed over by the claim at `handed`: the last that was heard counts.
    fn heard(&self, handed: u64) {
        self.handed.store(handed, Ordering::Relaxed);
        self.freed.notify_one();
    }
}

/// Hosts all actors of `M::KIND` of one run in the partitions whose leases it wins, until `shutdown`. On
/// taking a partition it activates every unfinished actor there and runs its effects. It asks other hosts for a share of theirs, and
/// hands over what they ask for, those partitions first in which the fewest effects are under way. There, and everywhere when it is told
/// to drain ([`Bus::drain`]), it stops pulling letters, begins no effects, lets those that cost end ([`Machine::is_costly`]) and drops
/// the others. At shutdown it drops all at once and gives its leases back.
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
    let until = Until { over: over.clone(), shutdown: shutdown.clone() };
    let options = Arc::new(options);
    let folding = Arc::new(Semaphore::new(FOLDING));
    let mut tasks = JoinSet::new();
    let mut seats = Vec::new();
    for partition in 0..options.partitions {
        let (asked, asks) = mpsc::unbounded_channel();
        let under_way = TaskTracker::new();
        let seat = Arc::new(Seat {
            freed: Notify::new(),
            handed: AtomicU64::new(0),
            asked,
            under_way: under_way.clone(),
        });
        let place = Place {
            bus: bus.clone(),
            run: options.run.clone(),
            partition,
            executor: executor.clone(),
            folding: folding.clone(),
            under_way,
            until: until.clone(),
        };
        tasks.spawn(tend::<M, E>(place, options.clone(), seat.clone(), asks));
        seats.push(seat);
    }
    let announcer = Announcer { bus: bus.clone(), options: options.clone(), seats };
    tasks.spawn(announcer.run::<M>(over));
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
    Box::pin(Announcer { bus, options, seats: Vec::new() }.run::<M>(shutdown)).await;
    Ok(())
}

/// Takes a partition whenever it is free, or handed over to this process.
async fn tend<M: Machine, E: Executor<M>>(
    place: Place<E>,
    options: Arc<HostOptions>,
    seat: Arc<Seat>,
    mut asks: mpsc::UnboundedReceiver<(u64, Ask)>,
) {
    let over = &place.until.over;
    let (run, partition, host) = (&place.run, place.partition, options.host.as_str());
    loop {
        tokio::select! {
            () = seat.freed.notified() => {}
            () = over.cancelled() => return,
        }
        let lease = match seat.handed.swap(0, Ordering::Relaxed) {
            0 => place.bus.try_lease(run, M::KIND, partition, host).await,
            revision => place.bus.accept(run, M::KIND, partition, revision, host).await,
        };
        let ended = match lease {
            Ok(Some(lease)) => tenure::<M, E>(&place, lease, &mut asks).await,
            // Another was faster.
            Ok(None) => continue,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = ended {
            tracing::warn!(kind = %M::KIND, partition, %error, "a partition was not taken, or given up");
            // The lease that it gave back is news that the partition is free: without a pause it would try, and
            // fail, as fast as it can.
            let offset = Duration::from_millis(u64::from(partition % 32) * 20);
            tokio::select! {
                () = tokio::time::sleep(TRY_AGAIN + offset) => seat.freed.notify_one(),
                () = over.cancelled() => return,
            }
        }
    }
}

/// Hears of all partitions, and looks at the hosts of those that others have.
struct Announcer {
    bus: Bus,
    options: Arc<HostOptions>,
    /// Whom it tells. Nobody, once the host has drained: then what was asked for and is handed over yet is given back.
    seats: Vec<Arc<Seat>>,
}

impl Announcer {
    /// Passes on which partitions are free, were handed over and are asked for, until `over`.
    async fn run<M: Machine>(self, over: CancellationToken) {
        tokio::select! {
            () = self.pass_on::<M>() => {}
            () = over.cancelled() => {}
        }
    }

    async fn pass_on<M: Machine>(&self) {
        let HostOptions { run, partitions, host } = &*self.options;
        loop {
            match self.bus.claims(run, M::KIND, *partitions).await {
                Ok(mut claims) => {
                    if !self.seats.is_empty() {
                        claims.seek(host);
                    }
                    let heard = async {
                        while let Some(news) = claims.next().await {
                            self.hear::<M>(&mut claims, news).await;
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
    }

    async fn hear<M: Machine>(&self, claims: &mut Claims, news: News) {
        let seat = |partition: u16| self.seats.get(usize::from(partition));
        match news {
            News::Free(partition) => {
                if let Some(seat) = seat(partition) {
                    seat.heard(0);
                }
            }
            News::Handed(partition, revision) => match seat(partition) {
                Some(seat) => seat.heard(revision),
                None => {
                    if let Err(error) = self.bus.refuse(&self.options.run, M::KIND, partition, revision).await
                    {
                        tracing::warn!(kind = %M::KIND, partition, %error, "a partition that was handed over is not given back yet");
                    }
                }
            },
            News::Asked(ask) => {
                let load = |partition| seat(partition).map_or(0, |seat| seat.under_way.len());
                for (partition, epoch) in claims.give(&ask, load).await {
                    if let Some(seat) = seat(partition) {
                        // Refused only where nobody tends any more.
                        let _ = seat.asked.send((epoch, ask.clone()));
                    }
                }
            }
        }
    }
}
