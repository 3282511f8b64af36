//! Owns how many sockets the system allows: each is an open file, and without one for it not even the admin
//! listener can answer.

use crate::config::Settings;

/// For the admin listener, and for what is open anyway.
const SPARE: u64 = 96;

/// Asks for as many open files as the settings need. Where the system allows fewer, fits the settings to that,
/// and says so.
pub(super) fn reserve(mut settings: Settings) -> Settings {
    let in_flight = settings.upstream.max_in_flight as u64;
    let wanted = settings.server.max_connections as u64 + in_flight + SPARE;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(allowed) if allowed < wanted => {
            let shares = Shares::of(allowed, in_flight);
            settings.server.max_connections = settings.server.max_connections.min(shares.connections);
            settings.upstream.max_in_flight = shares.in_flight;
            tracing::warn!(
                allowed,
                wanted,
                max_connections = settings.server.max_connections,
                max_in_flight = settings.upstream.max_in_flight,
                "the system allows fewer open files than the settings need, so these two are what it can \
                 do: raise the limit (ulimit -n, LimitNOFILE in systemd) or lower server.max_connections"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be read"),
    }
    settings
}

/// Who gets how many of too few.
#[derive(Debug, PartialEq, Eq)]
struct Shares {
    connections: usize,
    in_flight: usize,
}

impl Shares {
    fn of(allowed: u64, in_flight: u64) -> Self {
        let in_flight = in_flight.min(allowed / 4).max(1);
        let rest = allowed.saturating_sub(in_flight + SPARE.min(allowed / 2)).max(1);
        let whole = |count| usize::try_from(count).unwrap_or(usize::MAX);
        Self { connections: whole(rest), in_flight: whole(in_flight) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_listener_keeps_its_share_however_few_there_are() {
        let shares = |allowed| Shares::of(allowed, 64);
        assert_eq!(shares(4096), Shares { connections: 4096 - 64 - 96, in_flight: 64 });
        assert_eq!(shares(1024), Shares { connections: 1024 - 64 - 96, in_flight: 64 });
        assert_eq!(shares(64), Shares { connections: 16, in_flight: 16 });
        assert_eq!(shares(3), Shares { connections: 1, in_flight: 1 });
    }
}
