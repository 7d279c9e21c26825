//! What a provider's refusal means.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::ModelError;

/// The most of a provider's words that a message quotes.
const QUOTED: usize = 400;

/// The error that an HTTP status stands for. `model` is the name in the AtlasRun.
pub(crate) fn of_status(
    model: &str,
    provider_model: &str,
    url: &str,
    source_of_key: &str,
    status: u16,
    retry_after: Option<Duration>,
    cause: String,
) -> ModelError {
    let model = model.to_owned();
    let words = cause.to_lowercase();
    if status == 402 || words.contains("insufficient_quota") || words.contains("credit balance is too low") {
        return ModelError::Unpaid { model, cause };
    }
    match status {
        401 | 403 => ModelError::Auth { model, source_of_key: source_of_key.to_owned(), cause },
        404 => ModelError::NotFound {
            model,
            provider_model: provider_model.to_owned(),
            url: url.to_owned(),
            cause,
        },
        429 => ModelError::RateLimited { model, retry_after, cause },
        408 | 409 | 500..=599 => ModelError::Overloaded { model, status, retry_after, cause },
        300..=399 => ModelError::BadRequest {
            model,
            status,
            cause: format!(
                "it redirects, and keys are not sent after redirects; set `baseUrl` to where it leads ({cause})"
            ),
        },
        _ => ModelError::BadRequest { model, status, cause },
    }
}

/// The status that an error inside a stream stands for, by its `type`.
pub(crate) fn status_of_type(body: &Value) -> u16 {
    let error = body.get("error").unwrap_or(body);
    let kind = |field| error.get(field).and_then(Value::as_str).unwrap_or_default();
    match (kind("type"), kind("code")) {
        ("authentication_error", _) | (_, "invalid_api_key") => 401,
        ("permission_error", _) => 403,
        ("not_found_error", _) | (_, "model_not_found") => 404,
        ("rate_limit_error" | "rate_limit_exceeded", _) | (_, "rate_limit_exceeded") => 429,
        ("request_too_large", _) => 413,
        ("invalid_request_error", _) => 400,
        ("overloaded_error", _) => 529,
        _ => 500,
    }
}

/// The provider's own words in `body`: `error.message` and `error.code`, else the body's beginning.
pub(crate) fn words(body: &str) -> String {
    let parsed = serde_json::from_str::<Value>(body).ok();
    let error = parsed.as_ref().map(|body| body.get("error").unwrap_or(body));
    let field = |name: &str| error.and_then(|e| e.get(name)).and_then(Value::as_str);
    let text = match (field("message"), field("code").or_else(|| field("type"))) {
        (Some(message), Some(code)) => format!("{message} ({code})"),
        (Some(message), None) => message.to_owned(),
        (None, _) => body.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    let text = if text.is_empty() { "without a word".to_owned() } else { text };
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// How long the provider asks to wait: `retry-after-ms` (OpenAI), or `retry-after` as seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(milliseconds) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let value = text(RETRY_AFTER.as_str())?;
    match value.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => httpdate::parse_http_date(value)
            .ok()
            .map(|date| date.duration_since(SystemTime::now()).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        assert_eq!(retry_after(&headers("retry-after", "7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("retry-after-ms", "250")), Some(Duration::from_millis(250)));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
        let wait = retry_after(&headers("retry-after", &soon)).unwrap();
        assert!((58..=60).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(
            retry_after(&headers("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after(&headers("retry-after", "-3")), None);
    }

    #[test]
    fn an_account_without_credit_is_told_from_a_rate_limit() {
        let body = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        let error = of_status("m", "gpt", "u", "k", 429, None, words(body));
        assert!(matches!(error, ModelError::Unpaid { .. }) && !error.is_transient(), "{error}");
    }
}
