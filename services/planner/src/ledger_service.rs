//! The ledger on the bus: one writer, every grant and settlement in the journal before it is answered.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use atlas_actor::Machine as _;
use atlas_bus::{AppendError, Asked, Bus, ServeLimit};
use atlas_domain::{ActorId, ActorKind, RunId, Usage};
use atlas_proto::ledger_reply::Reply;
use atlas_proto::ledger_request::Request;
use atlas_proto::{LedgerEvent, LedgerReply, LedgerRequest, Limits, Record};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ledger::{Command, Ledger, Refusal, Undo};

/// Questions that one record may answer.
const BATCH: usize = 256;
/// Requests under way at once: one per agent, and every agent of the largest run may ask.
const CONCURRENT: usize = 32_768;
/// How long a reservation waits for calls under way to be settled below what they promised.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the bus failed.
const PAUSE: Duration = Duration::from_millis(200);

struct Question {
    command: Command,
    answer: oneshot::Sender<LedgerReply>,
    /// Until when a reservation may wait for promises to be settled.
    until: Instant,
}

enum Letter {
    Question(Question),
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
        self.letters.send(Letter::Question(Question { command, answer, until })).await.map_err(|_| gone())?;
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
    let writer = Writer {
        bus: bus.clone(),
        actor: ActorId::singleton(run, ActorKind::Ledger),
        ledger: Ledger::default(),
        sequence: 0,
        current: false,
        revoked: HashSet::new(),
        publish,
    };
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
    /// As the journal has it up to `sequence`; another process may have written since.
    ledger: Ledger,
    sequence: u64,
    /// False before the journal has been read, and after an append that was refused or whose outcome is unknown.
    current: bool,
    revoked: HashSet<String>,
    publish: watch::Sender<Account>,
}

impl Writer {
    async fn run(mut self, mut mailbox: mpsc::Receiver<Letter>, shutdown: CancellationToken) {
        let mut waiting: Vec<Question> = Vec::new();
        loop {
            let soonest = waiting.iter().map(|question| question.until).min();
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
                    Letter::Revoke(attempt) => drop(self.revoked.insert(attempt)),
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
    async fn answer(&mut self, questions: Vec<Question>) -> Vec<Question> {
        loop {
            if !self.current
                && let Err(error) = self.catch_up().await
            {
                tracing::warn!(%error, "the ledger's journal cannot be read; trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let now_ms = unix_ms();
            let (mut events, mut undos) = (Vec::<LedgerEvent>::new(), Vec::<Undo>::new());
            let mut replies: Vec<Option<Reply>> = Vec::new();
            let mut refused = None;
            // Settlements first: they make room.
            let mut order: Vec<usize> = (0..questions.len()).collect();
            order.sort_by_key(|&at| matches!(questions[at].command, Command::Reserve(_)));
            replies.resize(questions.len(), None);
            for at in order {
                let question = &questions[at];
                let refusal = match &question.command {
                    Command::Reserve(reserve) => {
                        self.void(&reserve.call).or_else(|| self.ledger.refusal(reserve, now_ms))
                    }
                    _ => None,
                };
                replies[at] = match refusal {
                    Some(refusal) if refusal.may_pass && Instant::now() < question.until => None,
                    Some(refusal) => {
                        let reason = refusal.reason.clone();
                        if refusal.ends_run {
                            refused = Some(refusal);
                        }
                        Some(Reply::Refused(reason))
                    }
                    None => {
                        for event in self.ledger.decide(question.command.clone(), now_ms) {
                            undos.extend(self.ledger.foresee(&event));
                            events.push(event);
                        }
                        Some(Reply::Granted(true))
                    }
                };
            }
            if !events.is_empty()
                && let Err(error) = self.append(&events, now_ms).await
            {
                tracing::warn!(%error, "the ledger's journal was not written; reading on in it");
                undos.into_iter().rev().for_each(|undo| self.ledger.undo(undo));
                self.current = false;
                // After a conflict there is something to read; else the bus needs time.
                if !matches!(error, AppendError::Conflict { .. }) {
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
            let limited = events
                .iter()
                .any(|event| matches!(event.event, Some(atlas_proto::ledger_event::Event::Limits(_))));
            self.publish.send_modify(|account| {
                account.by_role.clone_from(self.ledger.by_role());
                if limited {
                    account.refused = None;
                }
                if refused.is_some() {
                    account.refused = refused;
                }
            });
            let mut still = Vec::new();
            for (question, reply) in questions.into_iter().zip(replies) {
                match reply {
                    // The asker may have gone; the journal holds what it was granted, and it will ask again.
                    Some(reply) => drop(question.answer.send(LedgerReply { reply: Some(reply) })),
                    None => still.push(question),
                }
            }
            return still;
        }
    }

    fn void(&self, call: &str) -> Option<Refusal> {
        let attempt = call.rsplit_once('/').map_or(call, |(attempt, _)| attempt);
        self.revoked.contains(attempt).then(|| Refusal {
            kind: "void",
            reason: "the attempt's work is not needed any more".to_owned(),
            may_pass: false,
            ends_run: false,
        })
    }

    /// Reads what has been written since: another planner's process keeps the same ledger.
    async fn catch_up(&mut self) -> Result<(), String> {
        let written = self.bus.records_after(&self.actor, self.sequence).await;
        for (sequence, record) in written.map_err(|e| e.to_string())? {
            if record.version > Ledger::VERSION {
                return Err(format!(
                    "{} was written by a newer program (version {})",
                    self.actor, record.version
                ));
            }
            let events = record.events.iter().map(|bytes| LedgerEvent::decode(bytes.as_slice()));
            let events = events.collect::<Result<Vec<_>, _>>();
            for event in events.map_err(|e| format!("record {sequence} does not parse: {e}"))? {
                self.ledger.apply(&event, record.time_ms);
            }
            self.sequence = sequence;
        }
        self.current = true;
        self.publish.send_modify(|account| account.by_role.clone_from(self.ledger.by_role()));
        Ok(())
    }

    async fn append(&mut self, events: &[LedgerEvent], now_ms: u64) -> Result<(), AppendError> {
        let record = Record {
            version: Ledger::VERSION,
            cause: format!("batch/{}", self.sequence),
            time_ms: now_ms,
            epoch: 0, // two writers are told apart by the sequence alone
            traceparent: String::new(),
            events: events.iter().map(prost::Message::encode_to_vec).collect(),
        };
        self.sequence = self.bus.append(&self.actor, &record, self.sequence).await?;
        Ok(())
    }
}

pub(crate) fn unix_ms() -> u64 {
    // Before 1970 only a broken clock can be.
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
