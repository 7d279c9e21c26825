//! One live actor: a task with a mailbox, and a task for each effect under way.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use atlas_bus::{AppendError, Bus, Delivery, Lease};
use atlas_domain::ActorId;
use atlas_proto::{Letter, Record};
use atlas_telemetry::trace;
use backon::BackoffBuilder as _;
use futures::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::journaled::Journaled;
use crate::life::{End, Given, Life, Step};
use crate::partition::{Begun, Leaving};
use crate::roster::Idle;
use crate::snapshot::{EVERY, Keeper};
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
    pub under_way: TaskTracker,
    pub leaving: Leaving,
    /// Where actors say that they wait for nothing but letters.
    pub idle: mpsc::UnboundedSender<Idle>,
}

/// What an effect's task ends with.
struct Outcome<M: Machine> {
    key: String,
    traceparent: String,
    span: tracing::Span,
    result: Result<Option<M::Command>, String>,
    begun: Begun,
}

pub(crate) struct Live<M: Machine, E> {
    tenure: Arc<Tenure<E>>,
    actor: ActorId,
    life: Life<M>,
    effects: JoinSet<Outcome<M>>,
    aborts: HashMap<String, AbortHandle>,
    mailbox: mpsc::UnboundedReceiver<Box<Delivery>>,
    letters: u64,
    /// The letter that is being acted on.
    letter: Option<(Box<Delivery>, Letter)>,
    /// The effect whose result is being acted on.
    ended: Option<Begun>,
    /// Of what is being acted on.
    span: tracing::Span,
    /// Before the next time that the journal is tried.
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    keeper: Keeper,
}

impl<M: Machine, E: Executor<M>> Live<M, E> {
    pub fn new(
        tenure: Arc<Tenure<E>>,
        actor: ActorId,
        journaled: Journaled<M>,
        mailbox: mpsc::UnboundedReceiver<Box<Delivery>>,
    ) -> Self {
        let life = Life::new(journaled, tenure.lease.epoch());
        let keeper = Keeper::new(tenure.bus.clone(), actor.clone());
        Self {
            tenure,
            actor,
            life,
            effects: JoinSet::new(),
            aborts: HashMap::new(),
            mailbox,
            letters: 0,
            letter: None,
            ended: None,
            span: tracing::Span::none(),
            pauses: Box::new(pauses(BUS_PAUSE)),
            keeper,
        }
    }

    /// Lives until it ends. Dropping it drops its effects.
    pub async fn run(mut self) -> End {
        self.tenure.executor.observed(&self.actor, self.life.machine());
        self.keep();
        let mut step = self.life.begin();
        loop {
            let given = match step {
                Step::Wait { start, cancel, idle } => {
                    self.span = tracing::Span::none();
                    self.ended = None;
                    self.reconcile(start, cancel);
                    self.wait(idle).await
                }
                // What an actor does now and then takes ten times the memory that waiting does, and thousands wait.
                Step::End(end) => return Box::pin(self.end(end)).await,
                step => {
                    let span = self.span.clone();
                    Box::pin(self.act(step).instrument(span)).await
                }
            };
            let learned = matches!(given, Given::Stored(_) | Given::Loaded(_));
            step = self.span.in_scope(|| self.life.next(given, now_ms()));
            if learned {
                self.tenure.executor.observed(&self.actor, self.life.machine());
                self.keep();
            }
        }
    }

    /// Has a snapshot stored when one is due.
    fn keep(&mut self) {
        if self.keeper.is_free()
            && self.tenure.lease.hold().holds()
            && let Some(snapshot) = self.life.snapshot(EVERY)
        {
            self.keeper.keep(snapshot);
        }
    }

    fn reconcile(&mut self, start: Vec<(String, M::Effect)>, cancel: Vec<String>) {
        for key in &cancel {
            if let Some(abort) = self.aborts.remove(key) {
                abort.abort();
            }
        }
        for (key, effect) in start {
            self.start(key, effect);
        }
    }

    fn start(&mut self, key: String, effect: M::Effect) {
        let costly = M::is_costly(&effect);
        let Some(begun) = self.tenure.leaving.begin(&self.tenure.under_way, costly) else { return };
        let span = tracing::info_span!(
            target: "atlas_actor", parent: None, "effect",
            otel.name = format!("effect {}", M::KIND), actor = %self.actor, key = %key,
        );
        let span = trace::with_parent(self.life.traceparent(), span);
        let traceparent = non_empty(trace::traceparent(&span), self.life.traceparent());
        let scope = Scope {
            actor: self.actor.clone(),
            key: key.clone(),
            epoch: self.tenure.lease.epoch(),
            traceparent,
            hold: self.tenure.lease.hold(),
        };
        // Not the tenure itself: whoever ends it hands its lease on once all lives are over, and effects that are dropped end a little later.
        let (executor, leaving) = (self.tenure.executor.clone(), self.tenure.leaving.begun.clone());
        let performed = perform::<M, E>(executor, leaving, scope, effect, span.clone(), begun);
        let abort = self.effects.spawn(performed.instrument(span));
        self.aborts.insert(key, abort);
    }

    /// Waits for a letter or the end of an effect.
    async fn wait(&mut self, idle: bool) -> Given<M> {
        if idle {
            // Refused only by a partition that is ending.
            let _ = self.tenure.idle.send(Idle { actor: self.actor.id.clone(), letters: self.letters });
        }
        loop {
            tokio::select! {
                letter = self.mailbox.recv() => return match letter {
                    None => Given::Closed,
                    Some(delivery) => {
                        self.letters += 1;
                        self.open(delivery)
                    }
                },
                Some(outcome) = self.effects.join_next(), if !self.effects.is_empty() => {
                    // Else it was cancelled; panics are caught inside.
                    if let Ok(Outcome { key, traceparent, span, result, begun }) = outcome {
                        self.aborts.remove(&key);
                        (self.span, self.ended) = (span, Some(begun));
                        return Given::Ended { key, traceparent, result };
                    }
                }
            }
        }
    }

    fn open(&mut self, mut delivery: Box<Delivery>) -> Given<M> {
        let span = tracing::info_span!(
            target: "atlas_actor", parent: None, "letter",
            otel.name = format!("letter {}", M::KIND), otel.kind = "consumer", actor = %self.actor, id = %delivery.id,
        );
        self.span = trace::with_parent(&delivery.traceparent, span);
        let letter = std::mem::take(&mut delivery.letter);
        let given = self.read(&delivery, &letter);
        self.letter = Some((delivery, letter));
        given
    }

    fn read(&self, delivery: &Delivery, letter: &Letter) -> Given<M> {
        Given::Letter {
            id: delivery.id.clone(),
            traceparent: non_empty(trace::traceparent(&self.span), &delivery.traceparent),
            command: self.tenure.executor.command(letter.clone()),
        }
    }

    /// Does a step that neither waits for the world nor is the last.
    async fn act(&mut self, step: Step<M>) -> Given<M> {
        match step {
            Step::Append { record, after } => self.append(&record, after).await,
            Step::Verify => {
                self.forget_effects();
                Given::Held(self.tenure.lease.verify().await)
            }
            Step::Load => self.load().await,
            Step::Again => match &self.letter {
                Some((delivery, letter)) => self.read(delivery, letter),
                None => Given::Done,
            },
            Step::Ack => {
                if let Some((delivery, _)) = self.letter.take()
                    && self.tenure.lease.hold().holds()
                {
                    delivery.ack().await;
                }
                Given::Done
            }
            Step::Bury { reason } => {
                if let Some((delivery, _)) = self.letter.take() {
                    delivery.bury(reason).await;
                }
                Given::Done
            }
            Step::BuryEffect { key, reason } => {
                if let Err(error) = self.tenure.bus.bury_effect(&self.actor, &key, &reason).await {
                    tracing::error!(actor = %self.actor, key, reason, %error, "an effect failed for good, and could not be buried");
                }
                Given::Done
            }
            Step::Archive => self.archive().await,
            Step::Wait { .. } | Step::End(_) => Given::Done,
        }
    }

    async fn append(&mut self, record: &Record, after: u64) -> Given<M> {
        match self.tenure.bus.append(&self.actor, record, after).await {
            Ok(sequence) => Given::Stored(sequence),
            Err(AppendError::Conflict { .. }) => {
                tracing::warn!(actor = %self.actor, "another host wrote the journal");
                self.pauses = Box::new(pauses(BUS_PAUSE));
                Given::Conflict
            }
            Err(AppendError::Bus(error)) => {
                tracing::warn!(actor = %self.actor, %error, "a record may not be stored");
                self.pauses = Box::new(pauses(BUS_PAUSE));
                Given::Failed
            }
        }
    }

    async fn load(&mut self) -> Given<M> {
        match Journaled::load(&self.tenure.bus, &self.actor).await {
            Ok(journaled) => Given::Loaded(Box::new(journaled)),
            Err(error @ crate::Error::Journal { .. }) => Given::Unreadable(error.to_string()),
            Err(error) => {
                tracing::warn!(actor = %self.actor, %error, "a journal could not be read; trying again");
                tokio::time::sleep(self.pauses.next().unwrap_or_default()).await;
                Given::Failed
            }
        }
    }

    async fn archive(&mut self) -> Given<M> {
        self.forget_effects();
        let mut pauses = pauses(BUS_PAUSE);
        while let Err(error) = self.tenure.bus.archive(&self.actor, self.life.sequences()).await {
            tracing::warn!(actor = %self.actor, %error, "a finished actor could not be archived; trying again");
            tokio::time::sleep(pauses.next().unwrap_or_default()).await;
        }
        Given::Done
    }

    fn forget_effects(&mut self) {
        self.effects = JoinSet::new();
        self.aborts.clear();
    }

    async fn end(mut self, end: End) -> End {
        if end == End::Finished {
            // Letters that are in the mailbox already: nothing will come of them.
            self.mailbox.close();
            while let Some(delivery) = self.mailbox.recv().await {
                delivery.ack().await;
            }
        }
        end
    }
}

/// Runs an effect until it comes to a result, or fails when the partition is being left.
async fn perform<M: Machine, E: Executor<M>>(
    executor: Arc<E>,
    leaving: CancellationToken,
    scope: Scope,
    effect: M::Effect,
    span: tracing::Span,
    begun: Begun,
) -> Outcome<M> {
    let mut pauses = pauses(EFFECT_PAUSE);
    let (key, traceparent) = (scope.key.clone(), scope.traceparent.clone());
    loop {
        if !scope.holds() {
            // The partition is, or may be, another's: its tenure ends, and this with it.
            std::future::pending::<()>().await;
        }
        let attempt = AssertUnwindSafe(executor.execute(scope.clone(), effect.clone())).catch_unwind().await;
        let result = match attempt {
            Ok(Ok(command)) => Ok(command),
            Ok(Err(EffectError::Retry { after, cause })) => {
                let pause = after.max(pauses.next().unwrap_or_default());
                tracing::warn!(actor = %scope.actor, key, cause, pause_ms = pause.as_millis() as u64, "an effect failed; trying again");
                tokio::select! {
                    () = tokio::time::sleep(pause) => continue,
                    () = leaving.cancelled() => {}
                }
                // Whoever has the partition next tries again.
                drop(begun);
                return std::future::pending().await;
            }
            Ok(Err(EffectError::Fatal(reason))) => Err(reason),
            Err(panic) => Err(format!("it panicked: {}", panic_text(&*panic))),
        };
        return Outcome { key, traceparent, span, result, begun };
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
