use serde::{Deserialize, Serialize};

/// Debounced fault of one model.
///
/// ```text
///          N anomalies in a row, on a trusted prediction
///   clear ───────────────────────────────────────────────▶ fault
///     ▲                  N rows in a row without                │
///     └─────────────────────────────────────────────────────────┘
/// ```
/// A single spike is an anomaly, not a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultState {
    active: bool,
    run: u16,
}

impl FaultState {
    /// One row; true where the state has changed.
    pub fn step(&mut self, anomaly: bool, trusted: bool, limit: u16) -> bool {
        let towards_change = if self.active { !anomaly } else { anomaly && trusted };
        self.run = if towards_change { self.run.saturating_add(1) } else { 0 };
        if self.run < limit.max(1) {
            return false;
        }
        self.active = !self.active;
        self.run = 0;
        true
    }

    /// Whether the fault is there.
    pub fn is_active(&self) -> bool {
        self.active
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rows: &[(bool, bool)]) -> Vec<bool> {
        let mut f = FaultState::default();
        rows.iter().map(|(a, t)| (f.step(*a, *t, 3), f.is_active()).1).collect()
    }

    #[test]
    fn spikes_pass_and_a_row_of_anomalies_is_a_fault() {
        let (y, n) = ((true, true), (false, true));
        assert_eq!(run(&[y, n, y, y, n]), [false; 5]);
        assert_eq!(run(&[y, y, y, n, y, n, n, n]), [false, false, true, true, true, true, true, false]);
    }

    #[test]
    fn an_untrusted_prediction_raises_no_fault() {
        assert_eq!(run(&[(true, false); 6]), [false; 6]);
    }
}
