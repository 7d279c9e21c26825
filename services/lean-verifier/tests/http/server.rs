//! A verifier for a test, and its client.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use atlas_lean::{Embedded, Toolchain};
use atlas_lean_verifier::http::{ClientLimits, Keys, Options, Server};
use atlas_proto::{CheckReply, CheckRequest, LookupReply, LookupRequest};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// One embedded Lean with an empty cache for all tests.
fn lean() -> Arc<Embedded> {
    static LEAN: LazyLock<Arc<Embedded>> = LazyLock::new(|| {
        let image = std::env::var_os("ATLAS_LEAN_IMAGE").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.cache/lean/image"),
            PathBuf::from,
        );
        Arc::new(Embedded::fresh(&image).expect("run `scripts/setup lean`"))
    });
    Arc::clone(&LEAN)
}

/// The embedded Lean, with a list of what it was asked.
pub struct Watched {
    lean: Arc<Embedded>,
    /// Sources of the checks that Lean was asked, in the order in which it began them.
    pub begun: watch::Sender<Vec<String>>,
}

impl Toolchain for Watched {
    fn name(&self) -> String {
        self.lean.name()
    }

    fn check(&self, request: &CheckRequest) -> CheckReply {
        let source = request.modules.first().and_then(|module| module.source.clone()).unwrap_or_default();
        self.begun.send_modify(|begun| begun.push(String::from_utf8(source).unwrap()));
        self.lean.check(request)
    }

    fn lookup(&self, request: &LookupRequest) -> LookupReply {
        self.lean.lookup(request)
    }
}

/// A verifier that listens on a port of its own.
pub struct Verifier {
    pub url: String,
    pub asked: Arc<Watched>,
    pub stopping: CancellationToken,
    pub running: JoinHandle<()>,
    client: Client,
    _keys: tempfile::TempDir,
}

/// One check in Lean at a time, two minutes each, no keys, no limits that a test would meet by chance.
pub fn options() -> Options {
    Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        concurrency: 1,
        deadline: Duration::from_secs(120),
        memory_bytes: 1 << 30,
        body_bytes: 8 << 20,
        open: 4096,
        client: ClientLimits { open: 4096, at_once: 1, per_minute: 0 },
        keys: Keys::default(),
        receipt_keys: PathBuf::new(),
        grace: Duration::from_secs(60),
    }
}

pub async fn start(options: Options) -> Verifier {
    // reqwest asks for a provider even where no TLS is spoken; another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let keys = tempfile::tempdir().unwrap();
    let options = Options { receipt_keys: keys.path().join("keys"), ..options };
    let stopping = CancellationToken::new();
    let asked = Arc::new(Watched { lean: lean(), begun: watch::Sender::default() });
    let server = Server::bind(options, asked.clone(), stopping.clone()).await.unwrap();
    asked.begun.send_modify(Vec::clear);
    let url = format!("http://{}", server.address());
    let running = tokio::spawn(server.run());
    Verifier { url, asked, stopping, running, client: Client::new(), _keys: keys }
}

impl Verifier {
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    /// The status and the JSON that `body` is answered with.
    pub async fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.post(path).json(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

/// A result of a batch by its `custom_id` or `id`.
pub fn result<'v>(answer: &'v Value, id: &str) -> &'v Value {
    let results = answer["results"].as_array().unwrap_or_else(|| panic!("no results: {answer:#}"));
    results.iter().find(|result| result["custom_id"] == id || result["id"] == id).unwrap()
}
