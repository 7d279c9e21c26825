//! The bench runs, and says what it measured.
#![allow(clippy::unwrap_used)]

use atlas_actor::bench::{self, Stage};
use atlas_domain::RunId;
use atlas_testkit::TestNats;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_turn_of_every_agent_is_journaled_and_every_agent_archived() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let mut stages = vec![];
    let run = RunId::new("bench").unwrap();
    let figures = bench::fleet(&bus, &run, 20, 10, &mut |stage| stages.push(stage)).await.unwrap();
    assert_eq!((figures.agents, figures.records), (20, 220));
    assert_eq!(stages, [Stage::Empty, Stage::Live, Stage::Back, Stage::Turned, Stage::Archived]);
    assert_eq!(bus.journal_size().await.unwrap().0, 20);
}
