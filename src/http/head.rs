//! Owns the head of a request.

/// A request without its body: nothing on the main listener reads one.
pub(super) type Head = http::Request<()>;
