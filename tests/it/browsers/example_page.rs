//! The example page, `examples/browser/index.html`.

use serde_json::{Value, json};

use crate::clients::parts::{Part, client_command};
use crate::clients::play::Play;
use crate::clients::watching::start;
use crate::clients::{missing, processing};
use crate::support::{ClosedPort, Relay, Reply, free_port, run, site};

/// The example page, in a browser: bars move, results appear, and nothing in a task can harm the page.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_page_shows_tasks_live() {
    let Some(command) = client_command("page.mjs", Part::Chromium) else { return };
    let page = include_str!("../../../examples/browser/index.html");
    let (site, _lifecycle) = site(page).await;
    let picture = format!("http://{site}/files/ldtask_{:032x}.svg", 7);
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("picture", Reply::json(&processing(10)));
    upstream.now("film", finished(json!({"video_url": "https://cdn.example/film.mp4", "progress": 100})));
    upstream.now("song", finished(json!({"audio_url": "https://cdn.example/song.mp3"})));
    upstream.now("model", finished(json!({"model_url": "https://cdn.example/model.glb"})));
    upstream.now("broken", Reply::json(r#"{"status":"failed","error":{"message":"No lemons left."}}"#));
    let evil = json!({"prompt": "<img src=x onerror=alert(1)>", "video_url": "javascript:alert(1)",
        "data": [{"url": "javascript:alert(1)"}, null], "audio_url": 7});
    upstream.now("evil", finished(evil));
    upstream.now("lost", missing());
    let gateway = upstream.gateway().await;
    let relay = Relay::to(gateway.address).await;
    let ids: String = ["picture", "film", "song", "model", "broken", "evil", "lost", "no!id"]
        .iter()
        .map(|id| format!("&id={id}"))
        .collect();
    let mut page = start(command, &format!("http://{site}/?gateway=http://{}{ids}", relay.address));

    let bar = |card: &Value| card["bar"].as_f64().unwrap_or(f64::NAN);
    page.card("picture", |card| bar(card) == 0.1);
    upstream.now("picture", Reply::json(&processing(55)));
    page.card("picture", |card| bar(card) == 0.55 && card["status"] == "processing · 55 %");
    upstream.now("picture", Reply::new(500, "", "oops"));
    page.card("picture", |card| bar(card) == 0.55 && card["note"].as_str().unwrap().len() > 20);
    upstream.now("picture", Reply::json(&processing(55)));
    page.card("picture", |card| bar(card) == 0.55 && card["note"] == "");
    // A cut that is mended at once shows nowhere. This one is not.
    let nowhere = ClosedPort::new();
    relay.lead_to(nowhere.address);
    relay.cut();
    page.connection("Reconnecting");
    relay.lead_to(gateway.address);
    page.connection("Live.");
    upstream.now("picture", Reply::json(&processing(90)));
    page.card("picture", |card| bar(card) == 0.9);
    page.card("lost", |card| card["status"] == "gone" && card["note"] == "Task not found.");
    upstream.now("picture", finished(json!({"data": [{"url": picture}]})));
    page.card("picture", |card| card["is"] == "finished" && card["picture"] == true);
    page.connection("All of them are over.");
    let cards = page.end();

    let link = |url: &str| json!([url]);
    for (id, is, links, note) in [
        ("film", "finished", link("https://cdn.example/film.mp4"), ""),
        ("song", "finished", link("https://cdn.example/song.mp3"), ""),
        ("model", "finished", link("https://cdn.example/model.glb"), ""),
        ("broken", "failed", json!([]), "No lemons left."),
        ("evil", "finished", json!([]), ""),
    ] {
        let card = &cards[id];
        assert_eq!((&card["is"], &card["links"], &card["note"]), (&json!(is), &links, &json!(note)), "{id}");
        assert_eq!(card["bar"], Value::Null, "{id}");
    }
    assert_eq!(cards["song"]["sounds"], link("https://cdn.example/song.mp3"));
    let evil = &cards["evil"];
    assert_eq!((&evil["title"], &evil["picture"]), (&json!("<img src=x onerror=alert(1)>"), &json!(false)));
    let refused = &cards["no!id"];
    assert_eq!((&refused["is"], &refused["status"]), (&json!("failed"), &json!("refused")));
    let last = relay.streams();
    assert_eq!(last, [(None, 200), (None, 200)], "one connection, and it does not come back after the end");
    assert_eq!(relay.requests(), 3, "and nothing else is asked but the module");
}

fn finished(mut task: Value) -> Reply {
    task["status"] = json!("completed");
    Reply::json(&task.to_string())
}

/// A file has no origin, so no gateway answers it. The page shows a command that serves it, and that command does.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_page_opened_as_a_file_shows_the_command_that_serves_it() {
    let Some(command) = client_command("page.mjs", Part::Chromium) else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("it's a page.html");
    std::fs::write(&file, include_str!("../../../examples/browser/index.html")).unwrap();
    let mut page = start(command, &format!("file://{}", file.display()));
    page.wait_for(|line| line["command"].is_string());
    let shown = page.end()[""]["command"].as_str().unwrap().to_owned();

    let port = free_port();
    let served = shown.replace(" 8000 ", &format!(" {port} "));
    assert_ne!(served, shown);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("PYTHONUNBUFFERED=1 exec {served}")]);
    let server = run(shell);
    let _ = server.wait_for("Serving HTTP");
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("picture", Reply::json(&processing(10)));
    let gateway = upstream.gateway().await;
    let Some(command) = client_command("page.mjs", Part::Chromium) else { return };
    let url =
        format!("http://127.0.0.1:{port}/it's%20a%20page.html?id=picture&gateway=http://{}", gateway.address);
    let mut page = start(command, &url);
    page.card("picture", |card| card["status"] == "processing · 10 %");
}
