//! Recorded people: answers that a recording holds are posted when the question comes, the way `atlas reply` posts them;
//! and with `--record` a person's answers are recorded beside the models'.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use atlas_api::Provider;
use atlas_bus::Bus;
use atlas_domain::RunId;
use atlas_llm::{Recorder, Recording};
use atlas_planner::{Escalation, Status};

use crate::commands::reply::post;
use crate::failure::{Failure, Result};
use crate::input::{Input, tell};
use crate::ui::View;

/// The recordings of a run.
pub struct Recordings(Vec<Recording>);

/// Reads the run's recordings, which also finds their mistakes before anything is started.
///
/// # Errors
/// All mistakes of all recordings.
pub fn load(input: &Input) -> Result<Recordings> {
    let mut problems = Vec::new();
    let mut recordings = BTreeMap::new();
    for model in input.loaded.run.spec.models.iter().filter(|model| model.provider == Provider::Recorded) {
        let Some(path) = &model.recording else { continue };
        if recordings.contains_key(path) {
            continue;
        }
        match Recording::load(path) {
            Ok(recording) => {
                recordings.insert(path.clone(), recording);
            }
            Err(mistakes) => problems.extend(mistakes.0),
        }
    }
    if problems.is_empty() {
        Ok(Recordings(recordings.into_values().collect()))
    } else {
        Err(tell(&problems))
    }
}

/// Answers on their way.
pub struct Replies<'a> {
    recordings: &'a Recordings,
    recorder: Option<Recorder>,
    /// What the file of `recorder` held when this process began.
    before: Recording,
    /// Questions that a recorded answer has been posted to.
    posted: HashSet<(String, String)>,
    /// The last answer to each target that this process has recorded.
    recorded: HashMap<String, String>,
    /// Whether an answer is not yet with the planner.
    pending: bool,
}

impl<'a> Replies<'a> {
    /// Answers from `recordings`; people's answers are recorded in `record`.
    ///
    /// # Errors
    /// When `record` cannot be written, or is no recording.
    pub fn new(recordings: &'a Recordings, record: Option<&Path>) -> Result<Self> {
        let other = |e: String| Failure::input(e).hint("name another file with `--record`");
        // An answer that came when an earlier process was killed may have been taken up and not recorded: the file says.
        let before = match record.filter(|path| path.metadata().is_ok_and(|file| file.len() > 0)) {
            Some(path) => Recording::load(path).map_err(|mistakes| tell(&mistakes.0))?,
            None => Recording::default(),
        };
        let recorder = record.map(Recorder::open).transpose().map_err(|e| other(e.to_string()))?;
        let (posted, recorded) = (HashSet::new(), HashMap::new());
        Ok(Self { recordings, recorder, before, posted, recorded, pending: false })
    }

    /// Posts recorded answers to the planner's open questions, and records answers that people gave.
    ///
    /// # Errors
    /// When the bus does not take an answer.
    pub async fn follow(&mut self, bus: &Bus, run: &RunId, planner: &Status, view: &mut View) -> Result<()> {
        self.pending = planner.escalations.iter().any(|question| self.posted.contains(&key(question)));
        for question in &planner.escalations {
            if self.posted.contains(&key(question)) {
                continue;
            }
            let last = planner
                .targets
                .iter()
                .find(|target| target.id == question.target)
                .and_then(|t| t.reply.as_deref());
            let Some(text) = self.recordings.answer(&question.target, last) else { continue };
            post(bus, run, question, text).await?;
            view.note(&format!("{}: answered from the recording: {text}", question.target));
            self.posted.insert(key(question));
            self.pending = true;
        }
        let Some(recorder) = &self.recorder else { return Ok(()) };
        for target in &planner.targets {
            let Some(reply) = &target.reply else { continue };
            let last = self.recorded.get(&target.id).or_else(|| self.before.replies(&target.id).last());
            if last != Some(reply) {
                recorder.reply(&target.id, reply).await.map_err(|e| Failure::fault(e.to_string()))?;
                self.recorded.insert(target.id.clone(), reply.clone());
            }
        }
        Ok(())
    }

    /// True when no posted answer is still on its way to the planner.
    pub fn settled(&self) -> bool {
        !self.pending
    }
}

impl Recordings {
    /// The answer to a question about `target` whose last answer was `last`: the first one, or the one after it.
    fn answer(&self, target: &str, last: Option<&str>) -> Option<&str> {
        self.0.iter().find_map(|recording| {
            let answers = recording.replies(target);
            let next = match last {
                None => 0,
                Some(last) => answers.iter().position(|answer| answer == last).map_or(0, |at| at + 1),
            };
            answers.get(next).map(String::as_str)
        })
    }
}

fn key(question: &Escalation) -> (String, String) {
    (question.target.clone(), question.question.clone())
}
