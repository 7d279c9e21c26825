//! The measurements themselves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atlas_lean_wasm::{End, Session};
use nix::time::{ClockId, clock_gettime};

use super::servers::{Judged, Lean, Limits, Server, fault, job};
use super::snippets::{Kind, Snippet, hostile};
use crate::failure::{Failure, Result};

/// One check of one server.
#[derive(Debug, Clone)]
pub struct Row {
    pub measure: &'static str,
    pub server: &'static str,
    pub kind: Kind,
    pub number: usize,
    pub took: Took,
    pub judged: Judged,
}

/// What a check took on the thread that asks; all of it, but for a server that has processes of its own.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    pub wall: Duration,
    /// Processor time, the kernel's included: what others do on the machine hardly counts.
    pub cpu: Duration,
}

impl Took {
    /// Runs `what` and measures it.
    pub fn of<T>(what: impl FnOnce() -> T) -> (T, Self) {
        let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
        let (begun, before) = (Instant::now(), now());
        let result = what();
        (result, Self { wall: begun.elapsed(), cpu: now().saturating_sub(before) })
    }
}

/// Milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Requests that a new session answers before its answers count.
const SETTLED: usize = 3;

/// What a fresh copy costs beyond elaboration: of each snippet the time in a fresh copy less the time in one session that has
/// elaborated the ones before, measured one right after the other. By kind, milliseconds on the clock and of the processor.
pub fn overhead(
    lean: &Lean,
    snippets: &[Snippet],
    limits: Limits,
    rows: &mut Vec<Row>,
) -> Result<Vec<(Kind, [f64; 2])>> {
    let base = lean.image.base();
    let most = base.memory_bytes() + limits.memory / 2;
    // A request costs a session some 5 MB that this build of Lean does not give back: a full one makes way for another.
    let started = |snippet: &Snippet| {
        let mut session = Session::new(&lean.image, base, limits.memory).map_err(fault)?;
        for _ in 0..SETTLED {
            session.run(job(snippet, limits));
        }
        Ok::<_, Failure>(session)
    };
    let mut session: Option<Session<'_>> = None;
    let mut differences = vec![];
    for (number, snippet) in snippets.iter().enumerate().filter(|(_, snippet)| !snippet.kind.is_hostile()) {
        let mut at_work = match session.take() {
            Some(session) => session,
            None => started(snippet)?,
        };
        let mut full = false;
        let mut bare = || -> Result<Took> {
            let (outcome, took) = Took::of(|| at_work.run(job(snippet, limits)));
            full = outcome.memory_bytes > most;
            if !matches!(outcome.end, End::Answered(_)) {
                return Err(Failure::fault(format!("the session ended: {:?}", outcome.end)));
            }
            Ok(took)
        };
        let fresh = || -> Result<Took> {
            let (outcome, took) = Took::of(|| lean.image.run(base, job(snippet, limits)));
            let outcome = outcome.map_err(fault)?;
            if !matches!(outcome.end, End::Answered(_)) {
                return Err(Failure::fault(format!("a copy ended: {:?}", outcome.end)));
            }
            Ok(took)
        };
        let (fresh, bare) = if number % 2 == 0 {
            let fresh = fresh()?;
            (fresh, bare()?)
        } else {
            let bare = bare()?;
            (fresh()?, bare)
        };
        session = Some(at_work).filter(|_| !full);
        for (server, took) in [("fresh copy", fresh), ("one session", bare)] {
            let (measure, judged) = ("overhead", Judged::Accepted);
            rows.push(Row { measure, server, kind: snippet.kind, number, took, judged });
        }
        let beyond = [millis(fresh.wall) - millis(bare.wall), millis(fresh.cpu) - millis(bare.cpu)];
        differences.push((snippet.kind, beyond));
    }
    Ok(differences)
}

/// Checks `snippets` on `threads` threads, each taking the next one; a row each, and the time for all.
pub fn throughput(
    server: &dyn Server,
    (measure, name): (&'static str, &'static str),
    snippets: &[Snippet],
    first: usize,
    threads: usize,
) -> Result<(Vec<Row>, Duration)> {
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(vec![]));
    let begun = Instant::now();
    let ended: Result<()> = std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(snippet) = snippets.get(at) else { return Ok(()) };
                let (judged, took) = Took::of(|| server.check(snippet));
                let (judged, kind, number) = (judged?, snippet.kind, first + at);
                let row = Row { measure, server: name, kind, number, took, judged };
                rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(row);
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(joined)
    });
    ended?;
    let elapsed = begun.elapsed();
    let mut rows = rows.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    rows.sort_by_key(|row| row.number);
    Ok((rows, elapsed))
}

fn joined(worker: std::thread::ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    worker.join().unwrap_or_else(|_| Err(Failure::fault("a thread of the benchmark panicked")))
}

/// Four clients, each asking one check after the other; the last one does harm if `harm`. The checks a second of each of the three
/// others, which ask `snippets` once between them.
pub fn beside_harm(server: &dyn Server, snippets: &[Snippet], harm: bool) -> Result<f64> {
    let (next, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let honest = || -> Result<()> {
        while let Some(snippet) = snippets.get(next.fetch_add(1, Ordering::Relaxed)) {
            server.check(snippet)?;
        }
        Ok(())
    };
    let fourth = || -> Result<()> {
        let mut number = 0;
        while !done.load(Ordering::Relaxed) {
            match snippets.get(number % snippets.len()) {
                Some(snippet) if !harm => server.check(snippet)?,
                _ => server.check(&hostile(number))?,
            };
            number += 1;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let other = scope.spawn(fourth);
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(honest)).collect();
        let ended = clients.into_iter().try_for_each(joined);
        let elapsed = begun.elapsed();
        done.store(true, Ordering::Relaxed);
        joined(other)?;
        ended?;
        Ok(snippets.len() as f64 / elapsed.as_secs_f64() / 3.0)
    })
}

/// Anonymous memory of this process at its highest while `threads` threads check, bytes.
pub fn memory(server: &dyn Server, snippets: &[Snippet], threads: usize) -> Result<u64> {
    let (next, busy) = (AtomicUsize::new(0), AtomicUsize::new(threads));
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            let ended = (|| {
                while let Some(snippet) = snippets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    server.check(snippet)?;
                }
                Ok(())
            })();
            busy.fetch_sub(1, Ordering::Relaxed);
            ended
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut most = 0;
        while busy.load(Ordering::Relaxed) > 0 {
            most = most.max(anonymous()?);
            std::thread::park_timeout(Duration::from_millis(2));
        }
        workers.into_iter().try_for_each(joined)?;
        Ok(most)
    })
}

/// Bytes of memory that are this process's own.
fn anonymous() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")
        .map_err(|e| Failure::fault(format!("cannot read this process's memory: {e}")))?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
    let bytes = kilobytes.and_then(|number| number.parse::<u64>().ok()).map(|number| number * 1024);
    bytes.ok_or_else(|| Failure::fault("the system does not tell this process's memory"))
}
