//! A real HTTP server that speaks what a test tells it to, and remembers what it was asked.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use atlas_llm::{
    Call, CallKey, Content, Limits, Message, ModelOptions, Models, Price, Provider, Speaker, ToolSpec,
};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// What the server does with one request.
pub enum Reply {
    /// Sends these events and ends the stream.
    Events(Vec<String>),
    /// Sends these events and drops the connection.
    Dropped(Vec<String>),
    /// Answers with a status, headers and a body.
    Status(u16, Vec<(&'static str, &'static str)>, String),
}

/// One request as it came.
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
    pub at: Instant,
}

#[derive(Clone, Default)]
pub struct Server {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    pub url: String,
}

impl Server {
    pub async fn start(replies: Vec<Reply>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let server = Self { replies: Arc::new(Mutex::new(replies.into())), url, ..Self::default() };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock())
    }
}

async fn answer(State(server): State<Server>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
    server.asked.lock().push(Asked {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        at: Instant::now(),
    });
    let reply =
        server.replies.lock().pop_front().expect("the server was asked more often than the test allows");
    let stream = |events: Vec<String>, dropped: bool| {
        let end = dropped.then(|| Err(io::Error::other("dropped")));
        let items: Vec<io::Result<String>> = events.into_iter().map(Ok).chain(end).collect();
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(futures::stream::iter(items)))
            .unwrap()
    };
    match reply {
        Reply::Events(events) => stream(events, false),
        Reply::Dropped(events) => stream(events, true),
        Reply::Status(status, headers, body) => {
            let mut response = Response::builder().status(status).header("content-type", "application/json");
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).unwrap()
        }
    }
}

/// Events of Anthropic's Messages API: words, then one use of a tool with `input` in two pieces.
pub fn anthropic_events(input: &str) -> Vec<String> {
    let (first, second) = input.split_at(input.len() / 2);
    [
        json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "claude-test", "content": [],
            "stop_reason": null, "usage": {"input_tokens": 12, "cache_creation_input_tokens": 300, "cache_read_input_tokens": 2000, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "I check ∀ first"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "."}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "check", "input": {}}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": first}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": second}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 42}}),
        json!({"type": "message_stop"}),
    ]
    .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
    .to_vec()
}

/// Events of OpenAI's chat completions API: the same answer. `numbered` servers give no ids.
pub fn openai_events(input: &str, numbered: bool) -> Vec<String> {
    let (first, second) = input.split_at(input.len() / 2);
    let id = if numbered { Value::Null } else { json!("call_abc") };
    let chunk = |choices: Value| json!({"id": "c", "object": "chat.completion.chunk", "model": "gpt-test", "choices": choices});
    let delta = |delta: Value| chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]));
    let mut usage = chunk(json!([]));
    usage["usage"] = json!({"prompt_tokens": 2312, "completion_tokens": 42, "total_tokens": 2354, "prompt_tokens_details": {"cached_tokens": 2000}});
    let mut events: Vec<String> = [
        delta(json!({"role": "assistant", "content": "I check ∀ first"})),
        delta(json!({"content": "."})),
        delta(json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": {"name": "check", "arguments": first}}]})),
        delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": second}}]})),
        chunk(json!([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])),
        usage,
    ]
    .iter()
    .map(|event| format!("data: {event}\n\n"))
    .collect();
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// A model at `url`. Its key, when it has one, is the file's.
pub fn options(provider: Provider, url: &str, retries: u32) -> ModelOptions {
    ModelOptions {
        name: "main".into(),
        provider,
        model: "model-1".into(),
        base_url: Some(url.into()),
        key: None,
        recording: None,
        call_log: None,
        context_window: 200_000,
        max_output_tokens: 1000,
        price: Price { input: 3.0, output: 15.0, cache_read: Some(0.3), cache_write: Some(3.75) },
        limits: Limits { retries, ..Limits::default() },
    }
}

pub fn models(options: ModelOptions) -> Models {
    Models::new(vec![options], None).unwrap()
}

pub fn key(turn: u32) -> CallKey {
    CallKey { role: "prover".into(), target: "even-add".into(), attempt: 1, turn }
}

/// A conversation in its third turn: a tool that failed, one that did not, words beside them, arguments that were no object.
pub fn call() -> Call {
    let tool = |name: &str| {
        let schema = json!({"type": "object", "properties": {}});
        Arc::new(ToolSpec::new(name, format!("{name}s."), schema))
    };
    let used =
        |id: &str, arguments: Value| Content::ToolUse { id: id.into(), name: "check".into(), arguments };
    let result =
        |id: &str, is_error| Content::ToolResult { id: id.into(), text: format!("result {id}"), is_error };
    Call {
        key: key(3),
        model: "main".into(),
        system: "You prove theorems.".into(),
        messages: [
            Message::user("Prove even_add."),
            Message::assistant(vec![
                Content::Text("I look.".into()),
                used("a", json!({})),
                used("b", json!("{\"path\": ")),
            ]),
            Message {
                speaker: Speaker::User,
                content: vec![Content::Text("Two results.".into()), result("a", false), result("b", true)],
            },
            Message::assistant(vec![used("c", json!({"path": "A.lean"}))]),
            Message { speaker: Speaker::User, content: vec![result("c", false)] },
        ]
        .map(Arc::new)
        .to_vec(),
        tools: vec![tool("read_file"), tool("check")],
        max_output_tokens: 0,
    }
}
