//! Declarations per second, and a submission on top of a base that is held loaded.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, Cursor};

use atlas_lean_kernel::ndjson::{Bounds, Reader};
use atlas_lean_kernel::{AllowedAxioms, Base, Limits, Policy, check};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn data(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/{name}.ndjson", env!("CARGO_MANIFEST_DIR"))).unwrap_or_default()
}

fn policy() -> Policy {
    Policy { axioms: AllowedAxioms::Any, trust_arithmetic: true, ..Policy::default() }
}

fn files(c: &mut Criterion) {
    for name in ["inductive", "proofs", "quotient"] {
        let text = data(name);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let read = || {
            let mut reader = Reader::new(&Base::empty(), &Bounds::default());
            let ok = reader.read(&mut Cursor::new(&text)).is_ok();
            (reader.finish(), ok)
        };
        group.bench_function("read", |b| b.iter(|| black_box(read().1)));
        let ((mut terms, declarations), _) = read();
        group.throughput(Throughput::Elements(declarations.len() as u64));
        group.bench_function("check", |b| {
            b.iter(|| assert!(check(&mut terms, &declarations, &policy(), &Limits::default()).is_accepted()));
        });
    }
}

/// A library to check against, and a submission: files named by `ATLAS_KERNEL_BASE`, `ATLAS_KERNEL_KINDS` and
/// `ATLAS_KERNEL_SUBMISSION`, for they are too big to keep.
fn submission(c: &mut Criterion) {
    let open = |name: &str| std::env::var_os(name).and_then(|p| File::open(p).ok()).map(BufReader::new);
    let (Some(mut base), Some(mut kinds)) = (open("ATLAS_KERNEL_BASE"), open("ATLAS_KERNEL_KINDS")) else {
        return;
    };
    let Ok(base) = Base::load(&mut base, Some(&mut kinds), &Bounds::default()) else { return };
    let Some(text) = std::env::var_os("ATLAS_KERNEL_SUBMISSION").and_then(|p| std::fs::read(p).ok()) else {
        return;
    };
    c.bench_function("a submission, read and checked", |b| {
        b.iter(|| {
            let mut reader = Reader::new(&base, &Bounds::default());
            assert!(reader.read(&mut Cursor::new(&text)).is_ok());
            let (mut terms, declarations) = reader.finish();
            assert!(check(&mut terms, &declarations, &Policy::default(), &Limits::default()).is_accepted());
        });
    });
}

criterion_group!(kernel, files, submission);
criterion_main!(kernel);
