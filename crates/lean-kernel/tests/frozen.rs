//! A base as bytes: the same base comes back, and nothing else does.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed test is a panic

use std::io::Cursor;

use atlas_lean_kernel::ndjson::{Bounds, Reader};
use atlas_lean_kernel::{AllowedAxioms, Base, FrozenError, Limits, Policy, Verdict, check};
use sha2::{Digest as _, Sha256};

fn text(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/{name}.ndjson", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn frozen(base: &Base) -> Vec<u8> {
    let mut bytes = vec![];
    base.write_frozen(&mut bytes).unwrap();
    bytes
}

fn judge(base: &Base, text: &[u8]) -> Verdict {
    let mut reader = Reader::new(base, &Bounds::default());
    reader.read(&mut Cursor::new(text)).unwrap();
    let (mut terms, declarations) = reader.finish();
    let policy = Policy { axioms: AllowedAxioms::Any, trust_arithmetic: true, ..Policy::default() };
    check(&mut terms, &declarations, &policy, &Limits::default())
}

#[test]
fn a_base_comes_back_as_it_was_with_what_was_certified_on_top() {
    for name in ["inductive", "proofs", "quotient"] {
        let text = text(name);
        let trusted = Base::load(&mut Cursor::new(&text), None, &Bounds::default()).unwrap();
        let empty = Base::empty();
        let Verdict::Accepted(accepted) = judge(&empty, &text) else { panic!("{name} is right") };
        let certified = empty.extend(&accepted.certified).unwrap();
        for base in [empty, trusted, certified] {
            let bytes = frozen(&base);
            let thawed = Base::read_frozen(&bytes).unwrap();
            assert_eq!(thawed.len(), base.len());
            assert!(frozen(&thawed) == bytes, "{name}: the same bytes again");
            // The same declarations are known, or certified with the same axioms.
            let (before, after) = (judge(&base, &text), judge(&thawed, &text));
            let (Verdict::Accepted(before), Verdict::Accepted(after)) = (before, after) else {
                panic!("{name} is right")
            };
            assert_eq!(before.declarations, after.declarations);
        }
    }
}

#[test]
fn what_was_changed_is_no_base() {
    let base = Base::load(&mut Cursor::new(&text("inductive")), None, &Bounds::default()).unwrap();
    let bytes = frozen(&base);
    let fault = |bytes: &[u8]| Base::read_frozen(bytes).err();
    assert_eq!(fault(&[]), Some(FrozenError::Version));
    assert_eq!(fault(&[b"atlas-base-v000\n".as_slice(), &bytes[16..]].concat()), Some(FrozenError::Version));
    assert_eq!(fault(&bytes[..bytes.len() - 1]), Some(FrozenError::Digest));
    let middle = bytes.len() / 2;
    let mut damaged = bytes.clone();
    damaged[middle] ^= 1;
    assert_eq!(fault(&damaged), Some(FrozenError::Digest));

    // With a digest that fits, what is read must still be whole: an id out of its range, a length beyond the end, an entry that is
    // there twice are found, and no content whatever makes the reader panic.
    let content = &bytes[..bytes.len() - 32];
    let sealed = |content: &[u8]| [content, &Sha256::digest(content)].concat();
    let mut refused = 0;
    let step = (content.len() / 4000).max(1);
    for at in (16..content.len()).step_by(step) {
        let mut other = content.to_vec();
        other[at] ^= 0xA5;
        refused += usize::from(fault(&sealed(&other)).is_some());
    }
    assert!(refused > 2000, "{refused} of 4000 changes were found");
    for end in [16, 17, 40, middle, content.len() - 1] {
        assert!(matches!(fault(&sealed(&content[..end])), Some(FrozenError::Malformed(_))), "cut at {end}");
    }
}
