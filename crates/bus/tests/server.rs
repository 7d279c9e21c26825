//! The server of a run: its life, and every way in which it cannot be had.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use atlas_bus::{Bus, Error, Options, Server, ServerOptions, Spec};
use atlas_testkit::{TestNats, nats_server};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Set: this process is the parent that the test below kills.
const PARENT: &str = "ATLAS_TEST_PARENT_DIR";

fn options(dir: &Path) -> ServerOptions {
    ServerOptions::new(nats_server(), dir.to_owned())
}

#[tokio::test]
async fn what_cannot_be_had_is_said_with_the_way_out() {
    let temp = tempfile::tempdir().unwrap();
    let missing =
        Server::start(ServerOptions { binary: "/no/such/nats-server".into(), ..options(temp.path()) }).await;
    let text = missing.unwrap_err().to_string();
    assert!(text.contains("/no/such/nats-server") && text.contains("scripts/setup nats"), "{text}");

    let old = temp.path().join("nats-server");
    std::fs::write(&old, "#!/bin/sh\necho 'nats-server: v2.12.1'\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let text =
        Server::start(ServerOptions { binary: old, ..options(temp.path()) }).await.unwrap_err().to_string();
    assert!(text.contains("2.12.1") && text.contains("2.12.2 or newer"), "{text}");

    let file = temp.path().join("file");
    std::fs::write(&file, "").unwrap();
    let text = Server::start(options(&file.join("below"))).await.unwrap_err().to_string();
    assert!(text.contains("cannot keep NATS data in") && text.contains("choose a directory"), "{text}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = Server::start(ServerOptions { port: Some(port), ..options(&temp.path().join("a")) })
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        format!("port {port} on 127.0.0.1 is taken; choose another, or leave it out to get a free one")
    );
}

#[tokio::test]
async fn a_directory_has_one_server_at_a_time_and_the_next_takes_it_up() {
    let temp = tempfile::tempdir().unwrap();
    let first = Server::start(options(temp.path())).await.unwrap();
    let bus = Bus::connect(&first.options("test")).await.unwrap();
    bus.ensure(4).await.unwrap();
    let second = Server::start(options(temp.path())).await.unwrap_err().to_string();
    assert!(second.contains("another nats-server works in"), "{second}");
    first.kill().await;
    let third = Server::start(options(temp.path())).await.unwrap();
    let bus = Bus::connect(&third.options("test")).await.unwrap();
    assert_eq!(bus.partitions().await.unwrap(), 4);
    third.stop().await;
}

#[tokio::test]
async fn a_connection_that_cannot_be_had_says_where_and_why() {
    let nats = TestNats::start().await;
    let wrong = Options { user: Some(("atlas".to_owned(), "wrong".to_owned())), ..nats.options("test") };
    let text = Bus::connect(&wrong).await.unwrap_err().to_string();
    assert!(text.contains(&nats.url()) && text.contains("password"), "{text}");
    let nobody = Options { url: "nats://127.0.0.1:1".to_owned(), ..nats.options("test") };
    assert!(Bus::connect(&nobody).await.unwrap_err().to_string().contains("nats://127.0.0.1:1"));

    let bus = Bus::connect(&nats.options("test")).await.unwrap();
    assert!(matches!(bus.partitions().await, Err(Error::NotPrepared { .. })));
    bus.ensure_spec(&Spec::new(4)).await.unwrap();
    bus.ensure_spec(&Spec::new(4)).await.unwrap();
    let drift = bus.ensure_spec(&Spec::new(8)).await.unwrap_err().to_string();
    assert!(drift.contains("ATLAS_JOURNAL") && drift.contains("atlas.partitions is 4, not 8"), "{drift}");
}

/// Not a test of its own: the parent in the test below, which runs it in another process.
#[tokio::test]
async fn parent() {
    let Some(dir) = std::env::var_os(PARENT) else { return };
    let server = Server::start(options(Path::new(&dir))).await.unwrap();
    let bus = Bus::connect(&server.options("test")).await.unwrap();
    bus.ensure(4).await.unwrap();
    println!("\nready {}", server.port);
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn kill_9_of_the_parent_ends_the_server_and_frees_its_directory() {
    let temp = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent", "--nocapture"])
        .env(PARENT, temp.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).find(|line| line.starts_with("ready ")).unwrap();
    let port: u16 = ready.trim_start_matches("ready ").parse().unwrap();
    kill(Pid::from_raw(parent.id().cast_signed()), Signal::SIGKILL).unwrap();
    parent.wait().unwrap();
    // The lock is the server's own: it is had once the server is gone.
    let next = Server::start(ServerOptions { port: Some(port), ..options(temp.path()) }).await.unwrap();
    let bus = Bus::connect(&next.options("test")).await.unwrap();
    assert_eq!(bus.partitions().await.unwrap(), 4);
}
