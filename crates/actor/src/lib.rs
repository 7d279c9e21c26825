//! Durable actors: pure state machines whose events lie in journals on the bus, and the host that runs them.
//!
//! A [`Machine`] decides and folds; an [`Executor`] does its effects; [`host`] joins the two: it owns
//! partitions by lease, folds journals, appends what was decided by compare-and-set, and runs the effects
//! that a state asks for. What a host decides is [`life`] and [`roster`], without I/O; the simulator drives the same.
//!
//! # What is guaranteed, and by which test
//!
//! * A letter acts at most once, however often it is sent or delivered, and at least once, or it is buried with
//!   the reason (`a_letter_that_is_sent_or_delivered_twice_acts_once`, `effects_are_retried_cancelled_and_buried`).
//! * What a command makes happen is journaled as a whole and on disk before anything is done about it. `kill -9` of a host or of
//!   the server loses no record (`kill_9_of_nats_in_the_middle_of_turns_loses_and_repeats_no_record`).
//! * An effect whose result is journaled never runs again. One that was under way when its host died runs
//!   again on the next (`when_a_host_is_killed_another_goes_on_and_repeats_nothing_that_is_journaled`): so what an effect does
//!   in the world must be idempotent by actor and key.
//! * Of two hosts that think they own an actor only one can write; the other reads the journal again, or gives the
//!   partition up (`who_writes_behind_the_hosts_back_makes_it_read_again`).
//! * A machine that is snapshotted comes back from its snapshot and the records after it, in the state that the whole journal gives; a snapshot
//!   that does not fit the journal is ignored (`a_long_journal_is_read_from_its_snapshot_on`).
//! * A host that stops hands its partitions over at once; one that dies, within 5 s: its session lives for 3 s, and another host looks at it twice meanwhile.
//! * A host that joins late gets its share of the partitions within seconds, those first in which nothing is under way
//!   (`a_host_that_joins_late_gets_its_share_and_what_was_under_way_there_goes_on`).
//! * An actor that panics, or whose effect fails for good, stops alone until its next activation; its
//!   partition goes on (`an_actor_that_panics_stops_alone`).
//!
//! Not guaranteed: an order between letters of different senders. And a host that cannot reach NATS for two thirds of a
//! lease's life drops the effects under way: their results, if not journaled yet, are lost.

mod agenda;
pub mod bench;
pub mod fixture;
mod host;
mod journaled;
pub mod life;
mod live;
mod machine;
mod partition;
pub mod roster;
pub mod snapshot;

pub use host::{HostOptions, host};
pub use journaled::{Journaled, replay};
pub use machine::{EffectError, Executor, Machine, Part, Scope, Wanted};

/// Why a host ended, or a journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] atlas_bus::Error),
    /// A journal holds what this program cannot read.
    #[error("the journal of {actor} cannot be read at record {sequence}: {cause}")]
    Journal {
        /// The actor.
        actor: String,
        /// The record's sequence in the stream.
        sequence: u64,
        /// What is wrong with it.
        cause: String,
    },
    /// A snapshot that a journal cannot be folded on from.
    #[error("the snapshot of {actor} is of no use: {cause}")]
    Snapshot {
        /// The actor.
        actor: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A machine or an executor panicked, outside of any one actor.
    #[error("the host of {kind} actors panicked: {cause}")]
    Panicked {
        /// The kind of actor.
        kind: &'static str,
        /// What the panic said.
        cause: String,
    },
}
