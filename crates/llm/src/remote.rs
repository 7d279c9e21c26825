//! Anthropic and servers that speak OpenAI's API, over HTTP. docs/adr/0003-models-crate.md says why genai.

use std::time::Duration;

use atlas_api::{Key, Provider};
use futures::StreamExt;
use genai::adapter::AdapterKind;
use genai::chat::{ChatOptions, ChatStreamEvent};
use genai::resolver::{AuthData, Endpoint};
use genai::{Client, Headers, ModelIden, ServiceTarget};

use crate::{Answer, Call, Error, ModelError, ModelOptions, convert, fault};

const ANTHROPIC: &str = "https://api.anthropic.com/v1/";
const OPENAI: &str = "https://api.openai.com/v1/";

/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(20);
/// The longest wait for the first byte: a local server reads a long prompt, behind others, before it says anything.
const FIRST_BYTE: Duration = Duration::from_secs(600);
/// The longest silence within an answer. Providers send pings every few seconds; local servers a token at a time.
const SILENCE: Duration = Duration::from_secs(180);

/// An HTTP client for all models. TLS by ring, the one provider that is linked; the certificates are the system's. It
/// follows no redirect: a header `x-api-key` would go along.
pub(crate) fn client() -> Result<Client, Error> {
    // Another part of the process may have installed the same one before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .user_agent(concat!("atlas/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::Client(causes(&error)))?;
    Client::builder().with_reqwest(http).build().map_err(|error| Error::Client(error.to_string()))
}

#[derive(Debug)]
pub(crate) struct Remote {
    options: ModelOptions,
    client: Client,
    key: Option<Key>,
    source_of_key: String,
    url: String,
}

impl Remote {
    pub(crate) fn new(options: ModelOptions, client: Client) -> Result<Self, Error> {
        let key = options.key.as_ref().map(atlas_api::KeySource::read).transpose();
        let key = key.map_err(|cause| Error::Key { model: options.name.clone(), cause })?;
        let source_of_key = options
            .key
            .as_ref()
            .map_or_else(|| "nowhere (the model has no `key`)".to_owned(), ToString::to_string);
        let own = if options.provider == Provider::Anthropic { ANTHROPIC } else { OPENAI };
        let mut url = options.base_url.clone().unwrap_or_else(|| own.to_owned());
        if !url.ends_with('/') {
            url.push('/');
        }
        Ok(Self { options, client, key, source_of_key, url })
    }

    /// Host of the API, for spans.
    pub(crate) fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        rest.split(['/', ':']).next().unwrap_or(rest)
    }

    fn target(&self) -> ServiceTarget {
        let (adapter, path) = match self.options.provider {
            Provider::Anthropic => (AdapterKind::Anthropic, "messages"),
            _ => (AdapterKind::OpenAI, "chat/completions"),
        };
        let auth = match &self.key {
            Some(key) => AuthData::from_single(key.expose()),
            // Without a key no header of authorization is sent.
            None => {
                AuthData::RequestOverride { url: format!("{}{path}", self.url), headers: Headers::default() }
            }
        };
        let model = ModelIden::new(adapter, self.options.model.as_str());
        ServiceTarget { endpoint: Endpoint::from_owned(self.url.as_str()), auth, model }
    }

    /// Asks once. The answer is streamed, so that a silence is noticed and an answer without its end is never taken for one.
    pub(crate) async fn ask(&self, call: &Call, max_output_tokens: u32) -> Result<Answer, ModelError> {
        let mut options = ChatOptions::default()
            .with_max_tokens(max_output_tokens)
            .with_capture_content(true)
            .with_capture_tool_calls(true)
            .with_capture_usage(true)
            .with_stream_header_timeout(FIRST_BYTE)
            .with_stream_read_timeout(SILENCE);
        if self.url == OPENAI {
            // Calls of one conversation go to the machine that has its prefix. Compatible servers need not know the field.
            let key = &call.key;
            options = options.with_prompt_cache_key(format!("{}/{}/{}", key.target, key.role, key.attempt));
        }
        let request = convert::request(call, self.options.provider);
        let response = self
            .client
            .exec_chat_stream(self.target(), request, Some(&options))
            .await
            .map_err(|e| self.error(&e, 0))?;
        let mut stream = response.stream;
        let mut received = 0;
        while let Some(event) = stream.next().await {
            match event.map_err(|error| self.error(&error, received))? {
                ChatStreamEvent::Chunk(chunk) | ChatStreamEvent::ReasoningChunk(chunk) => {
                    received += chunk.content.len() as u64
                }
                ChatStreamEvent::ToolCallChunk(_) => received += 1,
                ChatStreamEvent::End(end) => {
                    let content = convert::content(&end, call.key.turn);
                    let stop = convert::stop(&end, &content).ok_or_else(|| {
                        self.cut(received, "the stream ended without saying why the model stopped")
                    })?;
                    let usage = convert::usage(&end, call, &content);
                    return Ok(Answer { content, usage, stop, model: self.options.model.clone() });
                }
                ChatStreamEvent::Start
                | ChatStreamEvent::Heartbeat
                | ChatStreamEvent::ThoughtSignatureChunk(_) => {}
            }
        }
        if received == 0 {
            // So ends what is no stream of answers at all: a page for people, say.
            let cause = "the stream ended before its last event; if it stays so, check that `baseUrl` is an API of the provider's kind";
            return Err(self.cut(received, cause));
        }
        Err(self.cut(received, "the stream ended before its last event"))
    }

    fn cut(&self, received: u64, cause: &str) -> ModelError {
        ModelError::Cut { model: self.options.name.clone(), received, cause: cause.to_owned() }
    }

    fn of_status(&self, status: u16, retry_after: Option<Duration>, body: &str) -> ModelError {
        let mut words = fault::words(body);
        if let Some(key) = &self.key {
            words = words.replace(key.expose(), "…"); // some providers quote the key that they refuse
        }
        let o = &self.options;
        fault::of_status(&o.name, &o.model, &self.url, &self.source_of_key, status, retry_after, words)
    }

    fn error(&self, error: &genai::Error, received: u64) -> ModelError {
        let model = self.options.name.clone();
        match error {
            genai::Error::HttpError { status, body, headers, .. } => {
                self.of_status(status.as_u16(), fault::retry_after(headers), body)
            }
            genai::Error::ChatResponse { body, .. } => {
                self.of_status(fault::status_of_type(body), None, &body.to_string())
            }
            // The stream ended in the middle of an event.
            genai::Error::StreamParse { serde_error, .. } if serde_error.is_eof() => {
                self.cut(received, "its last event is not whole")
            }
            genai::Error::StreamParse { serde_error, .. } => {
                ModelError::Nonsense { model, cause: format!("an event that is not JSON: {serde_error}") }
            }
            genai::Error::JsonValueExt(cause) => {
                ModelError::Nonsense { model, cause: format!("an event that lacks a field: {cause}") }
            }
            genai::Error::WebStream { error, cause, .. } => {
                if let Some(inner) = error.downcast_ref::<genai::Error>() {
                    return self.error(inner, received);
                }
                if error.is::<std::str::Utf8Error>() || error.is::<std::string::FromUtf8Error>() {
                    return ModelError::Nonsense {
                        model,
                        cause: format!("bytes that are not UTF-8: {cause}"),
                    };
                }
                let lost = error.downcast_ref::<reqwest::Error>();
                let cause = lost.map_or_else(|| cause.clone(), |error| causes(error));
                if received > 0 || lost.is_some_and(|error| error.is_body() || error.is_decode()) {
                    return self.cut(received, &cause);
                }
                ModelError::Transport { model, url: self.url.clone(), cause }
            }
            // genai could not make a request of it: the same call would fail again.
            other => ModelError::BadRequest {
                model,
                status: 0,
                cause: format!("no request can be made of it: {other}"),
            },
        }
    }
}

/// An error with all its causes; reqwest's own words leave out what matters.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}
