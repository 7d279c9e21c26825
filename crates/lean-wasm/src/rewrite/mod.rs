//! Turns Emscripten's `lean.wasm` into a module for a host without JavaScript.
//!
//! * `invoke_*` imports become functions that use `try_table`, and what throws ends in `throw`. No host frame then lies
//!   between two guest frames, so that a guest thread can be one fiber.
//! * `memory.atomic.wait32` and `notify` become host calls, so that a guest's threads can be fibers of one OS thread.
//! * Every exported function gets a fixed slot in the table, so that `dlsym` is a look-up in a file beside the module, the
//!   same in every thread and every copy; the 200,000 exports go.
//! * Mutable globals are exported, for snapshots.

mod encode;
mod scan;
mod shims;

use std::collections::{HashMap, HashSet};

use wasm_encoder::reencode::Reencode;
use wasm_encoder::{Module, ValType};
use wasmparser::Parser;

use crate::Error;
use shims::Shim;

type Signature = (Vec<ValType>, Vec<ValType>);

/// The rewritten module.
pub(crate) struct Rewritten {
    pub(crate) module: Vec<u8>,
    /// See [`crate::symbols::Symbols`].
    pub(crate) symbols: String,
}

/// Functions that the rewriting imports from the host in addition.
fn host_functions() -> [(&'static str, Signature); 4] {
    use ValType::{I32, I64};
    [
        ("futex_wait", (vec![I32, I32, I64], vec![I32])),
        ("futex_wake", (vec![I32, I32], vec![I32])),
        ("exception_last", (vec![], vec![I32])),
        ("end_catch", (vec![], vec![I32])),
    ]
}

/// Imports that become functions ending in `throw` (after telling the host).
const THROWERS: &[&str] = &[
    "__cxa_throw",
    "__cxa_rethrow",
    "__resumeException",
    "_emscripten_throw_longjmp",
    "__cxa_rethrow_primary_exception",
];

fn vanishes(import: &str) -> bool {
    import.starts_with("invoke_")
        || import.starts_with("__cxa_find_matching_catch_")
        || import == "__cxa_end_catch"
        || import == "_emscripten_init_main_thread_js"
}

/// Everything that the passes know of the module. Indices are of functions unless said.
#[derive(Default)]
struct Rewriter {
    old_imports: u32,
    new_imports: u32,
    old_defined: u32,
    /// Old import index to new function index.
    import_map: Vec<u32>,
    /// Type and kind of each replacement, in order after the old defined functions.
    shims: Vec<(u32, Shim)>,
    /// Signatures by type index, the module's own first.
    types: Vec<Signature>,
    own_types: usize,
    type_indices: HashMap<Signature, u32>,
    import_names: Vec<(String, u32)>,
    exports: HashMap<String, u32>,
    dropped_imports: HashSet<u32>,
    /// Name and type of added imports.
    host_imports: Vec<(&'static str, u32)>,
    /// Index of the global.
    stack_pointer: u32,
    /// Entries of the table before.
    table_size: u32,
    /// Functions that get a new slot, by old index.
    added_slots: Vec<u32>,
    /// Old index of the function that is being encoded.
    current: u32,
    /// Old index of the start function.
    start: u32,
    /// Slots of imported functions whose address the module takes through a global.
    import_slots: HashMap<String, u32>,
    /// Values of the globals that were imported.
    global_values: Vec<u32>,
    /// Indices of the mutable globals.
    mutable_globals: Vec<u32>,
}

impl Rewriter {
    fn add_type(&mut self, parameters: &[ValType], results: &[ValType]) -> u32 {
        let signature = (parameters.to_vec(), results.to_vec());
        if let Some(index) = self.type_indices.get(&signature) {
            return *index;
        }
        let index = self.types.len() as u32;
        self.types.push(signature.clone());
        self.type_indices.insert(signature, index);
        index
    }

    fn index_of(&self, signature: &Signature) -> Option<u32> {
        self.type_indices.get(signature).copied()
    }

    fn signature(&self, index: u32) -> Result<Signature, String> {
        self.types.get(index as usize).cloned().ok_or_else(|| format!("no type {index}"))
    }

    /// The new index of a function.
    fn renumbered(&self, old: u32) -> u32 {
        if old < self.old_imports {
            self.import_map[old as usize]
        } else {
            old - self.old_imports + self.new_imports
        }
    }

    fn export(&self, name: &str) -> Result<u32, String> {
        self.exports.get(name).map(|old| self.renumbered(*old)).ok_or_else(|| format!("no export `{name}`"))
    }

    fn host(&self, name: &str) -> Result<u32, String> {
        let position = self
            .host_imports
            .iter()
            .position(|h| h.0 == name)
            .ok_or_else(|| format!("no host function `{name}`"))?;
        Ok(self.new_imports - self.host_imports.len() as u32 + position as u32)
    }

    /// Decides which imports are replaced by what, and renumbers.
    fn plan(&mut self) -> Result<(), String> {
        for (name, (parameters, results)) in host_functions() {
            let index = self.add_type(&parameters, &results);
            self.host_imports.push((name, index));
        }
        self.add_type(&[ValType::I32; 3], &[]);
        self.add_type(&[ValType::I32], &[ValType::I32]);
        self.add_type(&[], &[]);
        let names = self.import_names.clone();
        let mut kept = vec![u32::MAX; names.len()];
        let mut next = 0;
        for (k, (name, type_index)) in names.iter().enumerate() {
            if vanishes(name) {
                self.dropped_imports.insert(k as u32);
            } else {
                kept[k] = next;
                next += 1;
            }
            if name.starts_with("invoke_") {
                let (parameters, results) = self.signature(*type_index)?;
                self.add_type(&parameters[1..], &results);
            }
        }
        self.new_imports = next + self.host_imports.len() as u32;
        for (k, (name, type_index)) in names.iter().enumerate() {
            let shim = match name.as_str() {
                n if n.starts_with("invoke_") => Shim::Invoke,
                n if n.starts_with("__cxa_find_matching_catch_") => Shim::FindCatch,
                n if THROWERS.contains(&n) => Shim::Thrower(kept[k]),
                "__cxa_begin_catch" => Shim::BeginCatch(kept[k]),
                "__cxa_end_catch" => Shim::EndCatch,
                "_emscripten_init_main_thread_js" => Shim::InitMainThread,
                _ => {
                    self.import_map.push(kept[k]);
                    continue;
                }
            };
            self.import_map.push(self.new_imports + self.old_defined + self.shims.len() as u32);
            self.shims.push((*type_index, shim));
        }
        Ok(())
    }
}

/// Rewrites `lean.wasm`.
///
/// # Errors
/// [`Error::Rewrite`] when it is not built as expected.
pub(crate) fn rewrite(wasm: &[u8]) -> Result<Rewritten, Error> {
    let fault = |e: String| Error::Rewrite(e);
    let (mut rewriter, mut symbols) = scan::scan(wasm).map_err(fault)?;
    rewriter.plan().map_err(fault)?;
    let mut module = Module::new();
    rewriter.parse_core_module(&mut module, Parser::new(0), wasm).map_err(|e| fault(e.to_string()))?;
    symbols.sort();
    let lines: Vec<String> =
        symbols.into_iter().map(|(name, kind, value)| format!("{name} {kind} {value}\n")).collect();
    Ok(Rewritten { module: module.finish(), symbols: lines.concat() })
}
