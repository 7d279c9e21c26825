//! The report of a run: `report.json` for programs, `index.html` for people.

mod html;
mod lean;
mod prose;
mod way;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use atlas_domain::{TargetState, Usage};
use atlas_merge_coordinator::{Incident, Lapsed, ReceiptCounts};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::format::{count, duration, plural, usd};

pub use way::{Way, ways};

/// What came of a run. Field names are the contract of `report.json`; see `docs/cli.md`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The run's name.
    pub run: String,
    /// The books' titles.
    pub title: String,
    /// Why it ended; `None` while it is at work or interrupted.
    pub outcome: Option<String>,
    /// The exit code that the run ended with.
    pub exit_code: Option<u8>,
    /// How many targets are where.
    pub totals: Totals,
    /// The book's chapters, in order.
    pub chapters: Vec<Chapter>,
    /// Every target, in the book's order.
    pub targets: Vec<Target>,
    /// What the models used, in all.
    pub usage: Usage,
    /// What each role used.
    pub usage_by_role: BTreeMap<String, Usage>,
    /// The run's limit of money in US dollars, if any.
    pub budget_usd: Option<f64>,
    /// The run's limit of tokens, if any.
    pub budget_tokens: Option<u64>,
    /// Questions to Lean that were answered, from the cache or by Lean.
    pub checks: u64,
    /// Of those, answered from the cache.
    pub checks_cached: u64,
    /// Milliseconds in Lean, over all threads.
    pub lean_ms: u64,
    /// Processor time of the last process, by what it was spent on.
    pub cpu: Cpu,
    /// Calls of models.
    pub model_calls: u64,
    /// Calls that were under way when a process died: at most so many were made twice.
    pub repeated_calls: u64,
    /// Submissions that the merge queue sent back.
    pub refusals: Vec<Refusal>,
    /// Submissions that became part of the library.
    pub landings: u64,
    /// Of those, with signed receipts of what was certified.
    pub landings_with_receipts: u64,
    /// How the receipts of what is in the library now stand.
    pub receipts: ReceiptCounts,
    /// Modules of the library that do not certify any more under the policy that the run ended with.
    pub lapsed: Vec<Lapsed>,
    /// Contradictions between kernels; while one is not cleared, nothing lands.
    pub incidents: Vec<Incident>,
    /// The library's newest commit.
    pub library_commit: String,
    /// Lean's name and version.
    pub toolchain: String,
    /// Start of the run, Unix milliseconds.
    pub started_ms: u64,
    /// From the first start to the end, pauses between two commands included, in milliseconds.
    pub elapsed_ms: u64,
}

/// Processor time in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// In Lean.
    pub lean_ms: u64,
    /// In nats-server and other children.
    pub nats_ms: u64,
    /// In everything else of this program.
    pub atlas_ms: u64,
}

/// A submission that the merge queue sent back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// The submission.
    pub submission: String,
    /// Its target.
    pub target: String,
    /// conflict, build, statement, axioms, incident, policy or environment.
    pub kind: String,
    /// Why, in words.
    pub reason: String,
}

/// Counts of targets. `stated`, `proved`, `certified` overlap: each says how far the target has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// All of them.
    pub targets: u64,
    /// With a statement (or definition) in the library.
    pub stated: u64,
    /// Theorem-like ones with a proof of their own in the library, whether what that rests on is proved or not.
    pub proved: u64,
    /// Fully proved: definitions and proofs in the library of which nothing that they rest on is open.
    pub certified: u64,
    /// Whose negation is in the library with its proof.
    pub refuted: u64,
    /// That wait for a person.
    pub escalated: u64,
    /// Neither certified nor refuted.
    pub open: u64,
}

/// A chapter of the book.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Chapter {
    /// The slug that `targets[].chapter` names.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// The Lean module that holds it.
    pub module: String,
}

/// One target and how it got where it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// The book's label.
    pub id: String,
    /// definition, theorem, …
    pub kind: String,
    /// The chapter's slug.
    pub chapter: String,
    /// Its title in the book.
    pub title: String,
    /// Where it stands.
    pub state: TargetState,
    /// Whether its statement (or definition) is in the library.
    pub stated: bool,
    /// Full Lean name.
    pub declaration: String,
    /// Lean module.
    pub module: String,
    /// How many attempts agents made at it, reviews included.
    pub attempts: u64,
    /// Tokens that they used.
    pub tokens: u64,
    /// Their cost in US dollars.
    pub cost: f64,
    /// The commit that brought its present Lean text; `null` before.
    pub landed_commit: Option<String>,
    /// Why it is refuted, escalated or open, when there is a reason.
    pub reason: Option<String>,
    /// The book's words.
    pub statement: String,
    /// The book's proof.
    pub proof: String,
    /// Targets that its statement rests on.
    pub statement_depends_on: Vec<String>,
    /// Targets that its proof rests on.
    pub proof_depends_on: Vec<String>,
    /// Path of the book's source, and line.
    pub source: String,
    /// 1-based line in `source`.
    pub line: u32,
    /// The target that was decomposed into this one.
    pub parent: Option<String>,
    /// Its region of the library.
    pub lean: String,
    /// What happened on its way.
    pub ways: Vec<Way>,
    /// Of a certified or refuted target: the receipt of its module; `null` when there is none.
    pub receipt: Option<TargetReceipt>,
    /// What the machine noticed of its declaration that no kernel refuses, the gravest first; see `docs/tags.md`.
    pub tags: Vec<Tag>,
    /// What the human was asked and answered.
    pub escalation: Option<Escalation>,
    /// Each attempt, in the order in which they ended.
    pub history: Vec<Attempt>,
}

/// What the receipt of a target's module says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetReceipt {
    /// SHA-256 of its file; the landing's commit names it, unless it was made anew since.
    pub sha256: String,
    /// Its file, from the report's folder.
    pub file: String,
    /// Kernels that accepted the module's declarations.
    pub kernels: Vec<String>,
    /// Axioms that the target's declaration rests on.
    pub axioms: Vec<String>,
    /// When it was judged, Unix milliseconds.
    pub made_ms: u64,
}

/// Something that the machine noticed of a declaration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tag {
    /// A kind of `docs/tags.md`.
    pub kind: String,
    /// grave, doubt or information.
    pub weight: String,
    /// What was seen, in words with names.
    pub evidence: String,
}

/// A question to the human.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Escalation {
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub reply: Option<String>,
}

/// One attempt of one agent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// `<target>.<role>.<number>`: what `atlas logs` takes.
    pub id: String,
    /// The agent's role.
    pub role: String,
    /// Counts this role's attempts at this target.
    pub number: u32,
    /// submitted, landed, refused, approved, request_changes, gave_up, failed, …
    pub outcome: String,
    /// Its reasons or those of who refused it.
    pub reasons: Vec<String>,
    /// Model turns.
    pub turns: u32,
    /// Questions to Lean.
    pub checks: u32,
    /// Of these, those in which Lean found errors.
    pub rejected: u32,
    /// Tokens used.
    pub tokens: u64,
    /// Cost in US dollars.
    pub cost: f64,
    /// The commit that it landed as.
    pub commit: Option<String>,
}

impl Report {
    /// Counts the targets' states into `totals`.
    pub fn count(&mut self) {
        let mut totals = Totals { targets: self.targets.len() as u64, ..Totals::default() };
        for target in &self.targets {
            let definition = target.kind == "definition";
            totals.stated += u64::from(target.stated);
            let proved = matches!(target.state, TargetState::Proved | TargetState::Certified);
            totals.proved += u64::from(proved && !definition);
            totals.certified += u64::from(target.state == TargetState::Certified);
            totals.refuted += u64::from(target.state == TargetState::Refuted);
            totals.escalated += u64::from(target.state == TargetState::Escalated);
            totals.open += u64::from(!target.state.is_final());
        }
        self.totals = totals;
    }

    /// The figures as a table for the terminal: a row per chapter, then what it took, then why targets are open; and, if
    /// wished, how the run ended.
    pub fn summary(&self, outcome: bool) -> String {
        let mut rows = Vec::new();
        let mut slugs: Vec<&str> = self.chapters.iter().map(|chapter| chapter.slug.as_str()).collect();
        for target in &self.targets {
            if !slugs.contains(&target.chapter.as_str()) {
                slugs.push(&target.chapter);
            }
        }
        for slug in slugs {
            let mut part = Self {
                targets: self.targets.iter().filter(|target| target.chapter == slug).cloned().collect(),
                ..Self::default()
            };
            part.count();
            if part.totals.targets > 0 {
                rows.push(row(slug, part.totals));
            }
        }
        rows.push(row("all", self.totals));
        let head = ["CHAPTER", "TARGETS", "STATED", "PROVED", "CERTIFIED", "REFUTED", "ESCALATED", "OPEN"];
        let mut text = crate::print::table(&head, rows, &[1, 2, 3, 4, 5, 6, 7]);
        text.push_str(&format!(
            "\n{} landings ({} with receipts) · {} checks · {} model calls · {} tokens · {} · {}\n",
            self.landings,
            self.landings_with_receipts,
            count(self.checks),
            count(self.model_calls),
            count(self.usage.tokens()),
            usd(self.usage.cost_microdollars as f64 / 1e6),
            duration(self.elapsed_ms),
        ));
        if let Some(receipts) = crate::progress::receipts(&self.receipts) {
            text.push_str(&format!("receipts: {receipts}\n"));
        }
        for Lapsed { module, reason, .. } in &self.lapsed {
            text.push_str(&format!("{module}: no longer certified under the present policy: {reason}\n"));
        }
        for Incident { id, what, .. } in self.open_incidents() {
            text.push_str(&format!(
                "incident {id}: {what}\n    nothing lands until you have read it: atlas incident clear {id} \"…\"\n"
            ));
        }
        let doubted = |target: &&Target| target.tags.iter().any(|tag| tag.weight != "information");
        let doubted = self.targets.iter().filter(doubted).count();
        if doubted > 0 {
            let targets = plural(doubted, "target");
            text.push_str(&format!(
                "the machine has noticed something about {targets}; the report says what\n"
            ));
        }
        text.push_str(&self.open_targets());
        if let Some(outcome) = self.outcome.as_ref().filter(|_| outcome) {
            text.push_str(&format!("{outcome}\n"));
        }
        text.trim_end().to_owned()
    }

    /// Contradictions between kernels that no person has cleared.
    pub fn open_incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().filter(|incident| incident.cleared.is_none())
    }

    /// Why targets are open: questions first, then those that something went wrong with. The others wait, or were at work.
    fn open_targets(&self) -> String {
        const SHOWN: usize = 20;
        let mut lines = Vec::new();
        let open: Vec<&Target> = self.targets.iter().filter(|target| !target.state.is_final()).collect();
        let question = |target: &Target| {
            target
                .escalation
                .as_ref()
                .filter(|asked| asked.reply.is_none())
                .map(|asked| asked.question.clone())
        };
        for target in &open {
            if let Some(question) = question(target) {
                let id = &target.id;
                lines.push(format!("{id} asks: {question}\n    answer with: atlas reply {id} \"…\""));
            }
        }
        let mut waiting = 0;
        for target in open.iter().filter(|target| question(target).is_none()) {
            match target.reason.as_deref() {
                Some(reason) if reason.starts_with("waits for ") => waiting += 1,
                Some(reason) => {
                    lines.push(format!("{} is {}: {}", target.id, target.state, first_line(reason)))
                }
                None => {}
            }
        }
        if lines.len() > SHOWN {
            let more = lines.len() - SHOWN;
            lines.truncate(SHOWN);
            lines.push(format!("and {more} more; the report has them all"));
        }
        if waiting > 0 {
            let verb = if waiting == 1 { "waits" } else { "wait" };
            lines.push(format!("{} {verb} for others", plural(waiting, "target")));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Writes `report.json` and `index.html` into `folder` and returns the page's path. Each file is
    /// replaced as a whole, so that a reader never meets half of one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let json = serde_json::to_vec_pretty(self)
            .map_err(|e| Failure::fault(format!("cannot write the report as JSON: {e}")))?;
        let page = folder.join("index.html");
        std::fs::create_dir_all(folder)
            .and_then(|()| replace(&folder.join("report.json"), &json))
            .and_then(|()| replace(&page, html::page(self).as_bytes()))
            .map_err(|e| {
                Failure::fault(format!("cannot write the report to {}: {e}", folder.display()))
                    .hint("check that the disk has room and the folder is yours")
            })?;
        Ok(page)
    }

    /// Reads `report.json` from `folder`.
    ///
    /// # Errors
    /// When there is none or it is damaged.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("report.json");
        let bytes = std::fs::read(&path).map_err(|e| {
            Failure::input(format!("cannot read {}: {e}", path.display())).hint(
                "a report is written when a run ends or is stopped; `atlas status` looks at a run at work",
            )
        })?;
        serde_json::from_slice(&bytes).map_err(|e| {
            Failure::fault(format!("{} is damaged: {e}", path.display()))
                .hint("run `atlas run` again: it writes the report anew")
        })
    }
}

/// The first line of a text, which the report has whole.
fn first_line(text: &str) -> String {
    const MOST: usize = 300;
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None if text.lines().nth(1).is_some() => format!("{line} …"),
        None => line.to_owned(),
    }
}

fn row(name: &str, totals: Totals) -> Vec<String> {
    let Totals { targets, stated, proved, certified, refuted, escalated, open } = totals;
    let numbers = [targets, stated, proved, certified, refuted, escalated, open];
    std::iter::once(name.to_owned()).chain(numbers.iter().map(u64::to_string)).collect()
}

/// Writes a file by renaming a finished one into its place.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes)?;
    std::fs::rename(&new, path)
}

/// Appends `text` with HTML's special characters escaped.
fn escape_into(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
