//! Owns the name of a request: `X-Request-Id`, kept if the client's is sane.

use http::{HeaderName, HeaderValue};

use super::Head;
use crate::core::hex;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's name of the request, if it is sane, else a new one.
pub(super) fn of(request: &Head) -> HeaderValue {
    request.headers().get(&REQUEST_ID).filter(|id| is_sane(id)).cloned().unwrap_or_else(new_id)
}

/// Short, and of characters that no log or header can misread.
fn is_sane(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (1..=64).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn new_id() -> HeaderValue {
    let mut id = [0; 32];
    hex::write(fastrand::u128(..).to_le_bytes(), &mut id);
    HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("unknown"))
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
