//! Medians and spreads. Pure.

/// One value for each round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

/// Where the rounds lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Series {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Median and both ends; `None` when nothing was measured.
    pub(crate) fn spread(&self) -> Option<Spread> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Spread { median: percentile(&sorted, 50)?, min: *sorted.first()?, max: *sorted.last()? })
    }
}

/// The value below or at which so many percent lie, by nearest rank.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The first median as a multiple of the second.
pub(crate) fn ratio(ours: Option<Spread>, theirs: Option<Spread>) -> Option<f64> {
    Some(ours?.median / theirs?.median)
}
