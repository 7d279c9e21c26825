//! Leases: who hosts a partition. Decided by compare-and-set alone; what is read is a hint.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store, UpdateErrorKind};
use atlas_domain::{ActorKind, RunId};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::read::Stored;
use crate::spec::{LEASES, WORK};
use crate::{Bus, Error, subject};

/// Pause between attempts at a renewal that the server does not answer.
const RENEWAL_PAUSE: Duration = Duration::from_millis(200);

/// A partition that this process hosts, until [`Lease::lost`] says otherwise.
///
/// It is renewed at a third of its life. When two thirds of it have passed without a renewal, by this
/// machine's monotonic clock, the holder gives up by itself, before anyone else can have it. Even so it
/// is no lock: a process that was stopped may wake up late. Journals are therefore fenced by
/// their own sequence, and [`Lease::epoch`] tells writers apart.
#[derive(Debug)]
pub struct Lease {
    tenure: Arc<Tenure>,
    renewal: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Tenure {
    store: Store,
    key: String,
    /// Says whose the key is; unique to this tenure.
    value: Bytes,
    epoch: u64,
    ttl: Duration,
    /// What times of `term` count from.
    origin: Instant,
    term: parking_lot::Mutex<Term>,
    /// Of the last write of ours to the key.
    revision: Mutex<u64>,
    lost: CancellationToken,
}

/// A lease's term by its holder's monotonic clock, without I/O: when to renew, when to give up. Times count from any one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    ttl: Duration,
    renewed: Duration,
}

impl Term {
    /// A lease of life `ttl` whose last successful write was sent at `renewed`.
    pub fn new(ttl: Duration, renewed: Duration) -> Self {
        Self { ttl, renewed }
    }

    /// A renewal that was sent at `sent` has succeeded.
    pub fn renew(&mut self, sent: Duration) {
        self.renewed = self.renewed.max(sent);
    }

    /// When to renew: at a third of its life.
    pub fn renewal(&self) -> Duration {
        self.renewed + self.ttl / 3
    }

    /// When the holder gives up by itself: at two thirds, before anyone else can have it.
    pub fn end(&self) -> Duration {
        self.renewed + self.ttl * 2 / 3
    }

    /// Until when to wait for the answer to a renewal sent at `sent`: there is time for another.
    pub fn patience(&self, sent: Duration) -> Duration {
        self.end().min(sent + self.ttl / 6)
    }

    /// Whether its holder may act.
    pub fn holds(&self, now: Duration) -> bool {
        now < self.end()
    }
}

/// When this process first saw the leases of others as they are, by its own clock.
#[derive(Debug, Default)]
pub(crate) struct Sightings(HashMap<String, (u64, Instant)>);

impl Sightings {
    /// Has the lease `key` been at `revision` for longer than `ttl`?
    fn is_stale(&mut self, key: &str, revision: u64, ttl: Duration, now: Instant) -> bool {
        match self.0.get(key) {
            Some(&(seen, since)) if seen == revision => now.duration_since(since) > ttl,
            _ => {
                self.0.insert(key.to_owned(), (revision, now));
                false
            }
        }
    }
}

/// What came of a renewal.
enum Renewed {
    Yes,
    /// Another holds it, or nobody: it ran out.
    No,
    /// The server did not say.
    Unknown(String),
}

impl Bus {
    /// Takes the lease of a partition if nobody holds it. `holder` is for people to read.
    ///
    /// # Errors
    /// [`Error::Failed`] when the server cannot be asked.
    pub async fn try_lease(
        &self,
        run: &RunId,
        kind: ActorKind,
        partition: u16,
        holder: &str,
    ) -> Result<Option<Lease>, Error> {
        let store = self.leases().await?.clone();
        let ttl = store.stream.cached_info().config.max_age;
        let key = subject::lease(run, kind, partition);
        let tenure = format!("{:032x}", rand::random::<u128>());
        let value = Bytes::from(serde_json::json!({ "holder": holder, "tenure": tenure }).to_string());
        let begun = Instant::now();
        let epoch = match store.create(&key, value.clone()).await {
            Ok(revision) => revision,
            // The second: two hosts reached for a lease that was just given back.
            Err(error)
                if error.kind() == CreateErrorKind::AlreadyExists
                    || error.to_string().contains("wrong last") =>
            {
                match self.take_stale(&store, &key, value.clone(), ttl).await? {
                    Some(revision) => revision,
                    None => return Ok(None),
                }
            }
            Err(error) => return Err(Error::failed(format!("take the lease {key}"), error)),
        };
        let tenure = Arc::new(Tenure {
            store,
            key,
            value,
            epoch,
            ttl,
            origin: begun,
            term: parking_lot::Mutex::new(Term::new(ttl, Duration::ZERO)),
            revision: Mutex::new(epoch),
            lost: CancellationToken::new(),
        });
        let renewal = tokio::spawn(tenure.clone().keep());
        Ok(Some(Lease { tenure, renewal }))
    }

    /// Takes a lease that this process has seen unrenewed for its whole life: its holder has long given
    /// up. So a partition is not lost if the server, which should have removed it, does not.
    async fn take_stale(
        &self,
        store: &Store,
        key: &str,
        value: Bytes,
        ttl: Duration,
    ) -> Result<Option<u64>, Error> {
        let failed = |cause: crate::error::Cause| Error::failed(format!("take the lease {key}"), cause);
        let entry = store.entry(key).await.map_err(|error| failed(error.into()))?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else { return Ok(None) };
        if !self.sightings().lock().is_stale(key, entry.revision, ttl, Instant::now()) {
            return Ok(None);
        }
        match store.update(key, value, entry.revision).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// The partitions of a kind whose leases become free from now on. A hint when to try; it may miss some.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn freed_leases(
        &self,
        run: &RunId,
        kind: ActorKind,
    ) -> Result<impl Stream<Item = u16> + Send + use<>, Error> {
        let keys = format!("{run}.{kind}.*");
        let watch = self
            .leases()
            .await?
            .watch(&keys)
            .await
            .map_err(|error| Error::failed(format!("watch the leases {keys}"), error))?;
        Ok(watch.filter_map(|entry| async move {
            let entry = entry.ok().filter(|entry| entry.operation != Operation::Put)?;
            entry.key.rsplit('.').next()?.parse().ok()
        }))
    }

    /// Frees all leases of a run and has all its unacknowledged work delivered again at once, instead
    /// of when they run out. Only for a process that knows that nobody else works on the run: one that has
    /// just started the NATS server that the run lives on.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn take_over(&self, run: &RunId) -> Result<(), Error> {
        let mut keys = Vec::new();
        self.each_lease(run, |key, _| keys.push(key.to_owned())).await?;
        for key in keys {
            let freed = self.leases().await?.delete(&key).await;
            freed.map_err(|error| Error::failed(format!("free the lease {key}"), error))?;
        }
        let failed = |error: crate::error::Cause| Error::failed(format!("reset the work of {run}"), error);
        let stream = self.js().get_stream_no_info(WORK).await.map_err(|error| failed(error.into()))?;
        let mut names = stream.consumer_names();
        let mut stale = Vec::new();
        while let Some(name) = names.next().await {
            stale.extend(name.ok().filter(|name| subject::consumer_belongs(name, run)));
        }
        for name in stale {
            // The work stays in the stream; whoever opens the queue creates the consumer anew.
            stream.delete_consumer(&name).await.map_err(|error| failed(error.into()))?;
        }
        self.rest_processes(run).await
    }

    /// Visits the leases of a run that are held, each with its key.
    pub(crate) async fn each_lease(
        &self,
        run: &RunId,
        mut visit: impl FnMut(&str, &Stored),
    ) -> Result<(), Error> {
        let prefix = format!("$KV.{LEASES}.");
        self.read(&format!("KV_{LEASES}"), &format!("{prefix}{run}.>"), |stored| {
            // Given back, or run out.
            let free = stored.headers.get("KV-Operation").is_some()
                || stored.headers.get("Nats-Marker-Reason").is_some();
            if let Some(key) = stored.subject.strip_prefix(&prefix).filter(|_| !free) {
                visit(key, &stored);
            }
            Ok(())
        })
        .await
    }
}

impl Lease {
    /// Grows with every tenure of this partition: the revision of the write that won it.
    pub fn epoch(&self) -> u64 {
        self.tenure.epoch
    }

    /// Cancelled once the partition is, or may be, another's.
    pub fn lost(&self) -> CancellationToken {
        self.tenure.lost.clone()
    }

    /// For those who act under the lease.
    pub fn hold(&self) -> Hold {
        Hold { tenure: self.tenure.clone() }
    }

    /// Asks the server, by a renewal, whether the lease still holds. Says no when the server does not answer in time.
    pub async fn verify(&self) -> bool {
        let deadline = Instant::now() + self.tenure.ttl / 3;
        let held = matches!(timeout_at(deadline, self.tenure.renew()).await, Ok(Renewed::Yes));
        if !held {
            self.tenure.lost.cancel();
        }
        held
    }

    /// Gives the partition back, so that another host can have it at once.
    pub async fn release(self) {
        self.renewal.abort();
        if self.tenure.lost.is_cancelled() {
            return;
        }
        self.tenure.lost.cancel();
        let revision = *self.tenure.revision.lock().await;
        let freed = self.tenure.store.delete_expect_revision(&self.tenure.key, Some(revision)).await;
        if let Err(error) = freed {
            tracing::debug!(lease = self.tenure.key, %error, "a lease was not given back; it will run out");
        }
    }
}

/// Tells those who act under a lease whether it still holds, and keeps nobody from giving it back.
#[derive(Debug, Clone)]
pub struct Hold {
    tenure: Arc<Tenure>,
}

impl Hold {
    /// Whether the holder may act now, by its own clock alone. A process that was stopped for longer than a lease lives finds
    /// out here before it does anything, whatever of it runs first when it wakes up. No is final: an answer to a renewal that
    /// was on its way does not bring back what was given up on the strength of it.
    pub fn holds(&self) -> bool {
        let Tenure { lost, term, origin, .. } = &*self.tenure;
        let held = !lost.is_cancelled() && term.lock().holds(origin.elapsed());
        if !held {
            lost.cancel();
        }
        held
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        self.tenure.lost.cancel();
    }
}

impl Tenure {
    /// Renews until the lease is lost.
    async fn keep(self: Arc<Self>) {
        loop {
            let term = *self.term.lock();
            tokio::time::sleep_until(self.origin + term.renewal()).await;
            loop {
                let sent = self.origin.elapsed();
                match timeout_at(self.origin + term.patience(sent), self.renew()).await {
                    Ok(Renewed::Yes) => {
                        self.term.lock().renew(sent);
                        break;
                    }
                    Ok(Renewed::Unknown(error)) if term.holds(self.origin.elapsed()) => {
                        tracing::debug!(lease = self.key, error, "a lease was not renewed; trying again");
                        sleep(RENEWAL_PAUSE.min(self.ttl / 10)).await;
                    }
                    Err(_) if term.holds(self.origin.elapsed()) => {}
                    Ok(Renewed::No | Renewed::Unknown(_)) | Err(_) => {
                        tracing::warn!(lease = self.key, epoch = self.epoch, "lost a lease");
                        self.lost.cancel();
                        return;
                    }
                }
            }
        }
    }

    async fn renew(&self) -> Renewed {
        let mut revision = self.revision.lock().await;
        for _ in 0..2 {
            match self.store.update(&self.key, self.value.clone(), *revision).await {
                Ok(new) => {
                    *revision = new;
                    return Renewed::Yes;
                }
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                    // An earlier renewal whose answer got lost may have been ours. The reading is a
                    // hint; the write that follows decides.
                    match self.store.entry(&self.key).await {
                        Ok(Some(entry)) if entry.operation == Operation::Put && entry.value == self.value => {
                            *revision = entry.revision;
                        }
                        Ok(_) => return Renewed::No,
                        Err(error) => return Renewed::Unknown(error.to_string()),
                    }
                }
                Err(error) => return Renewed::Unknown(error.to_string()),
            }
        }
        Renewed::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_stale_when_one_revision_was_seen_for_its_whole_life() {
        let (mut seen, ttl, start) = (Sightings::default(), Duration::from_secs(10), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!seen.is_stale("a", 1, ttl, at(0)));
        assert!(!seen.is_stale("a", 1, ttl, at(10)));
        assert!(!seen.is_stale("a", 2, ttl, at(11)), "it was renewed");
        assert!(!seen.is_stale("b", 2, ttl, at(20)), "another lease");
        assert!(!seen.is_stale("a", 2, ttl, at(21)));
        assert!(seen.is_stale("a", 2, ttl, at(22)));
    }
}
