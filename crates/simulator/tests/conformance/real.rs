//! A real nats-server, or three, as the cases see it: through the bus where that has a call for it, raw where a case asks for a
//! single attempt or a shorter time. Times are shorter than the product's, so that nobody waits for minutes; all else of its streams
//! and consumers is as the bus makes them.

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL};
use async_nats::jetstream::consumer::{FromConsumer as _, PullConsumer, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::kv::{self, Operation};
use async_nats::jetstream::{self, AckKind, Message};
use atlas_bus::{Bus, Options};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::{DeadLetter, HumanReply, Letter, LookupRequest, Record, letter};
use atlas_testkit::{TestCluster, TestNats};
use futures::StreamExt as _;
use prost::Message as _;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout, timeout_at};

use super::{Entry, Line, Named, Nats, Written};

const ACK_WAIT: Duration = Duration::from_secs(2);
const DUPLICATES: Duration = Duration::from_secs(8);
const TTL: Duration = Duration::from_secs(2);
const KEYS: &str = "CONFORMANCE";
const HOSTS: &str = "KV_ATLAS_HOSTS";
const WORK: &str = "ATLAS_WORK";
const WORK_SUBJECTS: &str = "atlas.work";
const LOOK: Duration = Duration::from_millis(50);
/// How long a server may take to be there again.
const BACK: Duration = Duration::from_secs(60);

/// The servers of all cases.
pub struct Server {
    nats: Mutex<Running>,
    bus: Bus,
    options: Options,
}

enum Running {
    One(TestNats),
    Three(TestCluster),
}

impl Server {
    /// One.
    pub async fn one() -> Self {
        let nats = TestNats::start().await;
        let (bus, options) = (nats.bus().await, nats.options("conformance"));
        Self::prepare(Running::One(nats), bus, options).await
    }

    /// A cluster.
    pub async fn three() -> Self {
        let nats = TestCluster::start().await;
        let (bus, options) = (nats.bus().await, nats.cluster.options("conformance"));
        Self::prepare(Running::Three(nats), bus, options).await
    }

    async fn prepare(nats: Running, bus: Bus, options: Options) -> Self {
        let js = connect(&options).await;
        let work = js.get_stream(WORK).await.unwrap().cached_info().config.clone();
        js.update_stream(jetstream::stream::Config { duplicate_window: DUPLICATES, ..work.clone() })
            .await
            .unwrap();
        let hosts = js.get_stream(HOSTS).await.unwrap().cached_info().config.clone();
        let keys = jetstream::stream::Config {
            name: format!("KV_{KEYS}"),
            subjects: vec![format!("$KV.{KEYS}.>")],
            ..hosts
        };
        js.create_stream(keys).await.unwrap();
        Self { nats: Mutex::new(nats), bus, options }
    }

    /// The bus's own consumer of a queue, but for how long it waits.
    async fn open(&self, js: &jetstream::Context, run: &RunId, line: Line) {
        // As the bus makes it for another run, so that nothing of this one is delivered to what is dropped at once.
        let probe = RunId::new(format!("{run}-probe")).unwrap();
        match line {
            Line::Letters => drop(self.bus.inbox(&probe, ActorKind::Plan, 0).await.unwrap()),
            Line::Work => drop(self.bus.work::<LookupRequest>(&probe, queue(line), 1).await.unwrap()),
        }
        let made: PullConsumer = js.get_consumer_from_stream(consumer(&probe, line), WORK).await.unwrap();
        let config = pull::Config::try_from_consumer_config(made.cached_info().config.clone()).unwrap();
        let own = pull::Config {
            durable_name: Some(consumer(run, line)),
            name: Some(consumer(run, line)),
            filter_subject: format!("{WORK_SUBJECTS}.{run}.{}.0", queue(line)),
            ack_wait: ACK_WAIT,
            ..config
        };
        js.create_consumer_on_stream(own, WORK).await.unwrap();
    }

    /// A run on it for a case.
    pub async fn fresh<'a>(&'a self, name: &'static str) -> Real<'a> {
        let run = RunId::new(name).unwrap();
        let mut clients = vec![];
        for _ in 0..2 {
            let js = connect(&self.options).await;
            let keys = js.get_key_value(KEYS).await.unwrap();
            let watch = keys.watch(format!("{run}.stays.*")).await.unwrap();
            clients.push(Client { js, letters: None, keys, watch });
        }
        for line in [Line::Letters, Line::Work] {
            self.open(&clients[0].js, &run, line).await;
        }
        Real { server: self, run, begun: Instant::now(), clients }
    }
}

fn queue(line: Line) -> &'static str {
    if line == Line::Work { "certify" } else { "plan" }
}

fn consumer(run: &RunId, line: Line) -> String {
    format!("{run}-{}-0", queue(line))
}

async fn connect(options: &Options) -> jetstream::Context {
    let (user, password) = options.user.clone().unwrap();
    let client = async_nats::ConnectOptions::with_user_and_password(user, password);
    let urls: Vec<&str> = options.url.split(',').collect();
    jetstream::new(client.connect(urls).await.unwrap())
}

fn read(entry: &kv::Entry) -> Entry {
    let value = || std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
    (entry.revision, (entry.operation == Operation::Put).then(value))
}

struct Client {
    js: jetstream::Context,
    letters: Option<pull::Stream>,
    keys: kv::Store,
    watch: kv::Watch,
}

/// One run.
pub struct Real<'a> {
    server: &'a Server,
    run: RunId,
    begun: Instant,
    clients: Vec<Client>,
}

impl Real<'_> {
    fn actor(&self, id: &str) -> ActorId {
        ActorId { run: self.run.clone(), kind: ActorKind::Agent, id: id.to_owned() }
    }

    fn key(&self, key: Named) -> String {
        match key {
            Named::Stays(key) => format!("{}.stays.{key}", self.run),
            Named::Passes(key) => format!("{}.passes.{key}", self.run),
        }
    }

    /// The next message, or why there is none.
    async fn pull(
        &mut self,
        client: usize,
        line: Line,
        patience: Duration,
    ) -> Result<Option<Message>, async_nats::Error> {
        let Client { js, letters, .. } = &mut self.clients[client];
        let consumer = js.get_consumer_from_stream(consumer(&self.run, line), WORK);
        if line == Line::Work {
            let consumer: PullConsumer = consumer.await?;
            let mut batch = consumer.batch().max_messages(1).expires(patience).messages().await?;
            return batch.next().await.transpose();
        }
        if letters.is_none() {
            *letters = Some(consumer.await?.stream().messages().await?);
        }
        let Some(letters) = letters else { return Ok(None) };
        match timeout(patience, letters.next()).await {
            Ok(message) => Ok(message.transpose()?),
            Err(_) => Ok(None),
        }
    }

    /// One attempt at a write that expects a last sequence.
    async fn publish(&self, subject: String, headers: HeaderMap, payload: Vec<u8>) -> Written {
        let js = &self.clients[0].js;
        loop {
            let sent = js.publish_with_headers(subject.clone(), headers.clone(), payload.clone().into());
            match sent.await.unwrap().await {
                Ok(ack) => return Written::Stored(ack.sequence),
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => return Written::Refused,
                // No verdict: on a cluster, for a moment after what is before it was acknowledged. The bus asks again, too.
                Err(error) if error.to_string().contains("wrong last sequence") => sleep(LOOK).await,
                Err(_) => return Written::Failed,
            }
        }
    }

    async fn set_room(&self, stream: &str, full: bool) {
        let js = &self.clients[0].js;
        let stream = js.get_stream(stream).await.unwrap();
        let info = stream.cached_info();
        let max_messages = if full { info.state.messages as i64 } else { -1 };
        js.update_stream(jetstream::stream::Config { max_messages, ..info.config.clone() }).await.unwrap();
    }
}

impl Nats for Real<'_> {
    type Got = Message;

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
    fn ack_wait(&self, _: Line) -> Duration {
        ACK_WAIT
    }
    fn duplicates(&self) -> Duration {
        DUPLICATES
    }
    fn ttl(&self) -> Duration {
        TTL
    }

    async fn append(&mut self, agent: &str, cause: &str, after: u64) -> Written {
        let actor = self.actor(agent);
        let subject = format!("atlas.journal.{}.agent.{}.{agent}", self.run, actor.partition(4));
        let record = Record { cause: cause.to_owned(), ..Record::default() };
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, async_nats::HeaderValue::from(after));
        self.publish(subject, headers, record.encode_to_vec()).await
    }

    async fn records(&mut self, agent: &str) -> Vec<(u64, String)> {
        let records = self.server.bus.records(&self.actor(agent)).await.unwrap();
        records.into_iter().map(|(sequence, record)| (sequence, record.cause)).collect()
    }

    async fn archive(&mut self, agent: &str) -> Written {
        self.server
            .bus
            .archive(&self.actor(agent), &[])
            .await
            .map_or(Written::Failed, |()| Written::Stored(0))
    }

    async fn send(&mut self, line: Line, id: &str) -> Written {
        let bus = &self.server.bus;
        let sent = match line {
            Line::Letters => {
                let reply = letter::Letter::HumanReply(HumanReply::default());
                let to = ActorId::singleton(&self.run, ActorKind::Plan);
                bus.send(&to, Letter { letter: Some(reply) }, id).await
            }
            // Ids of work are the run's own affair.
            Line::Work => {
                let id = format!("{}/{id}", self.run);
                bus.send_work(&self.run, "certify", &LookupRequest::default(), &id).await
            }
        };
        sent.map_or(Written::Failed, |()| Written::Stored(0))
    }

    async fn next(
        &mut self,
        client: usize,
        line: Line,
        patience: Duration,
    ) -> Option<(String, u64, Message)> {
        let end = tokio::time::Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            match timeout_at(end, self.pull(client, line, left)).await {
                Ok(Ok(Some(message))) => {
                    let id = message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().as_str();
                    let id = id.rsplit([':', '/']).next().unwrap().to_owned();
                    let deliveries = message.info().unwrap().delivered.unsigned_abs();
                    return Some((id, deliveries, message));
                }
                Ok(Ok(None)) if left > LOOK => {}
                Ok(Ok(None)) | Err(_) => return None,
                // The server starts again.
                Ok(Err(_)) => {
                    self.clients[client].letters = None;
                    sleep(LOOK).await;
                }
            }
        }
    }

    async fn ack(&mut self, got: Message) {
        got.double_ack().await.unwrap();
    }
    async fn nak(&mut self, got: Message, pause: Duration) {
        got.double_ack_with(AckKind::Nak(Some(pause))).await.unwrap();
    }
    async fn alive(&mut self, got: &Message) {
        got.double_ack_with(AckKind::Progress).await.unwrap();
    }

    async fn bury(&mut self, got: Message, reason: &str) {
        let letter = DeadLetter {
            subject: got.subject.to_string(),
            id: "bad".to_owned(),
            reason: reason.to_owned(),
            payload: got.payload.to_vec(),
            ..DeadLetter::default()
        };
        self.server.bus.bury(&letter).await.unwrap();
        self.ack(got).await;
    }
    async fn buried(&mut self) -> Vec<String> {
        let letters = self.server.bus.dead_letters(&self.run).await.unwrap();
        letters.into_iter().map(|(_, letter)| letter.reason).collect()
    }

    async fn put(&mut self, key: Named, after: u64, value: Option<u64>) -> Written {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, async_nats::HeaderValue::from(after));
        if value.is_none() || matches!(key, Named::Passes(_)) {
            headers.insert(NATS_MESSAGE_TTL, format!("{}s", TTL.as_secs()));
        }
        if value.is_none() {
            headers.insert("KV-Operation", "DEL");
        }
        let payload = value.map(|value| value.to_string()).unwrap_or_default();
        let subject = format!("$KV.{KEYS}.{}", self.key(key));
        self.publish(subject, headers, payload.into_bytes()).await
    }
    async fn look(&mut self, key: Named) -> Entry {
        let entry = self.clients[0].keys.entry(self.key(key)).await.unwrap();
        entry.map_or((0, None), |entry| read(&entry))
    }
    async fn heard(&mut self, client: usize, patience: Duration) -> Option<(u16, Entry)> {
        let entry = timeout(patience, self.clients[client].watch.next()).await.ok()?.unwrap().unwrap();
        Some((entry.key.rsplit('.').next().unwrap().parse().unwrap(), read(&entry)))
    }

    async fn fill(&mut self, full: bool) {
        self.set_room(WORK, full).await;
        self.set_room("ATLAS_JOURNAL", full).await;
    }

    async fn restart(&mut self) {
        match &mut *self.server.nats.lock().await {
            Running::One(nats) => nats.restart().await,
            Running::Three(nats) => {
                let stream = self.clients[0].js.get_stream(WORK).await.unwrap();
                let leader =
                    stream.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone()).unwrap();
                let node = leader.trim_start_matches('n').parse().unwrap();
                nats.cluster.kill_node(node).await;
                nats.cluster.start_node(node).await.unwrap();
            }
        }
        let whole = async {
            while !self.server.bus.is_whole().await.unwrap_or(false) {
                sleep(LOOK).await;
            }
        };
        timeout(BACK, whole).await.expect("it is there again");
        for client in &mut self.clients {
            client.letters = None;
        }
    }
}
