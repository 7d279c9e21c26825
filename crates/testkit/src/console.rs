//! What an operator of a NATS cluster does by hand: ask who leads a stream, have another lead it, see whether all copies are whole.

use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use atlas_bus::Options;
use serde_json::{Value, json};

/// How long the cluster may take over an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection for JetStream's own questions.
#[derive(Debug, Clone)]
pub struct Console {
    client: Client,
}

impl Console {
    /// Connects to whichever node answers first; taken up again for ever when it breaks.
    ///
    /// # Errors
    /// When none answers, in words.
    pub async fn connect(options: &Options) -> Result<Self, String> {
        let mut connect = ConnectOptions::new()
            .name("console")
            .request_timeout(Some(PATIENCE))
            .reconnect_delay_callback(|_| Duration::from_millis(100));
        if let Some((user, password)) = &options.user {
            connect = connect.user_and_password(user.clone(), password.clone());
        }
        let servers: Vec<&str> = options.url.split(',').collect();
        let client = connect.connect(servers).await.map_err(|e| e.to_string())?;
        Ok(Self { client })
    }

    /// The names of all streams.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn streams(&self) -> Result<Vec<String>, String> {
        let answer = self.ask("STREAM.NAMES", &json!({})).await?;
        let names = answer["streams"].as_array().into_iter().flatten();
        Ok(names.filter_map(|name| name.as_str().map(str::to_owned)).collect())
    }

    /// Messages in a stream.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn messages(&self, stream: &str) -> Result<u64, String> {
        Ok(self.info(stream).await?["state"]["messages"].as_u64().unwrap_or_default())
    }

    /// How many messages of a queue are still to be given out or acknowledged. Fewer than lie in it: on a cluster, whose nodes remove what
    /// was acknowledged by an agreement of its own, some stay after nodes have failed (nats-server's pull requests 5270, 6140, 6673).
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn waiting(&self, stream: &str) -> Result<u64, String> {
        let state =
            &self.ask(&format!("STREAM.INFO.{stream}"), &json!({"subjects_filter": ">"})).await?["state"];
        let consumers = self.ask(&format!("CONSUMER.LIST.{stream}"), &json!({})).await?;
        let consumers = consumers["consumers"].as_array().cloned().unwrap_or_default();
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let taken = consumers
            .iter()
            .map(|consumer| number(&consumer["num_pending"]) + number(&consumer["num_ack_pending"]));
        let is_taken =
            |subject: &String| consumers.iter().any(|c| c["config"]["filter_subject"] == subject.as_str());
        let subjects = state["subjects"].as_object().into_iter().flatten();
        let nobodys =
            subjects.filter(|(subject, _)| !is_taken(subject)).map(|(_, messages)| number(messages));
        Ok(taken.sum::<u64>() + nobodys.sum::<u64>())
    }

    /// Has the node that leads a stream leave that to another.
    ///
    /// # Errors
    /// When JetStream does not answer, or no other node could lead it.
    pub async fn step_down(&self, stream: &str) -> Result<(), String> {
        self.ask(&format!("STREAM.LEADER.STEPDOWN.{stream}"), &json!({})).await.map(drop)
    }

    /// Whether a stream has a leader and every copy of it all that the leader has.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn is_whole(&self, stream: &str) -> Result<bool, String> {
        let cluster = &self.info(stream).await?["cluster"];
        let copies = cluster["replicas"].as_array().cloned().unwrap_or_default();
        let whole = |copy: &Value| {
            copy["current"] == true && copy["offline"] != true && copy["lag"].as_u64().unwrap_or(0) == 0
        };
        Ok(cluster["leader"].is_string() && copies.iter().all(whole))
    }

    /// What lies in a stream and how far each taker has come, for people to read: a line for each subject and each consumer.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn explain(&self, stream: &str) -> Result<String, String> {
        let what = format!("STREAM.INFO.{stream}");
        let state = &self.ask(&what, &json!({"subjects_filter": ">"})).await?["state"];
        let mut lines =
            vec![format!("{} messages, {} to {}", state["messages"], state["first_seq"], state["last_seq"])];
        for (subject, messages) in state["subjects"].as_object().into_iter().flatten() {
            lines.push(format!("{messages} in {subject}"));
        }
        let consumers = self.ask(&format!("CONSUMER.LIST.{stream}"), &json!({})).await?;
        for consumer in consumers["consumers"].as_array().into_iter().flatten() {
            lines.push(format!(
                "{}: given out to {}, acknowledged to {}, {} with takers, {} wait",
                consumer["name"].as_str().unwrap_or_default(),
                consumer["delivered"]["stream_seq"],
                consumer["ack_floor"]["stream_seq"],
                consumer["num_ack_pending"],
                consumer["num_pending"],
            ));
        }
        Ok(lines.join("\n"))
    }

    async fn info(&self, stream: &str) -> Result<Value, String> {
        self.ask(&format!("STREAM.INFO.{stream}"), &json!({})).await
    }

    async fn ask(&self, what: &str, question: &Value) -> Result<Value, String> {
        let asked = self.client.request(format!("$JS.API.{what}"), question.to_string().into());
        let answer = asked.await.map_err(|e| format!("{what}: {e}"))?;
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(|e| format!("{what}: {e}"))?;
        match &answer["error"]["description"] {
            Value::Null => Ok(answer),
            error => Err(format!("{what}: {error}")),
        }
    }
}
