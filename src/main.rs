//! Owns the program's entry: it reads arguments and environment, and hands them to the command.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use taskgate::cli::{Arguments, Surroundings};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let surroundings =
        Surroundings { env: std::env::vars_os().collect(), dir: std::env::current_dir().unwrap_or_default() };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "taskgate: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(arguments.run(surroundings));
    // A read from a dead network drive may still block a thread. The exit does not wait for it.
    runtime.shutdown_background();
    code
}
