#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::{End, Image, Job};

fn image() -> Image {
    let image = std::env::var_os("ATLAS_LEAN_IMAGE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.cache/lean/image"),
        PathBuf::from,
    );
    Image::open(&image).expect("run `scripts/setup lean`")
}

fn job(source: &str) -> Job {
    let deadline = Duration::from_secs(30);
    Job { deadline, ..Job::new(format!("check\nmodule T\nreplay\n---\n{source}").into_bytes()) }
}

/// Things that a check could leave behind: declarations, a changed reference, memory of every kind, a caught and an uncaught fault.
const TRACES: [&str; 6] = [
    "theorem left_behind (a b : Nat) : a + b = b + a := by omega",
    "theorem left_behind : 1 = 2 := by simp; grind; omega",
    "noncomputable def big : List Nat := List.replicate 100000 7\ntheorem x : (10 : Nat) ∣ 1000 := by decide",
    "run_cmd IO.setRandSeed 7\nrun_cmd IO.FS.writeFile \"/work/left\" \"behind\"",
    "run_cmd throw (IO.userError \"caught\")\nexample (p q : Prop) (h : p) : p ∨ q := by grind",
    "inductive Tree where | leaf | node (l r : Tree)\nnoncomputable def Tree.size : Tree → Nat | .leaf => 1 | .node l r => l.size + r.size",
];

#[test]
fn a_slot_is_to_the_last_byte_what_it_was_before_its_copies() {
    let image = image();
    let base = image.base();
    let pagemap = Pagemap::own().unwrap();
    let slots = Slots::default();
    let mut kept = vec![];
    for round in 0..2 * usize::from(PATIENCE) {
        let source = TRACES[round % TRACES.len()];
        let setup = image.setup(base, job(source), std::time::Instant::now());
        let slot = slots.take(image.machine().engine(), base, 512, setup).unwrap();
        let ended = image.machine().resume(slot.guest(), slot.instances(), base.globals.clone(), base.action);
        assert!(slot.guest().lock().answer.is_some(), "{source}: {ended:?}");
        let before = pagemap.written(slot.memory.shared().data().as_ptr() as usize, slot.length).unwrap();
        assert!(before.iter().map(ExactSizeIterator::len).sum::<usize>() > 0, "a copy writes to its memory");
        slots.put(slot, pagemap);
        let idle = slots.0.lock();
        let [slot] = &idle[..] else { panic!("one slot for all") };
        assert_eq!(slot.copies as usize, round + 1);
        let view = base.view().unwrap().bytes();
        let now = slot.memory.bytes(0, slot.length).unwrap();
        assert!(now[..view.len()] == *view, "{source}: the memory differs from the snapshot");
        assert!(now[view.len()..].iter().all(|byte| *byte == 0), "{source}: the room behind it is not empty");
        // Reading made nothing the process's own.
        let own = pagemap.written(slot.memory.shared().data().as_ptr() as usize, view.len()).unwrap();
        kept.push(own.iter().map(ExactSizeIterator::len).sum::<usize>() / PAGE);
    }
    assert!(kept.iter().all(|pages| *pages <= MOST_KEPT), "{kept:?}");
}

#[test]
fn what_ended_badly_or_has_grown_is_not_used_again() {
    let image = image();
    let run = |source: &str, memory: u64, deadline: u64| {
        let job = Job { extra_memory: memory, deadline: Duration::from_millis(deadline), ..job(source) };
        image.run(image.base(), job).unwrap().end
    };
    let idle = || image.slots().0.lock().len();
    let spin = "partial def spin (n : Nat) : IO Nat := spin (n + 1)\n#eval spin 0";
    let grow = "partial def grow (a : Array Nat) : IO Nat := do\n  if a.size > 400000000 then return a.size\n  grow (a.push a.size)\n#eval grow #[]";
    let grown = "partial def grow (a : Array Nat) : IO Nat := do\n  if a.size > 20000000 then return a.size\n  grow (a.push a.size)\n#eval grow #[]";
    assert_eq!(run(spin, 1 << 30, 300), End::TimedOut);
    assert_eq!(run(grow, 100 << 20, 30_000), End::OutOfMemory);
    assert!(matches!(run("#eval (IO.Process.exit 3 : IO Unit)", 1 << 30, 30_000), End::Crashed(_)));
    assert!(matches!(run(grown, 1 << 30, 30_000), End::Answered(_)));
    assert_eq!(idle(), 0);
    let fine = "theorem fine : 1 + 1 = 2 := rfl";
    let first = run(fine, 1 << 30, 30_000);
    assert_eq!(idle(), 1);
    for source in TRACES {
        run(source, 1 << 30, 30_000);
        let End::Answered(again) = run(fine, 1 << 30, 30_000) else { panic!("no answer after {source}") };
        let End::Answered(first) = &first else { panic!("no answer") };
        // All but the times in the last frame.
        let text = |answer: &[u8]| String::from_utf8_lossy(answer).split("end ").next().map(str::to_owned);
        assert_eq!(text(&again), text(first), "after {source}");
    }
    assert_eq!(idle(), 1);
}
