//! What a bench of recovery kills: hosts of agents that never end, a turn each beat.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use atlas_bus::Bus;
use atlas_domain::{ActorId, RunId};
use atlas_proto::Letter;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::turner::{self, Command, Turner};
use crate::{EffectError, Error, Executor, HostOptions, Scope, host};

/// How long an effect takes: a model's answer that comes fast.
const BEAT: Duration = Duration::from_millis(500);

/// Starts `agents` agents that go on for ever.
///
/// # Errors
/// [`Error::Bus`].
pub async fn start(bus: &Bus, run: &RunId, agents: u32) -> Result<(), Error> {
    for number in 0..agents {
        bus.send(&turner::agent(run, number), turner::start(u32::MAX), "start").await?;
    }
    Ok(())
}

/// Hosts such agents as `name` until the process ends. Tells `at_work` of each when its first effect here begins.
///
/// # Errors
/// As [`host`].
pub async fn runner(
    bus: Bus,
    run: RunId,
    name: String,
    at_work: impl Fn(&ActorId) + Send + Sync + 'static,
) -> Result<(), Error> {
    let options = HostOptions { run, partitions: bus.partitions().await?, host: name };
    let runner = Runner { at_work, seen: Mutex::default() };
    host::<Turner, _>(bus, options, Arc::new(runner), CancellationToken::new()).await
}

struct Runner<F> {
    at_work: F,
    /// Which actors in which epoch.
    seen: Mutex<HashSet<(String, u64)>>,
}

impl<F: Fn(&ActorId) + Send + Sync + 'static> Executor<Turner> for Runner<F> {
    fn command(&self, letter: Letter) -> Option<Command> {
        turner::command(letter)
    }

    async fn execute(&self, scope: Scope, (): ()) -> Result<Option<Command>, EffectError> {
        if self.seen.lock().insert((scope.actor.id.clone(), scope.epoch)) {
            (self.at_work)(&scope.actor);
        }
        tokio::time::sleep(BEAT).await;
        Ok(Some(Command::Turn))
    }
}

/// Turns that the journals of the first `agents` agents hold, and those of them that are missing or there twice.
///
/// # Errors
/// [`Error::Bus`].
pub async fn beaten(bus: &Bus, run: &RunId, agents: u32) -> Result<(u64, u64), Error> {
    let (mut turns, mut wrong) = (0, 0);
    for number in 0..agents {
        let mut expected = 0;
        for (_, record) in bus.records(&turner::agent(run, number)).await? {
            let Some(turn) = record.cause.rsplit_once("turn/").and_then(|(_, n)| n.parse::<u64>().ok())
            else {
                continue;
            };
            turns += 1;
            wrong += u64::from(turn != expected);
            expected = turn + 1;
        }
    }
    Ok((turns, wrong))
}
