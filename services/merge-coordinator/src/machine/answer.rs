//! The event that a command is, if it says anything new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atlas_proto::merge_event::Event;
use atlas_proto::{
    CheckReply, DeclarationFacts, Expectation, Landed, MergeAssembled, MergeBlocked, MergeLanded,
    MergeOpened, MergeOutcome, MergeReported, MergeRequest, MergeRetried, MergeStale, MergeVerdict,
    merge_outcome,
};
use sha2::{Digest as _, Sha256};

use super::{ATTEMPTS, Check, Command, MergeQueue, receipts, submission_of, verdict};

impl MergeQueue {
    /// The event that a command is, if it says anything new.
    pub(super) fn answer(&self, command: Command) -> Option<Event> {
        Some(match command {
            Command::Opened { package, window } => {
                if self.package.is_some() {
                    return None;
                }
                let (min, max) = (window.0.max(1), window.1.max(window.0).max(1));
                Event::Opened(MergeOpened { package, window_min: min, window_max: max })
            }
            Command::Request(request) => {
                let id = submission_of(&request);
                let known = id.is_empty() || self.waiting.contains_key(id) || self.ended.contains_key(id);
                if known {
                    return None;
                }
                Event::Received(request)
            }
            Command::Assembled { candidate, assembly } => {
                let waiting = self.candidates.get(&candidate).filter(|c| c.is_waiting())?;
                let requests: Vec<Arc<MergeRequest>> =
                    waiting.submissions.iter().filter_map(|id| self.request(id)).collect();
                let requests: Vec<&MergeRequest> = requests.iter().map(AsRef::as_ref).collect();
                match self.registry.expectations(&assembly.footprint.check, &requests) {
                    Ok(expected) => {
                        let stated = self.registry.stated(&assembly.footprint.reads, &requests);
                        if let Some(lapsed) = self.lapsed_below(&assembly.footprint) {
                            let (kind, reason) = ("policy".to_owned(), lapsed.refusal());
                            return Some(Event::Blocked(MergeBlocked { candidate, kind, reason }));
                        }
                        let key = check_key(&assembly.content, &expected, &stated, &self.renewals.digest());
                        let check = assembly.footprint.check;
                        let source = |module| assembly.sources.get(module).cloned().unwrap_or_default();
                        Event::Assembled(MergeAssembled {
                            candidate,
                            sources: check.iter().map(source).collect(),
                            tree: assembly.tree,
                            writes: assembly.footprint.writes.into_iter().collect(),
                            check: check.into_iter().collect(),
                            reads: assembly.footprint.reads.into_iter().collect(),
                            below: assembly.footprint.below.into_iter().collect(),
                            content: assembly.content,
                            key,
                        })
                    }
                    Err(reason) => {
                        Event::Blocked(MergeBlocked { candidate, kind: "policy".to_owned(), reason })
                    }
                }
            }
            Command::Blocked { candidate, kind, reason } => {
                self.candidates.get(&candidate).filter(|c| c.is_waiting())?;
                Event::Blocked(MergeBlocked { candidate, kind, reason })
            }
            Command::Checked(reply) => {
                let id = reply.id.clone();
                let (key, attempt) = parse_check_id(&id);
                let check = self.open_check(key)?;
                if !verdict::is_judgement(reply.outcome()) {
                    // A late answer to the first question says nothing of the second.
                    return (attempt == check.attempt).then(|| self.faulted(key, check, reply));
                }
                if self.is_renewal(key) {
                    return self.judged_again(key, check, reply);
                }
                Event::Verdict(verdict::verdict(key, reply, check, &self.known, &self.renewals.asked_for()))
            }
            Command::Silent { key, attempt, seconds } => {
                let check = self.open_check(&key).filter(|check| check.attempt == attempt)?;
                let fault = format!("no verifier answered within {seconds} s");
                let reply = CheckReply { id: key.clone(), fault, ..CheckReply::default() };
                self.faulted(&key, check, reply)
            }
            Command::Landed { candidate, commits } => {
                self.chosen.as_ref().filter(|chosen| chosen.candidate == candidate)?;
                self.landed(candidate, commits)?
            }
            Command::Stale { candidate, cause } => {
                self.chosen.as_ref().filter(|chosen| chosen.candidate == candidate)?;
                Event::Stale(MergeStale { candidate, cause })
            }
            Command::Reported { submission } => {
                self.unreported.get(&submission)?;
                Event::Reported(MergeReported { submission })
            }
            Command::Clear(clear) => {
                self.incidents.get(&clear.incident).filter(|incident| incident.cleared.is_none())?;
                Event::Cleared(clear)
            }
            Command::Waited => return None,
            Command::Policy(policy) => {
                let known = self.renewals.policy().is_some_and(|told| told.message == policy);
                (!known).then_some(Event::Policy(policy))?
            }
            Command::Surveyed { head, tree, modules } => self.surveyed(head, tree, modules)?,
            Command::Kept { module, sha256 } => self.renewed(module, sha256)?,
        })
    }

    /// A check that judged nothing: asked again, or at its end.
    fn faulted(&self, key: &str, check: &Check, reply: CheckReply) -> Event {
        let cause = verdict::fault(&reply);
        // What is on `main` is asked about until it is judged.
        if check.attempt < ATTEMPTS || self.is_renewal(key) {
            return Event::Retried(MergeRetried { key: key.to_owned(), attempt: check.attempt + 1, cause });
        }
        Event::Verdict(MergeVerdict {
            key: key.to_owned(),
            outcome: reply.outcome,
            kind: "environment".to_owned(),
            reason: format!("{cause}, {ATTEMPTS} times"),
            diagnostics: reply.diagnostics,
            lean_ms: reply.lean_ms,
            ..MergeVerdict::default()
        })
    }

    fn landed(&self, number: u64, commits: Vec<(String, String)>) -> Option<Event> {
        let verdict = self.verdict_of(self.candidates.get(&number)?)?;
        let head = commits.last()?.1.clone();
        let mut taken = BTreeSet::new();
        let requests: Vec<Arc<MergeRequest>> =
            commits.iter().filter_map(|(id, _)| self.request(id)).collect();
        let targets: BTreeSet<&str> = requests
            .iter()
            .flat_map(|request| &request.expectations)
            .map(|own| own.declaration.as_str())
            .collect();
        let own = verdict.declarations.iter().filter(|facts| targets.contains(facts.name.as_str()));
        let owned: BTreeMap<&str, &DeclarationFacts> =
            own.map(|facts| (facts.name.as_str(), facts)).collect();
        let outcomes = commits
            .into_iter()
            .zip(self.landings + 1..)
            .filter_map(|((submission, commit), sequence)| {
                let request = self.request(&submission)?;
                let target = request.submission.as_ref().map(|s| s.target.clone()).unwrap_or_default();
                let declarations = self.own_facts(&request, verdict, &owned, &mut taken);
                let result = merge_outcome::Result::Landed(Landed { commit, declarations, sequence });
                Some(MergeOutcome { submission, target, result: Some(result) })
            })
            .collect();
        let receipts = receipts::named(&verdict.receipts);
        Some(Event::Landed(MergeLanded { candidate: number, head, outcomes, receipts }))
    }

    /// A candidate's facts that belong to one of its submissions: its targets' and, of the rest, what is new in the modules
    /// that it writes and no submission before it has taken. News of frozen declarations that are no submission's own
    /// are told with the first: all land at once. `owned`: the facts of the targets of all.
    fn own_facts<'a>(
        &self,
        request: &MergeRequest,
        verdict: &'a MergeVerdict,
        owned: &BTreeMap<&str, &DeclarationFacts>,
        taken: &mut BTreeSet<&'a str>,
    ) -> Vec<DeclarationFacts> {
        let own = |facts: &DeclarationFacts| request.expectations.iter().any(|e| e.declaration == facts.name);
        let entry = self.entry(submission_of(request));
        let footprint = entry.and_then(|entry| entry.footprint.clone());
        let new = |facts: &DeclarationFacts| {
            !self.known.contains_key(&verdict::name_hash(&facts.name))
                && footprint.as_ref().is_none_or(|footprint| footprint.writes.contains(&facts.module))
                && !self.expected_by_other(request, &facts.name)
        };
        let mut facts = Vec::new();
        for one in &verdict.declarations {
            let news = || !owned.contains_key(one.name.as_str()) && self.registry.is_news(one, owned);
            if own(one) || (!taken.contains(one.name.as_str()) && (new(one) || news())) {
                taken.insert(&one.name);
                facts.push(one.clone());
            }
        }
        facts
    }

    fn expected_by_other(&self, request: &MergeRequest, declaration: &str) -> bool {
        self.entries.values().any(|entry| {
            entry.id() != submission_of(request)
                && entry.request.expectations.iter().any(|e| e.declaration == declaration)
        })
    }
}

/// The id of a check: what it rests on, what is expected and under which policy, so that the same question has the same name.
pub(super) fn check_key(
    content: &str,
    expectations: &[Expectation],
    stated: &[String],
    policy: &str,
) -> String {
    use prost::Message as _;
    let mut digest = Sha256::new();
    digest.update(content.as_bytes());
    for expected in expectations {
        digest.update(expected.encode_length_delimited_to_vec());
    }
    for name in stated {
        digest.update(format!("stated {name}\n"));
    }
    digest.update(format!("policy {policy}\n"));
    hex::encode(digest.finalize())
}

/// The key and the attempt of a check's id.
fn parse_check_id(id: &str) -> (&str, u32) {
    let (key, rest) = id.split_once('-').unwrap_or((id, ""));
    let attempt = rest.split_once('.').and_then(|(_, attempt)| attempt.parse().ok());
    (key, attempt.unwrap_or(1))
}
