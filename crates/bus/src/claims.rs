//! News of claims: which partitions of a kind are free, and the watch over the hosts that have the others.

use std::collections::VecDeque;

use async_nats::jetstream::kv::{self, Operation};
use atlas_domain::{ActorKind, RunId};
use futures::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use crate::connect::StoreError;
use crate::hosts::{Write, parse_claim, session};
use crate::{Bus, Error, Vigil, subject};

/// Tells which partitions of a kind are free. While it is asked for more ([`Claims::next`]) it also looks at another host, and frees
/// what that one holds should it be dead ([`Vigil`]).
pub struct Claims {
    bus: Bus,
    run: RunId,
    kind: ActorKind,
    watch: kv::Watch,
    vigil: Vigil<String>,
    free: VecDeque<u16>,
    /// What times of `vigil` count from.
    origin: Instant,
    next_look: Instant,
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims").field("run", &self.run).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Bus {
    /// The claims on partitions `0..partitions` of a kind, as they are and as they change.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn claims(&self, run: &RunId, kind: ActorKind, partitions: u16) -> Result<Claims, Error> {
        let keys = format!("{run}.{kind}.*");
        // First the watch, so that nothing falls between it and the reading.
        let watch = self.hosts().await?.watch(&keys).await;
        let watch = watch.map_err(|error| Error::failed(format!("watch the claims {keys}"), error))?;
        let mut vigil = Vigil::new(self.host().to_owned(), self.session_ttl().await?);
        let mut claims = Vec::new();
        self.each_claim(run, Some(kind), |key, revision, claim| {
            claims.push((key.to_owned(), revision, claim.map(|claim| claim.session)));
        })
        .await?;
        for (key, revision, session) in claims {
            self.heard_of_claim(&key, revision, session.as_deref()).await;
            if let Some(partition) = partition_of(&key) {
                vigil.claimed(partition, revision, session);
            }
        }
        let now = Instant::now();
        let free = (0..partitions).filter(|partition| !vigil.is_claimed(*partition)).collect();
        let (bus, run) = (self.clone(), run.clone());
        Ok(Claims { bus, run, kind, watch, vigil, free, origin: now, next_look: now })
    }

    /// Ends a session that is still at this revision: whoever holds it cannot renew it any more. Says whether it is over.
    async fn end_session(&self, key: &str, revision: u64) -> Result<bool, Error> {
        match self.write(key, revision, Write::Delete).await {
            Ok(_) => Ok(true),
            Err(StoreError::Outdated) => Ok(false),
            Err(error) => Err(Error::failed(format!("end the dead {key}"), error)),
        }
    }
}

impl Claims {
    /// The next partition that nobody has claimed: first those that are free now, then each as it becomes free. `None`: the watch
    /// is broken; ask for the claims again. Must be asked for more all the time, for the sake of the others' partitions.
    pub async fn next(&mut self) -> Option<u16> {
        loop {
            if let Some(partition) = self.free.pop_front() {
                return Some(partition);
            }
            tokio::select! {
                entry = self.watch.next() => match entry {
                    Some(Ok(entry)) => self.hear(&entry).await,
                    Some(Err(error)) => {
                        tracing::debug!(kind = %self.kind, %error, "the claims are not watched");
                        return None;
                    }
                    None => return None,
                },
                () = sleep_until(self.next_look) => self.look().await,
            }
        }
    }

    async fn hear(&mut self, entry: &kv::Entry) {
        let Some(partition) = partition_of(&entry.key) else { return };
        let claim = (entry.operation == Operation::Put).then(|| parse_claim(&entry.value)).flatten();
        let session = claim.map(|claim| claim.session);
        self.bus.heard_of_claim(&entry.key, entry.revision, session.as_deref()).await;
        let free = session.is_none();
        if self.vigil.claimed(partition, entry.revision, session) && free {
            self.free.push_back(partition);
        }
    }

    /// Looks at the hosts that this one is to look at.
    async fn look(&mut self) {
        let own = self.bus.session_id().await;
        for watched in self.vigil.watched(own.as_ref(), self.origin.elapsed()) {
            if let Err(error) = self.look_at(&watched).await {
                tracing::debug!(session = watched, %error, "a session cannot be looked at");
            }
        }
        self.next_look = self.origin + self.vigil.next_look(own.as_ref(), self.origin.elapsed());
    }

    async fn look_at(&mut self, id: &str) -> Result<(), Error> {
        let key = session(id);
        let entry = self.bus.look(&key).await?;
        let dead = match (&entry.value, entry.revision) {
            // It was ended, and no session begins twice.
            (None, 1..) => true,
            // It was ended long ago; or whoever answered lags behind. The server decides: the key of a session that lives is there.
            (None, 0) => self.bus.end_session(&key, 0).await?,
            (Some(_), revision) => {
                self.vigil.saw(&id.to_owned(), revision, self.origin.elapsed()) && {
                    tracing::warn!(
                        session = id,
                        "a host has not renewed its session for longer than that lives"
                    );
                    self.bus.end_session(&key, revision).await?
                }
            }
        };
        if dead {
            for (partition, revision) in self.vigil.claims_of(&id.to_owned()) {
                let claim = subject::lease(&self.run, self.kind, partition);
                // Else somebody else has freed it.
                match self.bus.write(&claim, revision, Write::Delete).await {
                    Ok(_) | Err(StoreError::Outdated) => {}
                    Err(error) => return Err(Error::failed(format!("free the lease {claim}"), error)),
                }
            }
        }
        Ok(())
    }
}

fn partition_of(key: &str) -> Option<u16> {
    key.rsplit('.').next()?.parse().ok()
}
