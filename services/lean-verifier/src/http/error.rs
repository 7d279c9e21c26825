//! Why a request as a whole is not answered. The body is `{"detail": "…"}`, as FastAPI's is.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::clients::{Reason, Refusal};

/// What is wrong with a request.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Detail {
    /// What is wrong, and what to do.
    pub(super) detail: String,
}

/// A request that is not answered.
#[derive(Debug)]
pub(super) enum Problem {
    /// No key, or none that is known.
    Unknown,
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The body did not come in time.
    TooSlow,
    /// The body is not what it must be.
    Malformed(String),
    /// Nothing of it was taken on.
    Refused(Refusal),
    /// There is nothing there.
    NotFound,
    /// Not with this method.
    Method,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, detail) = match &self {
            Self::Unknown => (
                StatusCode::UNAUTHORIZED,
                "this verifier asks for a key: `Authorization: Bearer KEY`".to_owned(),
            ),
            Self::TooLarge(most) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is larger than {most} bytes: ask in smaller batches"),
            ),
            Self::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "the body did not come within a minute".to_owned())
            }
            Self::Malformed(why) => (StatusCode::UNPROCESSABLE_ENTITY, why.clone()),
            Self::Refused(refusal) => (
                match refusal.reason {
                    Reason::ClientOpen | Reason::ClientRate => StatusCode::TOO_MANY_REQUESTS,
                    Reason::Full | Reason::Stopping => StatusCode::SERVICE_UNAVAILABLE,
                },
                refusal.text(),
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "there is nothing here; see /docs".to_owned()),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "not with this method; see /docs".to_owned()),
        };
        let mut response = (status, Json(Detail { detail })).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Unknown => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Refused(refusal) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(refusal.retry_after()));
            }
            // What is left of the body is not read.
            Self::TooLarge(_) | Self::TooSlow => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
