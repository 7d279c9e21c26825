//! What the bench found, as a table, JSON and CSV.

use std::ops::{AddAssign, Sub};
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::part::Part;
use crate::args::{BenchFleetArgs, BenchSync};
use crate::commands::bench::machine;
use crate::failure::{Failure, Result};
use crate::print;

/// Where something is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// All runners together.
    Runners,
    /// Planner and ledger.
    Planner,
    /// Merge queue and git.
    Merge,
    /// The stand-in for Lean.
    Verifier,
    /// nats-server.
    Server,
}

/// Their names, in order.
pub const PLACES: [&str; 5] = ["runners", "planner", "merge", "verifier", "server"];

impl Place {
    /// Where a process's use counts.
    pub fn of(part: Part) -> Self {
        match part {
            Part::Runner => Self::Runners,
            Part::Planner => Self::Planner,
            Part::Merge => Self::Merge,
            Part::Verifier => Self::Verifier,
        }
    }
}

/// What has been used since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Counters {
    /// Messages between processes and server.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Messages stored.
    pub stored: u64,
    /// Flushes of the disk, by all that the machine did.
    pub syncs: u64,
    /// Turns that the model answered.
    pub turns: u64,
    /// Processor seconds by [`Place`].
    pub cpu: [f64; PLACES.len()],
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.stored += other.stored;
        self.syncs += other.syncs;
        self.turns += other.turns;
        for (sum, more) in self.cpu.iter_mut().zip(other.cpu) {
            *sum += more;
        }
    }
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(before.messages),
            bytes: self.bytes.saturating_sub(before.bytes),
            stored: self.stored.saturating_sub(before.stored),
            syncs: self.syncs.saturating_sub(before.syncs),
            turns: self.turns.saturating_sub(before.turns),
            cpu: std::array::from_fn(|place| (self.cpu[place] - before.cpu[place]).max(0.0)),
        }
    }
}

/// What is held at one moment, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Footing {
    /// Memory by [`Place`].
    pub memory: [u64; PLACES.len()],
    /// The server's store.
    pub disk: u64,
    /// The library's repository.
    pub git: u64,
}

/// A part of the fleet's life.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phase {
    /// Which.
    pub name: &'static str,
    /// How long it took.
    pub seconds: f64,
    /// Agents that it was about.
    pub of: u64,
    /// What it used.
    pub used: Counters,
    /// What was held at its end.
    pub then: Footing,
}

/// A fleet of one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fleet {
    /// Agents at once.
    pub agents: u32,
    /// Agents that there ever were: authors, reviewers, triage.
    pub attempts: u64,
    /// Submissions that landed.
    pub landings: u64,
    /// What was held before the run began.
    pub empty: Footing,
    /// In order.
    pub phases: Vec<Phase>,
}

impl Fleet {
    /// A phase by name.
    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }

    /// Bytes for each of `of` agents beyond those before the run.
    pub fn each(&self, then: Footing, of: u64, what: impl Fn(Footing) -> u64) -> f64 {
        what(then).saturating_sub(what(self.empty)) as f64 / of.max(1) as f64
    }
}

/// Prints two tables: phases, and what agents hold.
pub fn tables(args: &BenchFleetArgs, fleets: &[Fleet]) {
    let mut rows = vec![];
    for fleet in fleets {
        for phase in &fleet.phases {
            let each = |what: f64| what / phase.of.max(1) as f64;
            let used = &phase.used;
            let mut row = vec![
                fleet.agents.to_string(),
                phase.name.to_owned(),
                format!("{:.1}", phase.seconds),
                format!("{:.0}", phase.of as f64 / phase.seconds),
                format!("{:.0}", used.turns as f64 / phase.seconds),
                format!("{:.1}", each(used.messages as f64)),
                format!("{:.1}", each(used.bytes as f64 / 1e3)),
                format!("{:.2}", each(used.stored as f64)),
                format!("{:.2}", each(used.syncs as f64)),
            ];
            row.extend(used.cpu.iter().map(|&seconds| format!("{:.2}", each(seconds * 1e3))));
            rows.push(row);
        }
    }
    let mut head = vec!["AGENTS", "PHASE", "S", "AGENTS/S", "TURNS/S", "MSG", "KB", "STORED", "SYNCS"];
    let cpu: Vec<String> = PLACES.iter().map(|place| format!("{} MS", place.to_uppercase())).collect();
    head.extend(cpu.iter().map(String::as_str));
    let numbers: Vec<usize> = (0..head.len()).filter(|&at| at != 1).collect();
    print::line(print::table(&head, rows, &numbers));
    let kilobytes = |bytes: f64| format!("{:.1}", bytes / 1e3);
    let held = |fleet: &Fleet, what: &str, phase: &str, of: u64| {
        let then = fleet.phase(phase)?.then;
        let mut row = vec![fleet.agents.to_string(), what.to_owned()];
        row.extend((0..PLACES.len()).map(|place| kilobytes(fleet.each(then, of, |f| f.memory[place]))));
        row.push(kilobytes(fleet.each(then, of, |f| f.disk)));
        row.push(kilobytes(fleet.each(then, of, |f| f.git)));
        Some(row)
    };
    let rows = fleets.iter().flat_map(|fleet| {
        let agents = u64::from(fleet.agents);
        [
            held(fleet, "live, at their first turn", "activate", agents),
            held(fleet, "live, after the steady turns", "steady", agents),
            held(fleet, "archived", "archive", fleet.attempts),
        ]
    });
    let mut head = vec!["AGENTS", "KB EACH"];
    let places: Vec<String> = PLACES.iter().map(|place| place.to_uppercase()).collect();
    head.extend(places.iter().map(String::as_str));
    head.extend(["DISK", "GIT"]);
    print::line(print::table(&head, rows.flatten().collect(), &[0, 2, 3, 4, 5, 6, 7, 8]));
    for fleet in fleets {
        print::line(format!(
            "{} targets: {} attempts, {} landings.",
            fleet.agents, fleet.attempts, fleet.landings
        ));
    }
    print::line(format!(
        "Messages, kilobytes of them, messages stored, syncs (flushes of the machine's disk) and processor time for each agent. {} runners, {} partitions, authors of {} turns; one nats-server, one copy, sync {}. Machine: {}.",
        args.runners,
        args.partitions,
        args.turns,
        sync_name(args),
        machine::line()
    ));
}

fn sync_name(args: &BenchFleetArgs) -> &'static str {
    match args.sync {
        BenchSync::Always => "always",
        BenchSync::Interval => "every two minutes",
    }
}

/// The same as JSON.
pub fn as_json(args: &BenchFleetArgs, fleets: &[Fleet]) -> serde_json::Value {
    json!({
        "machine": machine::line(), "runners": args.runners, "partitions": args.partitions, "turns": args.turns,
        "steady": args.steady, "places": args.places, "sync": sync_name(args), "of": PLACES, "fleets": fleets,
    })
}

/// Each single measurement: a row for each phase.
pub fn write_csv(path: &Path, fleets: &[Fleet]) -> Result<()> {
    let mut text = "agents,phase,seconds,of,turns,messages,bytes,stored,syncs".to_owned();
    for place in PLACES {
        text += &format!(",{place}_cpu_s");
    }
    for place in PLACES {
        text += &format!(",{place}_memory");
    }
    text += ",disk,git\n";
    for fleet in fleets {
        let empty = Phase {
            name: "empty",
            seconds: 0.0,
            of: u64::from(fleet.agents),
            used: Counters::default(),
            then: fleet.empty,
        };
        for Phase { name, seconds, of, used, then } in std::iter::once(&empty).chain(&fleet.phases) {
            let Counters { messages, bytes, stored, syncs, turns, cpu } = used;
            text += &format!(
                "{},{name},{seconds:.3},{of},{turns},{messages},{bytes},{stored},{syncs}",
                fleet.agents
            );
            for seconds in cpu {
                text += &format!(",{seconds:.3}");
            }
            for bytes in then.memory {
                text += &format!(",{bytes}");
            }
            text += &format!(",{},{}\n", then.disk, then.git);
        }
    }
    write(path, &text)
}

/// Writes a file.
pub fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Failure::fault(format!("cannot write {}: {e}", path.display())))
}
