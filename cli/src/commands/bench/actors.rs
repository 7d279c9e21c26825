//! `atlas bench actors`: agents on one machine, from a few to many.

use std::path::Path;

use atlas_actor::bench::{Figures, Stage, fleet};
use atlas_bus::{Bus, Server, ServerOptions, Spec, SyncMode};
use atlas_domain::RunId;
use serde_json::json;

use super::machine;
use crate::args::{BenchActorsArgs, BenchSync, Output};
use crate::attach::nats_server;
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// Another system's figure: who, what, agents a second, where it is said.
const PEER: (&str, &str, f64, &str) = (
    "Ray",
    "10,000 actors, 64 machines of 64 cores",
    551.0,
    "release/perf_metrics/benchmarks/many_actors.json",
);

/// What lies where at one stage, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    host: u64,
    server: u64,
    disk: u64,
}

/// A fleet of one size.
struct Row {
    figures: Figures,
    empty: Usage,
    live: Usage,
    archived: Usage,
}

impl Row {
    /// Agents a second.
    fn activated(&self) -> f64 {
        f64::from(self.figures.agents) / self.figures.activation.as_secs_f64()
    }

    /// Turns a second; an agent's first record is none.
    fn turns(&self) -> f64 {
        let turns = self.figures.records - u64::from(self.figures.agents);
        turns as f64 / self.figures.turning.as_secs_f64()
    }

    /// Bytes for each agent, beyond those of an empty fleet.
    fn each(&self, at: Usage, of: fn(Usage) -> u64) -> f64 {
        of(at).saturating_sub(of(self.empty)) as f64 / f64::from(self.figures.agents)
    }
}

/// Measures.
pub fn actors(args: &BenchActorsArgs) -> Result<Exit> {
    if args.turns == 0 || args.agents.contains(&0) {
        return Err(Failure::input("agents and turns must be at least 1"));
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Failure::fault(e.to_string()))?;
    let mut rows = vec![];
    for &agents in &args.agents {
        progress(args, agents, "are activated");
        rows.push(runtime.block_on(measured(args, agents))?);
    }
    if let Some(path) = &args.csv {
        write_csv(path, &rows)?;
    }
    match args.output.output {
        Output::Json => print::json(&as_json(args, &rows))?,
        Output::Text => tables(args, &rows),
    }
    Ok(Exit::Done)
}

fn progress(args: &BenchActorsArgs, agents: u32, what: &str) {
    if args.output.output == Output::Text {
        print::error_line(print::styled(print::FAINT, format!("{agents} agents {what} …")));
    }
}

async fn measured(args: &BenchActorsArgs, agents: u32) -> Result<Row> {
    let wrong = |what: &dyn std::fmt::Display| Failure::fault(format!("{agents} agents: {what}"));
    let folder = tempfile::tempdir().map_err(|e| wrong(&e))?;
    let sync = match args.sync {
        BenchSync::Always => SyncMode::Always,
        BenchSync::Interval => SyncMode::Interval,
    };
    let options = ServerOptions {
        sync,
        ..ServerOptions::new(nats_server(args.cache.as_deref()), folder.path().to_owned())
    };
    let server = Server::start(options).await.map_err(|e| wrong(&e))?;
    let bus = Bus::connect(&server.options("bench")).await.map_err(|e| wrong(&e))?;
    bus.ensure_spec(&Spec::new(args.partitions)).await.map_err(|e| wrong(&e))?;
    let run = RunId::new("bench").map_err(|e| wrong(&e))?;
    let [mut empty, mut live, mut archived] = [Usage::default(); 3];
    let mut look = |stage| {
        let now = Usage {
            host: machine::resident(std::process::id()),
            server: machine::resident(server.pid()),
            disk: machine::size(&folder.path().join("jetstream")),
        };
        match stage {
            Stage::Empty => empty = now,
            Stage::Live => {
                live = now;
                progress(args, agents, "move to another host and wait");
            }
            Stage::Back => progress(args, agents, "take their turns"),
            Stage::Turned => progress(args, agents, "are archived"),
            Stage::Archived => archived = now,
        }
    };
    let figures = fleet(&bus, &run, agents, args.turns, &mut look).await.map_err(|e| wrong(&e))?;
    server.stop().await;
    Ok(Row { figures, empty, live, archived })
}

fn tables(args: &BenchActorsArgs, rows: &[Row]) {
    let seconds = |took: std::time::Duration| format!("{:.1}", took.as_secs_f64());
    let kilobytes = |bytes: f64| format!("{:.1}", bytes / 1e3);
    let cells = rows.iter().map(|row| {
        vec![
            row.figures.agents.to_string(),
            format!("{:.0}", row.activated()),
            seconds(row.figures.activation),
            format!("{:.0}", row.turns()),
            seconds(row.figures.archiving),
            seconds(row.figures.back),
            format!("{:.1}", row.figures.idle_messages),
            kilobytes(row.each(row.live, |u| u.host)),
            kilobytes(row.each(row.live, |u| u.server)),
            kilobytes(row.each(row.live, |u| u.disk)),
            kilobytes(row.each(row.archived, |u| u.disk)),
        ]
    });
    let head = [
        "AGENTS",
        "ACTIVATED/S",
        "ALL IN S",
        "TURNS/S",
        "ARCHIVED IN S",
        "BACK IN S",
        "IDLE MSG/S",
        "HOST KB EACH",
        "SERVER KB",
        "DISK KB LIVE",
        "DISK KB ARCHIVED",
    ];
    print::line(print::table(&head, cells.collect(), &(0..head.len()).collect::<Vec<_>>()));
    let (who, what, rate, source) = PEER;
    print::line(format!("Beside it: {who}, {what}: {rate:.0} activated a second ({source})."));
    print::line(format!(
        "One host, {} partitions, {} turns an agent; one nats-server, one copy, sync {}. Machine: {}.",
        args.partitions,
        args.turns,
        sync_name(args),
        machine::line()
    ));
}

fn sync_name(args: &BenchActorsArgs) -> &'static str {
    match args.sync {
        BenchSync::Always => "always",
        BenchSync::Interval => "every two minutes",
    }
}

fn as_json(args: &BenchActorsArgs, rows: &[Row]) -> serde_json::Value {
    let (who, what, rate, source) = PEER;
    json!({
        "machine": machine::line(), "partitions": args.partitions, "turns": args.turns, "sync": sync_name(args),
        "fleets": rows.iter().map(|row| json!({
            "agents": row.figures.agents,
            "activated_per_second": row.activated(),
            "activation_s": row.figures.activation.as_secs_f64(),
            "turns_per_second": row.turns(),
            "archiving_s": row.figures.archiving.as_secs_f64(),
            "back_s": row.figures.back.as_secs_f64(),
            "idle_messages_per_second": row.figures.idle_messages,
            "host_bytes_per_live_agent": row.each(row.live, |u| u.host),
            "server_bytes_per_live_agent": row.each(row.live, |u| u.server),
            "disk_bytes_per_live_agent": row.each(row.live, |u| u.disk),
            "disk_bytes_per_archived_agent": row.each(row.archived, |u| u.disk),
        })).collect::<Vec<_>>(),
        "peers": [{ "who": who, "what": what, "activated_per_second": rate, "source": source }],
    })
}

fn write_csv(path: &Path, rows: &[Row]) -> Result<()> {
    let mut text = "agents,activation_s,back_s,turning_s,archiving_s,idle_messages_per_second,host_bytes,server_bytes,disk_bytes_live,disk_bytes_archived\n".to_owned();
    for row in rows {
        let of = &row.figures;
        text += &format!(
            "{},{:.3},{:.3},{:.3},{:.3},{:.2},{},{},{},{}\n",
            of.agents,
            of.activation.as_secs_f64(),
            of.back.as_secs_f64(),
            of.turning.as_secs_f64(),
            of.archiving.as_secs_f64(),
            of.idle_messages,
            row.live.host,
            row.live.server,
            row.live.disk,
            row.archived.disk
        );
    }
    std::fs::write(path, text).map_err(|e| Failure::fault(format!("cannot write {}: {e}", path.display())))
}
