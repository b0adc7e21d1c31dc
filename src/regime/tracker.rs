use std::sync::Arc;
use std::time::Duration;

use super::{Cell, Located, Point, RegimeTable};
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
///
/// A continuous setting may move all the time. It has changed where it runs away from a follower that moves at most one
/// tolerance in `settle`: a step of more than a tolerance, or a faster ramp.
#[derive(Clone, Debug)]
pub struct RegimeTracker {
    settle: Duration,
    /// Settings at the last change, and when that was.
    anchor: Option<(Vec<Cell>, Timestamp)>,
    /// The continuous settings, slowed down; and the time of the last row that moved it.
    follower: Option<(Point, Timestamp)>,
    /// The settings of the last row had usable values.
    readable: bool,
    outside_key: Arc<str>,
    settled: bool,
}

impl RegimeTracker {
    pub fn new(settle: Duration) -> Self {
        Self { settle, anchor: None, follower: None, readable: false, outside_key: "".into(), settled: false }
    }

    pub fn set_settle(&mut self, settle: Duration) {
        self.settle = settle;
    }

    /// One row. `cells` is `None` where a conditioning setting has no usable value: the state before is kept.
    pub fn step(&mut self, table: &RegimeTable, time: Timestamp, cells: Option<&[Cell]>) -> Place {
        self.readable = cells.is_some();
        let Some(cells) = cells else { return Place::BadSetting };
        let ran_away = self.follow(table.point(cells), time);
        match &self.anchor {
            None => {
                // Nothing is known of the time before: no transient at the first row.
                self.anchor = Some((cells.to_vec(), time));
                self.settled = true;
            }
            Some((anchor, _)) if ran_away || table.distance(anchor, cells) > 1.0 => {
                self.anchor = Some((cells.to_vec(), time));
                self.settled = self.settle.is_zero();
            }
            Some((_, since)) => {
                if !self.settled && time.since(*since) >= self.settle {
                    self.settled = true;
                }
            }
        }
        if self.settled {
            match table.locate(cells) {
                Located::Known { slot, distance } => Place::Known { slot, distance },
                Located::Outside { distance } => Place::Outside { distance },
                Located::BadSetting => Place::BadSetting,
            }
        } else {
            Place::Transient
        }
    }

    /// Moves the follower of the continuous settings; true where they ran away from it.
    fn follow(&mut self, point: Point, time: Timestamp) -> bool {
        if point.is_empty() {
            return false;
        }
        let (before, since) = self.follower.unwrap_or((point, time));
        let settle = self.settle.as_secs_f64();
        let reach = if settle > 0.0 { (time.since(since).as_secs_f64() / settle).min(1.0) } else { 1.0 };
        let moved = Point::new(before.iter().zip(point.iter()).map(|(f, x)| f + (x - f).clamp(-reach, reach)));
        let ran_away = moved.iter().zip(point.iter()).any(|(f, x)| (x - f).abs() > 1.0);
        self.follower = Some((if ran_away { point } else { moved }, time));
        ran_away && settle > 0.0
    }

    /// Key of the present settings, also outside the envelope; empty with a bad setting.
    pub fn key(&mut self, table: &RegimeTable, place: &Place) -> Arc<str> {
        if let Place::Known { slot, .. } = place
            && let Some(regime) = table.regimes.get(usize::from(*slot))
        {
            return regime.key.clone();
        }
        // The values at the last change name the place outside: a key that does not flicker with the noise.
        let cells = self.anchor.as_ref().map(|(cells, _)| cells).filter(|_| self.readable);
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
        let regimes = vec![Regime { cells: vec![Cell::Centre(164.0)], key: "V=164".into(), support: None }];
        (RegimeTable { rules, regimes }, RegimeTracker::new(Duration::from_secs(settle)))
    }

    fn run(settle: u64, volts: &[f64]) -> Vec<Place> {
        let (table, mut tracker) = setup(settle);
        let rows = volts.iter().enumerate();
        rows.map(|(i, v)| tracker.step(&table, Timestamp::from_secs_f64(i as f64), Some(&[Cell::Centre(*v)]))).collect()
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

    /// Whether each row is transient: speeds in rpm, one a second; `settle` 10 s, tolerance 50 rpm.
    fn transient(speeds: impl IntoIterator<Item = f64>) -> Vec<bool> {
        let table =
            RegimeTable { rules: vec![SettingRule { name: "S".into(), conditioning: Conditioning::Regression(50.0) }], regimes: vec![] };
        let mut tracker = RegimeTracker::new(Duration::from_secs(10));
        let rows = speeds.into_iter().enumerate();
        rows.map(|(i, s)| tracker.step(&table, Timestamp::from_secs_f64(i as f64), Some(&[Cell::Value(s)])) == Place::Transient).collect()
    }

    #[test]
    fn a_continuous_setting_moves_freely_and_a_step_is_transient() {
        let slow = (0..600).map(|i| 1000.0 + 4.0 * f64::from(i) + 20.0 * f64::from(i % 3));
        assert!(!transient(slow).contains(&true), "4 rpm a second are less than 50 in 10 s");
        let step = transient((0..100).map(|i| if i < 50 { 1000.0 } else { 1200.0 }));
        assert!(!step[..50].contains(&true) && !step[50..60].contains(&false) && !step[60..].contains(&true), "{step:?}");
        let ramp = transient((0..100).map(|i| 1000.0 + 20.0 * f64::from((i - 50).clamp(0, 30))));
        assert!(!ramp[..50].contains(&true) && !ramp[60..80].contains(&false) && !ramp[92..].contains(&true), "{ramp:?}");
    }

    #[test]
    fn without_settle_nothing_is_transient() {
        let places = run(0, &[164.0, 289.0, 164.0]);
        assert!(!places.contains(&Place::Transient));
    }

    #[test]
    fn a_bad_setting_is_not_outside() {
        let (table, mut tracker) = setup(0);
        tracker.step(&table, Timestamp::EPOCH, Some(&[Cell::Centre(164.0)]));
        assert_eq!(tracker.step(&table, Timestamp::from_secs_f64(1.0), None), Place::BadSetting);
        assert_eq!(&*tracker.key(&table, &Place::BadSetting), "");
    }
}
