//! When a task is likely to end, as clients are told: learnt from answers over sockets.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::{Events, QUICK, Reply, Seen, Upstream, gateway, get, get_with};

/// An upstream on which tasks of the model `m` end at an age of 100 s: those whose ids begin with `o` at the second look,
/// and a `y` is 60 s old. Those of the model `n` are like them, and none of them ends.
async fn upstream() -> Upstream {
    upstream_saying(|model, created| format!(r#""model":"{model}","created":{created}"#)).await
}

/// The same, with other members for the model and the creation.
async fn upstream_saying(hints: impl Fn(&str, u64) -> String + Send + Sync + 'static) -> Upstream {
    let seen = Mutex::new(HashSet::new());
    Upstream::start(move |_, request| {
        let id = request.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
        let is_old = id.starts_with('o');
        let is_over = is_old && !seen.lock().unwrap().insert(id.clone());
        let status = if is_over { "completed" } else { "processing" };
        let model = if id.starts_with('n') { "n" } else { "m" };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let created = now - if is_old { 100 } else { 60 };
        Reply::json(&format!(r#"{{"id":"{id}","status":"{status}",{}}}"#, hints(model, created)))
    })
    .await
}

/// Watches forty tasks to their ends.
async fn learn(gateway: std::net::SocketAddr) {
    let ids: Vec<String> = (0..40).map(|number| format!("id=o{number}")).collect();
    let mut events = Events::open(gateway, &format!("/v1/tasks?{}", ids.join("&")), "").await;
    while !matches!(events.next().await, Seen::Event { name, .. } if name == "done") {}
}

fn seconds(estimate: &Value) -> [u64; 3] {
    ["low_s", "remaining_s", "high_s"].map(|name| estimate[name].as_u64().unwrap())
}

#[tokio::test]
async fn a_live_task_is_told_with_its_likely_end() {
    let upstream = upstream().await;
    let gateway = gateway(&upstream, QUICK).await;
    let before = get(gateway.address, "/v1/tasks/y0").await;
    assert_eq!(before.header("taskgate-estimate"), None, "nothing is known yet");
    learn(gateway.address).await;

    let plain = get(gateway.address, "/v1/tasks/y1").await;
    let told = plain.expect("taskgate-estimate");
    let numbers: Vec<u64> =
        told.split("; ").map(|part| part.split_once('=').unwrap().1.parse().unwrap()).collect();
    assert!((20..=60).contains(&numbers[0]), "{told}");
    assert!(told.starts_with("remaining=") && told.contains("; low=") && told.contains("; high="), "{told}");
    assert!(numbers[1] <= numbers[0] && numbers[0] <= numbers[2], "{told}");

    let mut events = Events::open(gateway.address, "/v1/tasks/y1", "").await;
    let state = events.next().await;
    let Seen::Event { id: tag, .. } = &state else { panic!("{state:?}") };
    let seen = events.next().await;
    let Seen::Event { name, id, data } = &seen else { panic!("{seen:?}") };
    assert_eq!(
        (name.as_str(), id),
        ("estimate", tag),
        "it has no id of its own: a reconnect names the state"
    );
    let [low, remaining, high] = seconds(&serde_json::from_str(data).unwrap());
    assert!(low <= remaining && remaining <= high && (20..=60).contains(&remaining), "{data}");

    let mut events = Events::open(gateway.address, "/v1/tasks?id=y1&id=o1", "").await;
    let estimate = loop {
        if let Seen::Event { name, data, .. } = events.next().await
            && name == "estimate"
        {
            break serde_json::from_str::<Value>(&data).unwrap();
        }
    };
    assert_eq!((estimate["id"].as_str(), estimate["path"].as_str()), (Some("y1"), Some("/v1/tasks/y1")));
    assert!((20..=60).contains(&seconds(&estimate)[1]), "{estimate}");
}

#[tokio::test]
async fn what_is_over_or_unknown_or_not_learnt_has_no_estimate() {
    let upstream = upstream().await;
    let gateway_that_learns = gateway(&upstream, QUICK).await;
    learn(gateway_that_learns.address).await;
    for path in ["/v1/tasks/o1", "/v1/tasks/n1", "/v1/images/y1"] {
        let answer = get(gateway_that_learns.address, path).await;
        assert_eq!((answer.status, answer.header("taskgate-estimate")), (200, None), "{path}");
    }
    let known = get(gateway_that_learns.address, "/v1/tasks/y1").await;
    let header = format!("If-None-Match: {}\r\n", known.expect("etag"));
    let unchanged = get_with(gateway_that_learns.address, "/v1/tasks/y1", &header).await;
    assert!(unchanged.status == 304 && unchanged.header("taskgate-estimate").is_some());

    let upstream = self::upstream().await;
    let fixed = gateway(&upstream, &[QUICK, &[("polling.learn", "false")]].concat()).await;
    learn(fixed.address).await;
    assert_eq!(get(fixed.address, "/v1/tasks/y1").await.header("taskgate-estimate"), None);
}

#[tokio::test]
async fn the_places_of_the_hints_are_settings() {
    let upstream =
        upstream_saying(|model, created| format!(r#""about":{{"engine":"{model}","made":{created}}}"#)).await;
    let remaining = async |settings: &[(&str, &str)]| {
        let gateway = gateway(&upstream, &[QUICK, settings].concat()).await;
        learn(gateway.address).await;
        let answer = get(gateway.address, "/v1/tasks/y1").await;
        answer.header("taskgate-estimate").and_then(|told| told.split(['=', ';']).nth(1)?.parse::<u64>().ok())
    };
    let places = [("upstream.created_pointer", "/about/made"), ("upstream.model_pointer", "/about/engine")];
    assert!(remaining(&places).await.is_some_and(|remaining| (20..=60).contains(&remaining)));
    // By their age since they were first seen, all tasks end at once: nothing is told of one that goes on.
    assert!(remaining(&[]).await.is_none_or(|remaining| remaining < 10));
}

#[tokio::test]
async fn operators_see_what_was_learnt_and_no_label_names_a_model() {
    let upstream = upstream().await;
    let gateway = gateway(&upstream, QUICK).await;
    learn(gateway.address).await;
    let page = get(gateway.admin, "/metrics").await.text();
    let of = |name: &str, labels: &str| -> f64 {
        let start = format!("taskgate_pacing_{name}{{path=\"/v1/tasks/{{id}}\"{labels}}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(start.as_str()));
        line.unwrap_or_else(|| panic!("{name} is not there:\n{page}")).parse().unwrap()
    };
    assert_eq!(of("ends_found_total", ""), 40.0);
    assert!(of("ends_expected_total", "") > 0.0 && of("price_seconds", "") >= 0.05);
    assert!(of("delay_seconds_total", "") <= 40.0, "{}", of("delay_seconds_total", ""));
    assert_eq!(of("plans_total", ",clock=\"age\""), 40.0);
    assert!(!page.contains("\"m\""), "a model's name is no label");

    let mut events = Events::open(gateway.admin, "/events", "").await;
    let seen = events.next().await;
    let figures: Value = serde_json::from_str(Events::data(&seen)).unwrap();
    let pacing = &figures["pacing"];
    assert_eq!(pacing["found"], 40);
    let curves = pacing["curves"].as_array().unwrap();
    assert_eq!((&curves[0]["model"], &curves[0]["ends"]), (&Value::from("m"), &Value::from(40)));
    let alive: Vec<f64> = curves[0]["alive"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!(alive[0] == 1.0 && alive.is_sorted_by(|one, next| one >= next) && alive.len() > 20, "{alive:?}");
}
