//! From what a reader found to a book: names given, references resolved, mistakes collected.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use atlas_domain::{Blueprint, BlueprintError, Target, TargetId, TargetKind, edit_distance};

use crate::{Book, Chapter, Options, Problem, names};

/// A chapter before it has a module.
#[derive(Debug, Clone)]
pub(crate) struct DraftChapter {
    pub slug: String,
    pub title: String,
    pub text: String,
    pub source: PathBuf,
    pub first_line: u32,
}

/// A target as a reader finds it: labels as written.
#[derive(Debug, Clone)]
pub(crate) struct DraftTarget {
    pub label: String,
    pub kind: TargetKind,
    pub chapter: String,
    pub title: String,
    pub statement: String,
    pub proof: String,
    pub statement_refs: Vec<String>,
    pub proof_refs: Vec<String>,
    pub declaration: Option<String>,
    pub source: PathBuf,
    pub line: u32,
}

/// What a reader found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub chapters: Vec<DraftChapter>,
    pub targets: Vec<DraftTarget>,
    /// Labels of things that are no targets (sections, equations, figures): references to them are no dependencies.
    pub other_labels: Vec<String>,
    /// Mistakes found on the way; what could be read is here all the same, so that all mistakes are told at once.
    pub problems: Vec<Problem>,
}

impl DraftTarget {
    fn place(&self) -> String {
        format!("{}:{}", self.source.display(), self.line)
    }
}

pub(crate) fn book(mut draft: Draft, path: &Path, options: &Options<'_>) -> Result<Book, Vec<Problem>> {
    let mut problems = std::mem::take(&mut draft.problems);
    if draft.targets.is_empty() && problems.is_empty() && !options.extraction {
        problems.push(Problem::new(
            path,
            0,
            "the book has no targets",
            "label its theorems as docs/book-format.md says, give a targets.yaml, or set `agents.extractors` so that agents find them",
        ));
    }
    let chapters = chapters(&draft, options, &mut problems);
    let modules: HashMap<&str, &str> =
        chapters.iter().map(|chapter| (chapter.slug.as_str(), chapter.module.as_str())).collect();

    let mut first: HashMap<String, &DraftTarget> = HashMap::new();
    for target in &draft.targets {
        match first.get(&names::label(&target.label)) {
            Some(earlier) => problems.push(Problem::new(
                &target.source,
                target.line,
                format!(
                    "the label `{}` is used twice; it was first used at {}",
                    target.label,
                    earlier.place()
                ),
                "give one of the two another label",
            )),
            None => {
                first.insert(names::label(&target.label), target);
            }
        }
    }
    let others: Vec<String> = draft.other_labels.iter().map(|label| names::label(label)).collect();
    let mut declared: HashMap<String, &DraftTarget> = HashMap::new();
    let mut targets = Vec::new();
    for target in &draft.targets {
        let label = names::label(&target.label);
        let Ok(id) = TargetId::new(label.clone()) else {
            problems.push(Problem::new(
                &target.source,
                target.line,
                format!("`{}` cannot be a label", target.label),
                "use letters, digits, `-` and `_`",
            ));
            continue;
        };
        let mut resolve = |refs: &[String]| -> Vec<TargetId> {
            let mut ids: Vec<TargetId> = Vec::new();
            for reference in refs {
                let wanted = names::label(reference);
                if wanted == label || others.contains(&wanted) {
                    continue;
                }
                match first.contains_key(&wanted).then(|| TargetId::new(wanted.clone())) {
                    Some(Ok(id)) if !ids.contains(&id) => ids.push(id),
                    Some(_) => {}
                    None => problems.push(unknown(target, reference, first.keys())),
                }
            }
            ids
        };
        let statement_depends_on = resolve(&target.statement_refs);
        let mut proof_depends_on = resolve(&target.proof_refs);
        proof_depends_on.retain(|id| !statement_depends_on.contains(id));

        let name = target.declaration.clone().unwrap_or_else(|| names::declaration_name(target.kind, &label));
        if !names::is_declaration(&name) {
            problems.push(Problem::new(
                &target.source,
                target.line,
                format!("`{name}` cannot be a Lean name"),
                "give one with `lean=Name`",
            ));
        }
        let declaration = format!("{}.{name}", options.package);
        if let Some(earlier) = declared.get(&declaration).filter(|earlier| earlier.label != target.label) {
            problems.push(Problem::new(
                &target.source,
                target.line,
                format!(
                    "`{declaration}` would be the declaration of both `{}` ({}) and `{}`",
                    earlier.label,
                    earlier.place(),
                    target.label
                ),
                "give one of them a name with `lean=Name`",
            ));
        }
        declared.insert(declaration.clone(), target);
        targets.push(Target {
            id,
            kind: target.kind,
            chapter: target.chapter.clone(),
            title: target.title.clone(),
            statement: target.statement.trim().to_owned(),
            proof: target.proof.trim().to_owned(),
            statement_depends_on,
            proof_depends_on,
            declaration,
            module: modules.get(target.chapter.as_str()).map(|&module| module.to_owned()).unwrap_or_default(),
            line: target.line,
            source: target.source.display().to_string(),
            parent: None,
        });
    }
    if problems.is_empty() {
        problems.extend(circles(&targets, path));
    }
    if problems.is_empty() { Ok(Book { chapters, targets }) } else { Err(problems) }
}

fn chapters(draft: &Draft, options: &Options<'_>, problems: &mut Vec<Problem>) -> Vec<Chapter> {
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut chapters = Vec::new();
    for chapter in &draft.chapters {
        let module = names::module_name(options.package, &chapter.slug);
        if let Some(other) = seen.insert(module.clone(), chapter.slug.clone()) {
            problems.push(Problem::new(
                &chapter.source,
                chapter.first_line,
                format!("the chapters `{other}` and `{}` would both be the module `{module}`", chapter.slug),
                "give them different titles or file names",
            ));
        }
        chapters.push(Chapter {
            slug: chapter.slug.clone(),
            title: chapter.title.clone(),
            module,
            text: chapter.text.clone(),
            source: chapter.source.display().to_string(),
            first_line: chapter.first_line,
        });
    }
    chapters
}

fn unknown<'a>(target: &DraftTarget, reference: &str, known: impl Iterator<Item = &'a String>) -> Problem {
    let wanted = names::label(reference);
    let near = known
        .map(|label| (edit_distance(&wanted, label), label))
        .min()
        .filter(|(distance, _)| *distance <= 1 + wanted.len() / 4);
    let help = match near {
        Some((_, label)) => format!("did you mean `{label}`?"),
        None => "remove the reference or label its target".to_owned(),
    };
    Problem::new(
        &target.source,
        target.line,
        format!("`{}` refers to `{reference}`, which is no target", target.label),
        help,
    )
}

/// Circles, at the line of a target that lies on them.
fn circles(targets: &[Target], path: &Path) -> Vec<Problem> {
    let Err(errors) = Blueprint::new(targets.to_vec()) else { return Vec::new() };
    errors
        .into_iter()
        .map(|error| {
            let on_it = match &error {
                BlueprintError::Cycle(ids) => targets.iter().find(|target| Some(&target.id) == ids.first()),
                BlueprintError::Duplicate { id, .. } | BlueprintError::UnknownReference { id, .. } => {
                    targets.iter().find(|target| &target.id == id)
                }
            };
            let (file, line) =
                on_it.map_or((path.to_owned(), 0), |target| (PathBuf::from(&target.source), target.line));
            Problem::new(
                file,
                line,
                error.to_string(),
                "a statement may not rest on itself: remove one reference of the circle",
            )
        })
        .collect()
}
