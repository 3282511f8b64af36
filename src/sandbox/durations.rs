//! Owns how long tasks take that no plan says it of.

use std::f64::consts::TAU;
use std::time::Duration;

use clap::ValueEnum;

use super::medium::Medium;

/// The spread of durations: one in six takes over a third longer than half of them, and one in six that much less.
const SIGMA: f64 = 0.3;
/// No task takes longer than so many times the usual.
const MOST_TIMES: f64 = 5.0;

/// The kinds of durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Durations {
    /// All as long as `--duration` says, images half of it
    Fixed,
    /// As real ones: by medium and model, and spread (lognormal)
    Lognormal,
}

impl Durations {
    /// Draws the duration of a task; `base` is that of the options.
    pub(super) fn draw(self, medium: Medium, model: &str, base: Duration) -> Duration {
        match self {
            Self::Fixed => match medium {
                Medium::Image => base / 2,
                Medium::Video | Medium::Music | Medium::ThreeD => base,
            },
            Self::Lognormal => base.mul_f64(times(medium, model) * spread()),
        }
    }
}

/// The median of a model, in usual durations: between half and twice that of its medium, by its name.
fn times(medium: Medium, model: &str) -> f64 {
    let of_medium = match medium {
        Medium::Image => 0.5,
        Medium::Music => 1.0,
        Medium::Video => 2.0,
        Medium::ThreeD => 4.0,
    };
    // FNV-1a: the same in every process.
    let hash =
        model.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    // Mixed, as names that differ in the last letter alone have much the same hash.
    let mixed = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    let part = f64::from(mixed) / f64::from(u32::MAX);
    of_medium * (2.0 * part - 1.0).exp2()
}

fn spread() -> f64 {
    // Box and Muller.
    let normal = (-2.0 * (1.0 - fastrand::f64()).ln()).sqrt() * (TAU * fastrand::f64()).cos();
    (SIGMA * normal).exp().min(MOST_TIMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(30);

    fn median(medium: Medium, model: &str) -> f64 {
        let mut drawn: Vec<f64> =
            (0..999).map(|_| Durations::Lognormal.draw(medium, model, BASE).as_secs_f64()).collect();
        drawn.sort_by(f64::total_cmp);
        assert!(drawn[840] / drawn[160] > 1.4, "they are spread");
        drawn[500]
    }

    #[test]
    fn durations_depend_on_medium_and_model_and_are_spread() {
        fastrand::seed(4);
        let (image, film) = (median(Medium::Image, "m"), median(Medium::ThreeD, "m"));
        assert!((7.0..=13.0).contains(&(film / image)), "{image} {film}");
        let models: Vec<f64> = ["a", "b", "c", "d"].map(|model| median(Medium::Video, model)).into();
        assert!(models.iter().all(|median| (28.0..130.0).contains(median)), "{models:?}");
        let most = models.iter().copied().fold(0.0, f64::max);
        let least = models.iter().copied().fold(f64::MAX, f64::min);
        assert!(most > 1.15 * least, "{models:?}");
        assert_eq!(Durations::Fixed.draw(Medium::Image, "m", BASE), BASE / 2);
    }
}
