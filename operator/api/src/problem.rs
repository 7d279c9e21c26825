//! Mistakes in a file: what, where, and the way out.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::yaml::Place;

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as the user named it.
    pub file: PathBuf,
    /// From 1; 0 when the value came from no file.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    /// How many characters are wrong.
    pub length: u64,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub suggestion: Option<String>,
    /// The line, as it stands in the file.
    pub source: String,
}

impl Problem {
    /// A mistake at `place` of `file`.
    pub fn new(file: &Path, place: Place, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            length: place.length,
            message: message.into(),
            suggestion: None,
            source: String::new(),
        }
    }

    /// The same with a way out.
    #[must_use]
    pub fn help(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// Takes the line that it is about from the file's `text`.
    pub fn quote(&mut self, text: &str) {
        if let Some(line) = (self.line as usize).checked_sub(1).and_then(|index| text.lines().nth(index)) {
            line.clone_into(&mut self.source);
        }
    }

    /// The mistake as rustc would show it: message, place, the line with the part underlined, the way out.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let path = self.file.to_string_lossy();
        let mut group = if self.source.is_empty() {
            let place = if self.line == 0 {
                path.into_owned()
            } else {
                format!("{path}:{}:{}", self.line, self.column)
            };
            Level::ERROR
                .primary_title(format!("{place}: {}", self.message))
                .elements(Vec::<annotate_snippets::Message<'_>>::new())
        } else {
            let start = byte_of(&self.source, self.column.saturating_sub(1));
            let end = byte_of(&self.source, self.column.saturating_sub(1) + self.length.max(1)).max(start);
            Level::ERROR.primary_title(self.message.as_str()).element(
                Snippet::source(self.source.as_str())
                    .line_start(self.line as usize)
                    .path(path)
                    .annotation(AnnotationKind::Primary.span(start..end)),
            )
        };
        if let Some(suggestion) = &self.suggestion {
            group = group.element(Level::HELP.message(suggestion.as_str()));
        }
        renderer.render(&[group])
    }
}

/// The byte at which character `index` of `line` begins; its end when there are fewer.
fn byte_of(line: &str, index: u64) -> usize {
    line.char_indices().nth(index as usize).map_or(line.len(), |(byte, _)| byte)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, " ({suggestion})"),
            None => Ok(()),
        }
    }
}

/// All mistakes of a file, in its order; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// `Ok` when `problems` is empty, else all of them, in the file's order, with the lines of `text` that they are about.
    pub fn check(mut problems: Vec<Problem>, text: &str) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        for problem in &mut problems {
            problem.quote(text);
        }
        Err(Self(problems))
    }

    /// All of them as rustc would show them, and their number.
    pub fn render(&self, color: bool) -> String {
        let mut out: String = self.0.iter().map(|problem| format!("{}\n\n", problem.render(color))).collect();
        let plural = if self.0.len() == 1 { "" } else { "s" };
        out.push_str(&format!("{} mistake{plural}\n", self.0.len()));
        out
    }
}

impl Deref for Problems {
    type Target = [Problem];

    fn deref(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Of `known`, the name that `name` was probably meant to be: at most a third of it mistyped, or the same but for case
/// and the separators `-`, `_` and space.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace(['-', '_', ' '], "");
    let name = plain(name);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&name, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.chars().count().max(name.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The way out of an unknown name: the one that was probably meant, else all.
pub(crate) fn one_of<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            let all: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
            if all.is_empty() { "there is none".to_owned() } else { format!("known: {}", all.join(", ")) }
        }
    }
}
