//! Owns the log's hint, given once, that an untrusted proxy seems to stand in front: the limits per address
//! then count all clients behind it as one.

use parking_lot::Mutex;
use std::net::IpAddr;

use crate::core::grant::Client;

/// The size of a sample, in requests.
const SAMPLE: u32 = 1000;
/// The requests of a sample that point to a proxy, if they have the same address.
const NEARLY_ALL: u32 = 950;

/// Samples the addresses of requests.
#[derive(Default)]
pub(in crate::http) struct ProxyHint(Mutex<Sample>);

#[derive(Default)]
struct Sample {
    seen: u32,
    /// The first address of the sample, and its number of requests. If another address is the frequent one,
    /// the next sample most likely begins with that.
    first: Option<(IpAddr, u32)>,
    is_told: bool,
}

impl ProxyHint {
    /// Counts a request.
    pub(in crate::http) fn count(&self, client: &Client) {
        let Client::Address(address) = client else { return };
        if let Some(proxy) = self.0.lock().count(*address) {
            tracing::warn!(
                address = %proxy,
                "nearly all requests come from one private address, and limits count by address: if it is a \
                 proxy, name it in server.trusted_proxies, so that its clients are counted apart"
            );
        }
    }
}

impl Sample {
    /// The address to log, if this request completes a sample that points to a proxy.
    fn count(&mut self, address: IpAddr) -> Option<IpAddr> {
        if self.is_told {
            return None;
        }
        self.seen += 1;
        let (first, times) = self.first.get_or_insert((address, 0));
        if *first == address {
            *times += 1;
        }
        if self.seen < SAMPLE {
            return None;
        }
        let (first, times) = (*first, *times);
        *self = Self::default();
        self.is_told = times >= NEARLY_ALL && is_private(first);
        self.is_told.then_some(first)
    }
}

/// Whether the address is one that proxies have: of this machine, or of a private network.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of hints after `from_it` requests from the address and then `others` from other addresses.
    fn told(address: &str, from_it: u32, others: u32) -> usize {
        let mut sample = Sample::default();
        let of = |text: &str| text.parse().unwrap();
        let it = (0..from_it).filter_map(|_| sample.count(of(address))).count();
        let rest = (0..others).filter_map(|n| sample.count(IpAddr::V4((0xC633_0000 + n).into()))).count();
        it + rest
    }

    #[test]
    fn a_private_address_that_sends_nearly_everything_is_logged_once() {
        for address in ["10.0.0.1", "172.20.0.5", "127.0.0.1", "::1", "fd00::1"] {
            assert_eq!(told(address, 10_000, 0), 1, "{address}");
        }
        assert_eq!(told("10.0.0.1", 950, 50), 1);
    }

    #[test]
    fn other_traffic_is_not_suspicious() {
        assert_eq!(told("10.0.0.1", 999, 0), 0, "too few to say");
        assert_eq!(told("10.0.0.1", 949, 51), 0);
        assert_eq!(told("192.0.2.1", 10_000, 0), 0, "a public address may be one busy client");
    }
}
