//! Owns the codes of the gateway's own errors, as they appear in `error.code`, `Cache-Status` and the
//! metrics.

use crate::core::answer::Reason;
use crate::core::failure::Failure;

/// Defines an enum whose variants each have a word, with a list of all variants.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::http) enum $name { $($variant,)* }

        impl $name {
            pub(in crate::http) const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(in crate::http) fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}
pub(in crate::http) use words;

words! {
    /// The code of an error.
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
        UpstreamRefused = "upstream_refused",
        UpstreamError = "upstream_error",
        UpstreamUnreachable = "upstream_unreachable",
        UpstreamTimeout = "upstream_timeout",
    }
}

impl From<Reason> for Code {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Budget => Self::BudgetExhausted,
            Reason::Overloaded => Self::Overloaded,
            Reason::ShuttingDown => Self::ShuttingDown,
            Reason::Upstream(failure) => match failure {
                Failure::KeyRejected => Self::UpstreamKeyRejected,
                Failure::QuotaExhausted => Self::UpstreamQuotaExhausted,
                Failure::RateLimited { .. } => Self::UpstreamRateLimited,
                Failure::InvalidResponse { .. } => Self::UpstreamInvalidResponse,
                Failure::Refused { .. } => Self::UpstreamRefused,
                Failure::ServerError { .. } => Self::UpstreamError,
                Failure::Unreachable => Self::UpstreamUnreachable,
                Failure::TimedOut => Self::UpstreamTimeout,
            },
        }
    }
}
