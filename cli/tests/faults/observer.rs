//! Somebody who reads along in the journals as they are written, through a connection of its own that never fails.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use atlas_bus::Bus;
use atlas_domain::{ActorId, RunId};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// A record that could be read once, so that it must be there for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub actor: ActorId,
    pub cause: String,
}

#[derive(Debug)]
pub struct Observer {
    seen: Arc<Mutex<BTreeMap<u64, Seen>>>,
    /// How many records.
    count: watch::Receiver<usize>,
    /// When each look found new records, and the last of them.
    moments: Arc<Mutex<Vec<(Instant, u64)>>>,
    reading: JoinHandle<()>,
}

impl Observer {
    pub fn of(bus: Bus, run: RunId) -> Self {
        let (seen, moments) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(Mutex::new(Vec::new())));
        let (say, count) = watch::channel(0);
        let (into, when) = (Arc::clone(&seen), Arc::clone(&moments));
        let reading = tokio::spawn(async move {
            let mut last = 0;
            loop {
                let mut found = BTreeMap::new();
                // A look that fails has still found what it has.
                let _ = bus
                    .journals_after(&run, last, |actor, sequence, record| {
                        if !Bus::is_archived(&record) {
                            found.insert(sequence, Seen { actor, cause: record.cause });
                        }
                        Ok(())
                    })
                    .await;
                if let Some((&newest, _)) = found.last_key_value() {
                    last = newest;
                    when.lock().unwrap().push((Instant::now(), newest));
                    let mut seen = into.lock().unwrap();
                    seen.append(&mut found);
                    say.send_replace(seen.len());
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        Self { seen, count, moments, reading }
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until there are so many records.
    pub async fn reach(&self, count: usize) {
        self.count.clone().wait_for(|&now| now >= count).await.unwrap();
    }

    pub fn seen(&self) -> BTreeMap<u64, Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The longest time without a new record from `from` until the first one after `to`.
    pub fn silence(&self, from: Instant, to: Instant) -> Duration {
        let moments = self.moments.lock().unwrap();
        let mut longest = Duration::ZERO;
        let mut before = from;
        for &(moment, _) in moments.iter().filter(|(moment, _)| *moment > from) {
            longest = longest.max(moment - before);
            before = moment;
            if moment > to {
                break;
            }
        }
        longest
    }

    /// What had been written for sure at a moment, and what at most: sequences.
    pub fn written(&self, at: Instant) -> (u64, u64) {
        let moments = self.moments.lock().unwrap();
        let next = moments.partition_point(|(moment, _)| *moment <= at);
        let before = next.checked_sub(1).map_or(0, |last| moments[last].1);
        (before, moments.get(next).map_or(u64::MAX, |(_, newest)| *newest))
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
