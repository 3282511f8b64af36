//! Owns the workloads: how long tasks take, and what their answers tell.

use std::f64::consts::TAU;
use std::path::Path;

use taskgate_bench::Failure;

/// The progress that answers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    None,
    Linear,
    /// Linear up to 99 %, which stands for the last third.
    Stuck,
    Random,
}

/// The distribution of the durations.
#[derive(Debug, Clone)]
pub enum Durations {
    /// Median in seconds, and σ.
    Lognormal(f64, f64),
    /// Mean in seconds.
    Exponential(f64),
    /// Four media of different lengths, with a σ each.
    Media([(f64, f64); 4]),
    /// Nine of ten are alike, and one runs on.
    HeavyTail,
    /// A part fails at once, the others run long.
    Bimodal,
    /// An exponential wait in a queue, then a run.
    QueueThenRun,
    /// Real ones: the model and the seconds of each.
    Real(Vec<(String, f64)>),
}

/// A kind of tasks.
#[derive(Debug, Clone)]
pub struct Workload {
    pub name: String,
    pub durations: Durations,
    /// Whether answers name the model.
    pub names_model: bool,
    pub progress: Progress,
    /// From the middle of the run on, durations are so many times as long.
    pub drift: f64,
}

/// A task, as the upstream knows it.
#[derive(Debug, Clone)]
pub struct Task {
    pub model: Option<String>,
    /// Seconds in the queue, of `seconds` in all. Without a queue the task runs from the start.
    pub queued: f64,
    pub seconds: f64,
}

impl Workload {
    pub fn new(name: &str, durations: Durations) -> Self {
        let name = name.to_owned();
        Self { name, durations, names_model: true, progress: Progress::None, drift: 1.0 }
    }

    pub fn lognormal(median: f64, sigma: f64) -> Self {
        Self::new(&format!("lognormal, σ = {sigma}"), Durations::Lognormal(median, sigma))
    }

    /// Reads lines of `model,status,seconds`, the first of which names them.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(file)?;
        let line = |line: &str| {
            let mut fields = line.split(',');
            let (model, _status) = (fields.next()?, fields.next()?);
            let seconds = fields.next()?.trim().parse().ok()?;
            Some((model.to_owned(), seconds))
        };
        let tasks: Vec<_> = text.lines().skip(1).filter_map(line).collect();
        let models: std::collections::HashSet<_> = tasks.iter().map(|(model, _)| model).collect();
        let name = format!("{} real tasks, {} models", tasks.len(), models.len());
        if tasks.is_empty() {
            Err("the file holds no tasks".into())
        } else {
            Ok(Self::new(&name, Durations::Real(tasks)))
        }
    }

    /// The next task. `number` counts those before it.
    pub fn task(&self, number: usize) -> Task {
        let named = |model: &str, seconds| (Some(model.to_owned()), 0.0, seconds);
        let (model, queued, seconds) = match &self.durations {
            Durations::Lognormal(median, sigma) => named("m", lognormal(*median, *sigma)),
            Durations::Exponential(mean) => named("m", exponential(*mean)),
            Durations::Media(media) => {
                let which = fastrand::usize(..media.len());
                let (median, sigma) = media[which];
                named(&format!("m{which}"), lognormal(median, sigma))
            }
            Durations::HeavyTail => {
                let is_long = fastrand::f64() < 0.1;
                named("m", if is_long { lognormal(300.0, 0.6) } else { lognormal(60.0, 0.3) })
            }
            Durations::Bimodal => named(
                "m",
                if fastrand::f64() < 0.3 { 2.0 + 3.0 * fastrand::f64() } else { lognormal(150.0, 0.2) },
            ),
            Durations::QueueThenRun => {
                let queued = exponential(60.0);
                (Some("m".to_owned()), queued, queued + lognormal(60.0, 0.15))
            }
            // In their order: neighbours were asked for at about the same time.
            Durations::Real(tasks) => {
                let (model, seconds) = &tasks[number % tasks.len()];
                named(model, seconds.max(0.1))
            }
        };
        Task { model: model.filter(|_| self.names_model), queued, seconds }
    }

    /// The progress that an answer tells, in percent.
    pub fn told(&self, age: f64, seconds: f64) -> Option<f32> {
        #[expect(clippy::cast_possible_truncation, reason = "percent")]
        let percent = |part: f64| Some((100.0 * part).clamp(0.0, 100.0) as f32);
        match self.progress {
            Progress::None => None,
            Progress::Linear => percent(age / seconds),
            Progress::Stuck => percent((age / (seconds * 2.0 / 3.0)).min(0.99)),
            Progress::Random => percent(fastrand::f64()),
        }
    }
}

fn lognormal(median: f64, sigma: f64) -> f64 {
    // Box and Muller.
    let normal = (-2.0 * (1.0 - fastrand::f64()).ln()).sqrt() * (TAU * fastrand::f64()).cos();
    median * (sigma * normal).exp()
}

fn exponential(mean: f64) -> f64 {
    -mean * (1.0 - fastrand::f64()).ln()
}
