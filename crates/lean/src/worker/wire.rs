//! What parent and worker say to each other.

use std::collections::BTreeSet;
use std::time::Duration;

use atlas_judge::{Ground, Judged};
use atlas_proto::Position;
use atlas_sandbox::canary::Targets;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::answer::Asked;
use crate::native::Program;
use crate::pipeline::{Below, Elaborated, Failure, Work};
use crate::replay::Replayed;

/// What a worker is for, told when it is started.
#[derive(Serialize, Deserialize)]
pub(crate) enum Task {
    /// Runs guests of an image.
    Guests { image: std::path::PathBuf, warm_bytes: u64 },
    /// Runs a native Lean, once.
    Native(Program),
    /// Judges, with the second kernel.
    Judge,
    /// Tries to get out.
    Canary(Targets),
}

/// Whether a worker could open what it needs.
#[derive(Serialize, Deserialize)]
pub(crate) enum Opened {
    /// It serves; names the toolchain and everything else that its answers depend on.
    As(String),
    Failed(String),
}

/// What may be used for a request.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Allowance {
    pub(crate) left: Duration,
    /// Bytes.
    pub(crate) memory: u64,
}

/// A request.
#[derive(Serialize, Deserialize)]
pub(crate) enum Ask {
    Elaborate(Box<Elaborate>),
    Foundation(Vec<String>),
    Replay { ground: Ground, export: ByteBuf },
    Examine { ground: Ground, export: ByteBuf, asked: BTreeSet<String> },
}

/// What a worker needs for a request.
#[derive(Serialize, Deserialize)]
pub(crate) enum Needed {
    /// The compiled module or the export of this digest; a request needs things of one kind.
    Content(String),
    /// The declarations of the toolchain's `Init` and of the modules of the request's ground.
    Toolchain,
    /// The same as the judge froze it ([`atlas_judge::Judge::frozen`]).
    Frozen,
}

/// A [`Work`] with all that it refers to.
#[derive(Serialize, Deserialize)]
pub(crate) struct Elaborate {
    name: String,
    source: String,
    begin: usize,
    library: Vec<String>,
    toolchain: Vec<String>,
    below: Vec<(String, String)>,
    certified: bool,
    described: Vec<String>,
    facts: bool,
    goals: Option<Position>,
    compile: bool,
    snippet: bool,
}

/// What a worker says while it has a request.
#[derive(Serialize, Deserialize)]
pub(crate) enum Say {
    /// It needs this; a [`Give`] is waited for.
    Need(Needed),
    /// The end of it.
    Done(Result<Done, Failure>, Spent),
}

/// What a request gave.
#[derive(Serialize, Deserialize)]
pub(crate) enum Done {
    Elaborated(Box<Elaborated>),
    Foundation(ByteBuf),
    Replayed(Replayed),
    /// And the toolchain's base, frozen, where it had to be read from its text.
    Judged(Box<Judged>, Option<ByteBuf>),
}

/// What a worker asked for, or why it cannot be had.
pub(crate) type Give = Result<ByteBuf, String>;

/// What a request took.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Spent {
    /// Time in Lean, and the most memory in bytes; `None` when Lean was not run.
    pub(crate) lean: Option<(Duration, u64)>,
    /// Processor time.
    pub(crate) cpu: Duration,
}

impl From<&Work<'_>> for Elaborate {
    fn from(work: &Work<'_>) -> Self {
        let owned = |text: &&str| (*text).to_owned();
        Self {
            name: work.name.to_owned(),
            source: work.source.to_owned(),
            begin: work.begin,
            library: work.library.iter().map(owned).collect(),
            toolchain: work.toolchain.to_vec(),
            below: work.below.iter().map(|b| (b.name.to_owned(), b.digest.to_owned())).collect(),
            certified: work.asked.certified,
            described: work.asked.described.iter().map(owned).collect(),
            facts: work.facts,
            goals: work.goals.copied(),
            compile: work.compile,
            snippet: work.snippet,
        }
    }
}

impl Elaborate {
    /// What is asked of the module.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { certified: self.certified, described: self.described.iter().map(String::as_str).collect() }
    }

    pub(crate) fn work<'a>(&'a self, asked: &'a Asked<'a>) -> Work<'a> {
        Work {
            name: &self.name,
            source: &self.source,
            begin: self.begin,
            library: self.library.iter().map(String::as_str).collect(),
            toolchain: &self.toolchain,
            below: self.below.iter().map(|(name, digest)| Below { name, digest }).collect(),
            asked,
            facts: self.facts,
            goals: self.goals.as_ref(),
            compile: self.compile,
            snippet: self.snippet,
        }
    }
}
