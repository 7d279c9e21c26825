//! The models of a run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atlas_api::Provider;
use atlas_domain::Usage;
use backon::{ExponentialBuilder, Retryable};
use serde_json::json;
use tracing::Instrument;
use tracing::field::Empty;

use crate::journal::Appended;
use crate::limit::Limiter;
use crate::recorded::{BYTES_PER_TOKEN, Recorded};
use crate::remote::{self, Remote};
use crate::scripted::{self, Script};
use crate::{Answer, Call, Error, ModelError, ModelOptions, Recorder, Recording, semconv};

/// The first pause before a call is tried again; it doubles each time and up to as much again is added at random.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause of our own.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that a provider may ask for; a call that must wait longer fails, and the attempt can be made again.
const LONGEST_SILENCE: Duration = Duration::from_secs(900);

/// The models of a run by their names in the AtlasRun. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Models(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    models: BTreeMap<String, Model>,
    recorder: Option<Recorder>,
}

#[derive(Debug)]
struct Model {
    options: ModelOptions,
    price: atlas_domain::Price,
    backend: Backend,
    limiter: Limiter,
    call_log: Option<Appended>,
}

#[derive(Debug)]
enum Backend {
    Remote(Box<Remote>),
    Recorded(Recorded),
    Scripted(Arc<dyn Script>),
}

impl Models {
    /// Sets the models up: reads keys and recordings, opens call logs. With a recorder, every answer is recorded.
    ///
    /// # Errors
    /// The first thing that is missing or wrong; `AtlasRun::load` and `Loaded::check_keys` find most of them earlier and all at once.
    pub fn new(models: Vec<ModelOptions>, recorder: Option<Recorder>) -> Result<Self, Error> {
        let mut client = None;
        let mut recordings: BTreeMap<PathBuf, Arc<Recording>> = BTreeMap::new();
        let mut by_name = BTreeMap::new();
        for options in models {
            let backend = if options.provider == Provider::Recorded {
                let path =
                    options.recording.clone().ok_or_else(|| Error::NoRecording(options.name.clone()))?;
                let recording = match recordings.get(&path) {
                    Some(recording) => Arc::clone(recording),
                    None => Arc::new(Recording::load(&path)?),
                };
                recordings.insert(path, Arc::clone(&recording));
                Backend::Recorded(Recorded::new(&options.name, recording))
            } else {
                let client = match &client {
                    Some(client) => client,
                    None => client.insert(remote::client()?),
                };
                Backend::Remote(Box::new(Remote::new(options.clone(), client.clone())?))
            };
            let name = options.name.clone();
            let model = Model {
                price: options.price.into(),
                backend,
                limiter: Limiter::new(&options.limits),
                call_log: options.call_log.as_deref().map(Appended::open).transpose()?,
                options,
            };
            if by_name.insert(name.clone(), model).is_some() {
                return Err(Error::DuplicateModel(name));
            }
        }
        Ok(Self(Arc::new(Inner { models: by_name, recorder })))
    }

    /// One model, with the name, limits and price of `options`, that `script` plays.
    pub fn scripted(options: ModelOptions, script: Arc<dyn Script>) -> Self {
        let model = Model {
            price: options.price.into(),
            backend: Backend::Scripted(script),
            limiter: Limiter::new(&options.limits),
            call_log: None,
            options,
        };
        let models = BTreeMap::from([(model.options.name.clone(), model)]);
        Self(Arc::new(Inner { models, recorder: None }))
    }

    /// The most that `call` can use: its text at 4 bytes a token, none of it cached, and the longest answer. What is reserved
    /// before the call.
    ///
    /// # Errors
    /// [`ModelError::UnknownModel`].
    pub fn estimate(&self, call: &Call) -> Result<Usage, ModelError> {
        Ok(self.model(&call.model)?.estimate(call))
    }

    /// Tokens that fit into one call of `model`, input and output together. A model that the run does not have has room for
    /// everything: the call will say what is wrong.
    pub fn context_window(&self, model: &str) -> u64 {
        self.0.models.get(model).map_or(u64::MAX, |model| model.options.context_window)
    }

    /// The recordings that models play back, for people's replies in them.
    pub fn recordings(&self) -> Vec<Arc<Recording>> {
        let mut recordings: Vec<Arc<Recording>> = Vec::new();
        for model in self.0.models.values() {
            if let Backend::Recorded(recorded) = &model.backend
                && !recordings.iter().any(|known| Arc::ptr_eq(known, recorded.recording()))
            {
                recordings.push(Arc::clone(recorded.recording()));
            }
        }
        recordings
    }

    /// Asks a model. Waits for its limits; tries again what may pass, as often as `limits.retries` says, after pauses that grow
    /// and that honour the provider's `retry-after`; gives usage and cost with the answer.
    ///
    /// Dropping the future gives the call up.
    ///
    /// # Errors
    /// Why there is no answer; see [`ModelError`]. What is transient has been tried again.
    pub async fn call(&self, call: &Call) -> Result<Answer, ModelError> {
        let model = self.model(&call.model)?;
        let span = model.span(call);
        let result = self.answer(model, call).instrument(span.clone()).await;
        match &result {
            Ok(answer) => {
                let usage = &answer.usage;
                let input = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
                span.record(semconv::RESPONSE_MODEL, answer.model.as_str());
                span.record(semconv::RESPONSE_FINISH_REASONS, answer.stop.as_str());
                span.record(semconv::USAGE_INPUT_TOKENS, input);
                span.record(semconv::USAGE_OUTPUT_TOKENS, usage.output_tokens);
                span.record(semconv::USAGE_CACHE_READ_INPUT_TOKENS, usage.cache_read_tokens);
                span.record(semconv::USAGE_CACHE_CREATION_INPUT_TOKENS, usage.cache_write_tokens);
                span.record(semconv::COST, usage.cost_microdollars);
            }
            Err(error) => {
                span.record(semconv::ERROR_TYPE, error.kind());
            }
        }
        result
    }

    fn model(&self, name: &str) -> Result<&Model, ModelError> {
        self.0.models.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.0.models.keys().map(String::as_str).collect();
            ModelError::UnknownModel { model: name.to_owned(), known: known.join(", ") }
        })
    }

    async fn answer(&self, model: &Model, call: &Call) -> Result<Answer, ModelError> {
        let mut retries = 0_u64;
        let schedule = ExponentialBuilder::new()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(model.options.limits.retries as usize)
            .with_jitter();
        let mut answer = (|| model.ask(call))
            .retry(schedule)
            .when(ModelError::is_transient)
            .adjust(|error: &ModelError, pause| match error.retry_after() {
                Some(asked) if asked > LONGEST_SILENCE => None,
                // The jitter stays on top, or all who were told to wait would come back at one moment.
                Some(asked) => pause.map(|pause| asked + pause / 4),
                None => pause,
            })
            .notify(|error, pause| {
                retries += 1;
                if error.retry_after().is_some() {
                    model.limiter.silence(pause);
                }
                tracing::warn!(call = %call.key, %error, ?pause, "the model did not answer; trying again");
            })
            .await?;
        tracing::Span::current().record(semconv::RETRIES, retries);
        answer.usage.cost_microdollars = model.price.cost(&answer.usage);
        if let Some(recorder) = &self.0.recorder {
            recorder.answer(&call.key, &answer).await?;
        }
        if let Some(log) = &model.call_log {
            let key = &call.key;
            let line = json!({"model": call.model, "role": key.role, "target": key.target, "attempt": key.attempt, "turn": key.turn});
            log.append(format!("{line}\n")).await.map_err(|cause| ModelError::Record {
                key: key.clone(),
                file: log.path().display().to_string(),
                cause: cause.to_string(),
            })?;
        }
        Ok(answer)
    }
}

impl Model {
    fn max_output_tokens(&self, call: &Call) -> u32 {
        match call.max_output_tokens {
            0 => self.options.max_output_tokens,
            wanted => wanted.min(self.options.max_output_tokens),
        }
    }

    fn estimate(&self, call: &Call) -> Usage {
        let input = call.bytes().div_ceil(BYTES_PER_TOKEN);
        let mut usage = Usage {
            output_tokens: u64::from(self.max_output_tokens(call)),
            model_calls: 1,
            ..Usage::default()
        };
        if self.price.cache_write > self.price.input {
            usage.cache_write_tokens = input;
        } else {
            usage.input_tokens = input;
        }
        usage.cost_microdollars = self.price.cost(&usage);
        usage
    }

    /// Asks once, within the limits.
    async fn ask(&self, call: &Call) -> Result<Answer, ModelError> {
        // Answers are rarely as long as they may be: a quarter of the longest keeps the limits without idling.
        let likely = call.bytes().div_ceil(BYTES_PER_TOKEN) + u64::from(self.max_output_tokens(call) / 4);
        let reservation = self.limiter.reserve(likely).await;
        let answer = match &self.backend {
            Backend::Remote(remote) => remote.ask(call, self.max_output_tokens(call)).await?,
            Backend::Recorded(recorded) => recorded.ask(call)?,
            Backend::Scripted(script) => scripted::ask(&**script, call).await,
        };
        // Providers do not count what was read from the cache.
        reservation.settle(answer.usage.tokens() - answer.usage.cache_read_tokens);
        if answer.content.is_empty() && answer.stop.is_whole() {
            return Err(ModelError::Nonsense {
                model: self.options.name.clone(),
                cause: "neither words nor a tool use".into(),
            });
        }
        Ok(answer)
    }

    fn span(&self, call: &Call) -> tracing::Span {
        let host = match &self.backend {
            Backend::Remote(remote) => remote.host(),
            Backend::Recorded(_) | Backend::Scripted(_) => "",
        };
        let key = &call.key;
        // A recording plays a model that needs no name of a provider's.
        let name =
            if self.options.model.is_empty() { &self.options.name } else { &self.options.model }.as_str();
        tracing::info_span!(
            "chat",
            otel.name = format!("chat {name}"),
            otel.kind = "client",
            { semconv::OPERATION_NAME } = "chat",
            { semconv::PROVIDER_NAME } = self.options.provider.as_str(),
            { semconv::AGENT_NAME } = key.role.as_str(),
            { semconv::CONVERSATION_ID } = format!("{}.{}.{}", key.target, key.role, key.attempt),
            { semconv::TURN } = key.turn,
            { semconv::REQUEST_MODEL } = name,
            { semconv::REQUEST_MAX_TOKENS } = self.max_output_tokens(call),
            { semconv::SERVER_ADDRESS } = host,
            { semconv::RESPONSE_MODEL } = Empty,
            { semconv::RESPONSE_FINISH_REASONS } = Empty,
            { semconv::USAGE_INPUT_TOKENS } = Empty,
            { semconv::USAGE_OUTPUT_TOKENS } = Empty,
            { semconv::USAGE_CACHE_READ_INPUT_TOKENS } = Empty,
            { semconv::USAGE_CACHE_CREATION_INPUT_TOKENS } = Empty,
            { semconv::COST } = Empty,
            { semconv::RETRIES } = Empty,
            { semconv::ERROR_TYPE } = Empty,
        )
    }
}
