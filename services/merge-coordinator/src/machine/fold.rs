//! How events change the state. Nothing else does.

use std::collections::BTreeSet;
use std::sync::Arc;

use atlas_proto::merge_event::Event;
use atlas_proto::{MergeAssembled, MergeLanded, MergeOutcome, MergeVerdict, Outcome, merge_outcome};

use super::candidate::{Fate, Sources};
use super::verdict::name_hash;
use super::{
    Assembly, CAUTION, Candidate, Check, Chosen, Entry, Footprint, Landing, MergeQueue, REMEMBERED_CHECKS,
    Standing, Window, receipts, submission_of,
};

impl MergeQueue {
    pub(super) fn fold(&mut self, event: &Event, time_ms: u64) {
        match event {
            Event::Opened(opened) => {
                self.package = Some(opened.package.clone());
                let (min, max) = (opened.window_min, opened.window_max);
                self.window = Window { singles: max, prefixes: max, min, max };
            }
            Event::Received(request) => {
                let id = submission_of(request).to_owned();
                self.arrivals += 1;
                self.waiting.insert(id, self.arrivals);
                self.entries.insert(
                    self.arrivals,
                    Entry {
                        request: Arc::new(request.clone()),
                        received_ms: time_ms,
                        footprint: None,
                        proven: None,
                        suspect: false,
                        overtaken: 0,
                    },
                );
                self.totals.received += 1;
            }
            Event::Speculated(speculated) => {
                self.last_candidate = speculated.candidate;
                self.totals.candidates += 1;
                // The machine speculates on what waits.
                let arrival = |id| self.waiting.get(id).copied().unwrap_or_default();
                let arrivals: Vec<u64> = speculated.submissions.iter().map(arrival).collect();
                self.reached = arrivals.iter().copied().fold(self.reached, u64::max);
                self.candidates.insert(
                    speculated.candidate,
                    Candidate {
                        submissions: speculated.submissions.clone(),
                        arrivals,
                        base: speculated.base.clone(),
                        base_index: self.landings,
                        standing: Standing::Waiting,
                    },
                );
            }
            Event::Assembled(assembled) => self.fold_assembled(assembled, time_ms),
            Event::Blocked(blocked) => {
                if let Some(candidate) = self.candidates.get_mut(&blocked.candidate) {
                    let (kind, reason) = (blocked.kind.clone(), blocked.reason.clone());
                    candidate.standing = Standing::Blocked { kind, reason };
                }
            }
            Event::Verdict(verdict) => self.fold_verdict(verdict, time_ms),
            Event::Retried(retried) if self.is_renewal(&retried.key) => {
                self.fold_renewal_retried(&retried.key, retried.attempt, &retried.cause);
            }
            Event::Retried(retried) => {
                self.totals.retried += 1;
                self.window.singles = (self.window.singles / 2).max(self.window.min);
                if let Some(check) = self.checks.get_mut(&retried.key) {
                    check.attempt = retried.attempt;
                }
            }
            Event::Chosen(chosen) => {
                self.chosen = Some(Chosen {
                    candidate: chosen.candidate,
                    submissions: chosen.submissions.clone(),
                    time_ms,
                });
            }
            Event::Landed(landed) => self.fold_landed(landed, time_ms),
            Event::Stale(stale) => {
                self.chosen = None;
                self.candidates.remove(&stale.candidate);
            }
            Event::Refused(outcome) => self.fold_refused(outcome, time_ms),
            Event::Reported(reported) => {
                self.unreported.remove(&reported.submission);
            }
            Event::Cleared(cleared) => self.fold_cleared(cleared),
            Event::Policy(policy) => self.fold_policy(policy),
            Event::Surveyed(surveyed) => self.fold_surveyed(surveyed, time_ms),
            Event::Renewing(renewing) => self.fold_renewing(renewing, time_ms),
            Event::Renewed(renewed) => self.fold_renewed(renewed),
        }
        if self.chosen.is_none() {
            self.mark_suspects();
        }
    }

    fn fold_assembled(&mut self, assembled: &MergeAssembled, time_ms: u64) {
        let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        let footprint = Footprint {
            writes: set(&assembled.writes),
            check: set(&assembled.check),
            reads: set(&assembled.reads),
            below: set(&assembled.below),
        };
        let sources: Sources =
            assembled.check.iter().cloned().zip(assembled.sources.iter().cloned()).collect();
        let Some(candidate) = self.candidates.get_mut(&assembled.candidate) else { return };
        candidate.standing = Standing::Assembled(Arc::new(Assembly {
            tree: assembled.tree.clone(),
            footprint: footprint.clone(),
            content: assembled.content.clone(),
            key: assembled.key.clone(),
            sources: sources.clone(),
        }));
        let submissions = candidate.submissions.clone();
        let footprint = Arc::new(footprint);
        let used = self.totals.candidates;
        if let Some(check) = self.checks.get_mut(&assembled.key) {
            check.used = used;
        } else {
            let requests: Vec<_> = submissions.iter().filter_map(|id| self.request(id)).collect();
            let requests: Vec<_> = requests.iter().map(AsRef::as_ref).collect();
            // The machine assembled this event with the same registry and found the expectations sound.
            let expectations = self.registry.expectations(&footprint.check, &requests).unwrap_or_default();
            let stated = self.registry.stated(&footprint.reads, &requests);
            self.totals.checks += 1;
            let check = Check {
                serial: assembled.candidate,
                attempt: 1,
                asked_ms: time_ms,
                answered_ms: 0,
                expectations: Arc::new(expectations),
                stated: Arc::new(stated),
                footprint: footprint.clone(),
                sources: Arc::new(sources),
                verdict: None,
                used,
            };
            self.checks.insert(assembled.key.clone(), check);
        }
        if let [single] = &submissions[..]
            && let Some(arrival) = self.waiting.get(single)
            && let Some(entry) = self.entries.get_mut(arrival)
        {
            entry.footprint = Some(footprint);
        }
        // The same content may have been judged before.
        self.prove();
    }

    fn fold_verdict(&mut self, verdict: &MergeVerdict, time_ms: u64) {
        self.fold_incidents(verdict, time_ms);
        if self.is_renewal(&verdict.key) {
            return self.fold_renewal_verdict(verdict, time_ms);
        }
        if verdict.kind == "environment" {
            self.window.singles = (self.window.singles / 2).max(self.window.min);
        }
        let used = self.totals.candidates;
        if let Some(check) = self.checks.get_mut(&verdict.key) {
            check.verdict = Some(Arc::new(verdict.clone()));
            check.answered_ms = time_ms;
            check.used = used;
            if verdict.outcome() == Outcome::Accepted {
                self.view.checked(verdict.lean_ms);
            }
        }
        self.prove();
    }

    /// Every member of a certified candidate is good.
    fn prove(&mut self) {
        let mut proven: Vec<(u64, u64)> = Vec::new();
        for candidate in self.candidates.values() {
            if matches!(self.fate(candidate), Fate::Accepted) {
                let members = candidate.submissions.iter().filter_map(|id| self.waiting.get(id));
                let news =
                    members.filter(|arrival| self.entries.get(*arrival).is_some_and(|e| e.proven.is_none()));
                proven.extend(news.map(|arrival| (*arrival, candidate.base_index)));
            }
        }
        for (arrival, index) in proven {
            if let Some(entry) = self.entries.get_mut(&arrival) {
                entry.proven.get_or_insert(index);
            }
        }
    }

    fn fold_landed(&mut self, landed: &MergeLanded, time_ms: u64) {
        self.chosen = None;
        self.head.clone_from(&landed.head);
        let Some(candidate) = self.candidates.get(&landed.candidate) else { return };
        let verdict = self.verdict_of(candidate);
        let names = Arc::new(verdict.map(|v| v.names.clone()).unwrap_or_default());
        let certified = verdict.map(receipts::certified).unwrap_or_default();
        let whole = match &candidate.standing {
            Standing::Assembled(assembly) => Arc::new(assembly.footprint.clone()),
            _ => Arc::default(),
        };
        self.fold_receipts(landed, &whole);
        self.renewals.land(&whole, certified);
        let mut newest = 0;
        for outcome in &landed.outcomes {
            let Some(arrival) = self.waiting.remove(&outcome.submission) else { continue };
            let Some(entry) = self.entries.remove(&arrival) else { continue };
            newest = newest.max(arrival);
            let facts = match &outcome.result {
                Some(merge_outcome::Result::Landed(landed)) => landed.declarations.as_slice(),
                _ => &[],
            };
            self.registry.land(&entry.request, facts);
            let named = facts.iter().map(|facts| (name_hash(&facts.name), Arc::from(facts.module.as_str())));
            self.known.extend(named);
            self.recent.push_back(Landing {
                index: self.landings,
                submission: outcome.submission.clone(),
                title: entry.title().to_owned(),
                footprint: whole.clone(),
                names: names.clone(),
            });
            self.landings += 1;
            self.totals.landed += 1;
            self.caution = self.caution.saturating_sub(1);
            self.window.singles = (self.window.singles + 1).min(self.window.max);
            self.window.prefixes = (self.window.prefixes + 1).min(self.window.max);
            self.view.landed(outcome, &entry, time_ms);
            self.end(outcome);
        }
        let older = self.entries.iter().take_while(|(arrival, _)| **arrival < newest);
        let overtaken: Vec<u64> =
            older.filter(|(_, entry)| !Self::commutes(entry, &whole)).map(|(arrival, _)| *arrival).collect();
        for arrival in overtaken {
            if let Some(entry) = self.entries.get_mut(&arrival) {
                entry.overtaken += 1;
            }
        }
        self.tidy();
    }

    /// A module's receipt is that of the last landing that concerned it; what is certified without one has none any more.
    fn fold_receipts(&mut self, landed: &MergeLanded, concerned: &Footprint) {
        let receipts = Arc::make_mut(&mut self.receipts);
        for module in concerned.writes.iter().chain(&concerned.check) {
            receipts.remove(module);
        }
        receipts.extend(landed.receipts.iter().map(|one| (one.module.clone(), one.sha256.clone())));
        if !landed.receipts.is_empty() {
            self.totals.receipted += landed.outcomes.len() as u64;
        }
    }

    fn fold_refused(&mut self, outcome: &MergeOutcome, time_ms: u64) {
        let Some(arrival) = self.waiting.remove(&outcome.submission) else { return };
        if let Some(entry) = self.entries.remove(&arrival) {
            self.view.refused(outcome, &entry, time_ms);
        }
        if let Some(merge_outcome::Result::Refused(refused)) = &outcome.result {
            *self.totals.refused.entry(refused.kind.clone()).or_default() += 1;
            self.window.prefixes = (self.window.prefixes / 2).max(self.window.min);
        }
        self.end(outcome);
        self.candidates.retain(|_, candidate| !candidate.submissions.contains(&outcome.submission));
        self.tidy();
    }

    fn end(&mut self, outcome: &MergeOutcome) {
        self.ended.insert(outcome.submission.clone(), ());
        self.unreported.insert(outcome.submission.clone(), Arc::new(outcome.clone()));
    }

    /// A submission that failed on top of others, all of which have landed since, is suspect: it broke with them, or
    /// the check was unlucky.
    fn mark_suspects(&mut self) {
        let mut suspects = Vec::new();
        for candidate in self.candidates.values() {
            if candidate.submissions.len() > 1
                && matches!(self.fate(candidate), Fate::Failed(_) | Fate::Blocked { .. })
                && let [last] = self.remaining(candidate)[..]
                && self.is_valid(candidate)
                && let Some(arrival) = self.waiting.get(last)
            {
                suspects.push(*arrival);
            }
        }
        for arrival in suspects {
            if let Some(entry) = self.entries.get_mut(&arrival)
                && !entry.suspect
            {
                entry.suspect = true;
                self.caution = self.window.max * CAUTION;
            }
        }
    }

    /// Forgets candidates that can tell nothing any more, and checks and landings that none refers to.
    fn tidy(&mut self) {
        let useful = |candidate: &Candidate| {
            if self.remains_of(candidate).next().is_none() {
                return false;
            }
            // A submission's own verdict tells whether it is good on whatever head it was tried.
            let telling = candidate.submissions.len() == 1
                && matches!(self.fate(candidate), Fate::Open | Fate::Failed(_) | Fate::Blocked { .. })
                && !candidate.is_waiting();
            telling || self.is_valid(candidate)
        };
        let gone: Vec<u64> =
            self.candidates.iter().filter(|(_, candidate)| !useful(candidate)).map(|(n, _)| *n).collect();
        for number in gone {
            self.candidates.remove(&number);
        }
        let oldest = self
            .candidates
            .values()
            .map(|candidate| candidate.base_index)
            .chain(self.tried().filter_map(|entry| entry.proven))
            .min()
            .unwrap_or(self.landings);
        while self.recent.front().is_some_and(|landing| landing.index < oldest) {
            self.recent.pop_front();
        }
        let referred: BTreeSet<&str> = self
            .candidates
            .values()
            .filter_map(|candidate| match &candidate.standing {
                Standing::Assembled(assembly) => Some(assembly.key.as_str()),
                _ => None,
            })
            .collect();
        let mut idle: Vec<(u64, String)> = self
            .checks
            .iter()
            .filter(|(key, _)| !referred.contains(key.as_str()))
            .map(|(key, check)| (check.used, key.clone()))
            .collect();
        if idle.len() > REMEMBERED_CHECKS {
            idle.sort_unstable();
            for (_, key) in &idle[..idle.len() - REMEMBERED_CHECKS] {
                self.checks.remove(key);
            }
        }
    }
}
