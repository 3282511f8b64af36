//! Whose an answer is (invariant 12): ids of the path, of both names, of confirmed aliases, and of other tasks.

use taskgate::core::answer::{Origin, Reason};
use taskgate::core::failure::Failure;
use taskgate::core::ports::{Connection, Reply};
use taskgate::core::snapshot::Phase;

use super::test_core::*;

const REFUSED: Reason = Reason::Upstream(Failure::InvalidResponse { status: 200 });

#[track_caller]
fn reason(got: &Got) -> Reason {
    match got {
        Ok(answer) => panic!("not refused: {answer:?}"),
        Err(refusal) => refusal.reason,
    }
}

/// A task that is polled by `path` and named otherwise: asks, and has it confirmed.
async fn confirmed(core: &TestCore, path: &str, ids: &[&str]) -> Got {
    let asked = core.ask("c", path).await;
    core.call(path).answer_as(ids, live("first")).await;
    assert!(asked.is_waiting(), "nothing is handed out before the confirmation");
    core.call(path).answer_as(ids, live("second")).await;
    asked.got().await
}

/// The next flight of a task whose last one failed: who was refused is still interested, and somebody joins.
async fn next_flight(core: &TestCore, path: &str) -> (Asked, Call) {
    for _ in 0..100 {
        match core.any_call() {
            Some(call) if call.key.id() == path => return (core.ask("c", path).await, call),
            Some(call) => call.answer(Err(DOWN)).await,
            None => pass(0.5).await,
        }
    }
    panic!("it is never tried again");
}

#[tokio::test(start_paused = true)]
async fn an_alias_is_confirmed_by_a_second_equal_answer_on_a_fresh_connection() {
    let core = TestCore::new();
    let asked = core.ask("c", "path").await;
    let first = core.call("path");
    assert_eq!(first.connection, Connection::Any);
    first.answer_as(&["x", "y"], live("first")).await;
    assert!(asked.is_waiting());
    let second = core.call("path");
    assert_eq!(second.connection, Connection::Fresh);
    second.answer_as(&["y", "x"], live("second")).await;
    assert_eq!(body(&asked.got().await), "second");
    assert_eq!(core.ask("c", "path").await.got().await.unwrap().origin, Origin::Hit);
    // From now on one request is enough, under either name or both.
    for (ids, text) in [(&["x"][..], "3"), (&["y"], "4"), (&["x", "y"], "5")] {
        pass(6.0).await;
        let asked = core.ask("c", "path").await;
        let call = core.call("path");
        assert_eq!(call.connection, Connection::Any);
        call.answer_as(ids, live(text)).await;
        assert_eq!(body(&asked.got().await), text);
    }
    pass(6.0).await;
    let got = core.fetch("c", "path", terminal("without ids")).await;
    assert_eq!(body(&got), "without ids");
    assert_eq!(core.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn both_names_are_polled_at_once() {
    let core = TestCore::new();
    let (one, other) = (core.ask("c", "id").await, core.ask("c", "task_id").await);
    for id in ["id", "task_id"] {
        core.call(id).answer_as(&["id", "task_id"], terminal("done")).await;
    }
    assert_eq!((body(&one.got().await), body(&other.got().await)), ("done", "done"));
    core.no_call();
    // The path holds a third, confirmed before the others were known: they go on beside it.
    let core = TestCore::new();
    assert_eq!(body(&confirmed(&core, "path", &["id", "task_id"]).await), "second");
    for (path, text) in [("id", "1"), ("task_id", "2"), ("path", "3")] {
        pass(6.0).await;
        let asked = core.ask("c", path).await;
        core.call(path).answer_as(&["id", "task_id"], live(text)).await;
        assert_eq!(body(&asked.got().await), text);
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_of_another_known_task_is_refused_at_once_and_never_confirmed() {
    let outcomes = [|| live("other"), || terminal("other"), missing, || Err(DOWN)];
    for outcome in outcomes {
        let core = TestCore::new();
        let _ = core.fetch("c", "other", outcome()).await;
        let asked = core.ask("c", "path").await;
        let call = core.call("path");
        assert_eq!(call.connection, Connection::Any);
        call.answer_as(&["other"], terminal("other")).await;
        assert_eq!(reason(&asked.got().await), REFUSED);
        for _ in 0..5 {
            core.no_call();
            let (asked, call) = next_flight(&core, "path").await;
            assert_eq!(call.connection, Connection::Fresh, "after a refusal it has one of its own");
            call.answer_as(&["other"], terminal("other")).await;
            assert_eq!(reason(&asked.got().await), REFUSED);
        }
        assert_eq!(core.distrusted(), 1, "the only answer that came on a kept connection");
        let (asked, call) = next_flight(&core, "path").await;
        call.answer_as(&["path", "other"], live("own")).await;
        assert_eq!(body(&asked.got().await), "own");
    }
    // Known because somebody waits for it, on whatever route; and as one of two ids.
    let core = TestCore::new();
    let _waits = core.ask("c", "other").await;
    let flight = core.call("other");
    let asked = core.ask("c", "path").await;
    core.call("path").answer_as(&["new", "other"], live("other")).await;
    assert_eq!(reason(&asked.got().await), REFUSED);
    flight.answer(live("other")).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_answer_replaces_no_state_and_is_never_kept() {
    let core = TestCore::new();
    let _ = core.fetch("c", "other", terminal("other")).await;
    let _ = core.fetch("c", "path", live("own")).await;
    pass(6.0).await;
    let asked = core.ask("c", "path").await;
    core.call("path").answer_as(&["other"], terminal("other")).await;
    let got = asked.got().await;
    assert_eq!(body(&got), "own");
    assert_eq!(stands_in(&got), (REFUSED, true));
    // Nor is the end of an unknown task, of which the second answer knows nothing.
    pass(31.0).await;
    let asked = core.ask("c", "path").await;
    core.call("path").answer_as(&["unknown"], terminal("unknown")).await;
    core.call("path").answer_as(&["path"], live("own again")).await;
    assert_eq!(body(&asked.got().await), "own again");
    pass(6.0).await;
    assert_eq!(body(&core.fetch("c", "path", live("3")).await), "3");
}

#[tokio::test(start_paused = true)]
async fn a_second_answer_that_names_the_task_stands_and_the_first_is_refused() {
    let core = TestCore::new();
    let asked = core.ask("c", "path").await;
    core.call("path").answer_as(&["late"], terminal("late")).await;
    core.call("path").answer(terminal("own")).await;
    assert_eq!(body(&asked.got().await), "own");
    assert_eq!(core.distrusted(), 1);
    assert_eq!(core.ask("c", "path").await.got().await.unwrap().origin, Origin::Hit);
}

#[tokio::test(start_paused = true)]
async fn ids_that_differ_each_time_are_never_accepted() {
    let core = TestCore::new();
    let _asked = core.ask("c", "path").await;
    for round in 0..5 {
        let (asked, call) = next_flight(&core, "path").await;
        call.answer_as(&[&format!("a{round}")], terminal("?")).await;
        core.call("path").answer_as(&[&format!("b{round}")], terminal("?")).await;
        assert_eq!(reason(&asked.got().await), REFUSED);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_id_does_not_make_one_tasks_answer_anothers() {
    let core = TestCore::new();
    // Paths hold a third name; `account` is in the answers of all tasks.
    assert_eq!(body(&confirmed(&core, "p1", &["account", "t1"]).await), "second");
    assert_eq!(body(&confirmed(&core, "p2", &["account", "t2"]).await), "second");
    pass(6.0).await;
    let asked = core.ask("c", "p1").await;
    core.call("p1").answer_as(&["account", "t2"], terminal("t2's")).await;
    core.call("p1").answer_as(&["account", "t1"], live("t1's")).await;
    assert_eq!(body(&asked.got().await), "t1's");
}

#[tokio::test(start_paused = true)]
async fn without_a_permit_the_next_flight_brings_the_second_answer() {
    let core = TestCore::with(|setup| {
        setup.rate.burst = 1;
        setup.rate.per_minute = 60.0;
    });
    let asked = core.ask("c", "path").await;
    core.call("path").answer_as(&["x"], terminal("first")).await;
    assert_eq!(reason(&asked.got().await), REFUSED);
    core.no_call();
    let asked = core.ask("c", "path").await;
    pass(1.1).await;
    let call = core.call("path");
    assert_eq!(call.connection, Connection::Fresh);
    call.answer_as(&["x"], terminal("second")).await;
    assert_eq!(body(&asked.got().await), "second");
    assert_eq!(core.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_stays_within_the_time_of_its_flight() {
    let core = TestCore::new();
    let asked = core.ask("c", "path").await;
    let first = core.call("path");
    pass(7.0).await;
    first.answer_as(&["x"], live("first")).await;
    let _hangs = core.call("path");
    pass(2.9).await;
    assert!(asked.is_waiting());
    pass(0.2).await;
    assert_eq!(reason(&asked.got().await), Reason::Upstream(Failure::TimedOut));
    // The first answer still counts.
    pass(1.0).await;
    let asked = core.ask("c", "path").await;
    core.call("path").answer_as(&["x"], live("second")).await;
    assert_eq!(body(&asked.got().await), "second");
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_admits_no_confirmation() {
    let core = TestCore::new();
    let asked = core.ask("c", "path").await;
    let call = core.call("path");
    let _ = core.fetch("c", "x", Err(limited(Some(30)))).await;
    call.answer_as(&["alias"], live("first")).await;
    assert_eq!(reason(&asked.got().await), REFUSED);
    pass(29.0).await;
    core.no_call();
}

#[tokio::test(start_paused = true)]
async fn a_purged_task_confirms_its_alias_anew() {
    let core = TestCore::new();
    let _ = confirmed(&core, "path", &["x"]).await;
    core.mirror.purge(&core.key("path")).await;
    assert_eq!(body(&confirmed(&core, "path", &["x"]).await), "second");
    pass(6.0).await;
    let asked = core.ask("c", "path").await;
    core.call("path").answer_as(&["x"], Ok(snapshot(404, Phase::Missing, "gone"))).await;
    assert_eq!(body(&asked.got().await), "gone", "a 404 is judged by the same names");
    pass(6.0).await;
    let asked = core.ask("c", "path").await;
    core.call("path").answer_as(&["x"], live("back")).await;
    assert_eq!(body(&asked.got().await), "back", "which outlast it");
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_is_judged_likewise_and_never_sent_twice() {
    let ended = || terminal("cancelled").map(Reply::Answer);
    // A known alias.
    let core = TestCore::new();
    let _ = confirmed(&core, "path", &["x"]).await;
    let cancelling = core.cancel("c", "path").await;
    core.any_cancel().unwrap().answer_as(&["x"], ended()).await;
    assert!(matches!(cancelling.await.unwrap(), Ok(Reply::Answer(_))));
    // An unknown one: a status request confirms it.
    let core = TestCore::new();
    let cancelling = core.cancel("c", "path").await;
    core.any_cancel().unwrap().answer_as(&["x"], ended()).await;
    core.call("path").answer_as(&["x"], live("cancelling")).await;
    let Ok(Reply::Answer(answer)) = cancelling.await.unwrap() else { panic!("its own") };
    assert_eq!(answer.body, "cancelled");
    assert_eq!(body(&core.ask("c", "path").await.got().await), "cancelled");
    // One that nothing confirms, and one of another task.
    let core = TestCore::new();
    let _ = core.fetch("c", "other", live("other")).await;
    for (ids, second) in [("x", Some("y")), ("x", Some("path")), ("other", None)] {
        let cancelling = core.cancel("c", "path").await;
        core.any_cancel().unwrap().answer_as(&[ids], ended()).await;
        if let Some(id) = second {
            core.call("path").answer_as(&[id], live("?")).await;
        }
        assert_eq!(cancelling.await.unwrap().unwrap_err().reason, REFUSED);
        assert!(core.any_cancel().is_none());
        core.no_call();
    }
}
