//! Owns the tests of the files of tokens and ticket secrets.

use super::*;
use crate::core::hex::encode as hex;
use crate::core::token::hash;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The faults of a token file and a secret file with these texts.
fn said(tokens: Option<&str>, secrets: Option<&str>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut env = vec![("TASKGATE_ACCESS__MODE", "protected".to_owned())];
    for (name, variable, text) in [
        ("tokens", "TASKGATE_ACCESS__TOKEN_FILE", tokens),
        ("secrets", "TASKGATE_ACCESS__TICKET_SECRET_FILE", secrets),
    ] {
        if let Some(text) = text {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            env.push((variable, path.to_str().unwrap().to_owned()));
        }
    }
    let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    faults("", &env)
}

#[test]
fn good_files_are_taken_as_they_come() {
    let line = |name: &str| format!("{name} {}", hex(&hash("tg_x")));
    for tokens in [
        line("web"),
        format!("# who\n\n  {}  \r\n{}\n", line("web"), line("web")),
        line("a.b-c_9").to_uppercase().replace("A.B-C_9", "a.b-c_9"),
    ] {
        assert_eq!(said(Some(&tokens), None), "", "{tokens}");
    }
    for secrets in [SECRET.to_owned(), format!("{SECRET}\n"), format!("{SECRET}\r\n\r\n{SECRET}x\r\n")] {
        assert_eq!(said(None, Some(&secrets)), "", "{secrets}");
    }
}

#[test]
fn each_bad_line_is_told_without_showing_it() {
    let hash = hex(&hash("tg_x"));
    let text =
        format!("web {hash}\nweb\nweb {hash} more\nwéb {hash}\nweb tg_canary\nweb {}\n{hash}", &hash[1..]);
    let said = said(Some(&text), None);
    let place = "access.token_file (TASKGATE_ACCESS__TOKEN_FILE): ";
    let cure = "; `taskgate token NAME` makes one";
    let expected = [
        "line 2 of the token file is not a name and a SHA-256",
        "line 3 of the token file is not a name and a SHA-256",
        "line 4 of the token file begins with what is no name (up to 64 of A-Z a-z 0-9 - _ .)",
        "line 5 of the token file has no SHA-256 of 64 hexadecimal digits (the token itself stays out)",
        "line 6 of the token file has no SHA-256 of 64 hexadecimal digits (the token itself stays out)",
        "line 7 of the token file is not a name and a SHA-256",
    ];
    let expected: Vec<_> = expected.iter().map(|words| format!("{place}{words}{cure}")).collect();
    assert_eq!(said, expected.join("\n"));
}

#[test]
fn files_that_let_nobody_in_or_everybody_are_refused() {
    let place = "access.token_file (TASKGATE_ACCESS__TOKEN_FILE)";
    let line = format!("tg_canary {}", hex(&hash("x")));
    assert!(said(Some(&line), None).contains("begins with a token instead of a name"));
    let large = "#".repeat((1 << 20) + 1);
    assert!(said(Some(&large), None).contains("is larger than 1MiB"), "{}", said(Some(&large), None));
    for empty in ["", "\n\n", "# none\n"] {
        assert_eq!(said(Some(empty), Some(SECRET)), "", "tickets still let somebody in");
        assert_eq!(
            said(Some(empty), None),
            format!("{place}: the token file holds no token; `taskgate token NAME` makes a line for it")
        );
    }
    let place = "access.ticket_secret_file (TASKGATE_ACCESS__TICKET_SECRET_FILE)";
    let cure = "put one secret into it, such as `openssl rand -hex 32` prints";
    for (secrets, words) in [
        (String::new(), format!("the secret file is empty; {cure}")),
        ("\n".to_owned(), format!("the secret file is empty; {cure}")),
        (
            SECRET[1..].to_owned(),
            format!("a secret in the secret file is shorter than 32 bytes and could be guessed; {cure}"),
        ),
        (
            format!("{SECRET}\nshort"),
            format!("a secret in the secret file is shorter than 32 bytes and could be guessed; {cure}"),
        ),
        (format!(" {SECRET}"), format!("a line of the secret file holds blanks; {cure}")),
        (
            format!("{SECRET}\n{SECRET}\n{SECRET}"),
            "the secret file holds more than two lines; the first signs, and only one more may still verify"
                .to_owned(),
        ),
    ] {
        assert_eq!(said(None, Some(&secrets)), format!("{place}: {words}"), "{secrets}");
    }
}

#[test]
fn nothing_of_the_files_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets");
    std::fs::write(&path, SECRET).unwrap();
    let settings = loaded("", &[("TASKGATE_ACCESS__TICKET_SECRET_FILE", path.to_str().unwrap())]);
    assert!(!settings.access.ticket_secrets.is_empty());
    assert!(!format!("{settings:?}{}", render(&settings)).contains(SECRET));
}
