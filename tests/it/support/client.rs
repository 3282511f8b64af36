//! Owns a client that sends what it is told, byte for byte, and shows what came back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far more than any answer takes: a test that reaches it has found a hang.
const LIMIT: Duration = Duration::from_secs(30);

/// One answer, taken apart.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// The head as it came.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value, whatever its case; of several, all of them.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// A header that has to be there.
    #[track_caller]
    pub fn expect(&self, name: &str) -> String {
        self.header(name).unwrap_or_else(|| panic!("no {name} in\n{}", self.head))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `error.code` of the envelope, after checking that it is the gateway's own.
    #[track_caller]
    pub fn error_code(&self) -> String {
        let json: serde_json::Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"));
        assert_eq!(json["error"]["type"], "gateway_error", "{self:?}");
        assert_eq!(self.expect("cache-control"), "no-store");
        assert!(json["error"]["message"].as_str().unwrap().len() > 20, "a message that helps: {json}");
        json["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// Sends bytes, and reads all that comes until the other side closes.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let work = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The gateway may refuse, answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    timeout(LIMIT, work).await.expect("the gateway hangs")
}

/// One request with these header lines; the connection closes after it.
pub async fn request(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let names_host = headers.lines().any(|line| line.to_lowercase().starts_with("host:"));
    let host = if names_host { String::new() } else { format!("Host: {address}\r\n") };
    let head = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n");
    take_apart(&exchange(address, head.as_bytes()).await)
}

pub async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, "").await
}

pub async fn get_with(address: SocketAddr, path: &str, headers: &str) -> Answer {
    request(address, "GET", path, headers).await
}

#[track_caller]
fn take_apart(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head of text");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}
