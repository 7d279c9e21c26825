//! `/v1/check`: all that a check can be asked, certified verdicts and their receipts among it, as JSON.

use atlas_judge::Receipt;
use atlas_proto::{
    CheckLevel, CheckReply, CheckRequest, Diagnostic, ModuleSource, Outcome, Position, Severity,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lean::fault;
use crate::status::word;

/// Body of `/v1/check`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// Comes back with the answer.
    #[serde(default)]
    id: String,
    /// What is asked for.
    #[serde(default)]
    level: Level,
    /// Modules, with all that they import beyond the toolchain, in any order.
    modules: Vec<Module>,
    /// Names of modules to report on; when left out, all.
    #[serde(default)]
    check: Option<Vec<String>>,
    /// Text without header, to be elaborated after importing the modules of `check`, which are then not reported on.
    #[serde(default)]
    snippet: Option<String>,
    /// Report the goals at this place of the snippet, or of the only module of `check`.
    #[serde(default)]
    goals_at: Option<Place>,
    /// Report facts of these declarations only.
    #[serde(default)]
    declarations: Vec<String>,
    /// What must hold of declarations, at level `certified`.
    #[serde(default)]
    expectations: Vec<Expectation>,
    /// At level `certified`: theorems that are stated and not proved yet, whose `sorry` a proof may inherit.
    #[serde(default)]
    stated: Vec<String>,
    /// Milliseconds; 0: as long as the verifier allows.
    #[serde(default)]
    deadline_ms: u32,
    /// Bytes beyond the warm state; 0: as much as the verifier allows.
    #[serde(default)]
    memory_bytes: u64,
}

/// How much a verdict says.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// Lean reported no error.
    #[default]
    Elaborated,
    /// As for landing: two kernels, axioms, expectations; a signed receipt of each module.
    Certified,
}

/// A module.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Module {
    /// Its full name, e.g. `Numbers.Parity`.
    name: String,
    /// Its text.
    source: String,
}

/// A place: `line` from 1, `column` from 0 in code points.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
struct Place {
    line: u32,
    column: u32,
}

/// What must hold of a declaration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Expectation {
    /// Its full name.
    declaration: String,
    /// Of the frozen statement, as facts have it; empty: any.
    #[serde(default)]
    statement_hash: String,
    /// Its own proof may be `sorry`.
    #[serde(default)]
    may_sorry: bool,
    /// It must state the negation of what the hash names.
    #[serde(default)]
    negated: bool,
    /// It is a definition: its value is part of the statement.
    #[serde(default)]
    definition: bool,
}

/// An answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Answer {
    /// Of the question.
    id: String,
    /// `accepted`, `rejected`, `timed-out`, `out-of-memory`, `crashed`, `environment-fault`.
    outcome: &'static str,
    /// What happened, of the outcomes other than accepted and rejected.
    #[serde(skip_serializing_if = "String::is_empty")]
    fault: String,
    /// What Lean, the kernels and the gate said.
    diagnostics: Vec<Told>,
    /// Facts of the new declarations.
    declarations: Vec<Facts>,
    /// The goals that were asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    goals: String,
    /// Signed receipts, one a module, of an accepted certified check; `/v1/keys` has the public keys.
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    receipts: Vec<Receipt>,
    /// Found, not asked of Lean.
    cached: bool,
    /// Milliseconds before Lean began.
    queue_ms: u32,
    /// Milliseconds in Lean.
    lean_ms: u32,
    /// Most memory beyond the warm state, bytes.
    peak_memory_bytes: u64,
    /// Lean's name and version.
    toolchain: String,
}

/// Something that was said of the source.
#[derive(Debug, Serialize, JsonSchema)]
struct Told {
    /// `error`, `warning`, `information`.
    severity: &'static str,
    module: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<Place>,
    message: String,
}

/// What is known of a declaration.
#[derive(Debug, Serialize, JsonSchema)]
struct Facts {
    name: String,
    kind: String,
    module: String,
    /// Its type, as Lean prints it.
    statement: String,
    /// SHA-256 of the statement's whole closure, as terms.
    statement_hash: String,
    /// Axioms that it rests on.
    axioms: Vec<String>,
    /// Whose `sorry` it rests on, its own name among them; empty: proved.
    sorry_from: Vec<String>,
}

impl Question {
    pub(super) fn into_request(self) -> CheckRequest {
        let names = || self.modules.iter().map(|module| module.name.clone()).collect();
        let check = self.check.clone().unwrap_or_else(names);
        let modules = self.modules.into_iter().map(|module| ModuleSource {
            name: module.name,
            sha256: String::new(),
            source: Some(module.source.into_bytes()),
        });
        let expectations = self.expectations.into_iter().map(|expected| atlas_proto::Expectation {
            declaration: expected.declaration,
            statement_hash: expected.statement_hash,
            may_sorry: expected.may_sorry,
            negated: expected.negated,
            definition: expected.definition,
            ..atlas_proto::Expectation::default()
        });
        let level = match self.level {
            Level::Elaborated => CheckLevel::Elaborated,
            Level::Certified => CheckLevel::Certified,
        };
        CheckRequest {
            id: self.id,
            level: level.into(),
            modules: modules.collect(),
            check,
            snippet: self.snippet,
            goals_at: self.goals_at.map(|at| Position { line: at.line, column: at.column }),
            declarations: self.declarations,
            expectations: expectations.collect(),
            stated: self.stated,
            deadline_ms: self.deadline_ms,
            memory_bytes: self.memory_bytes,
            ..CheckRequest::default()
        }
    }
}

impl Answer {
    /// A verdict as JSON. One whose receipts cannot be told is none.
    pub(super) fn of(reply: CheckReply) -> Self {
        let receipts: Result<Vec<_>, _> = reply.receipts.iter().cloned().map(Receipt::from_message).collect();
        match receipts {
            Ok(receipts) => Self::with(reply, receipts),
            Err(error) => Self::with(
                CheckReply { id: reply.id, ..fault(format!("a receipt cannot be told: {error}")) },
                vec![],
            ),
        }
    }

    fn with(reply: CheckReply, receipts: Vec<Receipt>) -> Self {
        let facts = |facts: atlas_proto::DeclarationFacts| Facts {
            name: facts.name,
            kind: facts.kind,
            module: facts.module,
            statement: facts.statement,
            statement_hash: facts.statement_hash,
            axioms: facts.axioms,
            sorry_from: facts.sorry_from,
        };
        Self {
            outcome: word(Outcome::try_from(reply.outcome).unwrap_or_default()),
            id: reply.id,
            fault: reply.fault,
            diagnostics: reply.diagnostics.into_iter().map(told).collect(),
            declarations: reply.declarations.into_iter().map(facts).collect(),
            goals: reply.goals,
            receipts,
            cached: reply.cached,
            queue_ms: reply.queue_ms,
            lean_ms: reply.lean_ms,
            peak_memory_bytes: reply.peak_memory_bytes,
            toolchain: reply.toolchain,
        }
    }
}

fn told(diagnostic: Diagnostic) -> Told {
    let place = |at: Option<Position>| at.map(|at| Place { line: at.line, column: at.column });
    Told {
        severity: match diagnostic.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            _ => "information",
        },
        start: place(diagnostic.start),
        end: place(diagnostic.end),
        module: diagnostic.module,
        message: diagnostic.message,
    }
}
