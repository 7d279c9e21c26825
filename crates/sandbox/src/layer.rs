//! What a sandbox is made of.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// No environment variable and no descriptor but the parent's sockets is inherited.
    Environment,
    /// A mount namespace with an empty root; what may be read is bound into it read-only.
    Mounts,
    /// A PID namespace: other processes have no number, and all that is in it ends with its first process.
    Processes,
    /// A network namespace without any interface that is up.
    Network,
    /// IPC, UTS and cgroup namespaces.
    Ipc,
    /// A user namespace without any mapped privilege; no capability, and none to be had (`no_new_privs`).
    Privileges,
    /// Limits of processes, files, file sizes; no core dumps.
    Limits,
    /// A control group of its own: memory as a whole, processes, processor time.
    Group,
    /// Landlock: files below what may be read can be read, no other can be opened; no TCP, no signal, no abstract socket to the outside.
    Landlock,
    /// seccomp: the system calls that a worker needs, and no other.
    Seccomp,
}

impl Layer {
    /// Those that are made of namespaces, which a container's own seccomp profile may forbid.
    pub const NAMESPACES: [Self; 4] = [Self::Mounts, Self::Processes, Self::Network, Self::Ipc];
}

/// What happens where the system does not allow a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// The process refuses to start, and names the layer.
    #[default]
    Required,
    /// It starts without namespaces where they cannot be had, and says so in its report. seccomp and Landlock are never left out.
    Reduced,
}

impl Sandbox {
    /// The environment variable by which a person says `reduced`.
    pub const VARIABLE: &'static str = "ATLAS_SANDBOX";

    /// What [`Sandbox::VARIABLE`] says; without it, [`Sandbox::Required`].
    ///
    /// # Errors
    /// Its value, when that is neither `required` nor `reduced`.
    pub fn from_environment() -> Result<Self, String> {
        match std::env::var(Self::VARIABLE).as_deref() {
            Err(std::env::VarError::NotPresent) | Ok("" | "required") => Ok(Self::Required),
            Ok("reduced") => Ok(Self::Reduced),
            Ok(other) => Err(other.to_owned()),
            Err(std::env::VarError::NotUnicode(other)) => Err(other.to_string_lossy().into_owned()),
        }
    }
}

/// How a process is to be confined. By default as a canary needs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// What happens where a layer cannot be had.
    pub sandbox: Sandbox,
    /// Layers that are left out on purpose: for tests of the others.
    pub without: BTreeSet<Layer>,
    /// Directories that may be read, absolute; they keep their paths.
    pub readable: Vec<PathBuf>,
    /// Threads that it may have.
    pub threads: u64,
    /// Bytes of memory that it may take as a whole, where it can be given a control group.
    pub memory: u64,
    /// Processors that it may keep busy, likewise.
    pub processors: u64,
    /// A program that is not this one, and that it starts; else it can start none.
    pub guest: Option<Guest>,
}

impl Default for Plan {
    fn default() -> Self {
        let (sandbox, without) = (Sandbox::default(), BTreeSet::new());
        Self { sandbox, without, readable: vec![], threads: 16, memory: 16 << 20, processors: 1, guest: None }
    }
}

/// A program that a confined process starts, as confined as itself: it sees what is readable, and can start no other beside itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// The program, absolute, below one of the readable directories; what lies there can be executed.
    pub program: PathBuf,
    /// Bytes that files may take in the directory where both can write ([`crate::Entered::scratch`]). It is empty in the beginning, and gone with the
    /// process. Where a mount namespace cannot be had it lies on disk and is not limited.
    pub scratch: u64,
    /// Bytes of memory of its own that either may take.
    pub memory: u64,
}

impl Plan {
    pub(crate) fn has(&self, layer: Layer) -> bool {
        !self.without.contains(&layer)
    }
}

/// What confines a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The layers in force.
    pub layers: BTreeSet<Layer>,
    /// What the sandbox has to do without, in words: empty unless it is reduced.
    pub missing: Vec<String>,
    /// What is not limited by control group, and why: a whole sandbox where the system lets no groups be made.
    pub unlimited: Vec<String>,
}
