//! A real nats-server for one test.

use std::path::{Path, PathBuf};

use atlas_bus::{Bus, Cluster, ClusterOptions, Options, Server, ServerOptions, Spec};
use tempfile::TempDir;

/// Where tests find nats-server: `$ATLAS_NATS_SERVER`, else the project's cache (`$ATLAS_CACHE` or `.cache`), else PATH.
pub fn nats_server() -> PathBuf {
    if let Some(path) = std::env::var_os("ATLAS_NATS_SERVER") {
        return path.into();
    }
    let cache = std::env::var_os("ATLAS_CACHE")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache"));
    let cached = cache.join("bin/nats-server");
    if cached.exists() { cached } else { PathBuf::from("nats-server") }
}

/// A nats-server with JetStream in a temporary directory, on a free port. Gone when it is dropped.
#[derive(Debug)]
pub struct TestNats {
    dir: TempDir,
    server: Option<Server>,
    port: u16,
}

impl TestNats {
    /// Starts it.
    ///
    /// # Panics
    /// When it does not start: the test cannot go on.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let mut nats = Self { dir, server: None, port: 0 };
        nats.launch(None).await;
        nats
    }

    async fn launch(&mut self, port: Option<u16>) {
        let options = ServerOptions { port, ..ServerOptions::new(nats_server(), self.dir.path().to_owned()) };
        let server = Server::start(options).await.unwrap_or_else(|error| panic!("{error}"));
        self.port = server.port;
        self.server = Some(server);
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap_or_else(|| panic!("nats-server was killed: restart it first"))
    }

    /// `nats://127.0.0.1:PORT`; the same after a restart.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// User and password; the same after a restart.
    pub fn user(&self) -> (String, String) {
        (self.server().user.clone(), self.server().password.clone())
    }

    /// What a service needs to connect.
    pub fn options(&self, name: &str) -> Options {
        self.server().options(name)
    }

    /// A new connection, with all streams there for 4 partitions.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn bus(&self) -> Bus {
        self.bus_with(&Spec::new(4)).await
    }

    /// A new connection, with all streams there as `spec` says.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn bus_with(&self, spec: &Spec) -> Bus {
        let bus = Bus::connect(&self.options("test")).await.unwrap_or_else(|error| panic!("{error}"));
        bus.ensure_spec(spec).await.unwrap_or_else(|error| panic!("{error}"));
        bus
    }

    /// Kills the server as `kill -9` does.
    pub async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill().await;
        }
    }

    /// Starts it again on the same directory and port, killing it first if it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.launch(Some(self.port)).await;
    }
}

/// Three nats-servers that are one JetStream, in a temporary directory. Gone when it is dropped.
#[derive(Debug)]
pub struct TestCluster {
    /// The nodes.
    pub cluster: Cluster,
    _dir: TempDir,
}

impl TestCluster {
    /// Starts all three.
    ///
    /// # Panics
    /// When they do not start: the test cannot go on.
    pub async fn start() -> Self {
        let mut nats = Self::prepare();
        nats.cluster.start_all().await.unwrap_or_else(|error| panic!("{error}"));
        nats
    }

    /// Starts none yet: routes and programs can still be changed.
    ///
    /// # Panics
    /// When there is no place for them.
    pub fn prepare() -> Self {
        let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let options = ClusterOptions::new(nats_server(), dir.path().to_owned());
        let cluster = Cluster::prepare(&options).unwrap_or_else(|error| panic!("{error}"));
        Self { cluster, _dir: dir }
    }

    /// A new connection to any node, with all streams there in three copies, for 4 partitions.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn bus(&self) -> Bus {
        let bus = Bus::connect(&self.cluster.options("test")).await.unwrap_or_else(|error| panic!("{error}"));
        let spec = Spec::new(4).in_copies(3);
        bus.ensure_spec(&spec).await.unwrap_or_else(|error| panic!("{error}"));
        bus
    }
}
