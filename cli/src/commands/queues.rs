//! `atlas queues`: what lies on the run's NATS and what waits there, for when nothing moves.

use std::collections::BTreeMap;

use atlas_bus::{QueueState, Room, StreamState};
use serde_json::json;

use crate::args::{Output, QueuesArgs};
use crate::attach::Attached;
use crate::directory::Directory;
use crate::failure::{Exit, Failure, Result};
use crate::print::{self, WRONG, styled};

/// From this share of its limit on a store is called nearly full.
const NEARLY: f64 = 0.9;

/// Shows streams and queues.
pub async fn queues(args: &QueuesArgs) -> Result<Exit> {
    let directory = Directory::find(&args.which.dir, args.which.run.as_deref())?;
    let attached = Attached::to(&directory).await?;
    let read = read(&attached).await;
    let run = attached.run.clone();
    attached.close().await;
    let (streams, room, queues) =
        read.map_err(|e| Failure::fault(e.to_string()).hint("docs/runbook.md: “Quorum lost”"))?;
    if args.output.output == Output::Json {
        print::json(&json!({ "run": run, "streams": streams, "room": room, "queues": queues }))?;
        return Ok(Exit::Done);
    }
    print::line(of_streams(&streams).trim_end());
    print::line(of_room(room));
    print::line("");
    print::line(of_queues(&queues));
    Ok(Exit::Done)
}

async fn read(attached: &Attached) -> Result<(Vec<StreamState>, Room, Vec<QueueState>), atlas_bus::Error> {
    let bus = &attached.bus;
    Ok((bus.streams().await?, bus.room().await?, bus.queues(&attached.run).await?))
}

fn of_streams(streams: &[StreamState]) -> String {
    let row = |stream: &StreamState| {
        let leader = match &stream.leader {
            Some(leader) => leader.clone(),
            None if stream.copies > 1 => styled(WRONG, "no leader"),
            None => "–".to_owned(),
        };
        vec![
            stream.stream.clone(),
            stream.messages.to_string(),
            megabytes(stream.bytes),
            stream.copies.to_string(),
            leader,
            if stream.behind.is_empty() { "–".to_owned() } else { styled(WRONG, stream.behind.join(", ")) },
        ]
    };
    let head = ["STREAM", "MESSAGES", "SIZE", "COPIES", "LEADER", "BEHIND"];
    print::table(&head, streams.iter().map(row).collect(), &[1, 2, 3])
}

fn of_room(room: Room) -> String {
    let used = megabytes(room.used);
    match room.limit {
        Some(limit) if room.used as f64 >= NEARLY * limit as f64 => {
            styled(WRONG, format!("JetStream is nearly full: {used} of {} are taken", megabytes(limit)))
        }
        Some(limit) => format!("JetStream: {used} of {} are taken", megabytes(limit)),
        None => format!("JetStream: {used} are taken; it may take what the disk has"),
    }
}

fn of_queues(queues: &[QueueState]) -> String {
    let mut sums: BTreeMap<&str, QueueState> = BTreeMap::new();
    for queue in queues {
        let sum = sums.entry(&queue.queue).or_insert_with(|| QueueState {
            queue: queue.queue.clone(),
            partition: 0,
            waiting: 0,
            taken: 0,
            again: 0,
            takers: 0,
        });
        // Of the sum, how many partitions there are.
        sum.partition += 1;
        sum.waiting += queue.waiting;
        sum.taken += queue.taken;
        sum.again += queue.again;
        sum.takers += queue.takers;
    }
    if sums.is_empty() {
        return "nothing waits, and nobody takes anything".to_owned();
    }
    let rows = sums.into_values().map(|sum| {
        let stuck = sum.waiting > 0 && sum.takers == 0 && sum.taken == 0;
        let again = sum.again.to_string();
        vec![
            sum.queue,
            sum.partition.to_string(),
            if stuck { styled(WRONG, sum.waiting.to_string()) } else { sum.waiting.to_string() },
            sum.taken.to_string(),
            if sum.again > 0 { styled(WRONG, again) } else { again },
            sum.takers.to_string(),
        ]
    });
    let head = ["QUEUE", "PARTITIONS", "WAITING", "TAKEN", "TAKEN AGAIN", "TAKERS"];
    print::table(&head, rows.collect(), &[1, 2, 3, 4, 5]).trim_end().to_owned()
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
