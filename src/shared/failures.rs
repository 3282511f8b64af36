//! Owns the words by which replicas tell each other why the gate is closed.

use tokio::time::Duration;

use crate::core::failure::Failure;

/// The word of a failure that can close the gate, with its figure.
pub(super) fn write(failure: Failure) -> String {
    match failure {
        Failure::RateLimited { retry_after } => {
            format!("rate_limited {}", retry_after.map_or(0, |wait| wait.as_secs()))
        }
        Failure::KeyRejected => "key_rejected".to_owned(),
        Failure::QuotaExhausted => "quota_exhausted".to_owned(),
        Failure::ServerError { status, .. } => format!("server_error {status}"),
        Failure::InvalidResponse { status } => format!("invalid_response {status}"),
        Failure::Refused { status } => format!("refused {status}"),
        Failure::Unreachable => "unreachable".to_owned(),
        Failure::TimedOut => "timed_out".to_owned(),
    }
}

/// The failure of a word. A word of a later version says at least that the upstream cannot be asked.
pub(super) fn read(text: &str) -> Failure {
    let (word, figure) = text.split_once(' ').unwrap_or((text, "0"));
    let status = || figure.parse().unwrap_or(500);
    match word {
        "rate_limited" => {
            let wait = figure.parse().ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
            Failure::RateLimited { retry_after: wait }
        }
        "key_rejected" => Failure::KeyRejected,
        "quota_exhausted" => Failure::QuotaExhausted,
        "server_error" => Failure::ServerError { status: status(), retry_after: None },
        "timed_out" => Failure::TimedOut,
        _ => Failure::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_closes_the_gate_is_read_as_it_was_written() {
        for failure in [
            Failure::RateLimited { retry_after: None },
            Failure::RateLimited { retry_after: Some(Duration::from_secs(7)) },
            Failure::KeyRejected,
            Failure::QuotaExhausted,
            Failure::ServerError { status: 503, retry_after: None },
            Failure::Unreachable,
            Failure::TimedOut,
        ] {
            assert_eq!(read(&write(failure)), failure);
        }
        assert_eq!(read("a word of tomorrow"), Failure::Unreachable);
    }
}
