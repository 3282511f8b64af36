//! Owns the head of a request.

/// A request without its body: the main listener reads no bodies.
pub(super) type Head = http::Request<()>;
