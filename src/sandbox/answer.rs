//! Owns the handling of a request in the sandbox: it is counted, admitted, delayed and answered.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, sleep};

use super::body::TaskBody;
use super::file::File;
use super::json::JSON_UTF8;
use super::limiter::{Key, Quota, Share};
use super::medium::Medium;
use super::refusal::Refusal;
use super::state::{Shared, wall_clock};
use super::target::Target;
use super::{create, task};

const MAX_BODY_BYTES: usize = 64 << 10;

pub(super) async fn answer(State(sandbox): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let target = Target::of(&head.method, head.uri.path());
    if let Target::Status { .. } = target {
        sandbox.count_status_request();
    }
    let (quota, admitted) = admit(&sandbox, target, &head.headers);
    // The delay precedes the look at the task, so that a delayed answer holds the newest state.
    let latency = sandbox.options().latency;
    if !latency.is_zero() {
        sleep(latency).await;
    }
    let answered = match admitted {
        Ok(()) => serve(&sandbox, target, &head.headers, body).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = answered.into_response();
    if let Some(quota) = quota {
        add_quota(response.headers_mut(), quota);
    }
    // Without the query, which may hold a secret.
    tracing::debug!(
        http.method = %head.method,
        http.path = head.uri.path(),
        http.code = response.status().as_u16(),
        "answered"
    );
    response
}

/// Checks the key, then its rate, then its rights, in the args of LemonData.
fn admit(sandbox: &Shared, target: Target<'_>, headers: &HeaderMap) -> (Option<Quota>, Result<(), Refusal>) {
    if let Target::File { .. } = target {
        return (None, Ok(()));
    }
    let key = match identify(&sandbox.options().api_key, headers) {
        Ok(key) => key,
        Err(refusal) => return (None, Err(refusal)),
    };
    let quota = match sandbox.limiter().take(key, Instant::now(), wall_clock()) {
        Share::Unlimited => None,
        Share::Granted(quota) => Some(quota),
        Share::Refused(quota, retry_after_secs) => {
            return (Some(quota), Err(Refusal::RateLimited { retry_after_secs }));
        }
    };
    let about_a_task =
        matches!(target, Target::Status { .. } | Target::Cancel { .. } | Target::Content { .. });
    let verdict = match key {
        Key::Accepted => Ok(()),
        Key::Expired => Err(Refusal::ExpiredKey),
        Key::Empty => Err(Refusal::EmptyBalance),
        Key::Forbidden if about_a_task => Err(Refusal::ForbiddenTask),
        Key::Forbidden => Ok(()),
    };
    (quota, verdict)
}

fn identify(accepted: &str, headers: &HeaderMap) -> Result<Key, Refusal> {
    let given = headers.get(AUTHORIZATION).ok_or(Refusal::MissingKey)?;
    let given = given.to_str().map_err(|_| Refusal::UnknownKey)?;
    let (scheme, key) = given.split_once(' ').ok_or(Refusal::UnknownKey)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::UnknownKey);
    }
    match key.trim() {
        key if key == accepted => Ok(Key::Accepted),
        "sk-expired" => Ok(Key::Expired),
        "sk-empty" => Ok(Key::Empty),
        "sk-forbidden" => Ok(Key::Forbidden),
        _ => Err(Refusal::UnknownKey),
    }
}

async fn serve(
    sandbox: &Shared,
    target: Target<'_>,
    fields: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    match target {
        Target::Create(medium) => {
            let plan = create::read(&whole(body).await?)?;
            let task = sandbox.start(medium, plan);
            Ok(show(sandbox, &task, &task.first_state()))
        }
        Target::Status { medium, id } => {
            let (task, state) = sandbox.look(id).ok_or(Refusal::TaskNotFound)?;
            if medium.is_some_and(|medium| medium != task.medium) {
                return Err(Refusal::TaskNotFound);
            }
            Ok(show(sandbox, &task, &state))
        }
        Target::Cancel { id } => {
            let (task, state) = sandbox.cancel(id)?;
            Ok(show(sandbox, &task, &state))
        }
        Target::File { name } => {
            let file = File::named(name).ok_or(Refusal::NoSuchFile)?;
            Ok(file.answer(fields))
        }
        Target::Content { id } => {
            let (task, state) = sandbox.look(id).ok_or(Refusal::TaskNotFound)?;
            if task.medium != Medium::Video || state.phase != task::Phase::Completed {
                return Err(Refusal::NoSuchFile);
            }
            Ok(File::film(id).answer(fields))
        }
        Target::WrongMethod { allow } => Err(Refusal::WrongMethod { allow }),
        Target::Unknown => Err(Refusal::NoSuchPath),
    }
}

async fn whole(body: Body) -> Result<axum::body::Bytes, Refusal> {
    // Besides the limit, only a broken connection fails here, and then no client reads the answer.
    to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| Refusal::TooLarge { limit_bytes: MAX_BODY_BYTES })
}

fn show(sandbox: &Shared, task: &task::Task, state: &task::State) -> Response {
    (JSON_UTF8, Json(TaskBody::new(task, state, &sandbox.options().results_url))).into_response()
}

fn add_quota(headers: &mut HeaderMap, quota: Quota) {
    headers.insert("x-ratelimit-limit", HeaderValue::from(quota.limit));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(quota.remaining));
    headers.insert("x-ratelimit-reset", HeaderValue::from(quota.resets));
}
