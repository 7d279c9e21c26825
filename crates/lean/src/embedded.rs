//! The embedded Lean: every check in a fresh copy of a warm guest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use atlas_lean_wasm::{End, Image, Job, Outcome as Run, Snapshot};
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, Diagnostic, LookupReply, LookupRequest, Outcome, Severity};
use parking_lot::Mutex;

use crate::Error;
use crate::answer::{self, Asked};
use crate::cache::{Artefact, Cache};
use crate::facts::{self, Handed};
use crate::flight::Flights;
use crate::gate::{self, Checked};
use crate::graph::{Graph, Module, error};
use crate::index::Index;
use crate::key::Key;
use crate::layers::Layers;
use crate::toolchain::Toolchain;

/// Deadline of a check that names none.
const DEADLINE: Duration = Duration::from_secs(120);
/// Memory beyond the warm state of a check that names no limit.
const MEMORY: u64 = 1 << 30;

/// Where the embedded Lean finds and keeps things.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The image that `lean-image build` made.
    pub image: PathBuf,
    /// Where results are kept by content; shared between processes.
    pub cache: PathBuf,
    /// Warm guests with imported library modules that are kept, least recently used out first. One takes up to 250 MB of
    /// disk, in the cache's directory and without a name.
    pub layers: usize,
}

/// The embedded Lean.
pub struct Embedded {
    image: Image,
    cache: Cache,
    layers: Layers,
    flights: Flights,
    index: OnceLock<Index>,
    /// A cache of this value's own, removed with it.
    _own: Option<tempfile::TempDir>,
}

/// Why a step gave no artefact.
struct Failure {
    outcome: Outcome,
    fault: String,
}

/// What a request has used and may still use.
struct Budget {
    until: Instant,
    memory: u64,
    lean: Duration,
    peak: u64,
    ran: bool,
}

impl Embedded {
    /// Opens the image in `image`; results are kept beside it, in `checks`.
    ///
    /// # Errors
    /// [`Error::Image`] when the image has to be built (again).
    pub fn open(image: &Path) -> Result<Self, Error> {
        let cache = image.parent().unwrap_or(image).join("checks");
        Self::with_options(&EmbeddedOptions { image: image.into(), cache, layers: 6 })
    }

    /// Opens the image with a cache of its own that begins empty: every module is elaborated from nothing.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn fresh(image: &Path) -> Result<Self, Error> {
        let own = tempfile::Builder::new().prefix("atlas-checks-").tempdir().map_err(Error::io("create", Path::new("a temporary folder")))?;
        let mut embedded = Self::with_options(&EmbeddedOptions { image: image.into(), cache: own.path().into(), layers: 6 })?;
        embedded._own = Some(own);
        Ok(embedded)
    }

    /// Opens the image.
    ///
    /// # Errors
    /// As [`Embedded::open`]; [`Error::Io`] when the cache cannot be made.
    pub fn with_options(options: &EmbeddedOptions) -> Result<Self, Error> {
        let image = Image::open(&options.image)?;
        let cache = Cache::open(&options.cache)?;
        let layers = Layers::new(options.layers);
        Ok(Self { image, cache, layers, flights: Flights::default(), index: OnceLock::new(), _own: None })
    }

    /// The image below.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The key of a module: its content, that of all below it, and the level.
    fn key(&self, graph: &Graph<'_>, module: &Module<'_>, asked: &Asked<'_>, keys: &BTreeMap<String, String>) -> String {
        let mut key = Key::new("module 1").with(&self.image.key()).with(module.name).with(module.source);
        key = key.with(if asked.certified { "certified" } else { "elaborated" });
        for (name, _) in &module.library {
            // In dependency order, so the keys of imports are known.
            debug_assert!(graph.get(name).is_some());
            key = key.with(name).with(keys.get(name).map_or("", String::as_str));
        }
        for name in asked.described.iter().filter(|n| answer::is_auxiliary(n)) {
            key = key.with(name);
        }
        key.finish()
    }

    /// Elaborates one module, or finds what an earlier elaboration of the same content gave.
    fn module(&self, graph: &Graph<'_>, module: &Module<'_>, asked: &Asked<'_>, state: &mut State, budget: &mut Budget) -> Result<(), Failure> {
        let key = self.key(graph, module, asked, &state.keys);
        let flight = self.flights.enter(&key);
        let _alone = flight.lock();
        let artefact = match self.cache.get(&key) {
            Some(found) => found,
            None => {
                let broken = module.library.iter().find(|(name, _)| state.artefacts.get(name).is_none_or(|a| !a.compiled));
                if let Some((name, line)) = broken {
                    let first = state.artefacts.get(name).and_then(|a| a.diagnostics.iter().find(|d| d.severity() == Severity::Error));
                    let why = first.map_or(String::new(), |d| format!(": {}", d.message));
                    let message = format!("the imported module `{name}` is not accepted{why}");
                    Artefact { diagnostics: vec![error(module.name, *line, message)], ..Artefact::default() }
                } else {
                    self.elaborate(graph, module, asked, state, budget, &key)?
                }
            }
        };
        state.keys.insert(module.name.into(), key);
        state.artefacts.insert(module.name.into(), artefact);
        Ok(())
    }

    fn elaborate(&self, graph: &Graph<'_>, module: &Module<'_>, asked: &Asked<'_>, state: &State, budget: &mut Budget, key: &str) -> Result<Artefact, Failure> {
        let warm = self.warm(graph, &module.library, &module.toolchain, state, budget)?;
        let request = asked.request(module.name, module.source, None);
        let (answer, handed, mut written) = self.run(&warm, request, module.name, budget)?;
        let mut artefact = answer::read(&answer, module.name, handed.as_ref(), asked).ok_or_else(|| unreadable(module.name))?;
        if asked.certified {
            self.compare_imports(module, handed.as_ref(), state, &mut artefact);
        }
        artefact.lean_ms = budget.lean.as_millis() as u32;
        artefact.memory_bytes = budget.peak;
        let accepted = artefact.forbidden.is_empty() && !artefact.diagnostics.iter().any(|d| d.severity() == Severity::Error);
        let compiled = written.remove("/work/out.olean").filter(|_| accepted);
        artefact.compiled = compiled.is_some();
        self.cache.put(key, &artefact, compiled.as_deref()).map_err(|e| environment(e.to_string()))?;
        Ok(artefact)
    }

    /// What was imported must be what the kernel accepted when the imported module was certified: a module's compiled form
    /// is written by a guest in which that module's code has run.
    fn compare_imports(&self, module: &Module<'_>, handed: Option<&Handed>, state: &State, artefact: &mut Artefact) {
        let Some(handed) = handed else { return };
        let certified = |name: &String| state.artefacts.values().find_map(|a| a.whole.get(name));
        let differs = handed.imported.iter().filter(|(name, whole)| certified(name) != Some(whole)).count();
        if differs > 0 {
            let why = format!("{differs} imported declarations are not what the kernel accepted when their modules were certified");
            artefact.forbidden.push((module.name.into(), why));
        }
    }

    /// A warm guest that has imported these modules.
    fn warm(&self, graph: &Graph<'_>, library: &[(String, u32)], toolchain: &[String], state: &State, budget: &mut Budget) -> Result<Arc<Snapshot>, Failure> {
        if library.is_empty() && toolchain.is_empty() {
            return Ok(Arc::new(self.image.base().clone()));
        }
        let mut key = Key::new("layer 1");
        let mut request = "import\n".to_owned();
        for (name, _) in library {
            key = key.with(name).with(state.keys.get(name).map_or("", String::as_str));
        }
        for name in library.iter().map(|(name, _)| name).chain(toolchain) {
            key = key.with(name);
            request += &format!("use {name}\n");
        }
        let slot = self.layers.slot(&key.finish());
        let mut slot = slot.lock();
        if let Some(snapshot) = &*slot {
            return Ok(snapshot.clone());
        }
        let roots: Vec<String> = library.iter().map(|(name, _)| name.clone()).collect();
        let below = graph.order(&roots).map_err(|_| environment("the import graph changed".into()))?;
        let mut inputs = BTreeMap::new();
        for module in below {
            let key = state.keys.get(module.name).map_or("", String::as_str);
            let bytes = self.cache.compiled(key).map_err(|e| environment(e.to_string()))?;
            inputs.insert(format!("/library/{}.olean", module.name.replace('.', "/")), bytes);
        }
        let job = Job { request: request.clone().into_bytes(), inputs, deadline: budget.left()?, extra_memory: MEMORY, reader: None };
        let (run, layer) =
            self.image.extend(self.image.base(), job, self.cache.directory()).map_err(|e| environment(e.to_string()))?;
        budget.used(&run);
        if let End::Answered(_) = run.end {
            let snapshot = layer.ok_or_else(|| environment("Lean imported the modules and registered nothing".into()))?;
            tracing::debug!(modules = request.trim_end(), bytes = snapshot.layer_bytes(), "made a warm guest");
            let snapshot = Arc::new(snapshot);
            *slot = Some(snapshot.clone());
            return Ok(snapshot);
        }
        Err(failure(&run, "importing the modules below"))
    }

    /// Runs one request in a copy of `warm`: the answer, what was handed over, the files written.
    #[allow(clippy::type_complexity)]
    fn run(&self, warm: &Snapshot, request: Vec<u8>, what: &str, budget: &mut Budget) -> Result<(String, Option<Handed>, BTreeMap<String, Vec<u8>>), Failure> {
        let handed = Arc::new(Mutex::new(None));
        let slot = handed.clone();
        let job = Job {
            request,
            inputs: BTreeMap::new(),
            deadline: budget.left()?,
            extra_memory: budget.memory,
            reader: Some(Box::new(move |heap, address| {
                slot.lock().get_or_insert_with(|| facts::read(heap, address));
            })),
        };
        let run = self.image.run(warm, job).map_err(|e| environment(e.to_string()))?;
        budget.used(&run);
        let End::Answered(answer) = &run.end else { return Err(failure(&run, what)) };
        let answer = String::from_utf8(answer.clone()).map_err(|_| unreadable(what))?;
        let handed = match handed.lock().take() {
            Some(Ok(handed)) => Some(handed),
            Some(Err(malformed)) => {
                let fault = format!("{what}: the declarations cannot be read: {malformed}");
                return Err(Failure { outcome: Outcome::Crashed, fault });
            }
            None => None,
        };
        Ok((answer, handed, run.written))
    }

    fn answer(&self, request: &CheckRequest, budget: &mut Budget) -> Result<CheckReply, Failure> {
        let graph = Graph::new(&request.modules).map_err(environment)?;
        let order = match graph.order(&request.check) {
            Ok(order) => order,
            Err(diagnostics) => return Ok(CheckReply { outcome: Outcome::Rejected.into(), diagnostics, ..CheckReply::default() }),
        };
        for module in &order {
            for name in &module.toolchain {
                let file = self.image.directory().join("library").join(format!("{}.olean", name.replace('.', "/")));
                if !file.exists() {
                    let diagnostics = vec![error(module.name, 0, format!("unknown module `{name}`: the toolchain has none of this name"))];
                    return Ok(CheckReply { outcome: Outcome::Rejected.into(), diagnostics, ..CheckReply::default() });
                }
            }
        }
        let asked = Asked::new(request);
        let mut state = State::default();
        for module in &order {
            self.module(&graph, module, &asked, &mut state, budget)?;
        }
        let mut reply = CheckReply::default();
        let mut checked = vec![];
        for name in &request.check {
            let Some(artefact) = state.artefacts.get(name) else { continue };
            checked.push(Checked { module: name, artefact });
        }
        match &request.snippet {
            Some(snippet) => self.snippet(&graph, request, snippet, &asked, &state, budget, &mut reply)?,
            None => {
                for Checked { artefact, .. } in &checked {
                    reply.diagnostics.extend(artefact.diagnostics.iter().cloned());
                    let wanted = |name: &String| request.declarations.is_empty() || request.declarations.contains(name);
                    reply.declarations.extend(artefact.declarations.iter().filter(|d| wanted(&d.name)).cloned());
                }
                if let (Some(at), [name]) = (&request.goals_at, &request.check[..])
                    && let Some(module) = graph.get(name)
                {
                    reply.goals = self.goals(&graph, module, at, &asked, &state, budget)?;
                }
            }
        }
        if asked.certified {
            reply.diagnostics.extend(gate::judge(&checked, &request.expectations));
        }
        let refused = reply.diagnostics.iter().any(|d: &Diagnostic| d.severity() == Severity::Error);
        reply.set_outcome(if refused { Outcome::Rejected } else { Outcome::Accepted });
        Ok(reply)
    }

    #[allow(clippy::too_many_arguments)]
    fn snippet(&self, graph: &Graph<'_>, request: &CheckRequest, snippet: &str, asked: &Asked<'_>, state: &State, budget: &mut Budget, reply: &mut CheckReply) -> Result<(), Failure> {
        let library: Vec<(String, u32)> = request.check.iter().map(|name| (name.clone(), 0)).collect();
        for (name, _) in &library {
            if let Some(artefact) = state.artefacts.get(name).filter(|a| !a.compiled) {
                reply.diagnostics.extend(artefact.diagnostics.iter().cloned());
                return Ok(());
            }
        }
        let mut key = Key::new("snippet 1").with(&self.image.key()).with(snippet);
        for (name, _) in &library {
            key = key.with(name).with(state.keys.get(name).map_or("", String::as_str));
        }
        if let Some(at) = &request.goals_at {
            key = key.with(&format!("{}:{}", at.line, at.column));
        }
        let key = key.finish();
        let artefact = match self.cache.get(&key) {
            Some(found) => found,
            None => {
                let warm = self.warm(graph, &library, &[], state, budget)?;
                let text = asked.request("Snippet", snippet, request.goals_at.as_ref());
                let (answer, handed, _) = self.run(&warm, text, "the snippet", budget)?;
                let artefact = answer::read(&answer, "snippet", handed.as_ref(), asked).ok_or_else(|| unreadable("the snippet"))?;
                self.cache.put(&key, &artefact, None).map_err(|e| environment(e.to_string()))?;
                artefact
            }
        };
        reply.goals = artefact.goals;
        reply.diagnostics.extend(artefact.diagnostics);
        reply.declarations.extend(artefact.declarations);
        Ok(())
    }

    fn goals(&self, graph: &Graph<'_>, module: &Module<'_>, at: &atlas_proto::Position, asked: &Asked<'_>, state: &State, budget: &mut Budget) -> Result<String, Failure> {
        let key = Key::new("goals 1").with(&self.key(graph, module, asked, &state.keys)).with(&format!("{}:{}", at.line, at.column)).finish();
        if let Some(found) = self.cache.get(&key) {
            return Ok(found.goals);
        }
        let warm = self.warm(graph, &module.library, &module.toolchain, state, budget)?;
        let request = Asked::goals(module.name, module.source, at);
        let (answer, _, _) = self.run(&warm, request, module.name, budget)?;
        let artefact = answer::read(&answer, module.name, None, asked).ok_or_else(|| unreadable(module.name))?;
        let goals = artefact.goals.clone();
        self.cache.put(&key, &Artefact { goals: artefact.goals, ..Artefact::default() }, None).map_err(|e| environment(e.to_string()))?;
        Ok(goals)
    }

    fn index(&self) -> Result<&Index, String> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let text = self.image.index().map_err(|e| e.to_string())?;
        Ok(self.index.get_or_init(|| Index::parse(&text)))
    }
}

/// What has been worked out so far of a request's modules.
#[derive(Default)]
struct State {
    keys: BTreeMap<String, String>,
    artefacts: BTreeMap<String, Artefact>,
}

impl Budget {
    fn left(&self) -> Result<Duration, Failure> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure { outcome: Outcome::TimedOut, fault: "the deadline passed before Lean was asked".into() });
        }
        Ok(left)
    }

    fn used(&mut self, run: &Run) {
        self.lean += run.elapsed;
        self.peak = self.peak.max(run.memory_bytes);
        self.ran = true;
    }
}

fn environment(fault: String) -> Failure {
    Failure { outcome: Outcome::EnvironmentFault, fault }
}

fn unreadable(what: &str) -> Failure {
    Failure { outcome: Outcome::Crashed, fault: format!("{what}: Lean's answer cannot be read") }
}

/// A run that ended without an answer, as the outcome of the check.
fn failure(run: &Run, what: &str) -> Failure {
    let seconds = run.elapsed.as_secs_f64();
    match &run.end {
        End::TimedOut => Failure { outcome: Outcome::TimedOut, fault: format!("{what}: ended at the deadline, after {seconds:.1} s") },
        End::OutOfMemory => {
            let megabytes = run.memory_bytes >> 20;
            Failure { outcome: Outcome::OutOfMemory, fault: format!("{what}: ended at the memory limit, with {megabytes} MB in use") }
        }
        End::Crashed(why) => Failure { outcome: Outcome::Crashed, fault: format!("{what}: {why}") },
        End::Answered(_) => unreadable(what),
    }
}

impl Toolchain for Embedded {
    fn name(&self) -> String {
        atlas_lean_wasm::TOOLCHAIN.to_owned()
    }

    fn check(&self, request: &CheckRequest) -> CheckReply {
        let deadline = match request.deadline_ms {
            0 => DEADLINE,
            ms => Duration::from_millis(ms.into()),
        };
        let memory = if request.memory_bytes == 0 { MEMORY } else { request.memory_bytes };
        let mut budget = Budget { until: Instant::now() + deadline, memory, lean: Duration::ZERO, peak: 0, ran: false };
        let mut reply = self.answer(request, &mut budget).unwrap_or_else(|failure| CheckReply {
            outcome: failure.outcome.into(),
            fault: failure.fault,
            ..CheckReply::default()
        });
        reply.id.clone_from(&request.id);
        reply.cached = !budget.ran && reply.outcome() != Outcome::EnvironmentFault;
        reply.lean_ms = budget.lean.as_millis().try_into().unwrap_or(u32::MAX);
        reply.peak_memory_bytes = budget.peak;
        reply.toolchain = self.name();
        reply
    }

    fn lookup(&self, request: &LookupRequest) -> LookupReply {
        let index = match self.index() {
            Ok(index) => index,
            Err(fault) => return LookupReply { declarations: vec![], fault },
        };
        let mut library = vec![];
        let mut fault = String::new();
        if !request.modules.is_empty() {
            let check = CheckRequest {
                level: CheckLevel::Elaborated.into(),
                modules: request.modules.clone(),
                check: request.modules.iter().map(|m| m.name.clone()).collect(),
                ..CheckRequest::default()
            };
            let reply = self.check(&check);
            library = reply.declarations;
            fault = reply.fault;
        }
        LookupReply { declarations: index.search(library, request), fault }
    }
}
