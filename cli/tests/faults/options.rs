//! What the environment asks for.

use std::path::PathBuf;

use crate::common::cache;
use crate::fault::Kind;

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// `ATLAS_FAULTS`: how many happen.
    pub faults: usize,
    /// `ATLAS_TEST_SEED`: decides which and when.
    pub seed: u64,
    /// `ATLAS_FAULTS_EXAMPLE`: which of `examples/`.
    pub example: String,
    /// `ATLAS_FAULTS_ONLY`: kinds, separated by commas; all when empty.
    pub only: Vec<Kind>,
    /// `ATLAS_OLDER`: a folder with the programs of an earlier build; one agent runner is of it.
    pub older: Option<PathBuf>,
    /// `ATLAS_NATS_SERVER_OLDEST`: the oldest nats-server that is supported; one node runs it. Else that of the cache, if it is there.
    pub oldest: Option<PathBuf>,
    /// `OUTPUT=json`: one document in the place of the table.
    pub json: bool,
}

impl Options {
    pub fn from_environment() -> Self {
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let oldest = given("ATLAS_NATS_SERVER_OLDEST").map(PathBuf::from);
        let cached = Some(cache().join("bin/nats-server-oldest")).filter(|path| path.exists());
        let only = given("ATLAS_FAULTS_ONLY");
        let number = |name: &str, else_: u64| given(name).map_or(else_, |value| value.parse().unwrap());
        Self {
            faults: usize::try_from(number("ATLAS_FAULTS", 20)).unwrap(),
            seed: number("ATLAS_TEST_SEED", std::process::id().into()),
            example: given("ATLAS_FAULTS_EXAMPLE").unwrap_or_else(|| "numbers".to_owned()),
            only: only.iter().flat_map(|kinds| kinds.split(',')).map(Kind::named).collect(),
            older: given("ATLAS_OLDER").map(PathBuf::from),
            oldest: oldest.or(cached),
            json: given("OUTPUT").is_some_and(|form| form == "json"),
        }
    }
}
