//! How a check is answered, whichever Lean does it: the modules in dependency order, each once per content, then the gate.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use atlas_proto::{CheckReply, CheckRequest, Diagnostic, Outcome, Position, Severity};

use crate::Error;
use crate::answer::{self, Asked};
use crate::cache::{Artefact, Cache};
use crate::facts::Handed;
use crate::flight::Flights;
use crate::gate::{self, Checked};
use crate::graph::{Graph, Module, error};
use crate::key::Key;

/// Deadline of a check that names none.
const DEADLINE: Duration = Duration::from_secs(120);
/// Memory of a check that names no limit, in bytes.
const MEMORY: u64 = 1 << 30;

/// Why a step gave no artefact.
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
    lean: Duration,
    peak: u64,
    ran: bool,
}

impl Budget {
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
    pub(crate) fn used(&mut self, elapsed: Duration, memory: u64) {
        self.lean += elapsed;
        self.peak = self.peak.max(memory);
        self.ran = true;
    }
}

/// A compiled module below the one that is elaborated, each after what it imports.
pub(crate) struct Below<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: &'a str,
}

/// One elaboration.
pub(crate) struct Work<'a> {
    pub(crate) name: &'a str,
    pub(crate) source: &'a str,
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
pub(crate) struct Elaborated {
    pub(crate) artefact: Artefact,
    pub(crate) handed: Option<Handed>,
    pub(crate) compiled: Option<Vec<u8>>,
}

/// A Lean that elaborates one module at a time.
pub(crate) trait Engine {
    /// Names the toolchain and everything else that its answers depend on.
    fn identity(&self) -> String;
    /// Whether the toolchain has a module of this name.
    fn has_module(&self, name: &str) -> bool;
    /// Elaborates. `cache` holds the compiled form of what lies below.
    fn elaborate(&self, work: &Work<'_>, cache: &Cache, budget: &mut Budget) -> Result<Elaborated, Failure>;
}

/// The part that all Leans share.
pub(crate) struct Pipeline {
    pub(crate) cache: Cache,
    flights: Flights,
}

/// What has been worked out so far of a request's modules.
#[derive(Default)]
struct State {
    keys: BTreeMap<String, String>,
    artefacts: BTreeMap<String, Artefact>,
}

impl State {
    fn key(&self, module: &str) -> &str {
        self.keys.get(module).map_or("", String::as_str)
    }
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
        let mut budget =
            Budget { until: Instant::now() + deadline, memory, lean: Duration::ZERO, peak: 0, ran: false };
        let mut reply = self.answer(engine, request, &mut budget).unwrap_or_else(|failure| CheckReply {
            outcome: failure.outcome.into(),
            fault: failure.fault,
            ..CheckReply::default()
        });
        reply.id.clone_from(&request.id);
        reply.cached = !budget.ran && reply.outcome() != Outcome::EnvironmentFault;
        reply.lean_ms = budget.lean.as_millis().try_into().unwrap_or(u32::MAX);
        reply.peak_memory_bytes = budget.peak;
        reply
    }

    fn answer(
        &self,
        engine: &dyn Engine,
        request: &CheckRequest,
        budget: &mut Budget,
    ) -> Result<CheckReply, Failure> {
        let graph =
            Graph::new(&request.modules, &|name| engine.has_module(name)).map_err(Failure::environment)?;
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
        let mut state = State::default();
        for module in &order {
            let imported = |other: &&Module<'_>| other.library.iter().any(|(name, _)| name == module.name);
            let compile =
                asked.certified || request.snippet.is_some() || order.iter().any(|other| imported(other));
            self.module(engine, &graph, module, &asked, compile, &mut state, budget)?;
        }
        let mut reply = CheckReply::default();
        let checked: Vec<Checked<'_>> = request
            .check
            .iter()
            .filter_map(|name| Some(Checked { module: name, artefact: state.artefacts.get(name)? }))
            .collect();
        match &request.snippet {
            Some(snippet) => {
                self.snippet(engine, &graph, request, snippet, &asked, &state, budget, &mut reply)?
            }
            None => {
                for Checked { artefact, .. } in &checked {
                    reply.diagnostics.extend(artefact.diagnostics.iter().cloned());
                    let wanted = |name: &String| {
                        request.declarations.is_empty() || request.declarations.contains(name)
                    };
                    reply
                        .declarations
                        .extend(artefact.declarations.iter().filter(|d| wanted(&d.name)).cloned());
                }
                if let (Some(at), [name]) = (&request.goals_at, &request.check[..])
                    && let Some(module) = graph.get(name)
                {
                    reply.goals = self.goals(engine, &graph, module, at, &asked, &state, budget)?;
                }
            }
        }
        if asked.certified {
            reply.diagnostics.extend(gate::judge(&checked, &request.expectations));
        }
        let refused = reply.diagnostics.iter().any(is_error);
        reply.set_outcome(if refused { Outcome::Rejected } else { Outcome::Accepted });
        Ok(reply)
    }

    /// The key of a module: its content, that of all below it, and the level.
    fn key(engine: &dyn Engine, module: &Module<'_>, asked: &Asked<'_>, state: &State) -> String {
        let mut key = Key::new("module 1").with(&engine.identity()).with(module.name).with(module.source);
        key = key.with(if asked.certified { "certified" } else { "elaborated" });
        for (name, _) in &module.library {
            key = key.with(name).with(state.key(name));
        }
        for name in asked.described.iter().filter(|n| answer::is_auxiliary(n)) {
            key = key.with(name);
        }
        key.finish()
    }

    /// Elaborates one module, or finds what an earlier elaboration of the same content gave.
    #[allow(clippy::too_many_arguments)]
    fn module<'a>(
        &self,
        engine: &dyn Engine,
        graph: &'a Graph<'a>,
        module: &'a Module<'a>,
        asked: &Asked<'a>,
        compile: bool,
        state: &mut State,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        let key = Self::key(engine, module, asked, state);
        let flight = self.flights.enter(&key);
        let _alone = flight.lock();
        let found = self.cache.get(&key).filter(|a| a.compiled || !a.accepted || !compile);
        let artefact = match found {
            Some(found) => found,
            None => match refused_import(module, state) {
                Some(diagnostic) => Artefact { diagnostics: vec![diagnostic], ..Artefact::default() },
                None => {
                    let library = module.library.iter().map(|(name, _)| name.as_str()).collect();
                    let mut work = work(graph, module.name, module.source, library, asked, state)?;
                    work.toolchain = &module.toolchain;
                    work.compile = compile;
                    let done = engine.elaborate(&work, &self.cache, budget)?;
                    self.keep(&key, done, asked, state)?
                }
            },
        };
        state.keys.insert(module.name.into(), key);
        state.artefacts.insert(module.name.into(), artefact);
        Ok(())
    }

    fn keep(
        &self,
        key: &str,
        done: Elaborated,
        asked: &Asked<'_>,
        state: &State,
    ) -> Result<Artefact, Failure> {
        let mut artefact = done.artefact;
        if asked.certified
            && let Some(handed) = &done.handed
        {
            // What was imported must be what the kernel accepted when the imported module was certified: a module's
            // compiled form is written by a Lean in which that module's own code has run.
            let certified = |name: &String| state.artefacts.values().find_map(|a| a.whole.get(name));
            let differs =
                handed.imported.iter().filter(|(name, whole)| certified(name) != Some(whole)).count();
            if differs > 0 {
                let why = format!(
                    "{differs} of its declarations are not what the kernel accepted when their modules were certified"
                );
                artefact.forbidden.push(("the compiled library".into(), why));
            }
        }
        artefact.accepted =
            !artefact.diagnostics.iter().any(is_error) && (!asked.certified || artefact.forbidden.is_empty());
        let compiled = done.compiled.filter(|_| artefact.accepted);
        artefact.compiled = compiled.is_some();
        self.cache.put(key, &artefact, compiled.as_deref())?;
        Ok(artefact)
    }

    #[allow(clippy::too_many_arguments)]
    fn snippet(
        &self,
        engine: &dyn Engine,
        graph: &Graph<'_>,
        request: &CheckRequest,
        snippet: &str,
        asked: &Asked<'_>,
        state: &State,
        budget: &mut Budget,
        reply: &mut CheckReply,
    ) -> Result<(), Failure> {
        let mut key = Key::new("snippet 1").with(&engine.identity()).with(snippet);
        for name in &request.check {
            if let Some(artefact) = state.artefacts.get(name).filter(|a| !a.accepted) {
                reply.diagnostics.extend(artefact.diagnostics.iter().filter(|d| is_error(d)).cloned());
            }
            key = key.with(name).with(state.key(name));
        }
        if !reply.diagnostics.is_empty() {
            return Ok(());
        }
        if let Some(at) = &request.goals_at {
            key = key.with(&format!("{}:{}", at.line, at.column));
        }
        let key = key.finish();
        let artefact = match self.cache.get(&key) {
            Some(found) => found,
            None => {
                let library = request.check.iter().map(String::as_str).collect();
                let mut work = work(graph, "Snippet", snippet, library, asked, state)?;
                work.snippet = true;
                work.goals = request.goals_at.as_ref();
                let artefact = engine.elaborate(&work, &self.cache, budget)?.artefact;
                self.cache.put(&key, &artefact, None)?;
                artefact
            }
        };
        reply.goals = artefact.goals;
        reply.diagnostics.extend(artefact.diagnostics);
        reply.declarations.extend(artefact.declarations);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn goals(
        &self,
        engine: &dyn Engine,
        graph: &Graph<'_>,
        module: &Module<'_>,
        at: &Position,
        asked: &Asked<'_>,
        state: &State,
        budget: &mut Budget,
    ) -> Result<String, Failure> {
        if refused_import(module, state).is_some() {
            return Ok(String::new());
        }
        let key = Key::new("goals 1")
            .with(state.key(module.name))
            .with(&format!("{}:{}", at.line, at.column))
            .finish();
        if let Some(found) = self.cache.get(&key) {
            return Ok(found.goals);
        }
        let library = module.library.iter().map(|(name, _)| name.as_str()).collect();
        let mut work = work(graph, module.name, module.source, library, asked, state)?;
        work.toolchain = &module.toolchain;
        work.facts = false;
        work.goals = Some(at);
        let artefact = engine.elaborate(&work, &self.cache, budget)?.artefact;
        let goals = artefact.goals.clone();
        self.cache.put(&key, &Artefact { goals: artefact.goals, ..Artefact::default() }, None)?;
        Ok(goals)
    }
}

fn is_error(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity() == Severity::Error
}

/// Why a module cannot be elaborated: something that it imports was not accepted.
fn refused_import(module: &Module<'_>, state: &State) -> Option<Diagnostic> {
    let (name, line) =
        module.library.iter().find(|(name, _)| state.artefacts.get(name).is_none_or(|a| !a.accepted))?;
    let artefact = state.artefacts.get(name);
    let first = artefact.and_then(|a| a.diagnostics.iter().find(|d| is_error(d)));
    let why = match (first, artefact.and_then(|a| a.forbidden.first())) {
        (Some(d), _) => format!(": {}", d.message),
        (None, Some((what, why))) => format!(": `{what}`: {why}"),
        (None, None) => String::new(),
    };
    Some(error(module.name, *line, format!("the imported module `{name}` is not accepted{why}")))
}

/// An elaboration that imports `library`.
fn work<'a>(
    graph: &'a Graph<'_>,
    name: &'a str,
    source: &'a str,
    library: Vec<&'a str>,
    asked: &'a Asked<'a>,
    state: &'a State,
) -> Result<Work<'a>, Failure> {
    let roots: Vec<String> = library.iter().map(|name| (*name).to_owned()).collect();
    let below = graph.order(&roots).map_err(|_| Failure::environment("the import graph changed"))?;
    let below = below.into_iter().map(|m| Below { name: m.name, key: state.key(m.name) }).collect();
    Ok(Work {
        name,
        source,
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
