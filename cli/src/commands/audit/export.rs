//! One file of a whole library: every certified module's declarations, checked again one on top of the other, and all that they rest on.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atlas_judge::{SORRY, TOOLCHAIN_AXIOMS};
use atlas_lean_kernel::{AllowedAxioms, Base, Declarations, Limits, NameId, Policy, Verdict, check, ndjson};

use crate::failure::{Failure, Result};

/// The export, in the folder of an audit.
pub const EXPORT: &str = "library.ndjson";
/// Which of its `axiom` lines are no axioms.
pub const GIVEN: &str = "library.given";

/// What has been put together.
pub struct Combined {
    base: Base,
    /// The library's own names.
    names: Vec<NameId>,
}

/// What was written, and read back.
pub struct Written {
    /// Of the export.
    pub bytes: u64,
    /// Declarations in it: the library's, and those of the toolchain that they rest on.
    pub declarations: usize,
    /// Of these, statements of the toolchain without proofs or values.
    pub given: usize,
    /// Axioms that the library's declarations rest on.
    pub axioms: BTreeSet<String>,
}

impl Combined {
    /// Nothing of the library yet, on what the toolchain shows of its own.
    ///
    /// # Errors
    /// When the toolchain's export is none.
    pub fn over(foundation: &[u8]) -> Result<Self> {
        let base = Base::load_statements(&mut &foundation[..], &TOOLCHAIN_AXIOMS, &ndjson::Bounds::default())
            .map_err(|e| Failure::fault(format!("Lean's export of its own library cannot be read: {e}")))?;
        Ok(Self { base, names: Vec::new() })
    }

    /// Adds a module's certified export, after those of all that it imports.
    ///
    /// # Errors
    /// When the kernel does not accept it here, as it did when it was certified.
    pub fn add(&mut self, module: &str, export: &Arc<[u8]>) -> Result<()> {
        let wrong = |why: String| Failure::fault(format!("the certified export of {module}: {why}"));
        let mut reader = ndjson::Reader::new(&self.base, &ndjson::Bounds::default());
        reader.read(&mut &export[..]).map_err(|e| wrong(e.to_string()))?;
        let (mut terms, declarations) = reader.finish();
        self.names.extend(declarations.names());
        let policy = Policy { axioms: AllowedAxioms::Any, ..Policy::default() };
        match check(&mut terms, &declarations, &policy, &Limits::default()) {
            Verdict::Accepted(accepted) => {
                let next = self.base.extend(&accepted.certified);
                self.base = next.ok_or_else(|| wrong("it was checked over another base".to_owned()))?;
                Ok(())
            }
            refused => Err(wrong(refused.to_string())),
        }
    }

    /// Writes the export and the list beside it, and has them read back and checked from nothing: `stated` may rest on `sorryAx`.
    ///
    /// # Errors
    /// When they cannot be written, or what was written is not accepted.
    pub fn write(&self, folder: &Path, stated: Vec<String>) -> Result<Written> {
        let (export, given) = (folder.join(EXPORT), folder.join(GIVEN));
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |e: std::io::Error| Failure::fault(format!("cannot write {path}: {e}"))
        };
        let create = |path: &PathBuf| File::create(path).map(BufWriter::new).map_err(failed(path));
        let (mut out, mut kinds) = (create(&export)?, create(&given)?);
        let (terms, declarations) = (self.base.terms(), Declarations::over(&self.base));
        ndjson::write_with_kinds(&terms, &declarations, &self.names, &mut out, &mut kinds)
            .and_then(|()| out.flush())
            .map_err(failed(&export))?;
        kinds.flush().map_err(failed(&given))?;
        read_back(&export, &given, stated)
    }
}

/// What `atlas-kernel --trust-arithmetic --given GIVEN EXPORT` does, in this process. Arithmetic is trusted as it was when the modules were certified: the
/// toolchain hides values that its own definitions of numbers' operations rest on.
fn read_back(export: &Path, given: &Path, mut stated: Vec<String>) -> Result<Written> {
    let unread = |path: &Path, e: &dyn std::fmt::Display| {
        Failure::fault(format!("cannot read {}: {e}", path.display()))
    };
    let open = |path: &Path| File::open(path).map(BufReader::new).map_err(|e| unread(path, &e));
    let mut reader = ndjson::Reader::new(&Base::empty(), &ndjson::Bounds::default());
    reader.read(&mut open(export)?).map_err(|e| unread(export, &e))?;
    let kinds = std::fs::read_to_string(given).map_err(|e| unread(given, &e))?;
    reader.read_given(&mut kinds.as_bytes()).map_err(|e| unread(given, &e))?;
    let (mut terms, declarations) = reader.finish();
    if !stated.is_empty() {
        // The axiom itself is in the file too.
        stated.push(SORRY.to_owned());
    }
    let policy = Policy { stated, trust_arithmetic: true, ..Policy::default() };
    match check(&mut terms, &declarations, &policy, &Limits::default()) {
        Verdict::Accepted(accepted) => Ok(Written {
            bytes: export.metadata().map_err(|e| unread(export, &e))?.len(),
            declarations: declarations.len(),
            given: kinds.lines().count(),
            axioms: accepted.declarations.into_iter().flat_map(|stands| stands.axioms).collect(),
        }),
        refused => Err(Failure::fault(format!("the export {} is not accepted: {refused}", export.display()))),
    }
}
