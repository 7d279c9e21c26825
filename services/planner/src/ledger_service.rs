//! The ledger on the bus: one writer, every grant and settlement in the journal before it is answered.

use std::collections::BTreeMap;
use std::time::Duration;

use atlas_actor::snapshot::{EVERY, Keeper};
use atlas_bus::{AppendError, Asked, Bus, ServeLimit};
use atlas_domain::{ActorId, ActorKind, RunId, Usage};
use atlas_proto::ledger_reply::Reply;
use atlas_proto::ledger_request::Request;
use atlas_proto::{LedgerReply, LedgerRequest, Limits, Record};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::desk::{BATCH, Desk, Question};
use crate::ledger::{Command, Refusal};

/// Requests under way at once: one per agent, and every agent of the largest run may ask.
const CONCURRENT: usize = 32_768;
/// How long a reservation waits for calls under way to be settled below what they promised.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the bus failed.
const PAUSE: Duration = Duration::from_millis(200);

/// Who waits for an answer.
struct Asker {
    answer: oneshot::Sender<LedgerReply>,
    /// Until when a reservation may wait for promises to be settled.
    until: Instant,
}

enum Letter {
    Question(Question<Asker>),
    Revoke(String),
}

/// What the ledger stands at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    pub by_role: BTreeMap<String, Usage>,
    pub refused: Option<Refusal>,
}

/// The planner's way to the ledger.
#[derive(Clone)]
pub(crate) struct LedgerHandle {
    letters: mpsc::Sender<Letter>,
    account: watch::Receiver<Account>,
}

impl LedgerHandle {
    /// Sets the run's limits; returns once they are in the journal.
    pub async fn limit(&self, limits: Limits) -> Result<(), String> {
        self.ask(Command::Limit(limits), Instant::now()).await.map(drop)
    }

    /// Grants nothing more to this attempt.
    pub async fn revoke(&self, attempt: &str) {
        // Fails only at shutdown, when nothing is granted any more.
        let _ = self.letters.send(Letter::Revoke(attempt.to_owned())).await;
    }

    /// Waits until the budget has been refused, and says why.
    pub async fn exhausted(&self) -> Refusal {
        let mut account = self.account.clone();
        loop {
            if let Some(refusal) = account.borrow_and_update().refused.clone() {
                return refusal;
            }
            if account.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Where the ledger stands, now and later.
    pub fn account(&self) -> watch::Receiver<Account> {
        self.account.clone()
    }

    async fn ask(&self, command: Command, until: Instant) -> Result<LedgerReply, String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "the ledger is shutting down".to_owned();
        self.letters
            .send(Letter::Question(Question { command, asker: Asker { answer, until } }))
            .await
            .map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

/// Starts the ledger of `run`: keeps its journal and serves `atlas.ledger.<run>` until `shutdown`.
pub(crate) async fn start(
    bus: &Bus,
    run: &RunId,
    shutdown: &CancellationToken,
) -> Result<LedgerHandle, atlas_bus::Error> {
    let (letters, mailbox) = mpsc::channel(1024);
    let (publish, account) = watch::channel(Account::default());
    let actor = ActorId::singleton(run, ActorKind::Ledger);
    let keeper = Keeper::new(bus.clone(), actor.clone());
    let writer = Writer { bus: bus.clone(), actor, desk: Desk::default(), keeper, publish };
    tokio::spawn(writer.run(mailbox, shutdown.clone()));
    let handle = LedgerHandle { letters, account };
    let (served, subject, stop) = (handle.clone(), format!("atlas.ledger.{run}"), shutdown.clone());
    let bus = bus.clone();
    tokio::spawn(async move {
        let handler = move |asked: Asked<LedgerRequest>| {
            let handle = served.clone();
            async move {
                let until = (asked.deadline - PAUSE).min(Instant::now() + PATIENCE);
                let command = match asked.message.request {
                    Some(Request::Reserve(reserve)) => Command::Reserve(reserve),
                    Some(Request::Settle(settle)) => Command::Settle(settle),
                    None => return Err("the request asks nothing: give `reserve` or `settle`".to_owned()),
                };
                handle.ask(command, until).await
            }
        };
        let limit = ServeLimit { concurrency: CONCURRENT, waiting: CONCURRENT };
        if let Err(error) = bus.serve(&subject, "ledger", limit, handler, stop).await {
            tracing::error!(%error, subject, "the ledger cannot be served; no model call will be granted");
        }
    });
    Ok(handle)
}

struct Writer {
    bus: Bus,
    actor: ActorId,
    desk: Desk,
    keeper: Keeper,
    publish: watch::Sender<Account>,
}

impl Writer {
    async fn run(mut self, mut mailbox: mpsc::Receiver<Letter>, shutdown: CancellationToken) {
        let mut waiting: Vec<Question<Asker>> = Vec::new();
        self.recall().await;
        loop {
            let soonest = waiting.iter().map(|question| question.asker.until).min();
            let letter = tokio::select! {
                () = shutdown.cancelled() => return,
                letter = mailbox.recv() => match letter {
                    Some(letter) => Some(letter),
                    None => return,
                },
                () = tokio::time::sleep_until(soonest.unwrap_or_else(Instant::now)), if soonest.is_some() => None,
            };
            let mut questions = Vec::new();
            let mut next = letter;
            while let Some(letter) = next {
                match letter {
                    Letter::Question(question) => questions.push(question),
                    Letter::Revoke(attempt) => self.desk.revoke(attempt),
                }
                next = if questions.len() < BATCH { mailbox.try_recv().ok() } else { None };
            }
            // Settlements of this batch may make room for those that wait.
            questions.append(&mut waiting);
            tokio::select! {
                () = shutdown.cancelled() => return,
                still = self.answer(questions) => waiting = still,
            }
        }
    }

    /// Answers all questions with one record; gives back those that wait on.
    async fn answer(&mut self, mut questions: Vec<Question<Asker>>) -> Vec<Question<Asker>> {
        loop {
            if !self.desk.is_current()
                && let Err(error) = self.catch_up().await
            {
                tracing::warn!(%error, "the ledger's journal cannot be read; trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let mut batch = self.desk.decide(questions, unix_ms(), |asker| Instant::now() < asker.until);
            if let Some(record) = batch.record.take() {
                let appended = self.bus.append(&self.actor, &record, self.desk.last()).await;
                match appended {
                    Ok(sequence) => self.stored(sequence, record),
                    Err(error) => {
                        tracing::warn!(%error, "the ledger's journal was not written; reading on in it");
                        // After a conflict there is something to read; else the bus needs time.
                        let conflict = matches!(error, AppendError::Conflict { .. });
                        questions = self.desk.not_stored(batch, conflict);
                        if !conflict {
                            tokio::time::sleep(PAUSE).await;
                        }
                        continue;
                    }
                }
            }
            let refused =
                batch.answers.iter().rev().find_map(|(_, refusal)| refusal.clone().filter(|r| r.ends_run));
            self.publish.send_modify(|account| {
                account.by_role.clone_from(self.desk.ledger().by_role());
                if batch.limits {
                    account.refused = None;
                }
                if refused.is_some() {
                    account.refused = refused;
                }
            });
            for (question, refusal) in batch.answers {
                let reply = refusal.map_or(Reply::Granted(true), |refusal| Reply::Refused(refusal.reason));
                // The asker may have gone; the journal holds what it was granted, and it will ask again.
                drop(question.asker.answer.send(LedgerReply { reply: Some(reply) }));
            }
            return batch.waiting;
        }
    }

    fn stored(&mut self, sequence: u64, record: Record) {
        self.desk.stored(sequence, record);
        if self.keeper.is_free()
            && let Some(snapshot) = self.desk.snapshot(EVERY)
        {
            self.keeper.keep(snapshot);
        }
    }

    /// Begins from the last snapshot, where there is one.
    async fn recall(&mut self) {
        let restored = match self.bus.snapshot(&self.actor).await {
            Ok(None) => return,
            Ok(Some(snapshot)) => self.desk.restore(snapshot),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = restored {
            tracing::warn!(%error, "no use can be made of the ledger's snapshot; its whole journal will be read");
        }
    }

    /// Reads what has been written since: another planner's process keeps the same ledger.
    async fn catch_up(&mut self) -> Result<(), String> {
        loop {
            let mut read = Ok(());
            let desk = &mut self.desk;
            let followed = self.bus.follow(&self.actor, desk.after(), |sequence, record| {
                if read.is_ok() {
                    read = desk.read(sequence, record);
                }
            });
            followed.await.map_err(|error| error.to_string())?;
            read?;
            if self.desk.caught_up() {
                break;
            }
            tracing::debug!("the ledger's journal is read from its beginning");
        }
        self.publish.send_modify(|account| account.by_role.clone_from(self.desk.ledger().by_role()));
        Ok(())
    }
}

pub(crate) fn unix_ms() -> u64 {
    // Before 1970 only a broken clock can be.
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
