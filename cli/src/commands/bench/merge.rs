//! `atlas bench merge`: merge queues compared on the same streams of submissions.

use std::collections::BTreeMap;

use atlas_merge_coordinator::bench::{BenchOptions, BenchRow, bench};
use serde_json::json;

use crate::args::{BenchMergeArgs, Output};
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// Means over the seeds of one queue at one share of bad submissions.
struct Mean {
    row: BenchRow,
    seeds: u64,
}

/// Simulates the queues.
pub fn merge(args: &BenchMergeArgs) -> Result<Exit> {
    if args.submissions == 0 || args.seeds == 0 || args.window == 0 {
        return Err(Failure::input("submissions, seeds and window must be at least 1"));
    }
    let mut means: Vec<Mean> = Vec::new();
    for seed in 1..=args.seeds {
        let options = BenchOptions {
            seed,
            submissions: args.submissions,
            window: args.window,
            clash: args.clash,
            ..BenchOptions::default()
        };
        for row in bench(&options) {
            match means.iter_mut().find(|mean| same(&mean.row, &row)) {
                None => means.push(Mean { row, seeds: 1 }),
                Some(mean) => {
                    mean.seeds += 1;
                    let weight = 1.0 / mean.seeds as f64;
                    let blend = |mean: &mut f64, new: f64| *mean += (new - *mean) * weight;
                    blend(&mut mean.row.landed_per_build_time, row.landed_per_build_time);
                    blend(&mut mean.row.builds_per_landing, row.builds_per_landing);
                    mean.row.landed += row.landed;
                    if let (Some(mean), Some(new)) = (&mut mean.row.latency, row.latency) {
                        blend(mean, new);
                    }
                }
            }
        }
    }
    let rows: Vec<BenchRow> = means.into_iter().map(|mean| mean.row).collect();
    if args.output.output == Output::Json {
        print::json(&json!({
            "unit": "landed submissions per build time",
            "submissions": args.submissions, "seeds": args.seeds, "window": args.window, "clash": args.clash,
            "rows": rows,
        }))?;
        return Ok(Exit::Done);
    }
    print::line(table(&rows));
    print::line(format!(
        "Landed submissions per build time (builds per landing): mean of {} seeds, {} submissions each, window {}. \
         Every build takes the same time, and all submissions touch one module.",
        args.seeds, args.submissions, args.window
    ));
    Ok(Exit::Done)
}

fn same(a: &BenchRow, b: &BenchRow) -> bool {
    (a.queue, a.width, a.used_by) == (b.queue, b.width, b.used_by) && (a.bad - b.bad).abs() < f64::EPSILON
}

/// A row per queue, a column per share of bad submissions.
fn table(rows: &[BenchRow]) -> String {
    let mut shares: Vec<f64> = rows.iter().map(|row| row.bad).collect();
    shares.dedup_by(|a, b| (*a - *b).abs() < f64::EPSILON);
    let mut queues: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut order: Vec<(&str, u32, &str)> = Vec::new();
    for row in rows {
        let queue = (row.queue, row.width, row.used_by);
        let at = order.iter().position(|known| *known == queue).unwrap_or_else(|| {
            order.push(queue);
            order.len() - 1
        });
        let cells = queues
            .entry(at)
            .or_insert_with(|| vec![row.queue.to_owned(), row.width.to_string(), row.used_by.to_owned()]);
        cells.push(format!("{:.2} ({:.1})", row.landed_per_build_time, row.builds_per_landing));
    }
    let percents: Vec<String> = shares.iter().map(|bad| format!("{:.0}% BAD", bad * 100.0)).collect();
    let mut head = vec!["QUEUE", "WIDTH", "USED BY"];
    head.extend(percents.iter().map(String::as_str));
    let right: Vec<usize> = (3..head.len()).chain([1]).collect();
    print::table(&head, queues.into_values().collect(), &right)
}
