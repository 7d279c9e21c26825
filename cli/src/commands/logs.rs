//! `atlas logs`: the agents of a run, or what one of them said and did.

use std::io::Write as _;
use std::time::Duration;

use atlas_agent_runner::{Story, transcript};
use atlas_domain::{ActorId, ActorKind};

use crate::args::{LogsArgs, Output};
use crate::attach::Attached;
use crate::commands::agents::{self, Filter};
use crate::directory::Directory;
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// How often `--follow` looks for more.
const AGAIN: Duration = Duration::from_millis(500);

/// Lists agents or shows one.
pub async fn logs(args: &LogsArgs) -> Result<Exit> {
    let directory = Directory::find(&args.dir, args.run.as_deref())?;
    let attached = Attached::to(&directory).await?;
    let shown = match &args.agent {
        Some(agent) => show(&attached, agent, args).await,
        None => agents::list(&attached, &Filter::default(), args.output.output).await,
    };
    attached.close().await;
    shown?;
    Ok(Exit::Done)
}

async fn show(attached: &Attached, agent: &str, args: &LogsArgs) -> Result<()> {
    let id = ActorId { run: attached.run.clone(), kind: ActorKind::Agent, id: agent.to_owned() };
    let read = || async {
        transcript(&attached.bus, &id)
            .await
            .map_err(|e| Failure::input(e.to_string()).hint("`atlas logs` lists the agents of the run"))
    };
    let mut story = read().await?;
    if args.output.output == Output::Json && !args.follow {
        return print::json(&story);
    }
    let mut shown = String::new();
    loop {
        if args.output.output == Output::Json {
            let line = serde_json::to_string(&story)
                .map_err(|e| Failure::fault(format!("cannot write JSON: {e}")))?;
            if line != shown {
                print::line(&line);
                shown = line;
            }
        } else {
            let text = told(&story);
            // The story only grows, but its open end may change: then it is told again from there.
            let same = shown.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
            let from = (0..=same).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            let _ = write!(anstream::stdout(), "{}", &text[from..]);
            shown = text;
        }
        if !args.follow || story.ended.is_some() || !attached.at_work {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            _ = tokio::signal::ctrl_c() => break,
        }
        story = read().await?;
    }
    if !shown.ends_with('\n') {
        print::line("");
    }
    Ok(())
}

/// The story as text; while it goes on without its last lines, which would change with every look.
fn told(story: &Story) -> String {
    let text = story.to_string();
    if story.ended.is_some() {
        return text;
    }
    match text.rfind("\n\nstill at work") {
        Some(end) => text[..=end].to_owned(),
        None => text,
    }
}
