//! The file format: what is refused, with which line; and that what is written is read back.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed test is a panic

mod support;

use std::fs::File;
use std::io::{BufReader, Cursor};

use atlas_lean_kernel::ndjson::{Bounds, ReadError, ReadErrorKind, Reader, write};
use atlas_lean_kernel::{
    AllowedAxioms, Base, Declarations, Limits, Policy, Terms, Verdict, check, digest, examine,
};
use support::World;

fn read_with(text: &[u8], bounds: &Bounds) -> Result<(Terms, Declarations), ReadError> {
    let mut reader = Reader::new(&Base::empty(), bounds);
    reader.read(&mut Cursor::new(text))?;
    Ok(reader.finish())
}

fn read(text: &[u8]) -> Result<(Terms, Declarations), ReadError> {
    read_with(text, &Bounds::default())
}

const META: &str = "{\"meta\":{\"exporter\":{\"name\":\"x\",\"version\":\"1\"},\"lean\":{\"githash\":\"\",\"version\":\"4\"},\"format\":{\"version\":\"3.1.0\"}}}\n";

/// A small file that is right, for others to be made from.
const FILE: &str = r#"{"str":{"pre":0,"str":"T"},"in":1}
{"in":2,"str":{"pre":1,"str":"mk"}}
{"succ":0,"il":1}
{"sort":0,"ie":0}
{"sort":1,"ie":1}
{"bvar":0,"ie":2}
{"forallE":{"name":0,"type":0,"body":2,"binderInfo":"default"},"ie":3}
{"lam":{"name":0,"type":0,"body":2,"binderInfo":"implicit"},"ie":4}
{"forallE":{"name":2,"type":0,"body":0,"binderInfo":"strictImplicit"},"ie":5}
{"def":{"name":1,"levelParams":[],"type":5,"value":4,"hints":{"regular":1},"safety":"safe","all":[1]}}
{"natVal":"18446744073709551616","ie":6}
{"strVal":"a\"\\\u00e9\ud83d\ude00\n","ie":7}
"#;

#[test]
fn a_right_file_is_read_and_checked() {
    let (mut terms, declarations) = read((META.to_owned() + FILE).as_bytes()).unwrap();
    assert_eq!(declarations.len(), 1);
    assert!(check(&mut terms, &declarations, &Policy::default(), &Limits::default()).is_accepted());
}

#[test]
fn what_is_wrong_is_refused_with_its_line() {
    use ReadErrorKind::{Malformed, TooBig, Unsupported};
    // Replaced text, replacement, line, kind, part of the message.
    let cases: &[(&str, &str, u64, ReadErrorKind, &str)] = &[
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":0,\"ie\":3}", 7, Malformed, "one after another"),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":0,\"ie\":1}", 7, Malformed, "one after another"),
        (
            "{\"bvar\":0,\"ie\":2}",
            "{\"bvar\":0,\"ie\":18446744073709551615}",
            7,
            Malformed,
            "one after another",
        ),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":0,\"ie\":18446744073709551616}", 7, Malformed, "too big"),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":-1,\"ie\":2}", 7, Malformed, "no value"),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":0.5,\"ie\":2}", 7, Malformed, "expected"),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":1073741824,\"ie\":2}", 7, Malformed, "too big"),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":00,\"ie\":2}", 7, Malformed, "leading zero"),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":0,\"bvar\":0,\"ie\":2}", 7, Malformed, "twice"),
        ("{\"bvar\":0,\"ie\":2}", "{\"fvar\":0,\"ie\":2}", 7, Unsupported, "unknown kind"),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":0,\"il\":2}", 7, Unsupported, "unknown kind"),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":0,\"ie\":2} x", 7, Malformed, "after the object"),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":0,\"ie\":2,\"in\":4}", 7, Malformed, "neither"),
        ("{\"bvar\":0,\"ie\":2}", "[0]", 7, Malformed, "object"),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":null,\"ie\":2}", 7, Malformed, "no value"),
        ("{\"bvar\":0,\"ie\":2}", "{\"bvar\":[[[[[[[[[[0]]]]]]]]]],\"ie\":2}", 7, Malformed, "nested"),
        (
            "\"body\":2,\"binderInfo\":\"default\"},\"ie\":3",
            "\"body\":3,\"binderInfo\":\"default\"},\"ie\":3",
            8,
            Malformed,
            "not been given out",
        ),
        (
            "\"body\":2,\"binderInfo\":\"default\"},\"ie\":3",
            "\"body\":9,\"binderInfo\":\"default\"},\"ie\":3",
            8,
            Malformed,
            "not been given out",
        ),
        ("\"binderInfo\":\"default\"},\"ie\":3", "\"binderInfo\":\"odd\"},\"ie\":3", 8, Malformed, "binder"),
        (
            "\"binderInfo\":\"default\"},\"ie\":3",
            "\"binderInfo\":\"default\",\"more\":1},\"ie\":3",
            8,
            Unsupported,
            "unknown key more",
        ),
        (
            ",\"body\":2,\"binderInfo\":\"default\"},\"ie\":3",
            ",\"binderInfo\":\"default\"},\"ie\":3",
            8,
            Malformed,
            "body is missing",
        ),
        ("\"pre\":0,\"str\":\"T\"", "\"pre\":1,\"str\":\"T\"", 2, Malformed, "not been given out"),
        ("\"pre\":0,\"str\":\"T\"", "\"pre\":0,\"str\":\"\\ud800\"", 2, Malformed, "surrogate"),
        ("\"pre\":0,\"str\":\"T\"", "\"pre\":0,\"str\":\"\\x\"", 2, Malformed, "escape"),
        ("\"pre\":0,\"str\":\"T\"", "\"pre\":0,\"str\":\"\u{1}\"", 2, Malformed, "control"),
        ("{\"succ\":0,\"il\":1}", "{\"succ\":1,\"il\":1}", 4, Malformed, "not been given out"),
        ("{\"succ\":0,\"il\":1}", "{\"max\":[0],\"il\":1}", 4, Malformed, "two levels"),
        ("{\"succ\":0,\"il\":1}", "{\"mvar\":0,\"il\":1}", 4, Unsupported, "unknown kind"),
        ("\"safety\":\"safe\"", "\"safety\":\"unsafe\"", 11, Unsupported, "not safe"),
        ("\"safety\":\"safe\"", "\"safety\":\"partial\"", 11, Unsupported, "not safe"),
        ("\"safety\":\"safe\",", "", 11, Malformed, "safety is missing"),
        ("{\"def\":", "{\"deff\":", 11, Unsupported, "unknown kind"),
        ("\"type\":5,", "\"type\":2,", 11, Malformed, "without a binder"),
        ("\"value\":4,", "\"value\":2,", 11, Malformed, "without a binder"),
        ("{\"def\":{\"name\":1,", "{\"def\":{\"name\":0,", 11, Malformed, "without a name"),
        ("{\"natVal\":\"18446744073709551616\"", "{\"natVal\":\"0x10\"", 12, Malformed, "no number"),
        ("{\"natVal\":\"18446744073709551616\"", "{\"natVal\":\"\"", 12, Malformed, "no number"),
        ("{\"natVal\":\"18446744073709551616\"", "{\"natVal\":5", 12, Malformed, "string"),
        ("\"version\":\"3.1.0\"}}}", "\"version\":\"3.2.0\"}}}", 1, Unsupported, "format"),
        ("{\"meta\":", "{\"mete\":", 1, Malformed, "not meta"),
    ];
    let right = META.to_owned() + FILE;
    for (from, to, line, kind, message) in cases {
        assert!(right.contains(from), "{from}");
        let e = read(right.replacen(from, to, 1).as_bytes()).err().unwrap_or_else(|| panic!("{to}: read"));
        assert!(
            e.line == *line && e.kind == *kind && e.message.contains(message),
            "{to}: {e} ({:?})",
            e.kind
        );
    }
    let long = right.replace("18446744073709551616", &"9".repeat(200_001));
    assert_eq!(read(long.as_bytes()).err().unwrap().kind, TooBig);
}

#[test]
fn cut_files_and_other_bytes_are_refused() {
    let right = META.to_owned() + FILE;
    for n in 0..right.len() {
        // A file that ends after a line is a shorter file; anything else is cut.
        let r = read(&right.as_bytes()[..n]);
        assert_eq!(r.is_ok(), n > 0 && right.as_bytes()[n - 1] == b'\n', "{n} bytes");
    }
    let mut latin1 = right.clone().into_bytes();
    let at = right.find("\"T\"").unwrap() + 1;
    latin1[at] = 0xe9;
    let e = read(&latin1).err().unwrap();
    assert!(e.line == 2 && e.message.contains("UTF-8"), "{e}");
    assert_eq!(read(b"").err().unwrap().kind, ReadErrorKind::Malformed);
}

#[test]
fn duplicates_are_refused() {
    let right = META.to_owned() + FILE;
    let def = FILE.lines().find(|l| l.starts_with("{\"def\"")).unwrap();
    let e = read(format!("{right}{def}\n").as_bytes()).err().unwrap();
    assert!(e.line == 14 && e.message.contains("declared twice"), "{e}");
}

#[test]
fn bounds_hold_before_memory_is_taken() {
    let right = META.to_owned() + FILE;
    let kind = |b: Bounds| read_with(right.as_bytes(), &b).err().map(|e| (e.line, e.kind));
    let d = Bounds::default;
    assert_eq!(kind(d()), None);
    assert_eq!(kind(Bounds { nodes: 4, ..d() }), Some((4, ReadErrorKind::TooBig)));
    assert_eq!(kind(Bounds { line: 40, ..d() }), Some((1, ReadErrorKind::TooBig)));
    assert_eq!(kind(Bounds { bytes: 200, ..d() }).map(|e| e.1), Some(ReadErrorKind::TooBig));
    assert_eq!(kind(Bounds { bytes: right.len() as u64, ..d() }), None);
    assert_eq!(kind(Bounds { digits: 19, ..d() }), Some((12, ReadErrorKind::TooBig)));
    assert_eq!(kind(Bounds { term_depth: 1, ..d() }), Some((8, ReadErrorKind::TooBig)));
    // A line without end: nothing is read beyond the bound.
    struct Endless(u64);
    impl std::io::Read for Endless {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.0 += buf.len() as u64;
            assert!(self.0 < 1 << 24, "read on and on");
            buf.fill(b'[');
            Ok(buf.len())
        }
    }
    let mut reader = Reader::new(&Base::empty(), &Bounds { line: 1 << 20, ..d() });
    let e = reader.read(&mut BufReader::new(Endless(0))).err().unwrap();
    assert_eq!(e.kind, ReadErrorKind::TooBig);
}

#[test]
fn absurd_counts_are_refused() {
    let block = r#"{"inductive":{"types":[{"name":1,"levelParams":[],"type":1,"numParams":COUNT,"numIndices":0,"all":[1],"ctors":[],"numNested":0,"isRec":false,"isUnsafe":false,"isReflexive":false}],"ctors":[],"recs":[]}}"#;
    for (n, ok) in [
        ("0", true),
        ("1000", true),
        ("1000000000", false),
        ("4294967295", false),
        ("18446744073709551615", false),
    ] {
        let text = format!("{META}{}{}\n", FILE.split("{\"def\"").next().unwrap(), block.replace("COUNT", n));
        assert_eq!(read(text.as_bytes()).is_ok(), ok, "{n}");
    }
}

fn data(name: &str) -> BufReader<File> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    BufReader::new(File::open(path).unwrap())
}

const DATA: [&str; 5] = ["axioms", "arithmetic", "inductive", "proofs", "quotient"];

/// Exports of a real Lean, whose library came without proofs: its theorems are `axiom` lines.
#[test]
fn what_lean_has_accepted_is_accepted() {
    for name in DATA {
        let mut reader = Reader::new(&Base::empty(), &Bounds::default());
        reader.read(&mut data(&format!("{name}.ndjson"))).unwrap();
        let (mut terms, declarations) = reader.finish();
        let policy = Policy { axioms: AllowedAxioms::Any, trust_arithmetic: true, ..Policy::default() };
        let report = examine(&mut terms, &declarations, &policy, &Limits::default());
        assert!(report.rejected.is_empty() && report.undecided.is_empty(), "{name}: {report:?}");
        assert!(report.declarations > 5, "{name}");
    }
}

#[test]
fn what_is_written_is_read_back_the_same() {
    for name in DATA {
        let mut reader = Reader::new(&Base::empty(), &Bounds::default());
        reader.read(&mut data(&format!("{name}.ndjson"))).unwrap();
        let (terms, declarations) = reader.finish();
        let names: Vec<_> = declarations.names().collect();
        let mut text = Vec::new();
        write(&terms, &declarations, &names, &mut text).unwrap();
        // Into the same terms: the same declarations have the same ids.
        let mut again = Reader::into_terms(terms, Declarations::over(&Base::empty()), &Bounds::default());
        again.read(&mut Cursor::new(&text)).unwrap();
        let (terms, copy) = again.finish();
        assert_eq!(copy.len(), declarations.len());
        for n in names {
            assert_eq!(copy.get(n), declarations.get(n), "{}", terms.show(n));
            assert_eq!(digest(&terms, &copy, n), digest(&terms, &declarations, n));
        }
    }
}

#[test]
fn a_part_is_written_with_what_it_rests_on() {
    let mut w = World::new().with("theorem t : Eq.{1} String \"a\" \"a\" := Eq.refl.{1} String \"a\" theorem s : Eq.{1} Nat 2 (Nat.add 1 1) := Eq.refl.{1} Nat 2");
    let t = w.name("t");
    let mut text = Vec::new();
    write(&w.terms, &w.declarations, &[t], &mut text).unwrap();
    let (mut terms, part) = read(&text).unwrap();
    assert!(part.len() < w.declarations.len());
    let v = check(&mut terms, &part, &Policy::default(), &Limits::default());
    let Verdict::Accepted(a) = v else { panic!("{v}") };
    assert!(a.declarations.iter().any(|d| d.name == "t") && !a.declarations.iter().any(|d| d.name == "s"));
}

/// A base as a library is shipped: its theorems without proofs, and a list that says so.
#[test]
fn a_base_and_the_kinds_of_its_axiom_lines() {
    let mut w = World::new().with("axiom lemma : Eq.{1} Nat 0 0 axiom real : Eq.{1} Nat 0 0");
    let mut text = Vec::new();
    let names: Vec<_> = w.declarations.names().collect();
    write(&w.terms, &w.declarations, &names, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let id = |part: &str| {
        let line = text.lines().find(|l| l.contains(&format!("\"str\":\"{part}\""))).unwrap();
        serde_json::from_str::<serde_json::Value>(line).unwrap()["in"].as_u64().unwrap()
    };
    let kinds = format!("#base thm {} lemma\n#base axiom {} real\n", id("lemma"), id("real"));
    let mut list = Cursor::new(&kinds);
    let base = Base::load(&mut Cursor::new(&text), Some(&mut list), &Bounds::default()).unwrap();
    let verdict = |script: &str| World::over(&base).with(script).verdict();
    assert!(verdict("theorem t : Eq.{1} Nat 0 0 := lemma").is_accepted());
    assert!(!verdict("theorem t : Eq.{1} Nat 0 0 := real").is_accepted());
    assert!(verdict("theorem t : Eq.{1} Nat (Nat.add 2 2) 4 := Eq.refl.{1} Nat 4").is_accepted());
    let bad = |list: &str| {
        Base::load(&mut Cursor::new(&text), Some(&mut Cursor::new(list)), &Bounds::default()).err().unwrap()
    };
    assert_eq!(bad("#base thm 999999 lemma\n").kind, ReadErrorKind::Malformed);
    assert_eq!(bad("#base odd 1 lemma\n").kind, ReadErrorKind::Unsupported);
    assert_eq!(bad("thm 1\n").line, 1);
    // The challenge's name is only known to `w`'s terms; the base has its own.
    w.policy.axioms = AllowedAxioms::Any;
    assert!(w.verdict().is_accepted());
}
