//! Three nats-servers that are one JetStream: what holds when one of them is gone or cut off.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::Record;
use atlas_testkit::TestCluster;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

fn agent(id: &str) -> ActorId {
    ActorId { run: RunId::new("r").unwrap(), kind: ActorKind::Agent, id: id.to_owned() }
}

fn record(cause: &str) -> Record {
    Record { version: 1, cause: cause.to_owned(), epoch: 1, ..Record::default() }
}

async fn whole(bus: &Bus) {
    while !bus.is_whole().await.unwrap_or(false) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Who leads the journals, as `bus`'s servers say.
async fn leader(nats: &TestCluster) -> usize {
    let leader = raw_journal(nats, 0).await.cached_info().cluster.clone().unwrap().leader.unwrap();
    leader.trim_start_matches('n').parse().unwrap()
}

/// The journals, asked of one node.
async fn raw_journal(nats: &TestCluster, node: usize) -> Stream {
    let options = nats.cluster.options_of(node, "test");
    let (user, password) = options.user.unwrap();
    let client = async_nats::ConnectOptions::with_user_and_password(user, password);
    async_nats::jetstream::new(client.connect(options.url).await.unwrap())
        .get_stream("ATLAS_JOURNAL")
        .await
        .unwrap()
}

#[tokio::test]
async fn the_leader_is_killed_and_nothing_is_lost() {
    let mut nats = TestCluster::start().await;
    let bus = nats.bus().await;
    let (mut last, mut acknowledged) = (0, vec![]);
    let mut append = async |bus: &Bus, cause: &str| {
        last = bus.append(&agent("a"), &record(cause), last).await.unwrap();
        acknowledged.push((last, record(cause)));
    };
    append(&bus, "before").await;
    let killed = leader(&nats).await;
    nats.cluster.kill_node(killed).await;
    append(&bus, "while it is away").await;
    nats.cluster.start_node(killed).await.unwrap();
    append(&bus, "when it is back").await;
    // It has learnt what it missed: asked of it, and with another of those away that were there.
    whole(&bus).await;
    nats.cluster.kill_node((killed + 1) % 3).await;
    let bus = Bus::connect(&nats.cluster.options_of(killed, "test")).await.unwrap();
    append(&bus, "with another away").await;
    assert_eq!(bus.records(&agent("a")).await.unwrap(), acknowledged);
}

/// The node that is cut off from the others.
type CutOff = watch::Receiver<Option<usize>>;

/// Passes connections of node `from` on to node `to` unless one of them is cut off. Returns its port.
async fn link(nats: &TestCluster, from: usize, to: usize, cut_off: CutOff) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, far) = (listener.local_addr().unwrap().port(), nats.cluster.route_port(to));
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut cut_off = cut_off.clone();
            tokio::spawn(async move {
                let passed = async {
                    let mut far = TcpStream::connect(("127.0.0.1", far)).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                };
                tokio::select! {
                    biased;
                    _ = cut_off.wait_for(|node| [Some(from), Some(to)].contains(node)) => {}
                    _ = passed => {}
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_journal_is_never_read_without_its_last_record() {
    let mut nats = TestCluster::prepare();
    let (cut_off, is_cut_off) = watch::channel(None);
    for (from, to) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        let port = link(&nats, from, to, is_cut_off.clone()).await;
        nats.cluster.set_route(from, to, port);
    }
    nats.cluster.start_all().await.unwrap();
    let bus = nats.bus().await;
    let first = bus.append(&agent("a"), &record("first"), 0).await.unwrap();
    whole(&bus).await;

    // A follower of the journals, and who is connected to it alone.
    let follower = (leader(&nats).await + 1) % 3;
    let raw = raw_journal(&nats, follower).await;
    let subject = format!("atlas.journal.r.agent.{}.a", agent("a").partition(4));
    let near = Bus::connect(&nats.cluster.options_of((follower + 1) % 3, "test")).await.unwrap();
    let far = Bus::connect(&nats.cluster.options_of(follower, "test")).await.unwrap();
    let mut written = vec![(first, record("first"))];
    loop {
        assert_eq!(far.records(&agent("a")).await.unwrap(), written);
        let last = written[written.len() - 1].0;
        cut_off.send_replace(Some(follower));
        let next = near.append(&agent("a"), &record("next"), last).await.unwrap();
        written.push((next, record("next")));
        match raw.direct_get_last_for_subject(&subject).await {
            // It answers, and does not know.
            Ok(stale) => break assert_eq!(stale.sequence, last),
            // It had not begun to answer yet: followers do some seconds after they have all.
            Err(_) => {
                cut_off.send_replace(None);
                whole(&bus).await;
            }
        }
    }
    let read = tokio::spawn(async move { far.records(&agent("a")).await });
    tokio::task::yield_now().await;
    cut_off.send_replace(None);
    assert_eq!(read.await.unwrap().unwrap(), written);
}

#[tokio::test]
async fn a_record_that_follows_at_once_is_not_taken_for_anothers() {
    let nats = TestCluster::start().await;
    let bus = nats.bus().await;
    // Each is alone on its journal. A server that says otherwise says it of one append in two thousand.
    let run = RunId::new("r").unwrap();
    let figures = atlas_bus::bench::appends(&bus, &run, 64, 4096, Duration::from_secs(8)).await.unwrap();
    let mut records = 0;
    for actor in bus.actors(&run, ActorKind::Agent, None).await.unwrap() {
        records += bus.records(&actor).await.unwrap().len();
    }
    assert_eq!(records, figures.each.len());
}
