//! Owns the limit of open files: every socket is one, and at the limit even the admin listener cannot answer.

use crate::config::Settings;
use crate::server::sockets_beyond;

/// Open files for the admin listener, and for those that the process needs besides its connections.
const SPARE: u64 = 96;

/// Raises the limit of open files to the number that the settings need. If the system allows fewer, lowers
/// the settings to that and logs a warning.
pub(super) fn reserve(mut settings: Settings) -> Settings {
    let in_flight = settings.upstream.max_in_flight as u64;
    let beyond = sockets_beyond(settings.server.max_connections);
    let wanted = (settings.server.max_connections + beyond) as u64 + in_flight + SPARE;
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
                "the system allows fewer open files than the settings need, so max_connections and \
                 max_in_flight are lowered to these values: raise the limit (ulimit -n, LimitNOFILE in \
                 systemd) or lower server.max_connections"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be read"),
    }
    settings
}

/// The division of too few open files between clients and the upstream.
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
        // With as many beyond, it is no more than the rest.
        let connections = (rest * 2 / 3).max(rest.saturating_sub(128)).max(1);
        Self { connections: whole(connections), in_flight: whole(in_flight) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_listener_keeps_its_share_however_few_there_are() {
        let shares = |allowed| Shares::of(allowed, 64);
        assert_eq!(shares(4096), Shares { connections: 4096 - 64 - 96 - 128, in_flight: 64 });
        assert_eq!(shares(1024), Shares { connections: 1024 - 64 - 96 - 128, in_flight: 64 });
        assert_eq!(shares(64), Shares { connections: 10, in_flight: 16 });
        assert_eq!(shares(3), Shares { connections: 1, in_flight: 1 });
    }
}
