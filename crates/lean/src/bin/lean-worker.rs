//! A sandboxed process in which the embedded Lean runs. Started by what asks Lean, never by hand.

use std::process::ExitCode;

fn main() -> ExitCode {
    atlas_lean::worker()
}
