//! A worker's side.

use std::io::{Read as _, Result};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use atlas_sandbox::{Entered, canary, enter, frame};
use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;
use serde_bytes::ByteBuf;

use super::wire::{Allowance, Ask, Done, Give, Opened, Say, Spent, Task};
use crate::guests::{Guests, Store};
use crate::pipeline::{Budget, Failure};
use crate::replay;

/// Stack of a thread that serves a connection, in bytes: walks over deep terms take some.
const STACK: usize = 16 << 20;

/// The whole of a worker's program: confines itself, then serves its parent until that is gone.
pub fn worker() -> ExitCode {
    match enter(atlas_lean_wasm::hold_pagemap).map(serve) {
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
            let opened = opened.and_then(|guests| {
                entered.forbid_new_code().map_err(|error| error.to_string())?;
                Ok(Arc::new(guests))
            });
            let (guests, said) = match opened {
                Ok(guests) => (Some(guests.clone()), Opened::As(guests.identity())),
                Err(why) => (None, Opened::Failed(why)),
            };
            frame::send(&mut entered.control, &serde_json::to_vec(&said)?)?;
            let Some(guests) = guests else { return Ok(()) };
            for lane in entered.lanes.drain(..) {
                let guests = guests.clone();
                let lane = Lane(Mutex::new(lane));
                std::thread::Builder::new().stack_size(STACK).spawn(move || lane.serve(&guests))?;
            }
            // Nothing is said here any more: reading ends when the parent is gone.
            entered.control.read(&mut [0]).map(drop)
        }
    }
}

/// A connection to the parent, which has one request at a time on it.
struct Lane(Mutex<UnixStream>);

impl Lane {
    /// Answers requests until the parent hangs up.
    fn serve(&self, guests: &Guests) -> Result<()> {
        loop {
            let request = frame::receive(&mut *self.0.lock(), u64::MAX)?;
            let (ask, allowance): (Ask, Allowance) =
                postcard::from_bytes(&request).map_err(std::io::Error::other)?;
            let before = processor_time();
            let budget = Budget::new(allowance.left, allowance.memory);
            let done = self.answer(guests, &ask, &budget);
            let spent = Spent { lean: budget.spent(), cpu: processor_time().saturating_sub(before) };
            self.say(&Say::Done(done, spent))?;
        }
    }

    fn answer(&self, guests: &Guests, ask: &Ask, budget: &Budget) -> std::result::Result<Done, Failure> {
        Ok(match ask {
            Ask::Elaborate(elaborate) => {
                let asked = elaborate.asked();
                Done::Elaborated(Box::new(guests.elaborate(&elaborate.work(&asked), self, budget)?))
            }
            Ask::Foundation(toolchain) => {
                Done::Foundation(ByteBuf::from(guests.foundation(toolchain, self, budget)?))
            }
            Ask::Replay { ground, export } => {
                Done::Replayed(replay::replay(guests, ground, export, self, budget)?)
            }
        })
    }

    fn say(&self, say: &Say) -> Result<()> {
        let text = postcard::to_allocvec(say).map_err(std::io::Error::other)?;
        frame::send(&mut *self.0.lock(), &text)
    }
}

impl Store for Lane {
    fn compiled(&self, digest: &str) -> std::result::Result<Arc<[u8]>, Failure> {
        self.need(digest)
    }

    fn export(&self, digest: &str) -> std::result::Result<Arc<[u8]>, Failure> {
        self.need(digest)
    }
}

impl Lane {
    /// What the parent has under this digest; a request needs things of one kind.
    fn need(&self, digest: &str) -> std::result::Result<Arc<[u8]>, Failure> {
        let asked = || -> Result<Give> {
            self.say(&Say::Need(digest.to_owned()))?;
            let given = frame::receive(&mut *self.0.lock(), u64::MAX)?;
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
