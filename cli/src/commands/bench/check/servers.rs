//! Ways to serve checks, from one Lean: a fresh copy each, the product's gate, and Kimina's pool of long-lived sessions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atlas_lean::{Embedded, Toolchain as _};
use atlas_lean_wasm::{End, Image, Job, Outcome, Session, Snapshot};
use atlas_proto::{CheckLevel, CheckRequest, ModuleSource, Outcome as Verdict};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::snippets::Snippet;
use crate::failure::{Failure, Result};

/// What a check may use, the same for every server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub deadline: Duration,
    /// Bytes beyond the warm state.
    pub memory: u64,
}

/// How a snippet was judged, as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judged {
    Accepted,
    Rejected,
    TimedOut,
    OutOfMemory,
    Crashed,
}

impl Judged {
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed out",
            Self::OutOfMemory => "out of memory",
            Self::Crashed => "crashed",
        }
    }

    fn of(outcome: &Outcome) -> Self {
        match &outcome.end {
            End::Answered(answer) if is_refusal(&String::from_utf8_lossy(answer)) => Self::Rejected,
            End::Answered(_) => Self::Accepted,
            End::TimedOut => Self::TimedOut,
            End::OutOfMemory => Self::OutOfMemory,
            End::Crashed(_) => Self::Crashed,
        }
    }
}

/// Whether an answer of the session has an error among its messages, or a declaration that the kernel refused. It consists of frames: a
/// line with a tag and the lengths of the fields, then the fields.
fn is_refusal(answer: &str) -> bool {
    let mut rest = answer;
    while let Some((head, mut body)) = rest.split_once('\n') {
        let mut words = head.split(' ');
        let tag = words.next().unwrap_or_default();
        for (at, length) in words.enumerate() {
            let Some((field, after)) = length.parse().ok().and_then(|length| body.split_at_checked(length))
            else {
                return true;
            };
            if tag == "rejected" || (tag == "message" && at == 0 && field == "error") {
                return true;
            }
            body = after;
        }
        rest = body;
    }
    false
}

/// A server of checks.
pub trait Server: Sync {
    /// Checks a snippet on the calling thread.
    fn check(&self, snippet: &Snippet) -> Result<Judged>;

    /// Processor time that its checks have taken in other processes so far.
    fn elsewhere(&self) -> Duration {
        Duration::ZERO
    }
}

/// Lean in an image, and a warm state for each header.
pub struct Lean {
    pub image: Image,
    headers: Mutex<BTreeMap<&'static str, Arc<Snapshot>>>,
}

impl Lean {
    pub fn new(image: Image) -> Self {
        let base = Arc::new(image.base().clone());
        Self { image, headers: Mutex::new(BTreeMap::from([("Init", base)])) }
    }

    /// The warm state that has imported `header`; made once.
    pub fn warm(&self, header: &'static str) -> Result<Arc<Snapshot>> {
        let mut headers = self.headers.lock();
        if let Some(known) = headers.get(header) {
            return Ok(known.clone());
        }
        let job = Job::new(format!("import\nuse {header}\n").into_bytes());
        let (outcome, layer) = self.image.extend(self.image.base(), job).map_err(fault)?;
        let layer =
            layer.ok_or_else(|| Failure::fault(format!("cannot import {header}: {:?}", outcome.end)))?;
        Ok(headers.entry(header).or_insert(Arc::new(layer)).clone())
    }
}

pub fn fault(error: atlas_lean_wasm::Error) -> Failure {
    Failure::fault(error.to_string())
}

/// The request of a check.
pub fn job(snippet: &Snippet, limits: Limits) -> Job {
    let request = format!("check\nmodule Bench\n---\n{}", snippet.source).into_bytes();
    Job { deadline: limits.deadline, extra_memory: limits.memory, ..Job::new(request) }
}

/// Ours: every check in a fresh copy of the warm state.
pub struct Fresh<'a> {
    pub lean: &'a Lean,
    pub limits: Limits,
}

impl Server for Fresh<'_> {
    fn check(&self, snippet: &Snippet) -> Result<Judged> {
        let warm = self.lean.warm(snippet.header)?;
        let outcome = self.lean.image.run(&warm, job(snippet, self.limits)).map_err(fault)?;
        Ok(Judged::of(&outcome))
    }
}

/// The product's gate, in its sandboxed workers: each snippet is a module, elaborated in one fresh copy, its declarations judged as text by
/// Lean's kernel in another and by the second kernel, with a receipt.
pub struct Certified {
    pub lean: Embedded,
    pub limits: Limits,
}

impl Server for Certified {
    fn check(&self, snippet: &Snippet) -> Result<Judged> {
        let source = format!("import {}\n{}", snippet.header, snippet.source);
        let module = ModuleSource {
            name: "Bench".into(),
            sha256: hex::encode(Sha256::digest(source.as_bytes())),
            source: Some(source.into_bytes()),
        };
        let reply = self.lean.check(&CheckRequest {
            id: "bench".into(),
            level: CheckLevel::Certified.into(),
            modules: vec![module],
            check: vec!["Bench".into()],
            deadline_ms: self.limits.deadline.as_millis().try_into().unwrap_or(u32::MAX),
            memory_bytes: self.limits.memory,
            ..CheckRequest::default()
        });
        match reply.outcome() {
            Verdict::Accepted => Ok(Judged::Accepted),
            Verdict::Rejected => Ok(Judged::Rejected),
            Verdict::TimedOut => Ok(Judged::TimedOut),
            Verdict::OutOfMemory => Ok(Judged::OutOfMemory),
            Verdict::Crashed => Ok(Judged::Crashed),
            _ => Err(Failure::fault(reply.fault)),
        }
    }

    fn elsewhere(&self) -> Duration {
        self.lean.cpu()
    }
}

/// What a pool pays when it starts a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// What a new process pays: Lean starts from nothing and imports the header, as its own command line does.
    Cold,
    /// Nothing but a copy of our warm state, which such a pool does not have: the pool at its best.
    Warm,
}

/// Kimina Lean Server's shape: so many sessions that live on; one with the same header is used again; else the one that has been idle for
/// longest makes way for a new one; one that missed a deadline, ran out of memory or crashed is thrown away.
pub struct Pool<'a> {
    lean: &'a Lean,
    limits: Limits,
    restart: Restart,
    /// Sessions at most: as many as threads that ask.
    size: usize,
    sessions: Mutex<Sessions<'a>>,
    starts: AtomicUsize,
}

#[derive(Default)]
struct Sessions<'a> {
    /// With their headers, longest idle first.
    idle: Vec<(&'static str, Session<'a>)>,
    /// Idle and busy ones.
    alive: usize,
}

impl<'a> Pool<'a> {
    /// A pool of `size` sessions for as many threads; none is started yet.
    pub fn new(lean: &'a Lean, limits: Limits, restart: Restart, size: usize) -> Self {
        let sessions = Mutex::new(Sessions { idle: vec![], alive: 0 });
        Self { lean, limits, restart, size, sessions, starts: AtomicUsize::new(0) }
    }

    /// Sessions that have been started so far.
    pub fn starts(&self) -> usize {
        self.starts.load(Ordering::Relaxed)
    }

    fn start(&self, header: &'static str) -> Result<Session<'a>> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        let warm = self.lean.warm(header)?;
        if self.restart == Restart::Cold {
            let file = format!("import {header}\n").into_bytes();
            let files = BTreeMap::from([("Header.lean".to_owned(), file)]);
            let arguments = ["Header.lean".to_owned()];
            let done =
                self.lean.image.lean(&arguments, &[], files, Duration::from_secs(60)).map_err(fault)?;
            if done.status != 0 {
                return Err(Failure::fault(format!("Lean does not start with {header}: {}", done.output)));
            }
        }
        Session::new(&self.lean.image, &warm, self.limits.memory).map_err(fault)
    }

    /// An idle session with this header; if none is, there is room for one when this returns.
    fn take(&self, header: &'static str) -> Option<Session<'a>> {
        let mut sessions = self.sessions.lock();
        if let Some(at) = sessions.idle.iter().rposition(|(known, _)| *known == header) {
            return Some(sessions.idle.remove(at).1);
        }
        let full = sessions.alive >= self.size && !sessions.idle.is_empty();
        let gone = full.then(|| sessions.idle.remove(0));
        sessions.alive += usize::from(!full);
        drop(sessions);
        drop(gone);
        None
    }
}

impl Server for Pool<'_> {
    fn check(&self, snippet: &Snippet) -> Result<Judged> {
        let mut session = match self.take(snippet.header) {
            Some(session) => session,
            None => self.start(snippet.header)?,
        };
        let outcome = session.run(job(snippet, self.limits));
        let mut sessions = self.sessions.lock();
        if session.is_alive() {
            sessions.idle.push((snippet.header, session));
        } else {
            sessions.alive -= 1;
        }
        Ok(Judged::of(&outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::is_refusal;

    #[test]
    fn an_error_is_told_from_what_only_looks_like_one() {
        assert!(is_refusal("message 5 1 1 1 1 2\nerror1234noend 1\n1"));
        assert!(!is_refusal("message 7 1 1 1 1 6\nwarning1234errorsend 1\n1"));
        assert!(is_refusal("rejected 1 2\nano"));
        assert!(is_refusal("message 99\nerror"), "a malformed answer accepts nothing");
        assert!(!is_refusal("end 1 1\n12"));
    }
}
