use serde::{Deserialize, Serialize};

use crate::types::DriftStatus;

/// The "all thresholds, N in a row" rule of one monitor in one regime.
///
/// ```text
///            one exceeded                    all exceeded N times in a row
///   OK ──────────────────────▶ Warning ──────────────────────────────────▶ Drift
///    ▲                            │                                          │
///    └──── N evaluations in a row with none exceeded ◀───────────────────────┘
/// ```
/// A single anomaly cannot make a drift: it passes through fewer than N evaluations, or exceeds only some tests.
///
/// ```
/// use driftgate::drift::Decision;
/// use driftgate::types::DriftStatus::*;
///
/// let mut d = Decision::default();
/// assert_eq!(d.step(1, 3, 2), Warning); // one of three
/// assert_eq!(d.step(3, 3, 2), Warning); // all, first time
/// assert_eq!(d.step(3, 3, 2), Drift); // all, second time
/// assert_eq!(d.step(0, 3, 2), Drift); // quiet, first time
/// assert_eq!(d.step(0, 3, 2), OK);
/// ```
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    status: Option<DriftStatus>,
    consecutive: u16,
    quiet: u16,
}

impl Decision {
    /// One evaluation: `exceeded` of `tests` tests are beyond their thresholds; `limit` is N (at least 1).
    pub fn step(&mut self, exceeded: usize, tests: usize, limit: u16) -> DriftStatus {
        let all = tests > 0 && exceeded >= tests;
        self.consecutive = if all { self.consecutive.saturating_add(1) } else { 0 };
        self.quiet = if exceeded == 0 { self.quiet.saturating_add(1) } else { 0 };
        let limit = limit.max(1);
        let status = match self.status {
            _ if self.consecutive >= limit => DriftStatus::Drift,
            Some(s @ (DriftStatus::Drift | DriftStatus::Warning)) if self.quiet < limit => s,
            _ if exceeded > 0 => DriftStatus::Warning,
            _ => DriftStatus::OK,
        };
        self.status = Some(status);
        status
    }

    /// `None` before the first evaluation.
    pub fn status(&self) -> Option<DriftStatus> {
        self.status
    }

    /// Evaluations in a row with all tests exceeded.
    pub fn consecutive(&self) -> u16 {
        self.consecutive
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DriftStatus::{Drift, OK, Warning};

    fn run(limit: u16, exceeded: &[usize]) -> Vec<DriftStatus> {
        let mut d = Decision::default();
        exceeded.iter().map(|e| d.step(*e, 2, limit)).collect()
    }

    #[test]
    fn an_anomaly_is_no_drift() {
        assert_eq!(run(3, &[0, 2, 2, 0, 0, 0]), [OK, Warning, Warning, Warning, Warning, OK]);
    }

    #[test]
    fn all_in_a_row_is_a_drift_until_it_is_quiet_as_long() {
        assert_eq!(run(2, &[2, 2, 1, 0, 1, 0, 0, 0]), [Warning, Drift, Drift, Drift, Drift, Drift, OK, OK]);
    }

    #[test]
    fn a_monitor_without_tests_never_drifts() {
        let mut d = Decision::default();
        assert!((0..5).all(|_| d.step(0, 0, 1) == OK));
    }
}
