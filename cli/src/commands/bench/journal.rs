//! `atlas bench journal`: appends and turns a second, by copies, syncing, size and writers; a bare file and bare requests beside them.

mod disk;

use std::path::Path;
use std::time::Duration;

use atlas_actor::bench::fleet;
use atlas_bus::bench::{Figures, appends, requests};
use atlas_bus::{Bus, Cluster, ClusterOptions, Options, Server, ServerOptions, Spec, SyncMode};
use atlas_domain::RunId;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::disk::Traffic;
use super::{machine, quantile, sorted};
use crate::args::{BenchJournalArgs, BenchSync, Output};
use crate::attach::nats_server;
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// Partitions that agents lie in.
const PARTITIONS: u16 = 64;
/// Turns of each agent.
const TURNS: u32 = 5;
/// How long copies may take to agree before anything is measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// The servers that one part of the table is of.
struct Servers {
    replicas: usize,
    sync: BenchSync,
    running: Running,
    bus: Bus,
    /// Another connection, for who answers.
    other: Bus,
    folder: TempDir,
}

enum Running {
    One(Server),
    Three(Cluster),
}

/// Appends of one size by so many writers.
struct Row {
    replicas: usize,
    sync: BenchSync,
    bytes: usize,
    writers: u32,
    figures: Figures,
    traffic: Traffic,
}

/// What stands beside: the same number of bytes, without a journal.
struct Floor {
    /// `None`: a file, one after the other. Otherwise requests through a server, so many at once.
    at_once: Option<u32>,
    bytes: usize,
    figures: Figures,
}

/// Turns of agents on a host of this process.
struct Turns {
    replicas: usize,
    sync: BenchSync,
    per_second: f64,
    activated_per_second: f64,
}

#[derive(Default)]
struct Found {
    rows: Vec<Row>,
    floors: Vec<Floor>,
    turns: Vec<Turns>,
}

/// Measures.
pub fn journal(args: &BenchJournalArgs) -> Result<Exit> {
    if args.writers.contains(&0) || !(args.seconds > 0.0 && args.seconds < 3600.0) {
        return Err(Failure::input("writers and seconds must be more than 0"));
    }
    let runtime = tokio::runtime::Runtime::new().map_err(fault)?;
    let mut found = Found::default();
    let time = Duration::from_secs_f64(args.seconds);
    for &bytes in &args.bytes {
        say(args, format!("{bytes} bytes to a bare file"));
        let folder = tempfile::tempdir().map_err(fault)?;
        let figures = disk::file(&folder.path().join("floor"), bytes, time).map_err(fault)?;
        found.floors.push(Floor { at_once: None, bytes, figures });
    }
    for &replicas in &args.replicas {
        for &sync in &args.sync {
            runtime.block_on(measured(args, replicas, sync, &mut found))?;
        }
    }
    if let Some(path) = &args.csv {
        write_csv(path, &found.rows)?;
    }
    match args.output.output {
        Output::Json => print::json(&as_json(&found))?,
        Output::Text => tables(&found),
    }
    Ok(Exit::Done)
}

fn fault(error: impl std::fmt::Display) -> Failure {
    Failure::fault(error.to_string())
}

fn say(args: &BenchJournalArgs, what: String) {
    if args.output.output == Output::Text {
        print::error_line(print::styled(print::FAINT, format!("measuring {what} …")));
    }
}

async fn measured(
    args: &BenchJournalArgs,
    replicas: usize,
    sync: BenchSync,
    found: &mut Found,
) -> Result<()> {
    let servers = Servers::start(args, replicas, sync).await?;
    let time = Duration::from_secs_f64(args.seconds);
    for &bytes in &args.bytes {
        for &writers in &args.writers {
            say(args, format!("{bytes} bytes, {writers} at once, {}", servers.name()));
            if !found.floors.iter().any(|floor| (floor.at_once, floor.bytes) == (Some(writers), bytes)) {
                let asked = requests(&servers.bus, &servers.other, writers, bytes, time).await;
                found.floors.push(Floor { at_once: Some(writers), bytes, figures: asked.map_err(fault)? });
            }
            let run = RunId::new(format!("bench-{bytes}-{writers}")).map_err(fault)?;
            let before = servers.traffic();
            let figures = appends(&servers.bus, &run, writers, bytes, time).await.map_err(fault)?;
            let traffic = servers.traffic().since(before);
            found.rows.push(Row { replicas, sync, bytes, writers, figures, traffic });
        }
    }
    if args.agents > 0 {
        say(args, format!("turns of {} agents, {}", args.agents, servers.name()));
        // The journals above are this bench's own: a fleet wants the bus to itself.
        let fresh = Servers::start(args, replicas, sync).await?;
        let run = RunId::new("bench").map_err(fault)?;
        let figures = fleet(&fresh.bus, &run, args.agents, TURNS, &mut |_| {}).await.map_err(fault)?;
        let of = |count: u64, took: Duration| count as f64 / took.as_secs_f64();
        found.turns.push(Turns {
            replicas,
            sync,
            per_second: of(figures.records - u64::from(args.agents), figures.turning),
            activated_per_second: of(args.agents.into(), figures.activation),
        });
        fresh.stop().await;
    }
    servers.stop().await;
    Ok(())
}

impl Servers {
    async fn start(args: &BenchJournalArgs, replicas: usize, sync: BenchSync) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(fault)?;
        let (binary, dir) = (nats_server(args.cache.as_deref()), folder.path().to_owned());
        let mode = match sync {
            BenchSync::Always => SyncMode::Always,
            BenchSync::Interval => SyncMode::Interval,
        };
        let running = if replicas == 1 {
            let options = ServerOptions { sync: mode, ..ServerOptions::new(binary, dir) };
            Running::One(Server::start(options).await.map_err(fault)?)
        } else {
            let options = ClusterOptions { sync: mode, ..ClusterOptions::new(binary, dir) };
            Running::Three(Cluster::start(&options).await.map_err(fault)?)
        };
        let options = |name: &str| -> Options {
            match &running {
                Running::One(server) => server.options(name),
                Running::Three(cluster) => cluster.options(name),
            }
        };
        let bus = Bus::connect(&options("bench")).await.map_err(fault)?;
        let other = Bus::connect(&options("answers")).await.map_err(fault)?;
        bus.ensure_spec(&Spec { replicas, ..Spec::new(PARTITIONS) }).await.map_err(fault)?;
        let whole = async {
            while !bus.is_whole().await.unwrap_or(false) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let agreed = tokio::time::timeout(PATIENCE, whole).await;
        agreed.map_err(|_| Failure::fault("the copies of the streams do not come to agree"))?;
        Ok(Self { replicas, sync, running, bus, other, folder })
    }

    fn name(&self) -> String {
        let copies = if self.replicas == 1 { "one copy" } else { "three copies" };
        format!("{copies}, sync {}", sync_name(self.sync))
    }

    fn traffic(&self) -> Traffic {
        let pids = match &self.running {
            Running::One(server) => vec![server.pid()],
            Running::Three(cluster) => (0..cluster.len()).filter_map(|node| cluster.pid(node)).collect(),
        };
        Traffic::now(&pids, self.folder.path())
    }

    async fn stop(self) {
        match self.running {
            Running::One(server) => server.stop().await,
            Running::Three(cluster) => cluster.stop().await,
        }
    }
}

fn sync_name(sync: BenchSync) -> &'static str {
    match sync {
        BenchSync::Always => "always",
        BenchSync::Interval => "interval",
    }
}

/// Half of them, and all but one in a hundred, took at most so many milliseconds.
fn times(figures: &Figures) -> (f64, f64) {
    let each = sorted(figures.each.iter().map(|took| took.as_secs_f64() * 1e3));
    (quantile(&each, 0.5), quantile(&each, 0.99))
}

impl Row {
    fn per_append(&self, total: Option<u64>) -> Option<f64> {
        total.map(|total| total as f64 / self.figures.each.len() as f64)
    }
}

/// The name of the device that the stores lie on.
fn device() -> Option<String> {
    let device = disk::device(&std::env::temp_dir())?;
    Some(device.file_name()?.to_string_lossy().into_owned())
}

fn tables(found: &Found) {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let rows = found.rows.iter().map(|row| {
        let (p50, p99) = times(&row.figures);
        vec![
            row.replicas.to_string(),
            sync_name(row.sync).to_owned(),
            row.bytes.to_string(),
            row.writers.to_string(),
            format!("{:.0}", row.figures.rate()),
            format!("{p50:.2}"),
            format!("{p99:.2}"),
            number(row.per_append(row.traffic.written).map(|bytes| bytes / 1e3)),
            number(row.per_append(row.traffic.flushes)),
        ]
    });
    let head = [
        "COPIES",
        "SYNC",
        "BYTES",
        "AT ONCE",
        "APPENDS/S",
        "P50 MS",
        "P99 MS",
        "KB WRITTEN EACH",
        "FLUSHES EACH",
    ];
    print::line(print::table(&head, rows.collect(), &[0, 2, 3, 4, 5, 6, 7, 8]));
    let floors = found.floors.iter().map(|floor| {
        let (p50, p99) = times(&floor.figures);
        let what =
            if floor.at_once.is_none() { "write and fsync, one file" } else { "request, nothing stored" };
        vec![
            what.to_owned(),
            floor.bytes.to_string(),
            floor.at_once.unwrap_or(1).to_string(),
            format!("{:.0}", floor.figures.rate()),
            format!("{p50:.2}"),
            format!("{p99:.2}"),
        ]
    });
    print::line(print::table(
        &["BESIDE IT", "BYTES", "AT ONCE", "A SECOND", "P50 MS", "P99 MS"],
        floors.collect(),
        &[1, 2, 3, 4, 5],
    ));
    if !found.turns.is_empty() {
        let turns = found.turns.iter().map(|turns| {
            vec![
                turns.replicas.to_string(),
                sync_name(turns.sync).to_owned(),
                format!("{:.0}", turns.per_second),
                format!("{:.0}", turns.activated_per_second),
            ]
        });
        print::line(print::table(&["COPIES", "SYNC", "TURNS/S", "ACTIVATED/S"], turns.collect(), &[0, 2, 3]));
    }
    print::line(format!(
        "Written: by the nats-server processes, /proc/PID/io. Flushes: of the whole device that the stores lie on, others' too ({}). Machine: {}.",
        device().unwrap_or("none known".to_owned()),
        machine::line()
    ));
}

fn as_json(found: &Found) -> Value {
    let rows = found.rows.iter().map(|row| {
        let (p50, p99) = times(&row.figures);
        json!({
            "replicas": row.replicas, "sync": sync_name(row.sync), "bytes": row.bytes, "writers": row.writers,
            "appends": row.figures.each.len(), "appends_per_second": row.figures.rate(), "p50_ms": p50, "p99_ms": p99,
            "bytes_written_per_append": row.per_append(row.traffic.written),
            "device_flushes_per_append": row.per_append(row.traffic.flushes),
        })
    });
    let floors = found.floors.iter().map(|floor| {
        let (p50, p99) = times(&floor.figures);
        json!({
            "what": if floor.at_once.is_none() { "file" } else { "request" }, "bytes": floor.bytes,
            "at_once": floor.at_once.unwrap_or(1), "per_second": floor.figures.rate(), "p50_ms": p50, "p99_ms": p99,
        })
    });
    let turns = found.turns.iter().map(|turns| {
        json!({
            "replicas": turns.replicas, "sync": sync_name(turns.sync), "turns_per_second": turns.per_second,
            "activated_per_second": turns.activated_per_second,
        })
    });
    json!({
        "machine": machine::line(), "device": device(),
        "appends": rows.collect::<Vec<_>>(), "floors": floors.collect::<Vec<_>>(), "turns": turns.collect::<Vec<_>>(),
    })
}

fn write_csv(path: &Path, rows: &[Row]) -> Result<()> {
    use std::fmt::Write as _;
    let mut text = "replicas,sync,bytes,writers,microseconds\n".to_owned();
    for row in rows {
        for took in &row.figures.each {
            let (sync, micros) = (sync_name(row.sync), took.as_micros());
            // Writing to a string does not fail.
            let _ = writeln!(text, "{},{sync},{},{},{micros}", row.replicas, row.bytes, row.writers);
        }
    }
    std::fs::write(path, text).map_err(|e| Failure::fault(format!("cannot write {}: {e}", path.display())))
}
