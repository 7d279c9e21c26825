//! What becomes of checks whose worker dies, hangs, or was never there. Needs the image: `scripts/setup lean`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use atlas_lean::{Embedded, EmbeddedOptions, Toolchain as _};
use atlas_proto::{CheckReply, CheckRequest, Outcome};
use atlas_testkit::{children, groups_of_launcher, ticks};
use common::{elaborate, image, module};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

/// The workers of this process: the children of its launchers.
fn workers() -> BTreeSet<u32> {
    children(std::process::id()).into_iter().flat_map(children).collect()
}

/// Waits until `there` gives something.
fn until<T>(mut there: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(there) = there() {
            return there;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it never came");
        std::thread::yield_now();
    }
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// A check that runs until its deadline, in seconds.
fn endless(deadline: u32) -> CheckRequest {
    let body = "end\npartial def spin (n : Nat) : IO Nat := spin (n + 1)\n#eval spin 0\n";
    CheckRequest { deadline_ms: deadline * 1000, ..elaborate(vec![module("N.Spin", body)]) }
}

fn fine(lean: &Embedded, number: u32) -> CheckReply {
    lean.check(&elaborate(vec![module(
        "N.Fine",
        &format!("theorem a : {number} + 1 = {number} + 1 := rfl\n"),
    )]))
}

/// Room for a worker and a small check, and not for a guest of the largest size.
const WORKER_BYTES: u64 = 600 << 20;

/// Waits until a process has worked for a while, from now on.
fn busy(pid: u32) {
    let before = ticks(pid);
    until(|| (ticks(pid) > before + 20).then_some(()));
}

/// One test at a time, as all of each is about the workers of this process.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn deaths_of_workers_are_nobody_elses_and_their_own_only_twice() {
    let _alone = ALONE.lock();
    let lean = Embedded::fresh(&image()).expect("run `scripts/setup lean`");
    let shared = until(|| workers().first().copied());

    // One whose worker dies is tried again in one of its own; what it does there meets nobody else.
    std::thread::scope(|scope| {
        let endless = scope.spawn(|| lean.check(&endless(6)));
        busy(shared);
        signal(shared, Signal::SIGKILL);
        let alone = until(|| workers().into_iter().find(|pid| *pid != shared));
        assert_eq!(fine(&lean, 1).outcome(), Outcome::Accepted);
        let reply = endless.join().unwrap();
        assert_eq!(reply.outcome(), Outcome::TimedOut, "{reply:#?}");
        until(|| (!workers().contains(&alone)).then_some(()));
    });

    // One that dies twice is told so.
    let shared = until(|| workers().first().copied());
    std::thread::scope(|scope| {
        let endless = scope.spawn(|| lean.check(&endless(20)));
        busy(shared);
        signal(shared, Signal::SIGKILL);
        let alone = until(|| workers().into_iter().find(|pid| *pid != shared));
        busy(alone);
        signal(alone, Signal::SIGKILL);
        let reply = endless.join().unwrap();
        assert_eq!(reply.outcome(), Outcome::Crashed, "{reply:#?}");
        assert!(reply.fault.contains("died twice"), "{}", reply.fault);
    });

    // One that does not end at its deadline is ended from outside.
    assert_eq!(fine(&lean, 2).outcome(), Outcome::Accepted);
    let shared = until(|| workers().first().copied());
    let begun = Instant::now();
    signal(shared, Signal::SIGSTOP);
    let reply = lean.check(&endless(1));
    assert_eq!(reply.outcome(), Outcome::TimedOut, "{reply:#?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(!workers().contains(&shared));
    assert_eq!(fine(&lean, 3).outcome(), Outcome::Accepted);

    // None outlives its parent.
    drop(lean);
    assert_eq!(workers(), BTreeSet::new());
}

#[test]
fn a_check_that_takes_all_of_its_workers_memory_is_told_so_and_costs_nobody_else_a_check() {
    let _alone = ALONE.lock();
    let cache = tempfile::tempdir().unwrap();
    let options =
        EmbeddedOptions { worker_bytes: WORKER_BYTES, ..EmbeddedOptions::at(&image(), cache.path()) };
    let lean = Embedded::with_options(&options).expect("run `scripts/setup lean`");
    let launcher = children(std::process::id())[0];
    let shared = children(launcher)[0];
    let limited = !groups_of_launcher(launcher).is_empty();

    // Its own limit is the larger one.
    let body = "end\npartial def grow (a : Array Nat) : IO Nat := grow (a.push a.size)\n#eval grow #[]\n";
    let hungry = CheckRequest { memory_bytes: 2 << 30, ..elaborate(vec![module("N.Grow", body)]) };
    std::thread::scope(|scope| {
        let endless = scope.spawn(|| lean.check(&endless(8)));
        busy(shared);
        let reply = lean.check(&hungry);
        assert_eq!(reply.outcome(), Outcome::OutOfMemory, "{reply:#?}");
        assert_eq!(reply.fault.contains("killed at the limit of its memory"), limited, "{}", reply.fault);
        assert_eq!(workers().contains(&shared), !limited);
        let reply = endless.join().unwrap();
        assert_eq!(reply.outcome(), Outcome::TimedOut, "{reply:#?}");
    });
    assert_eq!(fine(&lean, 1).outcome(), Outcome::Accepted);
}
