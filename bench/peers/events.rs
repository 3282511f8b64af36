//! Owns the limit of the part about pushes: bare hyper, which writes what is published to it to all who watch.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{Duration, interval};

use crate::Failure;
use crate::control::{Kept, accept};

/// taskgate's heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(15);
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

type Tasks = Arc<Mutex<HashMap<String, Arc<Mutex<Task>>>>>;

#[derive(Debug, Default)]
struct Task {
    latest: Bytes,
    opened: u64,
    watchers: HashMap<u64, Arc<Mutex<Slot>>>,
}

/// The next bytes of a watcher: newer ones replace those that it has not taken.
#[derive(Debug, Default)]
struct Slot {
    next: Bytes,
    waker: Option<Waker>,
}

/// The body of an answer: the events of a task, or nothing.
struct Events(Option<Watcher>);

struct Watcher {
    task: Arc<Mutex<Task>>,
    number: u64,
    slot: Arc<Mutex<Slot>>,
}

/// Streams for `GET` with `Accept: text/event-stream`, publications by `POST`, and an empty answer for the rest.
pub async fn serve(address: SocketAddr, kept: Kept) -> Result<(), Failure> {
    let (tasks, kept) = (Tasks::default(), Arc::new(kept));
    let mut beating = JoinSet::new();
    beating.spawn(beat(Arc::clone(&tasks)));
    accept(address, move |stream| {
        let (tasks, kept) = (Arc::clone(&tasks), Arc::clone(&kept));
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (tasks, kept) = (Arc::clone(&tasks), Arc::clone(&kept));
                async move { Ok::<_, Infallible>(answer(request, &tasks, &kept).await) }
            });
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        }
    })
    .await
}

async fn answer(request: Request<Incoming>, tasks: &Tasks, kept: &Kept) -> Response<Events> {
    let id = request.uri().path().rsplit('/').next().unwrap_or_default();
    let task = || Arc::clone(lock(tasks).entry(id.to_owned()).or_default());
    let mut response = Response::new(Events(None));
    if request.method() == Method::POST {
        let task = task();
        let event = whole(request.into_body()).await;
        lock(&task).publish(&event);
    } else if request.headers().get(header::ACCEPT).is_some_and(|value| value == "text/event-stream") {
        *response.body_mut() = Events(Some(Watcher::new(task())));
        *response.headers_mut() = kept.headers.clone();
    }
    response
}

/// The bytes of a publication.
async fn whole(mut body: Incoming) -> Bytes {
    let mut whole = Vec::new();
    while let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    whole.into()
}

/// A heartbeat for all, where no event waits.
async fn beat(tasks: Tasks) {
    let mut ticks = interval(HEARTBEAT);
    loop {
        ticks.tick().await;
        let tasks: Vec<_> = lock(&tasks).values().cloned().collect();
        for task in tasks {
            for slot in lock(&task).watchers.values() {
                let mut slot = lock(slot);
                if slot.next.is_empty() {
                    slot.put(COMMENT);
                }
            }
        }
    }
}

impl Task {
    fn publish(&mut self, event: &Bytes) {
        self.latest = event.clone();
        for slot in self.watchers.values() {
            lock(slot).put(event.clone());
        }
    }
}

impl Slot {
    fn put(&mut self, bytes: Bytes) {
        self.next = bytes;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Watcher {
    fn new(task: Arc<Mutex<Task>>) -> Self {
        let mut guard = lock(&task);
        let number = guard.opened;
        guard.opened += 1;
        let slot = Arc::new(Mutex::new(Slot { next: guard.latest.clone(), waker: None }));
        guard.watchers.insert(number, Arc::clone(&slot));
        drop(guard);
        Self { task, number, slot }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        lock(&self.task).watchers.remove(&self.number);
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(watcher) = &self.0 else { return Poll::Ready(None) };
        let mut slot = lock(&watcher.slot);
        if slot.next.is_empty() {
            slot.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut slot.next)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
