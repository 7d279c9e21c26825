//! Subjects: how names become tokens, and back.

use atlas_domain::{ActorId, ActorKind, RunId};

use crate::Error;

/// All journals.
pub(crate) const JOURNALS: &str = "atlas.journal.>";
/// All work.
pub(crate) const WORK: &str = "atlas.work.>";
/// All dead letters.
pub(crate) const DEAD: &str = "atlas.dead.>";

/// One actor's journal.
pub(crate) fn journal(actor: &ActorId, partitions: u16) -> Result<String, Error> {
    let partition = actor.partition(partitions);
    Ok(format!("atlas.journal.{}.{}.{partition}.{}", actor.run, actor.kind, token(&actor.id)?))
}

/// The journals of a kind, or of one of its partitions.
pub(crate) fn journals(run: &RunId, kind: ActorKind, partition: Option<u16>) -> String {
    match partition {
        Some(partition) => format!("atlas.journal.{run}.{kind}.{partition}.*"),
        None => format!("atlas.journal.{run}.{kind}.*.*"),
    }
}

/// The actor whose journal lies under `subject`.
pub(crate) fn actor_of_journal(subject: &str) -> Option<ActorId> {
    let mut tokens = subject.strip_prefix("atlas.journal.")?.split('.');
    let run = RunId::new(tokens.next()?).ok()?;
    let kind = kind(tokens.next()?)?;
    let _partition = tokens.next()?;
    let id = tokens.next()?.replace('~', ".");
    tokens.next().is_none().then_some(ActorId { run, kind, id })
}

/// An inbox (`queue` = kind of actor) or a work queue.
pub(crate) fn work(run: &RunId, queue: &str, partition: u16) -> Result<String, Error> {
    Ok(format!("atlas.work.{run}.{}.{partition}", token(queue)?))
}

/// Where the dead letters of a work subject go.
pub(crate) fn dead(work: &str) -> String {
    match work.strip_prefix("atlas.work.") {
        Some(rest) => format!("atlas.dead.{rest}"),
        None => format!("atlas.dead.{work}"),
    }
}

/// The durable consumer of a work subject.
pub(crate) fn consumer(run: &RunId, queue: &str, partition: u16) -> String {
    format!("{run}-{queue}-{partition}")
}

/// Does `consumer` belong to `run`? Runs' names may hold dashes: the last two parts are queue and partition.
pub(crate) fn consumer_belongs(consumer: &str, run: &RunId) -> bool {
    consumer.rsplitn(3, '-').nth(2) == Some(run.as_str())
}

/// Where a host is told to drain: core NATS, for nobody else need know of it. `host` becomes one token.
pub(crate) fn drain(run: &RunId, host: &str) -> String {
    let host: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect();
    format!("atlas.drain.{run}.{host}")
}

/// Where hosts of a kind ask each other for partitions: core NATS, for what is lost is asked again.
pub(crate) fn shares(run: &RunId, kind: ActorKind) -> String {
    format!("atlas.shares.{run}.{kind}")
}

/// The key of a lease.
pub(crate) fn lease(run: &RunId, kind: ActorKind, partition: u16) -> String {
    format!("{run}.{kind}.{partition}")
}

fn kind(token: &str) -> Option<ActorKind> {
    [ActorKind::Plan, ActorKind::Ledger, ActorKind::Agent, ActorKind::Merge]
        .into_iter()
        .find(|kind| kind.as_str() == token)
}

/// `name` as one token: dots become `~`.
pub(crate) fn token(name: &str) -> Result<String, Error> {
    let valid = (1..=200).contains(&name.len())
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>' | '~'));
    if valid { Ok(name.replace('.', "~")) } else { Err(Error::Name { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_subjects_name_their_actors() {
        let actor = ActorId {
            run: RunId::new("numbers-1").unwrap(),
            kind: ActorKind::Agent,
            id: "even-add.prover.1".into(),
        };
        let subject = journal(&actor, 64).unwrap();
        assert_eq!(
            subject,
            format!("atlas.journal.numbers-1.agent.{}.even-add~prover~1", actor.partition(64))
        );
        assert_eq!(actor_of_journal(&subject), Some(actor));
        assert_eq!(actor_of_journal("atlas.journal.numbers-1.agent.3"), None);
        assert!(token("a b").is_err() && token("").is_err() && token("a>").is_err());
    }

    #[test]
    fn consumers_of_a_run_are_told_from_those_of_a_longer_name() {
        let run = RunId::new("a").unwrap();
        assert!(consumer_belongs("a-agent-3", &run));
        assert!(!consumer_belongs("a-agent-agent-3", &run));
        assert!(consumer_belongs("a-agent-agent-3", &RunId::new("a-agent").unwrap()));
    }
}
