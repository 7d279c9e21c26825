//! A guest that answers one request after the other and is never made new: what long-lived servers of Lean do.
//!
//! Not for checks, which must not see each other: it is the yardstick for what a fresh copy costs.

use std::time::Instant;

use crate::Error;
use crate::image::{Image, Job, Outcome, outcome};
use crate::schedule::{Seat, Threads};
use crate::slot::Slot;
use crate::snapshot::Snapshot;

/// A guest that stays. Its environments are its garbage collector's matter, its memory only grows.
pub struct Session<'a> {
    image: &'a Image,
    slot: Slot,
    threads: Threads,
    seat: Seat,
    from: Snapshot,
    /// Whether it has answered every request so far.
    alive: bool,
}

impl<'a> Session<'a> {
    /// A session that goes on from `from`; its memory may outgrow that by `extra_memory` bytes.
    ///
    /// # Errors
    /// [`Error::Wasm`] when the machine has no memory for it.
    pub fn new(image: &'a Image, from: &Snapshot, extra_memory: u64) -> Result<Self, Error> {
        let job = Job { extra_memory, ..Job::new(vec![]) };
        let setup = image.setup(from, job, Instant::now());
        let slot = Slot::new(image.machine().engine(), from, 0, setup)
            .map_err(Error::wasm("make a guest's memory"))?;
        let threads = Threads::new(slot.instances().clone());
        Ok(Self { image, slot, threads, seat: Seat::default(), from: from.clone(), alive: true })
    }

    /// Puts a request to the session. Its inputs and its memory limit are not heeded: those are the session's. After anything
    /// but an answer the session has ended.
    pub fn run(&mut self, job: Job) -> Outcome {
        let started = Instant::now();
        let nonce = crate::image::nonce();
        self.slot.guest().lock().ask(job.request.into(), nonce, started + job.deadline, job.reader);
        let ended = self.image.machine().again(
            self.slot.guest(),
            &mut self.threads,
            &self.seat,
            self.from.globals.clone(),
            self.from.action,
        );
        let outcome = outcome(&mut self.slot.guest().lock(), ended, started);
        self.alive &= matches!(outcome.end, crate::End::Answered(_));
        outcome
    }

    /// Whether it can be asked again.
    pub fn is_alive(&self) -> bool {
        self.alive
    }
}
