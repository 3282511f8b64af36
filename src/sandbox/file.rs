//! Owns the sandbox's files, and the answers with them: whole, in part, or "not changed" (RFC 9110, 13 and 14).

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::film;
use super::picture;
use crate::core::{hex, sha256};

/// A file.
pub(super) struct File {
    content_type: &'static str,
    bytes: Vec<u8>,
}

impl File {
    /// The file of this name, `ldtask_….svg` or `ldtask_….mp4`. The task need not exist: a signed URL outlives its task.
    pub(super) fn named(name: &str) -> Option<Self> {
        if let Some(svg) = picture::svg(name) {
            return Some(Self { content_type: "image/svg+xml", bytes: svg.into_bytes() });
        }
        name.strip_suffix(".mp4").filter(|id| id.starts_with("ldtask_")).map(Self::film)
    }

    /// The film of the task with this id.
    pub(super) fn film(id: &str) -> Self {
        let seed = sha256::hash(id.as_bytes())[0];
        Self { content_type: "video/mp4", bytes: film::mp4(seed) }
    }

    /// The answer to a request with these fields.
    pub(super) fn answer(self, asked: &HeaderMap) -> Response {
        let tag = format!("\"{}\"", &hex::encode(&sha256::hash(&self.bytes))[..16]);
        let text = |name| asked.get(name).and_then(|value| value.to_str().ok());
        let length = self.bytes.len();
        let is_current = text(header::IF_RANGE).is_none_or(|validator| validator == tag);
        let (status, range, bytes) = match text(header::RANGE)
            .filter(|_| is_current)
            .map(|range| part(range, length))
        {
            _ if text(header::IF_NONE_MATCH) == Some(&tag) => (StatusCode::NOT_MODIFIED, None, Vec::new()),
            None => (StatusCode::OK, None, self.bytes),
            Some(None) => (StatusCode::RANGE_NOT_SATISFIABLE, Some(format!("bytes */{length}")), Vec::new()),
            Some(Some((first, last))) => (
                StatusCode::PARTIAL_CONTENT,
                Some(format!("bytes {first}-{last}/{length}")),
                self.bytes[first..=last].to_vec(),
            ),
        };
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        for (name, value) in [(header::ETAG, Some(tag)), (header::CONTENT_RANGE, range)] {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// The first and the last byte of a range, of a file of this length.
fn part(range: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = length.checked_sub(1)?;
    match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last && first <= end => Some((first, last.min(end))),
        (Ok(first), Err(_)) if last.is_empty() && first <= end => Some((first, end)),
        (Err(_), Ok(count @ 1..)) if first.is_empty() => Some((length.saturating_sub(count), end)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_the_file() {
        for (range, found) in [
            ("bytes=0-", Some((0, 99))),
            ("bytes=10-19", Some((10, 19))),
            ("bytes=90-200", Some((90, 99))),
            ("bytes=-7", Some((93, 99))),
            ("bytes=-700", Some((0, 99))),
            ("bytes=100-", None),
            ("bytes=-0", None),
            ("bytes=9-8", None),
        ] {
            assert_eq!(part(range, 100), found, "{range}");
        }
    }
}
