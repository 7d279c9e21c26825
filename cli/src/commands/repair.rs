//! `atlas repair`: the library's repository is built anew from the merge queue's journal.

use std::path::{Path, PathBuf};

use atlas_domain::ActorKind;
use atlas_merge_coordinator::{Rebuilt, rebuild};
use serde_json::json;

use crate::args::{Output, RepairArgs};
use crate::attach::Attached;
use crate::directory::{Directory, beside};
use crate::failure::{Exit, Failure, Result};
use crate::format::{now_ms, plural};
use crate::print;

/// Builds the repository of a stopped run anew; the one that was there is kept beside it.
pub async fn repair(args: &RepairArgs) -> Result<Exit> {
    let directory = Directory::find(&args.which.dir, args.which.run.as_deref())?;
    if directory.is_at_work() {
        return Err(Failure::input(format!("the run in {} is at work", directory.root().display()))
            .hint("stop it first, with Ctrl-C in its terminal or `kill -INT`; nothing is lost by that"));
    }
    let attached = Attached::to(&directory).await?;
    let built = build(&attached, &directory).await;
    let run = attached.run.clone();
    attached.close().await;
    let (rebuilt, kept) = built?;
    match args.output.output {
        Output::Json => {
            print::json(
                &json!({ "run": run, "commits": rebuilt.commits, "main": rebuilt.main, "kept": kept }),
            )?;
        }
        Output::Text => {
            print::line(format!(
                "{} is built anew from the journal: {}, main at {}",
                directory.repository().display(),
                plural(rebuilt.commits, "commit"),
                rebuilt.main.as_deref().unwrap_or("nothing")
            ));
            if let Some(kept) = kept {
                print::line(format!("what was there is kept in {}", kept.display()));
            }
            print::line("go on with the same `atlas run` as before");
        }
    }
    Ok(Exit::Done)
}

async fn build(attached: &Attached, directory: &Directory) -> Result<(Rebuilt, Option<PathBuf>)> {
    // On the run's own server, which was started for this, what is left of leases is a dead process's.
    if !attached.is_own() {
        let held = attached.bus.held(&attached.run).await.map_err(|e| Failure::fault(e.to_string()))?;
        if let Some(held) = held.iter().find(|held| held.kind == ActorKind::Merge.as_str()) {
            return Err(Failure::input(format!(
                "`{}` works on the merge queue of `{}`",
                held.host, attached.run
            ))
            .hint("stop the merge coordinator first"));
        }
    }
    let (repository, new) = (directory.repository(), beside(&directory.repository(), "new"));
    if new.exists() {
        std::fs::remove_dir_all(&new).map_err(|e| unusable(&new, &e))?;
    }
    let rebuilt = rebuild(&attached.bus, &attached.run, &new).await.map_err(|e| {
        Failure::fault(format!("{} cannot be built from the journal: {e}", repository.display()))
            .hint("the repository is as it was; `atlas restore` brings a backup back")
    })?;
    let kept = repository.exists().then(|| beside(&repository, &format!("damaged-{}", now_ms())));
    if let Some(kept) = &kept {
        std::fs::rename(&repository, kept).map_err(|e| unusable(kept, &e))?;
    }
    std::fs::rename(&new, &repository).map_err(|e| unusable(&repository, &e))?;
    Ok((rebuilt, kept))
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::fault(format!("cannot write {}: {error}", path.display()))
}
