//! Instances of the module over one guest's memory, used by one thread after the other.
//!
//! What a thread could leave in an instance is its mutable globals; they are put back to what they were. There is nothing else:
//! the module never writes to its table (the rewriting makes sure) and its data segments are copied only in the first guest of all.

use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::{Global, Instance, Result, Store, Val, format_err};

use crate::guest::Thread;

/// Instances that are kept while no thread runs in them: a check has a main thread, a Lean thread and a task's.
const MOST_IDLE: usize = 4;

/// The instances over one memory that no thread runs in.
#[derive(Clone, Default)]
pub(crate) struct Instances(Arc<Mutex<Vec<Made>>>);

struct Made {
    store: Store<Thread>,
    instance: Instance,
    /// The mutable globals and their first values.
    globals: Vec<(String, Global, i32)>,
}

/// An instance in use. Dropped, it goes back to where it came from, also when its thread was cut off.
pub(crate) struct Lease {
    made: Option<Made>,
    home: Instances,
}

impl Instances {
    /// An idle instance as new, or the thread back when there is none.
    pub(crate) fn take(&self, thread: Thread) -> Result<Result<Lease, Thread>> {
        let Some(mut made) = self.0.lock().pop() else { return Ok(Err(thread)) };
        *made.store.data_mut() = thread;
        for (_, global, first) in &made.globals {
            global.set(&mut made.store, Val::I32(*first))?;
        }
        Ok(Ok(Lease { made: Some(made), home: self.clone() }))
    }

    /// Puts a new instance to use.
    pub(crate) fn lease(&self, mut store: Store<Thread>, instance: Instance) -> Result<Lease> {
        let exported: Vec<(String, Global)> = instance
            .exports(&mut store)
            .filter(|e| e.name().starts_with("mg"))
            .filter_map(|e| Some((e.name().to_owned(), e.into_global()?)))
            .collect();
        let globals = exported
            .into_iter()
            .map(|(name, global)| match global.get(&mut store) {
                Val::I32(first) => Ok((name, global, first)),
                other => Err(format_err!("global {name} is {other:?}, not an i32")),
            })
            .collect::<Result<_>>()?;
        Ok(Lease { made: Some(Made { store, instance, globals }), home: self.clone() })
    }
}

impl Lease {
    fn made(&mut self) -> &mut Made {
        match &mut self.made {
            Some(made) => made,
            None => unreachable!("only `drop` takes the instance"),
        }
    }

    /// The store.
    pub(crate) fn store(&mut self) -> &mut Store<Thread> {
        &mut self.made().store
    }

    /// The store, and the instance in it.
    pub(crate) fn parts(&mut self) -> (&mut Store<Thread>, Instance) {
        let made = self.made();
        (&mut made.store, made.instance)
    }

    /// The values of the mutable globals by name.
    pub(crate) fn globals(&mut self) -> Result<Vec<(String, i32)>> {
        let Made { store, globals, .. } = self.made();
        globals
            .iter()
            .map(|(name, global, _)| {
                let value = global.get(&mut *store).i32();
                Ok((name.clone(), value.ok_or_else(|| format_err!("global {name} is not an i32"))?))
            })
            .collect()
    }

    /// Sets mutable globals by name.
    pub(crate) fn set_globals(&mut self, values: &[(String, i32)]) -> Result<()> {
        let Made { store, globals, .. } = self.made();
        for (name, value) in values {
            let known = globals.iter().find(|(known, ..)| known == name);
            let (_, global, _) = known.ok_or_else(|| format_err!("no global {name}"))?;
            global.set(&mut *store, Val::I32(*value))?;
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut idle = self.home.0.lock();
        if let Some(made) = self.made.take().filter(|_| idle.len() < MOST_IDLE) {
            idle.push(made);
        }
    }
}
