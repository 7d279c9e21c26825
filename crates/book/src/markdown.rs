//! Markdown books: `docs/book-format.md` says what is read.

use std::path::Path;
use std::sync::LazyLock;

use atlas_domain::TargetKind;
use regex::Regex;

use crate::assemble::{Draft, DraftChapter, DraftTarget};
use crate::{Problem, names, source};

/// `**Theorem 1.4** (Title). {#label …} text`, `**Theorem 1.4 (Title).** text`, `::: theorem {#label …}`.
#[allow(clippy::unwrap_used)] // constant patterns, compiled by the tests
static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^\s{0,3}(?:>\s*)?\*\*(?<kind>[A-Z][a-z]+)(?:\s+(?<number>[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)*))?\s*
          (?:\((?<inner>.+?)\))?\s*[.:]?\*\*\s*(?:\((?<outer>.+?)\))?\s*[.:]?\s*(?:\{(?<attributes>[^}]*)\})?\s*(?<rest>.*)$",
    )
    .unwrap()
});
#[allow(clippy::unwrap_used)]
static FENCE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^:::+\s*(?<kind>[A-Za-z]+)\s*(?:\((?<title>.+?)\))?\s*(?:\{(?<attributes>[^}]*)\})?\s*$")
        .unwrap()
});
#[allow(clippy::unwrap_used)]
static LINK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\]\((?<page>[^()#\s]*)#(?<label>[A-Za-z0-9_.:-]+)\)|\[@(?<cite>[A-Za-z0-9_.:-]+)\]").unwrap()
});
#[allow(clippy::unwrap_used)]
static PROOF: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s{0,3}(?:>\s*)?[*_]{1,2}(?:Proof|Solution)[^*_]*[*_]{1,2}\.?\s*(?<rest>.*)$").unwrap()
});

const ENDS: [&str; 6] = ["∎", "□", "■", r"$\square$", r"$\blacksquare$", r"\qed"];

pub(crate) fn read(path: &Path) -> Result<Draft, Vec<Problem>> {
    let mut draft = Draft::default();
    if path.is_dir() {
        let files = source::list(path, "md").map_err(|problem| vec![problem])?;
        if files.is_empty() {
            return Err(vec![Problem::new(
                path,
                0,
                "the folder holds no .md file",
                "give the folder of the chapters",
            )]);
        }
        for file in files {
            match source::text(&file) {
                Ok(text) => {
                    let slug = file
                        .file_stem()
                        .map(|stem| names::label(&stem.to_string_lossy()))
                        .unwrap_or_default();
                    let title = text
                        .lines()
                        .find_map(|line| line.strip_prefix("# "))
                        .unwrap_or(&slug)
                        .trim()
                        .to_owned();
                    draft.chapters.push(DraftChapter { slug, title, text, source: file, first_line: 1 });
                }
                Err(problem) => draft.problems.push(problem),
            }
        }
    } else {
        match source::text(path) {
            Ok(text) => draft.chapters = split(path, &text),
            Err(problem) => draft.problems.push(problem),
        }
    }
    for chapter in &draft.chapters {
        read_chapter(chapter, &mut draft.targets, &mut draft.problems);
    }
    Ok(draft)
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|&b| b == b'#').count();
    let text = line.get(level..)?.strip_prefix(' ')?;
    (1..=6)
        .contains(&level)
        .then(|| (level, text.split("{#").next().unwrap_or(text).trim().trim_end_matches('#').trim()))
}

/// Lines with whether they lie in a fenced code block, so that headings in code are none.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut code = false;
    text.lines().enumerate().map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        let inside = code || fence;
        code ^= fence;
        (at, line, inside)
    })
}

/// One file as chapters: at the highest level of heading that occurs more than once; without one, the file is one chapter.
fn split(path: &Path, text: &str) -> Vec<DraftChapter> {
    let headings: Vec<(usize, usize, &str)> = lines(text)
        .filter(|line| !line.2)
        .filter_map(|(at, line, _)| heading(line).map(|(level, title)| (at, level, title)))
        .collect();
    let level = (1..=6).find(|level| headings.iter().filter(|heading| heading.1 == *level).count() > 1);
    let whole = |title: &str| DraftChapter {
        slug: path.file_stem().map(|stem| names::label(&stem.to_string_lossy())).unwrap_or_default(),
        title: title.to_owned(),
        text: text.to_owned(),
        source: path.to_owned(),
        first_line: 1,
    };
    let Some(level) = level else {
        return vec![whole(headings.first().map_or("", |heading| heading.2))];
    };
    let starts: Vec<&(usize, usize, &str)> = headings.iter().filter(|heading| heading.1 == level).collect();
    let all: Vec<&str> = text.lines().collect();
    starts
        .iter()
        .enumerate()
        .map(|(number, (at, _, title))| {
            let end = starts.get(number + 1).map_or(all.len(), |next| next.0);
            let name = title
                .trim_start_matches("Chapter")
                .trim_start_matches(|c: char| c.is_ascii_digit() || " .:–—-".contains(c));
            DraftChapter {
                slug: format!("{:02}-{}", number + 1, names::label(name)),
                title: (*title).to_owned(),
                text: all.get(*at..end).unwrap_or_default().join("\n"),
                source: path.to_owned(),
                first_line: u32::try_from(at + 1).unwrap_or(u32::MAX),
            }
        })
        .collect()
}

/// Which part of a target the next line belongs to.
#[derive(PartialEq)]
enum At {
    Prose,
    /// `inline`: the statement began on the head's line and ends with its paragraph.
    Statement {
        inline: bool,
        fenced: bool,
    },
    /// After an inline statement's paragraph: only a proof may still belong to it.
    After,
    Proof {
        fenced: bool,
    },
}

fn read_chapter(chapter: &DraftChapter, targets: &mut Vec<DraftTarget>, problems: &mut Vec<Problem>) {
    let mut at = At::Prose;
    let from = targets.len();
    for (offset, line, code) in lines(&chapter.text) {
        let number = chapter.first_line + u32::try_from(offset).unwrap_or(u32::MAX);
        if !code {
            if heading(line).is_some() || line.trim() == "---" {
                at = At::Prose;
                continue;
            }
            if line.trim() == ":::" {
                at = At::After;
                continue;
            }
            if let Some((target, inline, fenced)) = head(line, chapter, number, problems) {
                targets.push(target);
                at = At::Statement { inline, fenced };
                continue;
            }
        }
        let Some(target) = targets.get_mut(from..).and_then(<[DraftTarget]>::last_mut) else { continue };
        let fenced = matches!(at, At::Statement { fenced: true, .. } | At::Proof { fenced: true });
        if at != At::Prose
            && let Some(proof) = PROOF.captures(line).filter(|_| !code)
        {
            at = if push_proof(target, &proof["rest"]) { At::Prose } else { At::Proof { fenced } };
            continue;
        }
        match at {
            At::Prose => {}
            At::After if line.trim().is_empty() => {}
            At::After => at = At::Prose,
            At::Statement { inline: true, .. } if line.trim().is_empty() => at = At::After,
            At::Statement { .. } => {
                let ended = push(&mut target.statement, line);
                if ended {
                    at = At::After;
                }
            }
            At::Proof { .. } => {
                if push_proof(target, line) {
                    at = At::Prose;
                }
            }
        }
    }
    for target in targets.get_mut(from..).unwrap_or_default() {
        target.statement_refs.extend(references(&target.statement));
        target.proof_refs = references(&target.proof);
        if target.statement.trim().is_empty() {
            problems.push(Problem::new(
                &target.source,
                target.line,
                format!("`{}` has no text", target.label),
                "write its statement after the head",
            ));
        }
    }
}

/// Adds a line; true when it ends the block.
fn push(text: &mut String, line: &str) -> bool {
    let line = line.trim_end();
    let end = ENDS.iter().find_map(|end| line.strip_suffix(end));
    let line = end.unwrap_or(line);
    text.push_str(line.strip_prefix("> ").unwrap_or(line));
    text.push('\n');
    end.is_some()
}

fn push_proof(target: &mut DraftTarget, line: &str) -> bool {
    push(&mut target.proof, line)
}

/// The kind that a book's word names; words that assert something which the library is to hold.
pub(crate) fn kind(word: &str) -> Option<TargetKind> {
    let word = word.to_ascii_lowercase();
    match word.as_str() {
        "notation" | "construction" | "axiom" | "axioms" | "structure" => Some(TargetKind::Definition),
        "claim" | "fact" | "observation" => Some(TargetKind::Lemma),
        "conjecture" => Some(TargetKind::Theorem),
        "problem" => Some(TargetKind::Exercise),
        _ => word.parse().ok(),
    }
}

fn head(
    line: &str,
    chapter: &DraftChapter,
    number: u32,
    problems: &mut Vec<Problem>,
) -> Option<(DraftTarget, bool, bool)> {
    let (captures, fenced) = match HEAD.captures(line) {
        Some(captures) => (captures, false),
        None => (FENCE.captures(line)?, true),
    };
    let kind = kind(&captures["kind"])?;
    let text = |name: &str| captures.name(name).map_or("", |m| m.as_str()).trim();
    let numbered = if text("number").is_empty() {
        captures["kind"].to_owned()
    } else {
        format!("{} {}", &captures["kind"], text("number"))
    };
    let name = [text("inner"), text("outer"), text("title")].concat();
    let mut target = DraftTarget {
        label: String::new(),
        kind,
        chapter: chapter.slug.clone(),
        title: if name.is_empty() { numbered.clone() } else { format!("{numbered} ({name})") },
        statement: String::new(),
        proof: String::new(),
        statement_refs: Vec::new(),
        proof_refs: Vec::new(),
        declaration: None,
        source: chapter.source.clone(),
        line: number,
    };
    for attribute in text("attributes").split_whitespace() {
        if let Some(label) = attribute.strip_prefix('#') {
            target.label = label.to_owned();
        } else if let Some(name) = attribute.strip_prefix("lean=") {
            target.declaration = Some(name.to_owned());
        } else if let Some(uses) = attribute.strip_prefix("uses=") {
            target
                .statement_refs
                .extend(uses.split(',').map(str::to_owned).filter(|label| !label.is_empty()));
        } else if !attribute.starts_with('.') {
            problems.push(Problem::new(
                &chapter.source,
                number,
                format!("unknown attribute `{attribute}`"),
                "write {#label lean=Name uses=a,b}",
            ));
        }
    }
    if target.label.is_empty() {
        let fallback = if text("number").is_empty() && !name.is_empty() {
            format!("{numbered} {name}")
        } else {
            numbered
        };
        target.label = names::label(&fallback);
    }
    let rest = text("rest");
    let inline = !rest.is_empty();
    if inline {
        push(&mut target.statement, rest);
    }
    Some((target, inline, fenced))
}

/// Labels that a text links to on this book's pages.
fn references(text: &str) -> Vec<String> {
    LINK.captures_iter(text)
        .filter(|link| link.name("page").is_none_or(|page| !page.as_str().contains("://")))
        .filter_map(|link| link.name("label").or_else(|| link.name("cite")))
        .map(|label| label.as_str().to_owned())
        .collect()
}
