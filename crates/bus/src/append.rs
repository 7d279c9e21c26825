//! One append to a journal across a server that dies in the middle, without I/O.

/// What a server said of an attempt to append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The record is stored, as this sequence.
    Stored(u64),
    /// Refused: the journal has another last sequence than was expected.
    Outdated,
    /// Nothing, in time: it may be stored or not.
    Unknown,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is stored, as this sequence.
    Stored(u64),
    /// Somebody else has written.
    Conflict,
    /// Read the journal's last record ([`Append::found`]): it may be this one.
    LookUp,
    /// Try again after a pause, or give up with the outcome unknown.
    Again,
}

/// An append under way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Append {
    /// True once an attempt's outcome is unknown.
    uncertain: bool,
}

impl Append {
    /// After an attempt.
    pub fn tried(&mut self, attempt: Attempt) -> Next {
        match attempt {
            Attempt::Stored(sequence) => Next::Stored(sequence),
            Attempt::Outdated if self.uncertain => Next::LookUp,
            Attempt::Outdated => Next::Conflict,
            Attempt::Unknown => {
                self.uncertain = true;
                Next::Again
            }
        }
    }

    /// After a look at the journal's last record: its sequence if it is this very record.
    pub fn found(self, same: Option<u64>) -> Next {
        same.map_or(Next::Conflict, Next::Stored)
    }
}
