//! One partition for one tenure: its journals folded, its actors alive, its inbox open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use atlas_bus::{Ask, Bus, Delivery, Lease};
use atlas_domain::{ActorId, RunId};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::journaled::Journaled;
use crate::life::End;
use crate::live::{Live, Tenure, panic_text};
use crate::roster::{Fate, Found, Roster, Woken};
use crate::{Error, Executor, Machine};

/// What is the same for all tenures of a partition.
pub(crate) struct Place<E> {
    pub bus: Bus,
    pub run: RunId,
    pub partition: u16,
    pub executor: Arc<E>,
    /// Lets only some partitions fold their journals at once: it takes memory.
    pub folding: Arc<Semaphore>,
    /// The effects that are under way in the partition.
    pub under_way: TaskTracker,
    pub until: Until,
}

/// Until when a host works.
#[derive(Clone)]
pub(crate) struct Until {
    /// It gives up what it has of its own accord: it drains, or shuts down.
    pub over: CancellationToken,
    /// It shuts down: now.
    pub shutdown: CancellationToken,
}

/// How a tenure is given up.
#[derive(Default)]
pub(crate) struct Leaving {
    /// Nothing more begins.
    pub begun: CancellationToken,
    /// The effects that are waited for: those that cost.
    costly: TaskTracker,
}

/// An effect that is under way, or whose result is not journaled yet, until this is dropped.
pub(crate) struct Begun {
    _effect: TaskTrackerToken,
    _costly: Option<TaskTrackerToken>,
}

impl Leaving {
    /// Has an effect begin, unless nothing does any more.
    pub fn begin(&self, under_way: &TaskTracker, costly: bool) -> Option<Begun> {
        // The token first: whoever waits for what costs sees it, or this sees that it is too late.
        let begun = Begun { _effect: under_way.token(), _costly: costly.then(|| self.costly.token()) };
        (!self.begun.is_cancelled()).then_some(begun)
    }

    /// Waits until what costs has ended and is journaled; nothing begins any more.
    async fn settle(&self) {
        self.begun.cancel();
        self.costly.close();
        self.costly.wait().await;
    }
}

/// A journal on its way into memory.
struct Folded<M> {
    actor: ActorId,
    /// Or why it cannot be folded.
    journaled: Result<Journaled<M>, Error>,
    /// That a sweep came upon.
    records: u32,
}

/// Boxed: a mailbox has room for 32 letters from the first on.
type Mailbox = mpsc::UnboundedSender<Box<Delivery>>;

struct Partition<M: Machine, E> {
    run: RunId,
    tenure: Arc<Tenure<E>>,
    /// Mailboxes are unbounded, but the consumer's limit of unacknowledged letters bounds all of them together.
    roster: Roster<Mailbox>,
    tasks: JoinSet<End>,
    names: HashMap<Id, String>,
    machine: std::marker::PhantomData<M>,
}

/// Runs the partition until the lease is lost, or the host's work is over, or another host is to have the partition. In the last two cases no
/// letters are taken and no effects begin from then on, and those that cost are waited for. Then it hands the partition over, or gives the lease
/// back. `asks`: to whom to hand it over, with the epoch of the tenure that is to.
pub(crate) async fn tenure<M: Machine, E: Executor<M>>(
    place: &Place<E>,
    lease: Lease,
    asks: &mut mpsc::UnboundedReceiver<(u64, Ask)>,
) -> Result<(), Error> {
    let (lost, epoch) = (lease.lost(), lease.epoch());
    let (idle, mut idlers) = mpsc::unbounded_channel();
    let tenure = Arc::new(Tenure {
        bus: place.bus.clone(),
        executor: place.executor.clone(),
        under_way: place.under_way.clone(),
        leaving: Leaving::default(),
        lease,
        idle,
    });
    let mut partition = Partition::<M, E> {
        run: place.run.clone(),
        tenure: tenure.clone(),
        roster: Roster::default(),
        tasks: JoinSet::new(),
        names: HashMap::new(),
        machine: std::marker::PhantomData,
    };
    let work = async {
        partition.activate(place).await?;
        let mut inbox = place.bus.inbox(&place.run, M::KIND, place.partition).await?;
        loop {
            tokio::select! {
                delivery = inbox.next() => partition.deliver(delivery).await,
                Some(ended) = partition.tasks.join_next_with_id(), if !partition.tasks.is_empty() => partition.ended(ended).await,
                Some(idler) = idlers.recv() => drop(partition.roster.rest(idler)),
            }
        }
    };
    let (mut receiver, mut left) = (None, false);
    let result = tokio::select! {
        result = work => result,
        () = lost.cancelled() => Ok(()),
        () = place.until.over.cancelled() => {
            left = true;
            Ok(())
        }
        ask = asked(asks, epoch) => {
            (receiver, left) = (Some(ask), true);
            Ok(())
        }
    };
    if left {
        tokio::select! {
            () = tenure.leaving.settle() => {}
            () = lost.cancelled() => {}
            () = place.until.shutdown.cancelled() => {}
        }
    }
    // Effects under way are dropped: whoever takes the partition next runs them again.
    partition.tasks.shutdown().await;
    drop(partition);
    match (Arc::into_inner(tenure), receiver) {
        (Some(tenure), Some(ask)) => tenure.lease.hand_over(&ask).await,
        (Some(tenure), None) => tenure.lease.release().await,
        (None, _) => tracing::debug!("a lease is still in use; it will be given back then"),
    }
    result
}

/// Folds the journals of a partition in one reading of all.
async fn sweep<M: Machine, E>(place: &Place<E>) -> Result<Vec<Folded<M>>, Error> {
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
    Ok(folded.into_values().collect())
}

/// The same one by one, each from its snapshot on: there are few of such a kind, and each is long.
async fn load_all<M: Machine, E>(place: &Place<E>) -> Result<Vec<Folded<M>>, Error> {
    let mut folded = Vec::new();
    for actor in place.bus.actors(&place.run, M::KIND, Some(place.partition)).await? {
        let journaled = match Journaled::load(&place.bus, &actor).await {
            Err(Error::Bus(error)) => return Err(error.into()),
            loaded => loaded,
        };
        folded.push(Folded { actor, journaled, records: 0 });
    }
    Ok(folded)
}

/// Waits until the tenure of this epoch is to hand its partition over; what was meant for others comes too late.
async fn asked(asks: &mut mpsc::UnboundedReceiver<(u64, Ask)>, epoch: u64) -> Ask {
    loop {
        match asks.recv().await {
            Some((of, ask)) if of == epoch => return ask,
            Some(_) => {}
            // Nobody is left who could say so.
            None => std::future::pending().await,
        }
    }
}

impl<M: Machine, E: Executor<M>> Partition<M, E> {
    /// Folds all journals of the partition and wakes those who wait for something.
    async fn activate(&mut self, place: &Place<E>) -> Result<(), Error> {
        // The semaphore is never closed.
        let _permit = place.folding.acquire().await;
        let folded = if M::SNAPSHOT.is_some() { load_all(place).await? } else { sweep(place).await? };
        for Folded { actor, journaled, records } in folded {
            let journaled = journaled.inspect_err(|error| {
                tracing::error!(%actor, %error, "an actor cannot be activated");
            });
            if let Some(journaled) = self.roster.activated(&actor.id, journaled.ok(), records) {
                self.wake(actor, journaled);
            }
        }
        tracing::debug!(
            kind = %M::KIND, partition = place.partition, epoch = self.tenure.lease.epoch(),
            actors = self.roster.len(), archived = self.roster.finished(), "took a partition",
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
        self.roster.woke(id, mailbox);
    }

    async fn deliver(&mut self, delivery: Delivery) {
        let id = delivery.actor.id.clone();
        match self.roster.fate(&id) {
            Fate::Ack => return delivery.ack().await,
            Fate::Retry(pause) => return delivery.retry(pause).await,
            Fate::Deliver(mailbox) => {
                return match mailbox.send(Box::new(delivery)) {
                    Ok(()) => {}
                    // Its task has just ended; we shall hear of it next. The letter comes again.
                    Err(refused) => refused.0.retry(Duration::ZERO).await,
                };
            }
            Fate::Load => {}
        }
        let found = match Journaled::<M>::load(&self.tenure.bus, &delivery.actor).await {
            Ok(journaled) => Found::Journal(Box::new(journaled)),
            Err(error @ Error::Journal { .. }) => {
                tracing::error!(actor = %delivery.actor, %error, "an actor cannot be activated");
                Found::Unreadable
            }
            Err(error) => {
                tracing::warn!(actor = %delivery.actor, %error, "an actor could not be loaded; its letter comes again");
                Found::Nothing
            }
        };
        match self.roster.loaded(&id, found) {
            Woken::Ack => delivery.ack().await,
            Woken::Retry(pause) => delivery.retry(pause).await,
            Woken::Wake(journaled) => {
                self.wake(delivery.actor.clone(), *journaled);
                if let Fate::Deliver(mailbox) = self.roster.fate(&id) {
                    // The task cannot have ended: it waits for this.
                    let _ = mailbox.send(Box::new(delivery));
                }
            }
        }
    }

    async fn ended(&mut self, ended: Result<(Id, End), JoinError>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(id) = self.names.remove(&task) else { return };
        match ended {
            Ok((_, end)) => {
                if let End::Stopped(reason) = &end {
                    tracing::error!(actor = id, reason, "an actor stopped");
                }
                self.roster.ended(id, &end);
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
                self.roster.ended(id, &End::Stopped(reason));
            }
        }
    }
}
