//! What goes wrong, when, for how long and for whom.

use std::str::FromStr;

use crate::clock::{Chance, Micros, SECOND};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Requests, answers and deliveries are lost.
    Loss,
    /// Requests reach the server twice.
    Duplicate,
    /// Messages take up to seconds, and overtake each other.
    Delay,
    /// A process cannot reach the server.
    Partition,
    /// A process dies and starts again.
    Kill,
    /// A process stands still for longer than a lease lives; then all that waited for it comes at once, in any order.
    Pause,
    /// A process's wall clock jumps.
    ClockJump,
    /// The server takes long to store.
    SlowDisk,
    /// The server stores nothing.
    FullDisk,
    /// Reads of leases show what was there before the last write.
    StaleRead,
    /// The server takes no work.
    FullQueue,
    /// Letters that no actor can take.
    Poison,
    /// The server starts again: questions under way have no answer, and what was delivered is delivered anew.
    ServerRestart,
    /// Lean takes longer than work may lie with a worker.
    SlowLean,
    /// What lies in queues is handed out in any order.
    Reorder,
    /// What was delivered is delivered again while it is being worked on.
    Redelivery,
    /// One process after the other is replaced by one of a newer version, whose records older ones cannot read.
    Upgrade,
    /// The server's machine loses its power, and starts again. What was acknowledged and not synced is gone ([`crate::Sync`]).
    PowerFailure,
}

impl FaultKind {
    /// All of them; new ones at the end, so that a list of the first ones keeps its seeds' schedules.
    pub const ALL: [Self; 18] = [
        Self::Loss,
        Self::Duplicate,
        Self::Delay,
        Self::Partition,
        Self::Kill,
        Self::Pause,
        Self::ClockJump,
        Self::SlowDisk,
        Self::FullDisk,
        Self::StaleRead,
        Self::FullQueue,
        Self::Poison,
        Self::ServerRestart,
        Self::SlowLean,
        Self::Reorder,
        Self::Redelivery,
        Self::Upgrade,
        Self::PowerFailure,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Duplicate => "duplicate",
            Self::Delay => "delay",
            Self::Partition => "partition",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::ClockJump => "clock-jump",
            Self::SlowDisk => "slow-disk",
            Self::FullDisk => "full-disk",
            Self::StaleRead => "stale-read",
            Self::FullQueue => "full-queue",
            Self::Poison => "poison",
            Self::ServerRestart => "server-restart",
            Self::SlowLean => "slow-lean",
            Self::Reorder => "reorder",
            Self::Redelivery => "redelivery",
            Self::Upgrade => "upgrade",
            Self::PowerFailure => "power-failure",
        }
    }
}

/// Which kinds of fault a run has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<FaultKind>);

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let one = |name: &str| {
            FaultKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
                let names: Vec<&str> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
                format!("there is no fault `{name}`; there are: all, none, {}", names.join(", "))
            })
        };
        match text {
            "all" => Ok(Self(FaultKind::ALL.to_vec())),
            "none" => Ok(Self(Vec::new())),
            list => list.split(',').map(|name| one(name.trim())).collect::<Result<_, _>>().map(Self),
        }
    }
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// Which kind.
    pub kind: FaultKind,
    /// From when.
    pub at_us: Micros,
    /// For how long.
    pub lasts_us: Micros,
    /// Whom it concerns, reduced to the number of processes; and how hard it is.
    pub bits: u64,
}

/// The faults of a seed: `count` of the given kinds within `window`.
pub fn schedule(seed: u64, kinds: &Faults, count: u32, window: Micros) -> Vec<Fault> {
    if kinds.0.is_empty() {
        return Vec::new();
    }
    let mut chance = Chance::new(seed ^ 0xfa17);
    let mut faults: Vec<Fault> = (0..count)
        .map(|_| {
            let kind = kinds.0[chance.range(0, kinds.0.len() as u64) as usize];
            let lasts_us = match kind {
                FaultKind::Kill => chance.range(SECOND / 10, 20 * SECOND),
                FaultKind::Pause => chance.range(SECOND, 40 * SECOND),
                FaultKind::Partition => chance.range(SECOND, 30 * SECOND),
                FaultKind::SlowLean => chance.range(60 * SECOND, 200 * SECOND),
                FaultKind::FullDisk | FaultKind::FullQueue => chance.range(SECOND, 20 * SECOND),
                // A machine boots.
                FaultKind::PowerFailure => chance.range(15 * SECOND, 60 * SECOND),
                _ => chance.range(SECOND, 60 * SECOND),
            };
            Fault { kind, at_us: chance.range(0, window), lasts_us, bits: chance.bits() }
        })
        .collect();
    faults.sort_by_key(|fault| (fault.at_us, fault.bits));
    faults
}
