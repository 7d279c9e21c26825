//! What the verifier says about itself: one list of its paths, as OpenAPI and as a page.

use askama::Template;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::check::{Answer, Question};
use super::error::Detail;
use super::kimina::{CheckBody, CheckResult, VerifyBody, VerifyResult};

/// A path.
pub(super) struct Path {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    title: &'static str,
    text: &'static str,
    /// A body that the path answers with 200.
    pub(super) example: Option<&'static str>,
    /// An answer.
    answer: &'static str,
    /// Whether a key is asked for, where keys are.
    key: bool,
}

/// All paths.
pub(super) const PATHS: [Path; 9] = [
    Path {
        method: "post",
        path: "/verify",
        title: "Check snippets, in the shape of Kimina's /verify",
        text: "Each code is elaborated from the same fresh state, with exactly the imports that it begins with. One that fails, loops or is refused \
               is a result like every other. With `Accept: application/x-ndjson` each result is a line, as soon as it is there.",
        example: Some(
            r#"{"codes": [{"custom_id": "add-comm", "proof": "theorem t (a b : Nat) : a + b = b + a := by omega"}], "timeout": 60}"#,
        ),
        answer: r#"{"results": [{"custom_id": "add-comm", "response": {"env": 0, "time": 0.024}, "outcome": "accepted", "cached": false}]}"#,
        key: true,
    },
    Path {
        method: "post",
        path: "/api/check",
        title: "Check snippets, in the shape of Kimina's /api/check",
        text: "As `/verify`, with `snippets`, whose ids must differ; `debug` adds what each took.",
        example: Some(
            r##"{"snippets": [{"id": "nat", "code": "import Std.Data.HashMap\n#check Nat"}], "timeout": 30, "debug": true}"##,
        ),
        answer: r#"{"results": [{"id": "nat", "time": 0.03, "response": {"env": 0, "messages": [{"severity": "info", "pos": {"line": 2, "column": 0}, "endPos": {"line": 2, "column": 6}, "data": "Nat : Type"}], "time": 0.03}, "outcome": "accepted", "cached": false}]}"#,
        key: true,
    },
    Path {
        method: "post",
        path: "/v1/check",
        title: "One check, with all that can be asked",
        text: "Several modules, facts of declarations, goals; at level `certified` what a landing takes: two kernels, axioms, frozen statements, and a signed \
               receipt of each module.",
        example: Some(
            r#"{"level": "certified", "modules": [{"name": "Sums", "source": "module\n\npublic import Init\n\npublic theorem two (n : Nat) : n + n = 2 * n := by omega\n"}]}"#,
        ),
        answer: r#"{"id": "", "outcome": "accepted", "diagnostics": [], "declarations": [{"name": "two", "kind": "theorem", "axioms": [], "…": "…"}], "receipts": [{"module": "Sums", "…": "…"}], "…": "…"}"#,
        key: true,
    },
    Path {
        method: "get",
        path: "/v1/keys",
        title: "The public keys that sign receipts",
        text: "What `atlas receipt verify --keys` takes.",
        example: None,
        answer: r#"{"…": "…"}"#,
        key: false,
    },
    Path {
        method: "get",
        path: "/healthz",
        title: "200 while the process lives",
        text: "",
        example: None,
        answer: "ok",
        key: false,
    },
    Path {
        method: "get",
        path: "/readyz",
        title: "200 while checks are taken on",
        text: "503 while the verifier is being stopped.",
        example: None,
        answer: "ok",
        key: false,
    },
    Path {
        method: "get",
        path: "/metrics",
        title: "Metrics in OpenMetrics text",
        text: "Checks by level and outcome, cache hits, checks waiting and refused, seconds in Lean, requests by path and status.",
        example: None,
        answer: "atlas_checks_total{level=\"elaborated\",outcome=\"accepted\"} 12",
        key: false,
    },
    Path {
        method: "get",
        path: "/openapi.json",
        title: "This page for programs, as OpenAPI 3.1",
        text: "",
        example: None,
        answer: r#"{"openapi": "3.1.0", "…": "…"}"#,
        key: false,
    },
    Path {
        method: "get",
        path: "/docs",
        title: "This page",
        text: "",
        example: None,
        answer: "",
        key: false,
    },
];

/// Statuses beside 200 of the paths that check.
const PROBLEMS: [(&str, &str); 6] = [
    ("401", "No key, or an unknown one"),
    ("408", "The body did not come in time"),
    ("413", "The body is too large"),
    ("422", "The body is not what it must be"),
    ("429", "The client may have no more checks now: see Retry-After"),
    ("503", "The verifier takes no more on now, or is being stopped: see Retry-After"),
];

/// `results` of one shape.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "its schema is what is wanted")]
struct Results<T> {
    results: Vec<T>,
}

/// The OpenAPI document.
pub(super) fn openapi(toolchain: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for path in &PATHS {
        let (body, answer) = match path.path {
            "/verify" => shapes::<VerifyBody, Results<VerifyResult>>(&mut generator),
            "/api/check" => shapes::<CheckBody, Results<CheckResult>>(&mut generator),
            "/v1/check" => shapes::<Question, Answer>(&mut generator),
            _ => (Value::Null, Value::Null),
        };
        paths.insert(
            path.path.to_owned(),
            json!({ path.method: operation(path, body, answer, &mut generator) }),
        );
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "atlas verify serve",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("Checks Lean sources. The Lean behind it: {toolchain}."),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn shapes<B: JsonSchema, A: JsonSchema>(generator: &mut SchemaGenerator) -> (Value, Value) {
    (generator.subschema_for::<B>().into(), generator.subschema_for::<A>().into())
}

fn operation(path: &Path, body: Value, answer: Value, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({ "summary": path.title, "description": path.text });
    if body.is_null() {
        operation["responses"] = json!({ "200": { "description": "As it is now" } });
        return operation;
    }
    let example = path.example.and_then(|text| serde_json::from_str::<Value>(text).ok());
    operation["requestBody"] = json!({
        "required": true,
        "content": { "application/json": { "schema": body, "example": example } },
    });
    let problem: Value = generator.subschema_for::<Detail>().into();
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({ "description": "Checked", "content": { "application/json": { "schema": answer } } }),
    );
    for (status, what) in PROBLEMS {
        let content = json!({ "application/json": { "schema": problem } });
        responses.insert(status.to_owned(), json!({ "description": what, "content": content }));
    }
    operation["responses"] = responses.into();
    if path.key {
        operation["security"] = json!([{ "key": [] }, {}]);
    }
    operation
}

/// The page. It asks nothing of the network.
#[derive(Template)]
#[template(path = "docs.html")]
struct Page<'a> {
    toolchain: &'a str,
    version: &'static str,
    paths: &'static [Path],
    problems: &'static [(&'static str, &'static str)],
    limits: &'a [(&'static str, String)],
}

impl Path {
    /// The text in parts, each with whether it is code.
    fn parts(&self) -> impl Iterator<Item = (bool, &'static str)> {
        self.text.split('`').enumerate().map(|(at, part)| (at % 2 == 1, part))
    }

    /// The example as a line for the shell.
    fn curl(&self) -> String {
        match self.example {
            // JSON's own escape, so that the shell takes no quote for its own.
            Some(example) => format!(
                "curl -sS $VERIFIER{} \\\n  -H 'content-type: application/json' \\\n  -d '{}'",
                self.path,
                example.replace('\'', "\\u0027")
            ),
            None => format!("curl -sS $VERIFIER{}", self.path),
        }
    }
}

/// The page as HTML.
pub(super) fn docs(toolchain: &str, limits: &[(&'static str, String)]) -> Result<String, askama::Error> {
    let version = env!("CARGO_PKG_VERSION");
    Page { toolchain, version, paths: &PATHS, problems: &PROBLEMS, limits }.render()
}
