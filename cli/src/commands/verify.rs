//! `atlas verify serve`: the verifier over HTTP.

use std::net::SocketAddr;
use std::path::Path;

use atlas_lean_verifier::http::{ClientLimits, Error, Keys, Options, Server};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::{Output, ServeArgs, VerifyCommand};
use crate::attach::cache_folder;
use crate::failure::{Exit, Failure, Result};
use crate::print::{self, ASK, FAINT, STRONG, styled};
use crate::toolchain::{Memory, open};

/// Keys of clients, separated by blanks.
const KEYS_VARIABLE: &str = "ATLAS_API_KEYS";

/// `atlas verify`.
pub async fn verify(what: &VerifyCommand) -> Result<Exit> {
    match what {
        VerifyCommand::Serve(args) => serve(args).await,
    }
}

async fn serve(args: &ServeArgs) -> Result<Exit> {
    let keys = keys(args.api_key_file.as_deref(), std::env::var(KEYS_VARIABLE).ok().as_deref())?;
    let log = atlas_telemetry::LogOptions { level: "warn".to_owned(), ..Default::default() };
    let telemetry = atlas_telemetry::Options { log, ..Default::default() };
    let _telemetry =
        atlas_telemetry::init("verify", &telemetry).map_err(|e| Failure::fault(e.to_string()))?;
    let threads = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        std::num::NonZeroUsize::get,
    );
    let (which, cache) = (args.toolchain.clone().into(), args.cache.clone());
    let opened = tokio::task::spawn_blocking(move || open(&which, cache.as_deref(), Memory::Kept)).await;
    let toolchain = opened.map_err(|e| Failure::fault(format!("cannot open Lean: {e}")))??;
    let guarded = !keys.is_empty();
    let options = Options {
        listen: args.listen,
        concurrency: threads,
        deadline: args.deadline.get(),
        memory_bytes: args.memory.bytes(),
        body_bytes: usize::try_from(args.body.bytes()).unwrap_or(usize::MAX),
        open: args.open,
        client: ClientLimits {
            open: args.client_open,
            at_once: args.client_threads.map_or(threads, std::num::NonZeroUsize::get),
            per_minute: args.client_rate,
        },
        keys,
        receipt_keys: args
            .keys
            .clone()
            .unwrap_or_else(|| cache_folder(args.cache.as_deref()).join("receipt-keys")),
        grace: args.grace.get(),
    };
    let signals =
        || -> std::io::Result<_> { Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)) };
    let (mut interrupt, mut terminate) =
        signals().map_err(|e| Failure::fault(format!("cannot listen for signals: {e}")))?;
    let stopping = CancellationToken::new();
    let server = tokio::select! {
        bound = Server::bind(options, toolchain, stopping.clone()) => bound.map_err(failure)?,
        () = either(&mut interrupt, &mut terminate) => return Ok(Exit::Interrupted),
    };
    tell(&server, args.output.output, guarded)?;
    let serving = server.run();
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => return Ok(Exit::Done),
        () = either(&mut interrupt, &mut terminate) => stopping.cancel(),
    }
    if args.output.output == Output::Text {
        let grace = args.grace.get().as_secs();
        let text = format!("stopping: requests under way have {grace} s; once more to stop at once");
        print::line(styled(FAINT, text));
    }
    tokio::select! {
        () = serving => Ok(Exit::Done),
        () = either(&mut interrupt, &mut terminate) => Ok(Exit::Interrupted),
    }
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn keys(file: Option<&Path>, variable: Option<&str>) -> Result<Keys> {
    let mut text = variable.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join("\n");
    if let Some(file) = file {
        let read = std::fs::read_to_string(file).map_err(|e| {
            Failure::input(format!("cannot read the keys of clients {}: {e}", file.display()))
        })?;
        text = text + "\n" + &read;
    }
    let keys = Keys::parse(&text);
    match file {
        // Nobody who names a file of keys wants to let everybody in.
        Some(file) if keys.is_empty() => {
            Err(Failure::input(format!("{} holds no key", file.display())).hint("write one key a line"))
        }
        _ => Ok(keys),
    }
}

fn failure(error: Error) -> Failure {
    let failure = Failure::fault(error.to_string());
    match error {
        Error::Listen { .. } => failure.hint("name another address with `--listen`; port 0 is any free one"),
        Error::Smoke(_) => failure.hint("prepare Lean anew with `scripts/setup lean`"),
        Error::Key(_) => failure.hint("name another folder with `--keys`"),
        Error::Docs(_) => failure,
    }
}

fn tell(server: &Server, output: Output, guarded: bool) -> Result<()> {
    let address: SocketAddr = server.address();
    let url = format!("http://{address}");
    match output {
        Output::Json => print::json(&json!({
            "event": "serving",
            "url": url,
            "docs": format!("{url}/docs"),
            "openapi": format!("{url}/openapi.json"),
            "toolchain": server.toolchain(),
            "keys": guarded,
        }))?,
        Output::Text => {
            print::line(format!("serving checks by {} on {}", server.toolchain(), styled(STRONG, &url)));
            print::line(styled(FAINT, format!("how to ask: {url}/docs; Ctrl-C stops")));
        }
    }
    if !guarded && !address.ip().is_loopback() {
        print::error_line(format!(
            "{} no key is asked for: whoever reaches {address} may ask; name keys with `--api-key-file`",
            styled(ASK, "open:")
        ));
    }
    Ok(())
}
