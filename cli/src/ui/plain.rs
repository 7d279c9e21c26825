//! One line per event that matters, and a line of progress every few seconds.

use std::time::{Duration, Instant};

use atlas_domain::TargetState;

use crate::format::{commit, duration, now_ms, plural, short, usd};
use crate::print::{ASK, FAINT, STRONG, WRONG, line, style_of, styled};
use crate::progress::{Change, Pace, Progress, changes};

const EVERY: Duration = Duration::from_secs(5);

/// The view.
#[derive(Default)]
pub struct Plain {
    seen: Progress,
    pace: Pace,
    last: Option<Instant>,
}

impl Plain {
    /// A view that has shown nothing yet, of a run that was first started then.
    pub fn since(started_ms: u64) -> Self {
        let mut view = Self::default();
        view.seen.planner.started_ms = started_ms;
        view
    }

    /// A view that has shown `seen` already.
    pub fn going_on(seen: Progress) -> Self {
        Self { seen, ..Self::default() }
    }

    /// Prints what happened, and every few seconds where the run stands.
    pub fn update(&mut self, progress: &Progress) {
        let started = match progress.planner.started_ms {
            0 => self.seen.planner.started_ms,
            started => started,
        };
        for change in changes(&self.seen, progress) {
            if let Some(text) = describe(&change) {
                line(format!("{} {text}", clock(started)));
            }
        }
        let left = self.pace.left(progress, now_ms());
        if *progress != self.seen && self.last.is_none_or(|last| last.elapsed() >= EVERY) {
            self.last = Some(Instant::now());
            line(format!("{} {}", clock(started), styled(STRONG, standing(progress, left))));
        }
        self.seen = progress.clone();
        self.seen.planner.started_ms = started;
    }

    /// Prints a line of the program's own doing.
    pub fn note(&mut self, text: &str) {
        line(format!("{} {text}", clock(self.seen.planner.started_ms)));
    }
}

/// Time since the run first started, as `h:mm:ss`, faint.
fn clock(started_ms: u64) -> String {
    let seconds = if started_ms == 0 { 0 } else { now_ms().saturating_sub(started_ms) / 1000 };
    styled(FAINT, format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

/// One event as a line; `None` for what a reader of lines can do without.
pub fn describe(change: &Change) -> Option<String> {
    Some(match change {
        Change::Phase { phase } => format!("the run is {phase}"),
        Change::Target { target, .. } => format!("{target}: new target"),
        Change::State { from: TargetState::Proving, to: TargetState::Stated, .. }
        | Change::State { to: TargetState::Open, .. } => return None,
        Change::State { target, to, commit: landed, reason, .. } => {
            let mut text = format!("{target}: {}", styled(style_of(*to), to));
            let landing = matches!(
                to,
                TargetState::Stated | TargetState::Proved | TargetState::Certified | TargetState::Refuted
            );
            if let Some(id) = landed.as_deref().filter(|_| landing) {
                text.push_str(&styled(FAINT, format!(" as {}", commit(id))));
            }
            let telling = matches!(to, TargetState::Proved | TargetState::Refuted);
            if let Some(reason) = reason.as_deref().filter(|_| telling) {
                text.push_str(&format!(": {reason}"));
            }
            text
        }
        Change::Escalation { target, question } => format!(
            "{} {target}: {question}\n        answer with: atlas reply {target} \"…\"",
            styled(ASK, "question about")
        ),
        Change::Failed { attempt, reason } => format!("{attempt}: {}: {reason}", styled(WRONG, "failed")),
        Change::Incident { incident, what } => format!(
            "{} {incident}: {what}\n        nothing lands until you have read it: atlas incident list, then atlas incident clear {incident} \"…\"",
            styled(WRONG, "incident")
        ),
        Change::Cleared { incident } => format!("incident {incident}: cleared; landings go on"),
        Change::Lapsed { module, reason } => {
            format!("{module}: {} under the present policy: {reason}", styled(WRONG, "no longer certified"))
        }
        Change::Answered { target } => format!("{target}: answered"),
    })
}

/// The line of progress.
pub fn standing(progress: &Progress, left_ms: Option<u64>) -> String {
    let planner = &progress.planner;
    let usage = progress.usage();
    let [certified, refuted, ..] = progress.states();
    let mut parts = vec![format!("{certified} of {} certified", planner.targets.len())];
    if refuted > 0 {
        parts.push(format!("{refuted} refuted"));
    }
    parts.push(plural(progress.active() as usize, "agent"));
    parts.push(format!("{:.1} checks/s", progress.verifier.per_second));
    parts.push(format!("{} tokens", short(usage.tokens())));
    let spent = usd(usage.cost_microdollars as f64 / 1e6);
    parts.push(match planner.budget.microdollars {
        0 => spent,
        limit => format!("{spent} of {}", usd(limit as f64 / 1e6)),
    });
    parts.push(match progress.merge.open_incidents().count() {
        0 => format!("{} landings", progress.landings()),
        open => format!("{} landings, stopped by {}", progress.landings(), plural(open, "incident")),
    });
    if progress.merge.receipts.renewing > 0 {
        parts.push(format!("{} being certified again", plural(progress.merge.receipts.renewing, "module")));
    }
    if let Some(left) = left_ms {
        parts.push(format!("about {} left", duration(left)));
    }
    parts.join(" · ")
}
