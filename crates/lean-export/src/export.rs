//! Declarations out of Lean's objects as lean4export's text: all that leaves a guest in which untrusted code has run.

use atlas_lean_kernel::{Base, Declarations, NameId, Terms, ndjson};

use crate::heap::Heap;
use crate::objects::Objects;
use crate::walk::{Twice, Walk, WalkError};

/// Bytes of one export. A chapter's has some hundred thousand.
const MAX_BYTES: usize = 1 << 30;

/// Why declarations cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// They cannot be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// They are too many.
    #[error("the declarations take more than {MAX_BYTES} bytes as text")]
    TooLarge,
}

/// Declarations as text.
///
/// # Errors
/// [`ExportError::TooLarge`].
pub fn export(terms: &Terms, declarations: &Declarations) -> Result<Vec<u8>, ExportError> {
    let names: Vec<NameId> = declarations.names().collect();
    let mut out = Bounded(vec![]);
    ndjson::write(terms, declarations, &names, &mut out).map_err(|_| ExportError::TooLarge)?;
    Ok(out.0)
}

/// The declarations whose `ConstantInfo`s lie at `constants`, made of ids of `terms`, which are over `base`.
///
/// # Errors
/// What is wrong with the first that cannot be read.
pub fn read(
    heap: &dyn Objects,
    constants: &[u32],
    terms: Terms,
    base: &Base,
) -> Result<(Terms, Declarations), WalkError> {
    let mut walk = Walk::over(heap, terms, base);
    for constant in constants {
        walk.constant(*constant, Twice::Refused)?;
    }
    walk.finish()
}

/// All declarations of the modules in the pair at `address`, whose second part is an array of `ModuleData`.
///
/// # Errors
/// [`ExportError`].
pub fn export_modules(heap: &dyn Objects, address: u32) -> Result<Vec<u8>, ExportError> {
    let mut walk = Walk::new(heap);
    let modules = heap.field(address, 1).and_then(|at| heap.array(at)).map_err(WalkError::from)?;
    for module in modules {
        let constants = heap.field(module, 2).and_then(|at| heap.array(at)).map_err(WalkError::from)?;
        for constant in constants {
            walk.constant(constant, Twice::LeftOut)?;
        }
    }
    let (terms, declarations) = walk.finish()?;
    export(&terms, &declarations)
}

/// The same of a memory of any origin, in which the pair lies at `address`: for whoever wants to try it with one. Whatever the memory holds, this
/// ends after time and with memory in proportion to its length.
///
/// # Errors
/// [`ExportError`].
pub fn export_memory(memory: &[u8], address: u32) -> Result<Vec<u8>, ExportError> {
    export_modules(&Heap::over(memory), address)
}

/// A buffer that refuses to grow beyond [`MAX_BYTES`].
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_BYTES {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
