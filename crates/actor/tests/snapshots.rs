//! A long journal on a real nats-server: its actor comes back from a snapshot, and whatever that is worth it comes back.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use atlas_actor::snapshot::{EVERY, decode, encode};
use atlas_actor::{EffectError, Executor, HostOptions, Journaled, Machine, Scope, host};
use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::{HumanReply, Letter, Record, Snapshot, letter};
use atlas_testkit::TestNats;
use prost::Message as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Records of the long journal.
const LONG: u64 = 10_000;
/// Records after its snapshot.
const TAIL: u64 = 300;

/// Counts letters, and adds up what they say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    sum: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Added {
    #[prost(uint64, tag = "1")]
    what: u64,
}

impl Machine for Sum {
    const KIND: ActorKind = ActorKind::Plan;
    const VERSION: u32 = 1;
    type Event = Added;
    type Command = u64;
    type Effect = ();

    fn new(_: &ActorId) -> Self {
        Self::default()
    }
    fn apply(&mut self, event: &Added, _: u64) {
        self.count += 1;
        self.sum += event.what;
    }
    fn decide(&self, what: u64, _: u64) -> Vec<Added> {
        vec![Added { what }]
    }
    fn effects(&self) -> Vec<(String, ())> {
        Vec::new()
    }
    const SNAPSHOT: Option<u32> = Some(1);
    fn snapshot(&self) -> Option<Vec<u8>> {
        encode(&(self.count, self.sum))
    }
    fn restore(state: &[u8]) -> Result<Self, String> {
        decode(state).map(|(count, sum)| Self { count, sum })
    }
    fn is_finished(&self) -> bool {
        false
    }
}

struct Adder(watch::Sender<Sum>);

impl Executor<Sum> for Adder {
    fn command(&self, letter: Letter) -> Option<u64> {
        match letter.letter? {
            letter::Letter::HumanReply(reply) => reply.text.parse().ok(),
            _ => None,
        }
    }
    async fn execute(&self, _: Scope, (): ()) -> Result<Option<u64>, EffectError> {
        Ok(None)
    }
    fn observed(&self, _: &ActorId, machine: &Sum) {
        self.0.send_replace(machine.clone());
    }
}

fn run() -> RunId {
    RunId::new("r").unwrap()
}

fn actor() -> ActorId {
    ActorId::singleton(&run(), ActorKind::Plan)
}

fn say(what: u64) -> Letter {
    let reply = HumanReply { text: what.to_string(), ..HumanReply::default() };
    Letter { letter: Some(letter::Letter::HumanReply(reply)) }
}

fn record(n: u64) -> Record {
    let events = vec![Added { what: n }.encode_to_vec()];
    Record { version: 1, cause: format!("letter/{n}"), time_ms: n, events, ..Record::default() }
}

/// A journal of so many records. Gives the sequence of the last.
async fn write(bus: &Bus, records: std::ops::Range<u64>, mut last: u64) -> u64 {
    for n in records {
        last = bus.append(&actor(), &record(n), last).await.unwrap();
    }
    last
}

async fn load(bus: &Bus) -> Journaled<Sum> {
    Journaled::load(bus, &actor()).await.unwrap()
}

/// Loads it, and says how many messages that took.
async fn counted(bus: &Bus) -> (Journaled<Sum>, u64) {
    let before = bus.messages();
    let loaded = load(bus).await;
    (loaded, bus.messages() - before)
}

#[tokio::test]
async fn a_long_journal_is_read_from_its_snapshot_on() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let mut last = write(&bus, 0..LONG - TAIL, 0).await;
    let snapshot = load(&bus).await.snapshot(EVERY).unwrap();
    assert_eq!(snapshot.sequence, last);
    bus.put_snapshot(&actor(), &snapshot).await.unwrap();
    last = write(&bus, LONG - TAIL..LONG, last).await;
    let whole = Sum { count: LONG, sum: (0..LONG).sum() };

    let (loaded, messages) = counted(&bus).await;
    assert_eq!(*loaded.machine(), whole);
    assert!((0..LONG).all(|n| loaded.knows(&format!("letter/{n}"))));
    assert!((TAIL..TAIL + 100).contains(&messages), "{messages} messages for {TAIL} records");

    // What is of no use costs a whole fold, and nothing else.
    let shorter = Snapshot { state: snapshot.state[..1].to_vec(), ..snapshot.clone() };
    let longer = Snapshot { state: [&snapshot.state[..], &[0]].concat(), ..snapshot.clone() };
    let shape = Snapshot { shape: 2, ..snapshot.clone() };
    let version = Snapshot { version: 2, ..snapshot.clone() };
    let format = Snapshot { format: 2, ..snapshot.clone() };
    let future = Snapshot { sequence: last + 1, record: Some(record(LONG)), ..snapshot.clone() };
    let forked = Snapshot { record: Some(record(7)), ..snapshot.clone() };
    let elsewhere = Snapshot { sequence: snapshot.sequence - 1, ..snapshot.clone() };
    let nowhere = Snapshot { sequence: 0, record: None, ..snapshot.clone() };
    for useless in [shorter, longer, shape, version, format, future, forked, elsewhere, nowhere] {
        bus.put_snapshot(&actor(), &useless).await.unwrap();
        let (loaded, messages) = counted(&bus).await;
        assert_eq!(*loaded.machine(), whole);
        assert!(messages > LONG, "{messages} messages");
    }
    bus.put_object(&format!("snapshot/{}", actor()), "not a message".into()).await.unwrap();
    let (loaded, messages) = counted(&bus).await;
    assert!(*loaded.machine() == whole && messages > LONG);

    // A byte of it is another than was stored.
    bus.put_snapshot(&actor(), &snapshot).await.unwrap();
    let (user, password) = nats.user();
    let client = async_nats::ConnectOptions::with_user_and_password(user, password).connect(nats.url()).await;
    let js = async_nats::jetstream::new(client.unwrap());
    let objects = js.get_stream("OBJ_ATLAS_OBJECTS").await.unwrap();
    let chunk = objects.get_last_raw_message_by_subject("$O.ATLAS_OBJECTS.C.>").await.unwrap();
    let mut bytes = chunk.payload.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    objects.delete_message(chunk.sequence).await.unwrap();
    js.publish(chunk.subject, bytes.into()).await.unwrap().await.unwrap();
    let (loaded, messages) = counted(&bus).await;
    assert!(*loaded.machine() == whole && messages > LONG);

    // The journal was cut off below the snapshot's record, as by whoever purges it.
    bus.put_snapshot(&actor(), &snapshot).await.unwrap();
    let stream = js.get_stream("ATLAS_JOURNAL").await.unwrap();
    stream.purge().sequence(snapshot.sequence + 1).await.unwrap();
    assert_eq!(load(&bus).await.machine().count, TAIL, "what is gone is gone, whatever a snapshot says");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_stores_snapshots_and_the_next_one_begins_from_them() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let last = write(&bus, 0..EVERY as u64 - 1, 0).await;
    let (seen, mut sums) = watch::channel(Sum::default());
    let executor = Arc::new(Adder(seen));
    let options = HostOptions { run: run(), partitions: 1, host: "test".to_owned() };
    let start = |shutdown: &CancellationToken| {
        tokio::spawn(host::<Sum, Adder>(bus.clone(), options.clone(), executor.clone(), shutdown.clone()))
    };
    let shutdown = CancellationToken::new();
    let first = start(&shutdown);
    // One record more makes it due.
    bus.send(&actor(), say(1_000), "due").await.unwrap();
    sums.wait_for(|sum| sum.count == EVERY as u64).await.unwrap();
    let snapshot = loop {
        if let Some(snapshot) = bus.snapshot(&actor()).await.unwrap() {
            break snapshot;
        }
    };
    assert!(snapshot.sequence > last && snapshot.causes.len() == EVERY);
    shutdown.cancel();
    first.await.unwrap().unwrap();

    // Another state in its place shows who goes on from it: nobody would who folds the journal.
    let marked = Snapshot { state: encode(&(1_u64 << 32, 0_u64)).unwrap(), ..snapshot };
    bus.put_snapshot(&actor(), &marked).await.unwrap();
    let shutdown = CancellationToken::new();
    let second = start(&shutdown);
    bus.send(&actor(), say(5), "next").await.unwrap();
    sums.wait_for(|sum| sum.count == (1 << 32) + 1).await.unwrap();
    shutdown.cancel();
    second.await.unwrap().unwrap();
    assert_eq!(load(&bus).await.machine().sum, 5);
}
