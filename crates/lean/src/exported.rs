//! The exporter by itself, on a memory of any origin: for whoever wants to try it with one.

use atlas_lean_wasm::Heap;

use crate::export;

/// The declarations of the modules that a guest with this memory hands over at `address` (a pair whose second part is an array of `ModuleData`), as
/// lean4export's text.
///
/// # Errors
/// Why the memory holds no such thing, in words. Whatever it holds, this ends after time and with memory in proportion to its length.
pub fn exported(memory: &[u8], address: u32) -> Result<Vec<u8>, String> {
    export::export_modules(&Heap::over(memory), address).map_err(|error| error.to_string())
}
