//! Owns a gateway for the checks that need a whole one: on loopback sockets, in front of an upstream that a closure
//! plays, and with a client that sends bytes and reads what comes back.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use taskgate::app::{self, Listeners};
use taskgate::config::{self, Sources};
use taskgate::core::task::Routes;
use taskgate::lifecycle::Lifecycle;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// Far more than any exchange takes: one that reaches it hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// A gateway. Dropped, it is gone.
pub struct Fixture {
    pub address: SocketAddr,
    pub routes: Routes,
    lifecycle: Lifecycle,
    /// Dropped with it.
    _upstream: Upstream,
}

/// A gateway whose upstream answers the request of each path with these bytes, and then closes.
pub fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Fixture {
    let upstream = Upstream::start(Arc::new(answer));
    let settings = [
        ("LEMONDATA_API_KEY", "sk-0123456789"),
        ("TASKGATE_ACCESS__MODE", "open"),
        ("TASKGATE_SERVER__LISTEN", "127.0.0.1:0"),
        ("TASKGATE_ADMIN__LISTEN", "off"),
        ("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", "1000000"),
        ("TASKGATE_UPSTREAM__BASE_URL", &format!("http://{}", upstream.address)),
    ];
    let env = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings = config::load(&Sources { file: None, env }).unwrap();
    let lifecycle = Lifecycle::default();
    let address = RUNTIME.block_on(async {
        let listeners = Listeners::bind(&settings).await.unwrap();
        let address = listeners.main.local_addr().unwrap();
        drop(app::start(&settings, listeners, &lifecycle).unwrap());
        address
    });
    Fixture { address, routes: settings.upstream.routes, lifecycle, _upstream: upstream }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

impl Fixture {
    /// Sends bytes piece by piece, ends this side where `is_all` says so, and reads to the end.
    pub fn exchange(&self, pieces: &[&[u8]], is_all: bool) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        for piece in pieces {
            // The gateway may refuse, answer and close before it has read everything.
            let _ = stream.write_all(piece);
        }
        if is_all {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut answers = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answers) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the gateway hangs");
        }
        answers
    }
}

/// One answer of the gateway.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// Takes the first answer off the bytes; one to HEAD has no body, whatever its head says.
    pub fn take(bytes: &mut &[u8], is_head: bool) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..end]).unwrap().to_owned();
        *bytes = &bytes[end + 4..];
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Self { status, head, body: Vec::new() };
        if is_head || matches!(status, 204 | 304) {
            return reply;
        }
        if reply.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            reply.body = chunks(bytes);
        } else {
            let length = reply.length();
            reply.body = bytes[..length].to_vec();
            *bytes = &bytes[length..];
        }
        reply
    }

    /// The length that the head tells.
    pub fn length(&self) -> usize {
        self.header("content-length").map_or(0, |length| length.parse().unwrap())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The code of an error of the gateway's own.
    pub fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let error = &json["error"];
        if error["type"] == "gateway_error" {
            error["code"].as_str().unwrap().to_owned()
        } else {
            String::new()
        }
    }
}

/// Takes a chunked body (RFC 9112, 7.1) off the bytes.
fn chunks(bytes: &mut &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        assert_eq!(&bytes[end + 2 + size..][..2], b"\r\n");
        *bytes = &bytes[end + 4 + size..];
        if size == 0 {
            return body;
        }
    }
}

type Script = dyn Fn(&str) -> Vec<u8> + Send + Sync;

struct Upstream {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl Upstream {
    fn start(answer: Arc<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut head = [0; 8192];
                    // One read: a request of the gateway is one small write.
                    let length = stream.read(&mut head).unwrap_or(0);
                    let head = String::from_utf8_lossy(&head[..length]);
                    if let Some(path) = head.split(' ').nth(1) {
                        let _ = stream.write_all(&answer(path));
                    }
                });
            }
        });
        Self { address, is_over }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}
