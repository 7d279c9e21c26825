//! What becomes of checks whose worker dies, hangs, or was never there. Needs the image: `scripts/setup lean`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use atlas_lean::{Embedded, Toolchain as _};
use atlas_proto::{CheckReply, CheckRequest, Outcome};
use common::{elaborate, image, module};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The direct children of a process, the dead among them left out.
fn children(of: u32) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = of.to_string();
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.next().is_some_and(|state| state != "Z") && fields.next() == Some(&parent)
    };
    numbers.filter(is_child).collect()
}

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

/// Processor time of a process in clock ticks.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.get(11..13).map_or(0, |times| times.iter().map(|t| t.parse::<u64>().unwrap()).sum())
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

/// One test, as all of it is about the workers of this process.
#[test]
fn deaths_of_workers_are_nobody_elses_and_their_own_only_twice() {
    let lean = Embedded::fresh(&image()).expect("run `scripts/setup lean`");
    let shared = until(|| workers().first().copied());
    let busy = |pid: u32| {
        let before = ticks(pid);
        until(|| (ticks(pid) > before + 20).then_some(()));
    };

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
