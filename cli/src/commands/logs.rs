//! `atlas logs`: the agents of a run, or what one of them said and did.

use std::io::Write as _;
use std::time::Duration;

use atlas_agent_runner::{Story, transcript};
use atlas_domain::{ActorId, ActorKind};
use atlas_planner::Planner;
use serde_json::json;

use crate::args::{LogsArgs, Output};
use crate::attach::Attached;
use crate::directory::Directory;
use crate::failure::{Exit, Failure, Result};
use crate::format::{short, usd};
use crate::print;

/// How often `--follow` looks for more.
const AGAIN: Duration = Duration::from_millis(500);

/// Lists agents or shows one.
pub async fn logs(args: &LogsArgs) -> Result<Exit> {
    let directory = Directory::find(&args.dir, args.run.as_deref())?;
    let attached = Attached::to(&directory).await?;
    let shown = match &args.agent {
        Some(agent) => show(&attached, agent, args).await,
        None => list(&attached, args.output.output).await,
    };
    attached.close().await;
    shown?;
    Ok(Exit::Done)
}

/// One line of the list.
struct Agent {
    id: String,
    role: String,
    target: String,
    outcome: String,
    turns: u32,
    tokens: u64,
    cost: f64,
    reason: String,
}

async fn list(attached: &Attached, output: Output) -> Result<()> {
    let unreadable =
        |cause: String| Failure::fault(format!("cannot read the agents of `{}`: {cause}", attached.run));
    let id = ActorId::singleton(&attached.run, ActorKind::Plan);
    let planner: Planner =
        atlas_actor::replay(&attached.bus, &id).await.map_err(|e| unreadable(e.to_string()))?;
    let mut agents: Vec<Agent> = Vec::new();
    for target in planner.targets() {
        for past in planner.attempts(&target.id) {
            agents.push(Agent {
                id: format!("{}.{}.{}", target.id, past.role, past.number),
                role: past.role,
                target: target.id.clone(),
                outcome: past.outcome,
                turns: past.turns,
                tokens: past.usage.tokens(),
                cost: past.usage.cost_microdollars as f64 / 1e6,
                reason: past.reason,
            });
        }
    }
    // Those whose journals are not archived: at work, or interrupted.
    let live = attached.bus.actors(&attached.run, ActorKind::Agent, None).await;
    for actor in live.map_err(|e| unreadable(e.to_string()))? {
        if agents.iter().any(|agent| agent.id == actor.id) {
            continue;
        }
        let agent: atlas_agent_runner::Agent =
            atlas_actor::replay(&attached.bus, &actor).await.map_err(|e| unreadable(e.to_string()))?;
        agents.push(Agent {
            id: actor.id,
            role: agent.task().role.clone(),
            target: agent.task().target.as_ref().map(|target| target.id.clone()).unwrap_or_default(),
            outcome: if attached.at_work { "at work".into() } else { "interrupted".into() },
            turns: agent.turn(),
            tokens: agent.usage().tokens(),
            cost: agent.usage().cost_microdollars as f64 / 1e6,
            reason: atlas_agent_runner::describe(agent.doing()),
        });
    }
    if output == Output::Json {
        return print::json(
            &agents
                .iter()
                .map(|agent| {
                    json!({
                        "id": agent.id, "role": agent.role, "target": agent.target, "outcome": agent.outcome,
                        "turns": agent.turns, "tokens": agent.tokens, "cost": agent.cost, "reason": agent.reason,
                    })
                })
                .collect::<Vec<_>>(),
        );
    }
    let rows = agents
        .into_iter()
        .map(|agent| {
            let first = agent.reason.lines().next().unwrap_or_default();
            let reason: String = first.chars().take(70).collect();
            vec![
                agent.id,
                agent.outcome,
                agent.turns.to_string(),
                short(agent.tokens),
                usd(agent.cost),
                reason,
            ]
        })
        .collect();
    print::line(
        print::table(&["AGENT", "OUTCOME", "TURNS", "TOKENS", "COST", "WHY"], rows, &[2, 3, 4]).trim_end(),
    );
    print::line("\nsee one with: atlas logs AGENT");
    Ok(())
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
