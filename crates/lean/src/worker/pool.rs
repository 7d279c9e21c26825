//! A few workers of one task: who is asked, until when, and what becomes of a request whose worker dies.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use atlas_proto::Outcome;
use atlas_sandbox::frame::{self, Until};
use atlas_sandbox::{Plan, Process};
use parking_lot::{Condvar, Mutex};

use super::BUILD;
use super::wire::{Allowance, Ask, Done, Give, Needed, Opened, Say, Spent, Task};
use crate::Error;
use crate::pipeline::{Budget, Failure};

/// How long a worker may take to start.
const START: Duration = Duration::from_secs(30);
/// How long beyond its deadline a worker may take to end a guest by itself, before it is killed.
const GRACE: Duration = Duration::from_secs(2);
const MOST_OPENED: u64 = 1 << 16;
/// Bytes of memory for each request in a worker: a guest of 2 GiB, which is all that one can address, and as much for what goes in and out.
/// Each check's own limit is within it, and is the one that honest work meets.
const REQUEST_MEMORY: u64 = 4 << 30;

/// How workers are started.
pub(crate) struct Start {
    pub(crate) program: PathBuf,
    /// Its memory and processors are set by the worker's lanes.
    pub(crate) plan: Plan,
    pub(crate) task: String,
    /// Requests at once in one worker.
    pub(crate) lanes: usize,
    /// A worker has one request in its life.
    pub(crate) alone: bool,
    /// Bytes of memory of one worker beside its requests'.
    pub(crate) own_memory: u64,
    /// Bytes of memory of one worker, whatever its requests may take.
    pub(crate) most_memory: u64,
    /// Bytes of what a worker may say of one request.
    pub(crate) most_said: u64,
}

/// Workers, started when they are needed.
pub(crate) struct Pool {
    start: Start,
    most: usize,
    workers: Mutex<Vec<Arc<Worker>>>,
    freed: Condvar,
}

struct Worker {
    process: Process,
    identity: String,
    free: Mutex<Vec<UnixStream>>,
    dead: AtomicBool,
}

/// Why a conversation came to no end.
enum Broken {
    /// The deadline passed, and the worker had not ended by itself.
    Late,
    /// The worker died or was killed.
    Died,
    /// It said what cannot be understood.
    Nonsense(String),
}

impl Start {
    fn start(&self, lanes: usize) -> Result<(Worker, Vec<UnixStream>), Error> {
        let requests = lanes as u64;
        let plan = Plan {
            memory: self.own_memory.saturating_add(requests * REQUEST_MEMORY).min(self.most_memory),
            // A request keeps one busy, and the clock wants to be heard.
            processors: requests + 1,
            ..self.plan.clone()
        };
        let (process, lanes) = Process::start(&self.program, BUILD, &plan, &self.task, lanes, START)?;
        let until = Instant::now() + START;
        let opened = frame::receive(&mut Until(process.control(), until), MOST_OPENED);
        let opened = opened.ok().and_then(|opened| serde_json::from_slice(&opened).ok());
        let identity = match opened {
            Some(Opened::As(identity)) => identity,
            Some(Opened::Failed(why)) => return Err(Error::Worker(why)),
            None => {
                return Err(Error::Worker(format!("a worker cannot be started: {}", process.last_words())));
            }
        };
        let worker = Worker { process, identity, free: Mutex::default(), dead: AtomicBool::new(false) };
        Ok((worker, lanes))
    }
}

impl Pool {
    /// At most `most` workers.
    pub(crate) fn new(start: Start, most: usize) -> Self {
        Self { start, most, workers: Mutex::default(), freed: Condvar::new() }
    }

    /// What a worker says that its answers depend on; starts one if there is none.
    pub(crate) fn identity(&self) -> Result<String, Error> {
        let mut workers = self.workers.lock();
        if let Some(worker) = workers.first() {
            return Ok(worker.identity.clone());
        }
        let worker = self.add(&mut workers)?;
        Ok(worker.identity.clone())
    }

    /// Asks, and gives what `give` tells to a worker that needs more. Of a request that loses its worker, another is asked once.
    pub(crate) fn ask(
        &self,
        ask: &Ask,
        budget: &Budget,
        give: &dyn Fn(&Needed) -> Give,
    ) -> Result<(Done, Spent), Failure> {
        let allowance = || Ok::<_, Failure>(Allowance { left: budget.left()?, memory: budget.memory });
        let (worker, mut lane) = self.lease(budget)?;
        match converse(&mut lane, ask, allowance()?, budget.until + GRACE, give, self.start.most_said) {
            Ok(said) if self.start.alone => {
                worker.process.end();
                self.remove(&worker);
                return conclude(said, budget);
            }
            Ok(said) => {
                // Under the lock of those who wait: none may look before and sleep after.
                let workers = self.workers.lock();
                worker.free.lock().push(lane);
                self.freed.notify_one();
                drop(workers);
                return conclude(said, budget);
            }
            Err(broken) => {
                if !matches!(broken, Broken::Died) {
                    worker.process.end();
                }
                self.bury(&worker);
                if let Some(failure) = fatal(broken) {
                    return Err(failure);
                }
            }
        }
        // Somebody's request killed that worker. This one is tried again where it can kill nobody else's.
        let (worker, mut lanes) = self.start.start(1).map_err(Failure::from)?;
        let died = |why: String| {
            let (outcome, how) = if worker.process.out_of_memory() {
                (Outcome::OutOfMemory, "its worker, which had nothing else to do, ended")
            } else {
                (Outcome::Crashed, "its worker died twice")
            };
            Failure { outcome, fault: format!("{how}: {why}") }
        };
        let Some(lane) = lanes.first_mut() else { return Err(died("it was not connected".into())) };
        match converse(lane, ask, allowance()?, budget.until + GRACE, give, self.start.most_said) {
            Ok(said) => conclude(said, budget),
            Err(broken) => Err(fatal(broken).unwrap_or_else(|| died(worker.process.last_words()))),
        }
    }

    /// A connection that nobody uses.
    fn lease(&self, budget: &Budget) -> Result<(Arc<Worker>, UnixStream), Failure> {
        let mut workers = self.workers.lock();
        loop {
            for worker in workers.iter() {
                if let Some(lane) = worker.free.lock().pop() {
                    return Ok((worker.clone(), lane));
                }
            }
            if workers.len() < self.most {
                self.add(&mut workers).map_err(Failure::from)?;
                continue;
            }
            // What passes is the deadline, which is told.
            self.freed.wait_for(&mut workers, budget.left()?);
        }
    }

    fn add(&self, workers: &mut Vec<Arc<Worker>>) -> Result<Arc<Worker>, Error> {
        let (worker, lanes) = self.start.start(self.start.lanes)?;
        *worker.free.lock() = lanes;
        let worker = Arc::new(worker);
        workers.push(worker.clone());
        Ok(worker)
    }

    /// Kills a worker of which one connection has broken, once.
    fn bury(&self, worker: &Arc<Worker>) {
        if !worker.dead.swap(true, Ordering::Relaxed) {
            self.remove(worker);
            let last = worker.process.last_words();
            tracing::warn!(last, "a worker died");
        }
    }

    /// Asks a worker no more.
    fn remove(&self, worker: &Arc<Worker>) {
        self.workers.lock().retain(|other| !Arc::ptr_eq(other, worker));
        self.freed.notify_all();
    }
}

/// What a broken conversation means for the request whatever the worker does; `None`: another worker is to be asked.
fn fatal(broken: Broken) -> Option<Failure> {
    match broken {
        Broken::Died => None,
        Broken::Late => Some(Failure {
            outcome: Outcome::TimedOut,
            fault: "ended at the deadline, with its worker, which did not end it".into(),
        }),
        Broken::Nonsense(why) => Some(Failure {
            outcome: Outcome::Crashed,
            fault: format!("its worker said what cannot be understood: {why}"),
        }),
    }
}

fn conclude(
    (done, spent): (Result<Done, Failure>, Spent),
    budget: &Budget,
) -> Result<(Done, Spent), Failure> {
    if let Some((elapsed, memory)) = spent.lean {
        budget.used(elapsed, memory);
    }
    Ok((done?, spent))
}

type Said = (Result<Done, Failure>, Spent);

fn converse(
    lane: &mut UnixStream,
    ask: &Ask,
    allowance: Allowance,
    until: Instant,
    give: &dyn Fn(&Needed) -> Give,
    most_said: u64,
) -> Result<Said, Broken> {
    send(lane, &(ask, allowance), until)?;
    loop {
        let said = frame::receive(&mut Until(lane, until), most_said).map_err(broken)?;
        match postcard::from_bytes(&said).map_err(|error| Broken::Nonsense(error.to_string()))? {
            Say::Need(needed) => send(lane, &give(&needed), until)?,
            Say::Done(done, spent) => return Ok((done, spent)),
        }
    }
}

fn send(lane: &UnixStream, message: &impl serde::Serialize, until: Instant) -> Result<(), Broken> {
    let text = postcard::to_allocvec(message).map_err(|error| Broken::Nonsense(error.to_string()))?;
    frame::send(&mut Until(lane, until), &text).map_err(broken)
}

fn broken(error: std::io::Error) -> Broken {
    match error.kind() {
        ErrorKind::TimedOut => Broken::Late,
        ErrorKind::InvalidData => Broken::Nonsense(error.to_string()),
        _ => Broken::Died,
    }
}

impl Task {
    /// As workers are told it.
    pub(crate) fn text(&self) -> Result<String, Error> {
        serde_json::to_string(self)
            .map_err(|error| Error::Worker(format!("its task cannot be told: {error}")))
    }
}
