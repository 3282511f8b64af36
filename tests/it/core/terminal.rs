//! Invariant 3: what is finished stays finished, until it expires or is purged.

use taskgate::core::answer::Origin;
use taskgate::core::snapshot::Phase;

use super::test_core::*;

#[tokio::test(start_paused = true)]
async fn a_terminal_state_absorbs_until_it_expires() {
    let core = TestCore::new();
    core.fetch("x", "a", live("1")).await.unwrap();
    pass(2.0).await;
    core.fetch("x", "a", terminal("done")).await.unwrap();
    for _ in 0..59 {
        pass(60.0).await;
        assert_eq!(core.ask("x", "a").await.got().await.unwrap().origin, Origin::Hit);
    }
    assert_eq!(core.sent().len(), 2);
    pass(61.0).await;
    let got = core.fetch("x", "a", live("again")).await;
    assert_eq!(body(&got), "again", "an hour later it is asked about like any other");
}

#[tokio::test(start_paused = true)]
async fn an_expired_terminal_state_still_stands_in() {
    let core = TestCore::new();
    core.fetch("x", "a", terminal("done")).await.unwrap();
    pass(3601.0).await;
    let got = core.fetch("x", "a", Err(DOWN)).await;
    assert_eq!(body(&got), "done");
    assert!(!stands_in(&got).0.eq(&taskgate::core::answer::Reason::Budget));
}

#[tokio::test(start_paused = true)]
async fn a_result_url_ends_the_life_of_its_state() {
    let core = TestCore::new();
    let mut short = snapshot(200, Phase::Terminal, "short");
    short.result_lifetime = Some(seconds(60.0));
    core.fetch("x", "a", Ok(short)).await.unwrap();
    pass(59.0).await;
    assert_eq!(body(&core.ask("x", "a").await.got().await), "short");
    pass(1.0).await;
    assert_eq!(body(&core.fetch("x", "a", terminal("renewed")).await), "renewed");
}

#[tokio::test(start_paused = true)]
async fn a_purged_flight_answers_its_waiters_and_is_not_kept() {
    let core = TestCore::new();
    let before = core.ask("x", "a").await;
    let old = core.call("a");
    core.mirror.purge(&core.key("a")).await;
    let after = core.ask("y", "a").await;
    core.no_call();
    old.answer(terminal("old")).await;
    let got = before.got().await;
    assert_eq!(body(&got), "old");
    assert!(matches!(got.unwrap().origin, Origin::Fetched { stored: false, .. }));
    assert!(after.is_waiting(), "whoever asks after a purge gets a new flight");
    core.call("a").answer(live("new")).await;
    assert_eq!(body(&after.got().await), "new");
    assert_eq!(body(&core.ask("z", "a").await.got().await), "new");
}

#[tokio::test(start_paused = true)]
async fn a_purge_makes_a_finished_task_unknown() {
    let core = TestCore::new();
    core.fetch("x", "a", terminal("done")).await.unwrap();
    core.mirror.purge(&core.key("a")).await;
    core.no_call();
    let got = core.fetch("x", "a", live("1")).await;
    assert_eq!(body(&got), "1");
    assert_eq!(
        got.unwrap().origin,
        Origin::Fetched { known_before: false, status: 200, stored: true, collapsed: false }
    );
}

#[tokio::test(start_paused = true)]
async fn a_purge_ends_a_tasks_back_off() {
    let core = TestCore::new();
    core.fetch("x", "a", Err(DOWN)).await.unwrap_err();
    for pause in [1.0, 2.0, 4.0] {
        let asked = core.ask("x", "a").await;
        pass(pause).await;
        core.call("a").answer(Err(DOWN)).await;
        asked.got().await.unwrap_err();
    }
    // Eight seconds; its client's interest lingers.
    pass(1.0).await;
    core.no_call();
    core.mirror.purge(&core.key("a")).await;
    settle().await;
    core.call("a").answer(live("1")).await;
    assert_eq!(body(&core.ask("x", "a").await.got().await), "1");
}
