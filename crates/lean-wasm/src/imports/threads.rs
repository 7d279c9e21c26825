//! Threads and futexes. A guest thread is a fiber; see `schedule`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wasmtime::{Caller, Error, Linker, Result};

use crate::guest::{Exit, SharedGuest, Spawn, THREAD_ENDS, Thread, Wait, guest};

/// Parks the fiber until it is woken or its wait times out.
struct Park {
    guest: SharedGuest,
    thread: usize,
}

impl Future for Park {
    type Output = i32;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<i32> {
        self.guest.lock().woken.remove(&self.thread).map_or(Poll::Pending, Poll::Ready)
    }
}

pub(super) fn define(linker: &mut Linker<Thread>) -> Result<()> {
    linker.func_wrap_async(
        "host",
        "futex_wait",
        |c: Caller<'_, Thread>, (address, expected, nanoseconds): (u32, u32, i64)| {
            let (thread, guest) = (c.data().id, c.data().guest.clone());
            Box::new(async move {
                {
                    let mut g = guest.lock();
                    if g.memory.u32(address)? != expected {
                        return Ok(1);
                    }
                    let until = u64::try_from(nanoseconds)
                        .ok()
                        .and_then(|n| Instant::now().checked_add(Duration::from_nanos(n)));
                    g.waits.push(Wait { thread, address, until });
                }
                Ok::<i32, Error>(Park { guest, thread }.await)
            })
        },
    )?;
    linker.func_wrap("host", "futex_wake", |c: Caller<'_, Thread>, address: u32, count: u32| {
        guest(&c).wake(address, count)
    })?;
    linker.func_wrap(
        "env",
        "__pthread_create_js",
        |c: Caller<'_, Thread>, pthread: i32, _attributes: i32, routine: i32, argument: i32| -> i32 {
            guest(&c).spawns.push_back(Spawn { pthread, routine, argument });
            0
        },
    )?;
    // What JavaScript needs to keep its workers and their mailboxes in order; there are none here.
    for name in [
        "_emscripten_thread_cleanup",
        "_emscripten_thread_exit_joinable",
        "_emscripten_thread_set_strongref",
        "_emscripten_thread_mailbox_await",
    ] {
        linker.func_wrap("env", name, |_pthread: i32| {})?;
    }
    linker.func_wrap("env", "_emscripten_notify_mailbox_postmessage", |_to: i32, _from: i32| {})?;
    for name in [
        "emscripten_check_blocking_allowed",
        "_emscripten_runtime_keepalive_clear",
        "_emscripten_dlsync_threads",
    ] {
        linker.func_wrap("env", name, || {})?;
    }
    for name in ["emscripten_exit_with_live_runtime", "emscripten_unwind_to_js_event_loop"] {
        linker.func_wrap("env", name, || -> Result<()> { Err(Exit(THREAD_ENDS).into()) })?;
    }
    linker.func_wrap("env", "emscripten_num_logical_cores", || -> i32 { 1 })?;
    Ok(())
}
