//! `atlas agents`: the agents of a run.

use atlas_domain::{ActorId, ActorKind};
use atlas_planner::Planner;
use serde_json::json;

use crate::args::{AgentsArgs, Output};
use crate::attach::Attached;
use crate::directory::Directory;
use crate::failure::{Exit, Failure, Result};
use crate::format::{short, usd};
use crate::print;

/// Lists the agents of a run.
pub async fn agents(args: &AgentsArgs) -> Result<Exit> {
    let directory = Directory::find(&args.which.dir, args.which.run.as_deref())?;
    let attached = Attached::to(&directory).await?;
    let filter = Filter { role: args.role.clone(), target: args.target.clone(), live: args.live };
    let listed = list(&attached, &filter, args.output.output).await;
    attached.close().await;
    listed?;
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
    live: bool,
}

/// Which agents.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only those of this role.
    pub role: Option<String>,
    /// Only those at work on this target.
    pub target: Option<String>,
    /// Only those that have not ended.
    pub live: bool,
}

/// Lists the agents of a run.
///
/// # Errors
/// When the run's journals cannot be read.
pub async fn list(attached: &Attached, filter: &Filter, output: Output) -> Result<()> {
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
                live: false,
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
            live: true,
        });
    }
    let wanted = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
    agents.retain(|agent| {
        wanted(&filter.role, &agent.role)
            && wanted(&filter.target, &agent.target)
            && (agent.live || !filter.live)
    });
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
    print::line("\nwhat one said and did: atlas logs AGENT; when, and what it cost: atlas trace AGENT");
    Ok(())
}
