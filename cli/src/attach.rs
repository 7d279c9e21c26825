//! How commands reach the NATS of a run: one that is at work, or one that has stopped.

use std::path::{Path, PathBuf};

use atlas_bus::{Bus, Options, Server, ServerOptions};
use atlas_domain::RunId;

use crate::directory::{Directory, Identity, Lock};
use crate::failure::{Failure, Result};

/// A connection to a run's NATS.
pub struct Attached {
    /// The connection.
    pub bus: Bus,
    /// The run.
    pub run: RunId,
    /// Whether a process works on the run now.
    pub at_work: bool,
    /// A server that was started only for this command, with the right to work in the run's folder.
    server: Option<(Server, Lock)>,
}

impl Attached {
    /// Connects to the run's NATS. When nobody works on the run, its own server is started for as long as the command
    /// takes.
    ///
    /// # Errors
    /// When there is no such NATS, or the server does not start.
    pub async fn to(directory: &Directory) -> Result<Self> {
        let identity = directory.identity()?.ok_or_else(|| {
            Failure::input(format!("{} holds no run", directory.root().display()))
                .hint("start one with `atlas run -f FILE`")
        })?;
        let Identity { run, nats, .. } = identity;
        let never = || {
            Failure::input(format!("the run `{run}` has never come as far as starting its NATS"))
                .hint("start it again with `atlas run`")
        };
        let nats = nats.ok_or_else(never)?;
        let at_work = directory.is_at_work();
        if at_work || !nats.own {
            let bus = connect(&nats.url, directory.credentials(), "atlas").await?;
            return Ok(Self { bus, run, at_work, server: None });
        }
        if !directory.nats().is_dir() {
            return Err(never());
        }
        let lock = directory.lock()?;
        let server = start(directory, None).await?;
        let options = server.options("atlas");
        let bus = connect(&options.url, options.user, "atlas").await?;
        Ok(Self { bus, run, at_work, server: Some((server, lock)) })
    }

    /// Whether the server was started for this command alone.
    pub fn is_own(&self) -> bool {
        self.server.is_some()
    }

    /// Lets go: stops the server that was started for this command.
    pub async fn close(self) {
        let Self { bus, server, .. } = self;
        let _ = bus.flush().await;
        drop(bus);
        if let Some((server, lock)) = server {
            server.stop().await;
            drop(lock);
        }
    }
}

/// Connects to a NATS system.
///
/// # Errors
/// When it cannot be reached, is too old or has no JetStream.
pub async fn connect(url: &str, user: Option<(String, String)>, name: &str) -> Result<Bus> {
    let options = Options { url: url.to_owned(), user, name: name.to_owned() };
    Bus::connect(&options).await.map_err(|e| {
        Failure::fault(e.to_string())
            .hint("leave `--nats` out to have the run start a nats-server of its own")
    })
}

/// Starts the run's own nats-server on its folder.
///
/// # Errors
/// When there is no nats-server, it is too old, or the folder or a port cannot be had.
pub async fn start(directory: &Directory, cache: Option<&Path>) -> Result<Server> {
    let options = ServerOptions::new(nats_server(cache), directory.nats());
    Server::start(options).await.map_err(|e| Failure::fault(e.to_string()))
}

/// Where nats-server is: `$ATLAS_NATS_SERVER`, the project's cache, or on PATH.
pub fn nats_server(cache: Option<&Path>) -> PathBuf {
    if let Some(path) = std::env::var_os("ATLAS_NATS_SERVER") {
        return path.into();
    }
    let cached = cache_folder(cache).join("bin/nats-server");
    if cached.is_file() { cached } else { "nats-server".into() }
}

/// The project's cache: as given, `$ATLAS_CACHE`, or the nearest `.cache` above this folder or the program that
/// `scripts/setup` has filled.
pub fn cache_folder(given: Option<&Path>) -> PathBuf {
    if let Some(given) = given {
        return given.to_owned();
    }
    if let Some(path) = std::env::var_os("ATLAS_CACHE") {
        return path.into();
    }
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .map(|folder| folder.join(".cache"))
        .find(|cache| cache.join("bin").is_dir() || cache.join("lean").is_dir())
        .unwrap_or_else(|| ".cache".into())
}
