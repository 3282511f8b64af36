//! Checks tickets: without the secret none is valid, and a signed one opens exactly the tasks in its claims.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::Value;
use serde_json::value::RawValue;
use taskgate::core::ticket::{Keyring, LONGEST, LONGEST_LIFE, LONGEST_USER, Ticket, TicketFault};

const SECRET: &[u8] = b"a-secret-of-more-than-32-bytes-for-tests";
const NOW: u64 = 1_800_000_000;
const HEADER: &[u8] = br#"{"alg":"HS256","typ":"JWT"}"#;
const CLAIMS: &[u8] = br#"{"tasks":["a"],"exp":1800000060}"#;

/// `data` is used as a whole ticket, as the claims of a signed one, and as the header of a signed one.
pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(verify(text).is_err(), "nobody has signed this");
    }
    as_claims(data);
    as_header(data);
}

fn as_claims(data: &[u8]) {
    // Values of unknown claims are skipped unread, and may hold any bytes.
    if std::str::from_utf8(data).is_err() {
        return;
    }
    let judged = verify(&signed(HEADER, data));
    if serde_json::from_slice::<&RawValue>(data).is_err() {
        assert_eq!(judged, Err(TicketFault::Malformed), "not JSON");
    }
    // Numbers beyond the range of `f64` are JSON, but no `Value`.
    let Ok(claims) = serde_json::from_slice::<Value>(data) else { return };
    if let Ok(ticket) = judged {
        agrees(&ticket, &claims);
    }
    // Serialized again, so that no name occurs twice: parsers differ on repeated names.
    let plain = serde_json::to_vec(&claims).unwrap();
    let jwt = signed(HEADER, &plain);
    if jwt.len() <= LONGEST {
        assert_eq!(verify(&jwt).is_ok(), is_good(&claims), "{claims}");
    }
}

/// The ticket's rights are those of its claims.
fn agrees(ticket: &Ticket, claims: &Value) {
    let tasks: Vec<&str> =
        claims["tasks"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(ticket.tasks, tasks);
    assert!(ticket.lasts <= LONGEST_LIFE && !claims["exp"].is_string());
    let number = claims["sub"].as_i64().map(|number| number.to_string());
    let sub = claims["sub"].as_str().filter(|sub| !sub.is_empty()).or(number.as_deref());
    assert_eq!(ticket.user.as_deref(), sub);
    assert_eq!(ticket.may_cancel, claims["cancel"] == true);
}

fn is_good(claims: &Value) -> bool {
    let now = NOW as f64;
    let is_text = |value: &Value| value.is_string();
    let object = claims.is_object();
    let tasks = claims["tasks"].as_array().is_some_and(|ids| ids.iter().all(is_text));
    let exp = claims["exp"].as_f64().is_some_and(|exp| exp > now && exp <= now + LONGEST_LIFE.as_secs_f64());
    let nbf = claims["nbf"].is_null() || claims["nbf"].as_f64().is_some_and(|nbf| nbf <= now);
    let short = |sub: &str| sub.len() <= LONGEST_USER;
    let sub = claims["sub"].is_null() || claims["sub"].is_i64() || claims["sub"].as_str().is_some_and(short);
    let aud = claims["aud"].is_null();
    let cancel = claims.get("cancel").is_none_or(Value::is_boolean);
    object && tasks && exp && nbf && aud && sub && cancel
}

fn as_header(data: &[u8]) {
    if verify(&signed(data, CLAIMS)).is_ok() {
        let header: Value = serde_json::from_slice(data).unwrap();
        assert_eq!(header["alg"], "HS256", "no other algorithm");
        assert!(header["crit"].is_null(), "nothing critical is understood");
    }
}

fn verify(text: &str) -> Result<Ticket, TicketFault> {
    Keyring::new(vec![SECRET.to_vec()]).verify(text, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}
