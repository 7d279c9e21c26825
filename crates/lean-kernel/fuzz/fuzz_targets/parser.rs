//! `cargo fuzz run parser`: bytes as a lean4export file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    include!("../entry.rs");
});
