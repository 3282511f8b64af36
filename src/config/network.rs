//! Owns the syntax of addresses, networks, host names and origins.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use url::Url;

use super::settings::AllowList;
use super::units::list;
use super::value::{Parsed, Value, wrong};

/// An IP address and a port to listen on; with port 0 the system chooses a free one.
pub(super) fn address(value: &Value) -> Parsed<SocketAddr> {
    listener(value).or_else(|port| {
        let port = port.unwrap_or(8787);
        wrong(format!("{value} is not an IP address with a port; write \"127.0.0.1:{port}\""))
    })
}

/// As [`address`], or `"off"`, which is `None`.
pub(super) fn address_or_off(value: &Value) -> Parsed<Option<SocketAddr>> {
    if value.text("off").is_ok_and(|text| text == "off") {
        return Ok(None);
    }
    listener(value).map(Some).or_else(|port| {
        let port = port.unwrap_or(9797);
        wrong(format!("{value} is not an IP address with a port; write \"127.0.0.1:{port}\", or \"off\""))
    })
}

/// The address, or the port that was probably meant, for the example in the fault.
fn listener(value: &Value) -> Result<SocketAddr, Option<u16>> {
    let text = match value {
        Value::Text(text) | Value::Toml(toml::Value::String(text)) => text.clone(),
        Value::Toml(other) => other.to_string(),
    };
    text.parse().map_err(|_| text.rsplit(':').next().and_then(|port| port.parse().ok()))
}

/// Networks in CIDR notation, or single addresses.
pub(super) fn networks(value: &Value) -> Parsed<Vec<IpNet>> {
    list("10.0.0.0/8", |text| {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(canonical).map_err(|_| {
            format!("{text:?} is not a network; write one such as \"10.0.0.0/8\" or \"192.0.2.1\"")
        })
    })(value)
}

/// The IPv4 network that an IPv4-mapped one (`::ffff:10.0.0.0/104`) means: the addresses that networks are
/// compared with are canonical, so no mapped network would ever match.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V4(_) => None,
        IpNet::V6(network) => network.addr().to_ipv4_mapped().zip(network.prefix_len().checked_sub(96)),
    };
    mapped.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok()).map_or(network, IpNet::V4)
}

/// Host names, or `*` alone.
pub(super) fn hosts(value: &Value) -> Parsed<AllowList> {
    allow_list("gateway.example", host)(value)
}

/// Browser origins, or `*` alone.
pub(super) fn origins(value: &Value) -> Parsed<AllowList> {
    allow_list("https://app.example.com", origin)(value)
}

fn allow_list(
    example: &str,
    item: impl Fn(&str) -> Result<String, String>,
) -> impl Fn(&Value) -> Parsed<AllowList> {
    // `*` passes as an item: only the whole list shows whether it stands alone.
    let list = list(example, move |text| match text {
        "*" => Ok(text.to_owned()),
        // The text may hold a password, so the fault does not show it.
        _ if text.contains('@') => {
            Err("one holds a user or password; delete what stands before the @, and the @".to_owned())
        }
        _ => item(text),
    });
    move |value| {
        let items = list(value)?;
        match items.iter().any(|item| item == "*") {
            true if items.len() == 1 => Ok(AllowList::Any),
            true => wrong(
                "\"*\" allows everything, so nothing else may stand beside it; write [\"*\"] or leave it out",
            ),
            false => Ok(AllowList::These(items)),
        }
    }
}

/// A name as in the `Host` header, without port; an IPv6 address in brackets.
fn host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(Ok(address)) = bare.map(str::parse::<Ipv6Addr>) {
        return Ok(format!("[{address}]"));
    }
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<Ipv6Addr>() {
        let fault = if text.contains(['[', ']']) { "has odd brackets" } else { "lacks brackets" };
        return Err(format!("{text:?} {fault}; write {:?}", format!("[{address}]")));
    }
    let name = text.to_lowercase();
    let is_name = name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        });
    if is_name {
        return Ok(name);
    }
    // The fault suggests the text without its scheme, path and port.
    let meant = name.split_once("://").map_or(name.as_str(), |(_, rest)| rest);
    let meant = meant.split(['/', ':']).next().unwrap_or(meant);
    if meant.contains('*') {
        return Err(format!("{text:?} holds a wildcard; write out each name"));
    }
    if meant.is_empty() || meant == name || !meant.is_ascii() {
        return Err(format!("{text:?} is not a host name; write one such as \"gateway.example\""));
    }
    Err(format!("{text:?} is more than a host name; write {meant:?}"))
}

/// An origin as browsers send it in `Origin`: lower case, no default port, no path.
fn origin(text: &str) -> Result<String, String> {
    const CURE: &str = "write one such as \"https://app.example.com\"";
    if text.eq_ignore_ascii_case("null") {
        return Err("\"null\" is sent by every sandboxed page, so it cannot be trusted; delete it".to_owned());
    }
    let written = text.to_lowercase();
    let Some((scheme, authority)) = written.split_once("://") else {
        return Err(format!("{text:?} has no scheme; {CURE}"));
    };
    let bad = || format!("{text:?} is not an origin; {CURE}");
    if authority.contains('*') {
        return Err(format!("{text:?} holds a wildcard; write out each origin"));
    }
    if !matches!(scheme, "http" | "https") {
        // Apps and extensions have origins too (`capacitor://localhost`); they have no ports or paths.
        let plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+'))
        };
        return if plain(scheme) && plain(authority) { Ok(written) } else { Err(bad()) };
    }
    let url = Url::parse(&written).map_err(|_| bad())?;
    let exact = url.origin().ascii_serialization();
    if exact == written {
        Ok(written)
    } else {
        Err(format!("{text:?} is not what a browser sends; write {exact:?}"))
    }
}
