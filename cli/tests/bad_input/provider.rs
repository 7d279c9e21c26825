//! A model's provider that misbehaves on purpose: a real HTTP server that speaks OpenAI's chat completions, one way for each
//! target of the book.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

/// What the provider does with one request.
pub enum Reply {
    /// Answers with words.
    Says(&'static str),
    /// Answers with one tool call.
    Calls(&'static str, Value),
    /// Refuses: status, headers, body.
    Status(u16, &'static str, &'static str),
    /// Begins an answer and drops the connection.
    Half,
    /// Closes the connection without a byte.
    Nothing,
}

/// One request as it came.
pub struct Asked {
    /// The target that it is about.
    pub target: String,
    /// Everything that the model was told, as JSON.
    pub body: Value,
    /// When.
    pub at: Instant,
}

/// The server; it lives as long as the test's process.
pub struct Provider {
    /// For `baseUrl`.
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Provider {
    /// Serves. `reply` sees the target, how often that was asked about before, and the request.
    pub fn start(reply: impl Fn(&str, usize, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let provider = Self { url, asked: Arc::clone(&asked) };
        let reply = Arc::new(reply);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (asked, reply) = (Arc::clone(&asked), Arc::clone(&reply));
                // A client that goes away in the middle is no concern of the server's.
                std::thread::spawn(move || serve(&stream, &asked, &*reply));
            }
        });
        provider
    }

    /// What was asked about a target, in order.
    pub fn asked(&self, target: &str) -> Vec<Asked> {
        let mut asked = self.asked.lock().unwrap();
        let (of_target, others) = asked.drain(..).partition(|asked| asked.target == target);
        *asked = others;
        of_target
    }
}

fn serve(
    mut stream: &TcpStream,
    asked: &Mutex<Vec<Asked>>,
    reply: &(dyn Fn(&str, usize, &Value) -> Reply + Send + Sync),
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).ok()?;
    let target = target(&body)?;
    let before = {
        let mut asked = asked.lock().ok()?;
        let before = asked.iter().filter(|asked| asked.target == target).count();
        asked.push(Asked { target: target.clone(), body: body.clone(), at: Instant::now() });
        before
    };
    let text = match reply(&target, before, &body) {
        Reply::Nothing => return Some(()),
        Reply::Status(status, headers, body) => format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}connection: close\r\n\r\n{body}",
            body.len()
        ),
        Reply::Says(words) => stream_of(&json!({"role": "assistant", "content": words}), "stop"),
        Reply::Calls(tool, arguments) => stream_of(
            &json!({"role": "assistant", "tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                "function": {"name": tool, "arguments": arguments.to_string()}}]}),
            "tool_calls",
        ),
        Reply::Half => {
            let whole = stream_of(&json!({"role": "assistant", "content": "I begin and"}), "stop");
            whole[..whole.find("finish_reason\":\"stop").unwrap_or(0)].to_owned()
        }
    };
    stream.write_all(text.as_bytes()).ok()
}

/// The target that a prompt names.
fn target(body: &Value) -> Option<String> {
    let text = body["messages"].to_string();
    let (_, rest) = text.split_once("Target `")?;
    Some(rest.split_once('`')?.0.to_owned())
}

/// An answer as server-sent events.
fn stream_of(delta: &Value, finish: &str) -> String {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110});
    [
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_owned(),
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]), Value::Null),
        chunk(json!([{"index": 0, "delta": {}, "finish_reason": finish}]), Value::Null),
        chunk(json!([]), usage),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat()
}
