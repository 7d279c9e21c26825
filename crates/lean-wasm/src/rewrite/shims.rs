//! Functions that take the place of imports: exceptions in WebAssembly's own terms, and the start of a thread.

use wasm_encoder::{BlockType, Catch, Function, HeapType, Instruction as I, MemArg, ValType};

use super::Rewriter;

/// What takes the place of an import. Those with an index first tell the host function of that index.
#[derive(Clone, Copy)]
pub(super) enum Shim {
    /// `invoke_*`: calls a function pointer and catches what it throws.
    Invoke,
    /// `__cxa_throw` and the like: tells the host, then throws.
    Thrower(u32),
    /// `__cxa_find_matching_catch_*`: which of the wanted types the exception is.
    FindCatch,
    /// `__cxa_begin_catch`.
    BeginCatch(u32),
    /// `__cxa_end_catch`.
    EndCatch,
    /// `_emscripten_init_main_thread_js`.
    InitMainThread,
}

fn word(offset: u64) -> MemArg {
    MemArg { offset, align: 2, memory_index: 0 }
}

impl Rewriter {
    /// Signatures to try, best first, when a function pointer is called with `parameters` for `results`.
    fn alternatives(&self, parameters: &[ValType], results: &[ValType]) -> Vec<(Vec<ValType>, Vec<ValType>)> {
        let all_i32 = |types: &[ValType]| types.iter().all(|t| *t == ValType::I32);
        let mut found = vec![];
        if !all_i32(parameters) || !all_i32(results) {
            return found;
        }
        let count = parameters.len();
        let other = if results.is_empty() { vec![ValType::I32] } else { vec![] };
        for tried in (0..=count).rev().chain(count + 1..=count + 2) {
            for results in [results.to_vec(), other.clone()] {
                let signature = (vec![ValType::I32; tried], results);
                if self.index_of(&signature).is_some() {
                    found.push(signature);
                }
            }
        }
        found
    }

    /// The body of the function that takes the place of an import of type `type_index`.
    pub(super) fn shim(&self, type_index: u32, shim: Shim) -> Result<Function, String> {
        let (parameters, results) = self.signature(type_index)?;
        match shim {
            Shim::Invoke => self.invoke(&parameters, &results),
            Shim::Thrower(host) => {
                let mut f = Function::new([]);
                for local in 0..parameters.len() as u32 {
                    f.instruction(&I::LocalGet(local));
                }
                f.instruction(&I::Call(host)).instruction(&I::Throw(0)).instruction(&I::End);
                Ok(f)
            }
            Shim::FindCatch => self.find_catch(parameters.len() as u32),
            Shim::BeginCatch(host) => {
                let mut f = Function::new([]);
                f.instruction(&I::LocalGet(0)).instruction(&I::Call(host)).instruction(&I::Drop);
                f.instruction(&I::LocalGet(0))
                    .instruction(&I::Call(self.export("__cxa_increment_exception_refcount")?));
                f.instruction(&I::LocalGet(0)).instruction(&I::Call(self.export("__cxa_get_exception_ptr")?));
                f.instruction(&I::End);
                Ok(f)
            }
            Shim::EndCatch => {
                let mut f = Function::new([]);
                f.instruction(&I::I32Const(0))
                    .instruction(&I::I32Const(0))
                    .instruction(&I::Call(self.export("setThrew")?));
                f.instruction(&I::Call(self.host("end_catch")?));
                f.instruction(&I::Call(self.export("__cxa_decrement_exception_refcount")?))
                    .instruction(&I::End);
                Ok(f)
            }
            Shim::InitMainThread => {
                // What lean.js does: main thread, browser-like, may block, stack of 64 KB, no profiling.
                let mut f = Function::new([]);
                f.instruction(&I::LocalGet(0));
                for constant in [1, 1, 1, 65536, 0] {
                    f.instruction(&I::I32Const(constant));
                }
                f.instruction(&I::Call(self.export("_emscripten_thread_init")?));
                f.instruction(&I::Call(self.export("_emscripten_tls_init")?))
                    .instruction(&I::Drop)
                    .instruction(&I::End);
                Ok(f)
            }
        }
    }

    fn invoke(&self, parameters: &[ValType], results: &[ValType]) -> Result<Function, String> {
        let count = parameters.len() as u32;
        let mut f = Function::new([(1, ValType::I32)]);
        f.instruction(&I::GlobalGet(self.stack_pointer)).instruction(&I::LocalSet(count));
        f.instruction(&I::Block(BlockType::Empty));
        f.instruction(&I::TryTable(BlockType::Empty, vec![Catch::One { tag: 0, label: 0 }].into()));
        // JavaScript's calls tolerate a wrong number of arguments, and Lean's C++ relies on it: it passes the `IO` world
        // token to compiled functions that no longer take one. So the type is tested before the call, the right one first.
        for (tried, gives) in self.alternatives(&parameters[1..], results) {
            let Some(index) = self.index_of(&(tried.clone(), gives.clone())) else { continue };
            f.instruction(&I::LocalGet(0)).instruction(&I::TableGet(0));
            f.instruction(&I::RefTestNonNull(HeapType::Concrete(index)))
                .instruction(&I::If(BlockType::Empty));
            for local in 1..=tried.len() as u32 {
                if local < count {
                    f.instruction(&I::LocalGet(local))
                } else {
                    f.instruction(&I::I32Const(0))
                };
            }
            f.instruction(&I::LocalGet(0))
                .instruction(&I::CallIndirect { type_index: index, table_index: 0 });
            match (gives.len(), results.len()) {
                (1, 0) => drop(f.instruction(&I::Drop)),
                (0, 1) => drop(f.instruction(&I::I32Const(0))),
                _ => {}
            }
            f.instruction(&I::Return).instruction(&I::End);
        }
        let exact = (parameters[1..].to_vec(), results.to_vec());
        let type_index = self.index_of(&exact).ok_or("no type for what an `invoke_*` calls")?;
        for local in (1..count).chain([0]) {
            f.instruction(&I::LocalGet(local));
        }
        f.instruction(&I::CallIndirect { type_index, table_index: 0 });
        f.instruction(&I::Return).instruction(&I::End).instruction(&I::End);
        f.instruction(&I::LocalGet(count)).instruction(&I::GlobalSet(self.stack_pointer));
        f.instruction(&I::I32Const(1))
            .instruction(&I::I32Const(0))
            .instruction(&I::Call(self.export("setThrew")?));
        match results.first() {
            Some(ValType::I32) => drop(f.instruction(&I::I32Const(0))),
            Some(ValType::I64) => drop(f.instruction(&I::I64Const(0))),
            Some(ValType::F32) => drop(f.instruction(&I::F32Const(0.0f32.into()))),
            Some(ValType::F64) => drop(f.instruction(&I::F64Const(0.0f64.into()))),
            _ => {}
        }
        f.instruction(&I::End);
        Ok(f)
    }

    /// The exception's header lies 24 bytes below it: type at +4, adjusted pointer at +16.
    fn find_catch(&self, wanted: u32) -> Result<Function, String> {
        let (thrown, kind) = (wanted, wanted + 1);
        let set_type = self.export("_emscripten_tempret_set")?;
        let can_catch = self.export("__cxa_can_catch")?;
        let mut f = Function::new([(2, ValType::I32)]);
        let header = |f: &mut Function| {
            f.instruction(&I::LocalGet(thrown)).instruction(&I::I32Const(24)).instruction(&I::I32Sub);
        };
        f.instruction(&I::Call(self.host("exception_last")?)).instruction(&I::LocalTee(thrown));
        f.instruction(&I::I32Eqz).instruction(&I::If(BlockType::Empty));
        f.instruction(&I::I32Const(0)).instruction(&I::Call(set_type)).instruction(&I::I32Const(0));
        f.instruction(&I::Return).instruction(&I::End);
        header(&mut f);
        f.instruction(&I::LocalGet(thrown)).instruction(&I::I32Store(word(16)));
        header(&mut f);
        f.instruction(&I::I32Load(word(4))).instruction(&I::LocalTee(kind));
        f.instruction(&I::I32Eqz).instruction(&I::If(BlockType::Empty));
        f.instruction(&I::I32Const(0)).instruction(&I::Call(set_type)).instruction(&I::LocalGet(thrown));
        f.instruction(&I::Return).instruction(&I::End);
        f.instruction(&I::Block(BlockType::Empty));
        for local in 0..wanted {
            // 0 catches everything; so does an equal type.
            f.instruction(&I::LocalGet(local)).instruction(&I::I32Eqz).instruction(&I::BrIf(0));
            f.instruction(&I::LocalGet(local))
                .instruction(&I::LocalGet(kind))
                .instruction(&I::I32Eq)
                .instruction(&I::BrIf(0));
            f.instruction(&I::LocalGet(local)).instruction(&I::LocalGet(kind));
            f.instruction(&I::LocalGet(thrown)).instruction(&I::I32Const(8)).instruction(&I::I32Sub);
            f.instruction(&I::Call(can_catch)).instruction(&I::If(BlockType::Empty));
            f.instruction(&I::LocalGet(local))
                .instruction(&I::Call(set_type))
                .instruction(&I::LocalGet(thrown));
            f.instruction(&I::Return).instruction(&I::End);
        }
        f.instruction(&I::End);
        f.instruction(&I::LocalGet(kind)).instruction(&I::Call(set_type)).instruction(&I::LocalGet(thrown));
        f.instruction(&I::End);
        Ok(f)
    }

    /// `thread_entry(pthread, start_routine, argument)`: what a worker does in lean.js when it is told to run. The stack's
    /// upper end lies at `pthread` + 52, its size at + 56.
    pub(super) fn thread_entry(&self) -> Result<Function, String> {
        let routine =
            self.index_of(&(vec![ValType::I32], vec![ValType::I32])).ok_or("no type for thread routines")?;
        let mut f = Function::new([]);
        f.instruction(&I::LocalGet(0)).instruction(&I::I32Load(word(52)));
        f.instruction(&I::LocalGet(0)).instruction(&I::I32Load(word(52)));
        f.instruction(&I::LocalGet(0)).instruction(&I::I32Load(word(56))).instruction(&I::I32Sub);
        f.instruction(&I::Call(self.export("emscripten_stack_set_limits")?));
        f.instruction(&I::LocalGet(0))
            .instruction(&I::I32Load(word(52)))
            .instruction(&I::GlobalSet(self.stack_pointer));
        f.instruction(&I::LocalGet(0));
        for constant in [0, 0, 1, 0, 0] {
            f.instruction(&I::I32Const(constant));
        }
        f.instruction(&I::Call(self.export("_emscripten_thread_init")?));
        f.instruction(&I::Call(self.export("_emscripten_tls_init")?)).instruction(&I::Drop);
        f.instruction(&I::LocalGet(2)).instruction(&I::LocalGet(1));
        f.instruction(&I::CallIndirect { type_index: routine, table_index: 0 });
        f.instruction(&I::Call(self.export("_emscripten_thread_exit")?)).instruction(&I::End);
        Ok(f)
    }
}
