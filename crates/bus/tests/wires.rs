//! Servers that are silent: machines without power and switches without mercy say no goodbye.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use atlas_bus::{Bus, Options, Spec};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::Record;
use atlas_testkit::{Proxy, TestNats, Wire};

#[tokio::test]
async fn a_server_that_falls_silent_is_left_for_another_before_a_lease_runs_out() {
    let nats = TestNats::start().await;
    let ports = nats.url().rsplit(':').next().unwrap().parse().unwrap();
    // Two ways to one server stand for two servers of a cluster.
    let ways = [Proxy::start(ports).await.unwrap(), Proxy::start(ports).await.unwrap()];
    let url = ways.iter().map(|way| format!("nats://127.0.0.1:{}", way.port())).collect::<Vec<_>>().join(",");
    nats.bus().await;
    let bus = Bus::connect(&Options { url, ..nats.options("service") }).await.unwrap();
    let run = RunId::new("numbers").unwrap();
    let actor = ActorId::singleton(&run, ActorKind::Plan);
    let given_up = Spec::new(4).in_copies(3).lease_ttl * 2 / 3;
    let mut last = 0;
    for cause in ["whole", "the first is silent", "the second is silent"] {
        match cause {
            "the first is silent" => ways[0].set(Wire::Silent),
            "the second is silent" => {
                ways[0].set(Wire::Whole);
                ways[1].set(Wire::Silent);
            }
            _ => {}
        }
        let begun = Instant::now();
        let record = Record { cause: cause.to_owned(), ..Record::default() };
        last = bus.append(&actor, &record, last).await.unwrap();
        assert!(begun.elapsed() < given_up, "{cause}: {:?}", begun.elapsed());
    }
    assert_eq!(bus.records(&actor).await.unwrap().len(), 3, "each record is there once");
    assert!(given_up > Duration::from_secs(1));
}
