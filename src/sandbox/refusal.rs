//! Owns the error answers of the sandbox, in LemonData's error envelope.

use axum::Json;
use axum::http::header::{ALLOW, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::json::JSON_UTF8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    MissingKey,
    UnknownKey,
    ExpiredKey,
    EmptyBalance,
    ForbiddenTask,
    RateLimited {
        retry_after_secs: u64,
    },
    TaskNotFound,
    NoSuchFile,
    NoSuchPath,
    WrongMethod {
        allow: &'static str,
    },
    /// An invalid body of a create; `param` names the field at fault, if it is one field.
    Invalid {
        param: Option<&'static str>,
        message: String,
    },
    TooLarge {
        limit_bytes: usize,
    },
    CancelUnsupported,
    NotCancellable,
}

#[derive(Serialize)]
struct Envelope {
    error: Face,
}

#[derive(Serialize)]
struct Face {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl Face {
    fn new(kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, kind, code, param: None, hint: None, retryable: None, retry_after: None }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

const INVALID: &str = "invalid_request_error";
const KEY_HINT: &str =
    "Send `Authorization: Bearer KEY` with the sandbox's --api-key (by default sk-sandbox).";
const PATH_HINT: &str =
    "Create with POST /v1/{videos,images,music,3d}/generations, read with GET /v1/tasks/{id}.";

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::MissingKey | Self::UnknownKey | Self::ExpiredKey => StatusCode::UNAUTHORIZED,
            Self::EmptyBalance => StatusCode::PAYMENT_REQUIRED,
            Self::ForbiddenTask => StatusCode::FORBIDDEN,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TaskNotFound | Self::NoSuchFile | Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid { .. } | Self::CancelUnsupported => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotCancellable => StatusCode::CONFLICT,
        }
    }

    fn face(self) -> Face {
        match self {
            Self::MissingKey => {
                Face::new("invalid_api_key", "invalid_api_key", "No API key provided").hint(KEY_HINT)
            }
            Self::UnknownKey => {
                Face::new("invalid_api_key", "invalid_api_key", "Invalid API key provided").hint(KEY_HINT)
            }
            Self::ExpiredKey => {
                Face::new("expired_api_key", "expired_api_key", "This API key has expired or was revoked.")
            }
            Self::EmptyBalance => {
                Face::new("insufficient_balance", "insufficient_balance", "The account's balance is too low.")
            }
            Self::ForbiddenTask => {
                Face::new("access_denied", "access_denied", "This API key may not access this task.")
            }
            Self::RateLimited { retry_after_secs } => Face {
                retryable: Some(true),
                retry_after: Some(retry_after_secs),
                ..Face::new(
                    "rate_limit_exceeded",
                    "rate_limit_exceeded",
                    "Rate limit exceeded. Please retry later.",
                )
            },
            Self::TaskNotFound => {
                Face::new(INVALID, "async_task_not_found", "Task not found or no longer available.")
            }
            Self::NoSuchFile => Face::new(INVALID, "not_found", "There is no such file.")
                .hint("The sandbox serves images and films: /files/TASK_ID.svg, /files/TASK_ID.mp4, and of finished videos /v1/videos/TASK_ID/content."),
            Self::NoSuchPath => {
                Face::new(INVALID, "not_found", "There is nothing at this path.").hint(PATH_HINT)
            }
            Self::WrongMethod { allow } => {
                Face::new(INVALID, "method_not_allowed", format!("This path only takes {allow}."))
            }
            Self::Invalid { param, message } => {
                Face { param, ..Face::new(INVALID, "invalid_request", message) }
            }
            Self::TooLarge { limit_bytes } => {
                Face::new(INVALID, "payload_too_large", format!("The body is over {limit_bytes} bytes."))
            }
            Self::CancelUnsupported => {
                Face::new(INVALID, "unsupported_task_cancel", "Only video tasks can be cancelled.")
            }
            Self::NotCancellable => {
                Face::new(INVALID, "task_not_cancellable", "Only a pending task can be cancelled.")
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut extra = HeaderMap::new();
        if let Self::RateLimited { retry_after_secs } = &self {
            extra.insert(RETRY_AFTER, (*retry_after_secs).into());
        }
        if let Self::WrongMethod { allow } = &self {
            extra.insert(ALLOW, HeaderValue::from_static(allow));
        }
        (self.status(), extra, JSON_UTF8, Json(Envelope { error: self.face() })).into_response()
    }
}
