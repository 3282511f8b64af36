//! Owns the answer of the upstream to a request for a content.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, StatusCode};
use thiserror::Error;
use tokio::time::Duration;

/// The bytes of a content, as they come. Dropping it ends the upstream's request.
pub type ContentBody = Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>;

/// What the upstream has for a content's request. It holds no API key.
pub enum Opened {
    /// The content, a part of it, or that it has not changed.
    Content(Content),
    /// It lies at another host, where the client may ask by itself, without the key.
    Elsewhere {
        /// The status code of the redirect (RFC 9110, 15.4).
        status: StatusCode,
        /// The address.
        location: HeaderValue,
    },
    /// There is none, or not yet: the upstream's words as JSON, empty for a HEAD.
    Answer {
        /// The status code, none of those that concern the key or the service.
        status: StatusCode,
        /// A content type of JSON.
        content_type: HeaderValue,
        /// The wait that it asks for.
        retry_after: Option<Duration>,
        /// The words.
        body: Bytes,
    },
}

/// A content and the fields that describe it.
pub struct Content {
    /// 200, 206, 304, 412 or 416.
    pub status: StatusCode,
    /// The fields that are passed on: type, length, range, validators and disposition.
    pub fields: HeaderMap,
    /// The bytes. A 304, a 412, a 416 and the answer to a HEAD have none.
    pub body: Option<ContentBody>,
}

/// The reason why a content ends before its last byte. The client is told by the cut connection: its length is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Broken {
    /// The upstream cut the connection.
    #[error("the upstream broke off")]
    Cut,
    /// The upstream sent nothing for `content.stall_timeout`.
    #[error("the upstream sent nothing for content.stall_timeout")]
    Stalled,
    /// More came than `content.max_length`.
    #[error("the content is longer than content.max_length")]
    TooLong,
    /// The download took longer than `polling.max_stream`.
    #[error("the download took longer than polling.max_stream")]
    Overdue,
}
