//! Attributes of the `chat` span: OpenTelemetry's GenAI conventions (open-telemetry/semantic-conventions-genai, status
//! Development). They are ours to pin, because the crate of conventions lags and deprecates them.

/// What is done: always `chat`.
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
/// Who answers: `anthropic`, `openai`, `recorded`.
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
/// The role that asks.
pub const AGENT_NAME: &str = "gen_ai.agent.name";
/// The attempt: `<target>.<role>.<number>`.
pub const CONVERSATION_ID: &str = "gen_ai.conversation.id";
/// The provider's name of the model that was asked.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The longest answer, in tokens.
pub const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
/// The provider's name of the model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// Why the model stopped.
pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// Input tokens, cached ones among them.
pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Output tokens.
pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Of the input tokens, those read from the prompt cache.
pub const USAGE_CACHE_READ_INPUT_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
/// Of the input tokens, those written to the prompt cache.
pub const USAGE_CACHE_CREATION_INPUT_TOKENS: &str = "gen_ai.usage.cache_creation.input_tokens";
/// [`crate::ModelError::kind`] of a call that failed.
pub const ERROR_TYPE: &str = "error.type";
/// Host of the API.
pub const SERVER_ADDRESS: &str = "server.address";
/// How often the call was tried again.
pub const RETRIES: &str = "http.request.resend_count";
/// The turn in the attempt; Atlas' own.
pub const TURN: &str = "atlas.turn";
/// Cost in millionths of a US dollar; Atlas' own.
pub const COST: &str = "atlas.cost_microdollars";
