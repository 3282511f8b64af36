//! `/metrics`: exact figures of known traffic, and nothing in them that is not for everybody.

mod files;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taskgate::core::hex::encode as hex;
use taskgate::core::token::hash;
use tokio::task::JoinSet;

use crate::support::{
    End, Events, KEY, Reply, Seen, Upstream, gateway, get, get_with, request, until as until_some,
};

const LIVE: &str = r#"{"status":"processing"}"#;
const DONE: &str = r#"{"status":"completed"}"#;

/// The page, by sample.
struct Page(BTreeMap<String, f64>);

impl Page {
    async fn of(admin: SocketAddr) -> Self {
        let answer = get(admin, "/metrics").await;
        assert_eq!((answer.status, answer.expect("cache-control").as_str()), (200, "no-store"));
        assert!(answer.expect("content-type").starts_with("text/plain; version=0.0.4"));
        let mut samples = BTreeMap::new();
        for line in answer.text().lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let before = samples.insert(name.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{name} is there twice");
        }
        Self(samples)
    }

    /// A sample's value, as a whole number; one that is not there is 0.
    fn count(&self, sample: &str) -> u64 {
        self.0.get(sample).map_or(0, |value| format!("{value:.0}").parse().unwrap())
    }

    fn requests(&self, route: &str, outcome: &str) -> u64 {
        self.count(&format!("taskgate_requests_total{{route=\"{route}\",outcome=\"{outcome}\"}}"))
    }

    fn sum(&self, metric: &str) -> u64 {
        let labelled = format!("{metric}{{");
        self.0.iter().filter(|(name, _)| name.starts_with(&labelled)).map(|(name, _)| self.count(name)).sum()
    }

    /// The answers, and the number of them that cost a request.
    fn answers(&self) -> (u64, u64) {
        let answers = self.count("taskgate_answer_age_seconds_count");
        (answers, answers - self.count("taskgate_upstream_requests_saved_total"))
    }
}

/// Asks until the page looks like this.
async fn until(admin: SocketAddr, what: impl Fn(&Page) -> bool) -> Page {
    let mut last = Page(BTreeMap::new());
    for _ in 0..3000 {
        last = Page::of(admin).await;
        if what(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never comes to this: {:#?}", last.0)
}

/// Answers by the task's id, and by how often that was asked about.
async fn scripted() -> Upstream {
    scripted_for_a_crowd(Reply::json(LIVE)).await
}

/// The same, with this for the task of the crowd.
async fn scripted_for_a_crowd(crowd: Reply) -> Upstream {
    let asked = std::sync::Mutex::new(BTreeMap::<String, usize>::new());
    Upstream::start(move |_, request| {
        let id = request.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
        let mut asked = asked.lock().unwrap();
        let times = asked.entry(id.clone()).or_default();
        *times += 1;
        match (id.as_str(), *times) {
            ("done", _) => Reply::json(DONE),
            ("crowd", _) => crowd.clone(),
            ("hangs", _) => Reply::raw("", End::Hang),
            ("gone", _) => Reply::new(404, "", r#"{"error":{"message":"no"}}"#),
            ("limited", 2) => Reply::new(429, "Retry-After: 60\r\n", "{}"),
            ("ends", 2..) => Reply::json(DONE),
            ("down", _) => Reply::new(503, "", "{}"),
            _ => Reply::json(LIVE),
        }
    })
    .await
}

const PATIENT: &[(&str, &str)] = &[
    ("polling.fresh_for", "300ms"),
    ("polling.max_interval", "300ms"),
    ("cache.not_found_ttl", "60s"),
    ("budget.requests_per_minute", "6000"),
];

#[tokio::test]
async fn every_request_is_counted_once_under_what_became_of_it() {
    let (reply, hold) = Reply::json(LIVE).held();
    let upstream = scripted_for_a_crowd(reply).await;
    let gateway = gateway(&upstream, PATIENT).await;
    let at = gateway.address;

    for path in ["/v1/tasks/done", "/v1/tasks/done", "/v1/tasks/gone", "/v1/tasks/gone"] {
        get(at, path).await;
    }
    let mut crowd = JoinSet::new();
    for _ in 0..20 {
        crowd.spawn(async move { get(at, "/v1/tasks/crowd").await });
    }
    let accepted = "taskgate_connections_accepted_total{listener=\"main\"}";
    until(gateway.admin, |page| page.count(accepted) == 4 + 20).await;
    drop(hold);
    crowd.join_all().await;
    get(at, "/v1/tasks/done?wait=5").await;
    let mut events = Events::open(at, "/v1/tasks/done", "").await;
    assert_eq!(Events::data(&events.next().await), DONE);
    assert_eq!(get(at, "/v1/tasks?id=done&id=gone&id=..").await.status, 200);
    assert_eq!(
        get_with(at, "/v1/tasks/done", "Last-Event-ID: gone\r\nAccept: text/event-stream\r\n").await.status,
        204
    );

    get(at, "/v1/tasks/limited").await;
    // While the first answer is fresh, none is asked for.
    let (mut fresh, mut emptied) = (0, Instant::now());
    let absorbed = until_some("the state is fresh no longer", async || {
        emptied = Instant::now();
        let answer = get(at, "/v1/tasks/limited").await;
        if !answer.expect("cache-status").contains("; hit; ") {
            return Some(answer);
        }
        fresh += 1;
        None
    })
    .await;
    assert!(absorbed.expect("cache-status").contains("fwd-status=429; detail=upstream_rate_limited"));
    let closed = get(at, "/v1/tasks/limited").await;
    assert!(closed.expect("cache-status").starts_with("taskgate; hit; ttl="), "{}", closed.head);
    assert_eq!(get(at, "/v1/tasks/new").await.error_code(), "upstream_rate_limited");

    get(at, "/v1/tasks/%2e").await;
    get(at, "/nowhere").await;
    get(at, "/livez").await;
    request(at, "POST", "/v1/tasks/done", "").await;
    request(at, "POST", "/livez", "").await;
    get_with(at, "/v1/tasks/done", "Host: evil.example\r\n").await;
    get_with(at, "/v1/tasks/done", "Origin: https://evil.example\r\n").await;
    let preflight = "Origin: http://localhost:3000\r\nAccess-Control-Request-Method: GET\r\n";
    request(at, "OPTIONS", "/v1/tasks/done", preflight).await;

    let page = Page::of(gateway.admin).await;
    let looked = Instant::now();
    for (route, outcome, count) in [
        ("task", "miss", 4),
        ("task", "stale", 2),
        ("task", "upstream_rate_limited", 1),
        ("task_wait", "hit", 1),
        ("task_stream", "opened", 1),
        ("task_stream", "over", 1),
        ("list", "listed", 1),
        ("other", "invalid_task_id", 1),
        ("other", "unknown_route", 1),
        ("other", "method_not_allowed", 2),
        ("other", "host_not_allowed", 1),
        ("other", "origin_not_allowed", 1),
        ("other", "ok", 2),
    ] {
        assert_eq!(page.requests(route, outcome), count, "{route} {outcome}: {:#?}", page.0);
    }
    // Late members of the crowd found it fresh.
    assert_eq!(page.requests("task", "collapsed") + page.requests("task", "hit"), 19 + 2 + fresh);
    assert_eq!(page.sum("taskgate_requests_total"), 4 + 20 + 1 + 2 + 1 + 4 + 8 + fresh);

    let sent = u64::try_from(upstream.count()).unwrap();
    assert_eq!(sent, 5);
    assert_eq!(page.count("taskgate_upstream_requests_total{kind=\"fetch\",code=\"200\"}"), 3);
    assert_eq!(page.count("taskgate_upstream_requests_total{kind=\"fetch\",code=\"404\"}"), 1);
    assert_eq!(page.count("taskgate_upstream_requests_total{kind=\"fetch\",code=\"429\"}"), 1);
    assert_eq!(page.sum("taskgate_upstream_requests_total"), sent);
    assert_eq!(page.count("taskgate_upstream_request_duration_seconds_count"), sent);
    // 4 plain, the crowd, a long-poll, an event, 2 of the list, 3 of the limited task.
    assert_eq!(page.answers(), (4 + 20 + 1 + 1 + 2 + 3 + fresh, sent));

    assert_eq!(page.count("taskgate_upstream_rate_limited_total"), 1);
    assert_eq!(page.count("taskgate_upstream_rate_limited_absorbed_total"), 1);
    assert_eq!(page.count("taskgate_gate{state=\"closed\",reason=\"rate_limited\"}"), 1);
    assert_eq!(page.sum("taskgate_gate"), 1, "one is so, all others are not");
    let tokens = page.0["taskgate_budget_tokens"];
    let refilled = 56.0 * looked.duration_since(emptied).as_secs_f64();
    assert!(tokens <= refilled, "a 429 empties it: {tokens}, and {refilled} at most have come since");
    let (effective, configured) = (
        page.0["taskgate_budget_effective_requests_per_second"],
        page.0["taskgate_budget_configured_requests_per_second"],
    );
    assert_eq!((configured, effective), (80.0, 56.0));
    assert_eq!(page.count("taskgate_store_entries{store=\"known\"}"), 3);
    assert_eq!(page.count("taskgate_store_entries{store=\"missing\"}"), 1);
    assert_eq!(page.count("taskgate_connections_open{listener=\"admin\"}"), 1, "this one");
    assert_eq!(page.count("taskgate_connections_accepted_total{listener=\"main\"}"), 40 + fresh);
}

#[tokio::test]
async fn what_is_saved_is_what_was_answered_without_being_fetched() {
    let upstream = scripted().await;
    let gateway = gateway(&upstream, &[("polling.fresh_for", "30s"), ("polling.max_interval", "30s")]).await;
    let at = gateway.address;
    let mut crowd = JoinSet::new();
    for number in 0..60 {
        let path = match number % 3 {
            0 => "/v1/tasks/crowd",
            1 => "/v1/tasks/done?wait=9",
            _ => "/v1/tasks?id=crowd&id=done",
        };
        crowd.spawn(async move { get(at, path).await });
    }
    assert!(crowd.join_all().await.iter().all(|answer| answer.status == 200));
    let page = Page::of(gateway.admin).await;
    assert_eq!(upstream.count(), 2);
    assert_eq!(page.answers(), (20 + 20 + 2 * 20, 2));
    assert_eq!(page.sum("taskgate_requests_total"), 60);
}

#[tokio::test]
async fn a_429_that_a_client_is_told_of_is_not_absorbed() {
    let upstream = Upstream::always(Reply::new(429, "Retry-After: 60\r\n", "{}")).await;
    let gateway = gateway(&upstream, &[]).await;
    assert_eq!(get(gateway.address, "/v1/tasks/a").await.error_code(), "upstream_rate_limited");
    let page = Page::of(gateway.admin).await;
    assert_eq!(page.count("taskgate_upstream_rate_limited_total"), 1);
    assert_eq!(page.count("taskgate_upstream_rate_limited_absorbed_total"), 0);
    assert_eq!(page.answers(), (0, 0));
}

#[tokio::test]
async fn who_waits_is_shown_and_the_last_to_hear_of_the_end_is_timed() {
    let upstream = scripted().await;
    // The second look brings the end, and comes when all are there.
    let settings = [("polling.fresh_for", "3s"), ("polling.max_interval", "3s"), ("limits.max_streams", "1")];
    let gateway = gateway(&upstream, &settings).await;
    let at = gateway.address;
    let mut stream = Events::open(at, "/v1/tasks/ends", "").await;
    assert_eq!(Events::data(&stream.next().await), LIVE);
    let mut polls = JoinSet::new();
    for _ in 0..4 {
        polls.spawn(async move { get(at, "/v1/tasks/ends?wait=20").await });
    }
    let refused = get_with(at, "/v1/tasks/ends", "Accept: text/event-stream\r\n").await;
    assert!(refused.text().contains("retry:"));
    let page = until(gateway.admin, |page| page.count("taskgate_watchers") == 5).await;
    assert_eq!(page.count("taskgate_streams_open"), 1);
    assert_eq!(page.count("taskgate_tasks_wanted"), 1);
    assert_eq!(page.count("taskgate_queue_tasks{state=\"waiting\"}"), 1);
    assert_eq!(page.count("taskgate_limits_hit_total{limit=\"max_streams\"}"), 1);
    assert_eq!(page.requests("task_stream", "turned_back"), 1);
    assert_eq!(page.count("taskgate_last_watcher_seconds_count"), 0);

    assert_eq!(Events::data(&stream.next().await), DONE);
    assert_eq!(stream.next().await, Seen::End);
    polls.join_all().await;
    let page = until(gateway.admin, |page| page.count("taskgate_last_watcher_seconds_count") == 1).await;
    assert_eq!(page.count("taskgate_last_watcher_seconds_bucket{le=\"10\"}"), 1);
    assert_eq!(page.requests("task_wait", "collapsed"), 4);
    for gone in ["taskgate_watchers", "taskgate_streams_open", "taskgate_tasks_wanted"] {
        assert_eq!(page.count(gone), 0, "{gone}");
    }
    assert_eq!(page.answers(), (1 + 1 + 4, 2), "the live state and the end once each");
}

#[tokio::test]
async fn who_leaves_and_who_is_turned_away_is_counted_too() {
    let upstream = scripted().await;
    let settings = [
        ("limits.requests_per_second", "2"),
        ("limits.new_tasks_per_minute", "1"),
        ("polling.fresh_for", "30s"),
        ("polling.max_interval", "30s"),
    ];
    let gateway = gateway(&upstream, &settings).await;
    let at = gateway.address;
    let waiting = tokio::spawn(async move { get(at, "/v1/tasks/a?wait=30").await });
    until(gateway.admin, |page| page.count("taskgate_watchers") == 1).await;
    waiting.abort();
    let page = until(gateway.admin, |page| page.requests("task_wait", "abandoned") == 1).await;
    assert_eq!(page.count("taskgate_watchers"), 0);
    assert_eq!(get(at, "/v1/tasks/b").await.error_code(), "client_rate_limited");
    let mut crowd = JoinSet::new();
    for _ in 0..30 {
        crowd.spawn(async move { get(at, "/v1/tasks/a").await });
    }
    let refused = crowd.join_all().await.iter().filter(|answer| answer.status == 429).count();
    let page = Page::of(gateway.admin).await;
    assert_eq!(page.count("taskgate_limits_hit_total{limit=\"new_tasks_per_minute\"}"), 1);
    let hit = page.count("taskgate_limits_hit_total{limit=\"requests_per_second\"}");
    assert!(refused > 0 && hit == refused as u64, "{hit} of {refused}");
    assert_eq!(page.requests("task", "client_rate_limited"), 1 + hit);
    assert_eq!(page.sum("taskgate_requests_total"), 32);
}

#[tokio::test]
async fn attempts_without_an_answer_are_told_apart() {
    let upstream = scripted().await;
    let gateway = gateway(&upstream, &[("upstream.timeout", "2s"), ("upstream.connect_timeout", "2s")]).await;
    let sent = |page: &Page, kind, code| {
        page.count(&format!("taskgate_upstream_requests_total{{kind=\"{kind}\",code=\"{code}\"}}"))
    };
    // Each is looked at when it has just failed: a second later it is asked for again, as somebody may come back.
    get(gateway.address, "/v1/tasks/down").await;
    assert_eq!(sent(&Page::of(gateway.admin).await, "fetch", "503"), 1);
    get(gateway.address, "/v1/tasks/hangs").await;
    assert_eq!(sent(&Page::of(gateway.admin).await, "fetch", "timeout"), 1);
    let _closed = upstream.close();
    get(gateway.address, "/v1/tasks/new").await;
    let page = Page::of(gateway.admin).await;
    let (first, again) = (sent(&page, "fetch", "unreachable"), sent(&page, "retry", "unreachable"));
    assert!(first >= 1 && again <= first, "again only where the connection was still in the pool");
    for code in ["upstream_error", "upstream_timeout", "upstream_unreachable"] {
        assert_eq!(page.requests("task", code), 1, "{code}");
    }
}

#[tokio::test]
async fn what_has_to_make_room_is_counted() {
    let big = format!(r#"{{"status":"completed","x":"{}"}}"#, "x".repeat(100_000));
    let upstream = Upstream::always(Reply::json(&big)).await;
    let gateway = gateway(&upstream, &[("cache.max_bytes", "4MiB"), ("upstream.max_body", "128KiB")]).await;
    for number in 0..60 {
        assert_eq!(get(gateway.address, &format!("/v1/tasks/t{number}")).await.status, 200);
    }
    let page = Page::of(gateway.admin).await;
    let known = |metric| page.count(&format!("taskgate_store_{metric}{{store=\"known\"}}"));
    assert_eq!(known("limit_bytes") + page.count("taskgate_store_limit_bytes{store=\"missing\"}"), 3 << 20);
    assert!((2_600_000..=known("limit_bytes")).contains(&known("bytes")), "{}", known("bytes"));
    assert_eq!(known("entries") + known("evictions_total"), 60);
    assert_eq!(page.count("taskgate_store_evictions_total{store=\"missing\"}"), 0);
}

#[tokio::test]
async fn what_is_under_way_and_what_has_to_wait_is_shown() {
    let (reply, hold) = Reply::json(DONE).held();
    let upstream = Upstream::always(reply).await;
    let settings = [("upstream.max_in_flight", "2"), ("polling.patience", "2m"), ("upstream.timeout", "2m")];
    let gateway = gateway(&upstream, &settings).await;
    let at = gateway.address;
    let mut crowd = JoinSet::new();
    for number in 0..5 {
        crowd.spawn(async move { get(at, &format!("/v1/tasks/t{number}")).await });
    }
    let page = until(gateway.admin, |page| page.count("taskgate_tasks_wanted") == 5).await;
    assert_eq!(page.count("taskgate_upstream_requests_in_flight"), 2);
    assert_eq!(page.count("taskgate_queue_tasks{state=\"due\"}"), 3);
    assert_eq!(page.count("taskgate_connections_open{listener=\"main\"}"), 5);
    drop(hold);
    crowd.join_all().await;
    let page = until(gateway.admin, |page| page.sum("taskgate_connections_open") == 1).await;
    assert_eq!(page.count("taskgate_upstream_requests_in_flight"), 0);
    assert_eq!(page.sum("taskgate_queue_tasks"), 0);
}

#[tokio::test]
async fn cancellations_are_counted_apart() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let files = tempfile::tempdir().unwrap();
    let tokens = files.path().join("tokens");
    std::fs::write(&tokens, format!("program {}\n", hex(&hash("tg_token")))).unwrap();
    let settings = [
        ("access.mode", "protected"),
        ("access.token_file", tokens.to_str().unwrap()),
        ("access.allow_cancel", "true"),
    ];
    let gateway = gateway(&upstream, &settings).await;
    let answer =
        request(gateway.address, "DELETE", "/v1/tasks/a", "Authorization: Bearer tg_token\r\n").await;
    assert_eq!(answer.status, 200);
    let page = Page::of(gateway.admin).await;
    assert_eq!(page.requests("cancel", "passed_on"), 1);
    assert_eq!(page.count("taskgate_upstream_requests_total{kind=\"cancel\",code=\"200\"}"), 1);
    assert_eq!(page.answers(), (0, 0));
}

#[tokio::test]
async fn no_name_and_no_secret_is_in_it() {
    const TOKEN: &str = "tg_token-canary";
    const SECRET: &str = "a-secret-canary-of-more-than-32-bytes";
    let files = tempfile::tempdir().unwrap();
    let (tokens, secrets) = (files.path().join("tokens"), files.path().join("secrets"));
    std::fs::write(&tokens, format!("name-canary {}\n", hex(&hash(TOKEN)))).unwrap();
    std::fs::write(&secrets, SECRET).unwrap();
    let upstream = Upstream::start(|number, _| {
        if number % 2 == 0 {
            Reply::json(&format!(r#"{{"status":"{KEY}"}}"#))
        } else {
            Reply::new(401, "", KEY)
        }
    })
    .await;
    let settings = [
        ("access.mode", "protected"),
        ("access.token_file", tokens.to_str().unwrap()),
        ("access.ticket_secret_file", secrets.to_str().unwrap()),
    ];
    let gateway = gateway(&upstream, &settings).await;
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    for (path, headers) in [
        ("/v1/tasks/id-canary1", bearer.as_str()),
        ("/v1/tasks/id-canary2", &bearer),
        ("/v1/tasks?id=id-canary3&id=/id-canary4", &bearer),
        ("/v1/tasks/id-canary1?ticket=ticket-canary", "X-Request-Id: request-canary\r\n"),
        ("/v1/tasks/id-canary1", "Authorization: Bearer a.ticket.canary\r\n"),
        ("/path-canary\"}1", "Host: host-canary\r\nOrigin: https://origin-canary\r\n"),
        ("/path-canary", "User-Agent: agent-canary\r\n"),
    ] {
        get_with(gateway.address, path, headers).await;
    }
    let page = get(gateway.admin, "/metrics").await.text();
    assert!(page.contains("outcome=\"invalid_credentials\"") && page.contains("outcome=\"miss\""), "{page}");
    assert!(!page.contains("canary") && !page.contains(KEY) && !page.contains("127.0.0.1"), "{page}");
}
