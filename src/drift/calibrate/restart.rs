//! Thresholds of charts that start anew at an alarm: what they say next depends on the threshold itself.

use std::sync::Arc;

use super::Subject;
use super::runs::Plan;
use super::tail::Curve;
use crate::drift::chart::ewma_t2::EwmaReference;

/// How many times more onsets than the same chart without a restart has; tried all at once. Fewer, where alarms end the
/// long windows that see most; more, where each alarm brings others after it.
const INFLATIONS: [f64; 7] = [0.03, 0.12, 0.4, 1.2, 3.5, 12.0, 40.0];
/// Onsets in the runs that a rate is told from.
const ENOUGH: f64 = 20.0;

impl Subject<'_> {
    /// Thresholds with `rate` onsets an evaluation, restarts included: the runs are repeated with thresholds for several rates;
    /// where too few onsets are budgeted to be counted, the inflation at a larger rate is taken.
    pub(super) fn restarted(
        &self,
        curve: &Curve,
        plan: &Plan<'_>,
        ewma: Option<&Arc<EwmaReference>>,
        evaluations: usize,
        rate: f64,
    ) -> Option<Vec<f64>> {
        let shown = rate.max(ENOUGH / evaluations.max(1) as f64);
        let thresholds: Option<Vec<Vec<f64>>> = INFLATIONS.iter().map(|c| curve.thresholds(shown / c)).collect();
        let onsets = self.onsets(plan, ewma, &thresholds?);
        curve.thresholds(rate / inflation(&onsets, shown * evaluations as f64))
    }
}

/// The inflation with the wanted onsets, between those tried (all logarithms); beyond them, the first or last.
fn inflation(onsets: &[usize], wanted: f64) -> f64 {
    let y = |j: usize| (onsets[j] as f64 + 0.5).ln();
    let Some(after) = (0..onsets.len()).find(|j| onsets[*j] as f64 <= wanted) else { return INFLATIONS[INFLATIONS.len() - 1] };
    if after == 0 {
        return INFLATIONS[0];
    }
    let share = ((y(after - 1) - (wanted + 0.5).ln()) / (y(after - 1) - y(after))).clamp(0.0, 1.0);
    let (low, high) = (INFLATIONS[after - 1].ln(), INFLATIONS[after].ln());
    (low + share * (high - low)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inflation_is_between_those_with_more_and_with_fewer_onsets() {
        let found = inflation(&[99, 90, 40, 20, 5, 1, 0], 30.0);
        assert!(found > INFLATIONS[2] && found < INFLATIONS[3], "{found}");
        assert_eq!(inflation(&[5; 7], 9.0), INFLATIONS[0]);
        assert_eq!(inflation(&[50; 7], 9.0), INFLATIONS[6]);
    }
}
