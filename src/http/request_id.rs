//! Owns the name of a request: `X-Request-Id`, kept if the client's is sane.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::Gateway;
use super::note::{self, Note};
use super::seal::seal;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The layer.
pub(super) async fn carry(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).filter(|id| is_sane(id)).cloned().unwrap_or_else(new_id);
    let logged = gateway.0.log_access.then(|| (request.method().clone(), request.uri().clone()));
    let way = async move {
        let mut response = next.run(request).await;
        note::answered(response.status());
        if let Some((method, uri)) = logged {
            note::log(&method, uri.path(), response.status());
        }
        seal(&mut response);
        if let Some(id) = note::take_request_id() {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    };
    Note::new(gateway, id).beside(way).await
}

/// Short, and of characters that no log or header can misread.
fn is_sane(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (1..=64).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn new_id() -> HeaderValue {
    let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_ids_are_kept() {
        for id in ["a", "0af7651916cd43dd8448eb211c80319c", "web-1.2_3"] {
            assert!(is_sane(&HeaderValue::from_static(id)), "{id}");
        }
        for id in ["", "a b", "a\"b", "<script>", "a;b"] {
            assert!(!is_sane(&HeaderValue::from_static(id)), "{id}");
        }
        assert!(!is_sane(&HeaderValue::from_str(&"a".repeat(65)).unwrap()));
        assert!(is_sane(&new_id()));
        assert_ne!(new_id(), new_id());
    }
}
