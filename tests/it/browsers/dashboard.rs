//! The dashboard in a real browser: what it shows, what it does when things go wrong, and that nothing in a task
//! can harm it.

use serde_json::{Value, json};
use taskgate::core::hex::encode as hex;
use taskgate::core::token::hash;

use crate::clients::parts::{Part, client_command};
use crate::clients::play::Play;
use crate::clients::watching::start;
use crate::support::{Events, KEY, Relay, Reply, Upstream, gateway, get};

const EVIL: &str = "<img src=x onerror=alert(1)>";

fn number(text: &Value) -> u64 {
    text.as_str().unwrap().replace(',', "").parse().unwrap_or(0)
}

/// A row of the table by the end of its id: route, state, trouble and watchers.
fn row(seen: &Value, id: &str) -> Option<(String, String, u64)> {
    let cells = seen["tasks"].as_array()?.iter().find(|cells| cells[0].as_str().unwrap().ends_with(id))?;
    Some((cells[1].as_str()?.to_owned(), cells[2].as_str()?.to_owned(), number(&cells[5])))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_the_gateway_at_work() {
    let Some(command) = client_command("dashboard.mjs", Part::Chromium) else { return };
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("task_with_a_long_id_1", Reply::json(r#"{"status":"processing","secret":"canary-body"}"#));
    upstream.now("task_with_a_long_id_2", Reply::json(&json!({"status": EVIL, "prompt": EVIL}).to_string()));
    let gateway = upstream.gateway().await;
    let relay = Relay::to(gateway.admin).await;
    let mut page = start(command, &format!("http://{}/", relay.address));
    page.wait_for(|seen| {
        seen["link"] == "Live" && seen["headline"] == "All well" && seen["gate"] == "gate open"
    });

    let mut streams = Vec::new();
    for id in [1, 1, 2] {
        let path = format!("/v1/tasks/task_with_a_long_id_{id}");
        streams.push(Events::open(gateway.address, &path, "").await);
    }
    let route = "/v1/tasks/{id}".to_owned();
    page.wait_for(|seen| {
        row(seen, "g_id_1") == Some((route.clone(), "processing".to_owned(), 2))
            && row(seen, "g_id_2") == Some((route.clone(), EVIL.to_owned(), 1))
            && seen["streams"] == "3"
    });
    upstream.now("task_with_a_long_id_1", Reply::json(r#"{"status":"finishing"}"#));
    page.wait_for(|seen| row(seen, "g_id_1").is_some_and(|(_, word, _)| word == "finishing"));
    drop(streams.remove(0));
    page.wait_for(|seen| row(seen, "g_id_1").is_some_and(|(_, _, watchers)| watchers == 1));

    upstream.now("done", Reply::json(r#"{"status":"completed"}"#));
    for _ in 0..300 {
        get(gateway.address, "/v1/tasks/done").await;
    }
    page.wait_for(|seen| {
        number(&seen["saved"]) > 200 && number(&seen["handed_out"]) > number(&seen["asked"])
    });
    page.wait_for(|seen| {
        let kinds: u64 = seen["kinds"].as_array().unwrap().iter().map(number).sum();
        let shown = number(&seen["handed_out"]);
        shown > 300
            && shown == number(&seen["paid"]) + number(&seen["saved"])
            && shown == number(&seen["answered"])
            && shown == kinds
    });

    upstream.now("task_with_a_long_id_2", Reply::new(503, "", "canary-error-body"));
    page.wait_for(|seen| seen["failures"][0][0] == "503 upstream_error");
    for task in ["task_with_a_long_id_1", "task_with_a_long_id_2"] {
        upstream.now(task, Reply::new(401, "", "{}"));
    }
    page.wait_for(|seen| {
        seen["headline"] == "The key is rejected"
            && seen["level"] == "bad"
            && seen["advice"].as_str().unwrap().contains("LEMONDATA_API_KEY")
            && seen["timing"].as_str().unwrap().contains("tried again in")
            && seen["gate"] == "gate closed"
            // Neither task is refreshed now, whatever its own time.
            && seen["tasks"].as_array().unwrap().iter().all(|cells| cells[4] != "now" && cells[4] != "in turn")
    });

    relay.cut();
    page.wait_for(|seen| {
        seen["link"].as_str().unwrap().contains("lost")
            && seen["headline"] == "The gateway does not answer"
            && seen["advice"].as_str().unwrap().contains("figures below are from")
    });
    page.wait_for(|seen| seen["link"] == "Live" && seen["headline"] == "The key is rejected");

    let last = page.last_words();
    assert_ne!(last["light"], last["dark"]);
    assert!(
        last["overhang"].as_i64().unwrap() <= 0,
        "a phone need not scroll sideways: {}",
        last["overhang"]
    );
    for (width, rows) in last["rows"].as_object().unwrap() {
        let rows = rows.as_array().unwrap();
        assert!(rows.iter().all(|row| *row == rows[0]), "a card stands beside a gap at {width} px: {rows:?}");
    }
    assert_eq!(last["hosts"], json!([relay.address.to_string()]));
    assert_eq!(last["cookies"], json!([]));
    let html = last["html"].as_str().unwrap();
    assert!(html.contains("&lt;img src=x"), "it is shown as what it is");
    for canary in [KEY, "task_with_a_long_id", "canary", "<img"] {
        assert!(!html.contains(canary), "{canary}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_says_what_to_set_where_nobody_has_a_token() {
    let Some(command) = client_command("dashboard.mjs", Part::Chromium) else { return };
    let upstream = Upstream::always(Reply::json(r#"{"status":"processing"}"#)).await;
    let gateway = gateway(&upstream, &[("admin.listen", "0.0.0.0:0")]).await;
    let mut page = start(command, &format!("http://127.0.0.1:{}/", gateway.admin.port()));
    page.wait_for(|seen| {
        let refusal = seen["refusal"].as_str().unwrap_or_default();
        seen["door"] == true && seen["entry"] == false && refusal.contains("access.token_file")
    });
    assert!(page.last_words()["html"].as_str().unwrap().contains("The dashboard is closed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_asks_for_a_token_away_from_loopback() {
    const TOKEN: &str = "tg_dashboard-canary";
    let Some(mut command) = client_command("dashboard.mjs", Part::Chromium) else { return };
    let files = tempfile::tempdir().unwrap();
    let tokens = files.path().join("tokens");
    std::fs::write(&tokens, format!("operator {}\n", hex(&hash(TOKEN)))).unwrap();
    let upstream = Upstream::always(Reply::json(r#"{"status":"processing"}"#)).await;
    let settings = [("admin.listen", "0.0.0.0:0"), ("access.token_file", tokens.to_str().unwrap())];
    let gateway = gateway(&upstream, &settings).await;
    command.env("TOKEN", TOKEN);
    let mut page = start(command, &format!("http://127.0.0.1:{}/", gateway.admin.port()));
    page.wait_for(|seen| seen["door"] == true && seen["entry"] == true && seen["refusal"] == "");
    page.wait_for(|seen| seen["door"] == false && seen["link"] == "Live" && seen["leave"] == true);
    let last = page.last_words();
    let cookie = &last["cookies"][0];
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&json!(true), &json!("Strict")));
    assert_eq!(last["readable"], "", "no script reads it");
    assert!(!cookie.to_string().contains("canary"));
    assert!(!last["urls"].to_string().contains(TOKEN) && !last["html"].as_str().unwrap().contains(TOKEN));
}
