//! The smaller example, in LaTeX, and a recording of its run.

use crate::outcome::{assert_final_states, assert_landed_once, calls, library, report};
use crate::start::{changed, done, machine, run, run_file};

/// The recording that a run leaves (`--record`) is a run's recording itself: played back, the same calls are made and the
/// same library comes out.
#[test]
fn a_second_book_is_formalized_and_the_recording_of_its_run_plays_back() {
    let _machine = machine();
    let dir = tempfile::tempdir().unwrap();
    let tape = dir.path().join("tapes/dominoes.yaml");
    done(run("dominoes", dir.path()).arg("--record").arg(&tape));
    let first = dir.path().join("dominoes");
    assert_final_states("dominoes", &report(&first));

    let played = format!("recording: {}", tape.display());
    let file = changed("dominoes", dir.path(), &[("recording: recording.yaml", &played)]);
    done(&mut run_file(&file, dir.path(), "again"));
    let again = dir.path().join("again");
    assert_final_states("dominoes", &report(&again));
    assert_landed_once(&again);
    assert_eq!(calls(&again), calls(&first), "the same calls");
    assert_eq!(report(&again)["usage"], report(&first)["usage"], "the same tokens and money");
    assert_eq!(library(&again), library(&first), "the same library");
}
