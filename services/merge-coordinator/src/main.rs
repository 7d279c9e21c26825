//! The merge coordinator as a process of its own; `atlas run` links the same service in.

use atlas_merge_coordinator::{Options, run};
use atlas_process::Process;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    atlas_process::run(
        "merge-coordinator",
        "Certifies and lands the submissions of a run",
        async |options: Options, process: Process| {
            let options = Options { metrics: process.metrics, readiness: process.readiness, ..options };
            run(options, process.bus, process.shutdown).await
        },
    )
    .await
}
