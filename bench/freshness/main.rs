//! Measures how soon the ends of tasks are seen: fixed intervals beside the pacing that learns, and beside one that knows
//! the durations already, on the same budget, in simulated time, through the real core.
//!
//! `cargo bench -p taskgate-bench --bench freshness` prints the tables of docs/performance.md. `-- FILE` adds real
//! durations, from lines of `model,status,seconds`; `-- quick` takes a tenth of the time, as a test of the benchmark.

mod sockets;
mod workload;
mod world;

use std::path::PathBuf;

use taskgate::core::pacing::Pacing;
use taskgate_bench::Failure;
use tokio::time::Duration;

use workload::{Durations, Progress, Workload};
use world::{Outcome, Rule, Scene};

#[expect(clippy::print_stdout, reason = "the tables are what it is for")]
fn main() -> Result<(), Failure> {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let is_quick = words.iter().any(|word| word == "quick");
    let wanted = |part: &str| {
        let parts = ["short", "real", "clients", "cold", "spare", "sockets"];
        words.iter().any(|word| word == part) || !words.iter().any(|word| parts.contains(&word.as_str()))
    };
    let file = words.iter().map(PathBuf::from).find(|path| path.is_file());
    let real = file.map(|file| Workload::read(&file)).transpose()?;
    let length = if is_quick { 0.1 } else { 1.0 };
    let (models, replayed) = (wanted("short").then(scenes), real.as_ref().filter(|_| wanted("real")));
    if models.is_some() || replayed.is_some() {
        println!("{HEAD}");
        let replays = replayed.into_iter().flat_map(replays);
        for (scene, name) in models.into_iter().flatten().chain(replays) {
            println!("{}", row(&name, &scene, length));
        }
        println!();
    }
    if wanted("clients") {
        clients(length);
    }
    if wanted("cold") {
        cold();
    }
    if wanted("spare") {
        spare(real.as_ref(), length);
    }
    if wanted("sockets") {
        over_sockets(if is_quick { 20 } else { 120 })?;
    }
    Ok(())
}

const HEAD: &str = "\
| tasks | looks a task | fixed | learned | informed | learned / fixed | informed / fixed | learned / informed | p99 learned / fixed | longest gap ÷ N/r |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

/// The scenes on a short budget, and their names.
fn scenes() -> Vec<(Scene, String)> {
    let mut scenes = Vec::new();
    let mut add = |workload: &Workload, ratio: f64, change: fn(&mut Scene)| {
        let mut scene = Scene::new(workload, Rule::Fixed, ratio);
        change(&mut scene);
        let name = format!("{}, N/r = {ratio} s", workload.name);
        scenes.push((scene, name));
    };
    let plain = |_: &mut Scene| {};
    add(&Workload::lognormal(100.0, 0.3), 10.0, plain);
    add(&Workload::lognormal(100.0, 0.3), 40.0, plain);
    add(&Workload::lognormal(100.0, 0.1), 10.0, plain);
    let media = Durations::Media([(20.0, 0.3), (60.0, 0.3), (120.0, 0.3), (300.0, 0.3)]);
    let media = Workload::new("four media", media);
    add(&media, 10.0, plain);
    let name = "four media, `model` not told".to_owned();
    add(&Workload { name, names_model: false, ..media }, 10.0, plain);
    add(&Workload::new("heavy tail: one of 10 runs on", Durations::HeavyTail), 10.0, plain);
    add(&Workload::new("bimodal: 3 of 10 fail at once", Durations::Bimodal), 10.0, plain);
    add(&Workload::new("exponential: nothing to learn", Durations::Exponential(100.0)), 10.0, plain);
    add(&Workload::new("a queue, then a run", Durations::QueueThenRun), 10.0, plain);
    for (name, drift) in [("durations double midway", 2.0), ("durations halve midway", 0.5)] {
        let workload = Workload { name: name.to_owned(), drift, ..Workload::lognormal(100.0, 0.3) };
        add(&workload, 10.0, |scene| scene.counted = (0.5, 1.0));
    }
    for (name, progress) in [
        ("progress, linear, σ = 0.6", Progress::Linear),
        ("progress that stands at 99, σ = 0.6", Progress::Stuck),
        ("random progress, σ = 0.6", Progress::Random),
    ] {
        let workload = Workload { name: name.to_owned(), progress, ..Workload::lognormal(100.0, 0.6) };
        add(&workload, 10.0, plain);
    }
    for (name, change) in [
        ("batches of 20", (|scene: &mut Scene| scene.batch = 20) as fn(&mut Scene)),
        ("batches of 100", |scene| {
            scene.batch = 100;
            scene.clients = vec![200];
            scene.per_second = 20.0;
        }),
    ] {
        add(&Workload { name: name.to_owned(), ..Workload::lognormal(100.0, 0.3) }, 10.0, change);
    }
    scenes
}

/// Real durations, on budgets of different size.
fn replays(real: &Workload) -> Vec<(Scene, String)> {
    let replay = |ratio| (Scene::new(real, Rule::Fixed, ratio), format!("{}, N/r = {ratio} s", real.name));
    [3.0, 5.0, 10.0].map(replay).into()
}

fn run(scene: &Scene, rule: Rule, length: f64) -> Outcome {
    Scene { rule, seconds: scene.seconds * length, ..scene.clone() }.run()
}

fn row(name: &str, scene: &Scene, length: f64) -> String {
    let [fixed, learned, informed] =
        [Rule::Fixed, Rule::Learned, Rule::Informed].map(|rule| run(scene, rule, length));
    let drifts = scene.workload.drift != 1.0;
    // The durations that it knows are no longer true.
    let informed_mean = if drifts { f64::NAN } else { informed.mean() };
    let even: f64 = scene.clients.iter().sum::<usize>() as f64 / scene.per_second;
    format!(
        "| {name} | {:.1} | {:.1} s | {:.1} s | {} | {:.2} | {} | {} | {:.2} | {:.1} |",
        learned.requests as f64 / learned.ends.len() as f64,
        fixed.mean(),
        learned.mean(),
        shown(informed_mean, 1, " s"),
        learned.mean() / fixed.mean(),
        shown(informed_mean / fixed.mean(), 2, ""),
        shown(learned.mean() / informed_mean, 2, ""),
        learned.p99() / fixed.p99(),
        learned.longest_gap() / even,
    )
}

fn shown(value: f64, digits: usize, unit: &str) -> String {
    if value.is_nan() { "–".to_owned() } else { format!("{value:.digits$}{unit}") }
}

/// Clients with few and many tasks, and a sudden rush.
#[expect(clippy::print_stdout, reason = "the tables are what it is for")]
fn clients(length: f64) {
    println!("| clients of 5, 50 and 500 tasks, N/r = 10 s | fixed | learned | learned / fixed |");
    println!("|---|--:|--:|--:|");
    let workload = Workload::lognormal(100.0, 0.3);
    let scene =
        Scene { clients: vec![5, 50, 500], per_second: 55.5, ..Scene::new(&workload, Rule::Fixed, 1.0) };
    let [fixed, learned] = [Rule::Fixed, Rule::Learned].map(|rule| run(&scene, rule, length));
    for (client, tasks) in [5, 50, 500].into_iter().enumerate() {
        let [fixed, learned] = [&fixed, &learned].map(|outcome| outcome.mean_of(client));
        println!("| the one with {tasks} | {fixed:.2} s | {learned:.2} s | {:.2} |", learned / fixed);
    }
    println!();
    println!("| from 10 tasks to 200, on 20 requests a second | fixed | learned | learned / fixed |");
    println!("|---|--:|--:|--:|");
    let rush = Scene {
        clients: vec![10],
        surge: 20,
        per_second: 20.0,
        counted: (0.5, 1.0),
        seconds: 2000.0,
        ..Scene::new(&workload, Rule::Fixed, 1.0)
    };
    let [fixed, learned] = [Rule::Fixed, Rule::Learned].map(|rule| rush_of(&rush, rule));
    for (name, from, to) in [("the first 100 s of the rush", 0.0, 100.0), ("then", 100.0, 1000.0)] {
        let [fixed, learned] = [&fixed, &learned].map(|outcome| within(outcome, from, to));
        println!("| {name} | {fixed:.2} s | {learned:.2} s | {:.2} |", learned / fixed);
    }
    println!();
}

fn rush_of(scene: &Scene, rule: Rule) -> Outcome {
    run(scene, rule, 1.0)
}

fn within(outcome: &Outcome, from: f64, to: f64) -> f64 {
    let delays: Vec<f64> = outcome
        .ends
        .iter()
        .filter(|(_, end, _)| (from..to).contains(end))
        .map(|(.., delay)| *delay)
        .collect();
    delays.iter().sum::<f64>() / delays.len() as f64
}

#[expect(clippy::print_stdout, reason = "the tables are what it is for")]
fn over_sockets(seconds: u64) -> Result<(), Failure> {
    println!("| over sockets, the second half of {seconds} s | ends | mean delay |");
    println!("|---|--:|--:|");
    let workload = Workload::lognormal(15.0, 0.2);
    for (name, learns) in [("fixed", false), ("learned", true)] {
        let delays = sockets::run(&workload, learns, seconds)?;
        let mean = delays.iter().sum::<f64>() / delays.len() as f64;
        println!("| {name} | {} | {mean:.2} s |", delays.len());
    }
    println!();
    Ok(())
}

/// The first ends of a gateway that knows nothing yet.
#[expect(clippy::print_stdout, reason = "the tables are what it is for")]
fn cold() {
    println!("| cold start: ends so far | fixed | learned | learned / fixed |");
    println!("|---|--:|--:|--:|");
    let workload = Workload::lognormal(100.0, 0.3);
    let scene = Scene { counted: (0.0, 1.0), seconds: 800.0, ..Scene::new(&workload, Rule::Fixed, 10.0) };
    let [fixed, learned] = [Rule::Fixed, Rule::Learned].map(|rule| scene_of_ends(&scene, rule));
    for (from, to) in [(0, 20), (20, 50), (50, 100), (100, 300)] {
        let [fixed, learned] = [&fixed, &learned].map(|delays: &Vec<f64>| {
            let part = &delays[from.min(delays.len())..to.min(delays.len())];
            part.iter().sum::<f64>() / part.len() as f64
        });
        println!("| {from} to {to} | {fixed:.2} s | {learned:.2} s | {:.2} |", learned / fixed);
    }
    println!();
}

fn scene_of_ends(scene: &Scene, rule: Rule) -> Vec<f64> {
    run(scene, rule, 1.0).ends.into_iter().map(|(.., delay)| delay).collect()
}

/// With budget to spare: the requests for the same delay.
#[expect(clippy::print_stdout, reason = "the tables are what it is for")]
fn spare(real: Option<&Workload>, length: f64) {
    println!(
        "| budget to spare | delay | requests a task | fixed, for the same delay | ratio | no state older than 5 s: ratio |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    let media = Durations::Media([(20.0, 0.3), (60.0, 0.3), (120.0, 0.3), (300.0, 0.3)]);
    let linear = Workload {
        name: "linear progress, σ = 0.6".to_owned(),
        progress: Progress::Linear,
        ..Workload::lognormal(100.0, 0.6)
    };
    let workloads = [0.1, 0.3, 0.6].map(|sigma| Workload::lognormal(100.0, sigma)).into_iter().chain([
        Workload::new("four media", media),
        Workload::new("exponential", Durations::Exponential(100.0)),
        linear,
    ]);
    for workload in workloads.chain(real.cloned()) {
        let at = |longest: u64| {
            let pacing =
                Pacing { fresh_for: Duration::from_secs(1), max_interval: Duration::from_secs(longest) };
            let scene = Scene {
                clients: vec![50],
                per_second: 1000.0,
                pacing,
                ..Scene::new(&workload, Rule::Learned, 1.0)
            };
            let learned = run(&scene, Rule::Learned, length);
            // The bounds of the fixed rule that lead to the same delay.
            let (mut scale, mut fixed) = (learned.mean() / 1.6, Outcome::default());
            for _ in 0..3 {
                let [fresh_for, max_interval] =
                    [2.0, 5.0].map(|bound| Duration::from_secs_f64(bound * scale));
                let as_soon = Scene { pacing: Pacing { fresh_for, max_interval }, ..scene.clone() };
                fixed = run(&as_soon, Rule::Fixed, length);
                scale *= learned.mean() / fixed.mean();
            }
            let [learned_a_task, fixed_a_task] =
                [&learned, &fixed].map(|outcome| outcome.requests as f64 / outcome.ends.len() as f64);
            (learned.mean(), learned_a_task, fixed_a_task)
        };
        let ((delay, learned, fixed), (_, often, fixed_often)) = (at(20), at(5));
        println!(
            "| {} | {delay:.2} s | {learned:.1} | {fixed:.1} | {:.2} | {:.2} |",
            workload.name,
            learned / fixed,
            often / fixed_often
        );
    }
}
