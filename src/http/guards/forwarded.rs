//! Owns the address of a request's client: the peer, or, behind trusted proxies, the address that they
//! report.
//!
//! Each proxy appends its peer's address to `X-Forwarded-For`, on the right. The list is read from the right,
//! as far as trusted proxies wrote it: a client could have sent the addresses further left.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::http::headers::X_FORWARDED_FOR;

/// The networks of trusted proxies.
pub(in crate::http) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(in crate::http) fn new(trusted: &[IpNet]) -> Self {
        Self(trusted.to_vec())
    }

    /// The client's address: the last one on the way that a trusted proxy, or this gateway, has seen.
    pub(in crate::http) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.ip().to_canonical();
        if self.0.is_empty() { peer } else { self.behind(peer, headers) }
    }

    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while self.trusts(client) {
            // Where the list ends or an entry cannot be read, the last certain address counts.
            let Some(hop) = hops.next().and_then(address) else { break };
            client = hop;
        }
        client
    }

    /// Whether the address is that of a trusted proxy.
    pub(in crate::http) fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Parses an address as proxies write it: some add the port, some put IPv6 in brackets.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let address = match hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')) {
        Some(bare) => bare.parse::<Ipv6Addr>().ok()?.into(),
        None => hop.parse().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip())).ok()?,
    };
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn client(trusted: &[&str], peer: &str, lines: &[&'static str]) -> String {
        let proxies = Proxies(trusted.iter().map(|network| network.parse().unwrap()).collect());
        let headers = lines.iter().map(|line| (X_FORWARDED_FOR, HeaderValue::from_static(line))).collect();
        proxies.behind(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_header_of_an_untrusted_peer_is_ignored() {
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn the_last_address_that_a_trusted_proxy_saw_counts() {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        for (lines, seen) in [
            (&["198.51.100.7"][..], "198.51.100.7"),
            (&["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
            (&["6.6.6.6", "198.51.100.7 , 10.0.0.2"], "198.51.100.7"),
            (&["198.51.100.7,2001:db8::5"], "198.51.100.7"),
            (&["198.51.100.7:4711"], "198.51.100.7"),
            (&["[2001:aaaa::1]:80"], "2001:aaaa::1"),
            (&["[2001:aaaa::1]"], "2001:aaaa::1"),
            (&["::ffff:198.51.100.7"], "198.51.100.7"),
            // All addresses are trusted: the leftmost one counts.
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ] {
            assert_eq!(client(&trusted, "10.0.0.1", lines), seen, "{lines:?}");
        }
    }

    #[test]
    fn an_unreadable_entry_ends_the_search() {
        for lines in [
            &[][..],
            &[""],
            &["unknown"],
            &["198.51.100.7, _hidden"],
            &["198.51.100.7,"],
            &["[198.51.100.7]"],
        ] {
            assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &["x, 10.0.0.9"]), "10.0.0.9");
    }
}
