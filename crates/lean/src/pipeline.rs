//! How a check is answered, whichever Lean does it: the modules in dependency order, each once per content, then the gate.

mod certify;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use atlas_judge::{Checked, Ground, JUDGE, Judged, Refusal};
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, Diagnostic, Outcome, Position, Severity};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::answer::{Answer, Asked};
use crate::cache::{Artefact, Cache};
use crate::flight::Flights;
use crate::graph::{Graph, Module, error};
use crate::handed::{Described, Handed};
use crate::key::Key;
use crate::replay::Replayed;

/// Deadline of a check that names none.
const DEADLINE: Duration = Duration::from_secs(120);
/// The level of what may land, in keys.
const CERTIFIED: &str = "certified";
/// Memory of a check that names no limit, in bytes.
pub(crate) const MEMORY: u64 = 1 << 30;

/// Why a step gave no artefact.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    pub(crate) fault: String,
}

impl Failure {
    /// A fault that is not the content's.
    pub(crate) fn environment(fault: impl Into<String>) -> Self {
        Self { outcome: Outcome::EnvironmentFault, fault: fault.into() }
    }

    /// Lean answered, but not so that it can be read.
    pub(crate) fn unreadable(what: &str) -> Self {
        Self { outcome: Outcome::Crashed, fault: format!("{what}: Lean's answer cannot be read") }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::environment(error.to_string())
    }
}

/// What a request may still use, and what it has used.
pub(crate) struct Budget {
    pub(crate) until: Instant,
    /// Bytes.
    pub(crate) memory: u64,
    /// Time in Lean, and the most memory in bytes, once Lean was run.
    spent: Mutex<Option<(Duration, u64)>>,
}

impl Budget {
    /// A budget that begins now; `memory` in bytes.
    pub(crate) fn new(deadline: Duration, memory: u64) -> Self {
        Self { until: Instant::now() + deadline, memory, spent: Mutex::default() }
    }

    /// Time in Lean, and the most memory in bytes, if Lean was run.
    pub(crate) fn spent(&self) -> Option<(Duration, u64)> {
        *self.spent.lock()
    }

    /// The time that is left.
    pub(crate) fn left(&self) -> Result<Duration, Failure> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure {
                outcome: Outcome::TimedOut,
                fault: "the deadline passed before Lean was asked".into(),
            });
        }
        Ok(left)
    }

    /// Notes a run of Lean.
    pub(crate) fn used(&self, elapsed: Duration, memory: u64) {
        let mut spent = self.spent.lock();
        let (lean, peak) = spent.unwrap_or_default();
        *spent = Some((lean + elapsed, peak.max(memory)));
    }
}

/// A compiled module below the one that is elaborated, each after what it imports.
pub(crate) struct Below<'a> {
    pub(crate) name: &'a str,
    /// Of the compiled form.
    pub(crate) digest: &'a str,
}

/// One elaboration.
pub(crate) struct Work<'a> {
    pub(crate) name: &'a str,
    pub(crate) source: &'a str,
    /// Bytes of `source` behind which a warm state is worth keeping; 0: none.
    pub(crate) begin: usize,
    /// Library modules that are imported directly.
    pub(crate) library: Vec<&'a str>,
    /// Modules of the toolchain, beyond `Init`, and of installed packages that are imported directly.
    pub(crate) toolchain: &'a [String],
    /// Everything of the library below.
    pub(crate) below: Vec<Below<'a>>,
    pub(crate) asked: &'a Asked<'a>,
    /// Facts and kernel replay are wanted, not the goals alone.
    pub(crate) facts: bool,
    pub(crate) goals: Option<&'a Position>,
    /// The compiled form is wanted.
    pub(crate) compile: bool,
    /// A file without header, to be elaborated after the imports.
    pub(crate) snippet: bool,
}

/// What an elaboration gave.
#[derive(Serialize, Deserialize)]
pub(crate) struct Elaborated {
    pub(crate) answer: Answer,
    pub(crate) handed: Option<Handed>,
    #[serde(with = "serde_bytes")]
    pub(crate) compiled: Option<Vec<u8>>,
}

/// A Lean that elaborates one module at a time.
pub(crate) trait Engine: Sync {
    /// Names the toolchain and everything else that its answers depend on.
    fn identity(&self) -> String;
    /// How verdicts name it.
    fn name(&self) -> String;
    /// Whether the toolchain has a module of this name.
    fn has_module(&self, name: &str) -> bool;
    /// Asks the judge, and with it the second kernel, about the declarations in `export`; `cache` holds the exports of the `ground`. `asked`
    /// are declarations whose facts are wanted although Lean made them up.
    fn examine(
        &self,
        ground: &Ground,
        export: &[u8],
        asked: &BTreeSet<String>,
        cache: &Cache,
        budget: &Budget,
    ) -> Result<Judged, Failure>;
    /// Asks Lean's own kernel, in a guest that has elaborated nothing, about the declarations in `export`; `cache` holds the exports of the
    /// `ground`.
    fn replay(
        &self,
        ground: &Ground,
        export: &[u8],
        cache: &Cache,
        budget: &Budget,
    ) -> Result<Replayed, Failure>;
    /// Elaborates. `cache` holds the compiled form of what lies below.
    fn elaborate(&self, work: &Work<'_>, cache: &Cache, budget: &Budget) -> Result<Elaborated, Failure>;
}

/// The part that all Leans share.
pub(crate) struct Pipeline {
    pub(crate) cache: Cache,
    flights: Flights,
}

impl Pipeline {
    pub(crate) fn new(cache: Cache) -> Self {
        Self { cache, flights: Flights::default() }
    }

    /// Answers a check.
    pub(crate) fn check(&self, engine: &dyn Engine, request: &CheckRequest) -> CheckReply {
        let deadline = match request.deadline_ms {
            0 => DEADLINE,
            ms => Duration::from_millis(ms.into()),
        };
        let memory = if request.memory_bytes == 0 { MEMORY } else { request.memory_bytes };
        let budget = Budget::new(deadline, memory);
        let mut reply = self.answer(engine, request, &budget).unwrap_or_else(|failure| CheckReply {
            outcome: failure.outcome.into(),
            fault: failure.fault,
            ..CheckReply::default()
        });
        reply.id.clone_from(&request.id);
        let spent = budget.spent();
        let (lean, peak) = spent.unwrap_or_default();
        reply.cached = spent.is_none() && reply.outcome() != Outcome::EnvironmentFault;
        reply.lean_ms = lean.as_millis().try_into().unwrap_or(u32::MAX);
        reply.peak_memory_bytes = peak;
        reply
    }

    fn answer(
        &self,
        engine: &dyn Engine,
        request: &CheckRequest,
        budget: &Budget,
    ) -> Result<CheckReply, Failure> {
        let mut graph =
            Graph::new(&request.modules, &|name| engine.has_module(name)).map_err(Failure::environment)?;
        if let (Some(focus), [name], None, CheckLevel::Elaborated) =
            (&request.focus, &request.check[..], &request.snippet, request.level())
        {
            graph.focus(name, focus);
        }
        let rejected = |diagnostics| CheckReply {
            outcome: Outcome::Rejected.into(),
            diagnostics,
            ..CheckReply::default()
        };
        let order = match graph.order(&request.check) {
            Ok(order) => order,
            Err(diagnostics) => return Ok(rejected(diagnostics)),
        };
        for module in &order {
            if let Some(name) = module.toolchain.iter().find(|name| !engine.has_module(name)) {
                let message = format!("unknown module `{name}`: the toolchain has none of this name");
                return Ok(rejected(vec![error(module.name, 0, message)]));
            }
        }
        let asked = Asked::new(request);
        let mut run =
            Run { pipeline: self, engine, graph: &graph, asked: &asked, budget, artefacts: BTreeMap::new() };
        for module in &order {
            let imported =
                order.iter().any(|other| other.library.iter().any(|(name, _)| name == module.name));
            run.module(module, asked.certified || request.snippet.is_some() || imported)?;
        }
        let mut reply = match &request.snippet {
            Some(snippet) => run.snippet(request, snippet)?,
            None => run.report(request)?,
        };
        if asked.certified {
            let reasons = atlas_judge::gate(&run.checked(request), request);
            reply.diagnostics.extend(reasons.into_iter().map(|no| error(&no.module, 0, no.why)));
            reply.diagnostics.extend(run.changes(request));
        }
        let incidents = run.artefacts.values().map(|artefact| &artefact.incident);
        reply.incidents = incidents.filter(|incident| !incident.is_empty()).cloned().collect();
        let refused = reply.diagnostics.iter().any(is_error);
        reply.set_outcome(if refused { Outcome::Rejected } else { Outcome::Accepted });
        if asked.certified && !refused && request.snippet.is_none() {
            run.keep_outlines(request)?;
            for name in &request.check {
                reply.receipts.extend(run.receipt(request, name)?);
            }
        }
        Ok(reply)
    }
}

/// A request on its way: what it asks, and what has been worked out of its modules.
struct Run<'r> {
    pipeline: &'r Pipeline,
    engine: &'r dyn Engine,
    graph: &'r Graph<'r>,
    asked: &'r Asked<'r>,
    budget: &'r Budget,
    artefacts: BTreeMap<String, Artefact>,
}

impl<'r> Run<'r> {
    /// Names `library` and everything below in a key: each module's compiled form, whatever it was compiled from.
    fn with_below(&self, mut key: Key, library: &[&str]) -> Result<Key, Failure> {
        for name in library {
            key = key.with(name);
        }
        for below in self.below(library)? {
            key = key.with(below.name).with(below.digest);
        }
        Ok(key)
    }

    /// `library` and everything below, each after what it imports.
    fn below(&self, library: &[&str]) -> Result<Vec<Below<'_>>, Failure> {
        let roots: Vec<String> = library.iter().map(|name| (*name).to_owned()).collect();
        let below = self.graph.order(&roots).map_err(|_| Failure::environment("the import graph changed"))?;
        let digest =
            |name: &str| self.artefacts.get(name).and_then(|a| a.compiled.as_deref()).unwrap_or_default();
        Ok(below.into_iter().map(|m| Below { name: m.name, digest: digest(m.name) }).collect())
    }

    fn checked<'s>(&'s self, request: &'s CheckRequest) -> Vec<Checked<'s>> {
        let known = |name: &'s String| {
            let artefact = self.artefacts.get(name)?;
            let (declarations, refusals) = (&artefact.declarations[..], &artefact.forbidden[..]);
            Some(Checked { module: name, declarations, refusals })
        };
        request.check.iter().filter_map(known).collect()
    }

    /// The key of a module at the level that is asked for.
    fn key(&self, module: &Module<'_>) -> Result<Key, Failure> {
        self.key_at(module, if self.asked.certified { CERTIFIED } else { "elaborated" })
    }

    /// The key of a module: its content, what lies below it, and the level.
    fn key_at(&self, module: &Module<'_>, level: &str) -> Result<Key, Failure> {
        let mut key = Key::new("module 9")
            .with(&self.engine.identity())
            .with(JUDGE)
            .with(module.name)
            .with(module.source)
            .with(level);
        for name in self.asked.auxiliary() {
            key = key.with(&name);
        }
        self.with_below(key, &names(module))
    }

    /// An elaboration that imports `library`.
    fn work<'s>(
        &'s self,
        name: &'s str,
        source: &'s str,
        library: Vec<&'s str>,
    ) -> Result<Work<'s>, Failure> {
        let (below, asked) = (self.below(&library)?, self.asked);
        Ok(Work {
            name,
            source,
            begin: 0,
            library,
            toolchain: &[],
            below,
            asked,
            facts: true,
            goals: None,
            compile: false,
            snippet: false,
        })
    }

    fn module_work<'s>(&'s self, module: &'s Module<'s>) -> Result<Work<'s>, Failure> {
        let work = self.work(module.name, module.source, names(module))?;
        Ok(Work { begin: module.begin, toolchain: &module.toolchain, ..work })
    }

    /// Elaborates one module, or finds what an earlier elaboration of the same content gave.
    fn module(&mut self, module: &'r Module<'r>, compile: bool) -> Result<(), Failure> {
        let key = self.key(module)?.finish();
        let flight = self.pipeline.flights.enter(&key);
        let _alone = flight.lock();
        let usable = |a: &Artefact| a.compiled.is_some() || !a.accepted || !compile;
        let mut found = self.pipeline.cache.get(&key).filter(usable);
        if found.is_none() && !self.asked.certified {
            // What is certified is elaborated.
            let certified = self.key_at(module, CERTIFIED)?.finish();
            found = self.pipeline.cache.get(&certified).filter(|a| a.accepted && usable(a));
        }
        let artefact = match (found, self.refused_import(module)) {
            (Some(found), _) => found,
            (None, Some(diagnostic)) => Artefact { diagnostics: vec![diagnostic], ..Artefact::default() },
            (None, None) => {
                let work = Work { compile, ..self.module_work(module)? };
                let done = self.engine.elaborate(&work, &self.pipeline.cache, self.budget)?;
                self.keep(&key, module, done)?
            }
        };
        self.artefacts.insert(module.name.into(), artefact);
        Ok(())
    }

    fn keep(&self, key: &str, module: &Module<'_>, done: Elaborated) -> Result<Artefact, Failure> {
        let Answer { mut artefact, shown } = done.answer;
        if let Some(Handed { declarations: Described::Export(export), .. }) = &done.handed {
            self.certify(module, export, &shown, &mut artefact)?;
        }
        artefact.accepted = !artefact.diagnostics.iter().any(is_error)
            && (!self.asked.certified || artefact.forbidden.is_empty());
        artefact.compiled = match done.compiled {
            Some(bytes) if artefact.accepted => Some(self.pipeline.cache.put_compiled(&bytes)?),
            _ => None,
        };
        self.pipeline.cache.put(key, &artefact)?;
        Ok(artefact)
    }

    /// Why a module cannot be elaborated: something that it imports was not accepted.
    fn refused_import(&self, module: &Module<'_>) -> Option<Diagnostic> {
        let (name, line) =
            module.library.iter().find(|(name, _)| self.artefacts.get(name).is_none_or(|a| !a.accepted))?;
        let artefact = self.artefacts.get(name);
        let first = artefact.and_then(|a| a.diagnostics.iter().find(|d| is_error(d)));
        let why = match (first, artefact.and_then(|a| a.forbidden.first())) {
            (Some(d), _) => format!(": {}", d.message),
            (None, Some(Refusal { declaration, why })) => format!(": `{declaration}`: {why}"),
            (None, None) => String::new(),
        };
        Some(error(module.name, *line, format!("the imported module `{name}` is not accepted{why}")))
    }

    /// What the modules that were to be checked said.
    fn report(&self, request: &CheckRequest) -> Result<CheckReply, Failure> {
        let mut reply = CheckReply::default();
        for artefact in request.check.iter().filter_map(|name| self.artefacts.get(name)) {
            reply.diagnostics.extend(artefact.diagnostics.iter().cloned());
            let wanted =
                |name: &String| request.declarations.is_empty() || request.declarations.contains(name);
            reply.declarations.extend(artefact.declarations.iter().filter(|d| wanted(&d.name)).cloned());
        }
        if let (Some(at), [name]) = (&request.goals_at, &request.check[..])
            && let Some(module) = self.graph.get(name)
            && self.refused_import(module).is_none()
        {
            let key = self.key(module)?.with("goals").with(&format!("{}:{}", at.line, at.column)).finish();
            let mut work = Work { facts: false, goals: Some(at), ..self.module_work(module)? };
            // Goals are known of what is elaborated now, not of what an earlier question has elaborated.
            let lines = module.source[..work.begin].matches('\n').count();
            if at.line as usize <= lines {
                work.begin = 0;
            }
            reply.goals = self.remembered(&key, &work)?.goals;
        }
        Ok(reply)
    }

    /// What a snippet says after the imports.
    fn snippet(&self, request: &CheckRequest, snippet: &str) -> Result<CheckReply, Failure> {
        let mut reply = CheckReply::default();
        let library: Vec<&str> = request.check.iter().map(String::as_str).collect();
        for name in &request.check {
            if let Some(artefact) = self.artefacts.get(name).filter(|a| !a.accepted) {
                reply.diagnostics.extend(artefact.diagnostics.iter().filter(|d| is_error(d)).cloned());
            }
        }
        if !reply.diagnostics.is_empty() {
            return Ok(reply);
        }
        let mut key = Key::new("snippet 4").with(&self.engine.identity()).with(snippet);
        key = self.with_below(key, &library)?;
        if let Some(at) = &request.goals_at {
            key = key.with(&format!("{}:{}", at.line, at.column));
        }
        let library = request.check.iter().map(String::as_str).collect();
        let work = Work {
            snippet: true,
            goals: request.goals_at.as_ref(),
            ..self.work("Snippet", snippet, library)?
        };
        let artefact = self.remembered(&key.finish(), &work)?;
        Ok(CheckReply {
            goals: artefact.goals,
            diagnostics: artefact.diagnostics,
            declarations: artefact.declarations,
            ..reply
        })
    }

    /// The artefact of `key`, elaborated if it is not there.
    fn remembered(&self, key: &str, work: &Work<'_>) -> Result<Artefact, Failure> {
        if let Some(found) = self.pipeline.cache.get(key) {
            return Ok(found);
        }
        let artefact = self.engine.elaborate(work, &self.pipeline.cache, self.budget)?.answer.artefact;
        self.pipeline.cache.put(key, &artefact)?;
        Ok(artefact)
    }
}

/// The library modules that a module imports itself.
fn names<'m>(module: &'m Module<'_>) -> Vec<&'m str> {
    module.library.iter().map(|(name, _)| name.as_str()).collect()
}

fn is_error(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity() == Severity::Error
}
