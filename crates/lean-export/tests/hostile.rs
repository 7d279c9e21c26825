//! A guest's memory in hostile hands: whatever lies there, the exporter says what is wrong with it or gives what it can, in time and memory
//! that the memory's own length bounds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use atlas_lean_export::export_memory;
use proptest::prelude::*;

/// Boxed zero: the constructor without fields, number 0 (`Name.anonymous`, `Level.zero`, `List.nil`).
const NIL: u32 = 1;
/// Tags of objects that are no constructors.
const ARRAY: u8 = 246;
const STRING: u8 = 249;
const BIG_NUMBER: u8 = 250;

/// Lean objects in a memory of their own, as `lean.h` lays them out for 32 bits. Its first word is the address of what is handed over.
#[derive(Clone)]
struct Image(Vec<u8>);

impl Image {
    fn new() -> Self {
        Self(vec![0; 16])
    }

    fn object(&mut self, tag: u8, fields: u8, body: &[u8]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let address = self.0.len() as u32;
        self.0.extend([1, 0, 0, 0, 0, 0, fields, tag]);
        self.0.extend(body);
        address
    }

    fn constructor(&mut self, tag: u8, fields: &[u32], scalars: &[u8]) -> u32 {
        let body: Vec<u8> =
            fields.iter().flat_map(|f| f.to_le_bytes()).chain(scalars.iter().copied()).collect();
        self.object(tag, fields.len() as u8, &body)
    }

    fn array_of_size(&mut self, size: u32, elements: &[u32]) -> u32 {
        let words: Vec<u8> = [size, size].iter().chain(elements).flat_map(|w| w.to_le_bytes()).collect();
        self.object(ARRAY, 0, &words)
    }

    fn array(&mut self, elements: &[u32]) -> u32 {
        self.array_of_size(elements.len() as u32, elements)
    }

    fn string_of_size(&mut self, size: u32, text: &[u8]) -> u32 {
        let mut body: Vec<u8> = [size, size, size].iter().flat_map(|w| w.to_le_bytes()).collect();
        body.extend(text);
        self.object(STRING, 0, &body)
    }

    fn string(&mut self, text: &[u8]) -> u32 {
        self.string_of_size(text.len() as u32 + 1, &[text, b"\0"].concat())
    }

    fn big_number(&mut self, digits: u32, at: u32) -> u32 {
        let body: Vec<u8> = [0, digits, at].iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
        self.object(BIG_NUMBER, 0, &body)
    }

    fn set(&mut self, address: u32, word: u32) {
        self.0[address as usize..][..4].copy_from_slice(&word.to_le_bytes());
    }

    fn name(&mut self, text: &str) -> u32 {
        let text = self.string(text.as_bytes());
        self.constructor(1, &[NIL, text], &[])
    }

    fn list(&mut self, elements: &[u32]) -> u32 {
        elements.iter().rev().fold(NIL, |rest, head| self.constructor(1, &[*head, rest], &[]))
    }

    fn sort(&mut self, level: u32) -> u32 {
        self.constructor(3, &[level], &[])
    }

    fn constant(&mut self, name: u32, levels: u32) -> u32 {
        self.constructor(4, &[name, levels], &[])
    }

    fn application(&mut self, f: u32, a: u32) -> u32 {
        self.constructor(5, &[f, a], &[])
    }

    fn number(&mut self, natural: u32) -> u32 {
        let literal = self.constructor(0, &[natural], &[]);
        self.constructor(9, &[literal], &[])
    }

    fn theorem(&mut self, name: u32, ty: u32, value: u32) -> u32 {
        let head = self.constructor(0, &[name, NIL, ty], &[]);
        let info = self.constructor(0, &[head, value, NIL], &[]);
        self.constructor(2, &[info], &[])
    }

    fn axiom(&mut self, name: u32, ty: u32) -> u32 {
        let head = self.constructor(0, &[name, NIL, ty], &[]);
        let info = self.constructor(0, &[head], &[0]);
        self.constructor(0, &[info], &[])
    }

    /// Hands over these constants.
    fn hand_over(mut self, constants: &[u32]) -> Vec<u8> {
        let constants = self.array(constants);
        self.hand_over_array(constants)
    }

    fn hand_over_array(mut self, constants: u32) -> Vec<u8> {
        let module = self.constructor(0, &[NIL, NIL, constants], &[]);
        let modules = self.array(&[module]);
        let pair = self.constructor(0, &[NIL, modules], &[]);
        self.set(0, pair);
        self.0
    }

    /// A theorem of this value.
    fn proof(mut self, value: u32) -> Vec<u8> {
        let (name, ty) = (self.name("t"), self.sort(NIL));
        let theorem = self.theorem(name, ty, value);
        self.hand_over(&[theorem])
    }
}

fn export(memory: &[u8]) -> Result<Vec<u8>, String> {
    export_memory(memory, u32::from_le_bytes(*memory.first_chunk().unwrap()))
        .map_err(|error| error.to_string())
}

/// A theorem, an axiom and all kinds of terms.
fn right() -> Vec<u8> {
    let mut i = Image::new();
    let one = i.constructor(1, &[NIL], &[]);
    let (u, c, s) = (i.name("u"), i.name("c"), i.string("text ∀".as_bytes()));
    let level = i.constructor(4, &[u], &[]);
    let level = i.constructor(2, &[level, one], &[]);
    let (prop, ty) = (i.sort(NIL), i.sort(level));
    let levels = i.list(&[one, level]);
    let constant = i.constant(c, levels);
    let digits = i.object(0, 0, &[0xff; 16]) + 8;
    let big = i.big_number(4, digits);
    let (big, small) = (i.number(big), i.number(2 * 7 + 1));
    let literal = i.constructor(1, &[s], &[]);
    let text = i.constructor(9, &[literal], &[]);
    let variable = i.constructor(0, &[1], &[]);
    let lambda = i.constructor(6, &[NIL, ty, variable], &[0]);
    let product = i.constructor(7, &[NIL, prop, prop], &[0]);
    let applied = i.application(lambda, constant);
    let applied = i.application(applied, big);
    let local = i.constructor(8, &[NIL, prop, text, small], &[0]);
    let field = i.constructor(11, &[c, 2 + 1, local], &[]);
    let marked = i.constructor(10, &[NIL, field], &[]);
    let value = i.application(applied, marked);
    let t = i.name("t");
    let (theorem, axiom) = (i.theorem(t, product, value), i.axiom(c, ty));
    i.hand_over(&[axiom, theorem])
}

#[test]
fn what_lies_there_as_lean_lays_it_out_is_exported() {
    let text = String::from_utf8(export(&right()).unwrap()).unwrap();
    assert!(
        text.contains("\"text ∀\"") && text.contains("340282366920938463463374607431768211455"),
        "{text}"
    );
    assert!(text.contains("\"thm\"") && text.contains("\"axiom\""), "{text}");
}

/// Hostile memories, each with what must be said of it; `None`: it is right, and only large.
fn hostile() -> Vec<(&'static str, Vec<u8>, Option<&'static str>)> {
    let mut all = vec![];
    let mut add = |what, memory, says| all.push((what, memory, says));

    // Cycles.
    let mut i = Image::new();
    let app = i.application(0, NIL);
    i.set(app + 8, app);
    i.set(app + 12, app);
    add("a term in itself", i.proof(app), Some("contains itself"));
    let mut i = Image::new();
    let name = i.name("n");
    i.set(name + 8, name);
    let c = i.constant(name, NIL);
    add("a name in itself", i.proof(c), Some("too many parts"));
    let mut i = Image::new();
    let level = i.constructor(1, &[NIL], &[]);
    i.set(level + 8, level);
    let sort = i.sort(level);
    add("a level in itself", i.proof(sort), Some("too deep"));
    let mut i = Image::new();
    let name = i.name("c");
    let list = i.list(&[NIL]);
    i.set(list + 12, list);
    let c = i.constant(name, list);
    add("a list in itself", i.proof(c), Some(""));

    // One long list, shared by many.
    let mut i = Image::new();
    let name = i.name("c");
    let levels = i.list(&vec![NIL; 30_000]);
    let value = (0..30_000).fold(NIL, |_, _| i.constant(name, levels));
    let many: Vec<u32> = (0..30_000).map(|_| i.constant(name, levels)).collect();
    let value = many.iter().fold(value, |value, c| i.application(value, *c));
    add("a long list that many share", i.proof(value), Some("shared"));
    let mut i = Image::new();
    let text = i.string(&vec![b'x'; 4 << 20]);
    let texts: Vec<u32> = (0..20_000)
        .map(|_| {
            let literal = i.constructor(1, &[text], &[]);
            i.constructor(9, &[literal], &[])
        })
        .collect();
    let value = texts.iter().fold(texts[0], |value, t| i.application(value, *t));
    add("a long text that many share", i.proof(value), Some("shared"));

    // Counts that lie.
    for size in [1 << 31, u32::MAX, 1 << 26, 1000] {
        let mut i = Image::new();
        let constants = i.array_of_size(size, &[]);
        add("an array that is shorter than it says", i.hand_over_array(constants), Some(""));
        let mut i = Image::new();
        let text = i.string_of_size(size, b"short\0");
        let literal = i.constructor(1, &[text], &[]);
        let value = i.constructor(9, &[literal], &[]);
        add("a text that is shorter than it says", i.proof(value), Some(""));
        let mut i = Image::new();
        let big = i.big_number(size, 8);
        let value = i.number(big);
        add("a number that is shorter than it says", i.proof(value), Some(""));
    }
    let mut i = Image::new();
    let text = i.string_of_size(0, b"");
    let literal = i.constructor(1, &[text], &[]);
    let value = i.constructor(9, &[literal], &[]);
    add("a text of no bytes, not even its end", i.proof(value), Some("too long"));
    let mut i = Image::new();
    let text = i.string(b"\xff\xfe");
    let literal = i.constructor(1, &[text], &[]);
    let value = i.constructor(9, &[literal], &[]);
    add("a text that is not UTF-8", i.proof(value), Some("UTF-8"));

    // Pointers to nowhere, to odd places, and into the middle of something.
    for address in [0, 8, 0x7fff_fff8, u32::MAX - 1, u32::MAX - 7, u32::MAX, 3] {
        let mut i = Image::new();
        let app = i.application(address, address);
        add("a pointer to nowhere", i.proof(app), Some(""));
    }
    let mut i = Image::new();
    let inner = i.application(NIL, NIL);
    let app = i.application(inner + 4, inner + 8);
    add("a pointer into an object", i.proof(app), Some(""));

    // Deep, and wide without being large.
    let mut i = Image::new();
    let prop = i.sort(NIL);
    let deep = (0..2_000_000).fold(prop, |e, _| i.application(e, prop));
    add("a term two million deep", i.proof(deep), Some("too deep"));
    let mut i = Image::new();
    let prop = i.sort(NIL);
    let twice = (0..90_000).fold(prop, |e, _| i.application(e, e));
    add("a term of 2^90000 nodes, in 90,000", i.proof(twice), None);
    let mut i = Image::new();
    let part = i.string(b"part");
    let name = (0..1_000_000).fold(NIL, |n, _| i.constructor(1, &[n, part], &[]));
    let c = i.constant(name, NIL);
    add("a name of a million parts", i.proof(c), Some("too many parts"));
    let mut i = Image::new();
    let level = (0..1_000_000).fold(NIL, |l, _| i.constructor(2, &[l, l], &[]));
    let sort = i.sort(level);
    add("a level a million deep", i.proof(sort), Some("too deep"));
    for (bytes, says) in [(32 << 20, Some("too long")), (7 << 20, Some("too long")), (64 << 10, None)] {
        let mut i = Image::new();
        let digits = i.object(0, 0, &vec![0xab; bytes]) + 8;
        let big = i.big_number(bytes as u32 / 4, digits);
        let value = i.number(big);
        add("a long number", i.proof(value), says);
    }

    // What must be one thing is another.
    for tag in [0, 1, 2, 12, 200, 244, 245, ARRAY, STRING, BIG_NUMBER, 255] {
        let mut i = Image::new();
        let odd = i.constructor(tag, &[NIL], &[]);
        add("a term that is none", i.proof(odd), Some(""));
    }
    let mut i = Image::new();
    let name = i.name("t");
    let text = i.string(b"a type");
    let theorem = i.theorem(name, text, text);
    add("a theorem of text", i.hand_over(&[theorem]), Some("not a constructor"));
    let mut i = Image::new();
    let (name, prop) = (i.name("t"), i.sort(NIL));
    let theorem = i.theorem(name, prop, prop);
    add("one theorem a million times", i.hand_over(&vec![theorem; 1_000_000]), Some("shared"));
    add("nothing", vec![0; 64], Some(""));
    add("only ones", vec![0xff; 4096], Some(""));
    all
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn every_hostile_memory_is_refused_or_exported_in_time_and_in_bounds() {
    for (what, memory, says) in hostile() {
        let started = Instant::now();
        let found = export(&memory);
        let (took, peak) = (started.elapsed(), peak_memory() >> 20);
        println!("{what}: {took:?}, peak {peak} MB, {:?}", found.as_ref().map(Vec::len));
        match (&found, says) {
            (Err(why), Some(says)) => assert!(why.contains(says), "{what}: {why}"),
            (Ok(text), None) => assert!(text.len() <= 100 * memory.len(), "{what}: {} bytes", text.len()),
            _ => panic!("{what}: {:?}", found.map(|text| text.len())),
        }
        assert!(took < Duration::from_secs(20) && peak < 1500, "{what}: {took:?}, {peak} MB");
    }
}

/// Puts other words, tags and counts where they do harm.
fn edit(memory: &mut [u8], at: usize, kind: u8, word: u32) {
    let at = at % (memory.len() - 4);
    let length = memory.len() as u32;
    let word = match kind {
        // Another object, or nearly.
        0 | 1 => (word % length) & !7,
        2 => word % length,
        3 => word,
        4 => u32::from_le_bytes(*memory[at & !7..].first_chunk().unwrap())
            .wrapping_add(word % 17)
            .wrapping_sub(8),
        _ => [0, 1, 3, 1 << 31, u32::MAX, 1 << 26, 64, length][word as usize % 8],
    };
    match kind {
        6 => memory[at] = word as u8,
        // A tag, or a number of fields.
        7 => memory[((at & !7) + 6 + (word >> 8) as usize % 2).min(length as usize - 1)] = word as u8,
        _ => memory[at & !3..][..4].copy_from_slice(&word.to_le_bytes()),
    }
}

/// What the fuzz target runs.
fn entry(bytes: &[u8]) {
    include!("../fuzz/entry.rs");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_right_memory_with_wrong_words_is_refused_or_exported(
        edits in prop::collection::vec((any::<usize>(), 0..8u8, any::<u32>()), 1..12)
    ) {
        let mut memory = right();
        for (at, kind, word) in edits {
            edit(&mut memory, at, kind, word);
        }
        entry(&memory);
    }

    #[test]
    fn any_bytes_are_refused_or_exported(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        entry(&bytes);
    }
}

#[test]
fn the_corpus_is_refused_or_exported() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/exporter");
    let files: Vec<Vec<u8>> =
        std::fs::read_dir(folder).unwrap().map(|f| std::fs::read(f.unwrap().path()).unwrap()).collect();
    files.iter().for_each(|bytes| entry(bytes));
    assert!(files.contains(&right()), "the fuzzer has something right to begin with");
}
