//! Films through the gateway: `<video>` plays one with the task's ticket, and seeks, directly and through nginx.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use taskgate::config::Settings;
use taskgate::core::task::{Route, Routes};
use taskgate::sandbox::{Course, Medium, Options, Pin, Plan};

use crate::access::{HS256, SECRET, jwt};
use crate::clients::page;
use crate::clients::parts::{Part, client_command};
use crate::clients::watching::start;
use crate::proxies::front::{Kind, Tools};
use crate::support::{Gateway, gateway_of, run, sandbox, sandbox_with, settings};

#[tokio::test(flavor = "multi_thread")]
async fn chromium_plays_a_film_and_seeks() {
    plays(Part::Chromium, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_plays_a_film_and_seeks() {
    plays(Part::Firefox, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_plays_a_film_through_nginx() {
    plays(Part::Chromium, Some(Kind::PlainNginx)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_plays_a_film_through_nginx() {
    plays(Part::Firefox, Some(Kind::PlainNginx)).await;
}

/// The example page, as the demo links to it.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_page_plays_a_film_of_the_sandbox() {
    let Some(command) = client_command("page.mjs", Part::Chromium) else { return };
    let page = include_str!("../../../examples/browser/index.html");
    let (sandbox, upstream, _lifecycle) = sandbox_with(Options::default(), page).await;
    let plan = Plan { course: Course::Pinned(Pin::Completed), ..Plan::default() };
    let id = sandbox.create(Medium::Video, plan);
    let gateway = with_films(settings(&format!("http://{upstream}"), &[])).await;
    let film = format!("http://{}/v1/videos/{id}/content", gateway.address);
    let content = "/v1/videos/%7Bid%7D/content";
    let url = format!("http://{upstream}/?gateway=http://{}&content={content}&id={id}", gateway.address);
    let mut page = start(command, &url);
    page.card(&id, |card| card["is"] == "finished" && card["films"] == json!([[film, 10]]));
}

async fn with_films(mut settings: Settings) -> Gateway {
    settings.upstream.content_routes =
        Routes::new(vec![Route::parse_content("/v1/videos/{id}/content").unwrap()]);
    gateway_of(&settings).await
}

async fn plays(browser: Part, proxy: Option<Kind>) {
    let Some(mut command) = page("film", browser) else { return };
    let tools = match proxy.map(Tools::find) {
        Some(None) => return,
        Some(tools) => tools,
        None => None,
    };
    let (sandbox, upstream, _lifecycle) = sandbox(Options::default()).await;
    let plan = Plan { course: Course::Pinned(Pin::Completed), ..Plan::default() };
    let id = sandbox.create(Medium::Video, plan);
    let files = tempfile::tempdir().unwrap();
    let secrets = files.path().join("secrets");
    std::fs::write(&secrets, SECRET).unwrap();
    let protected = [
        ("access.mode", "protected"),
        ("access.ticket_secret_file", secrets.to_str().unwrap()),
        ("server.allowed_origins", "*"),
    ];
    let gateway = with_films(settings(&format!("http://{upstream}"), &protected)).await;
    let front = match &tools {
        Some(tools) => Some(tools.start(gateway.address).await),
        None => None,
    };
    let address = front.as_ref().map_or(gateway.address, |front| front.address);
    command.arg(film_url(address, &id));
    let page = run(command);
    let next = || serde_json::from_str::<Value>(&page.next_line()).unwrap();
    assert_eq!(next(), json!({"film": [10, 160, 96]}));
    // The picture shows the second: one column more is bright in each.
    assert_eq!(next(), json!({"at": 7.5, "bright": 8}));
    assert_eq!(next(), json!({"at": 2.5, "bright": 3}));
    assert_eq!(next(), json!({"played": true}));
}

fn film_url(address: SocketAddr, id: &str) -> String {
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(600);
    let ticket = jwt(SECRET, HS256, &json!({"tasks": [id], "exp": soon.as_secs()}));
    format!("http://{address}/v1/videos/{id}/content?ticket={ticket}")
}
