//! A nats-server that belongs to this process: JetStream on disk, loopback only, credentials of its own.
//!
//! It dies with the process (also by `kill -9`), and the next one takes up its directory. Everything it
//! acknowledges is on disk by fsync: `sync_interval: always`.

mod cluster;
mod configuration;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::{oneshot, watch};

use configuration::{USER, configuration, password, write_private};

pub use cluster::{Cluster, ClusterOptions};
pub use configuration::{MAX_PAYLOAD, Member};

use crate::Options;
use crate::connect::{MINIMUM, MINIMUM_TEXT, version};

/// How long the server may take to be ready; recovering a large store takes longest.
const STARTUP: Duration = Duration::from_secs(60);
/// How long a server that still holds the directory is waited for: a killed one is gone in no time.
const LOCK: Duration = Duration::from_secs(3);
/// How long a server may take to stop by itself.
const STOP: Duration = Duration::from_secs(10);
/// Lines of its log that an error shows.
const TAIL: usize = 8;

/// What to start.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The program.
    pub binary: PathBuf,
    /// Where it keeps everything. Created if missing; one server at a time.
    pub dir: PathBuf,
    /// On 127.0.0.1; `None`: any free one.
    pub port: Option<u16>,
    /// When what it acknowledges is on disk.
    pub sync: SyncMode,
    /// Its place in a cluster; `None`: it stands alone.
    pub member: Option<Member>,
}

/// When a server has on disk what it acknowledges: its `sync_interval`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// Before it acknowledges: a machine that loses its power loses nothing, if its file system commits names with what is synced (docs/semantics.md).
    #[default]
    Always,
    /// Every two minutes, the server's own default: the death of a process loses nothing, that of a machine up to two minutes.
    Interval,
}

impl ServerOptions {
    /// The program `binary` in `dir`, alone, on any free port, syncing always.
    pub fn new(binary: PathBuf, dir: PathBuf) -> Self {
        Self { binary, dir, port: None, sync: SyncMode::Always, member: None }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program is not there or does not run.
    #[error("cannot run nats-server at {}: {cause}; run scripts/setup nats, or put nats-server {MINIMUM_TEXT} or newer on PATH", binary.display())]
    Missing {
        /// The program.
        binary: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The program is too old.
    #[error("nats-server at {} is {found}: {MINIMUM_TEXT} or newer is needed; run scripts/setup nats", binary.display())]
    TooOld {
        /// The program.
        binary: PathBuf,
        /// Its version.
        found: String,
    },
    /// The directory cannot be used.
    #[error("cannot keep NATS data in {}: {source}; choose a directory that can be written to", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another server works there.
    #[error("another nats-server works in {}; stop the run that it belongs to, or choose another directory", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The port is taken.
    #[error("port {port} on 127.0.0.1 is taken; choose another, or leave it out to get a free one")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// The server ended before it was ready.
    #[error("nats-server ended with {status} before it was ready; its last words in {}:\n{tail}", log.display())]
    Ended {
        /// How it ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The server was not ready in time.
    #[error("nats-server was not ready within {} s; see {}", STARTUP.as_secs(), log.display())]
    NotReady {
        /// Its log file.
        log: PathBuf,
    },
    /// The nodes of a cluster run and do not agree.
    #[error("the nats-servers of {} have not chosen a leader: {cause}; see the log beside each node's store", dir.display())]
    NoLeader {
        /// The cluster's directory.
        dir: PathBuf,
        /// What a client was told last.
        cause: String,
    },
}

/// A running nats-server. Dropped, it is killed; what it acknowledged is on disk.
#[derive(Debug)]
pub struct Server {
    /// `nats://127.0.0.1:PORT`.
    pub url: String,
    /// The one user.
    pub user: String,
    /// The user's password; drawn once per directory, so that clients outlive a restart.
    pub password: String,
    /// The port.
    pub port: u16,
    pid: Pid,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Server {
    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Starts a server and waits until it takes connections.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(options: ServerOptions) -> Result<Self, ServerError> {
        check_version(&options.binary).await?;
        let dir = options.dir.clone();
        let unusable = |source| ServerError::Directory { dir: dir.clone(), source };
        std::fs::create_dir_all(&dir).map_err(unusable)?;
        let dir = std::fs::canonicalize(&dir).map_err(unusable)?;
        let lock = lock(&dir).await?;
        let password = password(&dir).map_err(unusable)?;
        let config = dir.join("nats-server.conf");
        write_private(&config, &configuration(&dir, &options, &password)).map_err(unusable)?;
        let log = dir.join("nats-server.log");
        let log_file = File::options().create(true).append(true).open(&log).map_err(unusable)?;

        let mut command = Command::new(&options.binary);
        command.arg("--config").arg(&config);
        // The child's standard input is the locked file: the lock lives exactly as long as the child,
        // also if this process is killed.
        command.stdin(Stdio::from(lock)).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C in a terminal goes to the whole process group: the run, not the key, ends its server.
        command.process_group(0);
        die_with_parent(&mut command);
        let (spawned_sender, spawned) = oneshot::channel();
        let (ready_sender, ready) = oneshot::channel();
        let (exit_sender, exit) = watch::channel(None);
        let binary = options.binary.clone();
        // Its own thread, which lives as long as the child: the death signal is sent when the thread
        // that spawned it ends, and threads of the runtime may end early.
        let reaper = std::thread::Builder::new().name("nats-server".to_owned());
        reaper
            .spawn(move || {
                let mut child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => return drop(spawned_sender.send(Err(error))),
                };
                let _ = spawned_sender.send(Ok(child.id()));
                let tail = child
                    .stderr
                    .take()
                    .map(|stderr| follow(stderr, log_file, ready_sender))
                    .unwrap_or_default();
                let status = child.wait().unwrap_or_default();
                tracing::debug!(%status, tail, "nats-server ended");
                let _ = exit_sender.send(Some(status));
            })
            .map_err(|error| ServerError::Missing { binary: binary.clone(), cause: error.to_string() })?;
        let missing = |cause: String| ServerError::Missing { binary: binary.clone(), cause };
        let id = spawned
            .await
            .map_err(|error| missing(error.to_string()))?
            .map_err(|error| missing(error.to_string()))?;
        let pid = Pid::from_raw(id.cast_signed());
        let mut server = Self { url: String::new(), user: USER.to_owned(), password, port: 0, pid, exit };

        match tokio::time::timeout(STARTUP, ready).await {
            Err(_) => return Err(ServerError::NotReady { log }),
            Ok(Ok(port)) => server.port = port,
            // The log ended: so did the server.
            Ok(Err(_)) => return Err(server.post_mortem(&options, &log).await),
        }
        server.url = format!("nats://127.0.0.1:{}", server.port);
        Ok(server)
    }

    /// What a [`Bus`](crate::Bus) needs to connect as `name`.
    pub fn options(&self, name: &str) -> Options {
        Options {
            url: self.url.clone(),
            user: Some((self.user.clone(), self.password.clone())),
            name: name.to_owned(),
        }
    }

    /// Stops the server and waits until it has ended, by force if it takes too long.
    pub async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(STOP, self.ended()).await.is_err() {
            self.signal(Signal::SIGKILL);
            self.ended().await;
        }
    }

    /// Kills the server as `kill -9` does, and waits until it is gone.
    pub async fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }

    /// Waits until the server has ended, by whatever cause. A run ends with its server.
    pub async fn ended(&mut self) {
        // An error means that the thread that waits for it is gone: it has ended.
        let _ = self.exit.wait_for(Option::is_some).await;
    }

    fn signal(&self, signal: Signal) {
        // Once it has been waited for, its process id may be another's.
        if self.exit.borrow().is_none() {
            let _ = kill(self.pid, signal);
        }
    }

    async fn post_mortem(&mut self, options: &ServerOptions, log: &Path) -> ServerError {
        self.ended().await;
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let mut tail: Vec<&str> = text.lines().rev().take(TAIL).collect();
        tail.reverse();
        let tail = tail.join("\n");
        match options.port {
            Some(port) if tail.contains("address already in use") => ServerError::PortTaken { port },
            _ => {
                let status =
                    self.exit.borrow().map_or_else(|| "no status".to_owned(), |status| status.to_string());
                ServerError::Ended { status, log: log.to_owned(), tail }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

async fn check_version(binary: &Path) -> Result<(), ServerError> {
    let missing = |cause: String| ServerError::Missing { binary: binary.to_owned(), cause };
    let output = tokio::process::Command::new(binary)
        .arg("--version")
        .output()
        .await
        .map_err(|error| missing(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `nats-server: v2.15.1`
    let found = text.rsplit(' ').next().unwrap_or_default().trim();
    match version(found) {
        Some(numbers) if numbers >= MINIMUM => Ok(()),
        Some(_) => Err(ServerError::TooOld { binary: binary.to_owned(), found: found.to_owned() }),
        None => Err(missing(format!("`--version` says `{}`", text.trim()))),
    }
}

/// Locks the directory for one server. A server that was just killed may hold it a moment longer.
async fn lock(dir: &Path) -> Result<File, ServerError> {
    let unusable = |source| ServerError::Directory { dir: dir.to_owned(), source };
    let file =
        File::options().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(unusable)?;
    let (sender, receiver) = oneshot::channel();
    // A thread, for the system has no other way to wait for a file lock. If it takes too long the
    // thread gets the lock late, finds nobody to give it to, and lets it go.
    std::thread::spawn(move || {
        let locked = file.lock();
        let _ = sender.send(locked.map(|()| file));
    });
    match tokio::time::timeout(LOCK, receiver).await {
        Ok(Ok(locked)) => locked.map_err(unusable),
        Ok(Err(_)) | Err(_) => Err(ServerError::InUse { dir: dir.to_owned() }),
    }
}

/// Copies the server's log into the file and ours; says the port once the server is ready. Returns the log's end.
///
/// The log, and not the ports file, for that is written at some time after the server is ready.
fn follow(stderr: std::process::ChildStderr, mut file: File, ready: oneshot::Sender<u16>) -> String {
    let mut ready = Some(ready);
    let mut port = 0;
    let mut tail = VecDeque::with_capacity(TAIL);
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let _ = writeln!(file, "{line}");
        tracing::trace!(target: "atlas_bus::nats_server", "{line}");
        if line.contains("Listening for client connections on") {
            port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).unwrap_or_default();
        }
        if line.contains("Server is ready")
            && let Some(ready) = ready.take()
        {
            let _ = ready.send(port);
        }
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    Vec::from(tail).join("\n")
}

/// Has the kernel kill the child when the thread that spawns it ends.
#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed:
    // prctl, getppid and _exit are, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The parent may have died before the call.
            if libc::getppid().cast_unsigned() != parent {
                libc::_exit(1);
            }
            Ok(())
        });
    }
}
