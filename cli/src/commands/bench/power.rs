//! `atlas bench power`: records are appended, the power fails, and it is counted what was acknowledged and is gone.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_bus::{Bus, Error, Server, ServerOptions, Spec, SyncMode};
use atlas_disk::{LossyDisk, Names};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::Record;
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;

use super::machine;
use crate::args::{BenchNames, BenchPowerArgs, BenchSync, Output};
use crate::attach::nats_server;
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// Bytes of a record's event.
const EVENT: usize = 256;
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
    sync: BenchSync,
    names: BenchNames,
}

/// What one power failure did.
#[derive(Debug, Clone, Copy)]
struct Failed {
    acknowledged: u64,
    lost: u64,
    /// Of the lost ones, those after which another of the same journal survived.
    holes: u64,
    /// Records that survived though nobody had been told of them, or in another form.
    unasked: u64,
    /// From the acknowledgement of the oldest that is lost to the failure.
    window: Duration,
    /// From the first append to the failure.
    took: Duration,
    /// Files that the server synced meanwhile.
    syncs: u64,
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
    for &sync in &args.sync {
        for &names in &args.names {
            let setting = Setting { sync, names };
            if args.output.output == Output::Text {
                print::error_line(print::styled(print::FAINT, format!("{} …", told(setting))));
            }
            let failures = (0..args.failures).map(|_| runtime.block_on(failure(args, setting)));
            rows.push(Row { setting, failures: failures.collect::<Result<_>>()? });
        }
    }
    if let Some(path) = &args.csv {
        write_csv(path, &rows)?;
    }
    report(args, &rows)?;
    let kept = |row: &Row| row.setting.sync == BenchSync::Interval || row.sum(|failed| failed.lost) == 0;
    Ok(if rows.iter().all(kept) { Exit::Done } else { Exit::Fault })
}

fn fault(error: impl std::fmt::Display) -> Failure {
    Failure::fault(error.to_string())
}

/// Acknowledged records of one journal: its sequence in the stream, and when that was known.
type Acknowledged = Arc<Mutex<Vec<(u64, Instant)>>>;

/// One power failure, on a new disk.
async fn failure(args: &BenchPowerArgs, setting: Setting) -> Result<Failed> {
    let folder = tempfile::tempdir().map_err(fault)?;
    // Only what JetStream stores lies on the disk that forgets: the server's log is to be read afterwards.
    let store = folder.path().join("jetstream");
    std::fs::create_dir(&store).map_err(fault)?;
    let names = match setting.names {
        BenchNames::Folder => Names::ByFolder,
        BenchNames::Journal => Names::Journaled,
    };
    let mut disk = LossyDisk::mount(&store, names).map_err(fault)?;
    let options = ServerOptions {
        sync: match setting.sync {
            BenchSync::Always => SyncMode::Always,
            BenchSync::Interval => SyncMode::Interval,
        },
        ..ServerOptions::new(nats_server(args.cache.as_deref()), folder.path().to_owned())
    };
    let server = Server::start(options.clone()).await.map_err(fault)?;
    let bus = Bus::connect(&server.options("bench")).await.map_err(fault)?;
    bus.ensure_spec(&Spec::new(4)).await.map_err(fault)?;

    let begun = Instant::now();
    let synced = disk.traffic().syncs;
    let run = RunId::new("power").map_err(fault)?;
    let mut journals: Vec<(ActorId, Acknowledged)> = vec![];
    let mut writers = JoinSet::new();
    for number in 0..args.writers {
        let actor = ActorId { run: run.clone(), kind: ActorKind::Agent, id: format!("writer-{number}") };
        let acknowledged = Acknowledged::default();
        journals.push((actor.clone(), Arc::clone(&acknowledged)));
        writers.spawn(write(bus.clone(), actor, acknowledged));
    }
    tokio::time::sleep(args.time.get()).await;
    // They go on until there is nobody to write to.
    server.kill().await;
    let failed = Instant::now();
    writers.shutdown().await;
    let syncs = disk.traffic().syncs - synced;
    drop(bus);
    disk.power_fail().map_err(fault)?;

    let server = Server::start(options).await.map_err(fault)?;
    let bus = Bus::connect(&server.options("bench")).await.map_err(fault)?;
    let mut found = Failed {
        acknowledged: 0,
        lost: 0,
        holes: 0,
        unasked: 0,
        window: Duration::ZERO,
        took: failed - begun,
        syncs,
    };
    for (actor, acknowledged) in &journals {
        let survived = match bus.records(actor).await {
            // Not even the stream has survived.
            Err(Error::NotPrepared { .. }) => vec![],
            records => records.map_err(fault)?,
        };
        found.count(actor, &acknowledged.lock(), &survived, failed);
    }
    server.stop().await;
    Ok(found)
}

/// Appends records to a journal, one after the other, for as long as they are acknowledged.
async fn write(bus: Bus, actor: ActorId, acknowledged: Acknowledged) {
    let mut after = 0;
    for number in 0.. {
        let Ok(sequence) = bus.append(&actor, &record(&actor, number), after).await else { return };
        acknowledged.lock().push((sequence, Instant::now()));
        after = sequence;
    }
}

/// The `number`th record of a journal: no two are alike.
fn record(actor: &ActorId, number: usize) -> Record {
    let cause = format!("{actor}:{number}");
    let event = cause.bytes().cycle().take(EVENT).collect();
    Record { version: 1, cause, events: vec![event], ..Record::default() }
}

impl Failed {
    fn count(
        &mut self,
        actor: &ActorId,
        acknowledged: &[(u64, Instant)],
        survived: &[(u64, Record)],
        failed: Instant,
    ) {
        let last = survived.last().map_or(0, |(sequence, _)| *sequence);
        let mut known = 0;
        for (number, (sequence, at)) in acknowledged.iter().enumerate() {
            self.acknowledged += 1;
            let there = survived.binary_search_by_key(sequence, |(sequence, _)| *sequence);
            if there.is_ok_and(|at| survived[at].1 == record(actor, number)) {
                known += 1;
                continue;
            }
            self.lost += 1;
            self.holes += u64::from(*sequence < last);
            self.window = self.window.max(failed.saturating_duration_since(*at));
        }
        self.unasked += survived.len() as u64 - known;
    }
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
    format!("sync {sync}, names by {names}")
}

fn report(args: &BenchPowerArgs, rows: &[Row]) -> Result<()> {
    let share = |lost: u64, of: u64| if of == 0 { 0.0 } else { lost as f64 / of as f64 };
    if args.output.output == Output::Json {
        let rows = rows.iter().map(|row| {
            let acknowledged = row.sum(|f| f.acknowledged);
            json!({
                "sync": row.setting.sync, "names": row.setting.names, "failures": row.failures.len(),
                "acknowledged": acknowledged, "lost": row.sum(|f| f.lost), "lost_share": share(row.sum(|f| f.lost), acknowledged),
                "holes": row.sum(|f| f.holes), "unasked": row.sum(|f| f.unasked), "window_s": row.window().as_secs_f64(),
                "appends_per_second": acknowledged as f64 / row.took().as_secs_f64(), "syncs": row.sum(|f| f.syncs),
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
            format!("{:.0}", acknowledged as f64 / row.took().as_secs_f64()),
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
    let mut text = "setting,failure,acknowledged,lost,holes,unasked,window_s,took_s,syncs\n".to_owned();
    for row in rows {
        for (number, failed) in row.failures.iter().enumerate() {
            text += &format!(
                "{},{},{},{},{},{},{:.3},{:.3},{}\n",
                told(row.setting).replace(',', ";"),
                number + 1,
                failed.acknowledged,
                failed.lost,
                failed.holes,
                failed.unasked,
                failed.window.as_secs_f64(),
                failed.took.as_secs_f64(),
                failed.syncs
            );
        }
    }
    std::fs::write(path, text).map_err(|e| Failure::fault(format!("cannot write {}: {e}", path.display())))
}
