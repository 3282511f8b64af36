//! Caddy in front of three replicas, from `deploy/Caddyfile.replicas` with only addresses and times changed, and the
//! demo that uses this file. The replicas here are scripted, or one gateway beside two that are gone.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::front::{adapted, listening};
use crate::clients::parts::{program_path, redis_path};
use crate::clients::play::Play;
use crate::support::{
    ClosedPort, End, Events, Program, Reply, Seen, Upstream, free_port, get, request, run, until,
    until_metric,
};

/// The balancer at work. Dropped, it is gone.
struct Balancer {
    address: SocketAddr,
    _program: Program,
    _dir: tempfile::TempDir,
}

/// The balancer of these replicas. Their health is asked at their own ports, or at one for all. `None` without Caddy.
async fn balancer(replicas: [SocketAddr; 3], health_port: Option<u16>) -> Option<Balancer> {
    let caddy = program_path("caddy")?;
    let mut said = String::new();
    // Caddy cannot tell which free port it took. Another program may take this one meanwhile: hence the attempts.
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let text = adapted(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/Caddyfile.replicas"),
            &[
                ("taskgate-1:8787", &replicas[0].to_string()),
                ("taskgate-2:8787", &replicas[1].to_string()),
                ("taskgate-3:8787", &replicas[2].to_string()),
                (":8787 {", &format!(":{} {{\n\tbind 127.0.0.1", address.port())),
                (
                    "health_port 9797",
                    &health_port.map(|port| format!("health_port {port}")).unwrap_or_default(),
                ),
                ("health_interval 2s", "health_interval 100ms"),
                ("fail_duration 2s", "fail_duration 100ms"),
            ],
        );
        std::fs::write(dir.path().join("Caddyfile"), format!("{{\n\tadmin off\n}}\n{text}")).unwrap();
        let mut command = Command::new(&caddy);
        command.args(["run", "--config"]).arg(dir.path().join("Caddyfile")).stdin(Stdio::null());
        for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(home, dir.path());
        }
        match listening(run(command), address).await {
            Ok(program) => return Some(Balancer { address, _program: program, _dir: dir }),
            Err(log) => said = log,
        }
    }
    panic!("Caddy does not start:\n{said}")
}

/// The requests other than those about the health.
fn asked(replica: &Upstream, method: &str) -> usize {
    let is_asked = |request: &String| request.starts_with(method) && !request.contains(" /readyz ");
    replica.heard().iter().filter(|request| is_asked(request)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_one_by_one_while_two_of_three_replicas_are_gone() {
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    let state = |number: u32| format!(r#"{{"status":"processing","n":{number}}}"#);
    upstream.now("film", Reply::json(&state(0)));
    let gateway = upstream.gateway().await;
    let gone = [ClosedPort::new(), ClosedPort::new()];
    let replicas = [gone[0].address, gateway.address, gone[1].address];
    let Some(balancer) = balancer(replicas, Some(gateway.admin.port())).await else { return };
    for _ in 0..20 {
        assert_eq!(get(balancer.address, "/v1/tasks/film").await.status, 200);
    }
    // The upstream goes on when the client has seen the last event: a balancer that held one back would hang here.
    let mut events = Events::open(balancer.address, "/v1/tasks/film", "").await;
    for number in 1..5 {
        assert!(next(&mut events).await.contains(&state(number - 1)));
        upstream.now("film", Reply::json(&state(number)));
    }
    drop(events);
    until_metric(gateway.admin, "taskgate_streams_open", 0).await;
}

async fn next(events: &mut Events) -> String {
    loop {
        match events.next().await {
            Seen::Event { data, .. } => return data,
            Seen::End => panic!("the stream has ended"),
            Seen::Comment | Seen::Retry(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_has_read_is_sent_to_another_only_if_it_reads() {
    let breaks = Upstream::start(|_, request| {
        if request.contains(" /readyz ") { Reply::json("{}") } else { Reply::raw("", End::Close) }
    })
    .await;
    let works = Upstream::always(Reply::json("{}")).await;
    let gone = ClosedPort::new();
    let replicas = [breaks.address, works.address, gone.address];
    let Some(balancer) = balancer(replicas, None).await else { return };
    until("a GET breaks off", async || {
        assert_eq!(get(balancer.address, "/v1/tasks/a").await.status, 200);
        (asked(&breaks, "GET") > 0).then_some(())
    })
    .await;
    let mut sent = 0;
    let broken = until("a DELETE breaks off", async || {
        sent += 1;
        let status = request(balancer.address, "DELETE", "/v1/tasks/a", "").await.status;
        (asked(&breaks, "DELETE") > 0).then_some(status)
    })
    .await;
    assert_eq!(broken, 502);
    assert_eq!(
        asked(&works, "DELETE") + asked(&breaks, "DELETE"),
        sent,
        "each goes to one replica, and once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_drains_gets_no_request() {
    let drains = Upstream::start(|_, request| {
        if request.contains(" /readyz ") { Reply::new(503, "", "{}") } else { Reply::json("{}") }
    })
    .await;
    let ready = [Upstream::always(Reply::json("{}")).await, Upstream::always(Reply::json("{}")).await];
    let replicas = [ready[0].address, drains.address, ready[1].address];
    let Some(balancer) = balancer(replicas, None).await else { return };
    // The second look begins when the first is known.
    drains.asked(2).await;
    let health = drains.heard()[0].to_lowercase();
    assert!(health.contains("host: localhost\r\n"), "the name that the admin listener answers to: {health}");
    for _ in 0..30 {
        assert_eq!(get(balancer.address, "/v1/tasks/a").await.status, 200);
    }
    assert_eq!((asked(&drains, "GET"), asked(&ready[0], "GET") + asked(&ready[1], "GET")), (0, 30));
    assert!(asked(&ready[0], "GET") > 0 && asked(&ready[1], "GET") > 0, "both have their part");
}

/// The demo runs with it too, but does not purge.
#[test]
fn the_acl_allows_the_commands_of_the_scripts_and_no_others() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut called: BTreeSet<String> = ["evalsha", "script|load", "subscribe"].map(str::to_owned).into();
    for script in std::fs::read_dir(root.join("src/shared/scripts")).unwrap() {
        let text = std::fs::read_to_string(script.unwrap().path()).unwrap();
        let calls = text.split("redis.call('").skip(1);
        called.extend(calls.map(|rest| rest.split('\'').next().unwrap().to_lowercase()));
    }
    let acl = std::fs::read_to_string(root.join("deploy/valkey.acl")).unwrap();
    let allowed = acl.split_whitespace().filter_map(|word| word.strip_prefix('+')).map(str::to_owned);
    assert_eq!(allowed.collect::<BTreeSet<_>>(), called);
}

/// It fails by itself where a client sees an error or misses an end.
#[test]
fn the_demo_of_three_replicas_loses_nothing_when_one_is_killed() {
    if program_path("caddy").is_none() || program_path("curl").is_none() || redis_path().is_none() {
        return;
    }
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/demo-replicas"));
    let output = command.arg(env!("CARGO_BIN_EXE_taskgate")).stdin(Stdio::null()).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("24 of 24 saw the end."), "{said}");
    assert!(said.contains("Errors of all clients: 0."), "{said}");
}
