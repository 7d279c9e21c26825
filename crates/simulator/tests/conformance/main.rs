//! The modelled nats-server held to the real one: each case is written once and asked of the model, of one real server, and of a
//! cluster of three. What it says holds of all of them. The model may be worse than a server, as its letters may overtake each other;
//! where it was better, a simulated run would prove nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(async_fn_in_trait, reason = "of this test alone")]

mod cases;
mod modelled;
mod real;

use std::time::Duration;

pub use atlas_simulator::model::{Line, Named, Written};

/// A key as it is read: the revision of its last write, deletions included, and its value; revision 0: there is no trace of it.
pub type Entry = (u64, Option<u64>);

/// What a case asks of a server. Clients are numbered 0 and 1; who is not named is client 0.
pub trait Nats {
    /// A message as a client got it.
    type Got: std::fmt::Debug;

    /// Time since it began, by its own clock.
    fn now(&self) -> Duration;
    /// How long a message may stay unacknowledged.
    fn ack_wait(&self, line: Line) -> Duration;
    /// How far back message ids are known.
    fn duplicates(&self) -> Duration;
    /// When a key that passes is forgotten if it is not written again, and the mark of a deleted one.
    fn ttl(&self) -> Duration;

    /// Appends to an actor's journal if `after` is its last sequence.
    async fn append(&mut self, agent: &str, cause: &str, after: u64) -> Written;
    /// An actor's records, from journal or archive: sequences and causes.
    async fn records(&mut self, agent: &str) -> Vec<(u64, String)>;
    /// Stores an archive, closes the journal, purges what lies before the end.
    async fn archive(&mut self, agent: &str) -> Written;

    /// Puts a message into a queue. `Stored` also when its id is known.
    async fn send(&mut self, line: Line, id: &str) -> Written;
    /// The next message: its id, how often it was delivered, and itself. `None`: nothing came for `patience`.
    async fn next(
        &mut self,
        client: usize,
        line: Line,
        patience: Duration,
    ) -> Option<(String, u64, Self::Got)>;
    /// It is done.
    async fn ack(&mut self, got: Self::Got);
    /// It is to come again after a pause.
    async fn nak(&mut self, got: Self::Got, pause: Duration);
    /// It is still being worked on.
    async fn alive(&mut self, got: &Self::Got);
    /// It goes, and is kept with a reason.
    async fn bury(&mut self, got: Self::Got, reason: &str);
    /// The reasons of what was buried.
    async fn buried(&mut self) -> Vec<String>;

    /// Writes a key whose revision must be `after`; no value deletes it.
    async fn put(&mut self, key: Named, after: u64, value: Option<u64>) -> Written;
    /// A key as it is read.
    async fn look(&mut self, key: Named) -> Entry;
    /// The next key that stays of which a client is told how it is. `None`: nothing was for `patience`.
    async fn heard(&mut self, client: usize, patience: Duration) -> Option<(u16, Entry)>;

    /// Whether there is no room for more in its streams.
    async fn fill(&mut self, full: bool);
    /// It is killed and starts again; of a cluster the node that leads the queues.
    async fn restart(&mut self);
}

#[tokio::test]
async fn the_modelled_server_does_what_the_cases_say() {
    cases::all(modelled::new).await;
}

#[tokio::test]
async fn a_real_server_does_what_the_cases_say() {
    let server = real::Server::one().await;
    cases::all(async |name| server.fresh(name).await).await;
}

#[tokio::test]
async fn a_cluster_of_three_does_what_the_cases_say() {
    let server = real::Server::three().await;
    cases::all(async |name| server.fresh(name).await).await;
}
