//! Questions to Lean: how an agent asks them over the bus, and how the answers read to a model.

use std::time::Duration;

use atlas_bus::{Bus, RequestError};
use atlas_proto::{
    CheckLevel, CheckReply, CheckRequest, DeclarationFacts, Diagnostic, Focus, LookupReply, LookupRequest,
    ModuleSource, Outcome, Position, Severity,
};
use backon::{BackoffBuilder as _, ExponentialBuilder};

/// Subject of checks.
const CHECK: &str = "atlas.check";
/// Subject of look-ups.
const LOOKUP: &str = "atlas.lookup";
/// How long one check may take in Lean. An agent's file that needs more needs another proof.
const LEAN_DEADLINE: Duration = Duration::from_secs(120);
/// How long the answer may take over it: queueing within the verifier.
const QUEUE_DEADLINE: Duration = Duration::from_secs(180);
/// How often a busy or absent verifier is asked before the effect is given back to the host, which tries again later.
const ASKS: usize = 8;
/// Declarations that a look-up answers with.
const LOOKUP_LIMIT: u32 = 30;
/// The longest diagnostics and goals that a model is shown, in bytes each.
const MAX_MESSAGE: usize = 2_000;
/// Diagnostics that a model is shown; errors come first.
const MAX_DIAGNOSTICS: usize = 12;

/// The verifier does not answer now.
#[derive(Debug, thiserror::Error)]
#[error("cannot ask Lean on {subject}: {cause}")]
pub struct Unavailable {
    subject: &'static str,
    cause: RequestError,
    /// How long it asks to be left alone.
    pub retry_after: Duration,
}

/// A question for Lean.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Names the question in logs: attempt, turn, call.
    pub id: String,
    /// The run.
    pub run: String,
    /// The import closure.
    pub modules: Vec<ModuleSource>,
    /// The modules to elaborate.
    pub check: Vec<String>,
    /// The lines of the only module of `check` that are of interest.
    pub focus: Option<Focus>,
    /// Lines to elaborate after them.
    pub snippet: Option<String>,
    /// Where to show the goals.
    pub goals_at: Option<Position>,
    /// Declarations to report on; empty: the new ones.
    pub declarations: Vec<String>,
    /// Kernels are asked too, as before a landing: slower, and it brings tags.
    pub certified: bool,
    /// How long it may take in Lean; `None`: as long as any.
    pub deadline: Option<Duration>,
}

/// Asks Lean; waits, with jitter, while the verifiers are busy.
///
/// # Errors
/// [`Unavailable`] when none answered in all that time.
pub async fn ask(bus: &Bus, question: Question) -> Result<CheckReply, Unavailable> {
    let deadline = question.deadline.unwrap_or(LEAN_DEADLINE);
    let level = if question.certified { CheckLevel::Certified } else { CheckLevel::Elaborated };
    let request = CheckRequest {
        id: question.id,
        run: question.run,
        level: level.into(),
        modules: question.modules,
        check: question.check,
        focus: question.focus,
        snippet: question.snippet,
        goals_at: question.goals_at,
        declarations: question.declarations,
        deadline_ms: deadline.as_millis() as u32,
        ..CheckRequest::default()
    };
    match patient(bus, CHECK, &request, deadline + QUEUE_DEADLINE).await {
        Err(Unavailable { cause, .. }) if is_final(&cause) => Ok(CheckReply {
            id: request.id,
            outcome: Outcome::EnvironmentFault.into(),
            fault: cause.to_string(),
            ..CheckReply::default()
        }),
        answer => answer,
    }
}

/// Asking again would not help: the verifier says so itself, or the question is too large to be sent.
fn is_final(cause: &RequestError) -> bool {
    !cause.is_transient()
}

/// Looks declarations up in `modules` and the toolchain.
///
/// # Errors
/// As [`ask`].
pub async fn lookup(
    bus: &Bus,
    run: &str,
    modules: Vec<ModuleSource>,
    name: &str,
    type_: &str,
) -> Result<LookupReply, Unavailable> {
    let (name, type_) = (name.to_owned(), type_.to_owned());
    let request = LookupRequest { run: run.to_owned(), modules, name, r#type: type_, limit: LOOKUP_LIMIT };
    match patient(bus, LOOKUP, &request, QUEUE_DEADLINE).await {
        Err(Unavailable { cause, .. }) if is_final(&cause) => {
            Ok(LookupReply { fault: cause.to_string(), ..LookupReply::default() })
        }
        answer => answer,
    }
}

async fn patient<Q, R>(
    bus: &Bus,
    subject: &'static str,
    request: &Q,
    deadline: Duration,
) -> Result<R, Unavailable>
where
    Q: prost::Message,
    R: prost::Message + Default,
{
    let schedule = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(ASKS)
        .with_jitter();
    let mut delays = schedule.build();
    loop {
        let error = match bus.request::<Q, R>(subject, request, deadline).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let asked = match &error {
            RequestError::Busy { retry_after, .. } => *retry_after,
            RequestError::NoResponders { .. } => Duration::from_millis(200),
            _ => return Err(Unavailable { subject, cause: error, retry_after: Duration::from_secs(1) }),
        };
        match delays.next() {
            // Not before the verifier asked, and spread beyond that: else all come back at once.
            Some(delay) => tokio::time::sleep(asked + delay).await,
            None => return Err(Unavailable { subject, cause: error, retry_after: asked }),
        }
    }
}

/// One diagnostic on one line, its message below it where it has several: `Numbers.Parity:12:4 error …`.
pub fn diagnostic(diagnostic: &Diagnostic) -> String {
    let severity = match diagnostic.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Information | Severity::Unspecified => "info",
    };
    let start = diagnostic.start.unwrap_or_default();
    let message = shorten(diagnostic.message.trim_end(), MAX_MESSAGE);
    let (module, line, column) = (&diagnostic.module, start.line, start.column);
    format!("{module}:{line}:{column} {severity}: {message}")
}

/// Whether Lean accepted what it was asked.
pub fn accepted(reply: &CheckReply) -> bool {
    reply.outcome() == Outcome::Accepted
}

/// Whether Lean found errors in what it was asked; a check that came to no judgement says nothing of it.
pub fn rejected(reply: &CheckReply) -> bool {
    reply.outcome() == Outcome::Rejected
}

/// A reply as a model reads it: the outcome, then errors, warnings, goals, each shortened with a note.
pub fn render(reply: &CheckReply) -> String {
    let errors = reply.diagnostics.iter().filter(|d| d.severity() == Severity::Error).count();
    let warnings = reply.diagnostics.iter().filter(|d| d.severity() == Severity::Warning).count();
    let mut out = match reply.outcome() {
        Outcome::Accepted => format!("Lean accepts it ({warnings} {}).", plural(warnings, "warning")),
        Outcome::Rejected => {
            format!(
                "Lean rejects it: {errors} {}, {warnings} {}.",
                plural(errors, "error"),
                plural(warnings, "warning")
            )
        }
        Outcome::TimedOut => {
            format!(
                "Lean did not finish in time ({}). Something loops or searches for too long.",
                reply.fault
            )
        }
        Outcome::OutOfMemory => {
            format!("Lean ran out of memory ({}). Something unfolds or searches too much.", reply.fault)
        }
        Outcome::Crashed => format!("Lean died on it ({}). Write it in another way.", reply.fault),
        Outcome::EnvironmentFault | Outcome::Unspecified => {
            format!("The check could not be made, which is not your draft's fault: {}", reply.fault)
        }
    };
    let mut sorted: Vec<&Diagnostic> = reply.diagnostics.iter().collect();
    // Stable: within a severity they keep Lean's order.
    sorted.sort_by_key(|d| match d.severity() {
        Severity::Error => 0,
        Severity::Warning => 1,
        _ => 2,
    });
    for shown in sorted.iter().take(MAX_DIAGNOSTICS) {
        out.push('\n');
        out.push_str(&diagnostic(shown));
    }
    if sorted.len() > MAX_DIAGNOSTICS {
        let more = sorted.len() - MAX_DIAGNOSTICS;
        out.push_str(&format!(
            "\n[{more} more {} not shown; mend the first ones first]",
            plural(more, "message")
        ));
    }
    if !reply.goals.is_empty() {
        out.push_str("\nGoals there:\n");
        out.push_str(&shorten(&reply.goals, 2 * MAX_MESSAGE));
    }
    out
}

/// Declarations as a model reads them: name, kind, type and place, one a line.
pub fn render_lookup(reply: &LookupReply) -> String {
    if !reply.fault.is_empty() {
        return format!("The look-up failed: {}", reply.fault);
    }
    if reply.declarations.is_empty() {
        return "Nothing is called so. Try a shorter part of the name, or words of the type.".to_owned();
    }
    let line = |facts: &DeclarationFacts| {
        let statement = shorten(&facts.statement.split_whitespace().collect::<Vec<_>>().join(" "), 400);
        format!("{} {} : {statement}  [{}]", facts.kind, facts.name, facts.module)
    };
    let mut lines: Vec<String> = reply.declarations.iter().map(line).collect();
    if lines.len() >= LOOKUP_LIMIT as usize {
        lines.push(format!("[the first {LOOKUP_LIMIT}; say more to see others]"));
    }
    lines.join("\n")
}

/// `text`, or its beginning and end with a note of what was left out, at most about `limit` bytes.
pub fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(limit * 3 / 4);
    let tail = text.ceil_char_boundary(text.len() - limit / 4);
    format!("{}\n[… {} bytes left out …]\n{}", &text[..head], tail - head, &text[tail..])
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(severity: Severity, line: u32, message: &str) -> Diagnostic {
        let start = Some(Position { line, column: 2 });
        Diagnostic {
            severity: severity.into(),
            module: "N.A".into(),
            start,
            message: message.into(),
            ..Diagnostic::default()
        }
    }

    #[test]
    fn errors_come_first_and_floods_are_cut() {
        let mut diagnostics = vec![problem(Severity::Warning, 1, "unused variable `h`")];
        diagnostics.extend(
            (0..20).map(|n| problem(Severity::Error, n, &format!("unsolved goals {}", "⊢ x ".repeat(900)))),
        );
        let reply = CheckReply {
            outcome: Outcome::Rejected.into(),
            diagnostics,
            goals: "⊢ False".into(),
            ..CheckReply::default()
        };
        let text = render(&reply);
        assert!(
            text.starts_with("Lean rejects it: 20 errors, 1 warning.\nN.A:0:2 error: unsolved goals"),
            "{text}"
        );
        assert!(
            text.contains("bytes left out")
                && text.contains("[9 more messages not shown")
                && text.ends_with("Goals there:\n⊢ False")
        );
        assert!(text.len() < 40_000, "{}", text.len());
    }

    #[test]
    fn outcomes_that_are_no_verdict_are_told_apart() {
        let said = |outcome: Outcome| {
            render(&CheckReply { outcome: outcome.into(), fault: "why".into(), ..CheckReply::default() })
        };
        assert!(said(Outcome::TimedOut).contains("in time (why)"));
        assert!(said(Outcome::EnvironmentFault).contains("not your draft's fault: why"));
        assert_eq!(said(Outcome::Accepted), "Lean accepts it (0 warnings).");
    }
}
