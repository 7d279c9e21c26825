//! Real parts for tests: a nats-server of a test's own, the system's processes.

mod nats;
mod processes;

pub use nats::{TestCluster, TestNats, nats_server};
pub use processes::{Watched, children, descendants, groups_of_launcher, ticks};
