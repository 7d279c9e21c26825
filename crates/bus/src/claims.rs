//! News of claims: which partitions of a kind are free, who asks for some, and the watch over the hosts that have the others.

use std::collections::VecDeque;
use std::sync::Arc;

use async_nats::jetstream::kv::{self, Operation};
use atlas_domain::{ActorKind, RunId};
use futures::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use crate::connect::StoreError;
use crate::hosts::{Write, parse_claim, session};
use crate::session::Upkeep;
use crate::{Ask, Bus, Error, Vigil, subject};

/// What happens to the partitions of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Nobody has claimed it.
    Free(u16),
    /// A partition was handed over to this process, by the claim at this revision: to be taken ([`Bus::accept`]) or given back
    /// ([`Bus::refuse`]), which says whether it is still so. It may also be a claim of this process's own that has ended meanwhile.
    Handed(u16, u64),
    /// A host asks for partitions of this process ([`Claims::give`]).
    Asked(Ask),
}

/// Tells what happens to the partitions of a kind. While it is asked for more ([`Claims::next`]) it also looks at another host, and frees
/// what that one holds should it be dead, and asks for a share if it is to ([`Vigil`]).
pub struct Claims {
    bus: Bus,
    run: RunId,
    kind: ActorKind,
    watch: kv::Watch,
    asks: async_nats::Subscriber,
    vigil: Vigil<String>,
    news: VecDeque<News>,
    /// Asks for a share, under this name.
    holder: Option<String>,
    /// Keeps the session that others hand partitions over to.
    upkeep: Option<Arc<Upkeep>>,
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
        let subject = subject::shares(run, kind);
        let asks = self.client().subscribe(subject.clone()).await;
        let asks = asks.map_err(|error| Error::failed(format!("subscribe to {subject}"), error))?;
        let now = Instant::now();
        let mut claims = Claims {
            bus: self.clone(),
            run: run.clone(),
            kind,
            watch,
            asks,
            vigil: Vigil::new(self.host().to_owned(), self.session_ttl().await?),
            news: VecDeque::new(),
            holder: None,
            upkeep: None,
            origin: now,
            next_look: now,
        };
        let mut read = Vec::new();
        self.each_claim(run, Some(kind), |key, revision, claim| {
            read.push((key.to_owned(), revision, claim.map(|claim| claim.session)));
        })
        .await?;
        for (key, revision, session) in read {
            claims.heard(&key, revision, session).await;
        }
        // Those whose deletion was read among them.
        claims.news.retain(|news| !matches!(news, News::Free(_)));
        let free = (0..partitions).filter(|partition| !claims.vigil.is_claimed(*partition));
        claims.news.extend(free.map(News::Free));
        Ok(claims)
    }

    /// Ends a session that is still at this revision: whoever holds it cannot renew it any more. Says whether it is over.
    async fn end_session(&self, key: &str, revision: u64) -> Result<bool, Error> {
        match self.write(key, revision, Write::Delete).await {
            Ok(_) => Ok(true),
            Err(StoreError::Outdated) => Ok(false),
            Err(error) => Err(Error::failed(format!("end the dead {key}"), error)),
        }
    }

    /// Deletes a claim that is still at this revision, and under which nobody acts.
    pub(crate) async fn free(&self, key: &str, revision: u64) -> Result<(), Error> {
        match self.write(key, revision, Write::Delete).await {
            // Else somebody else has freed it.
            Ok(_) | Err(StoreError::Outdated) => Ok(()),
            Err(error) => Err(Error::failed(format!("free the lease {key}"), error)),
        }
    }
}

impl Claims {
    /// From now on it asks others for this process's share, in the name of `holder`, which is for people to read.
    pub fn seek(&mut self, holder: &str) {
        self.holder = Some(holder.to_owned());
    }

    /// What happens next: first what is so now. `None`: the watch is broken; ask for the claims again. Must be asked for more all the
    /// time, for the sake of the others' partitions.
    pub async fn next(&mut self) -> Option<News> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Some(news);
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
                Some(message) = self.asks.next() => match serde_json::from_slice(&message.payload) {
                    Ok(ask) => self.news.push_back(News::Asked(ask)),
                    Err(error) => tracing::debug!(kind = %self.kind, %error, "somebody asks for what nobody understands"),
                },
                () = sleep_until(self.next_look) => self.look().await,
            }
        }
    }

    /// What this process hands over to a host that asks ([`crate::Lease::hand_over`]): partitions, with the epochs of their leases;
    /// those of the least `load` first ([`Vigil::gives`]).
    pub async fn give(&mut self, ask: &Ask, load: impl Fn(u16) -> usize) -> Vec<(u16, u64)> {
        let Some(own) = self.bus.session_id().await else { return Vec::new() };
        let asked = ask.of.get(&own).copied().unwrap_or_default();
        self.vigil.gives(&own, &ask.session, asked, load)
    }

    async fn hear(&mut self, entry: &kv::Entry) {
        let claim = (entry.operation == Operation::Put).then(|| parse_claim(&entry.value)).flatten();
        self.heard(&entry.key, entry.revision, claim.map(|claim| claim.session)).await;
    }

    async fn heard(&mut self, key: &str, revision: u64, session: Option<String>) {
        let Some(partition) = partition_of(key) else { return };
        let handed = self.bus.heard_of_claim(key, revision, session.as_deref()).await;
        let free = session.is_none();
        if !self.vigil.claimed(partition, revision, session) {
            return;
        }
        if free {
            self.news.push_back(News::Free(partition));
        } else if handed {
            self.news.push_back(News::Handed(partition, revision));
        }
    }

    /// Looks at the hosts that this one is to look at, and at what it has itself.
    async fn look(&mut self) {
        let own = self.bus.session_id().await;
        for watched in self.vigil.watched(own.as_ref(), self.origin.elapsed()) {
            if let Err(error) = self.look_at(&watched).await {
                tracing::debug!(session = watched, %error, "a session cannot be looked at");
            }
        }
        if let Some(holder) = self.holder.clone()
            && let Err(error) = self.ask(own.as_ref(), holder).await
        {
            tracing::debug!(kind = %self.kind, %error, "nobody can be asked for a share");
        }
        self.next_look = self.origin + self.vigil.next_look(own.as_ref(), self.origin.elapsed());
    }

    /// Asks for what this process lacks.
    async fn ask(&mut self, own: Option<&String>, holder: String) -> Result<(), Error> {
        let of = self.vigil.asks(own, self.origin.elapsed());
        if !of.is_empty() {
            let upkeep = self.bus.session().await?;
            let session = upkeep.session.id.clone();
            self.upkeep = Some(upkeep);
            tracing::info!(kind = %self.kind, ?of, "asks other hosts for a share of their partitions");
            return self.bus.ask(&self.run, self.kind, &Ask { session, holder, of }).await;
        }
        if !self.vigil.is_asking()
            && let Some(upkeep) = self.upkeep.take()
        {
            upkeep.leave().await;
        }
        Ok(())
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
                self.bus.free(&subject::lease(&self.run, self.kind, partition), revision).await?;
            }
        }
        Ok(())
    }
}

fn partition_of(key: &str) -> Option<u16> {
    key.rsplit('.').next()?.parse().ok()
}
