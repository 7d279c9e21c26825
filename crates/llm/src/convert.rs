//! Between our calls and answers and genai's.

use atlas_api::Provider;
use atlas_domain::Usage;
use genai::chat::{
    CacheControl, ChatMessage, ChatRequest, ContentPart, MessageContent, StopReason, StreamEnd, Tool,
    ToolCall, ToolResponse,
};
use serde_json::{Value, json};

use crate::recorded::BYTES_PER_TOKEN;
use crate::{Call, Content, Message, Speaker, Stop, ToolSpec};

/// The call as genai takes it. For Anthropic the ends of what stays the same are marked for its prompt cache (of the four marks
/// that it allows): the tools, the system prompt, the end of what the last call sent, and the end of what this one sends.
/// OpenAI and most compatible servers cache every prefix unasked.
pub(crate) fn request(call: &Call, provider: Provider) -> ChatRequest {
    let marks = provider == Provider::Anthropic;
    let mut messages = Vec::with_capacity(call.messages.len() + 1);
    if !call.system.is_empty() {
        messages.push(marked(ChatMessage::system(&*call.system), marks));
    }
    let users: Vec<usize> =
        (0..call.messages.len()).filter(|index| call.messages[*index].speaker == Speaker::User).collect();
    let stable = &users[users.len().saturating_sub(2)..];
    for (index, message) in call.messages.iter().enumerate() {
        let converted = match provider {
            Provider::Anthropic => anthropic(message),
            _ => openai(message),
        };
        let last = converted.len().saturating_sub(1);
        let mark = marks && stable.contains(&index);
        messages.extend(converted.into_iter().enumerate().map(|(i, m)| marked(m, mark && i == last)));
    }
    let request = ChatRequest::new(messages);
    if call.tools.is_empty() {
        return request;
    }
    let last = call.tools.len() - 1;
    request.with_tools(call.tools.iter().enumerate().map(|(index, spec)| tool(spec, marks && index == last)))
}

fn marked(message: ChatMessage, mark: bool) -> ChatMessage {
    if mark { message.with_options(CacheControl::Ephemeral) } else { message }
}

fn tool(spec: &ToolSpec, mark: bool) -> Tool {
    let tool = Tool::new(spec.name.as_str())
        .with_description(spec.description.as_str())
        .with_schema(spec.schema.clone());
    if mark { tool.with_cache_control(CacheControl::Ephemeral) } else { tool }
}

/// Anthropic takes results of tools as the user's content, before any words, and is told which failed.
fn anthropic(message: &Message) -> Vec<ChatMessage> {
    let (results, rest): (Vec<&Content>, Vec<&Content>) =
        message.content.iter().partition(|content| matches!(content, Content::ToolResult { .. }));
    let parts: Vec<ContentPart> = results
        .into_iter()
        .chain(rest)
        .filter_map(|content| match content {
            Content::ToolResult { id, text, is_error: true } => Some(ContentPart::from_custom(
                json!({"type": "tool_result", "tool_use_id": id, "content": text, "is_error": true}),
                None,
            )),
            Content::ToolResult { id, text, .. } => {
                Some(ContentPart::ToolResponse(ToolResponse::new(id, text)))
            }
            other => part(other),
        })
        .collect();
    spoken(message.speaker, parts)
}

/// OpenAI takes each result as a message of the speaker `tool`, before the user's words.
fn openai(message: &Message) -> Vec<ChatMessage> {
    let responses: Vec<ToolResponse> = message
        .content
        .iter()
        .filter_map(|content| match content {
            Content::ToolResult { id, text, is_error: true } => {
                Some(ToolResponse::new(id, format!("Error: {text}")))
            }
            Content::ToolResult { id, text, .. } => Some(ToolResponse::new(id, text)),
            _ => None,
        })
        .collect();
    let mut messages = Vec::new();
    if !responses.is_empty() {
        messages.push(ChatMessage::from(responses));
    }
    messages.extend(spoken(message.speaker, message.content.iter().filter_map(part).collect()));
    messages
}

fn spoken(speaker: Speaker, parts: Vec<ContentPart>) -> Vec<ChatMessage> {
    if parts.is_empty() {
        return Vec::new();
    }
    let content = MessageContent::from_parts(parts);
    vec![match speaker {
        Speaker::User => ChatMessage::user(content),
        Speaker::Assistant => ChatMessage::assistant(content),
    }]
}

/// Words and tool uses; providers refuse empty words.
fn part(content: &Content) -> Option<ContentPart> {
    match content {
        Content::Text(text) => (!text.is_empty()).then(|| ContentPart::from_text(text)),
        Content::ToolUse { id, name, arguments } => Some(ContentPart::ToolCall(ToolCall {
            call_id: id.clone(),
            fn_name: name.clone(),
            fn_arguments: object(arguments),
            thought_signatures: None,
        })),
        Content::ToolResult { .. } => None,
    }
}

/// Providers take back objects only. What the model wrote instead of one is shown to it under a name that says so.
fn object(arguments: &Value) -> Value {
    if arguments.is_object() { arguments.clone() } else { json!({ "not_an_object": arguments }) }
}

/// Words and tool uses of a finished stream. `turn` makes ids unique where the server gives none.
pub(crate) fn content(end: &StreamEnd, turn: u32) -> Vec<Content> {
    let parts = end.captured_content.as_ref().map_or(&[][..], |content| content.parts().as_slice());
    let mut uses = 0;
    parts
        .iter()
        .filter_map(|part| match part {
            ContentPart::Text(text) if !text.is_empty() => Some(Content::Text(text.clone())),
            ContentPart::ToolCall(call) => {
                let given = call.call_id.as_str();
                // genai numbers the calls of servers that do not; the numbers begin again each turn.
                let numbered = given.is_empty() || given == format!("call_{uses}");
                let id = if numbered { format!("call_{turn}_{uses}") } else { given.to_owned() };
                uses += 1;
                Some(Content::ToolUse {
                    id,
                    name: call.fn_name.clone(),
                    arguments: arguments(&call.fn_arguments),
                })
            }
            _ => None,
        })
        .collect()
}

/// Arguments as the model gave them: JSON where they are, else the text. Nothing at all means none.
fn arguments(arguments: &Value) -> Value {
    match arguments {
        Value::Null => json!({}),
        Value::String(text) if text.trim().is_empty() => json!({}),
        other => other.clone(),
    }
}

/// Why the model stopped; `None` when the stream did not say, which a whole one does.
pub(crate) fn stop(end: &StreamEnd, content: &[Content]) -> Option<Stop> {
    let uses_tools = content.iter().any(|content| matches!(content, Content::ToolUse { .. }));
    Some(match end.captured_stop_reason.as_ref()? {
        StopReason::MaxTokens(_) => Stop::MaxTokens,
        StopReason::ContentFilter(_) => Stop::Refusal,
        // Some servers say `stop` after tool uses.
        _ if uses_tools => Stop::ToolUse,
        _ => Stop::EndTurn,
    })
}

/// Tokens by class. genai's prompt tokens hold the cached ones, as OpenAI counts. Servers that count nothing are counted by
/// their bytes.
pub(crate) fn usage(end: &StreamEnd, call: &Call, content: &[Content]) -> Usage {
    let tokens = |count: Option<i32>| count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    let counted = end
        .captured_usage
        .as_ref()
        .filter(|usage| usage.prompt_tokens.is_some() || usage.completion_tokens.is_some());
    let Some(counted) = counted else {
        let output: u64 = content.iter().map(|content| content.bytes() as u64).sum();
        return Usage {
            input_tokens: call.bytes().div_ceil(BYTES_PER_TOKEN),
            output_tokens: output.div_ceil(BYTES_PER_TOKEN),
            model_calls: 1,
            ..Usage::default()
        };
    };
    let details = counted.prompt_tokens_details.as_ref();
    let read = tokens(details.and_then(|details| details.cached_tokens));
    let written = tokens(details.and_then(|details| details.cache_creation_tokens));
    Usage {
        input_tokens: tokens(counted.prompt_tokens).saturating_sub(read + written),
        output_tokens: tokens(counted.completion_tokens),
        cache_read_tokens: read,
        cache_write_tokens: written,
        model_calls: 1,
        ..Usage::default()
    }
}
