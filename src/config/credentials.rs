//! Owns the files of credentials: tokens, as hashes, the secrets that sign tickets, and CA certificates. No fault shows the
//! content of a file, or a path, which may be a secret put in the wrong place.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::reader::Reader;
use super::sources::{read_file, why};
use super::units::size_text;
use crate::core::ticket::{Keyring, SHORTEST_SECRET};
use crate::core::token::{self, Hash, PREFIX, Tokens};

/// The setting that names the token file.
pub(super) const TOKEN_FILE: &str = "access.token_file";
/// The setting that names the secret file.
pub(super) const TICKET_SECRET_FILE: &str = "access.ticket_secret_file";

/// The setting that names the file of CA certificates.
pub(super) const CA_FILE: &str = "upstream.ca_file";

/// In bytes: room for ten thousand tokens, far less than a file named by mistake.
const LARGEST: u64 = 1 << 20;
const MOST_SECRETS: usize = 2;

/// The tokens of the token file; no tokens without a file. `None`: the file's faults are in `reader`.
pub(super) fn tokens(reader: &mut Reader, file: Option<&Path>) -> Option<Tokens> {
    let Some(file) = file else { return Some(Tokens::default()) };
    let read = read("token file", file).map_err(|fault| vec![fault]);
    match read.and_then(|text| parse_tokens(&text)) {
        Ok(tokens) => Some(tokens),
        Err(faults) => {
            for fault in faults {
                reader.fault(TOKEN_FILE, fault);
            }
            None
        }
    }
}

/// The secrets of the secret file; no secrets without a file. `None`: the file's fault is in `reader`.
pub(super) fn ticket_secrets(reader: &mut Reader, file: Option<&Path>) -> Option<Keyring> {
    let Some(file) = file else { return Some(Keyring::default()) };
    match read("secret file", file).and_then(|text| parse_secrets(&text)) {
        Ok(ring) => Some(ring),
        Err(fault) => {
            reader.fault(TICKET_SECRET_FILE, fault);
            None
        }
    }
}

/// The certificates of `upstream.ca_file`; none without a file. `None`: the file's fault is in `reader`.
pub(super) fn certificates(reader: &mut Reader, file: Option<&Path>) -> Option<Vec<CertificateDer<'static>>> {
    let Some(file) = file else { return Some(Vec::new()) };
    let found = match read_file(file, LARGEST) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err("the CA file is not PEM; `openssl x509 -inform der -in FILE` makes that of one in DER"
                .to_owned())
        }
        read => told("CA file", read).and_then(|text| parse_certificates(&text)),
    };
    found.map_err(|fault| reader.fault(CA_FILE, fault)).ok()
}

fn parse_certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.ok().filter(|found| !found.is_empty()).ok_or(
        "the CA file holds no certificate in PEM, or a part of one; each stands between -----BEGIN CERTIFICATE----- \
         and -----END CERTIFICATE-----",
    )?;
    let mut roots = RootCertStore::empty();
    match (1..).zip(&found).find(|(_, certificate)| roots.add((*certificate).clone()).is_err()) {
        Some((number, _)) => {
            Err(format!("block {number} of the CA file is no certificate; delete it, or put the CA's there"))
        }
        None => Ok(found),
    }
}

fn read(what: &str, path: &Path) -> Result<String, String> {
    told(what, read_file(path, LARGEST))
}

/// The text of a file, or the fault and its cure.
fn told(what: &str, read: io::Result<Option<String>>) -> Result<String, String> {
    let text = read.map_err(|error| {
        format!("the {what} cannot be read: {}; name one that the gateway may read", why(&error))
    })?;
    text.ok_or_else(|| format!("the {what} is larger than {}; is it the right one?", size_text(LARGEST)))
}

/// Lines of `NAME SHA256HEX`; empty lines and comments (`#`) are skipped.
fn parse_tokens(text: &str) -> Result<Tokens, Vec<String>> {
    let mut tokens = Vec::new();
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match entry(line) {
            Ok(entry) => tokens.push(entry),
            Err(fault) => {
                faults.push(format!(
                    "line {number} of the token file {fault}; `taskgate token NAME` makes one"
                ));
            }
        }
    }
    if faults.is_empty() { Ok(Tokens::new(tokens)) } else { Err(faults) }
}

fn entry(line: &str) -> Result<(Arc<str>, Hash), &'static str> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(hash), None) = (words.next(), words.next(), words.next()) else {
        return Err("is not a name and a SHA-256");
    };
    // A token in the place of the name: the log would show it as the name of a client.
    if name.starts_with(PREFIX) {
        return Err("begins with a token instead of a name");
    }
    if !token::is_name(name) {
        return Err("begins with what is no name (up to 64 of A-Z a-z 0-9 - _ .)");
    }
    let hash = hash_of(hash).ok_or("has no SHA-256 of 64 hexadecimal digits (the token itself stays out)")?;
    Ok((name.into(), hash))
}

fn hash_of(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// One or two lines, each of them a secret.
fn parse_secrets(text: &str) -> Result<Keyring, String> {
    const CURE: &str = "put one secret into it, such as `openssl rand -hex 32` prints";
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return Err(format!("the secret file is empty; {CURE}"));
    }
    if lines.len() > MOST_SECRETS {
        return Err(
            "the secret file holds more than two lines; the first signs, and only one more may still \
                    verify"
                .to_owned(),
        );
    }
    if lines.iter().any(|line| line.contains(char::is_whitespace)) {
        return Err(format!("a line of the secret file holds blanks; {CURE}"));
    }
    if lines.iter().any(|line| line.len() < SHORTEST_SECRET) {
        return Err(format!(
            "a secret in the secret file is shorter than {SHORTEST_SECRET} bytes and could be guessed; {CURE}"
        ));
    }
    Ok(Keyring::new(lines.into_iter().map(|line| line.as_bytes().to_vec()).collect()))
}
