//! Owns which metrics there are: their names, and what each tells. A doc comment here is the help text there.

use super::exposition::{Kind, Metric};

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $constant:ident: $kind:ident $name:literal [$($label:literal),*];)*) => {
        $(
            $(#[doc = $help])+
            pub static $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: concat!($($help),+),
            };
        )*

        /// All of them, in the order of the page.
        pub static ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    /// Requests on the main listener that came to an end, by what they asked for and what became of them: a word
    /// of Cache-Status, `stale` for a stand-in, what a stream or list did, or an error code.
    REQUESTS: Counter "taskgate_requests_total" ["route", "outcome"];
    /// How old states were when they were handed out, as responses, list items or events. Its count is that of
    /// all answers.
    ANSWER_AGE: Histogram "taskgate_answer_age_seconds" [];
    /// Answers that cost no upstream request of their own: all but the first of each state fetched.
    SAVED: Counter "taskgate_upstream_requests_saved_total" [];
    /// Requests sent upstream, by purpose (`retry`: second attempt after a dead connection) and by status code,
    /// `unreachable`, `timeout` or `other`.
    UPSTREAM_REQUESTS: Counter "taskgate_upstream_requests_total" ["kind", "code"];
    /// How long requests to the upstream took, failures and time-outs included.
    UPSTREAM_LATENCY: Histogram "taskgate_upstream_request_duration_seconds" [];
    /// Requests to the upstream that are under way.
    IN_FLIGHT: Gauge "taskgate_upstream_requests_in_flight" [];
    /// Refreshes that the upstream answered with 429.
    RATE_LIMITED: Counter "taskgate_upstream_rate_limited_total" [];
    /// Those of them that no client was given as an error: a state stood in, or nobody waited.
    ABSORBED: Counter "taskgate_upstream_rate_limited_absorbed_total" [];
    /// Requests that the budget lets out at once.
    BUDGET_TOKENS: Gauge "taskgate_budget_tokens" [];
    /// Requests a second that the budget lets out: less than configured after 429s.
    BUDGET_EFFECTIVE: Gauge "taskgate_budget_effective_requests_per_second" [];
    /// Requests a second that the settings allow, share included.
    BUDGET_CONFIGURED: Gauge "taskgate_budget_configured_requests_per_second" [];
    /// How the gate to the upstream stands and what closed it: 1 for what is so, 0 for the rest.
    GATE: Gauge "taskgate_gate" ["state", "reason"];
    /// From the end of a task, as the upstream told it, until the last client that waited for it had it.
    LAST_WATCHER: Histogram "taskgate_last_watcher_seconds" [];
    /// Event streams that are open.
    STREAMS: Gauge "taskgate_streams_open" [];
    /// Long-polls, and tasks of streams, that wait for news.
    WATCHERS: Gauge "taskgate_watchers" [];
    /// Tasks that somebody is interested in, or that are in flight.
    INTEREST: Gauge "taskgate_tasks_wanted" [];
    /// Clients' interest in tasks that outlasts their last request for a while.
    LINGERING: Gauge "taskgate_interest_lingering" [];
    /// Tasks that are to be asked about: `waiting` until they are due, or `due` and held up by budget or gate.
    QUEUE: Gauge "taskgate_queue_tasks" ["state"];
    /// States held in memory: `known` tasks and `missing` ones.
    STORE_ENTRIES: Gauge "taskgate_store_entries" ["store"];
    /// What they weigh, as `cache.max_bytes` counts it.
    STORE_BYTES: Gauge "taskgate_store_bytes" ["store"];
    /// What they may weigh.
    STORE_LIMIT: Gauge "taskgate_store_limit_bytes" ["store"];
    /// States that had to make room for others.
    STORE_EVICTIONS: Counter "taskgate_store_evictions_total" ["store"];
    /// Connections that are open.
    CONNECTIONS: Gauge "taskgate_connections_open" ["listener"];
    /// Connections that may be open at once; further ones wait to be accepted.
    CONNECTIONS_LIMIT: Gauge "taskgate_connections_limit" ["listener"];
    /// Connections accepted.
    ACCEPTED: Counter "taskgate_connections_accepted_total" ["listener"];
    /// Connections that could not be accepted.
    NOT_ACCEPTED: Counter "taskgate_connections_failed_total" ["listener"];
    /// How often a limit of the settings turned a client away.
    LIMITS_HIT: Counter "taskgate_limits_hit_total" ["limit"];
    /// 1; the label says which version runs.
    BUILD: Gauge "taskgate_build_info" ["version"];
    /// When the process started, in Unix time.
    START_TIME: Gauge "process_start_time_seconds" [];
    /// Memory that the process holds (Linux only).
    RESIDENT: Gauge "process_resident_memory_bytes" [];
    /// Files and sockets that the process holds open (Linux only).
    OPEN_FDS: Gauge "process_open_fds" [];
}
