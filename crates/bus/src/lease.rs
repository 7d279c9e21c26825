//! Leases: who hosts a partition.

use std::sync::Arc;

use atlas_domain::{ActorKind, RunId};
use futures::StreamExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::connect::StoreError;
use crate::hosts::{Claim, Write};
use crate::session::{Session, Upkeep};
use crate::spec::WORK;
use crate::{Bus, Error, subject};

/// A partition that this process hosts, until [`Lease::lost`] says otherwise.
///
/// It is a claim that names the process's session, and holds as long as that: the session is renewed at a third of its life, for
/// all leases of the process at once. When two thirds of it have passed without a renewal, by this machine's monotonic clock, the holder
/// gives up by itself, before anyone else can have what it holds. Even so it is no lock: a process that was stopped may wake up late.
/// Journals are therefore fenced by their own sequence, and [`Lease::epoch`] tells writers apart.
#[derive(Debug)]
pub struct Lease {
    session: Arc<Session>,
    /// `None`: it was given back.
    upkeep: Option<Arc<Upkeep>>,
    key: String,
    epoch: u64,
    lost: CancellationToken,
}

impl Bus {
    /// Takes the lease of a partition if nobody has claimed it. `holder` is for people to read.
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
        let key = subject::lease(run, kind, partition);
        let entry = self.look(&key).await?;
        if entry.value.is_some() { Ok(None) } else { self.claim(key, entry.revision, holder).await }
    }

    /// Writes a claim if its revision is `after`, and nobody acts under that one.
    pub(crate) async fn claim(&self, key: String, after: u64, holder: &str) -> Result<Option<Lease>, Error> {
        let upkeep = self.session().await?;
        let session = upkeep.session.clone();
        if !session.reach(&key) {
            return Ok(None);
        }
        let lost = session.lost.child_token();
        // From here on dropping it has the claim deleted, should it be ours.
        let mut lease = Lease { session: session.clone(), upkeep: Some(upkeep), key, epoch: 0, lost };
        let claim = Claim { session: session.id.clone(), holder: holder.to_owned() };
        match self.write(&lease.key, after, Write::Claim(claim)).await {
            Ok(epoch) => {
                lease.epoch = epoch;
                session.won(&lease.key, epoch, lease.lost.clone());
                Ok(session.holds().then_some(lease))
            }
            Err(StoreError::Outdated) => {
                session.missed(&lease.key);
                if let Some(upkeep) = lease.upkeep.take() {
                    upkeep.leave().await;
                }
                Ok(None)
            }
            Err(error) => Err(Error::failed(format!("take the lease {}", lease.key), error)),
        }
    }

    /// Frees all partitions of a run and has all its unacknowledged work delivered again at once, instead
    /// of when their hosts are found dead. Only for a process that knows that nobody else works on the run: one that has
    /// just started the NATS server that the run lives on.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn take_over(&self, run: &RunId) -> Result<(), Error> {
        let mut claims = Vec::new();
        self.each_claim(run, None, |key, revision, claim| {
            claims.extend(claim.map(|_| (key.to_owned(), revision)));
        })
        .await?;
        for (key, revision) in claims {
            let freed = self.write(&key, revision, Write::Delete).await;
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
}

impl Lease {
    /// Grows with every tenure of this partition: the revision of the claim.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Cancelled once the partition is, or may be, another's.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// For those who act under the lease.
    pub fn hold(&self) -> Hold {
        Hold { session: self.session.clone(), lost: self.lost.clone() }
    }

    /// Asks the server whether the lease still holds: renews the session and looks at the claim. Says no when the server does not
    /// answer in time.
    pub async fn verify(&self) -> bool {
        let session = &self.session;
        let claimed = async {
            let claim = timeout(session.ttl / 3, session.bus.look(&self.key)).await;
            // An older revision is what a follower knows that lags.
            claim.is_ok_and(|claim| claim.is_ok_and(|claim| claim.revision <= self.epoch))
        };
        let held = session.verify().await && claimed.await;
        if !held {
            self.lost.cancel();
        }
        held
    }

    /// Gives the partition back, so that another host can have it at once: also one that was lost, so that nobody waits for what this
    /// process does not do any more.
    pub async fn release(self) {
        self.end(Write::Delete).await;
    }

    /// Nobody acts under it any more: what the claim says from now on.
    pub(crate) async fn end(mut self, claim: Write) {
        self.lost.cancel();
        let Some(upkeep) = self.upkeep.take() else { return };
        let session = &self.session;
        let ended = timeout(session.ttl, session.bus.write(&self.key, self.epoch, claim)).await;
        match ended {
            Ok(Ok(_) | Err(StoreError::Outdated)) => session.missed(&self.key),
            _ => session.left(&self.key),
        }
        upkeep.leave().await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.lost.cancel();
        if self.upkeep.is_some() {
            self.session.left(&self.key);
        }
    }
}

/// Tells those who act under a lease whether it still holds, and keeps nobody from giving it back.
#[derive(Debug, Clone)]
pub struct Hold {
    session: Arc<Session>,
    lost: CancellationToken,
}

impl Hold {
    /// Whether the holder may act now, by its own clock alone. A process that was stopped for longer than its session lives finds
    /// out here before it does anything, whatever of it runs first when it wakes up. No is final.
    pub fn holds(&self) -> bool {
        !self.lost.is_cancelled() && self.session.holds()
    }
}
