//! Tests with tickets made by hand: every part of a JWT as an attacker or a careless back end might write it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const NOW: u64 = 1_800_000_000;
const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn ring(secrets: &[&str]) -> Keyring {
    Keyring::new(secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect())
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// Signs any header and claims with HMAC-SHA-256.
fn jwt(secret: &str, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn judge(claims: &str) -> Result<Ticket, TicketFault> {
    ring(&[SECRET]).verify(&jwt(SECRET, HS256, claims), now())
}

fn until(exp: u64) -> String {
    format!(r#"{{"tasks":["a"],"exp":{exp}}}"#)
}

#[test]
fn a_ticket_says_what_it_opens_until_when_and_for_whom() {
    let claims =
        format!(r#"{{"tasks":["a","b"],"exp":{},"sub":"ann","cancel":true,"iat":1,"more":{{}}}}"#, NOW + 60);
    let ticket = judge(&claims).unwrap();
    assert_eq!(ticket.tasks, ["a", "b"]);
    assert_eq!(ticket.lasts, Duration::from_secs(60));
    assert_eq!(ticket.user.as_deref(), Some("ann"));
    assert!(ticket.may_cancel);
    let plain = judge(&until(NOW + 1)).unwrap();
    assert_eq!((plain.user, plain.may_cancel), (None, false));
}

#[test]
fn its_end_is_exact_and_not_far() {
    assert_eq!(judge(&until(NOW)), Err(TicketFault::Expired));
    assert_eq!(judge(&until(NOW - 1)), Err(TicketFault::Expired));
    assert_eq!(judge(&until(0)), Err(TicketFault::Expired));
    assert!(judge(&until(NOW + 1)).is_ok());
    assert!(judge(&until(NOW + 86_400)).is_ok());
    assert_eq!(judge(&until(NOW + 86_401)), Err(TicketFault::TooLong));
    let fraction = judge(&format!(r#"{{"tasks":["a"],"exp":{NOW}.25}}"#)).unwrap();
    assert_eq!(fraction.lasts, Duration::from_millis(250));
    let early = format!(r#"{{"tasks":["a"],"exp":{},"nbf":{}}}"#, NOW + 60, NOW + 1);
    assert_eq!(judge(&early), Err(TicketFault::NotYet));
    let begun = format!(r#"{{"tasks":["a"],"exp":{},"nbf":{NOW}}}"#, NOW + 60);
    assert!(judge(&begun).is_ok());
}

#[test]
fn claims_of_the_wrong_form_open_nothing() {
    let exp = NOW + 60;
    for claims in [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        r#"{"tasks":["a"]}"#.to_owned(),
        r#"{"tasks":["a"],"exp":null}"#.to_owned(),
        format!(r#"{{"tasks":["a"],"exp":"{exp}"}}"#),
        r#"{"tasks":["a"],"exp":"never"}"#.to_owned(),
        r#"{"tasks":["a"],"exp":true}"#.to_owned(),
        r#"{"tasks":["a"],"exp":[1]}"#.to_owned(),
        r#"{"tasks":["a"],"exp":-1}"#.to_owned(),
        r#"{"tasks":["a"],"exp":1e999}"#.to_owned(),
        format!(r#"{{"tasks":["a"],"exp":1,"exp":{exp}}}"#),
        format!(r#"{{"exp":{exp}}}"#),
        format!(r#"{{"tasks":"a","exp":{exp}}}"#),
        format!(r#"{{"tasks":[1],"exp":{exp}}}"#),
        format!(r#"{{"tasks":null,"exp":{exp}}}"#),
        format!(r#"{{"tasks":["a"],"exp":{exp},"nbf":"soon"}}"#),
        format!(r#"{{"tasks":["a"],"exp":{exp},"cancel":"true"}}"#),
        format!(r#"{{"tasks":["a"],"exp":{exp},"sub":7.5}}"#),
        format!(r#"{{"tasks":["a"],"exp":{exp},"sub":["ann"]}}"#),
    ] {
        assert_eq!(judge(&claims), Err(TicketFault::Malformed), "{claims}");
    }
    for audience in [r#""other""#, r#"["other"]"#, "[]", "7", "{}"] {
        let elsewhere = format!(r#"{{"tasks":["a"],"exp":{exp},"aud":{audience}}}"#);
        assert_eq!(judge(&elsewhere), Err(TicketFault::Audience), "{audience}");
    }
}

#[test]
fn only_hs256_by_a_known_secret_counts() {
    let claims = until(NOW + 60);
    let ring = ring(&[SECRET]);
    let verify = |text: &str| ring.verify(text, now());
    assert!(verify(&jwt(SECRET, HS256, &claims)).is_ok());
    assert_eq!(verify(&jwt(OTHER, HS256, &claims)), Err(TicketFault::Signature));
    assert_eq!(verify(&jwt("", HS256, &claims)), Err(TicketFault::Signature));
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":""}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":["HS256"]}"#,
        "",
    ] {
        assert!(verify(&jwt(SECRET, header, &claims)).is_err(), "{header}");
        // The same without a signature.
        let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&claims));
        assert!(verify(&unsigned).is_err(), "{header}");
    }
    let good = jwt(SECRET, HS256, &claims);
    for at in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(verify(std::str::from_utf8(&changed).unwrap()).is_err(), "changed at {at}");
        assert!(verify(&good[..at]).is_err(), "cut at {at}");
    }
    for text in ["", ".", "..", "...", "a.b.c", &format!("{good}."), &format!("{good}=")] {
        assert!(verify(text).is_err(), "{text}");
    }
}

#[test]
fn the_first_secret_signs_and_both_verify() {
    let claims = Claims { tasks: vec!["a".to_owned()], exp: NOW + 60, sub: None, cancel: false };
    let (old, both, new) = (ring(&[OTHER]), ring(&[SECRET, OTHER]), ring(&[SECRET]));
    let by_old = old.sign(&claims).unwrap();
    let by_both = both.sign(&claims).unwrap();
    assert!(both.verify(&by_old, now()).is_ok() && both.verify(&by_both, now()).is_ok());
    assert!(new.verify(&by_both, now()).is_ok());
    assert_eq!(new.verify(&by_old, now()), Err(TicketFault::Signature));
    assert_eq!(Keyring::default().sign(&claims), None);
    assert_eq!(Keyring::default().verify(&by_old, now()), Err(TicketFault::Signature));
}

#[test]
fn a_ticket_has_a_longest_length() {
    let claims = |ids: usize| {
        let ids = vec!["x".repeat(50); ids];
        serde_json::to_string(&serde_json::json!({"tasks": ids, "exp": NOW + 60})).unwrap()
    };
    assert!(judge(&claims(100)).is_ok());
    assert_eq!(judge(&claims(200)), Err(TicketFault::TooLarge));
    let by = |user: &str| judge(&format!(r#"{{"tasks":["a"],"exp":{},"sub":"{user}"}}"#, NOW + 60));
    assert!(by(&"u".repeat(256)).is_ok());
    assert_eq!(by(&"u".repeat(257)), Err(TicketFault::LongUser));
    let number = judge(&format!(r#"{{"tasks":["a"],"exp":{},"sub":7}}"#, NOW + 60)).unwrap();
    assert_eq!(number.user.as_deref(), Some("7"));
}

#[test]
fn debug_shows_no_secret() {
    let text = format!("{:?}", ring(&[SECRET, OTHER]));
    assert_eq!(text, "Keyring of 2");
}
