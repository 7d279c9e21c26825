//! The shapes of kimina-lean-server's `/verify` and `/api/check`, so that its clients can ask here.
//!
//! Beyond its shapes every result has `outcome` and `cached`, and one that was not taken on `retry_after`. What this verifier has no
//! answer for (info trees, tactics) is said in `notes`.

use std::sync::Arc;

use atlas_proto::{CheckLevel, CheckReply, CheckRequest, Diagnostic, ModuleSource, Outcome, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::Item;
use super::clients::{Client, Refusal};
use super::desk::Desk;
use crate::status::word;

/// The module that a snippet is. Nothing else of the request is in reach of its imports.
const MODULE: &str = "Main";
/// The longest snippet, in bytes.
const MOST_CODE: usize = 1 << 20;

/// Body of `/verify`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct VerifyBody {
    /// What to check.
    pub(super) codes: Vec<Code>,
    /// Seconds that one check may take in Lean; not more than the verifier's own limit.
    #[serde(default = "verify_timeout")]
    timeout: f64,
    /// Accepted; info trees are not given.
    #[serde(default)]
    infotree_type: Option<Infotree>,
    /// Accepted; every check begins from the same fresh state anyway.
    #[serde(default, rename = "disable_cache")]
    _disable_cache: bool,
}

fn verify_timeout() -> f64 {
    300.0
}

/// One snippet of `/verify`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Code {
    /// Comes back with the result, as text.
    custom_id: CustomId,
    /// The snippet.
    #[serde(default)]
    proof: Option<String>,
    /// The snippet, when there is no `proof`.
    #[serde(default)]
    code: Option<String>,
}

/// An identifier: text or a number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum CustomId {
    Text(String),
    Number(i64),
}

/// Which info tree is asked for.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Infotree {
    Full,
    Tactics,
    Original,
    Substantive,
}

/// Body of `/api/check`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CheckBody {
    /// What to check: at least one, no two with the same `id`.
    pub(super) snippets: Vec<Snippet>,
    /// Seconds that one check may take in Lean; not more than the verifier's own limit.
    #[serde(default = "check_timeout")]
    timeout: f64,
    /// Adds `diagnostics`.
    #[serde(default)]
    debug: bool,
    /// Accepted; every check begins from the same fresh state anyway.
    #[serde(default, rename = "reuse")]
    _reuse: bool,
    /// Accepted; info trees are not given.
    #[serde(default)]
    infotree: Option<Infotree>,
}

fn check_timeout() -> f64 {
    30.0
}

/// One snippet of `/api/check`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Snippet {
    /// Comes back with the result.
    id: String,
    /// The snippet, with its own `import` lines.
    code: String,
}

/// A result of `/verify`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VerifyResult {
    /// Of the request.
    custom_id: String,
    #[serde(flatten)]
    told: Told,
}

/// A result of `/api/check`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CheckResult {
    /// Of the request.
    id: String,
    /// Seconds in Lean.
    time: f64,
    #[serde(flatten)]
    told: Told,
    /// With `debug`.
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostics: Option<Diagnostics>,
}

/// What came of a snippet: `response` when Lean came to an answer, else `error`.
#[derive(Debug, Serialize, JsonSchema)]
struct Told {
    /// Why Lean came to no answer: time, memory, a crash, a limit of the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What Lean said.
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response>,
    /// `accepted` (no error; there may be a `sorry`), `rejected`, `timed-out`, `out-of-memory`, `crashed`, `environment-fault`, `refused`.
    outcome: &'static str,
    /// The same content was checked before, and its answer was found.
    cached: bool,
    /// Seconds after which to ask again; of what was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// What was asked for and is not given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<&'static str>,
}

/// What Lean said, as the community REPL puts it: empty lists are left out.
#[derive(Debug, Serialize, JsonSchema)]
struct Response {
    /// Always 0: no environment is kept.
    env: u32,
    /// Messages, with places in the snippet as it was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Message>,
    /// Declarations whose proof is `sorry`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sorries: Vec<Sorry>,
    /// Seconds in Lean.
    time: f64,
}

/// A message of Lean's.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Message {
    /// `error`, `warning`, `info`.
    severity: &'static str,
    pos: Pos,
    end_pos: Pos,
    /// Its text.
    data: String,
}

/// A place: `line` from 1, `column` from 0 in code points.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct Pos {
    line: u32,
    column: u32,
}

/// A declaration whose proof is `sorry`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Sorry {
    /// Where the declaration is named (the REPL gives the place of the word `sorry`).
    pos: Pos,
    end_pos: Pos,
    /// The declaration's type (the REPL gives the tactic state); empty for an `example`.
    goal: String,
}

/// What a check took.
#[derive(Debug, Serialize, JsonSchema)]
struct Diagnostics {
    /// Lean's name and version.
    toolchain: String,
    /// Milliseconds before Lean began.
    queue_ms: u32,
    /// Milliseconds in Lean.
    lean_ms: u32,
    /// Most memory beyond the warm state, bytes.
    peak_memory_bytes: u64,
}

impl VerifyBody {
    /// Takes each snippet on by itself.
    pub(super) fn items(self, desk: &Arc<Desk>, client: Client) -> Vec<Item<VerifyResult>> {
        let ask = Ask { timeout: self.timeout, infotree: self.infotree_type.is_some() };
        let item = |code: Code| {
            let custom_id = match code.custom_id {
                CustomId::Text(text) => text,
                CustomId::Number(number) => number.to_string(),
            };
            ask.item(desk, client, code.proof.or(code.code), move |told, _| VerifyResult { custom_id, told })
        };
        self.codes.into_iter().map(item).collect()
    }
}

impl CheckBody {
    /// Takes each snippet on by itself.
    ///
    /// # Errors
    /// Ids that do not tell the snippets apart, or none.
    pub(super) fn items(self, desk: &Arc<Desk>, client: Client) -> Result<Vec<Item<CheckResult>>, String> {
        if self.snippets.is_empty() {
            return Err("`snippets` must not be empty".to_owned());
        }
        let mut ids: Vec<&str> = self.snippets.iter().map(|snippet| snippet.id.as_str()).collect();
        ids.sort_unstable();
        if let Some([twice, _]) = ids.array_windows().find(|[a, b]| a == b) {
            return Err(format!("`snippets` must have different ids: `{twice}` is there twice"));
        }
        let ask = Ask { timeout: self.timeout, infotree: self.infotree.is_some() };
        let item = |snippet: Snippet| {
            let (id, debug) = (snippet.id, self.debug);
            ask.item(desk, client, Some(snippet.code), move |told, reply| CheckResult {
                id,
                time: reply.map_or(0.0, |reply| seconds(reply.lean_ms)),
                told,
                diagnostics: reply.filter(|_| debug).map(|reply| Diagnostics {
                    toolchain: reply.toolchain.clone(),
                    queue_ms: reply.queue_ms,
                    lean_ms: reply.lean_ms,
                    peak_memory_bytes: reply.peak_memory_bytes,
                }),
            })
        };
        Ok(self.snippets.into_iter().map(item).collect())
    }
}

/// What a request asks of each of its snippets.
#[derive(Clone, Copy)]
struct Ask {
    /// Seconds.
    timeout: f64,
    infotree: bool,
}

impl Ask {
    /// One snippet: `tell` puts what came of it into the shape of its result.
    fn item<T: Send + 'static>(
        self,
        desk: &Arc<Desk>,
        client: Client,
        code: Option<String>,
        tell: impl FnOnce(Told, Option<&CheckReply>) -> T + Send + 'static,
    ) -> Item<T> {
        let code = match code {
            Some(code) if code.len() <= MOST_CODE => code,
            Some(_) => {
                let why = format!("not checked: the snippet is longer than {MOST_CODE} bytes");
                return Item::known(tell(Told::without_lean("rejected", why), None));
            }
            None => {
                let why = "not checked: it has neither `proof` nor `code`".to_owned();
                return Item::known(tell(Told::without_lean("rejected", why), None));
            }
        };
        let taken = match desk.take(client) {
            Ok(taken) => taken,
            Err(refusal) => return Item::refused(refusal, tell(Told::refused(refusal), None)),
        };
        let desk = Arc::clone(desk);
        Item::taken(async move {
            let request = CheckRequest {
                level: CheckLevel::Elaborated.into(),
                modules: vec![ModuleSource {
                    name: MODULE.to_owned(),
                    sha256: String::new(),
                    source: Some(code.clone().into_bytes()),
                }],
                check: vec![MODULE.to_owned()],
                deadline_ms: milliseconds(self.timeout),
                ..CheckRequest::default()
            };
            let reply = desk.answer(taken, request).await;
            let mut told = Told::of(&reply, &code);
            if self.infotree {
                told.notes.push("info trees are not given");
            }
            tell(told, Some(&reply))
        })
    }
}

impl Told {
    fn without_lean(outcome: &'static str, why: String) -> Self {
        let error = Some(why);
        Self { error, response: None, outcome, cached: false, retry_after: None, notes: vec![] }
    }

    fn refused(refusal: Refusal) -> Self {
        Self { retry_after: Some(refusal.retry_after()), ..Self::without_lean("refused", refusal.text()) }
    }

    fn of(reply: &CheckReply, code: &str) -> Self {
        let outcome = reply.outcome();
        let (time, fault) = (seconds(reply.lean_ms), reply.fault.as_str());
        let error = match outcome {
            Outcome::Accepted | Outcome::Rejected => None,
            // In the words of Kimina's server, which clients look for.
            Outcome::TimedOut => Some(format!("Lean timed out in {time} seconds ({fault})")),
            _ => Some(fault.to_owned()),
        };
        let response = error.is_none().then(|| Response {
            env: 0,
            messages: reply.diagnostics.iter().map(message).collect(),
            sorries: sorries(reply, code),
            time,
        });
        let outcome = word(outcome);
        Self { error, response, outcome, cached: reply.cached, retry_after: None, notes: vec![] }
    }
}

fn message(diagnostic: &Diagnostic) -> Message {
    let (pos, end_pos) = range(diagnostic);
    let severity = match diagnostic.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
        _ => "info",
    };
    Message { severity, pos, end_pos, data: diagnostic.message.clone() }
}

/// Where a diagnostic is; one of the snippet as a whole is at its beginning.
fn range(diagnostic: &Diagnostic) -> (Pos, Pos) {
    let at =
        |position: Option<atlas_proto::Position>| position.map(|at| Pos { line: at.line, column: at.column });
    let start = at(diagnostic.start).unwrap_or(Pos { line: 1, column: 0 });
    (start, at(diagnostic.end).unwrap_or(start))
}

/// The declarations that rest on a `sorry` of their own: those that Lean warns of and, since a source can turn the warning off, all others
/// of which the declarations themselves say so. A snippet with errors has only the former: Lean puts `sorry` where an error was.
fn sorries(reply: &CheckReply, code: &str) -> Vec<Sorry> {
    let mut silent: Vec<_> =
        reply.declarations.iter().filter(|facts| facts.sorry_from.contains(&facts.name)).collect();
    let warned = |diagnostic: &&Diagnostic| {
        diagnostic.severity() == Severity::Warning
            && diagnostic.message.starts_with("declaration uses `sorry`")
    };
    let mut sorries: Vec<Sorry> = reply
        .diagnostics
        .iter()
        .filter(warned)
        .map(|diagnostic| {
            let (pos, end_pos) = range(diagnostic);
            let name = between(code, pos, end_pos);
            let named = |full: &str| {
                full.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            let facts = silent
                .iter()
                .position(|facts| !name.is_empty() && named(&facts.name))
                .map(|at| silent.remove(at));
            Sorry { pos, end_pos, goal: facts.map_or_else(String::new, |facts| facts.statement.clone()) }
        })
        .collect();
    if reply.outcome() == Outcome::Accepted {
        let start = Pos { line: 1, column: 0 };
        sorries.extend(silent.into_iter().map(|facts| Sorry {
            pos: start,
            end_pos: start,
            goal: format!("{} : {}", facts.name, facts.statement),
        }));
    }
    sorries
}

/// The text between two places of one line; empty when there is none.
fn between(code: &str, start: Pos, end: Pos) -> &str {
    let line = code.lines().nth(start.line.saturating_sub(1) as usize).unwrap_or_default();
    let byte = |column: u32| line.char_indices().nth(column as usize).map_or(line.len(), |(at, _)| at);
    if start.line != end.line {
        return "";
    }
    line.get(byte(start.column)..byte(end.column)).unwrap_or_default()
}

fn seconds(ms: u32) -> f64 {
    f64::from(ms) / 1000.0
}

/// Seconds as a check's deadline; at least a millisecond, since 0 would ask for the longest.
fn milliseconds(seconds: f64) -> u32 {
    (seconds * 1000.0).clamp(1.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use atlas_proto::{DeclarationFacts, Position};

    use super::*;

    fn uses_sorry(name: &str) -> DeclarationFacts {
        DeclarationFacts {
            name: name.into(),
            statement: format!("type of {name}"),
            sorry_from: vec![name.into()],
            ..DeclarationFacts::default()
        }
    }

    #[test]
    fn a_sorry_that_is_not_warned_of_is_told_and_one_that_is_is_told_once() {
        let code = "namespace N\ntheorem «é» : P := sorry\nset_option warn.sorry false in\ntheorem u : P := sorry\nend N";
        let at = |line, column| Some(Position { line, column });
        let mut reply = CheckReply {
            diagnostics: vec![Diagnostic {
                severity: Severity::Warning.into(),
                start: at(2, 8),
                end: at(2, 11),
                message: "declaration uses `sorry`".into(),
                ..Diagnostic::default()
            }],
            declarations: vec![uses_sorry("N.«é»"), uses_sorry("N.u")],
            ..CheckReply::default()
        };
        reply.set_outcome(Outcome::Accepted);
        let goals = |reply: &CheckReply| -> Vec<String> {
            sorries(reply, code).into_iter().map(|sorry| sorry.goal).collect()
        };
        assert_eq!(goals(&reply), ["type of N.«é»", "N.u : type of N.u"]);
        reply.set_outcome(Outcome::Rejected);
        assert_eq!(goals(&reply), ["type of N.«é»"], "an error leaves a `sorry` that nobody wrote");
    }
}
