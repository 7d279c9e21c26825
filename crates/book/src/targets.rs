//! `targets.yaml`: our own, which extraction writes and a person may edit, and both of AutoformBot's.

use std::collections::BTreeSet;
use std::path::Path;

use atlas_domain::{Target, TargetKind};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use crate::assemble::{Draft, DraftTarget};
use crate::{Problem, markdown, names, source};

/// One entry of any form: ours has `id` and `statement`, AutoformBot's `name` and `description`, that of its newer versions
/// `id`, `type` and `dependencies`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Option<String>,
    #[serde(alias = "type")]
    kind: Option<String>,
    title: Option<String>,
    statement: Option<String>,
    #[serde(default)]
    proof: String,
    #[serde(default)]
    statement_depends_on: Vec<String>,
    #[serde(default)]
    proof_depends_on: Vec<String>,
    chapter: Option<String>,
    declaration: Option<String>,
    #[serde(default)]
    line: u32,
    // AutoformBot's words
    name: Option<String>,
    description: Option<String>,
    location: Option<String>,
    // and those of its newer versions
    /// Number of the statement in the book, e.g. `Theorem 1.2`.
    source: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
    /// Whether the book has a proof, not which: nothing that a reader of the book does not see.
    #[serde(default, rename = "proved_in_book")]
    _proved_in_book: IgnoredAny,
}

/// Puts the targets of a `targets.yaml` in the place of those found in the text, keeping the book's proofs.
pub(crate) fn replace(draft: &mut Draft, file: &Path) -> Result<(), Vec<Problem>> {
    let text = source::text(file).map_err(|problem| vec![problem])?;
    let entries: Vec<Spanned<Entry>> = serde_saphyr::from_str(&text).map_err(|error| {
        let line = error.location().map_or(0, |location| u32::try_from(location.line()).unwrap_or(0));
        vec![Problem::new(
            file,
            line,
            format!("is no list of targets: {error}"),
            "each entry has id, kind, statement (docs/book-format.md)",
        )]
    })?;
    let definitions: BTreeSet<String> = entries
        .iter()
        .filter(|entry| kind(entry.value.kind.as_deref()).is_some_and(TargetKind::is_definition))
        .filter_map(|entry| entry.value.id.as_deref().map(names::label))
        .collect();
    let mut targets = Vec::new();
    for mut entry in entries {
        // Their graph has one kind of edge: a statement speaks of definitions, a proof uses statements.
        for reference in std::mem::take(&mut entry.value.dependencies) {
            if definitions.contains(&names::label(&reference)) {
                entry.value.statement_depends_on.push(reference);
            } else {
                entry.value.proof_depends_on.push(reference);
            }
        }
        let line = u32::try_from(entry.referenced.line()).unwrap_or(0);
        match target(entry.value, draft, file, line) {
            Ok(target) => targets.push(target),
            Err(problem) => draft.problems.push(problem),
        }
    }
    draft.targets = targets;
    Ok(())
}

fn kind(word: Option<&str>) -> Option<TargetKind> {
    markdown::kind(word?)
}

fn target(entry: Entry, draft: &Draft, file: &Path, line: u32) -> Result<DraftTarget, Problem> {
    let missing = |field: &str| {
        Problem::new(
            file,
            line,
            format!("an entry lacks `{field}`"),
            "give id, kind and statement (AutoformBot: name, kind, description, or id, type, statement)",
        )
    };
    let title = entry.title.or(entry.name.clone()).or(entry.source).unwrap_or_default();
    let label = match (entry.id, &entry.name) {
        (Some(id), _) => id,
        (None, Some(name)) => names::label(name.split(" (").next().unwrap_or(name)),
        (None, None) => return Err(missing("id")),
    };
    let word = entry.kind.ok_or_else(|| missing("kind"))?;
    let kind: TargetKind = markdown::kind(&word).ok_or_else(|| {
        Problem::new(
            file,
            line,
            format!("`{word}` is not a kind of target"),
            "use definition, theorem, lemma, proposition, corollary, example or exercise",
        )
    })?;
    let statement = entry.statement.or(entry.description).ok_or_else(|| missing("statement"))?;
    let in_text = draft.targets.iter().find(|found| names::label(&found.label) == names::label(&label));
    let chapter = entry
        .chapter
        .or_else(|| in_text.map(|found| found.chapter.clone()))
        .or_else(|| chapter_at(draft, entry.location.as_deref()?))
        .or_else(|| draft.chapters.first().map(|chapter| chapter.slug.clone()))
        .unwrap_or_default();
    if !draft.chapters.iter().any(|known| known.slug == chapter) {
        let known: Vec<&str> = draft.chapters.iter().map(|chapter| chapter.slug.as_str()).collect();
        return Err(Problem::new(
            file,
            line,
            format!("`{label}` is in chapter `{chapter}`, which the book does not have"),
            format!("use one of {}", known.join(", ")),
        ));
    }
    Ok(DraftTarget {
        kind,
        chapter,
        title: if title.is_empty() {
            in_text.map(|found| found.title.clone()).unwrap_or_default()
        } else {
            title
        },
        statement,
        proof: if entry.proof.is_empty() {
            in_text.map(|found| found.proof.clone()).unwrap_or_default()
        } else {
            entry.proof
        },
        statement_refs: if entry.statement_depends_on.is_empty() {
            in_text.map(|found| found.statement_refs.clone()).unwrap_or_default()
        } else {
            entry.statement_depends_on
        },
        proof_refs: if entry.proof_depends_on.is_empty() {
            in_text.map(|found| found.proof_refs.clone()).unwrap_or_default()
        } else {
            entry.proof_depends_on
        },
        declaration: entry
            .declaration
            .map(|name| name.rsplit_once('.').map_or(name.clone(), |_| strip_package(&name))),
        source: in_text.map_or_else(|| file.to_owned(), |found| found.source.clone()),
        line: in_text.map_or(if entry.line > 0 { entry.line } else { line }, |found| found.line),
        label,
    })
}

/// Our file holds full names; the reader wants them without the package.
fn strip_package(name: &str) -> String {
    name.split_once('.').map_or(name, |(_, rest)| rest).to_owned()
}

/// The chapter that AutoformBot's `location` ("Chapter 3, Section 2") speaks of.
fn chapter_at(draft: &Draft, location: &str) -> Option<String> {
    let location = location.to_lowercase();
    let title = |title: &str| title.to_lowercase();
    draft
        .chapters
        .iter()
        .find(|chapter| {
            let name = title(&chapter.title);
            let head = name.split(':').next().unwrap_or(&name).trim().to_owned();
            location.contains(&name) || location.split(',').next().is_some_and(|first| first.trim() == head)
        })
        .map(|chapter| chapter.slug.clone())
}

/// One entry as it is written.
#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    kind: TargetKind,
    title: &'a str,
    chapter: &'a str,
    declaration: &'a str,
    statement: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    proof: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statement_depends_on: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    proof_depends_on: Vec<&'a str>,
    line: u32,
}

/// Writes an editable `targets.yaml`, replacing the file at once.
///
/// # Errors
/// The file that cannot be written.
pub fn write_targets(file: &Path, targets: &[Target]) -> Result<(), Problem> {
    let entries: Vec<Written<'_>> = targets
        .iter()
        .map(|target| Written {
            id: target.id.as_str(),
            kind: target.kind,
            title: &target.title,
            chapter: &target.chapter,
            declaration: &target.declaration,
            statement: &target.statement,
            proof: &target.proof,
            statement_depends_on: target.statement_depends_on.iter().map(|id| id.as_str()).collect(),
            proof_depends_on: target.proof_depends_on.iter().map(|id| id.as_str()).collect(),
            line: target.line,
        })
        .collect();
    let failed = |why: String| {
        Problem::new(file, 0, format!("cannot be written: {why}"), "free some space or choose another folder")
    };
    let text = serde_saphyr::to_string(&entries).map_err(|error| failed(error.to_string()))?;
    let new = file.with_extension("yaml.new");
    std::fs::write(
        &new,
        format!("# Targets of the book. Edit and run again with `targets:` naming this file.\n{text}"),
    )
    .map_err(|error| failed(error.to_string()))?;
    std::fs::rename(&new, file).map_err(|error| failed(error.to_string()))
}
