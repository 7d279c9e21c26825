//! Certifying again: modules of `main` whose receipts the policy of today does not take any more.
//!
//! When the policy changes, the host *surveys* the modules with stale receipts; each is then asked about once, those below first, a few at
//! a time and only while no submission waits for the verifier. An accepted module gets its new receipt. One that is refused has *lapsed*: it
//! stays on `main`, is told of everywhere, and nothing lands on it. What could not be judged is asked again, later and later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atlas_judge::Receipt;
use atlas_proto::merge_event::Event;
use atlas_proto::{
    CheckReply, MergePolicy, MergeRenewed, MergeRenewing, MergeRetried, MergeSurveyed, MergeVerdict,
    ModuleReceipt, merge_surveyed,
};
use serde::{Deserialize, Serialize};

use super::answer::check_key;
use super::policy::Told;
use super::shared::Shared;
use super::{
    ATTEMPTS, Candidate, Check, Effect, Footprint, MergeQueue, Standing, check_id, receipts, verdict,
};

/// Modules that are certified again at once, at most: what a submission that comes in may have to wait for.
const AT_ONCE: usize = 2;

/// The longest pause before a module is asked about again that could not be judged, ms.
const MAX_PAUSE_MS: u64 = 600_000;

/// A module that does not certify any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lapsed {
    /// The module.
    pub module: String,
    /// `axioms`, `statement`, `build` or `incident`.
    pub kind: String,
    /// Why, in one line.
    pub reason: String,
    /// When the verifier said so, Unix ms.
    pub since_ms: u64,
}

impl Lapsed {
    /// What a submission is told that would stand on it.
    pub(super) fn refusal(&self) -> String {
        format!(
            "{}, which it imports, is no longer certified under the present policy: {}; nothing lands on it before that is repaired",
            self.module, self.reason
        )
    }
}

/// A module that is to be certified again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Question {
    key: String,
    /// Where its sources are.
    tree: String,
    depth: u32,
    asked: bool,
    /// Why it was not judged when it was asked last.
    fault: String,
    check: Check,
}

impl Question {
    fn is_undecided(&self) -> bool {
        self.check.attempt > ATTEMPTS
    }

    /// Before it is asked: attempts that judged nothing make it wait, each twice as long as the one before.
    fn pause_ms(&self) -> u64 {
        match self.check.attempt {
            ..=1 => 0,
            attempt => 1_000_u64.saturating_mul(1 << (attempt - 2).min(20)).min(MAX_PAUSE_MS),
        }
    }
}

/// Which receipts are current, and what is done about the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Renewals {
    policy: Option<Arc<Told>>,
    /// Policies that it was told.
    policies: u64,
    /// Counts policies, surveys and questions, so that no effect's key comes twice.
    serial: u64,
    /// Every module of `main`, with its receipt if it was certified with one.
    held: Shared<String, Option<Arc<Receipt>>>,
    /// Those whose receipt is not enough any more.
    stale: Arc<BTreeSet<String>>,
    questions: BTreeMap<String, Question>,
    lapsed: BTreeMap<String, Lapsed>,
    renewed: u64,
}

/// How the receipts of `main` stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiptCounts {
    /// Of the policy of today.
    pub current: usize,
    /// Stale, and their modules are being certified again.
    pub renewing: usize,
    /// Of modules that could not be judged again so far, for no fault of theirs; they are asked about again.
    pub undecided: usize,
    /// Why one of those was not.
    pub fault: String,
    /// Of modules that do not certify any more.
    pub lapsed: usize,
    /// Made anew since the run began.
    pub renewed: u64,
}

impl Renewals {
    /// Names what is asked of verdicts; empty: nothing was told.
    pub fn digest(&self) -> String {
        self.policy.as_ref().map(|told| told.digest()).unwrap_or_default()
    }

    pub fn policy(&self) -> Option<&Told> {
        self.policy.as_deref()
    }

    /// What a verdict must have been made with.
    pub fn asked_for(&self) -> atlas_judge::Policy {
        self.policy.as_ref().map(|told| told.verdicts().clone()).unwrap_or_default()
    }

    /// Whether a module's receipt is not enough, or is missing where it is demanded.
    fn is_stale(&self, module: &str) -> bool {
        let (Some(told), Some(held)) = (&self.policy, self.held.get(module)) else { return false };
        match held {
            Some(receipt) => told.misses(receipt).is_some(),
            None => receipts::are_demanded_of(&told.message.toolchain),
        }
    }

    fn restale(&mut self, module: &str) {
        let stale = self.is_stale(module);
        let modules = Arc::make_mut(&mut self.stale);
        if stale {
            modules.insert(module.to_owned())
        } else {
            modules.remove(module)
        };
    }

    /// A landing concerned these modules; those in `check` are on `main` now, each with its receipt or without one.
    pub fn land(&mut self, concerned: &Footprint, mut certified: BTreeMap<String, Arc<Receipt>>) {
        let held = &mut self.held;
        for module in concerned.writes.iter().chain(&concerned.check) {
            held.remove(module);
            self.questions.remove(module);
            self.lapsed.remove(module);
        }
        for module in &concerned.check {
            held.insert(module.clone(), certified.remove(module));
        }
        for module in concerned.writes.iter().chain(&concerned.check) {
            self.restale(module);
        }
    }

    pub fn tell(&mut self, policy: &MergePolicy) {
        self.policies += 1;
        self.serial += 1;
        let before = self.digest();
        let signed = self.held.values().flatten().map(|receipt| receipt.key.clone());
        let used: BTreeSet<String> = match &self.policy {
            Some(told) => told.keys().chain(signed).collect(),
            None => signed.collect(),
        };
        self.policy = Some(Arc::new(Told::new(policy.clone(), used.into_iter())));
        if self.digest() != before {
            // What was asked and answered was another policy's.
            self.questions.clear();
            self.lapsed.clear();
        }
        self.stale = Arc::new(self.held.keys().filter(|module| self.is_stale(module)).cloned().collect());
        self.questions.retain(|module, _| self.stale.contains(module));
        self.lapsed.retain(|module, _| self.stale.contains(module));
    }

    /// Modules whose stale receipts nothing has been done about.
    fn unsurveyed(&self) -> impl Iterator<Item = &String> {
        let open =
            |module: &&String| !self.questions.contains_key(*module) && !self.lapsed.contains_key(*module);
        self.stale.iter().filter(open)
    }

    /// The question of this key, with its module.
    fn question(&self, key: &str) -> Option<(&String, &Question)> {
        self.questions.iter().find(|(_, question)| question.key == key)
    }

    fn question_mut(&mut self, key: &str) -> Option<&mut Question> {
        self.questions.values_mut().find(|question| question.key == key)
    }

    pub fn lapsed(&self) -> impl Iterator<Item = &Lapsed> {
        self.lapsed.values()
    }

    pub fn counts(&self) -> ReceiptCounts {
        let undecided = || self.questions.values().filter(|question| question.is_undecided());
        let settled = self.lapsed.len() + undecided().count();
        ReceiptCounts {
            current: self
                .held
                .iter()
                .filter(|(module, held)| held.is_some() && !self.stale.contains(*module))
                .count(),
            renewing: self.stale.len().saturating_sub(settled),
            undecided: undecided().count(),
            lapsed: self.lapsed.len(),
            fault: undecided().next().map(|question| question.fault.clone()).unwrap_or_default(),
            renewed: self.renewed,
        }
    }
}

impl MergeQueue {
    /// The open check of this key: a candidate's, or of a module that is certified again.
    pub(super) fn open_check(&self, key: &str) -> Option<&Check> {
        let of_candidate = self.checks.get(key);
        of_candidate
            .or_else(|| Some(&self.renewals.question(key)?.1.check))
            .filter(|check| check.verdict.is_none())
    }

    pub(super) fn is_renewal(&self, key: &str) -> bool {
        self.renewals.question(key).is_some()
    }

    /// The module on which a candidate of this footprint would stand and that is not certified any more.
    pub(super) fn lapsed_below(&self, footprint: &Footprint) -> Option<&Lapsed> {
        self.renewals.lapsed().find(|lapsed| footprint.below.contains(&lapsed.module))
    }

    pub(super) fn fold_policy(&mut self, policy: &MergePolicy) {
        let before = self.renewals.digest();
        self.renewals.tell(policy);
        if self.renewals.digest() == before {
            return;
        }
        // What was certified under another policy lands no more; a landing that has begun goes through and is looked at after it.
        let chosen = self.chosen.as_ref().map(|chosen| chosen.candidate);
        self.candidates.retain(|number, _| Some(*number) == chosen);
        let landing = chosen.and_then(|number| match &self.candidates.get(&number)?.standing {
            Standing::Assembled(assembly) => Some(assembly.key.clone()),
            _ => None,
        });
        self.checks.retain(|key, _| Some(key) == landing.as_ref());
        self.entries.for_each_mut(|entry| {
            entry.proven = None;
            entry.suspect = false;
        });
    }

    pub(super) fn surveyed(
        &self,
        head: String,
        tree: String,
        modules: Vec<merge_surveyed::Module>,
    ) -> Option<Event> {
        // Of an older head: what has landed since may have changed them.
        (head == self.head).then_some(Event::Surveyed(MergeSurveyed { head, tree, modules }))
    }

    pub(super) fn fold_surveyed(&mut self, surveyed: &MergeSurveyed, time_ms: u64) {
        self.renewals.serial += 1;
        let policy = format!("renewal {}", self.renewals.digest());
        let wanted: BTreeSet<String> = self.renewals.unsurveyed().cloned().collect();
        for found in surveyed.modules.iter().filter(|found| wanted.contains(&found.module)) {
            let module = &found.module;
            let check = BTreeSet::from([module.clone()]);
            // No submission is involved, so that none of them can be unsound.
            let expectations = self.registry.expectations(&check, &[]).unwrap_or_default();
            let stated = self.registry.stated(&found.reads.iter().cloned().collect(), &[]);
            self.renewals.serial += 1;
            let question = Question {
                key: check_key(&found.content, &expectations, &stated, &policy),
                tree: surveyed.tree.clone(),
                depth: found.depth,
                asked: false,
                fault: String::new(),
                check: Check {
                    serial: self.renewals.serial,
                    attempt: 1,
                    asked_ms: time_ms,
                    expectations: Arc::new(expectations),
                    stated: Arc::new(stated),
                    footprint: Arc::new(Footprint { check, ..Footprint::default() }),
                    sources: Arc::new(BTreeMap::from([(module.clone(), found.source.clone())])),
                    ..Check::default()
                },
            };
            self.renewals.questions.insert(module.clone(), question);
        }
    }

    /// The next module to be asked about: the lowest that was not asked yet, and none above what is being judged. None while a submission
    /// waits for the verifier. When all have been asked, one at a time of those that could not be judged.
    pub(super) fn renewing(&self) -> Option<Event> {
        if self.candidates.values().any(|candidate| self.waits_for_verifier(candidate)) {
            return None;
        }
        let (undecided, trying): (Vec<_>, Vec<_>) =
            self.renewals.questions.iter().partition(|(_, question)| question.is_undecided());
        let asked = |questions: &[(&String, &Question)]| questions.iter().filter(|(_, q)| q.asked).count();
        let lowest = trying.iter().map(|(_, question)| question.depth).min();
        let next = match lowest {
            Some(_) if asked(&trying) >= AT_ONCE => None,
            Some(lowest) => trying.iter().find(|(_, question)| !question.asked && question.depth == lowest),
            None if asked(&undecided) > 0 => None,
            None => undecided.iter().min_by_key(|(_, question)| question.check.attempt),
        };
        let (module, question) = next?;
        Some(Event::Renewing(MergeRenewing { module: (*module).clone(), attempt: question.check.attempt }))
    }

    fn waits_for_verifier(&self, candidate: &Candidate) -> bool {
        match &candidate.standing {
            Standing::Waiting => true,
            Standing::Assembled(assembly) => {
                self.checks.get(&assembly.key).is_some_and(|check| check.verdict.is_none())
            }
            Standing::Blocked { .. } => false,
        }
    }

    pub(super) fn fold_renewing(&mut self, renewing: &MergeRenewing, time_ms: u64) {
        if let Some(question) = self.renewals.questions.get_mut(&renewing.module) {
            question.asked = true;
            question.check.asked_ms = time_ms;
        }
    }

    /// A question that judged nothing goes back behind those that have not been asked.
    pub(super) fn fold_renewal_retried(&mut self, key: &str, attempt: u32, cause: &str) {
        if let Some(question) = self.renewals.question_mut(key) {
            question.asked = false;
            question.check.attempt = attempt;
            cause.clone_into(&mut question.fault);
        }
    }

    /// The verdict on a module that is certified again; asked once more where it cannot be kept.
    pub(super) fn judged_again(&self, key: &str, check: &Check, reply: CheckReply) -> Option<Event> {
        let told = self.renewals.policy()?;
        let verdict = verdict::verdict(key, reply, check, &self.known, told.verdicts());
        let cause = match verdict.kind.as_str() {
            "" => match receipts::certified(&verdict).values().next() {
                Some(receipt) => {
                    told.misses(receipt).map(|why| format!("the verifier's new receipt is stale: {why}"))
                }
                None => Some("the verifier accepted it without a receipt".to_owned()),
            },
            "environment" => Some(verdict.reason.clone()),
            _ => None,
        };
        Some(match cause {
            Some(cause) => {
                Event::Retried(MergeRetried { key: key.to_owned(), attempt: check.attempt + 1, cause })
            }
            None => Event::Verdict(MergeVerdict { declarations: Vec::new(), names: Vec::new(), ..verdict }),
        })
    }

    pub(super) fn fold_renewal_verdict(&mut self, verdict: &MergeVerdict, time_ms: u64) {
        if verdict.kind.is_empty() {
            if let Some(question) = self.renewals.question_mut(&verdict.key) {
                // It may be a late answer to a question that was given up.
                question.asked = true;
                question.check.verdict = Some(Arc::new(verdict.clone()));
            }
            return;
        }
        let Some(module) = self.renewals.question(&verdict.key).map(|(module, _)| module.clone()) else {
            return;
        };
        self.renewals.questions.remove(&module);
        let (kind, reason) = (verdict.kind.clone(), verdict.reason.clone());
        let lapsed = Lapsed { module: module.clone(), kind, reason, since_ms: time_ms };
        self.renewals.lapsed.insert(module, lapsed);
        // What stands on it is put together anew, and finds out.
        let chosen = self.chosen.as_ref().map(|chosen| chosen.candidate);
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.retain(|number, candidate| match &candidate.standing {
            Standing::Assembled(assembly) => {
                Some(*number) == chosen || self.lapsed_below(&assembly.footprint).is_none()
            }
            _ => true,
        });
        self.candidates = candidates;
    }

    pub(super) fn renewed(&self, module: String, sha256: String) -> Option<Event> {
        self.renewals.questions.get(&module)?.check.verdict.as_ref()?;
        Some(Event::Renewed(MergeRenewed { receipt: Some(ModuleReceipt { module, sha256 }) }))
    }

    pub(super) fn fold_renewed(&mut self, renewed: &MergeRenewed) {
        let Some(ModuleReceipt { module, sha256 }) = &renewed.receipt else { return };
        let Some(question) = self.renewals.questions.remove(module) else { return };
        let certified =
            question.check.verdict.map(|verdict| receipts::certified(&verdict)).unwrap_or_default();
        if let Some(receipt) = certified.get(module) {
            self.renewals.held.insert(module.clone(), Some(receipt.clone()));
            Arc::make_mut(&mut self.receipts).insert(module.clone(), sha256.clone());
        }
        self.renewals.renewed += 1;
        self.renewals.restale(module);
    }

    /// What certifying again waits for.
    pub(super) fn renewal_effects(&self) -> Vec<(String, Effect)> {
        let renewals = &self.renewals;
        let known = renewals.policy().map(|told| told.message.clone());
        let mut effects = vec![(format!("policy:{}", renewals.policies), Effect::WatchPolicy { known })];
        let modules: BTreeSet<String> = renewals.unsurveyed().cloned().collect();
        if !modules.is_empty() && renewals.questions.values().all(Question::is_undecided) {
            let key = format!("survey:{}:{}", renewals.serial, self.head);
            effects.push((key, Effect::Survey { head: self.head.clone(), modules }));
        }
        for (module, question) in &renewals.questions {
            let Question { key, tree, check, .. } = question;
            let id = check_id(key, check.serial, check.attempt);
            match &check.verdict {
                Some(verdict) => {
                    let kept = |receipt: &atlas_proto::Receipt| {
                        let (module, receipt) = (module.clone(), receipt.clone());
                        (format!("keep:{id}"), Effect::Keep { module, receipt })
                    };
                    effects.extend(verdict.receipts.first().map(kept));
                }
                None if question.asked => effects.push((
                    format!("certify:{id}"),
                    Effect::Certify {
                        id,
                        key: key.clone(),
                        attempt: check.attempt,
                        tree: tree.clone(),
                        check: vec![module.clone()],
                        expectations: check.expectations.clone(),
                        stated: check.stated.clone(),
                        axioms: self.axioms(),
                        pause_ms: question.pause_ms(),
                        traceparents: Vec::new(),
                    },
                )),
                None => {}
            }
        }
        effects
    }

    /// The axioms as a check is told them.
    pub(super) fn axioms(&self) -> Option<atlas_proto::Axioms> {
        self.renewals.policy()?.axioms()
    }
}
