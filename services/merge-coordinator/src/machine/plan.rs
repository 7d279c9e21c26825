//! What the queue does next, from its state alone: refuse, land, speculate, certify again.
//!
//! Each of the first submissions that wait is certified alone (*singles*): a culprit is found in one build time whatever
//! stands before it. At the same time each is certified on top of those before it that it does not commute with
//! (*prefixes*), as deep as refusals let seem worthwhile. Submissions that are known to be good no longer count
//! against the window: they go together as one batch, with whatever prefix stands on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use atlas_proto::merge_event::Event;
use atlas_proto::{MergeChosen, MergeOutcome, MergeSpeculated, Refused, merge_outcome};

use super::candidate::Fate;
use super::{Candidate, Entry, Footprint, MAX_OVERTAKEN, MergeQueue, SKELETON, Standing};

/// A certified submission waits at least this long for an older one whose verdict is late.
const LEAST_PATIENCE_MS: u64 = 1_000;

impl MergeQueue {
    /// The decisions that follow from the state now; empty: nothing to decide until something happens.
    pub(super) fn next_steps(&self, now_ms: u64) -> Vec<Event> {
        let ready = self.package.is_some() && self.renewals.policy().is_some();
        if !ready || self.chosen.is_some() {
            return Vec::new();
        }
        if let Some(refusal) = self.refusal() {
            return vec![refusal];
        }
        if !self.is_stopped()
            && let Some(event) = self.landing(now_ms)
        {
            return vec![event];
        }
        let mut number = self.last_candidate;
        let mut speculate = |submissions| {
            number += 1;
            Event::Speculated(MergeSpeculated { candidate: number, base: self.head.clone(), submissions })
        };
        let wanted: Vec<Event> = self.wanted().into_iter().map(&mut speculate).collect();
        if wanted.is_empty() { self.renewing().into_iter().collect() } else { wanted }
    }

    /// The candidate that lands the most, the earliest of equals.
    fn landing(&self, now_ms: u64) -> Option<Event> {
        let mut best: Option<(usize, u64)> = None;
        for (&number, candidate) in self.candidates.iter() {
            let lands = self.landable(candidate, now_ms);
            if lands > best.map_or(0, |(most, _)| most) {
                best = Some((lands, number));
            }
        }
        let (_, number) = best?;
        let remaining = self.remaining(self.candidates.get(&number)?);
        let submissions = remaining.into_iter().map(str::to_owned).collect();
        Some(Event::Chosen(MergeChosen { candidate: number, submissions }))
    }

    /// The first submission that is to be refused: its own verdict, alone on a head, is final.
    fn refusal(&self) -> Option<Event> {
        let failed = self.failed();
        if let Some((arrival, reason)) = self.misplaced()
            && failed.is_none_or(|(other, _)| arrival <= other)
        {
            let entry = self.entries.get(&arrival)?;
            return Some(self.refuse(entry, "policy", reason.to_owned(), Vec::new(), &self.head));
        }
        let (arrival, single) = failed?;
        let entry = self.entries.get(&arrival)?;
        match self.fate(single) {
            Fate::Blocked { kind, reason } => {
                Some(self.refuse(entry, kind, reason.to_owned(), Vec::new(), &single.base))
            }
            Fate::Failed(verdict) => {
                let reason = self.with_company(entry, single, &verdict.kind, &verdict.reason);
                let diagnostics = verdict.diagnostics.clone();
                Some(self.refuse(entry, &verdict.kind, reason, diagnostics, &single.base))
            }
            Fate::Open | Fate::Accepted => None,
        }
    }

    /// The first submission that has no place in the library as it is, by arrival, and why.
    fn misplaced(&self) -> Option<(u64, &'static str)> {
        let skeleton = self.waiting.get(SKELETON).copied();
        if !self.head.is_empty() {
            return Some((skeleton?, "the library has been laid out already"));
        }
        if !self.ended.contains_key(SKELETON) {
            return None;
        }
        let first = self.entries.keys().copied().find(|arrival| Some(*arrival) != skeleton)?;
        Some((first, "the library could not be laid out: its skeleton was refused"))
    }

    /// The first submission, by arrival, that is refused alone, with the newest candidate that says so.
    fn failed(&self) -> Option<(u64, &Candidate)> {
        let mut first: Option<(u64, &Candidate)> = None;
        for candidate in self.candidates.values().rev() {
            let [single] = &candidate.submissions[..] else { continue };
            let Some(&arrival) = self.waiting.get(single) else { continue };
            let refused = matches!(self.fate(candidate), Fate::Failed(_) | Fate::Blocked { .. });
            if refused && first.is_none_or(|(earlier, _)| arrival < earlier) {
                first = Some((arrival, candidate));
            }
        }
        first
    }

    /// What to say of a submission that was good alone and is not any more.
    fn with_company(&self, entry: &Entry, single: &Candidate, kind: &str, reason: &str) -> String {
        let Some(proven) = entry.proven.filter(|_| kind != "environment") else { return reason.to_owned() };
        let mut titles: Vec<&str> = self
            .met_since(proven, entry.footprint.as_deref())
            .filter(|landing| landing.index < single.base_index)
            .map(|landing| landing.title.as_str())
            .collect();
        if titles.is_empty() {
            return reason.to_owned();
        }
        let more = titles.len().saturating_sub(5);
        titles.truncate(5);
        let named: Vec<String> = titles.iter().map(|title| format!("“{title}”")).collect();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!(
            "it was certified alone and broke only together with what landed meanwhile: {}{more}. {reason}",
            named.join(", ")
        )
    }

    fn refuse(
        &self,
        entry: &Entry,
        kind: &str,
        reason: String,
        diagnostics: Vec<atlas_proto::Diagnostic>,
        head: &str,
    ) -> Event {
        let target = entry.request.submission.as_ref().map(|s| s.target.clone()).unwrap_or_default();
        let refused = Refused { kind: kind.to_owned(), reason, diagnostics, head: head.to_owned() };
        Event::Refused(MergeOutcome {
            submission: entry.id().to_owned(),
            target,
            result: Some(merge_outcome::Result::Refused(refused)),
        })
    }

    /// How many submissions would land with this candidate now; 0: it may not land.
    fn landable(&self, candidate: &Candidate, now_ms: u64) -> usize {
        let Fate::Accepted = self.fate(candidate) else { return 0 };
        let remaining = self.remaining(candidate);
        if remaining.is_empty() || !self.is_valid(candidate) {
            return 0;
        }
        match self.blocked_until(candidate, &remaining) {
            Some(until) if now_ms < until => 0,
            _ => remaining.len(),
        }
    }

    /// First come, first served: a candidate waits for older submissions that it would invalidate, except those that are
    /// in trouble, and not for longer than its own check took. `None`: it need not wait; `u64::MAX`: no end.
    fn blocked_until(&self, candidate: &Candidate, remaining: &[&str]) -> Option<u64> {
        let Standing::Assembled(assembly) = &candidate.standing else { return None };
        let newest = remaining.iter().filter_map(|id| self.waiting.get(*id)).max()?;
        let mut until = None;
        for older in self.entries.iter().take_while(|(arrival, _)| *arrival < newest).map(|(_, entry)| entry)
        {
            if remaining.contains(&older.id()) || Self::commutes(older, &assembly.footprint) {
                continue;
            }
            if older.overtaken >= MAX_OVERTAKEN {
                return Some(u64::MAX);
            }
            if !older.suspect && !self.is_held(older) && !self.is_retried(older) {
                until = Some(self.patience_of(&assembly.key));
            }
        }
        until
    }

    /// When a certified candidate has waited as long as its check took.
    fn patience_of(&self, key: &str) -> u64 {
        self.checks.get(key).map_or(0, |check| {
            let took = check.answered_ms.saturating_sub(check.asked_ms);
            check.answered_ms.saturating_add(took.max(LEAST_PATIENCE_MS))
        })
    }

    /// The next time at which a candidate need not wait any longer.
    pub(super) fn patience(&self) -> Option<(u64, u64)> {
        if self.chosen.is_some() || self.is_stopped() {
            return None;
        }
        self.candidates
            .iter()
            .filter(|(_, candidate)| {
                matches!(self.fate(candidate), Fate::Accepted) && self.is_valid(candidate)
            })
            .filter_map(|(number, candidate)| {
                let until = self.blocked_until(candidate, &self.remaining(candidate))?;
                (until < u64::MAX).then_some((*number, until))
            })
            .min_by_key(|(_, until)| *until)
    }

    /// It cannot be merged with one before it that has not landed yet: if that one lands, it is refused.
    fn is_held(&self, entry: &Entry) -> bool {
        self.candidates.values().any(|candidate| {
            candidate.submissions.len() > 1
                && matches!(candidate.standing, Standing::Blocked { .. })
                && candidate.submissions.last().is_some_and(|last| last == entry.id())
        })
    }

    fn is_retried(&self, entry: &Entry) -> bool {
        self.candidates.values().filter(|candidate| candidate.is_single(entry.id())).any(|single| {
            let Standing::Assembled(assembly) = &single.standing else { return false };
            self.checks.get(&assembly.key).is_some_and(|check| check.attempt > 1 && check.verdict.is_none())
        })
    }

    /// Candidates that should be there and are not.
    fn wanted(&self) -> Vec<Vec<String>> {
        if self.head.is_empty() {
            // Nothing can stand on an empty library but its skeleton.
            let skeleton = self.entry(SKELETON).filter(|entry| self.single_of(entry).is_none());
            return skeleton.map(|entry| vec![entry.id().to_owned()]).into_iter().collect();
        }
        let mut wanted: Vec<Vec<String>> = Vec::new();
        let mut want = |submissions: Vec<String>| {
            if !wanted.contains(&submissions) {
                wanted.push(submissions);
            }
        };
        let mut unproven = 0;
        let mut members: Vec<(&Entry, &Arc<Footprint>)> = Vec::new();
        for (&arrival, entry) in self.entries.iter() {
            if arrival > self.reached && unproven >= self.window.singles {
                break;
            }
            if entry.suspect {
                let valid =
                    |candidate: &&Candidate| candidate.is_single(entry.id()) && self.is_valid(candidate);
                if !self.candidates.values().any(|candidate| valid(&candidate)) {
                    want(vec![entry.id().to_owned()]);
                }
                continue;
            }
            if entry.proven.is_none() {
                unproven += 1;
                if unproven > self.window.singles {
                    continue;
                }
                if self.single_of(entry).is_none() {
                    want(vec![entry.id().to_owned()]);
                    continue;
                }
            }
            if let Some(footprint) = &entry.footprint
                && !self.is_held(entry)
            {
                members.push((entry, footprint));
            }
        }
        for prefix in self.prefixes(&members) {
            want(prefix);
        }
        wanted
    }

    fn single_of(&self, entry: &Entry) -> Option<&Candidate> {
        self.candidates.values().find(|candidate| {
            candidate.is_single(entry.id()) && (!candidate.is_waiting() || self.is_valid(candidate))
        })
    }

    /// For each member, itself on top of the older ones that it does not commute with, directly or through others.
    fn prefixes(&self, members: &[(&Entry, &Arc<Footprint>)]) -> Vec<Vec<String>> {
        let tried: Vec<(Vec<&str>, bool)> = self
            .candidates
            .values()
            .filter(|candidate| self.is_valid(candidate))
            .map(|candidate| (self.remaining(candidate), self.is_bad_company(candidate)))
            .collect();
        let failed: Vec<&Vec<&str>> =
            tried.iter().filter(|(_, failed)| *failed).map(|(members, _)| members).collect();
        let lanes: Vec<Vec<usize>> = (0..members.len()).map(|at| lane(members, at)).collect();
        let ids = |lane: &[usize]| -> Vec<&str> { lane.iter().map(|&at| members[at].0.id()).collect() };
        let proven = |lane: &[usize]| lane.iter().all(|&at| members[at].0.proven.is_some());
        // What stands on company that has failed fails too.
        let doomed = |ids: &[&str]| failed.iter().any(|bad| bad.iter().all(|member| ids.contains(member)));
        let mut prefixes = Vec::new();
        for (at, own) in lanes.iter().enumerate() {
            let unproven = own.iter().filter(|&&at| members[at].0.proven.is_none()).count();
            if own.len() > 1 && unproven > self.window.prefixes as usize {
                continue;
            }
            let submissions = ids(own);
            if doomed(&submissions) || tried.iter().any(|(remaining, _)| *remaining == submissions) {
                continue;
            }
            // Good ones go as one batch: the newest speaks for those below it, until company has been seen to break.
            let spoken_for = self.caution == 0
                && proven(own)
                && !failed.iter().any(|bad| bad.contains(&members[at].0.id()))
                && lanes[at + 1..]
                    .iter()
                    .any(|younger| younger.contains(&at) && proven(younger) && !doomed(&ids(younger)));
            if !spoken_for {
                prefixes.push(submissions.into_iter().map(str::to_owned).collect());
            }
        }
        prefixes
    }

    /// Several of its submissions still wait, and Lean or git refused them together.
    fn is_bad_company(&self, candidate: &Candidate) -> bool {
        let refused = match self.fate(candidate) {
            Fate::Failed(verdict) => verdict.kind != "environment",
            Fate::Blocked { .. } => true,
            Fate::Open | Fate::Accepted => false,
        };
        refused && self.remains_of(candidate).nth(1).is_some()
    }
}

/// Positions of the member at `at` and of the older ones that it cannot be told apart from, in order of arrival.
fn lane(members: &[(&Entry, &Arc<Footprint>)], at: usize) -> Vec<usize> {
    let mut lane: BTreeSet<usize> = BTreeSet::from([at]);
    for older in (0..at).rev() {
        if lane.iter().any(|&member| !members[older].1.commutes(members[member].1)) {
            lane.insert(older);
        }
    }
    lane.into_iter().collect()
}
