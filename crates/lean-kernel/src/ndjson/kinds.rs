//! The list that says what the `axiom` lines of a library's export really are.
//!
//! A Lean installation may ship a library without its proofs; an exporter then has only statements, and writes `axiom`. Beside
//! the file it writes one line for each: `#base KIND ID NAME`, where the kind is what the library declares (`thm`, `def`, `opaque`,
//! `axiom`) and the id is that of the name in the file. The id counts: printed names can mislead.

use std::io::BufRead;

use super::bounds::{ReadError, ReadErrorKind};
use super::reader::Reader;
use crate::term::{NameId, Set};

/// The constants of a library that came without their values.
pub(crate) struct Kinds {
    given: Set<NameId>,
}

impl Kinds {
    /// Reads the list that belongs to the file that `reader` has just read.
    pub fn read(input: &mut dyn BufRead, reader: &Reader) -> Result<Kinds, ReadError> {
        let mut given = Set::default();
        for (line, text) in (1..).zip(input.lines()) {
            let refuse = |kind, message: String| ReadError { line, kind, message };
            let text = text.map_err(|e| refuse(ReadErrorKind::Io, format!("cannot be read: {e}")))?;
            let mut words = text.splitn(4, ' ');
            let (Some("#base"), Some(kind), Some(id)) = (words.next(), words.next(), words.next()) else {
                return Err(refuse(ReadErrorKind::Malformed, "'#base KIND ID NAME' is expected".to_owned()));
            };
            let name = id.parse().ok().and_then(|id| reader.name_with_id(id)).ok_or_else(|| {
                refuse(ReadErrorKind::Malformed, format!("the name {id} has not been given out"))
            })?;
            match kind {
                "thm" | "def" | "opaque" => {
                    given.insert(name);
                }
                "axiom" => {}
                _ => {
                    return Err(refuse(
                        ReadErrorKind::Unsupported,
                        format!("an unknown kind of constant: {kind}"),
                    ));
                }
            }
        }
        Ok(Kinds { given })
    }

    pub fn is_given(&self, n: NameId) -> bool {
        self.given.contains(&n)
    }
}
