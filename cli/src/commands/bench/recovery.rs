//! `atlas bench recovery`: hosts are killed, and it is timed until others have taken up what they were at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use atlas_actor::bench;
use atlas_bus::{Bus, Options, Server, ServerOptions, Spec};
use atlas_domain::RunId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use super::{machine, quantile, sorted};
use crate::args::{BenchRecoveryArgs, Output};
use crate::attach::nats_server;
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// How long agents may take to be at work again before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a host is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    url: String,
    user: String,
    password: String,
    run: String,
    host: String,
}

/// A host's process.
struct Host {
    name: String,
    process: Child,
    /// It ends when this closes.
    _orders: ChildStdin,
}

/// Who is at work for an agent: the host's name and the agent's.
type AtWork = (String, String);

struct Run {
    id: RunId,
    hosts: Vec<Host>,
    started: usize,
    told: mpsc::UnboundedReceiver<AtWork>,
    tell: mpsc::UnboundedSender<AtWork>,
    owner: BTreeMap<String, String>,
}

/// What the bench found.
struct Figures {
    /// For each kill, the seconds until each agent of the dead host was at work elsewhere.
    kills: Vec<Vec<f64>>,
    turns: u64,
    wrong: u64,
}

/// Measures.
pub fn recovery(args: &BenchRecoveryArgs) -> Result<Exit> {
    if args.kills == 0 || args.runs == 0 {
        return Err(Failure::input("kills and runs must be at least 1"));
    }
    let runtime = tokio::runtime::Runtime::new().map_err(fault)?;
    let figures = runtime.block_on(measured(args))?;
    if let Some(path) = &args.csv {
        write_csv(path, &figures)?;
    }
    report(args, &figures)?;
    Ok(if figures.wrong == 0 { Exit::Done } else { Exit::Fault })
}

/// Hosts agents as standard input says until that closes, and tells on standard output which are at work.
pub fn runner() -> Result<Exit> {
    let runtime = tokio::runtime::Runtime::new().map_err(fault)?;
    runtime.block_on(async {
        let mut input = BufReader::new(tokio::io::stdin());
        let mut line = String::new();
        input.read_line(&mut line).await.map_err(fault)?;
        let orders: Orders =
            serde_json::from_str(&line).map_err(|e| Failure::input(format!("the orders: {e}")))?;
        let user = Some((orders.user, orders.password));
        let bus = Bus::connect(&Options { url: orders.url, user, name: orders.host.clone() })
            .await
            .map_err(fault)?;
        let run = RunId::new(&orders.run).map_err(fault)?;
        let hosting = bench::runner(bus, run, orders.host, |actor| print::line(&actor.id));
        let mut rest = Vec::new();
        tokio::select! {
            ended = hosting => ended.map_err(fault)?,
            _ = input.read_to_end(&mut rest) => {}
        }
        Ok(Exit::Done)
    })
}

fn fault(error: impl std::fmt::Display) -> Failure {
    Failure::fault(error.to_string())
}

async fn measured(args: &BenchRecoveryArgs) -> Result<Figures> {
    let folder = tempfile::tempdir().map_err(fault)?;
    let options = ServerOptions::new(nats_server(args.cache.as_deref()), folder.path().to_owned());
    let server = Server::start(options).await.map_err(fault)?;
    let bus = Bus::connect(&server.options("bench")).await.map_err(fault)?;
    bus.ensure_spec(&Spec::new(args.partitions)).await.map_err(fault)?;
    let mut runs = vec![];
    for number in 0..args.runs {
        runs.push(Run::start(&bus, &server, &format!("bench-{number}"), args.partitions).await?);
    }
    let mut kills = vec![];
    while kills.len() < args.kills {
        if args.output.output == Output::Text {
            let said = format!("killed {} hosts of {} …", kills.len(), args.kills);
            print::error_line(print::styled(print::FAINT, said));
        }
        let round = args.runs.min(args.kills - kills.len());
        let round = runs.iter_mut().take(round).map(|run| run.kill_one(&server));
        kills.extend(futures::future::try_join_all(round).await?);
    }
    let (mut turns, mut wrong) = (0, 0);
    for run in runs {
        let Run { id, hosts, .. } = run;
        for mut host in hosts {
            host.process.kill().await.map_err(fault)?;
        }
        let (own, bad) = bench::beaten(&bus, &id, args.partitions.into()).await.map_err(fault)?;
        turns += own;
        wrong += bad;
    }
    server.stop().await;
    Ok(Figures { kills, turns, wrong })
}

impl Run {
    /// Starts agents and two hosts; returns when all agents are at work.
    async fn start(bus: &Bus, server: &Server, name: &str, agents: u16) -> Result<Self> {
        let id = RunId::new(name).map_err(fault)?;
        bench::start(bus, &id, agents.into()).await.map_err(fault)?;
        let (tell, told) = mpsc::unbounded_channel();
        let mut run = Self { id, hosts: vec![], started: 0, told, tell, owner: BTreeMap::new() };
        run.add(server).await?;
        run.add(server).await?;
        while run.owner.len() < usize::from(agents) {
            run.hear().await?;
        }
        Ok(run)
    }

    async fn add(&mut self, server: &Server) -> Result<()> {
        self.started += 1;
        let name = format!("host-{}", self.started);
        let program = std::env::current_exe().map_err(fault)?;
        let mut command = Command::new(program);
        command.args(["bench", "runner"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.kill_on_drop(true).spawn().map_err(fault)?;
        let orders = Orders {
            url: server.url.clone(),
            user: server.user.clone(),
            password: server.password.clone(),
            run: self.id.to_string(),
            host: name.clone(),
        };
        let line = serde_json::to_string(&orders).map_err(fault)? + "\n";
        let (Some(mut stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Failure::fault("a host's standard input and output cannot be had"));
        };
        stdin.write_all(line.as_bytes()).await.map_err(fault)?;
        let (tell, host) = (self.tell.clone(), name.clone());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(agent)) = lines.next_line().await {
                let _ = tell.send((host.clone(), agent));
            }
        });
        self.hosts.push(Host { name, process, _orders: stdin });
        Ok(())
    }

    /// Waits for news of an agent at work.
    async fn hear(&mut self) -> Result<AtWork> {
        let heard = tokio::time::timeout(PATIENCE, self.told.recv()).await;
        let Ok(Some((host, agent))) = heard else {
            return Err(Failure::fault(format!(
                "{}: no agent came to work within {} s",
                self.id,
                PATIENCE.as_secs()
            )));
        };
        self.owner.insert(agent.clone(), host.clone());
        Ok((host, agent))
    }

    /// Kills a host that is at work for somebody and starts another; the seconds until each of its agents was at work elsewhere.
    async fn kill_one(&mut self, server: &Server) -> Result<Vec<f64>> {
        while let Ok((host, agent)) = self.told.try_recv() {
            self.owner.insert(agent, host);
        }
        let busy = |host: &Host| self.owner.values().any(|owner| *owner == host.name);
        let at = self.hosts.iter().position(busy).unwrap_or(0);
        let mut victim = self.hosts.remove(at);
        let mut orphans: BTreeSet<String> = (self.owner.iter())
            .filter(|(_, owner)| **owner == victim.name)
            .map(|(agent, _)| agent.clone())
            .collect();
        victim.process.kill().await.map_err(fault)?;
        let killed = Instant::now();
        self.add(server).await?;
        let mut times = vec![];
        while !orphans.is_empty() {
            let (host, agent) = self.hear().await?;
            if host != victim.name && orphans.remove(&agent) {
                times.push(killed.elapsed().as_secs_f64());
            }
        }
        Ok(times)
    }
}

fn report(args: &BenchRecoveryArgs, figures: &Figures) -> Result<()> {
    let each = sorted(figures.kills.iter().flatten().copied());
    let last = |times: &Vec<f64>| times.iter().copied().fold(f64::NAN, f64::max);
    let whole = sorted(figures.kills.iter().map(last));
    if args.output.output == Output::Json {
        let of = |times: &[f64]| json!({ "p50": quantile(times, 0.5), "p99": quantile(times, 0.99), "most": quantile(times, 1.0) });
        return print::json(&json!({
            "machine": machine::line(), "kills": figures.kills.len(), "runs": args.runs, "partitions": args.partitions,
            "agent_at_work_again_s": of(&each), "host_replaced_s": of(&whole),
            "turns": figures.turns, "turns_lost_or_doubled": figures.wrong,
        }));
    }
    let row = |what: &str, times: &[f64]| {
        let cells = [0.5, 0.99, 1.0].map(|part| format!("{:.1} s", quantile(times, part)));
        std::iter::once(what.to_owned()).chain(cells).collect()
    };
    let rows = vec![row("an agent is at work elsewhere", &each), row("all agents of the host are", &whole)];
    let head = format!("AFTER KILL -9, {} KILLS", figures.kills.len());
    print::line(print::table(&[&head, "P50", "P99", "MOST"], rows, &[1, 2, 3]));
    print::line(format!(
        "Turns journaled meanwhile: {}; lost or doubled: {}. {} runs of two hosts, {} partitions each, sessions of {} s, sync always. Machine: {}.",
        figures.turns,
        figures.wrong,
        args.runs,
        args.partitions,
        Spec::new(args.partitions).lease_ttl.as_secs(),
        machine::line()
    ));
    Ok(())
}

fn write_csv(path: &Path, figures: &Figures) -> Result<()> {
    let mut text = "kill,seconds\n".to_owned();
    for (number, times) in figures.kills.iter().enumerate() {
        for time in times {
            text += &format!("{},{time:.3}\n", number + 1);
        }
    }
    std::fs::write(path, text).map_err(|e| Failure::fault(format!("cannot write {}: {e}", path.display())))
}
