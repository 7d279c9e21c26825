//! The merge queue as a state machine without I/O.
//!
//! A *candidate* is what `main` would be with some waiting submissions on top of its head. It is put together in memory,
//! checked once per content, and lands when its verdict still holds of the head. What is tried next follows from the
//! state alone ([`plan`]); every decision is an event, so that the journal tells the queue's story.

mod answer;
mod candidate;
mod command;
mod fold;
mod footprint;
mod incident;
mod plan;
mod policy;
mod receipts;
mod registry;
mod renewal;
mod shared;
mod verdict;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use atlas_actor::{Machine, snapshot};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::{MergeEvent, MergeOutcome, MergeRequest, MergeVerdict};

pub use candidate::{Assembly, Candidate, Check, Sources, Standing};
pub use command::{Command, Effect};
pub use footprint::Footprint;
pub use incident::Incident;
pub use policy::Policy;
pub use registry::{Frozen, Registry};
pub use renewal::{Lapsed, ReceiptCounts};
use serde::{Deserialize, Serialize};
use shared::Shared;
pub(crate) use verdict::name_hash;
pub use view::{RecentLanding, View};

/// The id of the submission that lays out the library: the first to land.
pub const SKELETON: &str = "skeleton";

/// A check that judged nothing is asked this often before its candidate is given up.
const ATTEMPTS: u32 = 2;

/// A submission may be overtaken this often by others that it does not commute with; then all of those wait for it.
const MAX_OVERTAKEN: u32 = 3;

/// For so many windows of landings after submissions broke together, others are expected to do so too.
const CAUTION: u32 = 3;

/// Answered checks that no candidate refers to any more are remembered, this many, so that their content is never checked
/// again.
const REMEMBERED_CHECKS: usize = 256;

/// Decisions that one command may cause; more would be a loop.
const MAX_STEPS: usize = 10_000;

/// A submission that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub request: Arc<MergeRequest>,
    pub received_ms: u64,
    /// What it concerns, known once it has been put on some head.
    pub footprint: Option<Arc<Footprint>>,
    /// It was certified alone: on the head after this many landings.
    pub proven: Option<u64>,
    /// It failed on top of others which have landed since: it is tried once more on the head and not built upon.
    pub suspect: bool,
    pub overtaken: u32,
}

impl Entry {
    pub fn id(&self) -> &str {
        submission_of(&self.request)
    }

    pub fn title(&self) -> &str {
        self.request.submission.as_ref().map_or("", |submission| &submission.title)
    }
}

pub(crate) fn submission_of(request: &MergeRequest) -> &str {
    request.submission.as_ref().map_or("", |submission| &submission.id)
}

/// A landing, remembered as long as a verdict rests on the head before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Landing {
    pub index: u64,
    pub submission: String,
    pub title: String,
    pub footprint: Arc<Footprint>,
    pub names: Arc<Vec<u64>>,
}

/// The landing that is being done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Chosen {
    pub candidate: u64,
    pub submissions: Vec<String>,
    pub time_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// Submissions that are certified alone at once.
    pub singles: u32,
    /// Unproven submissions that a prefix may hold.
    pub prefixes: u32,
    pub min: u32,
    pub max: u32,
}

/// Totals since the run began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Submissions received.
    pub received: u64,
    /// Submissions landed.
    pub landed: u64,
    /// Of those, landed with receipts of what was certified.
    pub receipted: u64,
    /// Submissions refused, by kind.
    pub refused: BTreeMap<String, u64>,
    /// Checks asked for.
    pub checks: u64,
    /// Checks asked again because the environment failed.
    pub retried: u64,
    /// Candidates put together.
    pub candidates: u64,
}

/// The merge queue of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergeQueue {
    run: RunId,
    package: Option<String>,
    head: String,
    /// How many submissions have landed: names states of `main`.
    landings: u64,
    recent: VecDeque<Landing>,
    /// Waiting, by arrival.
    entries: Shared<u64, Entry>,
    arrivals: u64,
    /// The newest arrival that was ever part of a candidate: of those after it nothing is known.
    reached: u64,
    /// Arrival of each that waits.
    waiting: Shared<String, u64>,
    /// All that have landed or been refused.
    ended: Shared<String, ()>,
    unreported: BTreeMap<String, Arc<MergeOutcome>>,
    candidates: Shared<u64, Candidate>,
    last_candidate: u64,
    checks: Shared<String, Check>,
    chosen: Option<Chosen>,
    window: Window,
    /// Landings for which every prefix of good submissions is certified, not only the longest: lately some broke together.
    caution: u32,
    registry: Registry,
    /// All landed declarations that were reported.
    known: verdict::Known,
    /// Where the receipt of each landed module is, by module: SHA-256 of its file.
    receipts: Arc<BTreeMap<String, String>>,
    incidents: BTreeMap<String, Incident>,
    renewals: renewal::Renewals,
    totals: Totals,
    view: view::Memory,
}

impl Machine for MergeQueue {
    const KIND: ActorKind = ActorKind::Merge;
    const VERSION: u32 = 1;
    type Event = MergeEvent;
    type Command = Command;
    type Effect = Effect;

    fn new(id: &ActorId) -> Self {
        Self {
            run: id.run.clone(),
            package: None,
            head: String::new(),
            landings: 0,
            recent: VecDeque::new(),
            entries: Shared::default(),
            arrivals: 0,
            reached: 0,
            waiting: Shared::default(),
            ended: Shared::default(),
            unreported: BTreeMap::new(),
            candidates: Shared::default(),
            last_candidate: 0,
            checks: Shared::default(),
            chosen: None,
            window: Window { singles: 1, prefixes: 1, min: 1, max: 1 },
            caution: 0,
            registry: Registry::default(),
            known: Shared::default(),
            receipts: Arc::default(),
            incidents: BTreeMap::new(),
            renewals: renewal::Renewals::default(),
            totals: Totals::default(),
            view: view::Memory::default(),
        }
    }

    fn apply(&mut self, event: &MergeEvent, time_ms: u64) {
        if let Some(event) = &event.event {
            self.fold(event, time_ms);
        }
    }

    fn decide(&self, command: Command, now_ms: u64) -> Vec<MergeEvent> {
        let first = match command {
            Command::Waited => Vec::new(),
            command => match self.answer(command) {
                Some(event) => vec![event],
                None => return Vec::new(),
            },
        };
        let mut next = self.clone();
        let mut events: Vec<MergeEvent> = Vec::new();
        let mut step = first;
        while events.len() < MAX_STEPS {
            if step.is_empty() && !events.is_empty() {
                break;
            }
            for event in step {
                next.fold(&event, now_ms);
                events.push(MergeEvent { event: Some(event) });
            }
            step = next.next_steps(now_ms);
            if step.is_empty() {
                break;
            }
        }
        events
    }

    fn effects(&self) -> Vec<(String, Effect)> {
        if self.package.is_none() {
            return vec![("open".to_owned(), Effect::Open)];
        }
        let mut effects = Vec::new();
        for (submission, outcome) in &self.unreported {
            effects.push((format!("report:{submission}"), Effect::Report { outcome: outcome.clone() }));
        }
        if let Some(effect) = self.land_effect() {
            effects.push(effect);
        }
        effects.extend(self.renewal_effects());
        let mut asked = BTreeSet::new();
        for (&number, candidate) in self.candidates.iter() {
            let requests =
                || candidate.submissions.iter().filter_map(|id| self.request(id)).collect::<Vec<_>>();
            match &candidate.standing {
                Standing::Waiting => effects.push((
                    format!("assemble:{number}"),
                    Effect::Assemble {
                        candidate: number,
                        base: candidate.base.clone(),
                        submissions: requests(),
                    },
                )),
                Standing::Assembled(assembly) => {
                    let Some(check) = self.checks.get(&assembly.key) else { continue };
                    if check.verdict.is_none() && asked.insert(&assembly.key) {
                        let id = check_id(&assembly.key, check.serial, check.attempt);
                        effects.push((
                            format!("certify:{id}"),
                            Effect::Certify {
                                id,
                                key: assembly.key.clone(),
                                attempt: check.attempt,
                                tree: assembly.tree.clone(),
                                check: assembly.footprint.check.iter().cloned().collect(),
                                expectations: check.expectations.clone(),
                                stated: check.stated.clone(),
                                axioms: self.axioms(),
                                pause_ms: 0,
                                traceparents: (candidate.submissions.iter().rev())
                                    .filter_map(|id| Some(self.request(id)?.traceparent.clone()))
                                    .collect(),
                            },
                        ));
                    }
                }
                Standing::Blocked { .. } => {}
            }
        }
        if let Some((candidate, until_ms)) = self.patience() {
            effects.push((format!("wait:{candidate}"), Effect::Wait { until_ms }));
        }
        effects
    }

    const SNAPSHOT: Option<u32> = Some(2);

    fn snapshot(&self) -> Option<Vec<u8>> {
        snapshot::encode(self)
    }

    fn restore(state: &[u8]) -> Result<Self, String> {
        snapshot::decode(state)
    }

    fn is_finished(&self) -> bool {
        // The planner decides when a run ends; a queue that is empty waits for more.
        false
    }
}

impl MergeQueue {
    fn land_effect(&self) -> Option<(String, Effect)> {
        let chosen = self.chosen.as_ref()?;
        let candidate = self.candidates.get(&chosen.candidate)?;
        let Standing::Assembled(assembly) = &candidate.standing else { return None };
        let effect = Effect::Land {
            candidate: chosen.candidate,
            head: self.head.clone(),
            submissions: chosen.submissions.iter().filter_map(|id| self.request(id)).collect(),
            assembly: assembly.clone(),
            verdict: self.checks.get(&assembly.key)?.verdict.clone()?,
            time_ms: chosen.time_ms,
        };
        Some((format!("land:{}", chosen.candidate), effect))
    }

    fn entry(&self, submission: &str) -> Option<&Entry> {
        self.entries.get(self.waiting.get(submission)?)
    }

    /// Those that wait of which something may be known. Thousands may wait behind them.
    fn tried(&self) -> impl Iterator<Item = &Entry> {
        let tried = self.entries.iter().take_while(|(arrival, _)| **arrival <= self.reached);
        tried.map(|(_, entry)| entry)
    }

    fn request(&self, submission: &str) -> Option<Arc<MergeRequest>> {
        self.entry(submission).map(|entry| entry.request.clone())
    }

    fn verdict_of(&self, candidate: &Candidate) -> Option<&MergeVerdict> {
        let Standing::Assembled(assembly) = &candidate.standing else { return None };
        self.checks.get(&assembly.key)?.verdict.as_deref()
    }
}

/// The id that a check goes out under. `serial` tells it from an earlier question of the same content whose answer has been
/// forgotten: letters with a known id are dropped.
fn check_id(key: &str, serial: u64, attempt: u32) -> String {
    format!("{key}-{serial}.{attempt}")
}
