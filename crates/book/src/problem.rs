//! Mistakes in a book.

use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake: where, what, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The file or folder.
    pub file: PathBuf,
    /// 1-based line; 0 when it concerns the whole file.
    pub line: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Problem {
    pub(crate) fn new(
        file: impl AsRef<Path>,
        line: u32,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { file: file.as_ref().to_owned(), line, message: message.into(), help: help.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {} ({})", self.file.display(), self.message, self.help),
            line => write!(f, "{}:{line}: {} ({})", self.file.display(), self.message, self.help),
        }
    }
}
