//! One partition for one tenure: its journals folded, its actors alive, its inbox open.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use atlas_bus::{Bus, Delivery, Lease};
use atlas_domain::{ActorId, RunId};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::journaled::Journaled;
use crate::live::{End, Idle, Live, Tenure, panic_text};
use crate::{Error, Executor, Machine};

/// Actors of a partition kept in memory although they wait for nothing but letters.
const IDLE_ACTORS: usize = 1024;
/// When a letter to a stopped actor comes again. After ten times it is buried.
const STOPPED_PAUSE: Duration = Duration::from_secs(30);

/// What is the same for all tenures of a partition.
pub(crate) struct Place<E> {
    pub bus: Bus,
    pub run: RunId,
    pub partition: u16,
    pub executor: Arc<E>,
    /// Lets only some partitions fold their journals at once: it takes memory.
    pub folding: Arc<Semaphore>,
}

/// An actor as the partition knows it. Those it does not know are in their journals, or not born.
enum Slot {
    Live {
        mailbox: mpsc::UnboundedSender<Delivery>,
        letters: u64,
    },
    /// It will not act before the next activation.
    Stopped,
}

/// A journal on its way into memory.
struct Folded<M> {
    actor: ActorId,
    /// Or why it cannot be folded.
    journaled: Result<Journaled<M>, Error>,
    records: u32,
}

struct Partition<M: Machine, E> {
    run: RunId,
    tenure: Arc<Tenure<E>>,
    slots: HashMap<String, Slot>,
    /// Archived actors.
    finished: HashSet<String>,
    tasks: JoinSet<End>,
    names: HashMap<Id, String>,
    /// Idle actors, longest idle first; entries of actors that woke up since are stale.
    idle: VecDeque<Idle>,
    machine: std::marker::PhantomData<M>,
}

/// Runs the partition until the lease is lost or `shutdown`; gives the lease back.
pub(crate) async fn tenure<M: Machine, E: Executor<M>>(
    place: &Place<E>,
    lease: Lease,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let lost = lease.lost();
    let (idle, mut idlers) = mpsc::unbounded_channel();
    let tenure = Arc::new(Tenure { bus: place.bus.clone(), executor: place.executor.clone(), lease, idle });
    let mut partition = Partition::<M, E> {
        run: place.run.clone(),
        tenure: tenure.clone(),
        slots: HashMap::new(),
        finished: HashSet::new(),
        tasks: JoinSet::new(),
        names: HashMap::new(),
        idle: VecDeque::new(),
        machine: std::marker::PhantomData,
    };
    let work = async {
        partition.activate(place).await?;
        let mut inbox = place.bus.inbox(&place.run, M::KIND, place.partition).await?;
        loop {
            tokio::select! {
                delivery = inbox.next() => partition.deliver(delivery).await,
                Some(ended) = partition.tasks.join_next_with_id(), if !partition.tasks.is_empty() => partition.ended(ended).await,
                Some(idler) = idlers.recv() => partition.rest(idler),
            }
        }
    };
    let result = tokio::select! {
        result = work => result,
        () = lost.cancelled() => Ok(()),
        () = shutdown.cancelled() => Ok(()),
    };
    // Effects under way are dropped: whoever takes the partition next runs them again.
    partition.tasks.shutdown().await;
    drop(partition);
    match Arc::into_inner(tenure) {
        Some(tenure) => tenure.lease.release().await,
        None => tracing::debug!("a lease is still in use; it will run out"),
    }
    result
}

impl<M: Machine, E: Executor<M>> Partition<M, E> {
    /// Folds all journals of the partition and wakes those who wait for something.
    async fn activate(&mut self, place: &Place<E>) -> Result<(), Error> {
        // The semaphore is never closed.
        let _permit = place.folding.acquire().await;
        let mut folded: HashMap<String, Folded<M>> = HashMap::new();
        place
            .bus
            .sweep(&place.run, M::KIND, place.partition, |actor, sequence, record| {
                let folded = folded.entry(actor.id.clone()).or_insert_with(|| Folded {
                    journaled: Ok(Journaled::new(&actor)),
                    actor,
                    records: 0,
                });
                folded.records += 1;
                if let Ok(journaled) = &mut folded.journaled
                    && let Err(error) = journaled.fold(&folded.actor, sequence, record)
                {
                    folded.journaled = Err(error);
                }
                Ok(())
            })
            .await?;
        for (id, Folded { actor, journaled, records }) in folded {
            match journaled {
                // More than the closing record: it was killed before the purge, which the actor's end repeats.
                Ok(journaled) if journaled.archived && records == 1 => drop(self.finished.insert(id)),
                Ok(journaled) => self.wake(actor, journaled),
                Err(error) => {
                    tracing::error!(%actor, %error, "an actor cannot be activated");
                    self.slots.insert(id, Slot::Stopped);
                }
            }
        }
        tracing::debug!(
            kind = %M::KIND, partition = place.partition, epoch = self.tenure.lease.epoch(),
            actors = self.slots.len(), archived = self.finished.len(), "took a partition",
        );
        Ok(())
    }

    /// Gives the actor a task.
    fn wake(&mut self, actor: ActorId, journaled: Journaled<M>) {
        let (mailbox, letters) = mpsc::unbounded_channel();
        let id = actor.id.clone();
        let live = Live::new(self.tenure.clone(), actor, journaled, letters);
        let task = self.tasks.spawn(live.run());
        self.names.insert(task.id(), id.clone());
        // Unbounded, but the consumer's limit of unacknowledged letters bounds all mailboxes together.
        self.slots.insert(id, Slot::Live { mailbox, letters: 0 });
    }

    async fn deliver(&mut self, delivery: Delivery) {
        let id = delivery.actor.id.clone();
        if self.finished.contains(&id) {
            return delivery.ack().await;
        }
        let delivery = match self.slots.get_mut(&id) {
            Some(Slot::Stopped) => return delivery.retry(STOPPED_PAUSE).await,
            Some(Slot::Live { mailbox, letters }) => {
                *letters += 1;
                match mailbox.send(delivery) {
                    Ok(()) => return,
                    // Its task has just ended; we shall hear of it next. The letter comes again.
                    Err(refused) => return refused.0.retry(Duration::ZERO).await,
                }
            }
            None => delivery,
        };
        match Journaled::<M>::load(&self.tenure.bus, &delivery.actor).await {
            Ok(journaled) if journaled.machine.is_finished() => {
                self.finished.insert(id);
                delivery.ack().await;
            }
            Ok(journaled) => {
                self.wake(delivery.actor.clone(), journaled);
                if let Some(Slot::Live { mailbox, letters }) = self.slots.get_mut(&id) {
                    *letters += 1;
                    // The task cannot have ended: it waits for this.
                    let _ = mailbox.send(delivery);
                }
            }
            Err(error @ Error::Journal { .. }) => {
                tracing::error!(actor = %delivery.actor, %error, "an actor cannot be activated");
                self.slots.insert(id, Slot::Stopped);
                delivery.retry(STOPPED_PAUSE).await;
            }
            Err(error) => {
                tracing::warn!(actor = %delivery.actor, %error, "an actor could not be loaded; its letter comes again");
                delivery.retry(Duration::from_secs(1)).await;
            }
        }
    }

    async fn ended(&mut self, ended: Result<(Id, End), JoinError>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(id) = self.names.remove(&task) else { return };
        match ended {
            Ok((_, End::Finished)) => {
                self.slots.remove(&id);
                self.finished.insert(id);
            }
            // The slot went when the mailbox was closed.
            Ok((_, End::Passivated | End::Lost)) => {}
            Ok((_, End::Stopped(reason))) => {
                tracing::error!(actor = id, reason, "an actor stopped");
                self.slots.insert(id, Slot::Stopped);
            }
            Err(error) => {
                let reason = match error.try_into_panic() {
                    Ok(panic) => format!("the actor panicked: {}", panic_text(&*panic)),
                    Err(_) => return,
                };
                let actor = ActorId { run: self.run.clone(), kind: M::KIND, id: id.clone() };
                if let Err(error) = self.tenure.bus.bury_effect(&actor, "panic", &reason).await {
                    tracing::error!(%actor, reason, %error, "an actor panicked, and that could not be put down");
                }
                self.slots.insert(id, Slot::Stopped);
            }
        }
    }

    /// An actor waits for nothing but letters. When too many do, those go that did so for the longest time.
    fn rest(&mut self, idler: Idle) {
        self.idle.push_back(idler);
        while self.idle.len() > IDLE_ACTORS {
            let Some(Idle { actor, letters }) = self.idle.pop_front() else { return };
            // It has taken all that it was sent, so that nothing is lost with its mailbox.
            let unchanged =
                matches!(self.slots.get(&actor), Some(Slot::Live { letters: sent, .. }) if *sent == letters);
            if unchanged {
                self.slots.remove(&actor);
            }
        }
    }
}
