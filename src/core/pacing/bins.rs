//! Owns the bins by which ages are counted: half a second, then a quarter of a doubling each, and an open one at the
//! end.

/// The number of bins.
pub(super) const BINS: usize = 58;

/// The end of the first bin, in seconds.
const FIRST: f64 = 0.5;
/// A doubling in four steps.
const STEPS: [f64; 4] = [1.0, 1.189_207_115_002_721, std::f64::consts::SQRT_2, 1.681_792_830_507_429];

/// The part of a span that lies in one bin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) bin: usize,
    /// Seconds.
    pub(super) width: f64,
}

/// The starts of all bins.
const STARTS: [f64; BINS] = {
    let mut starts = [0.0; BINS];
    let (mut bin, mut doubled) = (1, FIRST);
    while bin < BINS {
        let step = (bin - 1) % 4;
        starts[bin] = doubled * STEPS[step];
        if step == 3 {
            doubled *= 2.0;
        }
        bin += 1;
    }
    starts
};

/// The start of a bin, in seconds. The bin after the last one starts never.
pub(super) fn start(bin: usize) -> f64 {
    STARTS.get(bin).copied().unwrap_or(f64::INFINITY)
}

/// The width of a bin in seconds; that of the open one is where it starts.
pub(super) fn width(bin: usize) -> f64 {
    let width = start(bin + 1) - start(bin);
    if width.is_finite() { width } else { start(bin) }
}

/// The middle of a bin, in seconds; of the open one its start.
pub(super) fn middle(bin: usize) -> f64 {
    let middle = f64::midpoint(start(bin), start(bin + 1));
    if middle.is_finite() { middle } else { start(bin) }
}

/// The bin of an age.
pub(super) fn of(age: f64) -> usize {
    if age < FIRST || age.is_nan() {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 0; large values saturate"
    )]
    let near = ((age / FIRST).log2() * 4.0) as usize;
    // The logarithm may be off by one at the edges.
    let mut bin = near.min(BINS - 2) + 1;
    while start(bin) > age {
        bin -= 1;
    }
    while bin + 1 < BINS && start(bin + 1) <= age {
        bin += 1;
    }
    bin
}

/// The pieces of the span from one age to another, which may be infinite.
pub(super) fn pieces(from: f64, to: f64) -> impl Iterator<Item = Piece> {
    let first = of(from);
    (first..BINS).map_while(move |bin| {
        let begin = if bin == first { from } else { start(bin) };
        let end = start(bin + 1).min(to);
        (begin < end).then_some(Piece { bin, width: end - begin })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_join_and_every_age_lies_in_its_own() {
        assert_eq!((start(0), start(1), start(5), start(57)), (0.0, 0.5, 1.0, 8192.0));
        for bin in 0..BINS {
            let at = start(bin);
            assert_eq!(of(at), bin, "at the edge of {bin}");
            assert_eq!(of(at + width(bin) * 0.999), bin, "within {bin}");
        }
        assert_eq!([of(f64::NAN), of(-3.0), of(f64::INFINITY), of(1e300)], [0, 0, 57, 57]);
    }

    #[test]
    fn pieces_cover_a_span() {
        for (from, to) in [(0.0, 0.2), (0.3, 100.0), (7.0, 7.0), (9.0, 3.0), (5000.0, 1e6)] {
            let covered: f64 = pieces(from, to).map(|piece| piece.width).sum();
            assert!((covered - (to - from).max(0.0)).abs() < 1e-6, "{from} to {to}: {covered}");
        }
    }
}
