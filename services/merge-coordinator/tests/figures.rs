//! The figures that `atlas bench merge` prints, and that ours must beat.
#![allow(clippy::unwrap_used)]

use atlas_merge_coordinator::bench::{BenchOptions, BenchRow, bench};

fn row<'a>(rows: &'a [BenchRow], queue: &str, bad: f64, width: u32) -> &'a BenchRow {
    rows.iter().find(|row| row.queue == queue && row.bad == bad && row.width == width).unwrap()
}

fn print(rows: &[BenchRow]) {
    for row in rows {
        println!(
            "{:22} {:3} p={:.2} q={:.2}  {:6.2} landed/B  {:5.2} builds/landing  {}",
            row.queue,
            row.width,
            row.bad,
            row.clash,
            row.landed_per_build_time,
            row.builds_per_landing,
            row.latency.map_or(String::new(), |latency| format!("{latency:.2} B latency")),
        );
    }
}

#[test]
fn ours_beats_every_peer_at_every_rate_of_bad_submissions() {
    let rows = bench(&BenchOptions { submissions: 400, ..BenchOptions::default() });
    print(&rows);
    // The peers' simulations agree with the literature's, as far as 400 submissions of one seed can.
    assert!((row(&rows, "serial", 0.10, 1).landed_per_build_time - 0.90).abs() < 0.03);
    assert!((row(&rows, "batch and bisect", 0.10, 5).landed_per_build_time - 1.87).abs() < 0.25);
    assert!((row(&rows, "prefixes and singles", 0.10, 20).landed_per_build_time - 12.4).abs() < 0.8);
    for bad in [0.02, 0.05, 0.10, 0.20, 0.30] {
        let ours = row(&rows, "atlas", bad, 20);
        for peer in rows.iter().filter(|row| row.bad == bad && row.queue != "atlas") {
            assert!(ours.landed_per_build_time > peer.landed_per_build_time, "{ours:?} {peer:?}");
        }
    }
    assert!(row(&rows, "atlas", 0.10, 20).landed_per_build_time > 15.0);
    assert!(row(&rows, "atlas", 0.10, 20).builds_per_landing < 3.2);
}

#[test]
fn pairs_that_break_only_together_cost_little() {
    let options = BenchOptions { bad: vec![0.10], clash: 0.05, submissions: 400, ..BenchOptions::default() };
    let rows = bench(&options);
    print(&rows);
    let ours = row(&rows, "atlas", 0.10, 20);
    for peer in rows.iter().filter(|row| row.queue != "atlas") {
        assert!(ours.landed_per_build_time > peer.landed_per_build_time, "{ours:?} {peer:?}");
    }
}
