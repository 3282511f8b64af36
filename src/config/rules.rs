//! Owns the rules between settings: values that are valid alone, but not together.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use url::{Host, Url};

use super::credentials::{TICKET_SECRET_FILE, TOKEN_FILE};
use super::fault::SHORTEST_SECRET;
use super::network::{address, address_or_off, origins};
use super::reader::Reader;
use super::routes::routes;
use super::secret::ApiKey;
use super::sections::{access_mode, path};
use super::settings::{Access, AccessMode, AllowList};
use super::target::{auth_header, base_url, headers};
use super::units::{duration, flag, size, size_text};

/// The number of the largest answers for which `cache.max_bytes` needs room at least.
const BODIES_IN_MEMORY: u64 = 8;

pub(super) fn check(reader: &mut Reader, key: Option<&ApiKey>) {
    listeners(reader);
    protected_mode(reader);
    open_mode(reader);
    target(reader);
    one_key(reader);
    not_longer(reader, "upstream.connect_timeout", "upstream.timeout");
    not_longer(reader, "polling.fresh_for", "polling.max_interval");
    fitting_body(reader);
    if let Some(key) = key {
        key_nowhere(reader, key);
    }
}

/// The two listeners need different addresses.
fn listeners(reader: &mut Reader) {
    let main = reader.again("server.listen", address);
    let admin = reader.again("admin.listen", address_or_off).flatten();
    if let (Some(main), Some(admin)) = (main, admin)
        && overlap(main, admin)
    {
        reader.fault(
            "admin.listen",
            format!("takes the same port as server.listen ({main}); write another port, or \"off\""),
        );
    }
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    // A listener on `[::]` takes the port for IPv4 too.
    let covers =
        |all: SocketAddr, one: SocketAddr| all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
}

/// Protected mode needs a token file or a secret file.
fn protected_mode(reader: &mut Reader) {
    let no_file = |key| reader.again(key, path) == Some(None);
    if reader.again("access.mode", access_mode) == Some(AccessMode::Protected)
        && no_file(TOKEN_FILE)
        && no_file(TICKET_SECRET_FILE)
    {
        reader.fault(
            "access.mode",
            "\"protected\" (the default) lets nobody in without tokens or tickets; name a file in \
             access.token_file (`taskgate token NAME` makes its lines) or in access.ticket_secret_file, or, \
             where this machine alone reads, set access.mode = \"open\" (TASKGATE_ACCESS__MODE=open)",
        );
    }
}

/// A start in protected mode needs at least one token or secret in these files.
pub(super) fn somebody_gets_in(reader: &mut Reader, access: &Access) {
    if access.mode == AccessMode::Protected
        && access.token_file.is_some()
        && access.tokens.is_empty()
        && access.ticket_secrets.is_empty()
    {
        reader.fault(TOKEN_FILE, "the token file holds no token; `taskgate token NAME` makes a line for it");
    }
}

/// Open mode must not expose tasks to the network, to cancellation or to every web page by accident.
fn open_mode(reader: &mut Reader) {
    if reader.again("access.mode", access_mode) != Some(AccessMode::Open) {
        return;
    }
    if let (Some(listen), Some(false)) =
        (reader.again("server.listen", address), reader.again("access.open_to_network", flag))
        && !listen.ip().to_canonical().is_loopback()
    {
        reader.fault(
            "access.open_to_network",
            format!(
                "server.listen ({listen}) lets the network in, and with access.mode = \"open\" anyone there may \
                 read any task; write true if that is meant, or listen on 127.0.0.1:{}",
                listen.port()
            ),
        );
    }
    if reader.again("access.allow_cancel", flag) == Some(true) {
        reader.fault(
            "access.allow_cancel",
            "with access.mode = \"open\" nobody shows who may cancel; write false, or access.mode = \
             \"protected\"",
        );
    }
    if reader.again("server.allowed_origins", origins) == Some(AllowList::Any) {
        reader.fault(
            "server.allowed_origins",
            "[\"*\"] with access.mode = \"open\" lets every web page read any task; write out each origin",
        );
    }
}

/// The upstream's URL must neither repeat the beginning of the status paths nor lead back to this gateway.
fn target(reader: &mut Reader) {
    let Some(url) = reader.again("upstream.base_url", base_url) else { return };
    if let Some(routes) = reader.again("upstream.routes", routes)
        && url.path() == "/v1"
        && routes.status.iter().any(|(route, _)| route.template().starts_with("/v1/"))
    {
        reader
            .fault("upstream.base_url", "ends in /v1, with which the routes begin too; delete the /v1 here");
    }
    if let Some(listen) = reader.again("server.listen", address)
        && leads_to(&url, listen)
    {
        reader.fault(
            "upstream.base_url",
            format!(
                "leads back to this gateway (server.listen is {listen}); write the address of the upstream"
            ),
        );
    }
}

/// Only the gateway sets the header that carries the key, and another one than usual wants its scheme named.
fn one_key(reader: &mut Reader) {
    let is_usual = reader.again("upstream.auth_header", auth_header) == Some(http::header::AUTHORIZATION);
    if !is_usual && !reader.is_default("upstream.auth_header") && reader.is_default("upstream.auth_scheme") {
        reader.fault(
            "upstream.auth_header",
            "carries \"Bearer KEY\" as long as upstream.auth_scheme is not set; write auth_scheme = \"\" for the key \
             alone, or \"Bearer\" if that is meant",
        );
    }
    if let (Some(name), Some(headers)) =
        (reader.again("upstream.auth_header", auth_header), reader.again("upstream.headers", headers))
        && headers.iter().any(|(other, _)| *other == name)
    {
        reader.fault(
            "upstream.headers",
            format!(
                "holds {name}, in which the gateway sends the key (upstream.auth_header); delete it here"
            ),
        );
    }
}

fn leads_to(url: &Url, listen: SocketAddr) -> bool {
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(Host::Domain("localhost")) => IpAddr::from([127, 0, 0, 1]),
        Some(Host::Domain(_)) | None => return false,
    };
    url.port_or_known_default() == Some(listen.port())
        && (ip == listen.ip() || (ip.is_loopback() && listen.ip().is_unspecified()))
}

fn not_longer(reader: &mut Reader, short: &str, long: &str) {
    let any = duration(Duration::ZERO..=Duration::MAX);
    if let (Some(a), Some(b)) = (reader.again(short, &any), reader.again(long, &any))
        && a > b
    {
        let (a, b) = (super::units::duration_text(a), super::units::duration_text(b));
        reader.fault(short, format!("\"{a}\" is longer than {long} (\"{b}\"); write \"{b}\" or less"));
    }
}

/// One answer must fit in the part of the memory for answers that are being written, beside another.
fn fitting_body(reader: &mut Reader) {
    let any = size::<u64>(0..=u64::MAX);
    if let (Some(body), Some(cache)) =
        (reader.again("upstream.max_body", &any), reader.again("cache.max_bytes", &any))
        && body > cache / BODIES_IN_MEMORY
    {
        let room = size_text(body.saturating_mul(BODIES_IN_MEMORY));
        let fitting = size_text(cache / BODIES_IN_MEMORY);
        let (body, cache) = (size_text(body), size_text(cache));
        reader.fault(
            "upstream.max_body",
            format!(
                "cache.max_bytes (\"{cache}\") has no room for {BODIES_IN_MEMORY} answers of \"{body}\"; write \
                 \"{fitting}\" or less, or \"{room}\" there"
            ),
        );
    }
}

/// No setting may hold the API key: settings are printed.
fn key_nowhere(reader: &mut Reader, key: &ApiKey) {
    if key.expose().len() < SHORTEST_SECRET {
        return;
    }
    for setting in reader.holding(key.expose()) {
        reader.fault(setting, "holds the API key; delete it here: the gateway adds the key by itself");
    }
}
