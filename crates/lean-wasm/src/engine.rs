//! The one configuration under which the guest is compiled and run.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine, OptLevel};

use crate::Error;

/// The wasmtime that compiled code is tied to, as pinned in Cargo.toml.
pub(crate) const WASMTIME: &str = "48.0.8";

fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_threads(true)
        .shared_memory(true)
        .wasm_exceptions(true)
        .wasm_function_references(true)
        .wasm_gc(true);
    config.generate_address_map(false).native_unwind_info(false);
    config.concurrency_support(false);
    // Lean guards against deep recursion by its shadow stack (8 MB a thread); the native stack, which is committed
    // lazily, must not run out first.
    config.max_wasm_stack(512 << 20).async_stack_size(520 << 20);
    config.cranelift_opt_level(OptLevel::Speed);
    // Deadlines: running code looks at the epoch in loops and at function entries (about 5 % slower).
    config.epoch_interruption(true);
    config
}

/// An engine with this configuration.
pub(crate) fn engine() -> Result<Engine, Error> {
    Engine::new(&config()).map_err(Error::wasm("set up wasmtime"))
}

/// Names what compiled code depends on: wasmtime's version, its settings and the CPU's features.
pub(crate) fn compatibility(engine: &Engine) -> String {
    struct Digester(Sha256);
    impl Hasher for Digester {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut digester = Digester(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut digester);
    hex::encode(digester.0.finalize())
}
