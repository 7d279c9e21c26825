//! Three nats-servers, the processes of a run, and the wires between all of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_api::AtlasRun;
use atlas_bus::{Bus, Cluster, ClusterOptions};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_testkit::{Console, Proxy, SmallDisk, Wire, nats_server};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::common::cache;
use crate::observer::Observer;
use crate::options::Options;
use crate::service::{Program, Service};
use crate::start::changed;

pub const NODES: usize = 3;
/// The node whose disk is small, so that it can be full.
pub const SMALL: usize = 1;
/// Its size: the example's journals and objects take a tenth of it.
const DISK: u64 = 256 << 20;
/// The node that runs the oldest nats-server.
const OLDEST: usize = 2;
/// Partitions of agents, as `atlas run` has them.
const PARTITIONS: u16 = 64;
/// Calls a minute of each of the three runners, divided by the faults, so that a run lasts as long as they: the example makes some
/// hundreds, a fault takes some 5 seconds.
const CALLS: usize = 1_600;
/// How long the processes may take to be at work.
const START: Duration = Duration::from_secs(120);
/// Exits of `atlas run` that are its end: done, bad input, targets open, limit reached, an incident.
const LAST: &[i32] = &[0, 2, 3, 4, 5];

/// The run with all that it stands on.
#[derive(Debug)]
pub struct Stage {
    pub run: RunId,
    pub example: String,
    /// The run's folder.
    pub home: PathBuf,
    pub cluster: Mutex<Cluster>,
    /// Between nodes: from, to.
    pub routes: Vec<(usize, usize, Proxy)>,
    pub disk: Option<SmallDisk>,
    /// The first is `atlas run`, which holds one of each service itself.
    pub services: Vec<Service>,
    pub console: Console,
    /// Whether processes can be given clocks of their own.
    pub clocks: bool,
    /// A connection that nothing stands between.
    pub bus: Bus,
    pub observer: Observer,
    /// What runs on the nodes, in words.
    pub versions: Vec<String>,
    pub older: bool,
    _folder: TempDir,
}

impl Stage {
    /// Starts everything, and returns when all are at work. `budget`: microdollars, 0 for the example's own.
    pub async fn start(options: &Options, budget: u64) -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let nodes = folder.path().join("nats");
        let mut cluster = Cluster::prepare(&ClusterOptions::new(nats_server(), nodes)).unwrap();
        let routes = lay_routes(&mut cluster).await;
        let disk = SmallDisk::mount(&cluster.dir(SMALL).join("jetstream"), DISK);
        if let Err(error) = &disk {
            println!("no disk will be full: {error}");
        }
        if let Some(oldest) = &options.oldest {
            cluster.set_binary(OLDEST, oldest.clone());
        }
        let starts = (0..NODES).map(|node| if node == OLDEST { options.oldest.clone() } else { None });
        let versions = starts.map(|binary| version(&binary.unwrap_or_else(nats_server))).collect();
        // At once: a node alone has nobody to be a cluster with, and waits for nobody.
        for node in 0..NODES {
            cluster.start_node(node).await.unwrap();
        }
        cluster.led().await.unwrap();

        let run = RunId::new("storm").unwrap();
        let home = folder.path().join("runs").join(run.as_str());
        let file = atlasrun(options, folder.path(), budget);
        let bus = Bus::connect(&cluster.options("observer")).await.unwrap();
        let console = Console::connect(&cluster.options("console")).await.unwrap();
        let clock = clock(folder.path());
        let clocks = clock.is_some();
        let plan =
            Plan { cluster: &cluster, folder: folder.path(), home: &home, file: &file, run: &run, clock };
        let first = plan.atlas().await;
        let toolchain = toolchain(&bus, &run, &folder.path().join("atlas.log")).await;
        let mut services = vec![first];
        services.extend(plan.others(options, &toolchain).await);
        let observer = Observer::of(bus.clone(), run.clone());
        let (example, older) = (options.example.clone(), options.older.is_some());
        Arc::new(Self {
            run,
            example,
            home,
            routes,
            disk: disk.ok(),
            services,
            console,
            clocks,
            bus,
            observer,
            versions,
            older,
            cluster: Mutex::new(cluster),
            _folder: folder,
        })
    }

    /// Cuts a node off from the other nodes, or joins it to them again.
    pub fn set_routes(&self, node: usize, wire: Wire) {
        let of = self.routes.iter().filter(|(from, to, _)| *from == node || *to == node);
        of.for_each(|(_, _, proxy)| proxy.set(wire));
    }

    /// Cuts a node off from the services.
    pub fn set_clients(&self, node: usize, wire: Wire) {
        self.services.iter().for_each(|service| service.wires[node].set(wire));
    }

    /// Waits until every stream has a leader and all its copies.
    pub async fn is_whole(&self) {
        let mut open: BTreeSet<String> = BTreeSet::new();
        let mut known = false;
        loop {
            if !known && let Ok(names) = self.console.streams().await {
                (open, known) = (names.into_iter().collect(), true);
            }
            let names = open.iter().cloned().collect::<Vec<_>>();
            for name in names {
                if self.console.is_whole(&name).await.unwrap_or(false) {
                    open.remove(&name);
                }
            }
            if known && open.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How long each node takes to give a whole journal to a client of its own, in milliseconds; `None`: it does not.
    pub async fn reads(&self) -> Vec<Option<u64>> {
        let planner = ActorId::singleton(&self.run, ActorKind::Plan);
        let mut times = vec![];
        for node in 0..NODES {
            let options = self.cluster.lock().await.options_of(node, "reader");
            let begun = Instant::now();
            let read = async { Bus::connect(&options).await?.records(&planner).await };
            let time = read.await.inspect_err(|error| println!("n{node}: {error}"));
            times.push(time.ok().map(|_| u64::try_from(begun.elapsed().as_millis()).unwrap()));
        }
        times
    }

    /// The exit code of `atlas run`, once that has come to its end.
    pub async fn ended(&self) -> i32 {
        self.services[0].ended().await
    }

    /// Ends everything.
    pub async fn stop(stage: Arc<Self>) {
        let Self { services, cluster, disk, .. } = Arc::into_inner(stage).expect("nobody else is at it");
        drop(services);
        cluster.into_inner().stop().await;
        drop(disk);
    }
}

/// Has every node reach every other through a wire of its own.
async fn lay_routes(cluster: &mut Cluster) -> Vec<(usize, usize, Proxy)> {
    let mut routes = vec![];
    for from in 0..NODES {
        for to in (0..NODES).filter(|&to| to != from) {
            let proxy = Proxy::start(cluster.route_port(to)).await.unwrap();
            cluster.set_route(from, to, proxy.port());
            routes.push((from, to, proxy));
        }
    }
    routes
}

fn version(binary: &Path) -> String {
    let output = std::process::Command::new(binary).arg("--version").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().replace("nats-server: ", "")
}

/// The example, at a pace that lets faults hit it.
fn atlasrun(options: &Options, folder: &Path, budget: u64) -> PathBuf {
    let calls = (CALLS / options.faults.max(1)).clamp(8, 120);
    let pace = format!("provider: recorded\n      limits: {{requestsPerMinute: {calls}}}");
    let file = changed(&options.example, folder, &[("provider: recorded", &pace)]);
    if budget > 0 {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().map(|line| match line.split_once("usd: ") {
            Some((before, _)) => format!("{before}usd: {}", budget as f64 / 1e6),
            None => line.to_owned(),
        });
        std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    }
    file
}

/// What gives a process a clock of its own, where there is a C compiler. A nats-server asks the kernel for the time without the C library, and
/// has none.
fn clock(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/clock.c");
    let library = folder.join("clock.so");
    let compiled = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .is_ok_and(|status| status.success());
    if !compiled {
        println!("no clocks will be apart: there is no C compiler");
    }
    compiled.then_some(library)
}

/// The name of the Lean that `atlas run` has, once it is at work.
async fn toolchain(bus: &Bus, run: &RunId, log: &Path) -> String {
    let asked = async {
        loop {
            let documents = bus.read_status(run).await.unwrap_or_default();
            let mut named = documents.values().filter_map(|document| document["toolchain"].as_str());
            if let Some(name) = named.find(|name| !name.is_empty()) {
                return name.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(START, asked).await.unwrap_or_else(|_| {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(4).collect();
        panic!("no verifier is at work; the last lines of `atlas run`, the newest first: {last:#?}")
    })
}

/// What processes are started with.
struct Plan<'a> {
    cluster: &'a Cluster,
    folder: &'a Path,
    home: &'a Path,
    file: &'a Path,
    run: &'a RunId,
    clock: Option<PathBuf>,
}

impl Plan<'_> {
    /// Wires from a service to each node, and where they begin.
    async fn wires(&self) -> (Vec<Proxy>, String) {
        let mut wires = vec![];
        for node in 0..NODES {
            let url = self.cluster.options_of(node, "wire").url;
            let port = url.rsplit(':').next().unwrap().parse().unwrap();
            wires.push(Proxy::start(port).await.unwrap());
        }
        let urls: Vec<String> =
            wires.iter().map(|wire| format!("nats://127.0.0.1:{}", wire.port())).collect();
        let urls = urls.join(",");
        (wires, urls)
    }

    fn environment(&self, urls: &str) -> Vec<(String, String)> {
        let (user, password) = self.cluster.options("service").user.unwrap();
        let preload = self.clock.as_ref().map(|library| library.to_string_lossy());
        [
            ("ATLAS_NATS_URL", urls),
            ("ATLAS_NATS_USER", &user),
            ("ATLAS_NATS_PASSWORD", &password),
            ("ATLAS_CACHE", &cache().to_string_lossy()),
            ("NO_COLOR", "1"),
        ]
        .into_iter()
        .chain(preload.as_deref().map(|library| ("LD_PRELOAD", library)))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    async fn atlas(&self) -> Service {
        let (wires, urls) = self.wires().await;
        let (file, dir) = (self.file.to_str().unwrap(), self.home.parent().unwrap().to_str().unwrap());
        let arguments = ["run", "-f", file, "--dir", dir, "--run", self.run.as_str(), "--ui", "json"];
        let program = Program {
            path: env!("CARGO_BIN_EXE_atlas").into(),
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: self.environment(&urls),
            log: self.folder.join("atlas.log"),
        };
        Service::start("atlas", program, wires, LAST)
    }

    /// A second one of each service, and of runners two.
    async fn others(&self, options: &Options, toolchain: &str) -> Vec<Service> {
        let loaded = AtlasRun::load(self.file).unwrap();
        let spec = &loaded.run.spec;
        let run = self.run.clone();
        let mut models = spec.models.clone();
        for model in &mut models {
            model.call_log = Some(self.home.join("logs/model-calls.jsonl"));
        }
        let runner = |host: &str| {
            serde_json::to_value(atlas_agent_runner::Options {
                run: run.clone(),
                host: host.to_owned(),
                partitions: PARTITIONS,
                models: models.clone(),
                agents: spec.agents.clone(),
                folder: self.file.parent().unwrap().to_owned(),
                record: None,
                metrics: Default::default(),
                readiness: Default::default(),
            })
            .unwrap()
        };
        let planner = atlas_planner::Options {
            run: run.clone(),
            host: "planner-2".to_owned(),
            targets_file: Some(self.home.join("targets.yaml")),
            metrics: Default::default(),
            readiness: Default::default(),
        };
        let axioms = spec.verifiers.axioms.iter().map(|axiom| axiom.name().to_owned());
        let coordinator = atlas_merge_coordinator::Options {
            run: run.clone(),
            host: "coordinator-2".to_owned(),
            package: spec.library.package.clone(),
            repository: self.home.join("library.git"),
            window_min: 2,
            window_max: 20,
            patience_s: 1_800,
            receipt_keys: Some(self.home.join("keys").join(atlas_judge::RING_FILE)),
            policy: atlas_merge_coordinator::Policy {
                toolchain: Some(toolchain.to_owned()),
                axioms: axioms.collect(),
                ..Default::default()
            },
            metrics: Default::default(),
            readiness: Default::default(),
        };
        let verifier = json!({
            "verifier": atlas_lean_verifier::Options {
                run: run.clone(),
                host: "verifier-2".to_owned(),
                concurrency: 1,
                waiting: 256,
                deadline_ms: u64::try_from(spec.verifiers.deadline.get().as_millis()).unwrap(),
                memory_bytes: spec.verifiers.memory.bytes(),
                receipt_keys: self.home.join("keys"),
                metrics: Default::default(),
                readiness: Default::default(),
            },
            "image": cache().join("lean/image"),
            "cache": self.folder.join("verdicts"),
            "warmBytes": 1_u64 << 30,
        });
        let built = Path::new(env!("CARGO_BIN_EXE_atlas")).parent().unwrap();
        let older = options.older.as_deref().unwrap_or(built);
        let plans = [
            ("runner-2", built, "atlas-agent-runner", runner("runner-2")),
            ("runner-3", older, "atlas-agent-runner", runner("runner-3")),
            ("planner-2", built, "atlas-planner", serde_json::to_value(planner).unwrap()),
            ("coordinator-2", built, "atlas-merge-coordinator", serde_json::to_value(coordinator).unwrap()),
            ("verifier-2", built, "atlas-lean-verifier", verifier),
        ];
        let mut services = vec![];
        for (name, folder, program, configuration) in plans {
            let (wires, urls) = self.wires().await;
            let file = self.folder.join(format!("{name}.json"));
            std::fs::write(&file, configuration.to_string()).unwrap();
            let program = Program {
                path: folder.join(program),
                arguments: vec!["--config".to_owned(), file.to_str().unwrap().to_owned()],
                environment: self.environment(&urls),
                log: self.folder.join(format!("{name}.log")),
            };
            services.push(Service::start(name, program, wires, &[0]));
        }
        services
    }
}
