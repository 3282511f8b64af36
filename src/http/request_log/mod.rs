//! Owns the record of each request, for the access log and the counters: its id, kind, client and outcome.

mod code;
mod counters;
mod record;
pub(in crate::http) mod request_id;
pub(in crate::http) mod trace_id;

pub(in crate::http) use self::code::Code;
pub use self::counters::RequestCounters;
pub(in crate::http) use self::counters::{AnswerCounts, Ending, RequestKind, Strike};
pub(in crate::http) use self::record::{
    Record, answered, cause, client, kind, outcome, request_id as id_header, write,
};
