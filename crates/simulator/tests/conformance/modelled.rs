//! The model as the cases see it.

use std::time::Duration;

use atlas_domain::RunId;
use atlas_simulator::model::{Got, Model};

use super::{Entry, Line, Named, Nats, Written};

/// A server for a case.
pub async fn new(name: &'static str) -> Model {
    Model::new(RunId::new(name).unwrap(), 2)
}

impl Nats for Model {
    type Got = Got;

    fn now(&self) -> Duration {
        Model::now(self)
    }
    fn ack_wait(&self, line: Line) -> Duration {
        Model::ack_wait(line)
    }
    fn duplicates(&self) -> Duration {
        Model::duplicates()
    }
    fn ttl(&self) -> Duration {
        Model::ttl()
    }
    async fn append(&mut self, agent: &str, cause: &str, after: u64) -> Written {
        Model::append(self, agent, cause, after)
    }
    async fn records(&mut self, agent: &str) -> Vec<(u64, String)> {
        Model::records(self, agent)
    }
    async fn archive(&mut self, agent: &str) -> Written {
        Model::archive(self, agent)
    }
    async fn send(&mut self, line: Line, id: &str) -> Written {
        Model::send(self, line, id)
    }
    async fn next(&mut self, client: usize, line: Line, patience: Duration) -> Option<(String, u64, Got)> {
        Model::next(self, client, line, patience).map(|got| (got.id.clone(), got.deliveries, got))
    }
    async fn ack(&mut self, got: Got) {
        Model::ack(self, &got);
    }
    async fn nak(&mut self, got: Got, pause: Duration) {
        Model::nak(self, &got, pause);
    }
    async fn alive(&mut self, got: &Got) {
        Model::alive(self, got);
    }
    async fn bury(&mut self, got: Got, reason: &str) {
        Model::bury(self, &got, reason);
    }
    async fn buried(&mut self) -> Vec<String> {
        Model::buried(self)
    }
    async fn put(&mut self, key: Named, after: u64, value: Option<u64>) -> Written {
        Model::put(self, key, after, value)
    }
    async fn look(&mut self, key: Named) -> Entry {
        Model::look(self, key)
    }
    async fn heard(&mut self, client: usize, patience: Duration) -> Option<(u16, Entry)> {
        Model::heard(self, client, patience)
    }
    async fn fill(&mut self, full: bool) {
        Model::fill(self, full);
    }
    async fn restart(&mut self) {
        Model::restart(self);
    }
}
