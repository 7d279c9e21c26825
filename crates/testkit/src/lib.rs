//! Real parts for tests: a nats-server of a test's own.

mod nats;

pub use nats::{TestNats, nats_server};
