//! The library's repository from the merge queue's journal: what a disk has lost or damaged is built anew, commit for commit.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_library::{Repository, RepositoryError};
use atlas_proto::merge_event::Event;
use atlas_proto::{MergeEvent, MergeLanded, MergeRequest, merge_outcome};
use prost::Message as _;

use crate::machine::submission_of;
use crate::tree::{Obstacle, Trees};

/// What was built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Commits of `main`, each with the id that the journal has.
    pub commits: usize,
    /// Where `main` is; `None`: nothing has landed yet.
    pub main: Option<String>,
}

/// Why a repository could not be built from the journal.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The journal cannot be read.
    #[error("the journal of the merge queue cannot be read: {0}")]
    Journal(#[from] atlas_bus::Error),
    /// An event of it does not parse.
    #[error("record {sequence} of the merge queue's journal is damaged: {cause}")]
    Damaged {
        /// The record's sequence.
        sequence: u64,
        /// What is wrong.
        cause: String,
    },
    /// What came of a submission is not what had landed: another program has written the journal, or it is damaged.
    #[error("submission {submission} landed as {expected}, and comes to {made} now")]
    Differs {
        /// The submission.
        submission: String,
        /// The commit that the journal has.
        expected: String,
        /// What was made of it: a commit, or why none.
        made: String,
    },
    /// The new repository cannot be written.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Builds the repository of a run anew at `path`, which must be empty or not there: every landing of the journal is done again, and must come to
/// the same commit. Nobody may work on the run meanwhile.
///
/// # Errors
/// [`RebuildError`]; what stands at `path` then is not whole.
pub async fn rebuild(bus: &Bus, run: &RunId, path: &Path) -> Result<Rebuilt, RebuildError> {
    let queue = ActorId::singleton(run, ActorKind::Merge);
    let mut landings = Landings { path: path.to_owned(), ..Landings::default() };
    for (sequence, record) in bus.records(&queue).await? {
        for bytes in &record.events {
            let event = MergeEvent::decode(bytes.as_slice())
                .map_err(|error| RebuildError::Damaged { sequence, cause: error.to_string() })?;
            if let Some(event) = event.event {
                landings.fold(event, record.time_ms);
            }
        }
    }
    let built = tokio::task::spawn_blocking(move || landings.build()).await;
    built.map_err(|panicked| RebuildError::Damaged { sequence: 0, cause: panicked.to_string() })?
}

/// What of the journal makes commits.
#[derive(Default)]
struct Landings {
    path: std::path::PathBuf,
    package: String,
    requests: HashMap<String, Arc<MergeRequest>>,
    /// When the landing that is being done was chosen: its commits' time.
    chosen_ms: u64,
    landed: Vec<(u64, MergeLanded)>,
}

impl Landings {
    fn fold(&mut self, event: Event, time_ms: u64) {
        match event {
            Event::Opened(opened) => self.package = opened.package,
            Event::Received(request) => {
                self.requests.insert(submission_of(&request).to_owned(), Arc::new(request));
            }
            Event::Chosen(_) => self.chosen_ms = time_ms,
            Event::Landed(landed) => self.landed.push((self.chosen_ms, landed)),
            Event::Refused(outcome) => {
                self.requests.remove(&outcome.submission);
            }
            _ => {}
        }
    }

    fn build(self) -> Result<Rebuilt, RebuildError> {
        let trees = Trees::new(Repository::open_or_init(&self.path)?, self.package);
        let mut rebuilt = Rebuilt::default();
        for (time_ms, landed) in self.landed {
            let head = rebuilt.main.clone().unwrap_or_default();
            let receipts: Vec<String> =
                landed.receipts.iter().map(|receipt| receipt.sha256.clone()).collect();
            let wanted: Vec<(&str, &str)> = (landed.outcomes.iter())
                .filter_map(|outcome| match &outcome.result {
                    Some(merge_outcome::Result::Landed(landed)) => {
                        Some((outcome.submission.as_str(), landed.commit.as_str()))
                    }
                    _ => None,
                })
                .collect();
            let differs = |at: usize, made: String| {
                let (submission, expected) = wanted.get(at).copied().unwrap_or_default();
                RebuildError::Differs {
                    submission: submission.to_owned(),
                    expected: expected.to_owned(),
                    made,
                }
            };
            let requests: Vec<Arc<MergeRequest>> =
                wanted.iter().filter_map(|(id, _)| self.requests.get(*id).cloned()).collect();
            if requests.len() != wanted.len() {
                return Err(differs(0, "nothing: the journal does not hold it".to_owned()));
            }
            let commits = match trees.commit(&head, &requests, &receipts, time_ms) {
                Ok((commits, _)) => commits,
                Err(Obstacle::Blocked { reason, .. }) => return Err(differs(0, reason)),
                Err(Obstacle::Git(error)) => return Err(error.into()),
            };
            for (at, ((_, made), (_, expected))) in commits.iter().zip(&wanted).enumerate() {
                if made != expected {
                    return Err(differs(at, made.clone()));
                }
            }
            rebuilt.commits += commits.len();
            if let Some((_, last)) = commits.into_iter().next_back() {
                rebuilt.main = Some(last);
            }
        }
        if let Some(main) = &rebuilt.main {
            trees.repository.advance_main("", main)?;
        }
        Ok(rebuilt)
    }
}
