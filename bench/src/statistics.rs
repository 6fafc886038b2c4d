//! Medians and what goes with them.

use std::time::Duration;

/// The middle of some values, and how far they scatter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quartiles {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// The median; of nothing, not a number.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The quartiles of the ratios of values that were taken one after the other.
pub(crate) fn paired_ratios(ours: &[f64], theirs: &[f64]) -> Quartiles {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    Quartiles {
        lower: quantile(&ratios, 0.25),
        upper: quantile(&ratios, 0.75),
    }
}

/// Linear between the two nearest values. `at` is from 0 to 1.
pub(crate) fn quantile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = at * float(last as u64);
    // Both lie within the list: `at` is not over 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

/// A quantile of durations, in seconds.
pub(crate) fn seconds_at(durations: &[Duration], at: f64) -> f64 {
    let seconds: Vec<f64> = durations.iter().map(Duration::as_secs_f64).collect();
    quantile(&seconds, at)
}

/// A count as a number to calculate with. None here is near the 2^53 from which on it would be rounded.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_values() {
        let values = [4.0, 1.0, 3.0, 2.0];
        for (at, expected) in [(0.0, 1.0), (0.25, 1.75), (0.5, 2.5), (1.0, 4.0)] {
            assert!((quantile(&values, at) - expected).abs() < 1e-9);
        }
        assert!(median(&[]).is_nan());
    }
}
