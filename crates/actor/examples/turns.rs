//! `cargo run -p atlas-actor --example turns -- [AGENTS] [TURNS]`: journaled turns a second on a nats-server
//! of its own that syncs every write (`sync_interval: always`).
#![allow(clippy::expect_used)]

use atlas_actor::bench;
use atlas_domain::RunId;
use atlas_testkit::TestNats;

#[tokio::main]
async fn main() {
    let mut numbers =
        std::env::args().skip(1).map(|number| number.parse::<u32>().expect("AGENTS and TURNS are numbers"));
    let (agents, turns) = (numbers.next().unwrap_or(200), numbers.next().unwrap_or(50));
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let run = RunId::new("bench").expect("a valid name");
    let figures = bench::turns(&bus, &run, agents, turns).await.expect("the bench runs");
    println!(
        "{agents} agents, {} records, {:?}: {:.0} records/s",
        figures.records,
        figures.elapsed,
        figures.records_per_second()
    );
}
