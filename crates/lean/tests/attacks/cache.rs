//! The verifier's cache in other hands: the compiled form of a certified module is not what it was.

use std::path::{Path, PathBuf};

use atlas_lean::{Embedded, EmbeddedOptions, Toolchain as _};
use atlas_proto::{CheckReply, Outcome};

use crate::common::{certify, elaborate, image, library};
use crate::layer::{Layer, says};

/// A certified module of one theorem, and one that rests on it.
const BELOW: &str = "theorem below : True := trivial\n";
const ABOVE: &str = "theorem above : True := below\n";
/// The same names, false.
const FALSE: &str =
    "set_option debug.skipKernelTC true in\ntheorem below : (1 : Nat) = 2 := by decide +kernel\n";
const FALSE_ABOVE: &str = "theorem above : (1 : Nat) = 2 := below\n";

/// Makes other bytes of a compiled module's.
type Craft<'c> = &'c dyn Fn(&[u8]) -> Vec<u8>;

fn open(cache: &Path) -> Embedded {
    let options = EmbeddedOptions::new(&image(), cache).unwrap();
    Embedded::with_options(&options).expect("run `scripts/setup lean`")
}

fn compiled(cache: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(cache).unwrap().flat_map(|f| std::fs::read_dir(f.unwrap().path()).unwrap());
    files.map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "olean")).collect()
}

/// The compiled form of the one module below, as the cache in `folder` keeps it after the check.
fn below_compiled(folder: &Path, below: &str, above: &str, certified: bool) -> PathBuf {
    let modules = library(&[("N.Below", &[], below), ("N.Above", &["N.Below"], above)]);
    let request = if certified { certify(modules) } else { elaborate(modules) };
    // Certified modules are compiled, others only when they are imported.
    let check = if certified { "N.Below" } else { "N.Above" };
    let request = atlas_proto::CheckRequest { check: vec![check.into()], ..request };
    let reply = open(folder).check(&request);
    assert_eq!(reply.outcome(), Outcome::Accepted, "{reply:#?}");
    let mut files = compiled(folder);
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// Certifies `above` on a cache in which the certified `N.Below` has these bytes as its compiled form.
fn on_tampered(bytes: Craft<'_>, above: &str) -> CheckReply {
    let folder = tempfile::tempdir().unwrap();
    let file = below_compiled(folder.path(), BELOW, ABOVE, true);
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, bytes(&good)).unwrap();
    // Another process, which has nothing warm.
    open(folder.path()).check(&certify(library(&[("N.Below", &[], BELOW), ("N.Above", &["N.Below"], above)])))
}

#[test]
fn a_compiled_module_that_was_exchanged_lends_nothing_to_those_above() {
    let evil = tempfile::tempdir().unwrap();
    let evil = std::fs::read(below_compiled(evil.path(), FALSE, FALSE_ABOVE, false)).unwrap();
    let reply = on_tampered(&|_| evil.clone(), FALSE_ABOVE);
    assert_ne!(reply.outcome(), Outcome::Accepted, "{reply:#?}");
    let stopped = [Layer::Kernel, Layer::SecondKernel].iter().any(|l| l.spoke(&reply));
    assert!(stopped || says(&reply, "another digest"), "{reply:#?}");
}

#[test]
fn a_compiled_module_with_crafted_bytes_harms_only_the_check_that_imports_it() {
    // Lean maps such files and follows the pointers in them.
    let crafted: [Craft<'_>; 3] = [
        &|good| good[..good.len() / 2].to_vec(),
        &|good| good.iter().enumerate().map(|(k, b)| if k > 80 && k % 7 == 0 { !b } else { *b }).collect(),
        &|good| [&good[..80], &vec![0xff; good.len() - 80]].concat(),
    ];
    for bytes in crafted {
        let reply = on_tampered(bytes, "theorem above : (1 : Nat) = 2 := absurd below (by decide)\n");
        assert_ne!(reply.outcome(), Outcome::Accepted, "{reply:#?}");
    }
}

#[test]
fn a_module_under_a_toolchain_modules_name_is_checked_as_any_other() {
    for name in ["Init.Evil", "Init.Prelude", "Lean.Evil", "Std"] {
        let modules = library(&[(name, &[], FALSE), ("N.Above", &[name], FALSE_ABOVE)]);
        let reply = open(tempfile::tempdir().unwrap().path()).check(&certify(modules));
        assert_eq!(reply.outcome(), Outcome::Rejected, "{name}: {reply:#?}");
        assert!(Layer::Kernel.spoke(&reply), "{name}: {reply:#?}");
    }
}
