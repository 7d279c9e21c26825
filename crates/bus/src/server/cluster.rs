//! A cluster of nats-servers on this machine, each in a directory of its own: for tests and benches of what holds when one fails.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::configuration::{USER, password, write_private};
use super::{Member, Server, ServerError, ServerOptions, SyncMode};
use crate::{Bus, Options};

/// How long the nodes may take to choose a leader.
const ELECTION: Duration = Duration::from_secs(60);
/// Between looks.
const LOOK: Duration = Duration::from_millis(50);

/// What to start.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The program that every node runs at first.
    pub binary: PathBuf,
    /// Where the nodes keep everything: node `n` in `n<n>`. Created if missing.
    pub dir: PathBuf,
    /// When what a node stores is on its disk.
    pub sync: SyncMode,
    /// How many.
    pub nodes: usize,
}

impl ClusterOptions {
    /// Three nodes of the program `binary` in `dir`, syncing always.
    pub fn new(binary: PathBuf, dir: PathBuf) -> Self {
        Self { binary, dir, sync: SyncMode::Always, nodes: 3 }
    }
}

/// nats-servers that are one JetStream. Each is started, killed and started again by itself, keeps its ports, and dies with the
/// process. Nodes are numbered from 0.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    password: String,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    options: ServerOptions,
    server: Option<Server>,
}

impl Cluster {
    /// Starts all nodes and waits until they have a leader.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(options: &ClusterOptions) -> Result<Self, ServerError> {
        let mut cluster = Self::prepare(options)?;
        cluster.start_all().await?;
        Ok(cluster)
    }

    /// Starts the nodes that do not run and waits until they have a leader.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start_all(&mut self) -> Result<(), ServerError> {
        futures::future::try_join_all(self.nodes.iter_mut().map(Node::start)).await?;
        self.led().await
    }

    /// Chooses ports and writes the password, and starts nothing.
    ///
    /// # Errors
    /// [`ServerError::Directory`].
    pub fn prepare(options: &ClusterOptions) -> Result<Self, ServerError> {
        let dir = options.dir.clone();
        let unusable = |source| ServerError::Directory { dir: dir.clone(), source };
        std::fs::create_dir_all(&dir).map_err(unusable)?;
        let password = password(&dir).map_err(unusable)?;
        let ports = free_ports(2 * options.nodes).map_err(unusable)?;
        let (clients, routes) = ports.split_at(options.nodes);
        let mut nodes = vec![];
        for number in 0..options.nodes {
            let name = format!("n{number}");
            let folder = dir.join(&name);
            std::fs::create_dir_all(&folder).map_err(unusable)?;
            write_private(&folder.join("password"), &password).map_err(unusable)?;
            let others = (0..options.nodes).filter(|&other| other != number).map(|other| routes[other]);
            let member = Member { name, port: routes[number], routes: others.collect() };
            let options = ServerOptions {
                port: Some(clients[number]),
                sync: options.sync,
                member: Some(member),
                ..ServerOptions::new(options.binary.clone(), folder)
            };
            nodes.push(Node { options, server: None });
        }
        Ok(Self { dir, password, nodes })
    }

    /// Waits until the nodes that run have a leader: JetStream answers.
    ///
    /// # Errors
    /// [`ServerError::NoLeader`] after a minute, as when fewer than half run.
    pub async fn led(&self) -> Result<(), ServerError> {
        let deadline = Instant::now() + ELECTION;
        loop {
            match Bus::connect(&self.options("cluster")).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(ServerError::NoLeader { dir: self.dir.clone(), cause: error.to_string() });
                }
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// Starts a node, if it does not run, and waits until it takes connections; it may have much to learn from the others still
    /// ([`Bus::is_whole`]).
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start_node(&mut self, node: usize) -> Result<(), ServerError> {
        self.nodes[node].start().await
    }

    /// Kills a node as `kill -9` does, and waits until it is gone.
    pub async fn kill_node(&mut self, node: usize) {
        if let Some(server) = self.nodes[node].server.take() {
            server.kill().await;
        }
    }

    /// Stops a node in good order, and waits until it is gone.
    pub async fn stop_node(&mut self, node: usize) {
        if let Some(server) = self.nodes[node].server.take() {
            server.stop().await;
        }
    }

    /// Stops all nodes in good order.
    pub async fn stop(self) {
        let servers = self.nodes.into_iter().filter_map(|node| node.server);
        futures::future::join_all(servers.map(Server::stop)).await;
    }

    /// How many nodes there are, running or not.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The process of a node that runs.
    pub fn pid(&self, node: usize) -> Option<u32> {
        self.nodes[node].server.as_ref().map(Server::pid)
    }

    /// Where a node keeps its store (in `jetstream`) and its log.
    pub fn dir(&self, node: usize) -> &Path {
        &self.nodes[node].options.dir
    }

    /// The program that a node runs from its next start on.
    pub fn set_binary(&mut self, node: usize, binary: PathBuf) {
        self.nodes[node].options.binary = binary;
    }

    /// Where a node takes routes.
    pub fn route_port(&self, node: usize) -> u16 {
        self.nodes[node].options.member.as_ref().map_or(0, |member| member.port)
    }

    /// Has node `from` reach node `to` at `port`, where something passes it on, from its next start on. Two nodes hold what routes
    /// either of them opens: to cut them off from each other takes both ways.
    pub fn set_route(&mut self, from: usize, to: usize, port: u16) {
        // A node's routes leave itself out.
        let at = if to < from { to } else { to - 1 };
        if let Some(member) = &mut self.nodes[from].options.member {
            member.routes[at] = port;
        }
    }

    /// What a [`Bus`] needs to connect to any of the nodes.
    pub fn options(&self, name: &str) -> Options {
        let urls: Vec<String> = (0..self.nodes.len()).map(|node| self.url(node)).collect();
        Options { url: urls.join(","), ..self.options_of(0, name) }
    }

    /// What a [`Bus`] needs to connect to one node alone.
    pub fn options_of(&self, node: usize, name: &str) -> Options {
        let user = Some((USER.to_owned(), self.password.clone()));
        Options { url: self.url(node), user, name: name.to_owned() }
    }

    fn url(&self, node: usize) -> String {
        format!("nats://127.0.0.1:{}", self.nodes[node].options.port.unwrap_or_default())
    }
}

impl Node {
    async fn start(&mut self) -> Result<(), ServerError> {
        if self.server.is_none() {
            self.server = Some(Server::start(self.options.clone()).await?);
        }
        Ok(())
    }
}

/// Ports that nothing listens on, outside of the range from which the system gives clients theirs: they are free again whenever a
/// node is started again.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let mut held = vec![];
    let mut tries = 0;
    while held.len() < count {
        let port = 10_240 + rand::random::<u16>() % 22_528;
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => held.push((port, listener)),
            Err(error) if tries > 1000 => return Err(error),
            Err(_) => tries += 1,
        }
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}
