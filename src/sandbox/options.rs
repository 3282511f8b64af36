//! Owns the flags of the sandbox: defaults, checks and help texts.

use std::time::Duration;

use clap::Args;
use url::Url;

use super::durations::Durations;

/// The flags of the sandbox, one for each field; the CLI flattens them into `taskgate sandbox`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Options {
    /// Delay of every answer, such as 50ms or 2s (0s: no delay)
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = duration)]
    pub latency: Duration,

    /// Time from the create to the end of a task, such as 30s or 5m; images take half of it
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub duration: Duration,

    /// Durations of the tasks
    #[arg(long, value_name = "KIND", default_value = "fixed")]
    pub durations: Durations,

    /// Part of the tasks that end as failed, from 0 (none) to 1 (all)
    #[arg(long, value_name = "PART", default_value = "0.1", value_parser = rate)]
    pub failure_rate: f64,

    /// Rate limit of one key in requests a minute, creates included (0: no limit)
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    pub requests_per_minute: u32,

    /// Time after its create in which a new task answers 404, such as 2s
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub not_found_for: Duration,

    /// Time after its end in which a task can be read before it answers 404, such as 1h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub expire_after: Duration,

    /// Accepted key. Besides it, sk-expired gets 401, sk-empty 402, and sk-forbidden 403 on tasks
    #[arg(long, value_name = "KEY", default_value = "sk-sandbox", value_parser = key)]
    pub api_key: String,

    /// Start of the result URLs. With the sandbox's own address (<http://127.0.0.1:8788>), images and
    /// films can be fetched: it serves placeholders at /files/ID.svg and /files/ID.mp4. Other media have no file
    #[arg(long, value_name = "URL", default_value = "https://cdn.sandbox.example", value_parser = base_url)]
    pub results_url: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(50),
            duration: Duration::from_secs(30),
            durations: Durations::Fixed,
            failure_rate: 0.1,
            requests_per_minute: 1000,
            not_found_for: Duration::ZERO,
            expire_after: Duration::from_secs(60 * 60),
            api_key: "sk-sandbox".to_owned(),
            results_url: "https://cdn.sandbox.example".to_owned(),
        }
    }
}

/// Reads `30s`, `5m` or `1h 30m`. Flags and create bodies share it, so the message fits both.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|fault| format!("{fault}; write a number and a unit, such as 50ms, 30s, 5m or 1h"))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(part) if (0.0..=1.0).contains(&part) => Ok(part),
        _ => Err("write a number from 0 (no task fails) to 1 (every task fails), such as 0.1".to_owned()),
    }
}

fn key(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a key is visible ASCII without spaces, such as sk-sandbox".to_owned());
    }
    Ok(text.to_owned())
}

fn base_url(text: &str) -> Result<String, String> {
    let cure = "write http:// or https://, a host, and no query, such as http://127.0.0.1:8788";
    let url = Url::parse(text).map_err(|fault| format!("{fault}; {cure}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(cure.to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        options: Options,
    }

    fn parse(args: &[&str]) -> Result<Options, String> {
        Alone::try_parse_from([&["sandbox"], args].concat())
            .map(|alone| alone.options)
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn no_flags_are_the_defaults() {
        assert_eq!(parse(&[]).unwrap(), Options::default());
    }

    #[test]
    fn every_flag_is_read() {
        let options = parse(&[
            "--latency=1ms",
            "--duration=2m",
            "--durations=lognormal",
            "--failure-rate=1",
            "--requests-per-minute=0",
            "--not-found-for=3s",
            "--expire-after=1h 30m",
            "--api-key=sk-mine",
            "--results-url=http://127.0.0.1:8788/",
        ]);
        let expected = Options {
            latency: Duration::from_millis(1),
            duration: Duration::from_secs(120),
            durations: Durations::Lognormal,
            failure_rate: 1.0,
            requests_per_minute: 0,
            not_found_for: Duration::from_secs(3),
            expire_after: Duration::from_secs(5400),
            api_key: "sk-mine".into(),
            results_url: "http://127.0.0.1:8788".into(),
        };
        assert_eq!(options.unwrap(), expected);
    }

    #[test]
    fn a_bad_value_is_answered_with_the_cure() {
        let cases = [
            ("--latency=50", "such as 50ms"),
            ("--duration=soon", "such as 50ms"),
            ("--durations=real", "possible values: fixed, lognormal"),
            ("--failure-rate=1.1", "from 0 (no task fails) to 1"),
            ("--failure-rate=NaN", "from 0 (no task fails) to 1"),
            ("--failure-rate=ten", "from 0 (no task fails) to 1"),
            ("--requests-per-minute=-1", "invalid"),
            ("--api-key=", "visible ASCII"),
            ("--api-key=a b", "visible ASCII"),
            ("--results-url=cdn.example", "write http://"),
            ("--results-url=file:///tmp", "write http://"),
            ("--results-url=http://a/?b", "write http://"),
        ];
        for (arg, part) in cases {
            let message = parse(&[arg]).unwrap_err();
            assert!(message.contains(part), "{arg}: {message}");
        }
    }
}
