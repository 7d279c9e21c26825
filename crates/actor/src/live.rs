//! One live actor: a task with a mailbox, and a task for each effect under way.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use atlas_bus::{AppendError, Bus, Delivery, Hold, Lease};
use atlas_domain::ActorId;
use atlas_proto::Record;
use atlas_telemetry::trace;
use backon::BackoffBuilder as _;
use futures::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tracing::Instrument as _;

use crate::agenda::Agenda;
use crate::journaled::Journaled;
use crate::{EffectError, Executor, Machine, Scope};

/// The shortest and the longest pause before an effect runs again.
const EFFECT_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// The same before the bus is asked again for what it failed to do.
const BUS_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What all actors of a partition share for one tenure.
pub(crate) struct Tenure<E> {
    pub bus: Bus,
    pub executor: Arc<E>,
    pub lease: Lease,
    /// Where actors say that they wait for nothing but letters.
    pub idle: mpsc::UnboundedSender<Idle>,
}

/// An actor waits for nothing but letters, having taken `letters` of them.
pub(crate) struct Idle {
    pub actor: String,
    pub letters: u64,
}

/// How an actor's task ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is finished and archived.
    Finished,
    /// Its mailbox was closed while it was idle.
    Passivated,
    /// An effect failed for good.
    Stopped(String),
    /// The partition is another's.
    Lost,
}

/// What an effect's task ends with.
struct Outcome<M: Machine> {
    key: String,
    traceparent: String,
    span: tracing::Span,
    result: Result<Option<M::Command>, String>,
}

/// Why a record is not in the journal, or may not be.
enum Unrecorded {
    Conflict,
    Unknown(atlas_bus::Error),
}

pub(crate) struct Live<M: Machine, E> {
    tenure: Arc<Tenure<E>>,
    actor: ActorId,
    journaled: Journaled<M>,
    agenda: Agenda,
    effects: JoinSet<Outcome<M>>,
    aborts: HashMap<String, AbortHandle>,
    mailbox: mpsc::UnboundedReceiver<Delivery>,
    letters: u64,
}

impl<M: Machine, E: Executor<M>> Live<M, E> {
    pub fn new(
        tenure: Arc<Tenure<E>>,
        actor: ActorId,
        journaled: Journaled<M>,
        mailbox: mpsc::UnboundedReceiver<Delivery>,
    ) -> Self {
        let (effects, aborts) = (JoinSet::new(), HashMap::new());
        Self { tenure, actor, journaled, agenda: Agenda::default(), effects, aborts, mailbox, letters: 0 }
    }

    /// Lives until it ends. Dropping it drops its effects.
    pub async fn run(mut self) -> End {
        self.tenure.executor.observed(&self.actor, &self.journaled.machine);
        loop {
            if self.journaled.archived || self.journaled.machine.is_finished() {
                return self.finish().await;
            }
            let waiting = self.reconcile();
            if !waiting {
                // Refused only by a partition that is ending.
                let _ = self.tenure.idle.send(Idle { actor: self.actor.id.clone(), letters: self.letters });
            }
            let recorded = tokio::select! {
                letter = self.mailbox.recv() => match letter {
                    None => return End::Passivated,
                    Some(delivery) => {
                        self.letters += 1;
                        self.letter(delivery).await
                    }
                },
                Some(outcome) = self.effects.join_next(), if !self.effects.is_empty() => match outcome {
                    Ok(outcome) => self.outcome(outcome).await,
                    // Cancelled; panics are caught inside.
                    Err(_) => Ok(()),
                },
            };
            if let Err(end) = recorded {
                return end;
            }
        }
    }

    /// Starts and cancels effects as the state says. False when it waits for no effect at all.
    fn reconcile(&mut self) -> bool {
        let wanted = self.journaled.machine.effects();
        let keys: Vec<&str> = wanted.iter().map(|(key, _)| key.as_str()).collect();
        let changes = self.agenda.reconcile(&keys, |key| self.journaled.knows(key));
        for key in &changes.cancel {
            if let Some(abort) = self.aborts.remove(key) {
                abort.abort();
            }
        }
        for index in changes.start {
            let (key, effect) = wanted[index].clone();
            self.start(key, effect);
        }
        !wanted.is_empty()
    }

    fn start(&mut self, key: String, effect: M::Effect) {
        let span = tracing::info_span!(
            target: "atlas_actor", parent: None, "effect",
            otel.name = format!("effect {}", M::KIND), actor = %self.actor, key = %key,
        );
        let span = trace::with_parent(&self.journaled.traceparent, span);
        let traceparent = non_empty(trace::traceparent(&span), &self.journaled.traceparent);
        let scope = Scope {
            actor: self.actor.clone(),
            key: key.clone(),
            epoch: self.tenure.lease.epoch(),
            traceparent,
        };
        let task = {
            let (executor, hold) = (self.tenure.executor.clone(), self.tenure.lease.hold());
            perform::<M, E>(executor, hold, scope, effect, span.clone()).instrument(span)
        };
        let abort = self.effects.spawn(task);
        self.aborts.insert(key, abort);
    }

    /// Acts on a letter once. `Err`: the actor's task ends.
    async fn letter(&mut self, mut delivery: Delivery) -> Result<(), End> {
        let span = tracing::info_span!(
            target: "atlas_actor", parent: None, "letter",
            otel.name = format!("letter {}", M::KIND), otel.kind = "consumer", actor = %self.actor, id = %delivery.id,
        );
        let span = trace::with_parent(&delivery.traceparent, span);
        let traceparent = non_empty(trace::traceparent(&span), &delivery.traceparent);
        let letter = std::mem::take(&mut delivery.letter);
        async {
            loop {
                if self.journaled.knows(&delivery.id) || self.journaled.archived {
                    break;
                }
                let Some(command) = self.tenure.executor.command(letter.clone()) else {
                    delivery.bury(format!("{} actors take no such letter", M::KIND)).await;
                    return Ok(());
                };
                match self.record(command, &delivery.id, &traceparent).await {
                    Ok(()) => break,
                    Err(unrecorded) => self.recover(unrecorded).await?,
                }
            }
            delivery.ack().await;
            Ok(())
        }
        .instrument(span)
        .await
    }

    /// Acts on an effect's result. `Err`: the actor's task ends.
    async fn outcome(&mut self, outcome: Outcome<M>) -> Result<(), End> {
        let Outcome { key, traceparent, span, result } = outcome;
        self.aborts.remove(&key);
        if !self.agenda.end(&key) {
            return Ok(());
        }
        async {
            match result {
                Ok(None) => Ok(()),
                Ok(Some(command)) => match self.record(command, &key, &traceparent).await {
                    Ok(()) => Ok(()),
                    // If it was stored after all the reload knows the key; else the effect runs again.
                    Err(unrecorded) => self.recover(unrecorded).await,
                },
                Err(reason) => {
                    let reason = format!("effect {key} failed for good: {reason}");
                    if let Err(error) = self.tenure.bus.bury_effect(&self.actor, &key, &reason).await {
                        tracing::error!(actor = %self.actor, key, reason, %error, "an effect failed for good, and could not be buried");
                    }
                    Err(End::Stopped(reason))
                }
            }
        }
        .instrument(span)
        .await
    }

    /// Decides, appends and folds.
    async fn record(
        &mut self,
        command: M::Command,
        cause: &str,
        traceparent: &str,
    ) -> Result<(), Unrecorded> {
        let time_ms = now_ms();
        let events = self.journaled.machine.decide(command, time_ms);
        if events.is_empty() {
            return Ok(());
        }
        let record = Record {
            version: M::VERSION,
            cause: cause.to_owned(),
            time_ms,
            epoch: self.tenure.lease.epoch(),
            traceparent: traceparent.to_owned(),
            events: events.iter().map(prost::Message::encode_to_vec).collect(),
        };
        let sequence =
            self.tenure.bus.append(&self.actor, &record, self.journaled.last).await.map_err(|error| {
                match error {
                    AppendError::Conflict { .. } => Unrecorded::Conflict,
                    AppendError::Bus(error) => Unrecorded::Unknown(error),
                }
            })?;
        self.journaled.applied(sequence, record, &events);
        self.tenure.executor.observed(&self.actor, &self.journaled.machine);
        Ok(())
    }

    /// The journal is not what memory says: forget the actor and read it again, if it is ours still.
    async fn recover(&mut self, unrecorded: Unrecorded) -> Result<(), End> {
        match unrecorded {
            Unrecorded::Conflict => tracing::warn!(actor = %self.actor, "another host wrote the journal"),
            Unrecorded::Unknown(error) => {
                tracing::warn!(actor = %self.actor, %error, "a record may not be stored")
            }
        }
        self.effects.abort_all();
        self.effects = JoinSet::new();
        self.aborts.clear();
        self.agenda = Agenda::default();
        let mut pauses = pauses(BUS_PAUSE);
        loop {
            if !self.tenure.lease.verify().await {
                return Err(End::Lost);
            }
            match Journaled::load(&self.tenure.bus, &self.actor).await {
                Ok(journaled) => {
                    self.journaled = journaled;
                    self.tenure.executor.observed(&self.actor, &self.journaled.machine);
                    return Ok(());
                }
                Err(error @ crate::Error::Journal { .. }) => return Err(End::Stopped(error.to_string())),
                Err(error) => {
                    tracing::warn!(actor = %self.actor, %error, "a journal could not be read; trying again")
                }
            }
            tokio::time::sleep(pauses.next().unwrap_or_default()).await;
        }
    }

    async fn finish(mut self) -> End {
        self.effects.abort_all();
        let mut pauses = pauses(BUS_PAUSE);
        while let Err(error) = self.tenure.bus.archive(&self.actor).await {
            tracing::warn!(actor = %self.actor, %error, "a finished actor could not be archived; trying again");
            tokio::time::sleep(pauses.next().unwrap_or_default()).await;
        }
        // Letters that are in the mailbox already: nothing will come of them.
        self.mailbox.close();
        while let Some(delivery) = self.mailbox.recv().await {
            delivery.ack().await;
        }
        End::Finished
    }
}

/// Runs an effect until it comes to a result.
async fn perform<M: Machine, E: Executor<M>>(
    executor: Arc<E>,
    hold: Hold,
    scope: Scope,
    effect: M::Effect,
    span: tracing::Span,
) -> Outcome<M> {
    let mut pauses = pauses(EFFECT_PAUSE);
    let (key, traceparent) = (scope.key.clone(), scope.traceparent.clone());
    loop {
        // A host that was stopped may wake up here, with the partition another's and its timers not yet run.
        hold.until_it_holds().await;
        let attempt = AssertUnwindSafe(executor.execute(scope.clone(), effect.clone())).catch_unwind().await;
        let result = match attempt {
            Ok(Ok(command)) => Ok(command),
            Ok(Err(EffectError::Retry { after, cause })) => {
                let pause = after.max(pauses.next().unwrap_or_default());
                tracing::warn!(actor = %scope.actor, key, cause, pause_ms = pause.as_millis() as u64, "an effect failed; trying again");
                tokio::time::sleep(pause).await;
                continue;
            }
            Ok(Err(EffectError::Fatal(reason))) => Err(reason),
            Err(panic) => Err(format!("it panicked: {}", panic_text(&*panic))),
        };
        return Outcome { key, traceparent, span, result };
    }
}

fn pauses((shortest, longest): (Duration, Duration)) -> impl Iterator<Item = Duration> {
    backon::ExponentialBuilder::default()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words")
}

fn non_empty(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

/// Unix time in milliseconds.
fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_millis() as u64)
}
