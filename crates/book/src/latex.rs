//! LaTeX books: theorem-like environments, labels, references, inputs, and leanblueprint's `\uses`, `\lean`, `\proves`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::assemble::{Draft, DraftChapter, DraftTarget};
use crate::{Problem, markdown, names};

mod flatten;

use flatten::{Line, flatten};

#[allow(clippy::unwrap_used)] // constant patterns, compiled by the tests
static COMMAND: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x) \\begin\{(?<begin>[A-Za-z*]+)\}(?:\[(?<title>[^\]]*)\])?
        | \\end\{(?<end>[A-Za-z*]+)\}
        | \\(?<section>chapter|section)\*?(?:\[[^\]]*\])?\{(?<heading>(?:[^{}]|\{[^{}]*\})*)\}
        | \\label\{(?<label>[^}]*)\}
        | \\(?:ref|cref|Cref|autoref|eqref|nameref|hyperref)\*?\{(?<reference>[^}]*)\}
        | \\hyperref\[(?<hyper>[^\]]*)\]
        | \\uses\{(?<uses>[^}]*)\} | \\lean\{(?<lean>[^}]*)\} | \\proves\{(?<proves>[^}]*)\}
        | \\(?:leanok|notready|mathlibok)\b",
    )
    .unwrap()
});
#[allow(clippy::unwrap_used)]
static NEW_THEOREM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\\(?:newtheorem|declaretheorem)\*?\{(?<env>[^}]+)\}(?:\[[^\]]*\])?\{(?<name>[^}]+)\}")
        .unwrap()
});
#[allow(clippy::unwrap_used)]
static DECLARE_THEOREM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\\declaretheorem\[[^\]]*name=(?<name>[A-Za-z]+)[^\]]*\]\{(?<env>[^}]+)\}").unwrap()
});

pub(crate) fn read(path: &Path) -> Result<Draft, Vec<Problem>> {
    let main = if path.is_dir() {
        let main = path.join("main.tex");
        if main.is_file() {
            main
        } else {
            crate::source::list(path, "tex").map_err(|p| vec![p])?.into_iter().next().unwrap_or(main)
        }
    } else {
        path.to_owned()
    };
    let (lines, problems) = flatten(&main);
    let chapters = split(&main, &lines);
    Ok(read_lines(&lines, &chapters, problems))
}

/// Reads one file as one chapter, for RepoProver's manifest.
pub(crate) fn read_chapter(path: &Path, slug: &str, title: &str) -> Draft {
    let (lines, problems) = flatten(path);
    let chapter = Span { slug: slug.to_owned(), title: title.to_owned(), from: 0, to: lines.len() };
    read_lines(&lines, &[chapter], problems)
}

struct Span {
    slug: String,
    title: String,
    from: usize,
    to: usize,
}

/// Chapters at `\chapter`, else at `\section`, else the whole.
fn split(main: &Path, lines: &[Line]) -> Vec<Span> {
    let headings = |command: &str| -> Vec<(usize, String)> {
        lines
            .iter()
            .enumerate()
            .filter_map(|(at, line)| {
                let captures = COMMAND
                    .captures_iter(&line.text)
                    .find(|c| c.name("section").is_some_and(|m| m.as_str() == command))?;
                Some((at, captures["heading"].trim().to_owned()))
            })
            .collect()
    };
    let mut starts = headings("chapter");
    if starts.is_empty() {
        starts = headings("section");
    }
    if starts.is_empty() {
        let slug = main.file_stem().map(|stem| names::label(&stem.to_string_lossy())).unwrap_or_default();
        return vec![Span { title: slug.clone(), slug, from: 0, to: lines.len() }];
    }
    let ends: Vec<usize> = starts.iter().skip(1).map(|start| start.0).chain([lines.len()]).collect();
    starts
        .into_iter()
        .zip(ends)
        .enumerate()
        .map(|(number, ((from, title), to))| Span {
            slug: format!("{:02}-{}", number + 1, names::label(&title)),
            title,
            from,
            to,
        })
        .collect()
}

/// The environments that hold targets: LaTeX's usual names and those that `\newtheorem` defines here.
fn environments(lines: &[Line]) -> HashMap<String, (atlas_domain::TargetKind, String)> {
    let mut known = HashMap::new();
    for (env, name) in [
        ("thm", "Theorem"),
        ("lem", "Lemma"),
        ("lm", "Lemma"),
        ("prop", "Proposition"),
        ("cor", "Corollary"),
        ("defn", "Definition"),
        ("defi", "Definition"),
        ("dfn", "Definition"),
        ("def", "Definition"),
        ("ex", "Exercise"),
        ("exer", "Exercise"),
        ("exr", "Exercise"),
        ("exmp", "Example"),
        ("eg", "Example"),
        ("theorem", "Theorem"),
        ("lemma", "Lemma"),
        ("proposition", "Proposition"),
        ("corollary", "Corollary"),
        ("definition", "Definition"),
        ("example", "Example"),
        ("exercise", "Exercise"),
        ("claim", "Claim"),
    ] {
        if let Some(kind) = markdown::kind(name) {
            known.insert(env.to_owned(), (kind, name.to_owned()));
        }
    }
    for line in lines {
        for captures in NEW_THEOREM.captures_iter(&line.text).chain(DECLARE_THEOREM.captures_iter(&line.text))
        {
            let env = captures["env"].to_owned();
            match captures["name"].split_whitespace().next().and_then(markdown::kind) {
                Some(kind) => known.insert(env, (kind, captures["name"].to_owned())),
                None => known.remove(&env), // `\newtheorem{ex}{Remark}`: not a target
            };
        }
    }
    known
}

/// What is open at a place: the target and the part of it that text goes to.
enum Open {
    Statement(usize, String),
    /// `\begin{proof}`, of the target before it unless `\proves` or its title names another.
    Proof(Option<usize>),
}

fn read_lines(lines: &[Line], spans: &[Span], problems: Vec<Problem>) -> Draft {
    let known = environments(lines);
    let mut draft = Draft { problems, ..Draft::default() };
    for span in spans {
        let within = lines.get(span.from..span.to).unwrap_or_default();
        let first = within.first();
        draft.chapters.push(DraftChapter {
            slug: span.slug.clone(),
            title: span.title.clone(),
            text: within.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n"),
            source: first.map(|line| line.file.to_path_buf()).unwrap_or_else(PathBuf::new),
            first_line: first.map_or(1, |line| line.number),
        });
        read_span(within, &span.slug, &known, &mut draft);
    }
    draft
}

fn read_span(
    lines: &[Line],
    chapter: &str,
    known: &HashMap<String, (atlas_domain::TargetKind, String)>,
    draft: &mut Draft,
) {
    let mut open: Option<Open> = None;
    let mut last: Option<usize> = None;
    let mut counts: HashMap<String, u32> = HashMap::new();
    for line in lines {
        let mut from = 0;
        for captures in COMMAND.captures_iter(&line.text) {
            let Some(whole) = captures.get(0) else { continue };
            add_text(
                &mut draft.targets,
                open.as_ref(),
                line.text.get(from..whole.start()).unwrap_or_default(),
            );
            from = whole.end();
            let group = |name: &str| captures.name(name).map(|m| m.as_str().trim());
            if let Some(env) = group("begin") {
                let bare = env.trim_end_matches('*');
                if let Some((kind, word)) =
                    known.get(env).or_else(|| known.get(bare)).filter(|_| open.is_none())
                {
                    let count = counts.entry(word.clone()).or_default();
                    *count += 1;
                    let name = group("title").filter(|title| !title.is_empty());
                    draft.targets.push(DraftTarget {
                        label: String::new(),
                        kind: *kind,
                        chapter: chapter.to_owned(),
                        title: name.map_or_else(|| word.clone(), |name| format!("{word} ({name})")),
                        statement: String::new(),
                        proof: String::new(),
                        statement_refs: Vec::new(),
                        proof_refs: Vec::new(),
                        declaration: None,
                        source: line.file.to_path_buf(),
                        line: line.number,
                    });
                    last = Some(draft.targets.len() - 1);
                    open = Some(Open::Statement(draft.targets.len() - 1, env.to_owned()));
                } else if bare == "proof" && open.is_none() {
                    let named = group("title")
                        .and_then(|title| COMMAND.captures(title))
                        .and_then(|c| c.name("reference").map(|m| m.as_str().to_owned()));
                    let of = named
                        .and_then(|label| draft.targets.iter().position(|target| target.label == label))
                        .or(last);
                    open = Some(Open::Proof(of));
                } else {
                    add_text(&mut draft.targets, open.as_ref(), whole.as_str());
                }
            } else if let Some(env) = group("end") {
                match &open {
                    Some(Open::Statement(at, begun)) if begun == env => {
                        finish(&mut draft.targets, *at, chapter, &counts);
                        open = None;
                    }
                    Some(Open::Proof(_)) if env.trim_end_matches('*') == "proof" => open = None,
                    _ => add_text(&mut draft.targets, open.as_ref(), whole.as_str()),
                }
            } else if let Some(label) = group("label") {
                match &open {
                    Some(Open::Statement(at, _))
                        if draft.targets.get(*at).is_some_and(|target| target.label.is_empty()) =>
                    {
                        if let Some(target) = draft.targets.get_mut(*at) {
                            target.label = label.to_owned();
                        }
                    }
                    _ => draft.other_labels.push(label.to_owned()),
                }
            } else if let Some(list) = group("reference").or_else(|| group("hyper")).or_else(|| group("uses"))
            {
                let labels =
                    list.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
                match &open {
                    Some(Open::Statement(at, _)) => draft
                        .targets
                        .get_mut(*at)
                        .into_iter()
                        .for_each(|t| t.statement_refs.extend(labels.clone())),
                    Some(Open::Proof(Some(at))) => draft
                        .targets
                        .get_mut(*at)
                        .into_iter()
                        .for_each(|t| t.proof_refs.extend(labels.clone())),
                    _ => {}
                }
                if group("uses").is_none() {
                    add_text(&mut draft.targets, open.as_ref(), whole.as_str());
                }
            } else if let Some(name) = group("lean") {
                if let Some(Open::Statement(at, _)) = &open
                    && let Some(target) = draft.targets.get_mut(*at)
                {
                    target.declaration = name.split(',').next().map(|name| name.trim().to_owned());
                }
            } else if let Some(label) = group("proves") {
                match draft.targets.iter().position(|target| target.label == label) {
                    Some(at) => open = Some(Open::Proof(Some(at))),
                    None => draft.problems.push(Problem::new(
                        &*line.file,
                        line.number,
                        format!("\\proves{{{label}}} names no target before it"),
                        "name the label of an earlier statement",
                    )),
                }
            }
        }
        add_text(&mut draft.targets, open.as_ref(), line.text.get(from..).unwrap_or_default());
        add_text(&mut draft.targets, open.as_ref(), "\n");
    }
    if let Some(Open::Statement(at, env)) = open
        && let Some(target) = draft.targets.get(at)
    {
        let problem = Problem::new(
            &target.source,
            target.line,
            format!("\\begin{{{env}}} is never ended"),
            format!("add \\end{{{env}}}"),
        );
        draft.problems.push(problem);
    }
}

fn add_text(targets: &mut [DraftTarget], open: Option<&Open>, text: &str) {
    match open {
        Some(Open::Statement(at, _)) => {
            targets.get_mut(*at).into_iter().for_each(|target| target.statement.push_str(text))
        }
        Some(Open::Proof(Some(at))) => {
            targets.get_mut(*at).into_iter().for_each(|target| target.proof.push_str(text))
        }
        _ => {}
    }
}

/// A target without a label gets one from chapter, kind and number: stable while the order is.
fn finish(targets: &mut [DraftTarget], at: usize, chapter: &str, counts: &HashMap<String, u32>) {
    if let Some(target) = targets.get_mut(at)
        && target.label.is_empty()
    {
        let word = target.title.split(" (").next().unwrap_or_default();
        target.label = names::label(&format!("{word}-{chapter}-{}", counts.get(word).copied().unwrap_or(1)));
    }
}

/// Labels that a manifest lists, compared as written and as ids.
pub(crate) fn keep_listed(draft: &mut Draft, listed: &[String]) -> Vec<String> {
    let wanted: HashSet<String> = listed.iter().map(|label| names::label(label)).collect();
    let (kept, dropped): (Vec<_>, Vec<_>) =
        draft.targets.drain(..).partition(|target| wanted.contains(&names::label(&target.label)));
    draft.targets = kept;
    draft.other_labels.extend(dropped.into_iter().map(|target| target.label));
    let found: HashSet<String> = draft.targets.iter().map(|target| names::label(&target.label)).collect();
    listed.iter().filter(|label| !found.contains(&names::label(label))).cloned().collect()
}
