use std::sync::Arc;
use std::time::Duration;

use super::{Cell, Located, RegimeTable};
use crate::types::Timestamp;

/// Where the machine is at one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    Known { slot: u16, distance: f64 },
    Transient,
    Outside { distance: f64 },
    BadSetting,
}

/// Follows the settings of one machine: finds the regime, and holds rows back while settings have just changed.
#[derive(Clone, Debug)]
pub struct RegimeTracker {
    settle: Duration,
    /// Settings at the last change, and when that was.
    anchor: Option<(Vec<Cell>, Timestamp)>,
    scratch: Option<Vec<Cell>>,
    outside_key: Arc<str>,
    settled: bool,
}

impl RegimeTracker {
    pub fn new(settle: Duration) -> Self {
        Self { settle, anchor: None, scratch: None, outside_key: "".into(), settled: false }
    }

    pub fn set_settle(&mut self, settle: Duration) {
        self.settle = settle;
    }

    /// One row. `cells` is `None` where a conditioning setting has no usable value: the state before is kept.
    pub fn step(&mut self, table: &RegimeTable, time: Timestamp, cells: Option<Vec<Cell>>) -> Place {
        let Some(cells) = cells else {
            self.scratch = None;
            return Place::BadSetting;
        };
        match &self.anchor {
            None => {
                // Nothing is known of the time before: no transient at the first row.
                self.anchor = Some((cells.clone(), time));
                self.settled = true;
            }
            Some((anchor, _)) if table.distance(anchor, &cells) > 1.0 => {
                self.anchor = Some((cells.clone(), time));
                self.settled = self.settle.is_zero();
            }
            Some((_, since)) => {
                if !self.settled && time.since(*since) >= self.settle {
                    self.settled = true;
                }
            }
        }
        let place = if self.settled {
            match table.locate(&cells) {
                Located::Known { slot, distance } => Place::Known { slot, distance },
                Located::Outside { distance } => Place::Outside { distance },
                Located::BadSetting => Place::BadSetting,
            }
        } else {
            Place::Transient
        };
        self.scratch = Some(cells);
        place
    }

    /// Key of the present settings, also outside the envelope; empty with a bad setting.
    pub fn key(&mut self, table: &RegimeTable, place: &Place) -> Arc<str> {
        if let Place::Known { slot, .. } = place
            && let Some(regime) = table.regimes.get(usize::from(*slot))
        {
            return regime.key.clone();
        }
        // The values at the last change name the place outside: a key that does not flicker with the noise.
        let cells = self.anchor.as_ref().map(|(cells, _)| cells).filter(|_| self.scratch.is_some());
        let key = cells.map(|cells| table.key(cells)).unwrap_or_default();
        if *self.outside_key != *key {
            self.outside_key = key.into();
        }
        self.outside_key.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Conditioning;
    use crate::regime::{Regime, SettingRule};

    fn setup(settle: u64) -> (RegimeTable, RegimeTracker) {
        let rules = vec![SettingRule { name: "V".into(), conditioning: Conditioning::Tolerance(5.0) }];
        let regimes = vec![Regime { cells: vec![Cell::Centre(164.0)], key: "V=164".into() }];
        (RegimeTable { rules, regimes }, RegimeTracker::new(Duration::from_secs(settle)))
    }

    fn run(settle: u64, volts: &[f64]) -> Vec<Place> {
        let (table, mut tracker) = setup(settle);
        let rows = volts.iter().enumerate();
        rows.map(|(i, v)| tracker.step(&table, Timestamp::from_secs_f64(i as f64), Some(vec![Cell::Centre(*v)]))).collect()
    }

    #[test]
    fn rows_after_a_change_are_transient_for_settle() {
        let places = run(2, &[164.0, 289.0, 289.0, 289.0, 164.0, 164.0, 164.0]);
        assert!(matches!(places[0], Place::Known { slot: 0, .. }));
        assert_eq!(places[1..3], [Place::Transient, Place::Transient]);
        assert!(matches!(places[3], Place::Outside { .. }));
        assert_eq!(places[4..6], [Place::Transient, Place::Transient]);
        assert!(matches!(places[6], Place::Known { slot: 0, .. }));
    }

    #[test]
    fn a_ramp_stays_transient_until_it_ends() {
        let places = run(2, &[164.0, 200.0, 230.0, 260.0, 289.0, 289.0, 289.0]);
        assert_eq!(places[1..6], vec![Place::Transient; 5][..]);
        assert!(matches!(places[6], Place::Outside { .. }));
    }

    #[test]
    fn without_settle_nothing_is_transient() {
        let places = run(0, &[164.0, 289.0, 164.0]);
        assert!(!places.contains(&Place::Transient));
    }

    #[test]
    fn a_bad_setting_is_not_outside() {
        let (table, mut tracker) = setup(0);
        tracker.step(&table, Timestamp::EPOCH, Some(vec![Cell::Centre(164.0)]));
        assert_eq!(tracker.step(&table, Timestamp::from_secs_f64(1.0), None), Place::BadSetting);
        assert_eq!(&*tracker.key(&table, &Place::BadSetting), "");
    }
}
