//! How much a file may ask for, and what is said when it is refused.

/// Bounds on what is read.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Bytes of the whole input.
    pub bytes: u64,
    /// Bytes of one line.
    pub line: usize,
    /// Names, levels and expressions together.
    pub nodes: u32,
    /// Decimal digits of a number literal.
    pub digits: usize,
    /// Height of a term as a tree.
    pub term_depth: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { bytes: 16 << 30, line: 64 << 20, nodes: 1 << 29, digits: 200_000, term_depth: 100_000 }
    }
}

/// What kind of refusal it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadErrorKind {
    /// Wrong by the format: reject.
    Malformed,
    /// Something that this reader does not know or does not take (another version, unsafe declarations): no verdict.
    Unsupported,
    /// A bound was passed: no verdict.
    TooBig,
    /// The input could not be read: no verdict.
    Io,
}

/// Why a file was not read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ReadError {
    /// Where, from 1.
    pub line: u64,
    /// In what sense it is refused.
    pub kind: ReadErrorKind,
    /// What is wrong.
    pub message: String,
}

/// An error whose line is not known yet.
#[derive(Debug)]
pub(super) struct Refusal {
    pub kind: ReadErrorKind,
    pub message: String,
}

pub(super) type Read<T> = Result<T, Refusal>;

impl Refusal {
    pub fn malformed(message: impl Into<String>) -> Refusal {
        Refusal { kind: ReadErrorKind::Malformed, message: message.into() }
    }
    pub fn unsupported(message: impl Into<String>) -> Refusal {
        Refusal { kind: ReadErrorKind::Unsupported, message: message.into() }
    }
    pub fn too_big(message: impl Into<String>) -> Refusal {
        Refusal { kind: ReadErrorKind::TooBig, message: message.into() }
    }
    pub fn at(self, line: u64) -> ReadError {
        ReadError { line, kind: self.kind, message: self.message }
    }
}

pub(super) fn malformed<T>(message: impl Into<String>) -> Read<T> {
    Err(Refusal::malformed(message))
}
