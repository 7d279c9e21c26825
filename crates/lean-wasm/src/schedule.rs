//! Runs a guest: all of its threads as fibers of the calling OS thread, one at a time.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::{Engine, Func, Global, Instance, Linker, Module, Result, Store, Trap, Val, bail, format_err};

use crate::build::build;
use crate::guest::{Exit, Guest, SharedGuest, Spawn, THREAD_ENDS, Thread};

/// How far apart the ticks are that running code looks at.
pub(crate) const TICK: Duration = Duration::from_millis(10);

type Fiber = Pin<Box<dyn Future<Output = Result<i32>>>>;

/// The deadline passed while the guest waited.
#[derive(Debug, thiserror::Error)]
#[error("the deadline passed")]
struct TimedOut;

/// What a guest runs on.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) engine: Engine,
    pub(crate) module: Module,
    pub(crate) linker: Linker<Thread>,
}

/// How a guest came to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Its main thread returned this, or it asked to exit with this.
    With(i32),
    /// The deadline passed.
    TimedOut,
    /// A trap or a fault, in words.
    Crashed(String),
}

impl Machine {
    /// Starts the guest's `main` with `arguments`.
    pub(crate) fn start(&self, guest: Guest, arguments: Vec<String>) -> (Ended, Guest) {
        let guest = Arc::new(Mutex::new(guest));
        let main = Box::pin(self.clone().main_thread(guest.clone(), arguments));
        self.run(guest, main)
    }

    /// Runs the action at `action` in a copy whose memory has been put in place.
    pub(crate) fn resume(&self, guest: Guest, globals: Vec<(String, i32)>, action: u32) -> (Ended, Guest) {
        let guest = Arc::new(Mutex::new(guest));
        let main = Box::pin(self.clone().copied_thread(guest.clone(), globals, action));
        self.run(guest, main)
    }

    fn run(&self, guest: SharedGuest, main: Fiber) -> (Ended, Guest) {
        let ended = match self.schedule(&guest, main) {
            Ok(status) => Ended::With(status),
            Err(e) if e.is::<TimedOut>() || e.downcast_ref::<Trap>() == Some(&Trap::Interrupt) => {
                Ended::TimedOut
            }
            Err(e) => match e.downcast_ref::<Exit>() {
                Some(exit) => Ended::With(exit.0),
                None => Ended::Crashed(format!("{:#}", e)),
            },
        };
        // All fibers have been dropped with `schedule`'s frame, and with them the other owners.
        match Arc::try_unwrap(guest) {
            Ok(guest) => (ended, guest.into_inner()),
            Err(_) => unreachable!("a fiber outlived its scheduler"),
        }
    }

    async fn instantiate(&self, id: usize, guest: &SharedGuest) -> Result<(Store<Thread>, Instance)> {
        let (memory, left) = {
            let g = guest.lock();
            (g.memory.shared().clone(), g.deadline.saturating_duration_since(Instant::now()))
        };
        let mut store = Store::new(&self.engine, Thread::new(id, guest.clone()));
        store.set_epoch_deadline((left.as_millis() / TICK.as_millis()) as u64 + 1);
        let mut linker = self.linker.clone();
        linker.define(&store, "env", "memory", memory)?;
        // Graphics, sound and other parts of Emscripten that Lean links and never calls.
        linker.define_unknown_imports_as_traps(&self.module)?;
        linker.define_unknown_imports_as_default_values(&mut store, &self.module)?;
        let instance = linker.instantiate_async(&mut store, &self.module).await?;
        Ok((store, instance))
    }

    async fn main_thread(self, guest: SharedGuest, arguments: Vec<String>) -> Result<i32> {
        let (mut s, instance) = self.instantiate(0, &guest).await?;
        instance.get_typed_func::<(), ()>(&mut s, "__wasm_call_ctors")?.call_async(&mut s, ()).await?;
        let allocate = instance.get_typed_func::<u32, u32>(&mut s, "_emscripten_stack_alloc")?;
        let vector = allocate.call_async(&mut s, 4 * (arguments.len() as u32 + 1)).await?;
        for (k, argument) in arguments.iter().enumerate() {
            let text = format!("{argument}\0");
            let address = allocate.call_async(&mut s, text.len() as u32).await?;
            let g = guest.lock();
            g.memory.write(address, text.as_bytes())?;
            g.memory.set_u32(vector + 4 * k as u32, address)?;
        }
        guest.lock().memory.set_u32(vector + 4 * arguments.len() as u32, 0)?;
        let main = instance.get_typed_func::<(u32, u32), i32>(&mut s, "__main_argc_argv")?;
        let status = match main.call_async(&mut s, (arguments.len() as u32, vector)).await {
            Ok(status) => status,
            Err(e) => e.downcast::<Exit>()?.0,
        };
        save_globals(&mut s, &instance, &guest);
        Ok(status)
    }

    async fn copied_thread(
        self,
        guest: SharedGuest,
        globals: Vec<(String, i32)>,
        action: u32,
    ) -> Result<i32> {
        let (mut s, instance) = self.instantiate(0, &guest).await?;
        for (name, value) in &globals {
            let global = instance.get_global(&mut s, name).ok_or_else(|| format_err!("no global {name}"))?;
            global.set(&mut s, Val::I32(*value))?;
        }
        // `main` took its task manager down when it returned, and with it all worker threads.
        function(&mut s, &instance, &guest, "lean_init_task_manager_using")?
            .typed::<u32, ()>(&s)?
            .call_async(&mut s, 1)
            .await?;
        let given = std::mem::take(&mut guest.lock().given);
        let given = build(&mut s, &instance, &guest, given).await?;
        let apply = function(&mut s, &instance, &guest, "lean_apply_2")?.typed::<(u32, u32, u32), u32>(&s)?;
        // The second argument is the world token, a boxed zero.
        let result = apply.call_async(&mut s, (action, given, 1)).await?;
        let status = guest.lock().memory.u8(result.wrapping_add(7))?;
        if guest.lock().registered.is_some() {
            // This copy is to be copied again: leave it as `main` leaves the first.
            function(&mut s, &instance, &guest, "lean_finalize_task_manager")?
                .typed::<(), ()>(&s)?
                .call_async(&mut s, ())
                .await?;
            save_globals(&mut s, &instance, &guest);
        }
        Ok(i32::from(status))
    }

    async fn worker_thread(self, guest: SharedGuest, id: usize, spawn: Spawn) -> Result<i32> {
        let (mut s, instance) = self.instantiate(id, &guest).await?;
        let entry = instance.get_typed_func::<(i32, i32, i32), ()>(&mut s, "thread_entry")?;
        match entry.call_async(&mut s, (spawn.pthread, spawn.routine, spawn.argument)).await {
            Ok(()) => Ok(0),
            Err(e) if e.downcast_ref::<Exit>().is_some_and(|x| x.0 == THREAD_ENDS) => Ok(0),
            Err(e) => Err(e),
        }
    }

    fn schedule(&self, guest: &SharedGuest, main: Fiber) -> Result<i32> {
        let mut fibers = HashMap::from([(0, main)]);
        let mut next = 1;
        let mut context = Context::from_waker(Waker::noop());
        guest.lock().ready.push_back(0);
        loop {
            let thread = {
                let mut g = guest.lock();
                while let Some(spawn) = g.spawns.pop_front() {
                    fibers.insert(next, Box::pin(self.clone().worker_thread(guest.clone(), next, spawn)));
                    g.ready.push_back(next);
                    next += 1;
                }
                let now = Instant::now();
                if now >= g.deadline {
                    return Err(TimedOut.into());
                }
                g.expire(now);
                match (g.ready.pop_front(), g.waits.iter().filter_map(|w| w.until).min()) {
                    (Some(thread), _) => thread,
                    (None, Some(until)) => {
                        let until = until.min(g.deadline);
                        drop(g);
                        #[expect(
                            clippy::disallowed_methods,
                            reason = "the guest's own thread, which has nothing to run"
                        )]
                        std::thread::sleep(until.saturating_duration_since(now));
                        continue;
                    }
                    (None, None) => bail!("deadlock: all {} guest threads wait for ever", fibers.len()),
                }
            };
            let Some(fiber) = fibers.get_mut(&thread) else { continue };
            if let Poll::Ready(result) = fiber.as_mut().poll(&mut context) {
                let status = result.map_err(|e| e.context(format!("guest thread {thread}")))?;
                if thread == 0 {
                    return Ok(status);
                }
                fibers.remove(&thread);
            }
        }
    }
}

fn save_globals(s: &mut Store<Thread>, instance: &Instance, guest: &SharedGuest) {
    let exported: Vec<(String, Global)> = instance
        .exports(&mut *s)
        .filter(|e| e.name().starts_with("mg"))
        .filter_map(|e| Some((e.name().to_owned(), e.into_global()?)))
        .collect();
    let values =
        exported.into_iter().filter_map(|(name, global)| Some((name, global.get(&mut *s).i32()?))).collect();
    guest.lock().globals = values;
}

pub(crate) fn function(
    s: &mut Store<Thread>,
    instance: &Instance,
    guest: &SharedGuest,
    name: &str,
) -> Result<Func> {
    let table = instance
        .get_table(&mut *s, "__indirect_function_table")
        .ok_or_else(|| format_err!("no function table"))?;
    let slot = guest.lock().symbols.get(name).ok_or_else(|| format_err!("no symbol {name}"))?;
    table
        .get(&mut *s, u64::from(slot as u32))
        .and_then(|reference| reference.unwrap_func().copied())
        .ok_or_else(|| format_err!("the table has no function at the slot of {name}"))
}
