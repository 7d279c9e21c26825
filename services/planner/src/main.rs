//! The planner as a process of its own; `atlas run` links the same service in.

use atlas_planner::{Options, run};
use atlas_process::Process;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    atlas_process::run(
        "planner",
        "Plans a run and keeps its budget",
        async |options: Options, process: Process| {
            let options = Options { metrics: process.metrics, readiness: process.readiness, ..options };
            run(options, process.bus, process.shutdown).await
        },
    )
    .await
}
