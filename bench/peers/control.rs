//! Owns the controls: bare frameworks without a gateway, as processes of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use moka::sync::Cache;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::script::{KEY, Script};
use crate::{Failure, events, origin};

/// Plays one role until it is killed: `ceiling ADDRESS HIT`, `together ADDRESS HIT`, `lookup ADDRESS HIT`,
/// `events ADDRESS HIT`, `pass ADDRESS ORIGIN`, `origin ADDRESS`, `neighbour`. HIT is a file with an answer of taskgate, which is copied.
pub fn play(words: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words {
        ["ceiling", address, hit] => one_thread()?.block_on(ceiling(address.parse()?, Kept::read(hit)?)),
        ["together", address, hit] => one_thread()?.block_on(together(address.parse()?, Kept::read(hit)?)),
        ["events", address, hit] => one_thread()?.block_on(events::serve(address.parse()?, Kept::read(hit)?)),
        ["lookup", address, hit] => as_taskgate()?.block_on(lookup(address.parse()?, Kept::read(hit)?)),
        ["pass", address, origin] => as_taskgate()?.block_on(pass(address.parse()?, origin.to_owned())),
        ["origin", address] => one_thread()?.block_on(async {
            origin::serve(listen(address.parse()?)?, Arc::new(Script::default())).await;
            Ok(())
        }),
        ["neighbour"] => neighbour(),
        _ => Err(format!("no such role: {words:?}").into()),
    }
}

/// Writes to one byte after the other of more memory than a cache holds, each in a line of its own.
fn neighbour() -> ! {
    const BYTES: usize = 256 << 20;
    const LINE: usize = 64;
    let mut memory = vec![0_u8; BYTES];
    loop {
        for byte in memory.iter_mut().step_by(LINE) {
            *byte = byte.wrapping_add(1);
        }
        std::hint::black_box(&memory);
    }
}

/// The fastest runtime of Tokio: it has no scheduler between threads.
fn one_thread() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// The runtime of taskgate: one worker if there is one core.
fn as_taskgate() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

/// A listener with the kernel's longest queue, as 2,000 clients may connect at once.
#[expect(clippy::disallowed_methods, reason = "a bench is its own caller: it binds")]
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

/// An answer, ready to be sent.
pub struct Kept {
    pub headers: HeaderMap,
    body: Bytes,
}

impl Kept {
    fn read(path: &str) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no head")?;
        let mut headers = HeaderMap::new();
        for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
            // hyper writes these headers itself, as for taskgate.
            if !["date", "content-length", "transfer-encoding"].contains(&name) {
                headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
            }
        }
        Ok(Self { headers, body: Bytes::from(body.to_owned()) })
    }

    fn answer(&self) -> Response {
        self.answer_with(self.body.clone())
    }

    fn answer_with(&self, body: Bytes) -> Response {
        let mut response = Response::new(Body::from(body));
        *response.headers_mut() = self.headers.clone();
        response
    }
}

/// Bare hyper, which gives the same answer to every request.
async fn ceiling(address: SocketAddr, kept: Kept) -> Result<(), Failure> {
    let kept = Arc::new(kept);
    accept(address, move |stream| {
        let kept = Arc::clone(&kept);
        async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let answer = kept.answer();
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        }
    })
    .await
}

/// Bare hyper in the place of the origin: the task's id sets the time of all its answers.
async fn together(address: SocketAddr, kept: Kept) -> Result<(), Failure> {
    let shared = Arc::new((kept, Script::default()));
    accept(address, move |stream| {
        let shared = Arc::clone(&shared);
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let shared = Arc::clone(&shared);
                async move {
                    let id = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
                    drop(request);
                    let (kept, script) = &*shared;
                    let body = script.finished(&id).await;
                    Ok::<_, std::convert::Infallible>(kept.answer_with(body.into()))
                }
            });
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        }
    })
    .await
}

/// axum's router and one look-up in moka.
async fn lookup(address: SocketAddr, kept: Kept) -> Result<(), Failure> {
    let id = serde_json::from_slice::<serde_json::Value>(&kept.body)?;
    let id = id.get("id").and_then(|id| id.as_str()).ok_or("no id")?.to_owned();
    let cache: Cache<String, Arc<Kept>> = Cache::builder().max_capacity(256 << 20).build();
    cache.insert(id, Arc::new(kept));
    let router = Router::new().route(
        "/v1/tasks/{id}",
        get(async |State(cache): State<Cache<String, Arc<Kept>>>, uri: Uri| {
            let id = uri.path().strip_prefix("/v1/tasks/").unwrap_or_default();
            cache.get(id).map_or_else(|| failed(StatusCode::NOT_FOUND), |kept| kept.answer())
        }),
    );
    route(address, router.with_state(cache)).await
}

/// axum's router, and for each request one of reqwest's, whose client is set up like taskgate's.
async fn pass(address: SocketAddr, origin: String) -> Result<(), Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(std::time::Duration::from_secs(3))
        .timeout(std::time::Duration::from_secs(10))
        .build()?;
    let router = Router::new().route(
        "/v1/tasks/{id}",
        get(async |State((client, origin)): State<(reqwest::Client, Arc<str>)>, uri: Uri| {
            forward(&client, &format!("{origin}{}", uri.path())).await
        }),
    );
    route(address, router.with_state((client, Arc::from(format!("http://{origin}"))))).await
}

async fn forward(client: &reqwest::Client, url: &str) -> Response {
    match client.get(url).header(header::AUTHORIZATION, KEY).send().await {
        Ok(received) => {
            let (status, headers) = (received.status(), received.headers().clone());
            #[expect(clippy::disallowed_methods, reason = "bare: the origin is known to be brief")]
            let Ok(body) = received.bytes().await else { return failed(StatusCode::BAD_GATEWAY) };
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Err(error) if error.is_timeout() => failed(StatusCode::GATEWAY_TIMEOUT),
        Err(_) => failed(StatusCode::BAD_GATEWAY),
    }
}

fn failed(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

async fn route(address: SocketAddr, router: Router) -> Result<(), Failure> {
    accept(address, move |stream| {
        let service = TowerToHyperService::new(router.clone());
        async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await }
    })
    .await
}

pub async fn accept<F, S>(address: SocketAddr, serve: F) -> Result<(), Failure>
where
    F: Fn(TcpStream) -> S,
    S: Future<Output = hyper::Result<()>> + Send + 'static,
{
    let listener = listen(address)?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        connections.spawn(serve(stream));
        while connections.try_join_next().is_some() {}
    }
}
