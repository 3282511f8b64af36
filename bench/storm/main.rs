//! Measures a storm, far more polls than the key allows, in simulated time and over real sockets.
//!
//! `cargo bench -p taskgate-bench --bench storm` prints one table. `-- simulated` or `-- sockets` runs one half; `-- quick`
//! shortens both, as a test of the benchmark.

mod simulated;
mod sockets;
mod tally;

use tally::Tally;

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() {
    // Cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let asked_for = |name: &str| wanted.iter().any(|word| word == name);
    let both = !asked_for("simulated") && !asked_for("sockets");
    let quick = asked_for("quick");
    println!("{}", Tally::HEAD);
    if both || asked_for("simulated") {
        for learns in [false, true] {
            for obedient in [1.0, 0.5, 0.0] {
                println!("{}", simulated::run(learns, obedient, if quick { 300 } else { 3600 }));
            }
        }
    }
    if both || asked_for("sockets") {
        println!("{}", sockets::run(0.5, if quick { 10 } else { 60 }));
    }
    println!("{}", Tally::FOOT);
}
