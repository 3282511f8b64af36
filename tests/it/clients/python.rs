//! The example for Python, `examples/python/watch.py`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::parts::{Part, client_command};
use crate::support::{QUICK, Relay, Reply, Upstream, gateway, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_tells_each_state_once_and_the_end() {
    let step = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&step);
    let upstream = Upstream::start(move |number, _| match (number, now.load(Ordering::SeqCst)) {
        (0, _) => Reply::new(404, "", r#"{"error":{"code":"async_task_not_found"}}"#),
        (_, 3) => Reply::json(r#"{"status":"completed","n":3}"#),
        (_, n) => Reply::json(&format!(r#"{{"status":"processing","n":{n}}}"#)),
    })
    .await;
    let gateway = gateway(&upstream, QUICK).await;
    let relay = Relay::to(gateway.address).await;
    let Some(mut command) = client_command("../../examples/python/watch.py", Part::Python) else { return };
    command.arg(format!("http://{}/v1/tasks/a", relay.address)).env("NO_PROXY", "*");
    let program = run(command);
    for n in 0..3 {
        assert_eq!(program.next_line(), format!("{{'status': 'processing', 'n': {n}}}"));
        relay.cut();
        step.fetch_add(1, Ordering::SeqCst);
    }
    assert_eq!(program.next_line(), "{'status': 'completed', 'n': 3}");
    let (code, _, errors) = program.end();
    assert_eq!(code, Some(0), "{errors}");
}
