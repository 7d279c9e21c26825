//! A process of the run, started again whenever it ends, as a cluster's own supervision does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas_testkit::{Proxy, Wire, end_with_this};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How far clocks are apart: well within the example's deadline, far beyond all that is timed.
const APART: i64 = 600;
/// Pause before a process is started again.
const AGAIN: Duration = Duration::from_millis(500);

/// What to start: the program and its arguments.
#[derive(Debug, Clone)]
pub struct Program {
    pub path: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub log: PathBuf,
}

/// A process that is kept running, and its wires to the nats-servers.
#[derive(Debug)]
pub struct Service {
    pub name: &'static str,
    /// To each node.
    pub wires: Vec<Proxy>,
    group: watch::Receiver<Option<i32>>,
    ended: watch::Receiver<Option<i32>>,
    failures: Arc<Mutex<Vec<String>>>,
    /// Seconds that its wall clock will be off from its next start on.
    clock: Arc<AtomicI64>,
    supervisor: JoinHandle<()>,
}

impl Service {
    /// Starts it. An exit with a code in `last` is its end.
    pub fn start(name: &'static str, program: Program, wires: Vec<Proxy>, last: &'static [i32]) -> Self {
        let (say_group, group) = watch::channel(None);
        let (say_end, ended) = watch::channel(None);
        let failures = Arc::new(Mutex::new(Vec::new()));
        let clock = Arc::new(AtomicI64::new(0));
        let (failed, off) = (Arc::clone(&failures), Arc::clone(&clock));
        let supervisor = tokio::spawn(async move {
            loop {
                let log = File::options().create(true).append(true).open(&program.log).unwrap();
                let mut command = Command::new(&program.path);
                command
                    .args(&program.arguments)
                    .envs(program.environment.iter().cloned())
                    .env("ATLAS_TEST_CLOCK", off.load(Ordering::Relaxed).to_string())
                    .stdin(std::process::Stdio::null())
                    .stdout(log.try_clone().unwrap())
                    .stderr(log)
                    .process_group(0)
                    .kill_on_drop(true);
                end_with_this(&mut command);
                let mut child = command.spawn().unwrap_or_else(|error| {
                    panic!("{}: {error}; build all: make build", program.path.display())
                });
                say_group.send_replace(child.id().map(u32::cast_signed));
                let status = child.wait().await.unwrap();
                say_group.send_replace(None);
                if let Some(code) = status.code() {
                    if last.contains(&code) {
                        say_end.send_replace(Some(code));
                        return;
                    }
                    failed.lock().unwrap().push(format!("exit {code}: {}", last_words(&program.log)));
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
        Self { name, wires, group, ended, failures, clock, supervisor }
    }

    /// Signals the process and all that it has started; false: it does not run just now.
    pub fn signal(&self, signal: Signal) -> bool {
        let group = *self.group.borrow();
        group.is_some_and(|group| killpg(Pid::from_raw(group), signal).is_ok())
    }

    pub fn set_wires(&self, wire: Wire) {
        self.wires.iter().for_each(|proxy| proxy.set(wire));
    }

    /// Has its wall clock be ahead, behind and right by turns, from its next start on.
    pub fn turn_clock(&self) {
        let next = |off| Some(if off > 0 { -APART } else { off + APART });
        let _ = self.clock.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Waits for its end, and says how.
    pub async fn ended(&self) -> i32 {
        let mut ended = self.ended.clone();
        ended.wait_for(Option::is_some).await.unwrap().unwrap()
    }

    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// What it said each time that it ended by itself and was started again.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }
}

/// The last line of a log that tells of an error; there may be help and a backtrace after it.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let tells = |line: &&str| ["error", "Error", "panicked"].iter().any(|word| line.contains(word));
    text.lines().rev().find(tells).unwrap_or_default().to_owned()
}

impl Drop for Service {
    fn drop(&mut self) {
        self.supervisor.abort();
        self.signal(Signal::SIGKILL);
    }
}
