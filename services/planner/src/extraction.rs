//! Targets found by agents: pieces of the book that overlap, several extractors for each, a referee for
//! what they disagree on.

use std::collections::BTreeMap;

use atlas_proto::{Chapter, Extracted, Policy, Report, Started, Target, Task, report};
use serde::{Deserialize, Serialize};

use crate::agreement::{self, Finding};
use crate::reports::{OUT_OF_BUDGET, shortfall};
use crate::role::Role;
use crate::task::{limits, numbered};

/// Lines of a piece when the run does not say: what an extractor reads with care in one go.
const CHUNK_LINES: u32 = 500;
/// Lines that a piece of that length shares with the next, so that no statement is cut in two unseen.
const OVERLAP_LINES: u32 = 50;
/// Attempts at one piece that may come to nothing, beyond which it is left with what has been found.
const LOST_ATTEMPTS: u32 = 3;

/// A piece of the book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Chunk {
    name: String,
    chapter: usize,
    first_line: u32,
    last_line: u32,
    /// What each extractor found, by its number: agreement does not depend on who was faster.
    found: BTreeMap<u32, Vec<Target>>,
    attempts: u32,
    running: u32,
    lost: u32,
    referee: Referee,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Referee {
    /// Extractors are not done.
    Later,
    Wanted {
        agreed: Vec<Finding>,
        disputed: Vec<Finding>,
        attempts: u32,
        running: bool,
    },
    Done(Vec<Finding>),
}

/// The search for targets of a run that came without them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Extraction {
    chapters: Vec<Chapter>,
    extractors: u32,
    chunks: Vec<Chunk>,
}

impl Extraction {
    /// Cuts the chapters into pieces as the run's policy says.
    pub fn new(chapters: &[Chapter], policy: &Policy) -> Self {
        let extractors = policy.extractors.max(1);
        let (lines, overlap) = match policy.chunk_lines {
            0 => (CHUNK_LINES, OVERLAP_LINES),
            lines => (lines, policy.chunk_overlap.min(lines - 1)),
        };
        let mut chunks = Vec::new();
        for (chapter, one) in chapters.iter().enumerate() {
            let first = one.first_line.max(1);
            let length = u32::try_from(one.text.lines().count()).unwrap_or(u32::MAX);
            let last = first.saturating_add(length).saturating_sub(1);
            let mut from = first;
            while from <= last {
                let to = last.min(from.saturating_add(lines - 1));
                chunks.push(Chunk {
                    name: format!("chunk-{}", chunks.len() + 1),
                    chapter,
                    first_line: from,
                    last_line: to,
                    found: BTreeMap::new(),
                    attempts: 0,
                    running: 0,
                    lost: 0,
                    referee: Referee::Later,
                });
                if to == last {
                    break;
                }
                from = to + 1 - overlap;
            }
        }
        Self { chapters: chapters.to_vec(), extractors, chunks }
    }

    pub fn is_complete(&self) -> bool {
        self.chunks.iter().all(|chunk| matches!(chunk.referee, Referee::Done(_)))
    }

    pub fn has_work(&self) -> bool {
        self.chunks.iter().any(|chunk| chunk.wants(self.extractors) > 0 || chunk.wants_referee())
    }

    /// The attempts to start now, at most `free`. What ends a piece goes before new pieces.
    pub fn starts(&self, free: usize) -> Vec<Started> {
        let started = |target: String, number: u32| Started {
            attempt: format!("{target}.{}.{number}", Role::Extractor),
            role: Role::Extractor.to_string(),
            target,
            number,
            refute: false,
        };
        let referees = self.chunks.iter().filter(|chunk| chunk.wants_referee()).map(|chunk| {
            let attempts = match &chunk.referee {
                Referee::Wanted { attempts, .. } => *attempts,
                _ => 0,
            };
            started(disagreement(&chunk.name), attempts + 1)
        });
        let extractors = self.chunks.iter().flat_map(|chunk| {
            let wants = chunk.wants(self.extractors);
            (1..=wants).map(move |more| started(chunk.name.clone(), chunk.attempts + more))
        });
        referees.chain(extractors).take(free).collect()
    }

    /// Notes the start of an attempt; gives its piece and its task.
    pub fn started(&mut self, started: &Started, run: &str, policy: &Policy) -> Option<(usize, Task)> {
        let at = self
            .chunks
            .iter()
            .position(|chunk| chunk.name == started.target || disagreement(&chunk.name) == started.target)?;
        let chunk = &mut self.chunks[at];
        let chapter = &self.chapters[chunk.chapter];
        let mut candidates = Vec::new();
        if chunk.name == started.target {
            chunk.attempts = started.number;
            chunk.running += 1;
        } else if let Referee::Wanted { disputed, attempts, running, .. } = &mut chunk.referee {
            *attempts = started.number;
            *running = true;
            candidates = disputed.iter().map(|finding| finding.target.clone()).collect();
        }
        let (max_turns, max_tokens) = limits(policy, &started.role);
        let task = Task {
            run: run.to_owned(),
            attempt: started.attempt.clone(),
            role: started.role.clone(),
            number: started.number,
            target: Some(Target {
                id: started.target.clone(),
                chapter: chapter.slug.clone(),
                title: format!("{}, lines {} to {}", chapter.title, chunk.first_line, chunk.last_line),
                module: chapter.module.clone(),
                line: chunk.first_line,
                source: chapter.source.clone(),
                ..Target::default()
            }),
            excerpt: numbered(&chapter.text, chapter.first_line.max(1), chunk.first_line, chunk.last_line),
            max_turns,
            max_tokens,
            candidates,
            ..Task::default()
        };
        Some((at, task))
    }

    /// Notes the end of an attempt; gives a line for people when it came to nothing.
    pub fn reported(&mut self, at: usize, report: &Report) -> Option<String> {
        let extractors = self.extractors;
        let chunk = self.chunks.get_mut(at)?;
        let found = match &report.result {
            Some(report::Result::Extraction(extraction)) => Ok(extraction.targets.clone()),
            _ => Err(shortfall(report)),
        };
        let is_referee = report.attempt.starts_with(&format!("{}.", disagreement(&chunk.name)));
        let line =
            found.as_ref().err().map(|(outcome, reason)| format!("{} {outcome}: {reason}", report.attempt));
        match (is_referee, found) {
            (false, found) => {
                chunk.running = chunk.running.saturating_sub(1);
                match found {
                    Ok(targets) => {
                        chunk.found.insert(report.number, targets);
                    }
                    Err((outcome, _)) => chunk.lost += u32::from(outcome != OUT_OF_BUDGET),
                }
                if chunk.running == 0 && chunk.wants(extractors) == 0 {
                    let (agreed, disputed) = agreement::compare(chunk.found.values());
                    chunk.referee = if disputed.is_empty() {
                        Referee::Done(agreed)
                    } else {
                        Referee::Wanted { agreed, disputed, attempts: 0, running: false }
                    };
                }
            }
            (true, found) => chunk.refereed(found),
        }
        line
    }

    /// The run's targets, and what became of those that were found twice or refer to nothing.
    pub fn result(&self, package: &str) -> Extracted {
        let findings = self.chunks.iter().flat_map(|chunk| {
            let kept = match &chunk.referee {
                Referee::Done(kept) => kept.as_slice(),
                _ => &[],
            };
            kept.iter().map(move |finding| (chunk.chapter, finding))
        });
        agreement::targets(package, &self.chapters, findings)
    }
}

impl Chunk {
    /// Extractors that it still lacks.
    fn wants(&self, extractors: u32) -> u32 {
        if !matches!(self.referee, Referee::Later) || self.lost >= LOST_ATTEMPTS {
            return 0;
        }
        let found = u32::try_from(self.found.len()).unwrap_or(u32::MAX);
        extractors.saturating_sub(found).saturating_sub(self.running)
    }

    fn wants_referee(&self) -> bool {
        matches!(self.referee, Referee::Wanted { running: false, .. })
    }

    fn refereed(&mut self, found: Result<Vec<Target>, (&'static str, String)>) {
        let Referee::Wanted { agreed, disputed, attempts, running } = &mut self.referee else { return };
        *running = false;
        match found {
            Ok(targets) => {
                let mut kept = std::mem::take(agreed);
                kept.extend(targets.into_iter().map(|target| agreement::settled(target, disputed)));
                self.referee = Referee::Done(kept);
            }
            Err((OUT_OF_BUDGET, _)) => {}
            Err(_) if *attempts >= LOST_ATTEMPTS => {
                // Without a referee, what most extractors found counts.
                let most = self.found.len() / 2;
                let mut kept = std::mem::take(agreed);
                kept.extend(std::mem::take(disputed).into_iter().filter(|finding| finding.votes > most));
                self.referee = Referee::Done(kept);
            }
            Err(_) => {}
        }
    }
}

fn disagreement(chunk: &str) -> String {
    format!("{chunk}-disagreement")
}
