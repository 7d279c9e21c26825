//! The smoke test: a verifier whose Lean accepts what is false, refuses what is true or does not answer serves nobody.
//! (A REPL of the field's peers returns an environment even when its library path is wrong.)

use atlas_lean::Toolchain;
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, Expectation, ModuleSource, Outcome};

const HEADER: &str = "module\n\npublic import Init\n\n@[expose] public noncomputable section\n\n";

/// What is asked, with the answer that a sound environment gives.
const QUESTIONS: [(&str, &str, Outcome); 4] = [
    ("a true theorem", "theorem atlas_smoke (a b : Nat) : a + b = b + a := by omega", Outcome::Accepted),
    ("a false theorem", "theorem atlas_smoke (a b : Nat) : a + b = a := by omega", Outcome::Rejected),
    ("an axiom", "axiom atlas_smoke : False", Outcome::Rejected),
    (
        "a proof that skips the kernel",
        "set_option debug.skipKernelTC true in\ntheorem atlas_smoke : (1 : Nat) = 2 := by decide +kernel",
        Outcome::Rejected,
    ),
];

/// Asks the toolchain for certified verdicts on known questions.
///
/// # Errors
/// The first question that is answered wrongly, with the answer.
pub fn smoke_test(toolchain: &dyn Toolchain) -> Result<(), String> {
    for (what, text, wanted) in QUESTIONS {
        let reply = toolchain.check(&question(text));
        let outcome = reply.outcome();
        if outcome != wanted {
            return Err(format!(
                "{what} was {}, not {}: {}",
                outcome.as_str_name(),
                wanted.as_str_name(),
                why(&reply)
            ));
        }
    }
    Ok(())
}

fn question(text: &str) -> CheckRequest {
    let source = format!("{HEADER}{text}\n");
    CheckRequest {
        id: "smoke".to_owned(),
        level: CheckLevel::Certified.into(),
        modules: vec![ModuleSource {
            name: "Smoke".to_owned(),
            sha256: String::new(),
            source: Some(source.into_bytes()),
        }],
        check: vec!["Smoke".to_owned()],
        expectations: vec![Expectation { declaration: "atlas_smoke".to_owned(), ..Expectation::default() }],
        ..CheckRequest::default()
    }
}

fn why(reply: &CheckReply) -> String {
    if reply.fault.is_empty() {
        let messages: Vec<&str> =
            reply.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
        if messages.is_empty() { "nothing was reported".to_owned() } else { messages.join("; ") }
    } else {
        reply.fault.clone()
    }
}
