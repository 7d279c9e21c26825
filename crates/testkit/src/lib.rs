//! Real parts for tests: a nats-server of a test's own, the system's processes; and ways to have them fail: wires, disks, leaders.

mod console;
mod disk;
mod nats;
mod processes;
mod proxy;

pub use console::Console;
pub use disk::SmallDisk;
pub use nats::{TestCluster, TestNats, nats_server};
pub use processes::{Watched, children, descendants, end_with_this, groups_of_launcher, ticks};
pub use proxy::{Proxy, Wire};
