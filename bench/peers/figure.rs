//! Owns a figure that was measured several times.

/// One value for each round.
#[derive(Debug, Clone, Default)]
pub struct Figure(Vec<f64>);

impl Figure {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn median(&self) -> Option<f64> {
        part(&mut self.0.clone(), 0.5)
    }

    /// The median, followed by the least and the largest value.
    pub fn show(&self, digits: usize) -> String {
        let (least, most) =
            self.0.iter().fold((f64::MAX, f64::MIN), |(least, most), one| (least.min(*one), most.max(*one)));
        match self.median() {
            None => "–".into(),
            Some(median) if self.0.len() == 1 => format!("{median:.digits$}"),
            Some(median) => format!("{median:.digits$} ({least:.digits$}–{most:.digits$})"),
        }
    }
}

/// The value below which this part of the values lies.
pub fn part(values: &mut [f64], part: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = (values.len() as f64 * part) as usize;
    values.get(index.min(last)).copied()
}
