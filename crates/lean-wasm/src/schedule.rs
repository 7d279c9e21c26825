//! Runs a guest: all of its threads as fibers of the calling OS thread, one at a time.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::{
    Engine, Func, Instance, Linker, Module, Result, Store, Trap, UpdateDeadline, bail, format_err,
};

use crate::build::build;
use crate::guest::{Exit, SharedGuest, Spawn, THREAD_ENDS, Thread};
use crate::instances::{Instances, Lease};

/// How far apart the ticks are that running code looks at.
pub(crate) const TICK: Duration = Duration::from_millis(10);

type Fiber = Pin<Box<dyn Future<Output = Result<i32>> + Send>>;

/// The deadline passed while the guest waited.
#[derive(Debug, thiserror::Error)]
#[error("the deadline passed")]
struct TimedOut;

/// What a guest runs on.
#[derive(Clone)]
pub(crate) struct Machine {
    engine: Engine,
    module: Module,
    linker: Linker<Thread>,
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

/// The threads of one guest that are under way.
pub(crate) struct Threads {
    instances: Instances,
    fibers: HashMap<usize, Fiber>,
    next: usize,
}

impl Threads {
    /// None yet; they run in `instances`.
    pub(crate) fn new(instances: Instances) -> Self {
        Self { instances, fibers: HashMap::new(), next: 1 }
    }
}

/// The main thread's instance of a guest that is asked more than once; empty until the first time and while it runs.
pub(crate) type Seat = Arc<Mutex<Option<Lease>>>;

impl Machine {
    /// A machine for guests of `module`.
    pub(crate) fn new(engine: Engine, module: Module, mut linker: Linker<Thread>) -> Result<Self> {
        // Graphics, sound and other parts of Emscripten that Lean links and never calls.
        linker.define_unknown_imports_as_traps(&module)?;
        Ok(Self { engine, module, linker })
    }

    /// The engine that the module was compiled for.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Starts the guest's `main` with `arguments`.
    pub(crate) fn start(&self, guest: &SharedGuest, arguments: Vec<String>) -> Ended {
        let mut threads = Threads::new(Instances::default());
        let main = Box::pin(self.clone().main_thread(guest.clone(), threads.instances.clone(), arguments));
        self.run(guest, &mut threads, main)
    }

    /// Runs the action at `action` in a copy whose memory is in place. Its instances are left in `instances`.
    pub(crate) fn resume(
        &self,
        guest: &SharedGuest,
        instances: &Instances,
        globals: Vec<(String, i32)>,
        action: u32,
    ) -> Ended {
        let mut threads = Threads::new(instances.clone());
        let main = self.clone().copied_thread(guest.clone(), instances.clone(), globals, action);
        self.run(guest, &mut threads, Box::pin(main))
    }

    /// Runs the action at `action` in a guest that stays: its threads go on in `threads`, its main thread's instance waits in
    /// `seat`.
    pub(crate) fn again(
        &self,
        guest: &SharedGuest,
        threads: &mut Threads,
        seat: &Seat,
        globals: Vec<(String, i32)>,
        action: u32,
    ) -> Ended {
        let (machine, to, seat) = (self.clone(), guest.clone(), seat.clone());
        let instances = threads.instances.clone();
        let main = async move {
            let known = seat.lock().take();
            let mut lease = match known {
                Some(lease) => lease,
                None => machine.copy_instance(&to, &instances, &globals).await?,
            };
            // A copy's threads go with it; a guest that stays must free them. Lean joins none of those that end by themselves.
            let over = std::mem::take(&mut to.lock().over);
            for thread in over {
                let (s, instance) = lease.parts();
                let free =
                    function(s, instance, &to, "_emscripten_thread_free_data")?.typed::<i32, ()>(&*s)?;
                free.call_async(s, thread).await?;
            }
            let status = apply(&mut lease, &to, action).await?;
            *seat.lock() = Some(lease);
            Ok(status)
        };
        self.run(guest, threads, Box::pin(main))
    }

    fn run(&self, guest: &SharedGuest, threads: &mut Threads, main: Fiber) -> Ended {
        match self.schedule(guest, threads, main) {
            Ok(status) => Ended::With(status),
            Err(e) if e.is::<TimedOut>() || e.downcast_ref::<Trap>() == Some(&Trap::Interrupt) => {
                Ended::TimedOut
            }
            Err(e) => match e.downcast_ref::<Exit>() {
                Some(exit) => Ended::With(exit.0),
                None => Ended::Crashed(format!("{e:#}")),
            },
        }
    }

    /// An instance for thread `id`: one that was left in `instances`, made as new, or a new one.
    async fn instance(&self, id: usize, guest: &SharedGuest, instances: &Instances) -> Result<Lease> {
        let thread = Thread::new(id, guest.clone());
        let mut lease = match instances.take(thread)? {
            Ok(lease) => lease,
            Err(thread) => {
                let mut store = Store::new(&self.engine, thread);
                store.epoch_deadline_callback(|c| match ticks(&c.data().guest) {
                    0 => Err(TimedOut.into()),
                    left => Ok(UpdateDeadline::Continue(left)),
                });
                store.set_epoch_deadline(1);
                let mut linker = self.linker.clone();
                linker.define(&store, "env", "memory", guest.lock().memory.shared().clone())?;
                let instance = linker.instantiate_async(&mut store, &self.module).await?;
                instances.lease(store, instance)?
            }
        };
        lease.store().set_epoch_deadline(ticks(guest).max(1));
        Ok(lease)
    }

    /// The main thread's instance of a copy, with a task manager.
    async fn copy_instance(
        &self,
        guest: &SharedGuest,
        instances: &Instances,
        globals: &[(String, i32)],
    ) -> Result<Lease> {
        let mut lease = self.instance(0, guest, instances).await?;
        lease.set_globals(globals)?;
        // `main` took its task manager down when it returned, and with it all worker threads.
        let (s, instance) = lease.parts();
        function(s, instance, guest, "lean_init_task_manager_using")?
            .typed::<u32, ()>(&*s)?
            .call_async(s, 1)
            .await?;
        Ok(lease)
    }

    async fn main_thread(
        self,
        guest: SharedGuest,
        instances: Instances,
        arguments: Vec<String>,
    ) -> Result<i32> {
        let mut lease = self.instance(0, &guest, &instances).await?;
        let (mut s, instance) = lease.parts();
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
        guest.lock().globals = lease.globals()?;
        Ok(status)
    }

    async fn copied_thread(
        self,
        guest: SharedGuest,
        instances: Instances,
        globals: Vec<(String, i32)>,
        action: u32,
    ) -> Result<i32> {
        let mut lease = self.copy_instance(&guest, &instances, &globals).await?;
        let status = apply(&mut lease, &guest, action).await?;
        if guest.lock().registered.is_some() {
            // This copy is to be copied again: leave it as `main` leaves the first.
            let (s, instance) = lease.parts();
            function(s, instance, &guest, "lean_finalize_task_manager")?
                .typed::<(), ()>(&*s)?
                .call_async(s, ())
                .await?;
            guest.lock().globals = lease.globals()?;
        }
        Ok(status)
    }

    async fn worker_thread(
        self,
        guest: SharedGuest,
        instances: Instances,
        id: usize,
        spawn: Spawn,
    ) -> Result<i32> {
        let mut lease = self.instance(id, &guest, &instances).await?;
        let (s, instance) = lease.parts();
        let entry = instance.get_typed_func::<(i32, i32, i32), ()>(&mut *s, "thread_entry")?;
        let ended = entry.call_async(s, (spawn.pthread, spawn.routine, spawn.argument)).await;
        guest.lock().over.push(spawn.pthread);
        match ended {
            Ok(()) => Ok(0),
            Err(e) if e.downcast_ref::<Exit>().is_some_and(|x| x.0 == THREAD_ENDS) => Ok(0),
            Err(e) => Err(e),
        }
    }

    fn schedule(&self, guest: &SharedGuest, threads: &mut Threads, main: Fiber) -> Result<i32> {
        let Threads { instances, fibers, next } = threads;
        fibers.insert(0, main);
        let mut context = Context::from_waker(Waker::noop());
        guest.lock().ready.push_back(0);
        loop {
            let thread = {
                let mut g = guest.lock();
                while let Some(spawn) = g.spawns.pop_front() {
                    let worker = self.clone().worker_thread(guest.clone(), instances.clone(), *next, spawn);
                    fibers.insert(*next, Box::pin(worker));
                    g.ready.push_back(*next);
                    *next += 1;
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
                fibers.remove(&thread);
                let status = result.map_err(|e| e.context(format!("guest thread {thread}")))?;
                if thread == 0 {
                    return Ok(status);
                }
            }
        }
    }
}

/// Ticks of the clock until the guest's deadline.
fn ticks(guest: &SharedGuest) -> u64 {
    let left = guest.lock().deadline.saturating_duration_since(Instant::now());
    (left.as_millis() / TICK.as_millis()) as u64 + u64::from(!left.is_zero())
}

/// Applies the action at `action` to what the guest is given and the world token, a boxed zero; the tag of its result.
async fn apply(lease: &mut Lease, guest: &SharedGuest, action: u32) -> Result<i32> {
    let given = std::mem::take(&mut guest.lock().given);
    let (s, instance) = lease.parts();
    let given = build(s, instance, guest, given).await?;
    let apply = function(s, instance, guest, "lean_apply_2")?.typed::<(u32, u32, u32), u32>(&*s)?;
    let result = apply.call_async(s, (action, given, 1)).await?;
    let status = guest.lock().memory.u8(result.wrapping_add(7))?;
    Ok(i32::from(status))
}

pub(crate) fn function(
    s: &mut Store<Thread>,
    instance: Instance,
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
