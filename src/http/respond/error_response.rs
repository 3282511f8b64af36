//! Owns the wire form of an error.
//!
//! The envelope is LemonData's, so that clients need only one parser: `{"error":{"message","type","code",
//! "retryable","retry_after"?}}`, with `type` always `gateway_error`.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Error;
use super::error_text;

/// The JSON body of an error.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Envelope<'a> {
    error: Details<'a>,
}

/// The details of an error.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Details<'a> {
    /// The fault and its cure, for people.
    message: &'a str,
    /// `gateway_error`: the upstream's own errors have other types.
    r#type: &'static str,
    /// The fault, for programs.
    code: &'static str,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// Seconds until a retry is worth it.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl Error {
    /// The envelope's bytes.
    pub(in crate::http) fn envelope(&self) -> Vec<u8> {
        let retry_after = self.retry_after();
        let envelope = Envelope {
            error: Details {
                message: &error_text::of(self),
                r#type: "gateway_error",
                code: self.code().word(),
                retryable: retry_after.is_some(),
                retry_after,
            },
        };
        // A struct of strings and numbers always serializes.
        serde_json::to_vec(&envelope).unwrap_or_default()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let retry_after = self.retry_after();
        let body = self.envelope();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        match self {
            Self::MethodNotAllowed { allowed, .. } => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            // RFC 6750, 3.1.
            Self::InvalidCredentials(_) => {
                let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::MissingCredentials => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // The body was not read, so the next bytes of this connection may belong to it.
            Self::BodyNotAllowed => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Path(_)
            | Self::InvalidParameter(_)
            | Self::HostUnclear
            | Self::HostNotAllowed(_)
            | Self::OriginNotAllowed(_)
            | Self::ForeignPage
            | Self::DashboardClosed
            | Self::TicketNotForTask
            | Self::MayNotCancel
            | Self::ClientRateLimited { .. }
            | Self::NotPassedOn
            | Self::Refused(_)
            | Self::NotCancelled(_) => {}
        }
        response
    }
}
