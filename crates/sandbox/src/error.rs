//! Why a confined process cannot be had.

use std::path::PathBuf;

/// A fault of the machine, its settings or the installation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program cannot be run.
    #[error("cannot start `{program}`: {cause}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The system does not allow what confines it.
    #[error(
        "the sandbox is not in force: {0}; see docs/sandbox.md, or set `{variable}=reduced` to do without namespaces",
        variable = crate::Sandbox::VARIABLE
    )]
    Refused(String),
    /// Parent and program do not speak the same language.
    #[error("`{program}` is of another build, {its}, than this program, {own}")]
    Build {
        /// The program.
        program: PathBuf,
        /// Its build.
        its: String,
        /// This process's.
        own: String,
    },
    /// It started, and then said nothing that can be understood.
    #[error("the confined process cannot be spoken to: {0}")]
    Silent(String),
    /// Something cannot be done that is needed to confine a process.
    #[error("cannot {attempt}: {cause}")]
    Confine {
        /// What was attempted.
        attempt: String,
        /// What the system says.
        cause: String,
    },
}

impl Error {
    pub(crate) fn confine<C: std::fmt::Display>(attempt: impl Into<String>) -> impl FnOnce(C) -> Self {
        move |cause| Self::Confine { attempt: attempt.into(), cause: cause.to_string() }
    }
}
