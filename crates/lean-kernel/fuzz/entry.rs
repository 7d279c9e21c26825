{
    // Reads `bytes` as a file and checks what it declares. The only thing that may go wrong is a panic.
    let bounds = atlas_lean_kernel::ndjson::Bounds { bytes: 1 << 20, nodes: 1 << 16, ..Default::default() };
    let mut reader = atlas_lean_kernel::ndjson::Reader::new(&atlas_lean_kernel::Base::empty(), &bounds);
    if reader.read(&mut std::io::Cursor::new(bytes)).is_ok() {
        let (mut terms, declarations) = reader.finish();
        let policy = atlas_lean_kernel::Policy { axioms: atlas_lean_kernel::AllowedAxioms::Any, ..Default::default() };
        let limits = atlas_lean_kernel::Limits { steps: 1_000_000, total_steps: 10_000_000, ..Default::default() };
        let verdict = atlas_lean_kernel::check(&mut terms, &declarations, &policy, &limits);
        if let atlas_lean_kernel::Verdict::Undecided(u) = verdict {
            assert!(u.limit != atlas_lean_kernel::Limit::Fault, "the checker panicked");
        }
    }
}
