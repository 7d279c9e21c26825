//! `atlas reply`: a person's answer to a question of the run. Recorded answers take the same way.

use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_planner::Escalation;
use atlas_proto::{HumanReply, Letter, letter};
use sha2::{Digest, Sha256};

use crate::args::ReplyArgs;
use crate::attach::Attached;
use crate::directory::Directory;
use crate::failure::{Exit, Failure, Result};
use crate::print;
use crate::progress::Progress;

/// Sends the answer to the run's planner. A run that has stopped takes it up when it goes on.
pub async fn reply(args: &ReplyArgs) -> Result<Exit> {
    if args.text.trim().is_empty() {
        return Err(Failure::input("the answer is empty")
            .hint("say in your own words what the book means, or what is to be done"));
    }
    let directory = Directory::find(&args.dir, args.run.as_deref())?;
    let attached = Attached::to(&directory).await?;
    let sent = answer(&attached, args).await;
    let at_work = attached.at_work;
    attached.close().await;
    sent?;
    print::line(if at_work {
        format!("the run has your answer; {} goes on", args.escalation)
    } else {
        format!(
            "your answer is kept; the run takes it up when you start it again with `atlas run`, and {} goes on",
            args.escalation
        )
    });
    Ok(Exit::Done)
}

async fn answer(attached: &Attached, args: &ReplyArgs) -> Result<()> {
    let documents = attached
        .bus
        .read_status(&attached.run)
        .await
        .map_err(|e| Failure::fault(format!("cannot read the questions of `{}`: {e}", attached.run)))?;
    let mut progress = Progress::default();
    for (service, document) in &documents {
        progress.absorb(service, document);
    }
    let open = &progress.planner.escalations;
    let Some(escalation) = open.iter().find(|escalation| escalation.target == args.escalation) else {
        let failure = Failure::input(format!("`{}` asks nothing of you", args.escalation));
        return Err(if open.is_empty() {
            failure.hint("no question of this run is open; `atlas status` shows them when there are")
        } else {
            let targets: Vec<&str> = open.iter().map(|escalation| escalation.target.as_str()).collect();
            failure.hint(format!("open questions: {}", targets.join(", ")))
        });
    };
    post(&attached.bus, &attached.run, escalation, &args.text).await
}

/// Posts an answer to the planner. The same answer to the same question is sent once, however often this is called.
///
/// # Errors
/// When the bus does not take it.
pub async fn post(bus: &Bus, run: &RunId, escalation: &Escalation, text: &str) -> Result<()> {
    let letter = Letter {
        letter: Some(letter::Letter::HumanReply(HumanReply {
            escalation: escalation.target.clone(),
            text: text.to_owned(),
        })),
    };
    let digest = Sha256::digest(format!("{}\n{}\n{text}", escalation.target, escalation.question));
    let id = format!("{run}.reply.{}.{}", escalation.target, hex::encode(&digest[..8]));
    bus.send(&ActorId::singleton(run, ActorKind::Plan), letter, &id).await.map_err(|e| {
        Failure::fault(format!("cannot send the answer to the run `{run}`: {e}"))
            .hint("nothing was lost: send it again")
    })
}
