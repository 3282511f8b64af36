//! Owns the proofs that a client may read or cancel a task, and the identity of a client.

use std::future::pending;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::task::TaskKey;

/// The identity of a client. Limits are counted and turns are taken by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    /// The name of a token.
    Named(Arc<str>),
    /// The `sub` of a ticket. Kept apart from `Named`, so that no user can pass for a token by taking its
    /// name.
    User(Arc<str>),
    /// A client without a name, by its address: an IPv4 address, or an IPv6 /64, the network of one site.
    Address(IpAddr),
}

// A single write, because each upstream request looks its client up in several maps. A token and a user with
// the same name have the same hash, and `Eq` tells them apart.
impl Hash for Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Named(name) | Self::User(name) => state.write(name.as_bytes()),
            Self::Address(IpAddr::V4(v4)) => state.write_u32((*v4).into()),
            Self::Address(IpAddr::V6(v6)) => state.write_u128((*v6).into()),
        }
    }
}

impl Client {
    /// The client at an address. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into())
            }
            other => other,
        })
    }
}

/// The proof that a client may read a task. A client gets no state from [`Mirror`](super::mirror::Mirror)
/// without one.
#[derive(Debug, Clone)]
pub struct Grant {
    key: TaskKey,
    client: Client,
    ends: Option<Instant>,
}

impl Grant {
    /// Grants `client` the right to read `key`, until `ends` where it is given. Only the gateway's access
    /// rules may call this.
    pub fn issue(key: TaskKey, client: Client, ends: Option<Instant>) -> Self {
        Self { key, client, ends }
    }

    /// The end of the right; `None` where it has none.
    pub fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// Waits until the right has ended: for ever where it has no end.
    pub async fn ended(&self) {
        match self.ends {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    }

    /// The task of the grant.
    pub fn key(&self) -> &TaskKey {
        &self.key
    }

    /// The client that holds the grant.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// The proof that a client may cancel a task.
#[derive(Debug, Clone)]
pub struct CancelGrant(TaskKey, Client);

impl CancelGrant {
    /// Grants `client` the right to cancel `key`. Only the gateway's access rules may call this.
    pub fn issue(key: TaskKey, client: Client) -> Self {
        Self(key, client)
    }

    /// The task of the grant.
    pub fn key(&self) -> &TaskKey {
        &self.0
    }

    /// The client that holds the grant.
    pub fn client(&self) -> &Client {
        &self.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_site_is_one_client() {
        let at = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
        assert_eq!(at("::1"), Client::Address("::1".parse().unwrap()));
    }
}
