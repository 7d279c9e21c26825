//! The verifier as a process of its own; `atlas run` links the same service in.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use atlas_lean::{Embedded, EmbeddedOptions, Sandbox};
use atlas_lean_verifier::Options;
use atlas_process::Process;
use serde::Deserialize;

/// The file given by `--config`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    verifier: Options,
    /// The embedded Lean's image, made by `lean-image build`.
    image: PathBuf,
    /// Where results are kept by content.
    cache: PathBuf,
    /// Bytes of memory for warm guests that are kept.
    #[serde(default = "default_warm_bytes")]
    warm_bytes: u64,
    /// Bytes of memory that one worker may take as a whole, where it can be given a control group.
    #[serde(default = "atlas_lean::worker_bytes")]
    worker_bytes: u64,
    /// `required`, or `reduced`: without namespaces where the system does not allow them (docs/sandbox.md).
    #[serde(default)]
    sandbox: Sandbox,
}

fn default_warm_bytes() -> u64 {
    atlas_lean::WARM_BYTES
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let about = "Answers questions to Lean: agents' checks and the merge queue's certifications";
    atlas_process::run("lean-verifier", about, async |config: Config, process: Process| {
        let open = EmbeddedOptions {
            warm_bytes: config.warm_bytes,
            worker_bytes: config.worker_bytes,
            sandbox: config.sandbox,
            ..EmbeddedOptions::at(&config.image, &config.cache)
        };
        let toolchain = Embedded::with_options(&open).context("the embedded Lean cannot be opened")?;
        let options = Options { metrics: process.metrics, readiness: process.readiness, ..config.verifier };
        atlas_lean_verifier::run(options, Arc::new(toolchain), process.bus, process.shutdown)
            .await
            .map_err(anyhow::Error::from)
    })
    .await
}
