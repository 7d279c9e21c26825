//! Reads books: Markdown and LaTeX sources, AutoformBot's `book.md` with `targets.yaml`, RepoProver's chapters with
//! `manifest.json`, and our own editable `targets.yaml`. Gives chapters and targets, or every mistake at once with
//! its file, line and the way out. `docs/book-format.md` is the reader's side of this crate.

mod assemble;
mod autoformbot;
mod latex;
mod markdown;
mod names;
mod problem;
mod repoprover;
mod source;
mod targets;

use std::path::Path;

use atlas_domain::Target;

pub use names::{declaration_name, label, module_name};
pub use problem::Problem;
pub use source::MAX_BYTES;
pub use targets::write_targets;

/// How a book is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A Markdown file, or a folder of them, one chapter each.
    Markdown,
    /// A LaTeX file that may `\input` others.
    Latex,
    /// A folder with `book.md` (or other `.md`/`.tex` files) and `targets.yaml` of `name`, `description`, `location`, `kind`.
    Autoformbot,
    /// A folder with `manifest.json`, or that file: chapters with `source_path` and `target_theorems`.
    Repoprover,
}

/// What to read and how to name it.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The format; `None`: told from the files.
    pub format: Option<Format>,
    /// The library's package, root of module names and namespace, e.g. `Numbers`.
    pub package: &'a str,
    /// A `targets.yaml` of ours or AutoformBot's that replaces the targets found in the text.
    pub targets: Option<&'a Path>,
    /// A book without targets is no mistake: agents will extract them.
    pub extraction: bool,
}

/// A chapter as it is split off the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// File-name-like name, e.g. `01-parity`.
    pub slug: String,
    /// The heading.
    pub title: String,
    /// Lean module, e.g. `Numbers.Parity`.
    pub module: String,
    /// Source text, lines as in the file (LaTeX: inputs put in).
    pub text: String,
    /// Path of the file as given by the user.
    pub source: String,
    /// 1-based line of the first line of `text` in `source`.
    pub first_line: u32,
}

/// A book that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// Chapters in order.
    pub chapters: Vec<Chapter>,
    /// Targets in the book's order; labels unique, references known.
    pub targets: Vec<Target>,
}

/// Reads the book at `path`.
///
/// # Errors
/// Every mistake found: unreadable or too large files, bytes that are not UTF-8, duplicate labels, unknown references,
/// circles of dependencies, include loops, no targets.
pub fn read(path: &Path, options: &Options<'_>) -> Result<Book, Vec<Problem>> {
    let format = match options.format {
        Some(format) => format,
        None => guess(path).map_err(|problem| vec![problem])?,
    };
    let mut draft = match format {
        Format::Markdown => markdown::read(path)?,
        Format::Latex => latex::read(path)?,
        Format::Autoformbot => autoformbot::read(path)?,
        Format::Repoprover => repoprover::read(path)?,
    };
    if let Some(file) = options.targets {
        targets::replace(&mut draft, file)?;
    }
    assemble::book(draft, path, options)
}

fn guess(path: &Path) -> Result<Format, Problem> {
    let has = |name: &str| path.join(name).is_file();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !path.exists() {
        return Err(Problem::new(
            path,
            0,
            "there is no such file or folder",
            "check the book's `path`; it is relative to the AtlasRun's file",
        ));
    }
    match extension {
        "json" => Ok(Format::Repoprover),
        "tex" | "ltx" => Ok(Format::Latex),
        "md" | "markdown" => Ok(Format::Markdown),
        _ if has("manifest.json") => Ok(Format::Repoprover),
        _ if has("targets.yaml") && has("book.md") => Ok(Format::Autoformbot),
        _ if source::list(path, "md").is_ok_and(|files| !files.is_empty()) => Ok(Format::Markdown),
        _ if has("main.tex") || source::list(path, "tex").is_ok_and(|files| files.len() == 1) => {
            Ok(Format::Latex)
        }
        _ => Err(Problem::new(
            path,
            0,
            "cannot tell the book's format",
            "set `format` to markdown, latex, autoformbot or repoprover; a LaTeX folder needs a `main.tex`",
        )),
    }
}
