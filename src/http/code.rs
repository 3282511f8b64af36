//! Owns the codes of the gateway's own errors: what `error.code`, `Cache-Status` and the metrics name them.

/// Makes an enum of words: each variant is one, and all of them are listed.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name { $($variant,)* }

        impl $name {
            pub(super) const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}
pub(super) use words;

words! {
    /// What an error is called.
    Code {
        InvalidTaskId = "invalid_task_id",
        InvalidParameter = "invalid_parameter",
        BodyNotAllowed = "body_not_allowed",
        MissingCredentials = "missing_credentials",
        InvalidCredentials = "invalid_credentials",
        HostNotAllowed = "host_not_allowed",
        OriginNotAllowed = "origin_not_allowed",
        DashboardClosed = "dashboard_closed",
        TicketNotForTask = "ticket_not_for_task",
        UnknownRoute = "unknown_route",
        MethodNotAllowed = "method_not_allowed",
        ClientRateLimited = "client_rate_limited",
        BudgetExhausted = "budget_exhausted",
        Overloaded = "overloaded",
        ShuttingDown = "shutting_down",
        UpstreamKeyRejected = "upstream_key_rejected",
        UpstreamQuotaExhausted = "upstream_quota_exhausted",
        UpstreamRateLimited = "upstream_rate_limited",
        UpstreamInvalidResponse = "upstream_invalid_response",
        UpstreamError = "upstream_error",
        UpstreamUnreachable = "upstream_unreachable",
        UpstreamTimeout = "upstream_timeout",
    }
}
