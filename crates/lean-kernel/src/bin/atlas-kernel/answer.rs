//! What the program says, and its exit status.

use atlas_lean_kernel::{Rejected, Stands, Undecided};
use serde::Serialize;

use crate::options::Output;

/// The answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Every declaration is right.
    Accepted,
    /// Something is wrong.
    Rejected,
    /// No verdict.
    Declined,
}

impl Answer {
    /// The exit status: the kernel arena's convention.
    pub fn code(self) -> u8 {
        match self {
            Answer::Accepted => 0,
            Answer::Rejected => 1,
            Answer::Declined => 2,
        }
    }
}

/// The answer with its reasons.
#[derive(Debug, Serialize)]
pub struct Statement {
    /// The answer.
    pub verdict: Answer,
    /// Declarations in the file that are not the base's.
    pub declarations: usize,
    /// How many of them nothing was found against.
    pub sound: usize,
    /// Every declaration with its axioms, if all were accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Stands>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
    /// What hit a limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<Undecided>,
    /// Why there is no more to say: the file or the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Milliseconds for reading the base, reading the file, checking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<[u64; 3]>,
}

impl Statement {
    /// An answer for a reason that has to do with no declaration.
    pub fn because(verdict: Answer, reason: String) -> Statement {
        Statement {
            verdict,
            declarations: 0,
            sound: 0,
            accepted: Vec::new(),
            rejected: Vec::new(),
            undecided: Vec::new(),
            reason: Some(reason),
            milliseconds: None,
        }
    }

    /// Says it. A reader that has gone away changes nothing about the exit status.
    pub fn print(&self, output: Output) -> Answer {
        use std::io::Write as _;
        let text = match output {
            Output::Json => serde_json::to_string(self).unwrap_or_default() + "\n",
            Output::Text => self.text(),
        };
        let _ = std::io::stdout().write_all(text.as_bytes());
        self.verdict
    }

    fn text(&self) -> String {
        let mut s = String::new();
        // The first of them is the reason, if there is one.
        let listed = usize::from(self.reason.is_none());
        for r in self.rejected.iter().take(listed * self.rejected.len()) {
            s += &format!("rejected: {}: {} [{}]\n", r.declaration, r.reason, r.rule);
        }
        for u in self.undecided.iter().take(listed * self.undecided.len()) {
            s += &format!("undecided: {}: {}\n", u.declaration, u.limit);
        }
        for u in self.accepted.iter().filter(|d| d.is_unproved()) {
            s += &format!("stated, not proved: {}\n", u.name);
        }
        let verdict = match self.verdict {
            Answer::Accepted => "accepted",
            Answer::Rejected => "rejected",
            Answer::Declined => "declined",
        };
        match &self.reason {
            Some(reason) => s += &format!("{verdict}: {reason}\n"),
            None => {
                s += &format!("{verdict}: {} of {} declarations are sound", self.sound, self.declarations);
                if let Some([base, read, check]) = self.milliseconds {
                    s += &format!(" (base {base} ms, read {read} ms, checked {check} ms)");
                }
                s.push('\n');
            }
        }
        s
    }
}
