//! Owns the tests of the texts of all faults; `faults.txt` holds the cases.

use super::*;

const CASES: &str = include_str!("faults.txt");

struct Case {
    file: String,
    env: Vec<(String, String)>,
    said: String,
}

fn cases() -> impl Iterator<Item = Case> {
    CASES.split("\n\n").skip(1).map(|block| {
        let (mut file, mut env, mut said) = (String::new(), Vec::new(), Vec::new());
        for line in block.lines() {
            if let Some(fault) = line.strip_prefix("! ") {
                said.push(fault);
            } else if let Some(variable) = line.strip_prefix("$ ") {
                let (name, value) = variable.split_once('=').unwrap();
                env.push((name.to_owned(), value.to_owned()));
            } else {
                file += &format!("{line}\n");
            }
        }
        Case { file, env, said: said.join("\n") }
    })
}

#[test]
fn every_fault_is_told_in_these_words() {
    let mut wrong = Vec::new();
    for Case { file, env, said } in cases() {
        let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut sources = sources(&file, &env);
        if file.contains("access.mode") {
            sources.env.retain(|(name, _)| name != "TASKGATE_ACCESS__MODE");
        }
        let found = load(&sources).err().map_or(String::new(), |faults| faults.to_string());
        if found != said || said.is_empty() {
            wrong.push(format!("{file}{env:?}\nis said to be\n{found}\nand not\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn all_faults_are_told_at_once() {
    let file = r#"
        colour = "blue"
        [server]
        listen = "localhost:8787"
        header_read_timeout = 10
        [upstream]
        timeout = "10"
        connect_timeout = "1m"
        routes = ["/livez"]
        [polling]
        fresh_for = "6s"
        [cahce]
        max_bytes = "1B"
    "#;
    let env = [("TASKGATE_BUDGET__SHARE", "2"), ("TASKGATE_BUDGET_BURST", "1"), ("LEMONDATA_API_KEY", "")];
    let mut sources = sources(file, &env);
    sources.env.retain(|(name, _)| name != "TASKGATE_ACCESS__MODE");
    let found = load(&sources).err().unwrap().to_string();
    let expected = [
        r#"server.listen (config.toml): "localhost:8787" is not an IP address with a port; write "127.0.0.1:8787""#,
        r#"server.header_read_timeout (config.toml): 10 has no unit; write "10s""#,
        r#"upstream.routes (config.toml): "/livez" must contain `{id}` exactly once, as a whole path segment; write one such as "/v1/tasks/{id}""#,
        r#"upstream.timeout (config.toml): "10" has no unit; write "10s""#,
        "LEMONDATA_API_KEY: there is no API key; put the key into the variable LEMONDATA_API_KEY, or into a file named by LEMONDATA_API_KEY_FILE; to try taskgate without a key, run `taskgate demo`",
        r#"budget.share (TASKGATE_BUDGET__SHARE): "2" is out of range; write a number above 0 and up to 1, such as 0.8"#,
        r#"access.mode: "protected" (the default) lets nobody in without tokens or tickets; name a file in access.token_file (`taskgate token NAME` makes its lines) or in access.ticket_secret_file, or, where this machine alone reads, set access.mode = "open" (TASKGATE_ACCESS__MODE=open)"#,
        r#"polling.fresh_for (config.toml): "6s" is longer than polling.max_interval ("5s"); write "5s" or less"#,
        "cahce (config.toml): no such section; did you mean [cache]?",
        "colour (config.toml): no such setting; every setting stands in a section, such as [server]",
        "TASKGATE_BUDGET_BURST: no such variable; did you mean TASKGATE_BUDGET__BURST?",
    ];
    assert_eq!(found, expected.join("\n"));
}
