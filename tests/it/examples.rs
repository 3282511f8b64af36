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
    /// The header line that carries the key, up to the key.
    auth: &'static str,
    /// Header lines that it wants besides.
    headers: &'static [&'static str],
    /// Its answers for a task under way, in order.
    live: &'static [(u16, &'static str)],
    /// Its possible last answers.
    terminal: &'static [(u16, &'static str)],
    /// Its 404, where it has one for a missing task.
    missing: Option<&'static str>,
}

const LEMONDATA: Api = Api {
    file: "lemondata.toml",
    base_url: "https://api.lemondata.cc",
    path: |id| format!("/v1/videos/generations/{id}"),
    id: "ldtask_5f0c6b1e9d2a4473b8e1c7a2d9036f4b",
    auth: "authorization: Bearer ",
    headers: &[],
    live: &[
        (200, r#"{"id":"ldtask_5f0c","task_id":"ldtask_5f0c","status":"pending","created":1790000000}"#),
        (200, r#"{"id":"ldtask_5f0c","task_id":"ldtask_5f0c","status":"processing","progress":42.5}"#),
    ],
    terminal: &[
        (
            200,
            r#"{"id":"ldtask_5f0c","status":"completed","video_url":"https://cdn.example/a.mp4","progress":100}"#,
        ),
        (
            200,
            r#"{"id":"ldtask_5f0c","status":"succeeded","video":{"url":"https://cdn.example/a.mp4","width":1280}}"#,
        ),
        (200, r#"{"id":"ldtask_5f0c","status":"failed","error":"The prompt was refused."}"#),
        (200, r#"{"id":"ldtask_5f0c","status":"failed","cancelled":true,"cancellation_status":"cancelled"}"#),
    ],
    missing: Some(
        r#"{"error":{"message":"Task not found or no longer available.","type":"invalid_request_error","code":"async_task_not_found"}}"#,
    ),
};

const V1_VIDEOS: Api = Api {
    file: "v1-videos.toml",
    base_url: "http://127.0.0.1:4000",
    path: |id| format!("/v1/videos/{id}"),
    // LiteLLM's: base64 of what it has to know, as long as that. Its answers name the task by another spelling.
    id: "video_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVyOm9wZW5haTttb2RlbF9pZDpzb3JhLTI7dmlkZW9faWQ6dmlkZW9fNjkwMDM3ODc3OTMw\
         ODE5MWE3MzU5MjY2ZTU5YjUzZmMwMWNkNmJiZDI3YTcwNzYz=",
    auth: "authorization: Bearer ",
    headers: &[],
    live: &[
        (
            200,
            r#"{"id":"video_6900","object":"video","status":"queued","created_at":1761621895,"completed_at":null,"expires_at":null,"error":null,"progress":0,"seconds":"4"}"#,
        ),
        (200, r#"{"id":"video_6900","object":"video","status":"processing","progress":33,"model":"sora-2"}"#),
        (
            200,
            r#"{"id":"task_1","object":"video","status":"unknown","progress":0,"created_at":1764347090922}"#,
        ),
        (200, r#"{"id":"job-abc123","polling_url":"/api/v1/videos/job-abc123","status":"pending"}"#),
    ],
    terminal: &[
        (
            200,
            r#"{"id":"video_6900","object":"video","status":"completed","progress":100,"expires_at":4102444800,"error":null}"#,
        ),
        (
            200,
            r#"{"id":"video_6900","object":"video","status":"failed","error":{"code":"moderation_blocked","message":"Blocked."}}"#,
        ),
        (200, r#"{"id":"job-abc123","status":"failed","error":"No provider took it."}"#),
    ],
    missing: Some(
        r#"{"error":{"message":"No such video.","type":"invalid_request_error","param":null,"code":null}}"#,
    ),
};

const FAL_RESULT: Api = Api {
    path: |id| format!("/fal-ai/flux/requests/{id}"),
    live: &[
        (400, r#"{"detail":"Request is still in progress"}"#),
        (202, r#"{"detail":"Request is queued"}"#),
        (404, r#"{"detail":"Not yet"}"#),
    ],
    terminal: &[
        (200, r#"{"video":{"url":"https://v3b.fal.media/files/a.mp4","content_type":"video/mp4"},"seed":7}"#),
        (200, r#"{"error":null,"images":[]}"#),
        (422, r#"{"detail":[{"loc":["body","prompt"],"msg":"Blocked.","type":"content_policy_violation"}]}"#),
    ],
    missing: None,
    ..FAL
};

const VEO: Api = Api {
    file: "veo.toml",
    base_url: "https://generativelanguage.googleapis.com",
    path: |id| format!("/v1beta/models/veo-3.0-fast-generate-001/operations/{id}"),
    id: "321kvdcepmcg",
    auth: "x-goog-api-key: ",
    headers: &[],
    live: &[
        (200, r#"{"name":"models/veo-3.0-fast-generate-001/operations/321kvdcepmcg"}"#),
        (200, r#"{"name":"models/veo-3.0-fast-generate-001/operations/321kvdcepmcg","done":false}"#),
    ],
    terminal: &[
        (
            200,
            r#"{"name":"models/x","done":true,"response":{"generateVideoResponse":{"generatedSamples":[{"video":{"uri":"https://generativelanguage.googleapis.com/v1beta/files/qu4d:download?alt=media"}}]}}}"#,
        ),
        (200, r#"{"name":"models/x","done":true,"error":{"code":3,"message":"It was refused."}}"#),
        (
            200,
            r#"{"name":"models/x","done":true,"response":{"generateVideoResponse":{"raiMediaFilteredCount":1}}}"#,
        ),
    ],
    missing: Some(r#"{"error":{"code":404,"message":"Operation not found.","status":"NOT_FOUND"}}"#),
};

const XAI: Api = Api {
    file: "xai.toml",
    base_url: "https://api.x.ai",
    path: |id| format!("/v1/videos/{id}"),
    id: "a3d1008e-4544-40d4-d075-11527e794e4a",
    auth: "authorization: Bearer ",
    headers: &[],
    live: &[
        (202, r#"{"status":"pending","progress":24}"#),
        (202, r#"{"status":"pending","progress":80,"model":"grok-imagine-video"}"#),
    ],
    terminal: &[
        (
            200,
            r#"{"status":"done","video":{"url":"https://vidgen.x.ai/b/v.mp4","duration":6,"respect_moderation":true},"progress":100}"#,
        ),
        (
            200,
            r#"{"status":"failed","video":{"duration":0},"error":{"code":"internal_error","message":"No."}}"#,
        ),
        (200, r#"{"status":"expired"}"#),
    ],
    missing: Some(r#"{"code":"Some requested entity was not found","error":"No such request."}"#),
};

const ALIBABA: Api = Api {
    file: "alibaba.toml",
    base_url: "https://dashscope-intl.aliyuncs.com",
    path: |id| format!("/api/v1/tasks/{id}"),
    id: "0385dc79-5ff8-4d82-bcb6-0a0a0a0a0a0a",
    auth: "authorization: Bearer ",
    headers: &[],
    live: &[
        (200, r#"{"request_id":"r","output":{"task_id":"0385","task_status":"PENDING"}}"#),
        (
            200,
            r#"{"request_id":"r","output":{"task_id":"0385","task_status":"RUNNING","submit_time":"2025-07-27 21:05:15.212"}}"#,
        ),
    ],
    terminal: &[
        (
            200,
            r#"{"request_id":"r","output":{"task_id":"0385","task_status":"SUCCEEDED","video_url":"https://dashscope-result.oss.aliyuncs.com/1d/x.mp4?Expires=4102444800"},"usage":{"video_duration":5}}"#,
        ),
        (
            200,
            r#"{"request_id":"r","output":{"task_id":"0385","task_status":"FAILED","code":"InvalidParameter","message":"No."}}"#,
        ),
        (200, r#"{"request_id":"r","output":{"task_id":"0385","task_status":"CANCELED"}}"#),
        (200, r#"{"request_id":"r","output":{"task_id":"0385","task_status":"UNKNOWN"}}"#),
    ],
    missing: None,
};

const MINIMAX: Api = Api {
    file: "minimax.toml",
    base_url: "https://api.minimax.io",
    path: |id| format!("/v2/query/video_generation/{id}"),
    id: "424010985738629",
    auth: "authorization: Bearer ",
    headers: &[],
    live: &[
        (200, r#"{"task":{"id":"424010985738629","status":"queued"}}"#),
        (200, r#"{"task":{"id":"424010985738629","status":"running","created_at":1785125529}}"#),
    ],
    terminal: &[
        (
            200,
            r#"{"task":{"id":"424010985738629","status":"succeeded","content":{"url":"https://cdn.minimax.io/o.mp4"},"duration":5}}"#,
        ),
        (
            200,
            r#"{"task":{"id":"4240","status":"failed","error":{"code":"1026","message":"Sensitive content."}}}"#,
        ),
        (200, r#"{"task":{"id":"4240","status":"cancelled"}}"#),
    ],
    missing: None,
};

const KLING: Api = Api {
    file: "kling.toml",
    base_url: "https://api-singapore.klingai.com",
    path: |id| format!("/v1/videos/text2video/{id}"),
    id: "893605946402811985",
    auth: "authorization: Bearer ",
    headers: &[],
    live: &[
        (
            200,
            r#"{"code":0,"message":"SUCCEED","request_id":"C","data":{"task_id":"8936","task_status":"submitted","created_at":1722769557708}}"#,
        ),
        (
            200,
            r#"{"code":0,"message":"SUCCEED","request_id":"C","data":{"task_id":"8936","task_status":"processing"}}"#,
        ),
    ],
    terminal: &[
        (
            200,
            r#"{"code":0,"message":"SUCCEED","data":{"task_status":"succeed","task_result":{"videos":[{"id":"1","url":"https://k.example/a.mp4","duration":"5.0"}]}}}"#,
        ),
        (
            200,
            r#"{"code":0,"message":"SUCCEED","data":{"task_status":"failed","task_status_msg":"Content policy violation"}}"#,
        ),
    ],
    missing: Some(r#"{"code":1203,"message":"The resource does not exist.","request_id":"C"}"#),
};

const REPLICATE: Api = Api {
    file: "replicate.toml",
    base_url: "https://api.replicate.com",
    path: |id| format!("/v1/predictions/{id}"),
    id: "gm3qorzdhgbfurvjtvhg6dckhu",
    auth: "authorization: Bearer ",
    headers: &[],
    live: &[
        (200, r#"{"id":"gm3q","status":"starting","input":{"prompt":"a lemon"},"output":null,"error":null}"#),
        (200, r#"{"id":"gm3q","status":"processing","logs":"12%|#","output":null,"error":null}"#),
    ],
    terminal: &[
        (
            200,
            r#"{"id":"gm3q","status":"succeeded","output":["https://replicate.delivery/x/out.png"],"metrics":{"predict_time":4.5}}"#,
        ),
        (200, r#"{"id":"gm3q","status":"failed","output":null,"error":"CUDA out of memory"}"#),
        (200, r#"{"id":"gm3q","status":"canceled","output":null,"error":null}"#),
        (200, r#"{"id":"gm3q","status":"aborted","output":null,"error":null}"#),
    ],
    missing: Some(r#"{"title":"Not found","detail":"There is no such prediction.","status":404}"#),
};

const RUNWAY: Api = Api {
    file: "runway.toml",
    base_url: "https://api.dev.runwayml.com",
    path: |id| format!("/v1/tasks/{id}"),
    id: "17f20503-6c24-4c16-946b-35dbbce2af2f",
    auth: "authorization: Bearer ",
    headers: &["x-runway-version: 2024-11-06"],
    live: &[
        (200, r#"{"id":"17f2","createdAt":"2026-06-27T19:49:32.334Z","status":"PENDING"}"#),
        (200, r#"{"id":"17f2","createdAt":"2026-06-27T19:49:32.334Z","status":"THROTTLED"}"#),
        (200, r#"{"id":"17f2","createdAt":"2026-06-27T19:49:32.334Z","status":"RUNNING","progress":0.5}"#),
    ],
    terminal: &[
        (
            200,
            r#"{"id":"17f2","status":"SUCCEEDED","output":["https://dnznrvs05pmza.cloudfront.net/a.mp4?_jwt=x"]}"#,
        ),
        (
            200,
            r#"{"id":"17f2","status":"FAILED","failure":"It did not work.","failureCode":"INTERNAL.BAD_OUTPUT.CODE01"}"#,
        ),
        (200, r#"{"id":"17f2","status":"CANCELLED"}"#),
    ],
    missing: Some(r#"{"error":"The task was not found."}"#),
};

/// Its queue answers 202 until the request is done.
const FAL: Api = Api {
    file: "fal.toml",
    base_url: "https://queue.fal.run",
    path: |id| format!("/fal-ai/flux/requests/{id}/status"),
    id: "764cabcf-b745-4b3e-ae38-1200304cf45b",
    auth: "authorization: Key ",
    headers: &[],
    live: &[
        (202, r#"{"status":"IN_QUEUE","request_id":"764c","queue_position":3}"#),
        (202, r#"{"status":"IN_PROGRESS","request_id":"764c","logs":[{"message":"step 4","level":"INFO"}]}"#),
    ],
    terminal: &[
        (200, r#"{"status":"COMPLETED","request_id":"764c","metrics":{"inference_time":3.7}}"#),
        (
            200,
            r#"{"status":"COMPLETED","request_id":"764c","error":"Invalid image","error_type":"image_load_error"}"#,
        ),
    ],
    missing: Some(r#"{"detail":"There is no such request."}"#),
};

const ALL: [&Api; 11] =
    [&LEMONDATA, &V1_VIDEOS, &REPLICATE, &RUNWAY, &FAL, &FAL_RESULT, &VEO, &XAI, &ALIBABA, &MINIMAX, &KLING];

#[tokio::test]
async fn lemondata() {
    speaks(&LEMONDATA).await;
}

#[tokio::test]
async fn v1_videos() {
    speaks(&V1_VIDEOS).await;
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

#[tokio::test]
async fn fal_result() {
    speaks(&FAL_RESULT).await;
}

#[tokio::test]
async fn veo() {
    speaks(&VEO).await;
}

#[tokio::test]
async fn xai() {
    speaks(&XAI).await;
}

#[tokio::test]
async fn alibaba() {
    speaks(&ALIBABA).await;
}

#[tokio::test]
async fn minimax() {
    speaks(&MINIMAX).await;
}

#[tokio::test]
async fn kling() {
    speaks(&KLING).await;
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
    for (number, (code, body)) in api.terminal.iter().enumerate() {
        let path = (api.path)(&format!("{}-{number}", api.id));
        says.now(&path, api.live[0]);
        let mut events = Events::open(gateway.address, &path, "").await;
        assert_eq!(Events::data(&events.next().await), api.live[0].1);
        says.now(&path, (*code, *body));
        assert_eq!(Events::data(&events.next().await), *body);
        assert_eq!(events.next().await, Seen::End, "the last state ends the stream: {body}");
        let before = asked(&upstream, &path);
        let answer = get(gateway.address, &path).await;
        assert_eq!((answer.status, answer.text().as_str()), (*code, *body));
        assert!(answer.expect("cache-status").starts_with("taskgate; hit; ttl="), "{}", answer.head);
        assert_eq!(answer.expect("cache-control"), "private, no-cache");
        assert_eq!(asked(&upstream, &path), before, "nobody asks about what is over");
    }
    if let Some(missing) = api.missing {
        let path = (api.path)("no-such-task");
        says.now(&path, (404, missing));
        let answer = get(gateway.address, &path).await;
        assert_eq!((answer.status, answer.text().as_str()), (404, missing));
    }

    for request in upstream.heard() {
        let lines: BTreeSet<String> = request.lines().skip(1).map(lower_name).collect();
        assert!(lines.contains(&format!("{}{KEY}", api.auth)), "{request}");
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
