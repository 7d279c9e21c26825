//! `kill -9` of the whole process tree, again and again.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::numbers::assert_every_way_was_taken;
use crate::outcome::{
    assert_final_states, assert_landed_once, assert_no_journaled_call_repeated, calls, library, report,
};
use crate::start::{changed, done, machine, run_file};

/// Kills of runs at work.
const KILLS: usize = 10;

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

/// Starts a run in a process group of its own and kills the group after at most `most` lines of progress, which come with
/// what happens, not with the clock; and again, until ten kills have hit a run at work. A run that ends before that is
/// followed by the next. The runs' names; all but the last have ended, and that one is ended here.
fn kill(dir: &Path, most: u64, run: impl Fn(&str) -> Command) -> Vec<String> {
    let mut moments = Moments::new();
    let mut names = vec!["run-1".to_owned()];
    let mut kills = 0;
    while kills < KILLS {
        let name = names.last().unwrap().clone();
        let mut command = run(&name);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines.take(moments.next(most)).count();
        kill_tree(&mut child);
        if dir.join(&name).join("report/report.json").exists() {
            println!("{name} ended after {seen} lines");
            names.push(format!("run-{}", names.len() + 1));
        } else {
            kills += 1;
            println!("kill {kills}: {name} after {seen} lines");
        }
    }
    done(&mut run(names.last().unwrap()));
    names
}

fn kill_tree(child: &mut Child) {
    // The group holds every process that the run started.
    Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status().unwrap();
    child.wait().unwrap();
}

fn assert_nothing_lost_or_doubled(example: &str, home: &Path) {
    assert_final_states(example, &report(home));
    assert_landed_once(home);
    assert_no_journaled_call_repeated(home);
}

/// Recording all the while: what the killed processes and the last one recorded is one recording of the whole run.
#[test]
fn ten_kills_lose_nothing_pay_nothing_twice_land_nothing_twice_and_leave_a_whole_recording() {
    let _machine = machine();
    let dir = tempfile::tempdir().unwrap();
    let tape = |name: &str| dir.path().join(format!("{name}.tape.yaml"));
    let original = changed("dominoes", dir.path(), &[]);
    let runs = kill(dir.path(), 8, |name| {
        let mut command = run_file(&original, dir.path(), name);
        command.arg("--record").arg(tape(name));
        command
    });
    for name in runs {
        let home = dir.path().join(&name);
        assert_nothing_lost_or_doubled("dominoes", &home);

        let played = format!("recording: {}", tape(&name).display());
        let file = changed("dominoes", &home, &[("recording: recording.yaml", &played)]);
        let again = format!("{name}-again");
        done(&mut run_file(&file, dir.path(), &again));
        let again = dir.path().join(again);
        assert_nothing_lost_or_doubled("dominoes", &again);
        let made = |home: &Path| calls(home).into_keys().collect::<Vec<_>>();
        assert_eq!(made(&again), made(&home), "the same calls");
        assert_eq!(library(&again), library(&home), "the same library");
    }
}

/// The larger example, with its conflicts, escalation and decomposition between the kills.
#[test]
fn ten_kills_leave_the_larger_book_on_every_one_of_its_ways() {
    let _machine = machine();
    let dir = tempfile::tempdir().unwrap();
    let original = changed("numbers", dir.path(), &[]);
    for name in kill(dir.path(), 40, |name| run_file(&original, dir.path(), name)) {
        let home = dir.path().join(name);
        assert_nothing_lost_or_doubled("numbers", &home);
        assert_every_way_was_taken(&home);
    }
}
