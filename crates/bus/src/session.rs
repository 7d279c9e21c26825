//! A process's session: the one key that it renews for all that it hosts.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::connect::StoreError;
use crate::hosts::{Write, parse_claim, session};
use crate::{Bus, Error, Term};

/// Pause between attempts at a renewal that the server does not answer.
const RENEWAL_PAUSE: Duration = Duration::from_millis(200);

/// What came of a renewal.
#[derive(Debug)]
pub(crate) enum Renewed {
    Yes,
    /// Not now; one of those did whose answers did not come.
    Earlier,
    /// Another has ended it.
    No,
    /// The server did not say.
    Unknown(String),
}

/// What this process has to do with a claim that may name its session.
#[derive(Debug)]
enum Standing {
    /// It is being written.
    Reached,
    /// Held since this revision.
    Held { epoch: u64, lost: CancellationToken },
    /// Nobody here acts under it any more: it is to be deleted, should it be there.
    Left,
}

/// A session, over once [`Session::lost`] is cancelled; and it never comes back.
#[derive(Debug)]
pub(crate) struct Session {
    pub bus: Bus,
    pub id: String,
    key: String,
    pub ttl: Duration,
    /// What times of `term` count from.
    origin: Instant,
    term: parking_lot::Mutex<Term>,
    /// Of the last write of ours to the key.
    revision: Mutex<u64>,
    pub lost: CancellationToken,
    claims: parking_lot::Mutex<HashMap<String, Standing>>,
}

/// Keeps a session renewed as long as somebody holds something under it.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub session: Arc<Session>,
    renewal: tokio::task::JoinHandle<()>,
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.renewal.abort();
        self.session.lost.cancel();
    }
}

impl Bus {
    /// This process's session, begun if there is none that holds.
    pub(crate) async fn session(&self) -> Result<Arc<Upkeep>, Error> {
        let mut slot = self.session_slot().lock().await;
        if let Some(upkeep) = slot.upgrade()
            && upkeep.session.holds()
        {
            return Ok(upkeep);
        }
        let id = self.next_session_id();
        let (key, ttl) = (session(&id), self.session_ttl().await?);
        let origin = Instant::now();
        let revision = self
            .write(&key, 0, Write::Session)
            .await
            .map_err(|error| Error::failed(format!("begin the session {id}"), error))?;
        let session = Arc::new(Session {
            bus: self.clone(),
            id,
            key,
            ttl,
            origin,
            term: parking_lot::Mutex::new(Term::new(ttl, Duration::ZERO)),
            revision: Mutex::new(revision),
            lost: CancellationToken::new(),
            claims: parking_lot::Mutex::default(),
        });
        let renewal = tokio::spawn(session.clone().keep());
        let upkeep = Arc::new(Upkeep { session, renewal });
        *slot = Arc::downgrade(&upkeep);
        Ok(upkeep)
    }
}

impl Bus {
    /// The name of this process's session, if it has one.
    pub(crate) async fn session_id(&self) -> Option<String> {
        let upkeep = self.session_slot().lock().await.upgrade()?;
        Some(upkeep.session.id.clone()).filter(|_| !upkeep.session.lost.is_cancelled())
    }

    /// A claim is at `revision` now. Should it be one of this process's and name another session, or none, its holder finds out.
    /// True: it names this process's session, and nobody here has, or had, anything to do with it: it was handed over. (Or it is one that was
    /// written long after it was given up, which is as free for this process.) What was left is deleted at the next renewal.
    pub(crate) async fn heard_of_claim(&self, key: &str, revision: u64, names: Option<&str>) -> bool {
        let Some(upkeep) = self.session_slot().lock().await.upgrade() else { return false };
        let session = &upkeep.session;
        if names == Some(session.id.as_str()) {
            return !session.claims.lock().contains_key(key);
        }
        session.overruled(key, revision);
        false
    }
}

/// Where a connection finds the session that it has.
pub(crate) type Slot = Mutex<Weak<Upkeep>>;

impl Upkeep {
    /// Ends the session if nobody holds anything under it any more.
    pub async fn leave(self: Arc<Self>) {
        let Some(upkeep) = Arc::into_inner(self) else { return };
        upkeep.renewal.abort();
        let Session { bus, key, ttl, revision, .. } = &*upkeep.session;
        let ended = async { bus.write(key, *revision.lock().await, Write::Delete).await };
        if !matches!(timeout(*ttl, ended).await, Ok(Ok(_))) {
            tracing::debug!(session = key, "a session was not ended; others will find it dead");
        }
    }
}

impl Session {
    /// Whether its holder may act now, by its own clock alone. No is final: an answer to a renewal that was on its way does not
    /// bring back what was given up on the strength of it.
    pub fn holds(&self) -> bool {
        let held = !self.lost.is_cancelled() && self.term.lock().holds(self.origin.elapsed());
        if !held {
            self.lost.cancel();
        }
        held
    }

    /// Asks the server, by a renewal, whether it still holds. Says no when the server does not answer in time.
    pub async fn verify(&self) -> bool {
        let deadline = Instant::now() + self.ttl / 3;
        let renewed = async {
            match self.renew().await {
                Renewed::Earlier => self.renew().await,
                renewed => renewed,
            }
        };
        let held = matches!(timeout_at(deadline, renewed).await, Ok(Renewed::Yes));
        if !held {
            self.lost.cancel();
        }
        held
    }

    /// A claim is about to be written. False: this process has it, or may have it.
    pub fn reach(&self, key: &str) -> bool {
        let mut claims = self.claims.lock();
        let free = !claims.contains_key(key);
        if free {
            claims.insert(key.to_owned(), Standing::Reached);
        }
        free
    }

    /// It is written.
    pub fn won(&self, key: &str, epoch: u64, lost: CancellationToken) {
        self.claims.lock().insert(key.to_owned(), Standing::Held { epoch, lost });
    }

    /// It is certain that the claim does not name this session.
    pub fn missed(&self, key: &str) {
        self.claims.lock().remove(key);
    }

    /// Nobody acts under the claim any more; it may still name this session.
    pub fn left(&self, key: &str) {
        self.claims.lock().insert(key.to_owned(), Standing::Left);
    }

    /// Another has written the claim: whoever holds it here finds out.
    pub fn overruled(&self, key: &str, revision: u64) {
        if let Some(Standing::Held { epoch, lost }) = self.claims.lock().get(key)
            && *epoch < revision
        {
            tracing::warn!(lease = key, epoch, revision, "another has written the claim");
            lost.cancel();
        }
    }

    /// Deletes the claim that nobody acts under, unless it names another session.
    pub async fn give_back(&self, key: &str) -> Result<(), Error> {
        let failed = |error| Error::failed(format!("give the lease {key} back"), error);
        let entry = self.bus.look(key).await?;
        let ours = entry.value.as_deref().and_then(parse_claim).is_some_and(|claim| claim.session == self.id);
        if ours {
            match self.bus.write(key, entry.revision, Write::Delete).await {
                Ok(_) | Err(StoreError::Outdated) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        self.missed(key);
        Ok(())
    }

    /// Renews until the session is lost.
    async fn keep(self: Arc<Self>) {
        while self.renewed_in_time().await {
            let left: Vec<String> = {
                let claims = self.claims.lock();
                let left = claims.iter().filter(|(_, standing)| matches!(standing, Standing::Left));
                left.map(|(key, _)| key.clone()).collect()
            };
            for key in left {
                // At the next renewal again.
                let end = self.origin + self.term.lock().renewal();
                let _ = timeout_at(end, self.give_back(&key)).await;
            }
        }
        tracing::warn!(session = self.id, "lost the session, and all leases under it");
        self.lost.cancel();
    }

    /// Waits until a renewal is due, and renews. False: the session is, or may be, over.
    async fn renewed_in_time(&self) -> bool {
        let term = *self.term.lock();
        tokio::time::sleep_until(self.origin + term.renewal()).await;
        // When the first of those was sent whose answers did not come.
        let mut unanswered = None;
        loop {
            let sent = self.origin.elapsed();
            let renewed = match timeout_at(self.origin + term.patience(sent), self.renew()).await {
                Ok(Renewed::Yes) => Some(sent),
                // It was sent no sooner than the first.
                Ok(Renewed::Earlier) => unanswered,
                Ok(Renewed::No) => return false,
                Ok(Renewed::Unknown(error)) => {
                    tracing::debug!(session = self.id, error, "a session was not renewed; trying again");
                    sleep(RENEWAL_PAUSE.min(self.ttl / 10)).await;
                    None
                }
                Err(_) => None,
            };
            if let Some(sent) = renewed {
                self.term.lock().renew(sent);
                return true;
            }
            if !term.holds(self.origin.elapsed()) {
                return false;
            }
            unanswered = unanswered.or(Some(sent));
        }
    }

    async fn renew(&self) -> Renewed {
        let mut revision = self.revision.lock().await;
        match self.bus.write(&self.key, *revision, Write::Session).await {
            Ok(new) => {
                *revision = new;
                Renewed::Yes
            }
            // Nobody else renews this key: unless it was deleted, a renewal of ours whose answer did not come did it.
            Err(StoreError::Outdated) => match self.bus.look(&self.key).await {
                Ok(entry) if entry.value.is_none() => Renewed::No,
                Ok(entry) if entry.revision > *revision => {
                    *revision = entry.revision;
                    Renewed::Earlier
                }
                Ok(_) => Renewed::Unknown("the server's answer is out of date".to_owned()),
                Err(error) => Renewed::Unknown(error.to_string()),
            },
            Err(StoreError::Unknown(error)) => Renewed::Unknown(error.to_string()),
        }
    }
}
