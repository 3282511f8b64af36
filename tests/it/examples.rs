//! The ready-made settings of `examples/settings`: each file, as a user would name it, in front of a look-alike
//! that speaks as that API does.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use taskgate::app::{self, Listeners};
use taskgate::config::{self, Settings, Sources};
use taskgate::lifecycle::Lifecycle;

use crate::support::{Events, Gateway, KEY, QUICK, Reply, Seen, Upstream, get};

/// An API, as its documents describe it.
struct Api {
    file: &'static str,
    base_url: &'static str,
    /// Its status path for an id.
    path: fn(&str) -> String,
    id: &'static str,
    scheme: &'static str,
    /// Header lines that it wants besides.
    headers: &'static [&'static str],
    /// Its answers for a task under way, in order.
    live: &'static [(u16, &'static str)],
    /// Its possible last answers.
    terminal: &'static [&'static str],
    missing: &'static str,
}

const LEMONDATA: Api = Api {
    file: "lemondata.toml",
    base_url: "https://api.lemondata.cc",
    path: |id| format!("/v1/videos/generations/{id}"),
    id: "ldtask_5f0c6b1e9d2a4473b8e1c7a2d9036f4b",
    scheme: "Bearer",
    headers: &[],
    live: &[
        (200, r#"{"id":"ldtask_5f0c","task_id":"ldtask_5f0c","status":"pending","created":1790000000}"#),
        (200, r#"{"id":"ldtask_5f0c","task_id":"ldtask_5f0c","status":"processing","progress":42.5}"#),
    ],
    terminal: &[
        r#"{"id":"ldtask_5f0c","status":"completed","video_url":"https://cdn.example/a.mp4","progress":100}"#,
        r#"{"id":"ldtask_5f0c","status":"succeeded","video":{"url":"https://cdn.example/a.mp4","width":1280}}"#,
        r#"{"id":"ldtask_5f0c","status":"failed","error":"The prompt was refused."}"#,
        r#"{"id":"ldtask_5f0c","status":"failed","cancelled":true,"cancellation_status":"cancelled"}"#,
    ],
    missing: r#"{"error":{"message":"Task not found or no longer available.","type":"invalid_request_error","code":"async_task_not_found"}}"#,
};

const OPENAI_VIDEOS: Api = Api {
    file: "openai-videos.toml",
    base_url: "https://api.openai.com",
    path: |id| format!("/v1/videos/{id}"),
    id: "video_68d7512d07848190b3e45da0ecbebcde004da08e1e0678d5",
    scheme: "Bearer",
    headers: &[],
    live: &[
        (
            200,
            r#"{"id":"video_68d7","object":"video","model":"sora-2","status":"queued","progress":0,"error":null}"#,
        ),
        (
            200,
            r#"{"id":"video_68d7","object":"video","status":"in_progress","progress":33,"seconds":"8","size":"1280x720"}"#,
        ),
    ],
    terminal: &[
        r#"{"id":"video_68d7","object":"video","status":"completed","progress":100,"expires_at":4102444800,"error":null}"#,
        r#"{"id":"video_68d7","object":"video","status":"failed","error":{"code":"moderation_blocked","message":"Blocked."}}"#,
    ],
    missing: r#"{"error":{"message":"No such video.","type":"invalid_request_error","param":null,"code":null}}"#,
};

const REPLICATE: Api = Api {
    file: "replicate.toml",
    base_url: "https://api.replicate.com",
    path: |id| format!("/v1/predictions/{id}"),
    id: "gm3qorzdhgbfurvjtvhg6dckhu",
    scheme: "Bearer",
    headers: &[],
    live: &[
        (200, r#"{"id":"gm3q","status":"starting","input":{"prompt":"a lemon"},"output":null,"error":null}"#),
        (200, r#"{"id":"gm3q","status":"processing","logs":"12%|#","output":null,"error":null}"#),
    ],
    terminal: &[
        r#"{"id":"gm3q","status":"succeeded","output":["https://replicate.delivery/x/out.png"],"metrics":{"predict_time":4.5}}"#,
        r#"{"id":"gm3q","status":"failed","output":null,"error":"CUDA out of memory"}"#,
        r#"{"id":"gm3q","status":"canceled","output":null,"error":null}"#,
        r#"{"id":"gm3q","status":"aborted","output":null,"error":null}"#,
    ],
    missing: r#"{"title":"Not found","detail":"There is no such prediction.","status":404}"#,
};

const RUNWAY: Api = Api {
    file: "runway.toml",
    base_url: "https://api.dev.runwayml.com",
    path: |id| format!("/v1/tasks/{id}"),
    id: "17f20503-6c24-4c16-946b-35dbbce2af2f",
    scheme: "Bearer",
    headers: &["x-runway-version: 2024-11-06"],
    live: &[
        (200, r#"{"id":"17f2","createdAt":"2026-06-27T19:49:32.334Z","status":"PENDING"}"#),
        (200, r#"{"id":"17f2","createdAt":"2026-06-27T19:49:32.334Z","status":"THROTTLED"}"#),
        (200, r#"{"id":"17f2","createdAt":"2026-06-27T19:49:32.334Z","status":"RUNNING","progress":0.5}"#),
    ],
    terminal: &[
        r#"{"id":"17f2","status":"SUCCEEDED","output":["https://dnznrvs05pmza.cloudfront.net/a.mp4?_jwt=x"]}"#,
        r#"{"id":"17f2","status":"FAILED","failure":"It did not work.","failureCode":"INTERNAL.BAD_OUTPUT.CODE01"}"#,
        r#"{"id":"17f2","status":"CANCELLED"}"#,
    ],
    missing: r#"{"error":"The task was not found."}"#,
};

/// Its queue answers 202 until the request is done.
const FAL: Api = Api {
    file: "fal.toml",
    base_url: "https://queue.fal.run",
    path: |id| format!("/fal-ai/flux/requests/{id}/status"),
    id: "764cabcf-b745-4b3e-ae38-1200304cf45b",
    scheme: "Key",
    headers: &[],
    live: &[
        (202, r#"{"status":"IN_QUEUE","request_id":"764c","queue_position":3}"#),
        (202, r#"{"status":"IN_PROGRESS","request_id":"764c","logs":[{"message":"step 4","level":"INFO"}]}"#),
    ],
    terminal: &[
        r#"{"status":"COMPLETED","request_id":"764c","metrics":{"inference_time":3.7}}"#,
        r#"{"status":"COMPLETED","request_id":"764c","error":"Invalid image","error_type":"image_load_error"}"#,
    ],
    missing: r#"{"detail":"There is no such request."}"#,
};

const ALL: [&Api; 5] = [&LEMONDATA, &OPENAI_VIDEOS, &REPLICATE, &RUNWAY, &FAL];

#[tokio::test]
async fn lemondata() {
    speaks(&LEMONDATA).await;
}

#[tokio::test]
async fn openai_videos() {
    speaks(&OPENAI_VIDEOS).await;
}

#[tokio::test]
async fn replicate() {
    speaks(&REPLICATE).await;
}

#[tokio::test]
async fn runway() {
    speaks(&RUNWAY).await;
}

#[tokio::test]
async fn fal() {
    speaks(&FAL).await;
}

#[test]
fn no_file_of_settings_is_left_untested() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, ALL.iter().map(|api| api.file.to_owned()).collect(), "add it to ALL, and a test above");
}

/// A setting that stands twice would one day stand in two ways.
#[test]
fn a_file_says_only_what_differs() {
    let defaults: toml::Table =
        config::render(&crate::support::settings("http://localhost:1", &[])).parse().unwrap();
    for api in ALL {
        let text = std::fs::read_to_string(folder().join(api.file)).unwrap();
        for (section, keys) in text.parse::<toml::Table>().unwrap() {
            for (key, value) in keys.as_table().unwrap() {
                // The tests' own settings are open too.
                let is_default = defaults[&section].get(key) == Some(value) && key != "mode";
                // The figure that everybody has to check for themselves stands in each.
                assert!(!is_default || key == "requests_per_minute", "{}: {section}.{key}", api.file);
            }
        }
    }
}

async fn speaks(api: &Api) {
    assert_eq!(settings(api, &[]).upstream.base_url.as_str().trim_end_matches('/'), api.base_url);
    let says = Says::default();
    let spoken = says.clone();
    let upstream = Upstream::start(move |_, request| spoken.of(request)).await;
    let gateway = start(api, &upstream).await;

    let path = (api.path)(api.id);
    says.now(&path, api.live[0]);
    let mut events = Events::open(gateway.address, &path, "").await;
    for (code, body) in api.live {
        says.now(&path, (*code, *body));
        assert_eq!(Events::data(&events.next().await), *body, "a live state is shown");
        let answer = get(gateway.address, &path).await;
        assert_eq!((answer.status, answer.text().as_str()), (*code, *body), "and mirrored");
        assert_eq!(answer.expect("cache-control"), "no-store", "and not kept: {body}");
        assert!(answer.header("retry-after").is_some(), "and will be asked about again: {body}");
    }
    for (number, body) in api.terminal.iter().enumerate() {
        let path = (api.path)(&format!("{}-{number}", api.id));
        says.now(&path, api.live[0]);
        let mut events = Events::open(gateway.address, &path, "").await;
        assert_eq!(Events::data(&events.next().await), api.live[0].1);
        says.now(&path, (200, *body));
        assert_eq!(Events::data(&events.next().await), *body);
        assert_eq!(events.next().await, Seen::End, "the last state ends the stream: {body}");
        let before = asked(&upstream, &path);
        let answer = get(gateway.address, &path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, *body));
        assert!(answer.expect("cache-status").starts_with("taskgate; hit; ttl="), "{}", answer.head);
        assert_eq!(answer.expect("cache-control"), "private, no-cache");
        assert_eq!(asked(&upstream, &path), before, "nobody asks about what is over");
    }
    let path = (api.path)("no-such-task");
    says.now(&path, (404, api.missing));
    let answer = get(gateway.address, &path).await;
    assert_eq!((answer.status, answer.text().as_str()), (404, api.missing));

    for request in upstream.heard() {
        let lines: BTreeSet<String> = request.lines().skip(1).map(lower_name).collect();
        assert!(lines.contains(&format!("authorization: {} {KEY}", api.scheme)), "{request}");
        for header in api.headers {
            assert!(lines.contains(*header), "{header} in {request}");
        }
    }
}

/// The look-alike's answer for each path.
#[derive(Clone, Default)]
struct Says(Arc<Mutex<HashMap<String, Reply>>>);

impl Says {
    fn now(&self, path: &str, (code, body): (u16, &str)) {
        self.0.lock().unwrap().insert(path.to_owned(), Reply::new(code, "", body));
    }

    fn of(&self, request: &str) -> Reply {
        let path = request.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        // A path that was never spoken of: the file's routes are wrong.
        self.0.lock().unwrap().get(path).cloned().unwrap_or_else(|| Reply::new(418, "", r#""who?""#))
    }
}

fn asked(upstream: &Upstream, path: &str) -> usize {
    upstream.times().iter().filter(|(_, asked)| asked == path).count()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/settings")
}

/// The file as `taskgate --config FILE` reads it, and these variables.
fn settings(api: &Api, extra: &[(&str, &str)]) -> Settings {
    let mut env = vec![("LEMONDATA_API_KEY".to_owned(), KEY.to_owned())];
    for (name, value) in extra {
        env.push((format!("TASKGATE_{}", name.replace('.', "__").to_uppercase()), (*value).to_owned()));
    }
    let env = env.into_iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let sources = Sources::gather(Some(Path::new(api.file)), env, &folder());
    sources.and_then(|sources| config::load(&sources)).unwrap_or_else(|faults| panic!("{faults}"))
}

async fn start(api: &Api, upstream: &Upstream) -> Gateway {
    let base_url = upstream.base_url();
    let mut extra = vec![
        ("server.listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        ("upstream.base_url", base_url.as_str()),
    ];
    extra.extend_from_slice(QUICK);
    let settings = settings(api, &extra);
    let listeners = Listeners::bind(&settings).await.unwrap();
    let address = listeners.main.local_addr().unwrap();
    let admin = listeners.admin.as_ref().unwrap().local_addr().unwrap();
    let lifecycle = Lifecycle::default();
    app::start(&settings, listeners, &lifecycle).unwrap();
    Gateway { address, admin, lifecycle }
}

/// The names of headers have no case.
fn lower_name(line: &str) -> String {
    match line.split_once(':') {
        Some((name, value)) => format!("{}:{value}", name.to_lowercase()),
        None => line.to_owned(),
    }
}
