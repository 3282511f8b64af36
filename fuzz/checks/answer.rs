//! Checks what becomes of an upstream's answer, head and body, from the socket through the classification to the
//! client: whatever comes, the client gets one answer, either the upstream's own body or an error of the gateway.

use serde::de::IgnoredAny;

use super::gateway::{Reply, start};

/// The key of the fixture's gateway.
const KEY: &[u8] = b"sk-0123456789";

/// `data` is sent as it is, wherever the upstream is asked, and the connection is closed behind it.
pub fn check(data: &[u8]) {
    // Another gateway each time: failures close the gate, and the next answer would wait for a probe.
    let bytes = data.to_vec();
    let gateway = start(move |_| bytes.clone());
    let request = b"GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answers = gateway.exchange(&[request], false);
    assert!(!is_sent(&answers, KEY), "the key");
    let data = &without_key(data);
    let mut rest = answers.as_slice();
    let reply = Reply::take(&mut rest, false);
    assert_eq!(rest, b"", "one answer");
    assert!(!reply.body.is_empty(), "{reply:?}");
    let parsed = serde_json::from_slice::<IgnoredAny>(&reply.body);
    assert!(parsed.is_ok(), "no complete JSON: {reply:?}");
    let code = reply.code();
    if code.is_empty() || is_sent(data, &reply.body) {
        assert!(matches!(reply.status, 200..=299 | 400..=499), "{reply:?}");
        let line = data.split(|byte| *byte == b'\n').any(|line| {
            line.starts_with(b"HTTP/1.") && line.get(9..12) == Some(reply.status.to_string().as_bytes())
        });
        assert!(line, "a status that the upstream has not sent: {reply:?}");
        // In chunks it is sent in pieces.
        let is_chunked = data.to_ascii_lowercase().windows(7).any(|word| word == b"chunked");
        assert!(is_chunked || is_sent(data, &reply.body), "a body that the upstream has not sent: {reply:?}");
        if reply.status < 300 {
            assert!(reply.header("etag").is_some(), "{reply:?}");
        }
        return;
    }
    let is_mine = matches!(
        (reply.status, code.as_str()),
        (429, "upstream_rate_limited")
            | (
                502,
                "upstream_error"
                    | "upstream_unreachable"
                    | "upstream_invalid_response"
                    | "upstream_key_rejected"
                    | "upstream_quota_exhausted"
            )
            | (504, "upstream_timeout")
    );
    assert!(is_mine, "{reply:?}");
    let retry_after = reply.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    // No closure lasts longer than its cap, and the spread adds a fraction.
    assert!(retry_after.is_some_and(|seconds| seconds <= 400), "{reply:?}");
}

/// The rest of an answer after the key is removed.
fn without_key(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    while let Some(at) = data.windows(KEY.len()).position(|window| window == KEY) {
        data.splice(at..at + KEY.len(), *b"***");
    }
    data
}

fn is_sent(data: &[u8], body: &[u8]) -> bool {
    data.windows(body.len()).any(|window| window == body)
}
