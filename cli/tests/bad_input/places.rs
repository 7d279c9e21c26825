//! A folder, a port, a disk or a nats-server that cannot be had, or that goes away under way: exit code 1, nothing is lost,
//! and the same command goes on once the cause is gone.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use atlas_bus::{Bus, Options, Server, ServerOptions};

use super::{Project, Told, common, machine};

fn nats_server() -> PathBuf {
    let cached = common::cache().join("bin/nats-server");
    let named = std::env::var_os("ATLAS_NATS_SERVER").map(Into::into);
    named.unwrap_or_else(|| if cached.is_file() { cached } else { "nats-server".into() })
}

#[test]
fn the_runs_folder_is_a_file() {
    let project = Project::new();
    project.write("runs", "a file where a folder should be");
    project.run().exits(1).at("runs/pair").way_out("--dir").documented("the run's folder");
}

#[test]
fn somebody_works_on_the_run() {
    let project = Project::new();
    std::fs::create_dir_all(project.folder().join("runs/pair/logs")).unwrap();
    let lock = File::create(project.folder().join("runs/pair/lock")).unwrap();
    lock.lock().unwrap();
    std::fs::write(project.folder().join("runs/pair/lock"), "4711").unwrap();
    project.run().exits(1).at("pid 4711").way_out("--run NAME").documented("somebody works there");
}

#[test]
fn no_nats_server() {
    let project = Project::new();
    let mut command = project.atlas(&["run", "--ui", "plain"]);
    command.env("ATLAS_NATS_SERVER", "/nonexistent/nats-server");
    Told::by(command)
        .exits(1)
        .at("/nonexistent/nats-server")
        .way_out("scripts/setup nats")
        .documented("nats-server missing");
}

#[test]
fn a_nats_server_that_is_too_old() {
    let project = Project::new();
    project.write("old-nats", "#!/bin/sh\necho 'nats-server: v2.9.25'\n");
    let old = project.folder().join("old-nats");
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = project.atlas(&["run", "--ui", "plain"]);
    command.env("ATLAS_NATS_SERVER", &old);
    Told::by(command).exits(1).at("v2.9.25").way_out("scripts/setup nats").documented("nats-server too old");
}

#[test]
fn another_nats_server_in_the_runs_folder() {
    let project = Project::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = project.folder().join("runs/pair/nats");
    let _server = runtime.block_on(Server::start(ServerOptions::new(nats_server(), dir))).unwrap();
    project.run().exits(1).at("runs/pair/nats").way_out("stop the run").documented("its directory in use");
}

#[test]
fn a_nats_that_does_not_answer() {
    let project = Project::new();
    // A port that was free a moment ago, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("nats://127.0.0.1:{port}");
    Told::by(project.atlas(&["run", "--ui", "plain", "--nats", &url]))
        .exits(1)
        .at(&url)
        .way_out("leave `--nats` out")
        .documented("a NATS that does not answer");
}

/// A nats-server of the test's own, as somebody else's would be.
struct Foreign(Child);

impl Foreign {
    fn start(arguments: &[&str]) -> (Self, String) {
        let mut child = Command::new(nats_server())
            .args(["--addr", "127.0.0.1", "--port", "-1"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let listening = lines.find(|line| line.contains("Listening for client connections on")).unwrap();
        // It ends when nobody takes its log.
        std::thread::spawn(move || lines.for_each(drop));
        (Self(child), format!("nats://127.0.0.1:{}", listening.rsplit(':').next().unwrap().trim()))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_nats_without_jetstream() {
    let project = Project::new();
    let (_foreign, url) = Foreign::start(&[]);
    Told::by(project.atlas(&["run", "--ui", "plain", "--nats", &url]))
        .exits(1)
        .at(&url)
        .way_out("jetstream {")
        .documented("NATS without JetStream");
}

#[test]
fn a_nats_whose_streams_have_another_shape() {
    let project = Project::new();
    let store = project.folder().join("store");
    let (_foreign, url) = Foreign::start(&["--jetstream", "--store_dir", store.to_str().unwrap()]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bus = Bus::connect(&Options { url: url.clone(), user: None, name: "test".into() }).await.unwrap();
        // As a run with other partitions leaves it.
        bus.ensure(3).await.unwrap();
    });
    Told::by(project.atlas(&["run", "--ui", "plain", "--nats", &url]))
        .exits(1)
        .at("ATLAS_JOURNAL")
        .way_out("another NATS system")
        .documented("a stream of another shape");
}

/// The run of the smaller example in `dir`.
fn dominoes(dir: &Path) -> Command {
    let mut command =
        common::atlas(&["run", "-f", "examples/dominoes/atlasrun.yaml", "--ui", "json", "--dir"]);
    command.arg(dir);
    command
}

/// The same command again goes on and ends with every target certified.
fn goes_on(dir: &Path) {
    let again = Told::by(dominoes(dir)).exits(0);
    assert!(again.text.contains("\"goes_on\":true"), "{}", again.text);
    let report = common::json(&dir.join("dominoes/report/report.json"));
    assert_eq!(report["totals"]["certified"], report["totals"]["targets"]);
}

#[test]
fn nats_server_is_killed_under_way_and_the_same_command_goes_on() {
    let _machine = machine();
    let dir = tempfile::tempdir().unwrap();
    let mut run = dominoes(dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
    // Something has landed.
    lines.find(|line| line.contains("\"to\":\"certified\"")).expect("the run came so far");
    let children = all_children(run.id());
    let server = children.split_whitespace().find(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "nats-server")
    });
    Command::new("kill").args(["-KILL", server.expect("the run has a nats-server")]).status().unwrap();
    // Read on, or the run would wait for its reader.
    let rest: Vec<String> = lines.collect();
    let output = run.wait_with_output().unwrap();
    Told::of(&output)
        .exits(1)
        .at("nats-server.log")
        .way_out("run the same command again")
        .documented("nats-server dies under way");
    assert!(!rest.iter().any(|line| line.contains("\"exit_code\":0")), "{rest:#?}");
    goes_on(dir.path());
}

/// Child processes of all threads: a thread that has spawned is the one that the kernel names.
fn all_children(pid: u32) -> String {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A file system that is gone with the test.
struct Disk(tempfile::TempDir);

impl Disk {
    /// A small one; `None` where mounting is not allowed.
    fn mounted() -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "atlas-test"])
            .arg(disk.0.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(disk)
    }

    /// Somebody else's file takes the last of its room.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("somebody-else's");
        let mut file = File::create(&path).unwrap();
        // Until the system says that there is no room.
        while file.write_all(&[0; 1 << 16]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_fills_up_stops_the_run_and_with_room_the_same_command_goes_on() {
    let _machine = machine();
    let Some(disk) = Disk::mounted() else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    let dir = disk.0.path();
    let mut run = dominoes(dir).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.find(|line| line.contains("\"to\":\"certified\"")).expect("the run came so far");
    let filler = disk.fill();
    lines.for_each(drop);
    let refused = |told: Told| {
        told.exits(1)
            .at(dir.to_str().unwrap())
            .way_out("run the same command again")
            .documented("a full disk")
    };
    refused(Told::of(&run.wait_with_output().unwrap()));
    // And while it is full, the next run says so before it begins.
    refused(Told::by(dominoes(dir)));
    std::fs::remove_file(filler).unwrap();
    goes_on(dir);
}
