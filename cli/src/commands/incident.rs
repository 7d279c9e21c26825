//! `atlas incident`: contradictions between kernels. Nothing lands until a person has read each.

use atlas_domain::{ActorId, ActorKind};
use atlas_merge_coordinator::{Incident, MergeQueue};
use atlas_proto::{ClearIncident, Letter, letter};
use serde_json::json;

use crate::args::{IncidentArgs, IncidentCommand, Output};
use crate::attach::Attached;
use crate::directory::Directory;
use crate::failure::{Exit, Failure, Result};
use crate::print::{self, FAINT, STRONG, styled};

/// Lists or clears incidents of a run.
pub async fn incident(args: &IncidentArgs) -> Result<Exit> {
    let directory = Directory::find(&args.dir, args.run.as_deref())?;
    let attached = Attached::to(&directory).await?;
    let done = match &args.what {
        IncidentCommand::List { output } => list(&attached, output.output).await,
        IncidentCommand::Clear { incident, note } => clear(&attached, incident, note).await,
    };
    attached.close().await;
    done
}

/// All incidents, from the merge queue's journal.
async fn incidents(attached: &Attached) -> Result<Vec<Incident>> {
    let merge = ActorId::singleton(&attached.run, ActorKind::Merge);
    let queue: MergeQueue = atlas_actor::replay(&attached.bus, &merge)
        .await
        .map_err(|e| Failure::fault(format!("cannot read the incidents of `{}`: {e}", attached.run)))?;
    Ok(queue.incidents().cloned().collect())
}

async fn list(attached: &Attached, output: Output) -> Result<Exit> {
    let incidents = incidents(attached).await?;
    match output {
        Output::Json => print::json(&json!({ "run": attached.run, "incidents": incidents }))?,
        Output::Text if incidents.is_empty() => print::line("no kernels have contradicted each other"),
        Output::Text => {
            for Incident { id, what, submissions, cleared, .. } in &incidents {
                print::line(format!("{}  {what}", styled(STRONG, id)));
                print::line(format!("  submitted by {}", submissions.join(", ")));
                print::line(match cleared {
                    Some(note) => styled(FAINT, format!("  cleared: {note}")),
                    None => format!("  nothing lands: atlas incident clear {id} \"…\""),
                });
            }
        }
    }
    let open = incidents.iter().any(|incident| incident.cleared.is_none());
    Ok(if open { Exit::Incident } else { Exit::Done })
}

async fn clear(attached: &Attached, id: &str, note: &str) -> Result<Exit> {
    if note.trim().is_empty() {
        return Err(
            Failure::input("the note is empty").hint("say what you found: those who come after you read it")
        );
    }
    let known = incidents(attached).await?;
    match known.iter().find(|incident| incident.id == id) {
        None => {
            return Err(Failure::input(format!("`{}` has no incident `{id}`", attached.run))
                .hint("`atlas incident list` names them"));
        }
        Some(Incident { cleared: Some(note), .. }) => {
            print::line(format!("{id} was cleared before: {note}"));
            return Ok(Exit::Done);
        }
        Some(_) => {}
    }
    let clear = ClearIncident { incident: id.to_owned(), note: note.to_owned() };
    let letter = Letter { letter: Some(letter::Letter::ClearIncident(clear)) };
    let merge = ActorId::singleton(&attached.run, ActorKind::Merge);
    let letter_id = format!("{}.clear.{id}", attached.run);
    attached.bus.send(&merge, letter, &letter_id).await.map_err(|e| {
        Failure::fault(format!("cannot tell the run `{}`: {e}", attached.run))
            .hint("nothing was lost: send it again")
    })?;
    print::line(if attached.at_work {
        format!("{id} is cleared; landings go on")
    } else {
        format!("{id} is cleared; landings go on when you start the run again with `atlas run`")
    });
    Ok(Exit::Done)
}
