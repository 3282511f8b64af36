//! Owns the metrics: name, type, labels and help text of each. The doc comment of a metric is its help text.

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

        /// All metrics, in the order of the page.
        pub static ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    /// Requests on the main listener that have ended, by kind and by outcome: a word of Cache-Status, `stale`
    /// for a state that stood in, the result of a stream or list, or an error code.
    REQUESTS: Counter "taskgate_requests_total" ["route", "outcome"];
    /// Age of the states handed out, as responses, list items or events. Its count is the number of all
    /// answers.
    ANSWER_AGE: Histogram "taskgate_answer_age_seconds" [];
    /// Answers that cost no upstream request of their own: all but the first of each fetched state.
    SAVED: Counter "taskgate_upstream_requests_saved_total" [];
    /// Requests sent to the upstream, by purpose (`retry`: second attempt after a dead connection) and by
    /// result: a status code, `unreachable`, `timeout` or `other`.
    UPSTREAM_REQUESTS: Counter "taskgate_upstream_requests_total" ["kind", "code"];
    /// Duration of requests to the upstream, failures and timeouts included.
    UPSTREAM_LATENCY: Histogram "taskgate_upstream_request_duration_seconds" [];
    /// Whether the answers of the upstream can be used: 0 from the first that cannot after a start, later from the
    /// third task in a row.
    USABLE: Gauge "taskgate_upstream_usable" [];
    /// Requests to the upstream that are under way.
    IN_FLIGHT: Gauge "taskgate_upstream_requests_in_flight" [];
    /// Refreshes that the upstream answered with 429.
    RATE_LIMITED: Counter "taskgate_upstream_rate_limited_total" [];
    /// Refreshes answered with 429 for which no client got an error: a stored state stood in, or no client
    /// waited.
    ABSORBED: Counter "taskgate_upstream_rate_limited_absorbed_total" [];
    /// Requests that the budget would let out at once.
    BUDGET_TOKENS: Gauge "taskgate_budget_tokens" [];
    /// Rate of the budget now, in requests a second: after 429s, and while the upstream says that little is left, it is
    /// below the configured rate.
    BUDGET_EFFECTIVE: Gauge "taskgate_budget_effective_requests_per_second" [];
    /// Rate of the budget by the settings, in requests a second: `budget.share` of
    /// `budget.requests_per_minute`.
    BUDGET_CONFIGURED: Gauge "taskgate_budget_configured_requests_per_second" [];
    /// State of the gate to the upstream and the reason for it: 1 for the present pair, 0 for all others.
    GATE: Gauge "taskgate_gate" ["state", "reason"];
    /// Time from the terminal answer of the upstream until the last client that waited for it had it.
    LAST_WATCHER: Histogram "taskgate_last_watcher_seconds" [];
    /// Open event streams.
    STREAMS: Gauge "taskgate_streams_open" [];
    /// Downloads under way.
    DOWNLOADS: Gauge "taskgate_downloads_open" [];
    /// Downloads that have ended: `complete`, `broken` off by the upstream or a limit, `left` by the client, or one that
    /// `gave_way` to a client with fewer.
    DOWNLOADS_ENDED: Counter "taskgate_downloads_total" ["end"];
    /// Bytes of contents passed on.
    DOWNLOADED: Counter "taskgate_downloaded_bytes_total" [];
    /// Long-polls, and tasks of streams, that wait for a change.
    WATCHERS: Gauge "taskgate_watchers" [];
    /// Tasks that a client is interested in, or that are in flight.
    INTEREST: Gauge "taskgate_tasks_wanted" [];
    /// Interest of clients in tasks that outlasts their last request for a while.
    LINGERING: Gauge "taskgate_interest_lingering" [];
    /// Tasks that are to be fetched: `waiting` until they are due, or `due` and held up by the budget or the
    /// gate.
    QUEUE: Gauge "taskgate_queue_tasks" ["state"];
    /// Ends of tasks that the learnt durations let expect in the looks that were made.
    PACING_EXPECTED: Counter "taskgate_pacing_ends_expected_total" ["path"];
    /// Ends of tasks that these looks found; far from the expected ones, the durations have changed lately.
    PACING_FOUND: Counter "taskgate_pacing_ends_found_total" ["path"];
    /// Time from the ends of tasks to the looks that found them, as estimated; divided by the ends found, the mean delay.
    PACING_DELAY: Counter "taskgate_pacing_delay_seconds_total" ["path"];
    /// Price of a request at the last look: the undetected delay for which one was worth it.
    PACING_PRICE: Gauge "taskgate_pacing_price_seconds" ["path"];
    /// Longest recent time between two looks at a task, divided by the mean interval that the budget allows its client.
    PACING_GAP: Gauge "taskgate_pacing_longest_gap_ratio" ["path"];
    /// Looks, by the clock that planned them: the `age` of the task, the time of its `run`, or its `progress`.
    PACING_PLANS: Counter "taskgate_pacing_plans_total" ["path", "clock"];
    /// States in memory: of `known` tasks and of `missing` ones.
    STORE_ENTRIES: Gauge "taskgate_store_entries" ["store"];
    /// Size of the states in memory, as `cache.max_bytes` counts it.
    STORE_BYTES: Gauge "taskgate_store_bytes" ["store"];
    /// Largest size of the states in memory.
    STORE_LIMIT: Gauge "taskgate_store_limit_bytes" ["store"];
    /// States evicted to make room for others.
    STORE_EVICTIONS: Counter "taskgate_store_evictions_total" ["store"];
    /// Whether the tier that replicas share answers: 0 while this process is alone. No series without
    /// `shared.redis_url`.
    SHARED_UP: Gauge "taskgate_shared_up" [];
    /// Replicas that share the budget and the states; 0 while this process is alone.
    SHARED_REPLICAS: Gauge "taskgate_shared_replicas" [];
    /// Calls to Redis, by script and outcome: `ok`, `error` or `timeout`. Those that are not made while this process is
    /// alone are not counted.
    SHARED_CALLS: Counter "taskgate_shared_calls_total" ["call", "outcome"];
    /// Duration of calls to Redis, failures and timeouts included.
    SHARED_LATENCY: Histogram "taskgate_shared_call_duration_seconds" [];
    /// States that came from other replicas.
    SHARED_TAKEN: Counter "taskgate_shared_states_taken_total" [];
    /// States in Redis that nobody with the API key has written, and that were not believed.
    SHARED_UNVERIFIED: Counter "taskgate_shared_states_unverified_total" [];
    /// Open connections.
    CONNECTIONS: Gauge "taskgate_connections_open" ["listener"];
    /// Largest number of open connections; further ones wait to be accepted.
    CONNECTIONS_LIMIT: Gauge "taskgate_connections_limit" ["listener"];
    /// Accepted connections.
    ACCEPTED: Counter "taskgate_connections_accepted_total" ["listener"];
    /// Connections that could not be accepted.
    NOT_ACCEPTED: Counter "taskgate_connections_failed_total" ["listener"];
    /// Refusals of clients by a limit of the settings.
    LIMITS_HIT: Counter "taskgate_limits_hit_total" ["limit"];
    /// Lines that the log lost: its queue was `full`, as its reader is slow or stuck, or the write `failed`, as its
    /// reader is gone or the disk is full.
    LOG_LINES_LOST: Counter "taskgate_log_lines_lost_total" ["reason"];
    /// 1; the label holds the version of the program.
    BUILD: Gauge "taskgate_build_info" ["version"];
    /// Start of the process, in Unix time.
    START_TIME: Gauge "process_start_time_seconds" [];
    /// Resident memory of the process (Linux only).
    RESIDENT: Gauge "process_resident_memory_bytes" [];
    /// Open files and sockets of the process (Linux only).
    OPEN_FDS: Gauge "process_open_fds" [];
}
