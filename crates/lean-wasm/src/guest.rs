//! One guest: its memory, its files, its threads that wait, and what it has told the host.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{ArcMutexGuard, Mutex, RawMutex};
use wasmtime::Caller;

use crate::memory::GuestMemory;
use crate::recipe::Recipe;
use crate::symbols::Symbols;
use crate::vfs::{Channel, Vfs};
use atlas_lean_export::Heap;

/// 2 GB: what this build of Lean was linked for.
pub(crate) const MOST_PAGES: u32 = 32768;

/// The state of one guest thread: what a wasmtime store holds.
pub(crate) struct Thread {
    pub(crate) id: usize,
    pub(crate) guest: SharedGuest,
    /// The C++ exception on its way, 0: none.
    pub(crate) exception: u32,
    /// The C++ exceptions in `catch` blocks, innermost last.
    pub(crate) caught: Vec<u32>,
    /// C++ exceptions thrown and not caught yet.
    pub(crate) uncaught: i32,
}

impl Thread {
    pub(crate) fn new(id: usize, guest: SharedGuest) -> Self {
        Self { id, guest, exception: 0, caught: vec![], uncaught: 0 }
    }
}

/// A guest as its threads and their scheduler share it. All are fibers of one OS thread, so the lock is never contended.
pub(crate) type SharedGuest = Arc<Mutex<Guest>>;

/// Locks the caller's guest. Must not be held over an `await` (the compiler refuses it: the guard is not `Send`).
pub(crate) fn guest(caller: &Caller<'_, Thread>) -> ArcMutexGuard<RawMutex, Guest> {
    caller.data().guest.lock_arc()
}

/// The guest asked to end; travels as a trap, which no `catch` in the guest can stop.
#[derive(Debug, thiserror::Error)]
#[error("the guest ended with status {0}")]
pub(crate) struct Exit(pub(crate) i32);

/// Status of an [`Exit`] that ends the thread and not the guest.
pub(crate) const THREAD_ENDS: i32 = -1000;

/// A thread that waits on an address.
pub(crate) struct Wait {
    pub(crate) thread: usize,
    pub(crate) address: u32,
    pub(crate) until: Option<Instant>,
}

/// A thread that is to start.
#[derive(Clone, Copy)]
pub(crate) struct Spawn {
    pub(crate) pthread: i32,
    pub(crate) routine: i32,
    pub(crate) argument: i32,
}

/// Reads an object that the session hands over by address, while the guest stands still.
pub type Reader = Box<dyn FnMut(&Heap<'_>, u32) + Send>;

/// One guest.
pub(crate) struct Guest {
    pub(crate) memory: GuestMemory,
    pub(crate) files: Vfs,
    pub(crate) environment: Vec<String>,
    pub(crate) symbols: Arc<Symbols>,
    /// Growth of the memory beyond this is refused.
    pub(crate) most_pages: u64,
    /// Whether growth has been refused.
    pub(crate) refused_growth: bool,
    pub(crate) deadline: Instant,
    /// Values of the main thread's mutable globals when it ended.
    pub(crate) globals: Vec<(String, i32)>,
    /// The secret that answers begin with; empty while a session is built, when only trusted code runs.
    nonce: String,
    pub(crate) answer: Option<Vec<u8>>,
    pub(crate) registered: Option<u32>,
    reader: Option<Reader>,
    /// What the action is given; empty when it is given nothing.
    pub(crate) given: Recipe,
    pub(crate) waits: Vec<Wait>,
    pub(crate) woken: HashMap<usize, i32>,
    pub(crate) ready: VecDeque<usize>,
    pub(crate) spawns: VecDeque<Spawn>,
    /// Threads that have ended and whose blocks, stack included, are still there.
    pub(crate) over: Vec<i32>,
    pub(crate) random: u64,
}

/// What a guest starts with.
pub(crate) struct Setup {
    pub(crate) toolchain: PathBuf,
    pub(crate) symbols: Arc<Symbols>,
    pub(crate) most_pages: u64,
    pub(crate) deadline: Instant,
    pub(crate) inputs: BTreeMap<String, Arc<[u8]>>,
    pub(crate) request: Option<(Arc<[u8]>, String)>,
    pub(crate) reader: Option<Reader>,
    /// What the action is given.
    pub(crate) given: Recipe,
    /// Where Lean looks for compiled modules beside the toolchain's.
    pub(crate) path: String,
}

impl Guest {
    pub(crate) fn new(memory: GuestMemory, setup: Setup) -> Self {
        let mut files = Vfs::new(setup.toolchain, setup.inputs);
        let mut nonce = String::new();
        if let Some((request, secret)) = setup.request {
            nonce.clone_from(&secret);
            files.set_request(request, secret);
        }
        Self {
            memory,
            files,
            environment: vec![
                format!("LEAN_PATH=/lib/lean:{}", setup.path),
                "HOME=/work".into(),
                "PATH=/bin".into(),
            ],
            symbols: setup.symbols,
            most_pages: setup.most_pages.min(u64::from(MOST_PAGES)),
            refused_growth: false,
            deadline: setup.deadline,
            globals: vec![],
            nonce,
            answer: None,
            registered: None,
            reader: setup.reader,
            given: setup.given,
            waits: vec![],
            woken: HashMap::new(),
            ready: VecDeque::new(),
            spawns: VecDeque::new(),
            over: vec![],
            random: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// Lets go of what belongs to the caller.
    pub(crate) fn leave(&mut self) {
        self.reader = None;
        self.files.leave();
    }

    /// Puts a further request to a guest that has answered one and goes on as it is.
    pub(crate) fn ask(
        &mut self,
        request: Arc<[u8]>,
        nonce: String,
        deadline: Instant,
        reader: Option<Reader>,
    ) {
        self.nonce.clone_from(&nonce);
        self.files.set_request(request, nonce);
        (self.answer, self.registered, self.refused_growth) = (None, None, false);
        (self.deadline, self.reader) = (deadline, reader);
    }

    /// Takes what the guest wrote to a channel. What does not begin with the nonce is a forgery and is dropped; of
    /// several answers the first counts.
    pub(crate) fn receive(&mut self, channel: Channel, bytes: &[u8]) {
        let Some(message) = bytes.strip_prefix(self.nonce.as_bytes()) else { return };
        let address = || std::str::from_utf8(message).ok()?.trim().parse::<u32>().ok();
        match channel {
            Channel::Answer => drop(self.answer.get_or_insert_with(|| message.to_vec())),
            Channel::Register => self.registered = self.registered.or_else(address),
            Channel::Object => {
                if let (Some(address), Some(reader)) = (address(), self.reader.as_mut()) {
                    // All of it is in range.
                    let memory = self.memory.bytes(0, self.memory.len()).unwrap_or_default();
                    reader(&Heap::over(memory), address);
                }
            }
            Channel::Nonce | Channel::Request => {}
        }
    }

    /// The next number of a fixed sequence: copies of a guest must not differ.
    pub(crate) fn next_random(&mut self) -> u8 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random as u8
    }

    /// Wakes up to `count` threads that wait on `address`; how many it woke.
    pub(crate) fn wake(&mut self, address: u32, count: u32) -> u32 {
        let mut woken = 0;
        while woken < count {
            let Some(k) = self.waits.iter().position(|w| w.address == address) else { break };
            let wait = self.waits.remove(k);
            self.woken.insert(wait.thread, 0);
            self.ready.push_back(wait.thread);
            woken += 1;
        }
        woken
    }

    /// Wakes the threads whose wait has timed out.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(k) = self.waits.iter().position(|w| w.until.is_some_and(|until| until <= now)) {
            let wait = self.waits.remove(k);
            self.woken.insert(wait.thread, 2);
            self.ready.push_back(wait.thread);
        }
    }
}
