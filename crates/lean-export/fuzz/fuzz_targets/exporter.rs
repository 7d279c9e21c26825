//! `cargo fuzz run exporter`: bytes as the memory of a guest.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    include!("../entry.rs");
});
