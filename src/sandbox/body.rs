//! Owns the JSON of a task.
//!
//! It is a function of the task and its [`State`] alone, so the same state is the same bytes on every path. A
//! few values are there because clients and gateways tend to damage them: `seed` is no exact JavaScript
//! number, `5.0` must keep its zero, and the title of a song is not ASCII.

use jiff::Timestamp;
use serde::Serialize;

use super::medium::Medium;
use super::task::{Phase, State, Task};

/// The longest lifetime of a pre-signed URL (AWS Signature Version 4), in seconds.
const SIGNED_FOR_SECS: u32 = 7 * 24 * 60 * 60;

/// The first positive integer that a double cannot hold.
const FIRST_INEXACT: u64 = (1 << 53) + 1;

#[derive(Serialize)]
pub(super) struct TaskBody<'t> {
    id: &'t str,
    task_id: &'t str,
    poll_url: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u8>,
    created: i64,
    updated: i64,
    model: &'t str,
    prompt: &'t str,
    /// LemonData adds it once the task is billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<String>,
    seed: u64,
    #[serde(flatten)]
    details: Details,
}

/// The fields that depend on medium and state.
#[derive(Serialize)]
#[serde(untagged)]
enum Details {
    Nothing {},
    Images { data: [Image; 1] },
    Video { video_url: String, video: Video, videos: [Video; 1] },
    Music { audio_url: String, title: &'static str, lyrics: &'static str },
    ThreeD { model_url: String, glb_url: String, fbx_url: String },
    Failed { error: &'static str },
    Cancelled { error: &'static str, cancelled: bool, cancellation_status: &'static str },
}

#[derive(Serialize)]
struct Image {
    /// Empty until the image exists, as at LemonData.
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revised_prompt: Option<String>,
}

#[derive(Serialize)]
struct Video {
    url: String,
    duration: f64,
    width: u16,
    height: u16,
}

impl<'t> TaskBody<'t> {
    /// `results_url` is the beginning of the result URLs.
    pub fn new(task: &'t Task, state: &State, results_url: &str) -> Self {
        let (status, progress, details) = match state.phase {
            Phase::Pending => ("pending", Some(0), Details::unfinished(task.medium)),
            Phase::Processing(percent) => ("processing", Some(percent), Details::unfinished(task.medium)),
            Phase::Completed => ("completed", Some(100), Details::completed(task, state, results_url)),
            Phase::Failed => ("failed", None, Details::failed()),
            Phase::Cancelled => ("failed", None, Details::cancelled()),
        };
        Self {
            id: &task.id,
            task_id: &task.id,
            poll_url: task.poll_url(),
            status,
            progress,
            created: task.created,
            updated: task.at(state.since),
            model: &task.model,
            prompt: &task.prompt,
            transaction_id: (state.phase == Phase::Completed).then(|| format!("txn_{}", task.id)),
            seed: FIRST_INEXACT,
            details,
        }
    }
}

impl Details {
    fn unfinished(medium: Medium) -> Self {
        match medium {
            Medium::Image => Self::Images { data: [Image { url: String::new(), revised_prompt: None }] },
            Medium::Video | Medium::Music | Medium::ThreeD => Self::Nothing {},
        }
    }

    fn completed(task: &Task, state: &State, results_url: &str) -> Self {
        let url = |ending: &str| signed_url(results_url, task, ending, task.at(state.since));
        let video = || Video { url: url("mp4"), duration: 5.0, width: 1280, height: 720 };
        match task.medium {
            Medium::Image => Self::Images {
                data: [Image {
                    url: url("svg"),
                    revised_prompt: Some(format!("{}, highly detailed", task.prompt)),
                }],
            },
            Medium::Video => Self::Video { video_url: url("mp4"), video: video(), videos: [video()] },
            Medium::Music => Self::Music {
                audio_url: url("mp3"),
                title: "レモンの歌 – Zitronenlied 🍋",
                lyrics: "[Verse]\nLemons in the rain\n\n[Chorus]\nLa \"la\" là\n",
            },
            Medium::ThreeD => {
                Self::ThreeD { model_url: url("glb"), glb_url: url("glb"), fbx_url: url("fbx") }
            }
        }
    }

    fn failed() -> Self {
        Self::Failed { error: "The model could not finish this task (a failure made up by the sandbox)." }
    }

    fn cancelled() -> Self {
        Self::Cancelled {
            error: "Task was cancelled before it started.",
            cancelled: true,
            cancellation_status: "cancelled",
        }
    }
}

/// A URL in the form of a pre-signed one, signed when the task ended (Unix seconds).
fn signed_url(results_url: &str, task: &Task, ending: &str, ended: i64) -> String {
    // A duration may reach beyond the calendar; the date stays valid.
    let signed = Timestamp::from_second(ended).unwrap_or(Timestamp::MAX);
    let signed = signed.strftime("%Y%m%dT%H%M%SZ");
    let (id, signature) = (&task.id, task.id.trim_start_matches("ldtask_"));
    format!(
        "{results_url}/files/{id}.{ending}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={signed}\
         &X-Amz-Expires={SIGNED_FOR_SECS}&X-Amz-SignedHeaders=host&X-Amz-Signature={signature}{signature}"
    )
}
