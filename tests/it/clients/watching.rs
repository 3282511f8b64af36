//! Owns a client at work: what it shows, line by line.

use std::collections::HashMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Program, run};

/// Where the page's connection stands among its cards: no task has this id.
const CONNECTION: &str = "";

/// A client at work, and what it has shown.
pub struct Watching {
    program: Program,
    /// The page's cards, and its connection, as they were last shown.
    cards: HashMap<String, Value>,
    last: Value,
}

pub fn start(mut command: Command, url: &str) -> Watching {
    command.arg(url);
    Watching { program: run(command), cards: HashMap::new(), last: Value::Null }
}

impl Watching {
    #[track_caller]
    #[expect(clippy::print_stderr, reason = "shown where the test fails")]
    fn next(&mut self) -> Value {
        let line = self.program.next_line();
        eprintln!("{line}");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"))
    }

    #[track_caller]
    pub fn expect(&mut self, event: Value) {
        assert_eq!(self.next(), event);
    }

    #[track_caller]
    pub fn expect_trouble(&mut self, code: &str) {
        let seen = self.next();
        assert_eq!(seen["event"], "trouble");
        let envelope: Value = serde_json::from_str(seen["data"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&envelope["error"]["code"], &envelope["error"]["type"]),
            (&json!(code), &json!("gateway_error"))
        );
    }

    /// The next item of many: whose it is, and its event, its code and what the task or the error says.
    #[track_caller]
    pub fn next_item(&mut self) -> (String, Value) {
        let seen = self.next();
        let item: Value = serde_json::from_str(seen["data"].as_str().unwrap()).unwrap();
        let says = if item["task"].is_null() { &item["error"]["code"] } else { &item["task"]["status"] };
        assert!(seen["id"].as_str().unwrap_or_default().is_empty(), "{seen}");
        (item["id"].as_str().unwrap().to_owned(), json!([seen["event"], item["code"], says]))
    }

    /// Waits until the page says so of its connection, if it does not already.
    #[track_caller]
    pub fn connection(&mut self, part: &str) {
        self.card(CONNECTION, |line| line["connection"].as_str().is_some_and(|text| text.contains(part)));
    }

    /// Waits for such a line of the page, unless the last one was such.
    #[track_caller]
    pub fn wait_for(&mut self, is_it: impl Fn(&Value) -> bool) {
        while !is_it(&self.last) {
            let line = self.next();
            assert_eq!(line["broken"], Value::Null, "a script of the page failed");
            let id = line["id"].as_str().unwrap_or(CONNECTION);
            self.cards.insert(id.to_owned(), line.clone());
            self.last = line;
        }
    }

    /// Waits until a card of the page looks like this, if it does not already.
    #[track_caller]
    pub fn card(&mut self, id: &str, is_it: impl Fn(&Value) -> bool) {
        if !self.cards.get(id).is_some_and(&is_it) {
            self.wait_for(|line| line["id"].as_str().unwrap_or(CONNECTION) == id && is_it(line));
        }
    }

    /// Closes its standard input, which is a sign to it.
    pub fn close_stdin(&mut self) {
        self.program.close_stdin();
    }

    /// Its last words, when it is asked for them.
    #[track_caller]
    pub fn last_words(mut self) -> Value {
        self.program.close_stdin();
        loop {
            let line = self.next();
            assert_eq!(line["broken"], Value::Null, "{line}");
            if let Some(last) = line.get("last") {
                return last.clone();
            }
        }
    }

    /// It has to end by itself, having said no more. (The page's reader watches its standard input for that.)
    #[track_caller]
    pub fn end(mut self) -> HashMap<String, Value> {
        self.program.close_stdin();
        let (code, rest, errors) = self.program.end();
        assert_eq!((code, rest.as_str()), (Some(0), ""), "{errors}");
        self.cards
    }
}
