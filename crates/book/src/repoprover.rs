//! RepoProver's books: `manifest.json` names chapters (`id`, `title`, `source_path`) and in each the labels of its
//! target theorems (`target_theorems`).

use std::path::Path;

use serde::Deserialize;

use crate::assemble::Draft;
use crate::{Problem, latex, markdown, names, source};

#[derive(Deserialize)]
struct Manifest {
    chapters: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    title: String,
    source_path: String,
    #[serde(default)]
    target_theorems: Vec<String>,
}

pub(crate) fn read(path: &Path) -> Result<Draft, Vec<Problem>> {
    let file = if path.is_dir() { path.join("manifest.json") } else { path.to_owned() };
    let folder = file.parent().unwrap_or(Path::new(""));
    let text = source::text(&file).map_err(|problem| vec![problem])?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| {
        let line = u32::try_from(error.line()).unwrap_or(0);
        vec![Problem::new(
            &file,
            line,
            format!("is no manifest: {error}"),
            "it holds {\"chapters\": [{\"id\", \"title\", \"source_path\", \"target_theorems\"}]}",
        )]
    })?;
    let mut book = Draft::default();
    for entry in manifest.chapters {
        let chapter = folder.join(&entry.source_path);
        let slug = names::label(&entry.id);
        let title = if entry.title.is_empty() { entry.id.clone() } else { entry.title.clone() };
        let read = match chapter.extension().and_then(|e| e.to_str()) {
            Some("md") => markdown::read(&chapter).map(|draft| one_chapter(draft, &slug, &title)),
            _ => Ok(latex::read_chapter(&chapter, &slug, &title)),
        };
        match read {
            Ok(mut draft) => {
                for label in latex::keep_listed(&mut draft, &entry.target_theorems) {
                    let line = text
                        .lines()
                        .position(|line| line.contains(&format!("\"{label}\"")))
                        .map_or(0, |at| at + 1);
                    book.problems.push(Problem::new(
                        &file,
                        u32::try_from(line).unwrap_or(0),
                        format!(
                            "`{label}` is listed as a target of `{}`, but {} has no such label",
                            entry.id,
                            chapter.display()
                        ),
                        "label the statement or take the line out",
                    ));
                }
                book.chapters.extend(draft.chapters);
                book.targets.extend(draft.targets);
                book.other_labels.extend(draft.other_labels);
                book.problems.extend(draft.problems);
            }
            Err(more) => book.problems.extend(more),
        }
    }
    Ok(book)
}

/// A Markdown file as the one chapter that the manifest says it is.
fn one_chapter(mut draft: Draft, slug: &str, title: &str) -> Draft {
    let text: Vec<String> = draft.chapters.iter().map(|chapter| chapter.text.clone()).collect();
    draft.chapters.truncate(1);
    for chapter in &mut draft.chapters {
        chapter.slug = slug.to_owned();
        chapter.title = title.to_owned();
        chapter.text = text.join("\n");
    }
    for target in &mut draft.targets {
        target.chapter = slug.to_owned();
    }
    draft
}
