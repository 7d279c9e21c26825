//! `atlas bench power`: records are appended, the power fails, and it is counted what was acknowledged and is gone.

mod trial;

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::machine;
use crate::args::{BenchFails, BenchNames, BenchPowerArgs, BenchSync, Output};
use crate::failure::{Exit, Failure, Result};
use crate::print;
use trial::{EVENT, Failed, failure};

/// What others measured: who, on what, acknowledged, lost, where it is said.
const PEER: (&str, &str, u64, u64, &str) = (
    "Jepsen",
    "NATS 2.12.1, 5 nodes, power failures of all, `sync_interval` as it comes",
    930_005,
    131_418,
    "jepsen.io/analyses/nats-2.12.1",
);

/// A setting that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    fails: BenchFails,
    sync: BenchSync,
    names: BenchNames,
}

struct Row {
    setting: Setting,
    failures: Vec<Failed>,
}

impl Row {
    fn sum(&self, of: fn(&Failed) -> u64) -> u64 {
        self.failures.iter().map(of).sum()
    }

    fn took(&self) -> Duration {
        self.failures.iter().map(|failed| failed.took).sum()
    }

    /// Whether Atlas promises that nothing is lost.
    fn is_promised(&self) -> bool {
        self.setting.sync == BenchSync::Always && self.setting.names == BenchNames::Journal
    }

    /// Appends a second, up to the failure.
    fn rate(&self) -> f64 {
        self.sum(|failed| failed.before) as f64 / self.took().as_secs_f64()
    }

    fn window(&self) -> Duration {
        self.failures.iter().map(|failed| failed.window).max().unwrap_or_default()
    }
}

/// Measures.
pub fn power(args: &BenchPowerArgs) -> Result<Exit> {
    if args.failures == 0 || args.writers == 0 {
        return Err(Failure::input("failures and writers must be at least 1"));
    }
    let runtime = tokio::runtime::Runtime::new().map_err(fault)?;
    let mut rows = vec![];
    let of_sync = |fails, sync| args.names.iter().map(move |&names| Setting { fails, sync, names });
    let of_fails = |fails| args.sync.iter().flat_map(move |&sync| of_sync(fails, sync));
    for setting in args.fails.iter().flat_map(|&fails| of_fails(fails)) {
        if args.output.output == Output::Text {
            print::error_line(print::styled(print::FAINT, format!("{} …", told(setting))));
        }
        let failures = (0..args.failures).map(|_| runtime.block_on(failure(args, setting)));
        rows.push(Row { setting, failures: failures.collect::<Result<_>>()? });
    }
    if let Some(path) = &args.csv {
        write_csv(path, &rows)?;
    }
    report(args, &rows)?;
    let kept = |row: &Row| !row.is_promised() || row.sum(|failed| failed.lost) == 0;
    Ok(if rows.iter().all(kept) { Exit::Done } else { Exit::Fault })
}

fn fault(error: impl std::fmt::Display) -> Failure {
    Failure::fault(error.to_string())
}

fn told(setting: Setting) -> String {
    let sync = match setting.sync {
        BenchSync::Always => "always",
        BenchSync::Interval => "2 min",
    };
    let names = match setting.names {
        BenchNames::Folder => "folder",
        BenchNames::Journal => "journal",
    };
    let fails = match setting.fails {
        BenchFails::Alone => "a server alone",
        BenchFails::Leader => "the leader of three",
        BenchFails::All => "all of three",
    };
    format!("{fails}; sync {sync}; names by {names}")
}

fn report(args: &BenchPowerArgs, rows: &[Row]) -> Result<()> {
    let share = |lost: u64, of: u64| if of == 0 { 0.0 } else { lost as f64 / of as f64 };
    if args.output.output == Output::Json {
        let rows = rows.iter().map(|row| {
            let acknowledged = row.sum(|f| f.acknowledged);
            json!({
                "fails": row.setting.fails, "sync": row.setting.sync, "names": row.setting.names, "failures": row.failures.len(),
                "acknowledged": acknowledged, "lost": row.sum(|f| f.lost), "lost_share": share(row.sum(|f| f.lost), acknowledged),
                "holes": row.sum(|f| f.holes), "unasked": row.sum(|f| f.unasked), "window_s": row.window().as_secs_f64(),
                "appends_per_second": row.rate(), "syncs": row.sum(|f| f.syncs), "folder_syncs": row.sum(|f| f.folder_syncs),
            })
        });
        let rows: Vec<_> = rows.collect();
        return print::json(&json!({ "machine": machine::line(), "writers": args.writers, "rows": rows }));
    }
    let cells = |row: &Row| {
        let (acknowledged, lost) = (row.sum(|f| f.acknowledged), row.sum(|f| f.lost));
        vec![
            told(row.setting),
            row.failures.len().to_string(),
            acknowledged.to_string(),
            lost.to_string(),
            format!("{:.1} %", 100.0 * share(lost, acknowledged)),
            row.sum(|f| f.holes).to_string(),
            if lost == 0 { "–".to_owned() } else { format!("{:.1} s", row.window().as_secs_f64()) },
            format!("{:.0}", row.rate()),
        ]
    };
    let mut table: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let (who, what, acknowledged, lost, page) = PEER;
    table.push(vec![
        format!("{who}: {what}"),
        "–".to_owned(),
        acknowledged.to_string(),
        lost.to_string(),
        format!("{:.1} %", 100.0 * share(lost, acknowledged)),
        "–".to_owned(),
        "–".to_owned(),
        "–".to_owned(),
    ]);
    let head = ["POWER FAILS", "TIMES", "ACKNOWLEDGED", "LOST", "SHARE", "HOLES", "WINDOW", "APPENDS/S"];
    print::line(print::table(&head, table, &[1, 2, 3, 4, 5, 6, 7]));
    print::line(format!(
        "Lost: acknowledged, and not there after the power came back. Window: before the failure, the oldest loss was acknowledged so long. {} writers, records of {EVENT} bytes, \
         {:.1} s each time on a new disk in memory (FUSE) that forgets what was not synced. Machine: {}. {who}: {page}.",
        args.writers,
        args.time.get().as_secs_f64(),
        machine::line()
    ));
    Ok(())
}

fn write_csv(path: &Path, rows: &[Row]) -> Result<()> {
    let mut text =
        "setting,failure,acknowledged,lost,holes,unasked,window_s,took_s,syncs,folder_syncs\n".to_owned();
    for row in rows {
        for (number, failed) in row.failures.iter().enumerate() {
            text += &format!(
                "{},{},{},{},{},{},{:.3},{:.3},{},{}\n",
                told(row.setting),
                number + 1,
                failed.acknowledged,
                failed.lost,
                failed.holes,
                failed.unasked,
                failed.window.as_secs_f64(),
                failed.took.as_secs_f64(),
                failed.syncs,
                failed.folder_syncs
            );
        }
    }
    std::fs::write(path, text).map_err(|e| Failure::fault(format!("cannot write {}: {e}", path.display())))
}
