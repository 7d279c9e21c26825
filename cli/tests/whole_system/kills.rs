//! `kill -9` of the whole process tree, again and again.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::numbers::assert_every_way_was_taken;
use crate::outcome::{
    assert_final_states, assert_landed_once, assert_no_journaled_call_repeated, calls, library, report,
};
use crate::start::{changed, done, machine, run, run_file};

const KILLS: u64 = 10;

/// Moments from a linear congruential sequence whose seed is printed: they are random and a failure can be run again.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let given = std::env::var("ATLAS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
        println!("ATLAS_TEST_SEED={seed}");
        Self(seed)
    }

    /// From 1 to `most`.
    fn next(&mut self, most: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % most + 1).unwrap()
    }
}

/// Starts the run in a process group of its own and kills the group after at most `most` lines of progress, which come with
/// what happens, not with the clock. Ten times; whether the run was still at work at each kill.
fn kill(run: impl Fn() -> Command, most: u64) -> Vec<bool> {
    let mut moments = Moments::new();
    let killed = (0..KILLS).map(|kill| {
        let mut command = run();
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
        let moment = moments.next(most);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines.take(moment).count();
        println!("kill {kill} after {seen} lines");
        kill_tree(&mut child);
        seen == moment
    });
    killed.collect()
}

fn kill_tree(child: &mut Child) {
    // The group holds every process that the run started.
    Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status().unwrap();
    child.wait().unwrap();
}

fn assert_at_work(killed: &[bool]) {
    let at_work = killed.iter().filter(|&&at_work| at_work).count();
    assert!(
        at_work * 2 > killed.len(),
        "most kills hit a run at work, and {at_work} of {} did",
        killed.len()
    );
}

fn assert_nothing_lost_or_doubled(name: &str, home: &Path) {
    assert_final_states(name, &report(home));
    assert_landed_once(home);
    assert_no_journaled_call_repeated(home);
}

/// Recording all the while: what the killed processes and the last one recorded is one recording of the whole run.
#[test]
fn ten_kills_lose_nothing_pay_nothing_twice_land_nothing_twice_and_leave_a_whole_recording() {
    let _machine = machine();
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("dominoes");
    let tape = dir.path().join("tape.yaml");
    let recorded = || {
        let mut command = run("dominoes", dir.path());
        command.arg("--record").arg(&tape);
        command
    };
    assert_at_work(&kill(recorded, 24));
    done(&mut recorded());
    assert_nothing_lost_or_doubled("dominoes", &home);

    let played = format!("recording: {}", tape.display());
    let file = changed("dominoes", dir.path(), &[("recording: recording.yaml", &played)]);
    done(&mut run_file(&file, dir.path(), "again"));
    let again = dir.path().join("again");
    assert_nothing_lost_or_doubled("dominoes", &again);
    let once = |home: &Path| calls(home).into_keys().collect::<Vec<_>>();
    assert_eq!(once(&again), once(&home), "the same calls");
    assert_eq!(library(&again), library(&home), "the same library");
}

/// The larger example, with its conflicts, escalation and decomposition between the kills.
#[test]
fn ten_kills_leave_the_larger_book_on_every_one_of_its_ways() {
    let _machine = machine();
    let dir = tempfile::tempdir().unwrap();
    assert_at_work(&kill(|| run("numbers", dir.path()), 60));
    done(&mut run("numbers", dir.path()));
    let home = dir.path().join("numbers");
    assert_nothing_lost_or_doubled("numbers", &home);
    assert_every_way_was_taken(&home);
}
