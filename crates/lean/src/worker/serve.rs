//! A worker's side.

use std::io::{Read as _, Result};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use atlas_judge::{Bound, Judge, Wanted};
use atlas_sandbox::{Entered, canary, enter, frame};
use nix::time::{ClockId, clock_gettime};
use serde_bytes::ByteBuf;

use super::wire::{Allowance, Ask, Done, Give, Needed, Opened, Say, Spent, Task};
use crate::guests::{Guests, Store};
use crate::host::Host;
use crate::native::Confined;
use crate::pipeline::{Budget, Failure};

/// Stack of a thread that serves a connection, in bytes: walks over deep terms take some.
const STACK: usize = 16 << 20;

/// The whole of a worker's program: confines itself, then serves its parent until that is gone.
pub fn worker() -> ExitCode {
    match enter(super::BUILD, atlas_lean_wasm::hold_pagemap).map(serve) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(status) => status,
    }
}

fn serve(mut entered: Entered) -> Result<()> {
    match serde_json::from_str(&entered.task)? {
        Task::Canary(targets) => {
            entered.forbid_new_code().map_err(std::io::Error::other)?;
            canary::sing(&mut entered, &targets)
        }
        Task::Guests { image, warm_bytes } => {
            let opened = Guests::open(&image, warm_bytes).map_err(|error| error.to_string());
            open(entered, opened.map(Server::lean))
        }
        Task::Native(program) => {
            let scratch = entered.scratch.clone().ok_or_else(|| "it has no place to write to".to_owned());
            open(entered, scratch.map(|scratch| Server::lean(Confined { program, scratch })))
        }
        Task::Judge => open(entered, Ok((atlas_judge::JUDGE.to_owned(), Server::Judge(Judge::default())))),
    }
}

/// What a worker does, and the name of what its answers depend on.
fn open(mut entered: Entered, opened: std::result::Result<(String, Server), String>) -> Result<()> {
    let opened = opened.and_then(|opened| {
        entered.forbid_new_code().map_err(|error| error.to_string())?;
        Ok(opened)
    });
    let (said, server) = match opened {
        Ok((identity, server)) => (Opened::As(identity), Some(Arc::new(server))),
        Err(why) => (Opened::Failed(why), None),
    };
    frame::send(&mut entered.control, &serde_json::to_vec(&said)?)?;
    let Some(server) = server else { return Ok(()) };
    for lane in entered.lanes.drain(..) {
        let server = server.clone();
        let lane = Lane(lane);
        std::thread::Builder::new().stack_size(STACK).spawn(move || lane.serve(&server))?;
    }
    // Nothing is said here any more: reading ends when the parent is gone.
    entered.control.read(&mut [0]).map(drop)
}

/// What answers requests.
enum Server {
    Lean(Box<dyn Host>),
    Judge(Judge),
}

impl Server {
    /// A Lean, with its identity.
    fn lean(host: impl Host + 'static) -> (String, Self) {
        (host.identity(), Self::Lean(Box::new(host)))
    }
}

/// A connection to the parent, which has one request at a time on it.
struct Lane(UnixStream);

impl Lane {
    /// Answers requests until the parent hangs up.
    fn serve(&self, server: &Server) -> Result<()> {
        loop {
            let request = frame::receive(&mut &self.0, u64::MAX)?;
            let (ask, allowance): (Ask, Allowance) =
                postcard::from_bytes(&request).map_err(std::io::Error::other)?;
            let before = processor_time();
            let budget = Budget::new(allowance.left, allowance.memory);
            let done = self.answer(server, ask, &budget);
            let spent = Spent { lean: budget.spent(), cpu: processor_time().saturating_sub(before) };
            self.say(&Say::Done(done, spent))?;
        }
    }

    fn answer(&self, server: &Server, ask: Ask, budget: &Budget) -> std::result::Result<Done, Failure> {
        Ok(match (ask, server) {
            (Ask::Elaborate(elaborate), Server::Lean(lean)) => {
                let asked = elaborate.asked();
                Done::Elaborated(Box::new(lean.elaborate(&elaborate.work(&asked), self, budget)?))
            }
            (Ask::Foundation(toolchain), Server::Lean(lean)) => {
                Done::Foundation(ByteBuf::from(lean.foundation(&toolchain, self, budget)?))
            }
            (Ask::Replay { ground, export }, Server::Lean(lean)) => {
                Done::Replayed(lean.replay(&ground, &export, self, budget)?)
            }
            (Ask::Examine { ground, export, asked }, Server::Judge(judge)) => {
                let mut parsed = false;
                let mut fetch = |wanted: Wanted<'_>| {
                    parsed |= matches!(wanted, Wanted::Toolchain(_));
                    let needed = match wanted {
                        Wanted::Frozen(_) => Needed::Frozen,
                        Wanted::Toolchain(_) => Needed::Toolchain,
                        Wanted::Export(digest) => Needed::Content(digest.to_owned()),
                    };
                    self.need(needed).map_err(|failure| failure.fault)
                };
                let judged = judge.examine(&ground, &export, &asked, &Bound::default(), &mut fetch);
                let judged = judged.map_err(|error| Failure::environment(error.to_string()))?;
                let frozen = parsed.then(|| judge.frozen(&ground)).flatten();
                Done::Judged(Box::new(judged), frozen.map(ByteBuf::from))
            }
            _ => return Err(Failure::environment("the request is for another kind of worker")),
        })
    }

    fn say(&self, say: &Say) -> Result<()> {
        let text = postcard::to_allocvec(say).map_err(std::io::Error::other)?;
        frame::send(&mut &self.0, &text)
    }
}

impl Store for Lane {
    fn compiled(&self, digest: &str) -> std::result::Result<Arc<[u8]>, Failure> {
        self.need(Needed::Content(digest.to_owned()))
    }

    fn export(&self, digest: &str) -> std::result::Result<Arc<[u8]>, Failure> {
        self.need(Needed::Content(digest.to_owned()))
    }
}

impl Lane {
    /// What the parent has of this.
    fn need(&self, needed: Needed) -> std::result::Result<Arc<[u8]>, Failure> {
        let asked = || -> Result<Give> {
            self.say(&Say::Need(needed))?;
            let given = frame::receive(&mut &self.0, u64::MAX)?;
            postcard::from_bytes(&given).map_err(std::io::Error::other)
        };
        match asked() {
            Ok(Ok(bytes)) => Ok(bytes.into_vec().into()),
            Ok(Err(why)) => Err(Failure::environment(why)),
            Err(error) => Err(Failure::environment(format!("the parent cannot be asked: {error}"))),
        }
    }
}

/// Processor time that this thread has taken.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
