//! Invariant 4: a flight ends, whatever becomes of it, and frees its key and its waiters.

use taskgate::core::answer::Reason;
use taskgate::core::failure::Failure;
use tokio::time::Instant;

use super::test_core::*;

#[tokio::test(start_paused = true)]
async fn a_flight_that_panics_frees_its_key_and_its_waiters() {
    let core = TestCore::new();
    let asked = [core.ask("x", "a").await, core.ask("y", "a").await];
    core.call("a").panic().await;
    for asked in asked {
        let refusal = asked.got().await.unwrap_err();
        assert_eq!(refusal.reason, Reason::Upstream(Failure::Unreachable));
    }
    pass(1.0).await;
    core.call("a").answer(terminal("done")).await;
    assert_eq!(body(&core.ask("x", "a").await.got().await), "done");
    assert_eq!(core.mirror.overview().census, Default::default());
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_hangs_is_given_up_after_the_timeout() {
    let core = TestCore::new();
    let begun = Instant::now();
    let asked = [core.ask("x", "a").await, core.ask("y", "a").await];
    let _hangs = core.call("a");
    pass(9.9).await;
    assert!(asked.iter().all(Asked::is_waiting));
    pass(0.2).await;
    for asked in asked {
        assert_eq!(asked.got().await.unwrap_err().reason, Reason::Upstream(Failure::TimedOut));
    }
    assert!(begun.elapsed() < seconds(10.2));
    // The failure is remembered: a second, then two, and so on.
    pass(0.5).await;
    core.no_call();
    pass(0.5).await;
    let _hangs = core.call("a");
    pass(10.0 + 1.9).await;
    core.no_call();
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_the_timeout_is_nobodys() {
    let core = TestCore::new();
    let asked = core.ask("x", "a").await;
    let late = core.call("a");
    pass(10.1).await;
    asked.got().await.unwrap_err();
    late.answer(terminal("late")).await;
    let asked = core.ask("x", "a").await;
    assert!(asked.is_waiting());
    pass(1.0).await;
    core.call("a").answer(terminal("new")).await;
    assert_eq!(body(&asked.got().await), "new");
}

#[tokio::test(start_paused = true)]
async fn flights_that_hang_leave_room_for_no_more_than_max_in_flight() {
    let core = TestCore::with(|setup| setup.max_in_flight = 3);
    let mut asked = Vec::new();
    for id in ["a", "b", "c", "d", "e"] {
        asked.push(core.ask(id, id).await);
    }
    let hanging = core.calls();
    assert_eq!(hanging.len(), 3);
    // The two that found no room have waited as long as anybody has to.
    pass(5.1).await;
    assert_eq!(asked.iter().filter(|asked| asked.is_waiting()).count(), 3);
    core.no_call();
    pass(5.0).await;
    assert!(asked.iter().all(|asked| !asked.is_waiting()));
    // Their interest lingers for a while after what they were told.
    let next = core.calls();
    assert!(next.len() <= 3, "{}", next.len());
    assert_eq!(core.sent().len(), 3 + next.len());
}

/// A flight's end starts the next ones. While the runtime goes down a spawned task is dropped on the
/// spot, and with it a landing, under the lock that its own start held: the process never ended.
#[test]
fn a_runtime_that_goes_down_with_flights_and_waiters_ends() {
    for workers in [0, 2] {
        let (done, ended) = std::sync::mpsc::channel();
        #[expect(clippy::disallowed_methods, reason = "a thread that hangs must not hang the tests")]
        std::thread::spawn(move || {
            let runtime = match workers {
                0 => tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap(),
                workers => tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(workers)
                    .enable_time()
                    .build()
                    .unwrap(),
            };
            let hanging = runtime.block_on(async {
                let core = TestCore::with(|setup| setup.max_in_flight = 2);
                let mut asked = Vec::new();
                for id in ["a", "b", "c", "d"] {
                    asked.push(core.ask("x", id).await);
                }
                while core.sent().len() < 2 {
                    settle().await;
                }
                (core.calls(), core)
            });
            drop(runtime);
            drop(hanging);
            done.send(()).unwrap();
        });
        ended.recv_timeout(seconds(20.0)).expect("the runtime went down");
    }
}
