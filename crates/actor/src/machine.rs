//! The pure side of an actor and the side that acts for it.

use std::future::Future;
use std::time::Duration;

use atlas_bus::Hold;
use atlas_domain::{ActorId, ActorKind};
use atlas_proto::Letter;

/// A part of a machine's state, by a number that the machine gives it.
pub type Part = u32;

/// Effects that are waited for, by key.
pub type Wanted<E> = Vec<(String, E)>;

/// A durable actor as a state machine without I/O.
///
/// `apply` alone changes state, and must be deterministic: hosts fold journals with it years later.
pub trait Machine: Send + Sync + Sized + 'static {
    /// What it is.
    const KIND: ActorKind;
    /// Version of [`Machine::Event`]'s schema. A record of a newer version is refused.
    const VERSION: u32;
    /// What is journaled.
    type Event: prost::Message + Default + Clone;
    /// A decoded letter, or the result of an effect.
    type Command: Send + 'static;
    /// Something that is to be done in the world.
    type Effect: Clone + Send + Sync + 'static;

    /// The actor before its first event.
    fn new(id: &ActorId) -> Self;

    /// Folds one event in. `time_ms`: when it was recorded, Unix time.
    fn apply(&mut self, event: &Self::Event, time_ms: u64);

    /// What a command makes happen; empty: nothing to record. `now_ms`: Unix time.
    fn decide(&self, command: Self::Command, now_ms: u64) -> Vec<Self::Event>;

    /// What the state waits for now, by key. Keys are unique over the actor's life: a key whose result is
    /// journaled never runs again.
    fn effects(&self) -> Wanted<Self::Effect>;

    /// The same part by part: those parts of the state that may wait for something else than when this was last called, each with
    /// all that it waits for now; on the first call all parts. What is left out waits for what it waited for. A key stays in its part.
    ///
    /// One part by default. A machine that waits for thousands of things overrides this, so that a record costs what it
    /// changes, and not what is open.
    fn stirred(&mut self) -> Vec<(Part, Wanted<Self::Effect>)> {
        vec![(0, self.effects())]
    }

    /// Names what [`Machine::snapshot`] gives, its form and its meaning: another number whenever the state that a journal is folded into
    /// changes in either, so that snapshots of before are ignored. A test with a journal and its snapshot on file says when. `None`: it is
    /// always folded from the beginning, as is right for what is as large as its journal.
    const SNAPSHOT: Option<u32> = None;

    /// All that [`Machine::apply`] has made of the journal so far ([`encode`](crate::snapshot::encode)). `None`: it cannot be had.
    fn snapshot(&self) -> Option<Vec<u8>> {
        None
    }

    /// The machine that gave a snapshot: for every later event and command it is as if all had been folded. [`Machine::stirred`] begins anew.
    ///
    /// # Errors
    /// The bytes are no such state, in words.
    fn restore(_state: &[u8]) -> Result<Self, String> {
        Err(format!("{} actors are always folded from the beginning", Self::KIND))
    }

    /// Whether running an effect a second time would cost what the first did, as a paid call does. A host that gives up a partition of
    /// its own accord lets such effects end, and journals what comes of them; it drops all others.
    fn is_costly(_effect: &Self::Effect) -> bool {
        false
    }

    /// No more effects ever, and no letter changes that: the actor may be archived.
    fn is_finished(&self) -> bool;
}

/// On whose behalf an effect runs.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The actor.
    pub actor: ActorId,
    /// The effect's key: with the actor its idempotency key.
    pub key: String,
    /// Fencing token of the host: grows with every change of hands.
    pub epoch: u64,
    /// W3C trace context of the effect's span; may be empty.
    pub traceparent: String,
    pub(crate) hold: Hold,
}

impl Scope {
    /// Whether the host may act for the actor now, by its own clock. An effect that has waited for anything asks again before
    /// it does what cannot be taken back and is not idempotent by its key: the process may have stood still while it waited,
    /// and the answer that it waited for be the first thing that it sees. After a no: [`EffectError::Retry`].
    pub fn holds(&self) -> bool {
        self.hold.holds()
    }
}

/// Why an effect did not come to a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EffectError {
    /// It may work later: the host runs it again, after `after` at the earliest and later the more often it failed.
    #[error("{cause}")]
    Retry {
        /// The least pause.
        after: Duration,
        /// What went wrong.
        cause: String,
    },
    /// It never will: the host buries a dead letter and stops the actor until its next activation.
    #[error("{0}")]
    Fatal(String),
}

/// Does in the world what machines of one kind ask for.
pub trait Executor<M: Machine>: Send + Sync + 'static {
    /// A letter as a command; `None`: not for this kind of actor, so that it is buried.
    fn command(&self, letter: Letter) -> Option<M::Command>;

    /// Runs one effect, inside a span `effect <kind>`. `Some(command)` is decided on and journaled with the key as its
    /// cause. `None`: done; it runs again only after a restart, so that what it sends must be idempotent by the key.
    /// When the key vanishes from [`Machine::effects`] the future is dropped.
    fn execute(
        &self,
        scope: Scope,
        effect: M::Effect,
    ) -> impl Future<Output = Result<Option<M::Command>, EffectError>> + Send;

    /// Called after an actor is loaded and after each record: for status, must be cheap.
    fn observed(&self, _actor: &ActorId, _machine: &M) {}
}
