//! The layers of the gate, and how a verdict's reason tells which of them has spoken.

use std::str::FromStr;

use atlas_proto::{CheckReply, Outcome, Severity};

/// What stops an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Lean's elaborator refuses.
    Lean,
    /// Lean's kernel, asked again in an environment that the source has not touched, refuses.
    Kernel,
    /// The second kernel refuses, or cannot read the export.
    SecondKernel,
    /// The statement, or something that it rests on, is another term than what was frozen.
    Statement,
    /// An axiom outside of the allow-list.
    Axioms,
    /// `sorry`, its own or inherited.
    Sorry,
    /// What is asked for is not there, or is something else than was asked for.
    Declaration,
    /// Declares what no library may hold: axioms, unsafe or partial code, replaced implementations.
    Policy,
    /// The guest has nothing that could be reached. Such files say what they have reached.
    Sandbox,
    /// The deadline or the memory limit.
    Limits,
    /// Lean ends without an answer, which is none.
    Crash,
    /// Nothing: it is known that this attack gets through.
    Open,
}

use Layer::{
    Axioms, Crash, Declaration, Kernel, Lean, Limits, Open, Policy, Sandbox, SecondKernel, Sorry, Statement,
};

const NAMES: [(Layer, &str); 12] = [
    (Lean, "lean"),
    (Kernel, "kernel"),
    (SecondKernel, "second kernel"),
    (Statement, "statement"),
    (Axioms, "axioms"),
    (Sorry, "sorry"),
    (Declaration, "declaration"),
    (Policy, "policy"),
    (Sandbox, "sandbox"),
    (Limits, "limits"),
    (Crash, "crash"),
    (Open, "open"),
];

/// Words that only the named layer says.
const WORDS: [(Layer, &[&str]); 7] = [
    (Kernel, &["(kernel)", "Lean rejects"]),
    (SecondKernel, &["atlas-lean-kernel"]),
    (Statement, &["no longer states", "no longer the definition", "does not state the negation"]),
    (Axioms, &["rests on the axiom"]),
    (Sorry, &["`sorry`"]),
    (Declaration, &["is expected", "must be a definition", "is an axiom: it must be proved"]),
    (
        Policy,
        &[
            "declares no axioms",
            "are not allowed in a library",
            "the kernel gives this name a meaning of its own",
            "is not allowed in a library",
            "the kernel does not check it",
        ],
    ),
];

impl Layer {
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(layer, _)| *layer == self).map_or("", |(_, name)| name)
    }

    /// Whether this layer is what stopped the attack that had this answer.
    pub fn spoke(self, reply: &CheckReply) -> bool {
        match self {
            Lean => {
                let placed =
                    |d: &&atlas_proto::Diagnostic| d.severity() == Severity::Error && d.start.is_some();
                reply.outcome() == Outcome::Rejected && reply.diagnostics.iter().any(|d| placed(&d))
            }
            Limits => matches!(reply.outcome(), Outcome::TimedOut | Outcome::OutOfMemory),
            Crash => reply.outcome() == Outcome::Crashed,
            Sandbox => says(reply, "not reached:") && !says(reply, "REACHED"),
            Open => false,
            _ => {
                let words = WORDS.iter().filter(|(layer, _)| *layer == self).flat_map(|(_, words)| *words);
                reply.outcome() == Outcome::Rejected && words.into_iter().any(|w| errs(reply, w))
            }
        }
    }
}

/// Whether any message has these words.
pub fn says(reply: &CheckReply, words: &str) -> bool {
    reply.diagnostics.iter().any(|d| d.message.contains(words)) || reply.fault.contains(words)
}

fn errs(reply: &CheckReply, words: &str) -> bool {
    reply.diagnostics.iter().any(|d| d.severity() == Severity::Error && d.message.contains(words))
}

impl FromStr for Layer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(layer, _)| *layer).ok_or_else(|| format!("there is no layer `{text}`"))
    }
}
