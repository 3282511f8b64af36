//! Owns contents: the bytes of results that need the API key. They pass through and are never kept.
//!
//! - [`request`]: the parts of a client's request that go upstream, each parsed and written anew.
//! - [`opened`]: the answer of the upstream.
//! - [`downloads`]: the places of those who read one, and who gives way when they are short.

mod downloads;
mod opened;
mod request;

pub use self::downloads::{Download, Downloads, NoPlace};
pub use self::opened::{Broken, Content, ContentBody, Opened};
pub use self::request::ContentRequest;
