//! Owns `taskgate demo`: a sandbox with tasks under way, a gateway with default settings, and their output.

use std::net::SocketAddr;

use tokio::time::Duration;

use super::command_error::CommandError;
use super::signals::Stop;
use super::terminal::tell;
use super::{sandbox, serve};
use crate::app::{self, Listeners, listeners};
use crate::config::{self, Sources};
use crate::core::task::{Route, Routes};
use crate::lifecycle::Lifecycle;
use crate::sandbox::{Course, Ending, Medium, Options, Plan, Sandbox};
use crate::server;
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Address of the gateway
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    /// Address of the gateway's admin listener
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9797")]
    admin: SocketAddr,
    /// Address of the sandbox
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8788")]
    sandbox: SocketAddr,
}

/// The example page. The sandbox serves it: the gateway allows pages from loopback addresses to read.
const PAGE: &str = include_str!("../../examples/browser/index.html");

/// The path of the films.
const FILMS: &str = "/v1/videos/{id}/content";

/// The tasks under way when the demo starts: medium, duration and elapsed time in seconds, ending, prompt,
/// and a description for the terminal.
const TASKS: [(Medium, u64, u64, Ending, &str, &str); 5] = {
    use Ending::{Completed, Failed};
    use Medium::{Image, Music, ThreeD, Video};
    [
        (Video, 120, 30, Completed, "A lemon tree in the rain", "a video, done in a minute and a half"),
        (Image, 20, 5, Completed, "Still life with lemons", "an image, done in 15 s"),
        (Music, 60, 20, Completed, "A waltz for lemons", "a song, done in 40 s"),
        (ThreeD, 45, 10, Failed, "A lemon, half peeled", "a 3D model that will fail in 35 s"),
        (Video, 60, 60, Completed, "Lemons at sea", "a video that is done: served from memory"),
    ]
};

pub(super) async fn run(arguments: Arguments) -> Result<(), CommandError> {
    let stop = Stop::listen()?;
    let lifecycle = Lifecycle::default();
    let upstream = listeners::listen(arguments.sandbox, "--sandbox").await?;
    let upstream_address = upstream.local_addr()?;
    let options = Options { results_url: format!("http://{upstream_address}"), ..Options::default() };
    let variable = |name: &str, value: String| (name.to_owned(), value);
    let mut settings = config::load(&Sources {
        file: None,
        env: vec![
            variable("LEMONDATA_API_KEY", options.api_key.clone()),
            variable("TASKGATE_UPSTREAM__BASE_URL", format!("http://{upstream_address}")),
            variable("TASKGATE_ACCESS__MODE", "open".to_owned()),
            variable("TASKGATE_SERVER__LISTEN", arguments.listen.to_string()),
            variable("TASKGATE_ADMIN__LISTEN", arguments.admin.to_string()),
        ],
    })?;
    // The sandbox's films, as an API has them whose films need the key.
    settings.upstream.content_routes = Routes::new(Route::parse_content(FILMS).into_iter().collect());
    let _log = telemetry::log::start(&settings.log);
    let main = listeners::listen(arguments.listen, "--listen").await?;
    let operators = listeners::listen(arguments.admin, "--admin").await?;
    let admin = operators.local_addr()?;
    let listeners = Listeners { main, admin: Some(operators) };
    let sandbox = Sandbox::new(options.clone());
    let at = Addresses { gateway: listeners.main.local_addr()?, admin, upstream: upstream_address };
    let invitation = invitation(&sandbox, &at, &options.api_key);
    drop(lifecycle.spawn(server::serve(
        upstream,
        sandbox.router_with(PAGE),
        sandbox::LIMITS,
        lifecycle.clone(),
    )));
    serve::announce(&settings, &listeners)?;
    drop(app::start(&settings, listeners, &lifecycle)?);
    tell(&invitation);
    stop.asked().await;
    lifecycle.stop();
    lifecycle.drained(settings.server.shutdown_grace).await;
    Ok(())
}

/// The addresses of the demo's listeners.
struct Addresses {
    gateway: SocketAddr,
    admin: SocketAddr,
    upstream: SocketAddr,
}

/// Creates the tasks, and returns the text that shows how to read and watch them.
fn invitation(sandbox: &Sandbox, at: &Addresses, key: &str) -> String {
    let Addresses { gateway, admin, upstream } = at;
    let mut text = String::from("\nTasks are under way. Ask for them through the gateway, without a key:\n");
    let films = FILMS.replace('{', "%7B").replace('}', "%7D");
    let mut page = format!("http://{upstream}/?gateway=http://{gateway}&content={films}");
    let mut last = String::new();
    for (medium, seconds, elapsed, ending, prompt, words) in TASKS {
        let plan = Plan {
            prompt: prompt.to_owned(),
            course: Course::Run { duration: Some(Duration::from_secs(seconds)), ending: Some(ending) },
            elapsed: Duration::from_secs(elapsed),
            ..Plan::default()
        };
        let id = sandbox.create(medium, plan);
        text.push_str(&format!("  curl -i http://{gateway}/v1/tasks/{id}   # {words}\n"));
        last.clone_from(&id);
        page.push_str(&format!("&id={id}"));
    }
    let film = FILMS.replace("{id}", &last);
    text.push_str(&format!(
        "Ask again and see Age, ETag and Cache-Status; ask from fifty terminals and the sandbox sees one request.\n\
         \nThe film of the last one needs the key, and passes through the gateway:\n  \
         curl -o film.mp4 http://{gateway}{film}\n\
         \nOpen this page to watch the tasks live:\n  \
         {page}\n\
         \nOpen the dashboard of the gateway:\n  \
         http://{admin}/\n\
         \nCreate another task at the sandbox, as your back end would at LemonData:\n  \
         curl http://{upstream}/v1/videos/generations -H 'Authorization: Bearer {key}' \\\n    \
         -H 'Content-Type: application/json' -d '{{\"prompt\":\"a lemon tree in the rain\"}}'\n\
         and put its poll_url behind http://{gateway}\n\
         \nCtrl-C ends it.\n"
    ));
    text
}
