//! How fast the bus is: appends to journals, and beside them requests through the same server, which store nothing.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::Record;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{Bus, Error};

/// How long servers may take to know who answers, and how often they are asked.
const KNOWN: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(10);

/// What was measured.
#[derive(Debug, Clone)]
pub struct Figures {
    /// How long each took, from its start to the server's word.
    pub each: Vec<Duration>,
    /// From the first one's start to the last one's end.
    pub elapsed: Duration,
}

impl Figures {
    /// How many a second.
    pub fn rate(&self) -> f64 {
        self.each.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Has `writers` actors of `run` append records of `bytes` for `time`, each one after the other: so many are on their way at once.
///
/// # Errors
/// [`Error::Failed`].
pub async fn appends(
    bus: &Bus,
    run: &RunId,
    writers: u32,
    bytes: usize,
    time: Duration,
) -> Result<Figures, Error> {
    measure(writers, time, |writer, until| {
        let bus = bus.clone();
        let actor = ActorId { run: run.clone(), kind: ActorKind::Agent, id: format!("writer.{writer}") };
        let record = Record { version: 1, events: vec![vec![0; bytes]], ..Record::default() };
        async move {
            let (mut each, mut last) = (vec![], 0);
            while Instant::now() < until {
                let begun = Instant::now();
                let appended = bus.append(&actor, &record, last).await;
                last = appended.map_err(|error| Error::failed(format!("append to {actor}"), error))?;
                each.push(begun.elapsed());
            }
            Ok(each)
        }
    })
    .await
}

/// Sends requests of `bytes` by core NATS for `time`, `at_once` at a time, to `answerer`, which says nothing.
///
/// # Errors
/// [`Error::Failed`].
pub async fn requests(
    asker: &Bus,
    answerer: &Bus,
    at_once: u32,
    bytes: usize,
    time: Duration,
) -> Result<Figures, Error> {
    let subject = "atlas.bench";
    let failed = |error: crate::error::Cause| Error::failed(format!("answer on {subject}"), error);
    let mut asked = answerer.client().subscribe(subject).await.map_err(|error| failed(error.into()))?;
    let client = answerer.client().clone();
    let answers = tokio::spawn(async move {
        while let Some(reply) = asked.next().await.and_then(|message| message.reply) {
            // Failing that, whoever asks is told that nobody answered.
            let _ = client.publish(reply, Bytes::new()).await;
        }
    });
    // A server that does not know the answerer yet says so at once.
    let until = Instant::now() + KNOWN;
    while let Err(error) = asker.client().request(subject, Bytes::new()).await {
        if error.kind() != RequestErrorKind::NoResponders || Instant::now() > until {
            return Err(Error::failed(format!("ask on {subject}"), error));
        }
        tokio::time::sleep(AGAIN).await;
    }
    let figures = measure(at_once, time, |_, until| {
        let (client, payload) = (asker.client().clone(), Bytes::from(vec![0; bytes]));
        async move {
            let mut each = vec![];
            while Instant::now() < until {
                let begun = Instant::now();
                let answered = client.request(subject, payload.clone()).await;
                answered.map_err(|error| Error::failed(format!("ask on {subject}"), error))?;
                each.push(begun.elapsed());
            }
            Ok(each)
        }
    })
    .await;
    answers.abort();
    figures
}

/// Runs `tasks` of `task` at once; each says how long its pieces took.
async fn measure<F>(tasks: u32, time: Duration, task: impl Fn(u32, Instant) -> F) -> Result<Figures, Error>
where
    F: Future<Output = Result<Vec<Duration>, Error>> + Send + 'static,
{
    let begun = Instant::now();
    let mut running: JoinSet<_> = (0..tasks).map(|number| task(number, begun + time)).collect();
    let mut each = vec![];
    while let Some(ended) = running.join_next().await {
        each.extend(ended.map_err(|error| Error::failed("run a bench", error))??);
    }
    Ok(Figures { each, elapsed: begun.elapsed() })
}
