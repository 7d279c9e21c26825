//! A source text.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A source text that is to be formalized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Book {
    /// The book's file, or the folder that holds its chapters.
    pub path: PathBuf,
    /// How it is written; told from the file names when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<BookFormat>,
    /// A file of targets; agents extract them from the book when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<PathBuf>,
    /// The title in reports; taken from the book when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// How a book is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BookFormat {
    /// Markdown, split into chapters at first-level headings.
    Markdown,
    /// LaTeX with `theorem`-like environments, split at `\chapter` (articles: `\section`).
    Latex,
    /// AutoformBot's `book.md` with `targets.yaml`.
    Autoformbot,
    /// RepoProver's chapters with `manifest.json`.
    Repoprover,
}
