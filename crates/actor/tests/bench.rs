//! The bench runs, and says what it measured.
#![allow(clippy::unwrap_used)]

use atlas_actor::bench;
use atlas_domain::RunId;
use atlas_testkit::TestNats;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_turn_of_every_agent_is_journaled() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let figures = bench::turns(&bus, &RunId::new("bench").unwrap(), 20, 10).await.unwrap();
    assert_eq!((figures.agents, figures.records), (20, 220));
    println!("{:.0} records/s ({figures:?})", figures.records_per_second());
}
