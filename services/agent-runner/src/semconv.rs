//! Attribute names of OpenTelemetry's conventions for generative AI, as of its repository
//! `semantic-conventions-genai` in 2026; the Rust crate marks its own constants deprecated.

/// `invoke_agent` or `execute_tool`.
pub const OPERATION: &str = "gen_ai.operation.name";
/// The role.
pub const AGENT: &str = "gen_ai.agent.name";
/// The attempt.
pub const AGENT_ID: &str = "gen_ai.agent.id";
/// The tool's name.
pub const TOOL: &str = "gen_ai.tool.name";
/// The provider's id of the tool call.
pub const TOOL_CALL: &str = "gen_ai.tool.call.id";
