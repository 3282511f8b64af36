//! Owns the proof that a client may read a task, and the name under which clients take turns.

use std::future::pending;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::task::TaskKey;

/// Who asks: limits are counted and turns are taken by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    /// A token's name.
    Named(Arc<str>),
    /// A ticket's `sub`. Apart from the names of tokens: who picks a user's name must not be taken for one.
    User(Arc<str>),
    /// Nobody in particular, by address: an IPv4 address, or an IPv6 /64 (what one site gets).
    Address(IpAddr),
}

// In one piece: a client is looked up in several maps for each request that goes upstream. Who is named and who is
// a user under the same name meet in one place of a map, no more.
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
    /// The client behind an address.
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into())
            }
            other => other,
        })
    }
}

/// Proof that a client may read a task: [`Mirror`](super::mirror::Mirror) takes nothing without one.
#[derive(Debug, Clone)]
pub struct Grant {
    key: TaskKey,
    client: Client,
    ends: Option<Instant>,
}

impl Grant {
    /// Says that `client` may read `key`, until `ends` if that is some moment. Only the gateway's access rules
    /// have the right to.
    pub fn issue(key: TaskKey, client: Client, ends: Option<Instant>) -> Self {
        Self { key, client, ends }
    }

    /// When the right ends, if it does.
    pub fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// Resolves when the right has ended; never for one without an end.
    pub async fn ended(&self) {
        match self.ends {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    }

    /// The task it speaks of.
    pub fn key(&self) -> &TaskKey {
        &self.key
    }

    /// Who holds it.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// Proof that a client may cancel a task.
#[derive(Debug, Clone)]
pub struct CancelGrant(TaskKey, Client);

impl CancelGrant {
    /// Says that `client` may cancel `key`. Only the gateway's access rules have the right to.
    pub fn issue(key: TaskKey, client: Client) -> Self {
        Self(key, client)
    }

    /// The task it speaks of.
    pub fn key(&self) -> &TaskKey {
        &self.0
    }

    /// Who holds it.
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
