//! A run of an example by many processes on three nats-servers, each of which fails again and again in every way that can be had on one
//! machine; and the judgement of what was recorded, line by line of docs/semantics.md.
//!
//! `make soak-real` has 120 faults happen; the environment says otherwise (`options.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod fault;
mod history;
mod observer;
mod options;
#[path = "../whole_system/outcome.rs"]
#[allow(dead_code)]
mod outcome;
mod service;
mod stage;
#[path = "../whole_system/start.rs"]
#[allow(dead_code, unused_imports)]
mod start;
mod table;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fault::Storm;
use history::History;
use options::Options;
use stage::Stage;

/// Each test wants the whole machine: one at a time.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How long a run may go on after the last fault.
const PATIENCE: Duration = Duration::from_secs(600);

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_promise_holds_on_three_nats_servers_whatever_fails() {
    let _machine = MACHINE.lock().await;
    let options = Options::from_environment();
    let stage = Stage::start(&options, 0).await;
    let storm = Storm::over(&stage, &options).await;
    let code = tokio::time::timeout(PATIENCE, stage.ended()).await.expect("no task waits for ever");
    let verdict = History::read(&stage).await.judge(&stage, &storm.happened, code).await;
    table::print(&options, &storm, &verdict);
    assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    // A machine may be faster than the pace of the faults; that does not break a promise.
    assert!(
        storm.happened.len() >= options.faults * 5 / 6,
        "only {} faults before the end",
        storm.happened.len()
    );
    Stage::stop(stage).await;
}

/// A budget for half of what the run's calls cost, so that it ends at the limit with calls under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_overdrawn_by_no_more_than_calls_whose_hosts_died() {
    let _machine = MACHINE.lock().await;
    let options = Options { faults: 8, only: fault::OF_SERVICES.to_vec(), ..Options::from_environment() };
    let stage = Stage::start(&options, 1_500_000).await;
    let storm = Storm::over(&stage, &options).await;
    let code = tokio::time::timeout(PATIENCE, stage.ended()).await.expect("no task waits for ever");
    let verdict = History::read(&stage).await.judge(&stage, &storm.happened, code).await;
    table::print(&options, &storm, &verdict);
    assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    assert_eq!(code, 4, "the run stops at its budget");
    Stage::stop(stage).await;
}
