//! One JSON object per line, for programs; `docs/cli.md` lists the events.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::format::now_ms;
use crate::progress::{Pace, Progress, STATES, changes};

const EVERY: Duration = Duration::from_secs(2);

/// The view.
#[derive(Default)]
pub struct Json {
    seen: Progress,
    pace: Pace,
    last: Option<Instant>,
}

impl Json {
    /// Emits what happened, and every two seconds where the run stands.
    pub fn update(&mut self, progress: &Progress) {
        for change in changes(&self.seen, progress) {
            if let Ok(Value::Object(fields)) = serde_json::to_value(&change) {
                let event = fields.get("event").and_then(Value::as_str).unwrap_or("change").to_owned();
                emit(&event, Value::Object(fields));
            }
        }
        let left = self.pace.left(progress, now_ms());
        if *progress != self.seen && self.last.is_none_or(|last| last.elapsed() >= EVERY) {
            self.last = Some(Instant::now());
            emit("progress", standing(progress, left));
        }
        self.seen = progress.clone();
    }

    /// Emits a line of the program's own doing.
    pub fn note(&mut self, text: &str) {
        emit("note", json!({ "text": text }));
    }
}

/// Where a run stands, in numbers.
fn standing(progress: &Progress, left_ms: Option<u64>) -> Value {
    let states: serde_json::Map<String, Value> = STATES
        .iter()
        .zip(progress.states())
        .map(|(state, count)| (state.as_str().to_owned(), Value::from(count)))
        .collect();
    json!({
        "phase": progress.planner.phase,
        "targets": progress.planner.targets.len(),
        "states": states,
        "agents": progress.active(),
        "checks": progress.verifier.checks,
        "checks_per_second": progress.verifier.per_second,
        "usage": progress.usage(),
        "budget": progress.planner.budget,
        "landings": progress.landings(),
        "left_ms": left_ms,
    })
}

/// Writes one line: `event` and `time_ms`, then the fields.
pub fn emit(event: &str, fields: Value) {
    let mut object = serde_json::Map::new();
    object.insert("event".into(), event.into());
    object.insert("time_ms".into(), now_ms().into());
    if let Value::Object(fields) = fields {
        object.extend(fields.into_iter().filter(|(key, _)| key != "event"));
    }
    crate::print::line(Value::Object(object).to_string());
}
