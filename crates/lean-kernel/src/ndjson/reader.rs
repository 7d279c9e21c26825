//! Reads files into terms and declarations.

use std::io::{BufRead, Read as _};

use super::bounds::{Bounds, Read, ReadError, ReadErrorKind, Refusal, malformed};
use super::json::{self, Json};
use super::kinds::Kinds;
use crate::base::Base;
use crate::declarations::{Declarations, DeclareError};
use crate::limits::Limits;
use crate::term::{ExprId, LevelId, NameId, TermError, Terms};

/// Reads lean4export NDJSON 3.1.
///
/// ```
/// use atlas_lean_kernel::{Base, Limits, Policy, check, ndjson};
///
/// let file = concat!(
///     r#"{"meta":{"format":{"version":"3.1.0"}}}"#, "\n",
///     r#"{"str":{"pre":0,"str":"id"},"in":1}"#, "\n",
///     r#"{"sort":0,"ie":0}"#, "\n",
///     r#"{"bvar":0,"ie":1}"#, "\n",
///     r#"{"forallE":{"name":0,"type":1,"body":1,"binderInfo":"default"},"ie":2}"#, "\n",
///     r#"{"bvar":1,"ie":3}"#, "\n",
///     r#"{"forallE":{"name":0,"type":1,"body":3,"binderInfo":"default"},"ie":4}"#, "\n",
///     r#"{"forallE":{"name":0,"type":0,"body":4,"binderInfo":"default"},"ie":5}"#, "\n",
///     r#"{"lam":{"name":0,"type":1,"body":1,"binderInfo":"default"},"ie":6}"#, "\n",
///     r#"{"lam":{"name":0,"type":0,"body":6,"binderInfo":"default"},"ie":7}"#, "\n",
///     r#"{"thm":{"name":1,"levelParams":[],"type":5,"value":7,"all":[1]}}"#, "\n",
/// );
/// let mut reader = ndjson::Reader::new(&Base::empty(), &ndjson::Bounds::default());
/// reader.read(&mut file.as_bytes())?;
/// let (mut terms, declarations) = reader.finish();
/// assert!(check(&mut terms, &declarations, &Policy::default(), &Limits::default()).is_accepted());
/// # Ok::<(), ndjson::ReadError>(())
/// ```
pub struct Reader {
    pub(super) terms: Terms,
    pub(super) declarations: Declarations,
    pub(super) bounds: Bounds,
    /// What the ids of the file stand for.
    pub(super) names: Vec<NameId>,
    pub(super) levels: Vec<LevelId>,
    pub(super) exprs: Vec<ExprId>,
}

impl Reader {
    /// A reader whose declarations will be on top of `base`.
    pub fn new(base: &Base, bounds: &Bounds) -> Reader {
        let limits = Limits { terms: bounds.nodes, term_depth: bounds.term_depth, ..Limits::default() };
        Reader::into_terms(base.terms_within(&limits), Declarations::over(base), bounds)
    }

    /// A reader that adds to terms and declarations that are there already: for several files, or several sets of
    /// declarations of one [`Terms`].
    pub fn into_terms(terms: Terms, declarations: Declarations, bounds: &Bounds) -> Reader {
        let (anonymous, zero) = (terms.name_anonymous(), terms.level_zero());
        Reader {
            terms,
            declarations,
            bounds: bounds.clone(),
            names: vec![anonymous],
            levels: vec![zero],
            exprs: Vec::new(),
        }
    }

    /// Reads one file.
    ///
    /// # Errors
    /// [`ReadError`] with the line. What was read so far must not be used then.
    pub fn read(&mut self, input: &mut dyn BufRead) -> Result<(), ReadError> {
        self.names.truncate(1);
        self.levels.truncate(1);
        self.exprs.clear();
        let (mut line, mut number, mut left, mut meta) = (Vec::new(), 0u64, self.bounds.bytes, false);
        loop {
            number += 1;
            line.clear();
            if !self.next_line(input, &mut line, &mut left).map_err(|e| e.at(number))? {
                break;
            }
            if line.is_empty() {
                continue;
            }
            let result = std::str::from_utf8(&line)
                .map_err(|_| Refusal::malformed("not UTF-8"))
                .and_then(json::parse)
                .and_then(|json| {
                    if meta {
                        self.line(&json)
                    } else {
                        meta = true;
                        version(&json)
                    }
                });
            result.map_err(|e| e.at(number))?;
        }
        if meta { Ok(()) } else { Err(Refusal::malformed("an empty file").at(number)) }
    }

    /// Reads the list of what the `axiom` lines of the file read last really are (lines `#base KIND ID NAME`), and takes those that are
    /// theorems and definitions as given. What rests on them is then no proof.
    ///
    /// # Errors
    /// [`ReadError`] with the list's line.
    pub fn read_given(&mut self, list: &mut dyn BufRead) -> Result<(), ReadError> {
        let kinds = Kinds::read(list, self)?;
        self.declarations.mark_given(|n| kinds.is_given(n));
        Ok(())
    }

    /// The terms and declarations that were read.
    pub fn finish(self) -> (Terms, Declarations) {
        (self.terms, self.declarations)
    }

    /// The name with this id in the file read last.
    pub(super) fn name_with_id(&self, id: usize) -> Option<NameId> {
        self.names.get(id).copied()
    }

    /// Reads a line without its end. False: there is none.
    fn next_line(&self, input: &mut dyn BufRead, line: &mut Vec<u8>, left: &mut u64) -> Read<bool> {
        let most = (self.bounds.line as u64 + 1).min(*left);
        let n = input
            .take(most)
            .read_until(b'\n', line)
            .map_err(|e| Refusal { kind: ReadErrorKind::Io, message: format!("cannot be read: {e}") })?;
        *left -= n as u64;
        if line.pop_if(|c| *c == b'\n').is_some() {
            return Ok(true);
        }
        if n as u64 == most {
            // Cut off by a bound, unless the input ends exactly there.
            let more = input.fill_buf().is_ok_and(|b| !b.is_empty());
            if more || n as u64 > self.bounds.line as u64 {
                let what = if *left == 0 { "the input" } else { "the line" };
                return Err(Refusal::too_big(format!("{what} is too long")));
            }
        }
        if n == 0 { Ok(false) } else { malformed("the file is cut short: the last line has no end") }
    }

    fn line(&mut self, json: &Json<'_>) -> Read<()> {
        let fields = json.obj()?;
        let is_id = |k: &str| matches!(k, "in" | "il" | "ie");
        match fields {
            [(kind, v)] if !is_id(kind) => self.declaration(kind, v),
            [(kind, v), (table, id)] | [(table, id), (kind, v)] if is_id(table) && !is_id(kind) => {
                self.node(table, id, kind, v)
            }
            _ => malformed("a line that is neither a node nor a declaration"),
        }
    }

    fn node(&mut self, table: &str, id: &Json<'_>, kind: &str, v: &Json<'_>) -> Read<()> {
        let len = match table {
            "in" => self.names.len(),
            "il" => self.levels.len(),
            _ => self.exprs.len(),
        };
        if id.num()? != len as u64 {
            return malformed(format!(
                "the id {} where {len} is next: ids must come one after another",
                id.num()?
            ));
        }
        if self.names.len() + self.levels.len() + self.exprs.len() >= self.bounds.nodes as usize {
            return Err(Refusal::too_big("too many nodes"));
        }
        match table {
            "in" => self.name_node(kind, v).map(|n| self.names.push(n)),
            "il" => self.level_node(kind, v).map(|l| self.levels.push(l)),
            _ => self.expr_node(kind, v).map(|e| self.exprs.push(e)),
        }
    }
}

fn version(json: &Json<'_>) -> Read<()> {
    let Some(meta) = json.get("meta") else { return malformed("the first line is not meta") };
    let v = meta.at("format")?.at("version")?.str()?;
    if v.starts_with("3.1.") { Ok(()) } else { Err(Refusal::unsupported(format!("format {v}, not 3.1"))) }
}

impl From<TermError> for Refusal {
    fn from(e: TermError) -> Refusal {
        match e {
            TermError::UnknownId => Refusal::malformed(e.to_string()),
            TermError::TooBig(_) | TermError::Limit(_) => Refusal::too_big(e.to_string()),
        }
    }
}

impl From<DeclareError> for Refusal {
    fn from(e: DeclareError) -> Refusal {
        match e {
            DeclareError::TooBig(_) => Refusal::too_big(e.to_string()),
            _ => Refusal::malformed(e.to_string()),
        }
    }
}
