//! Samples: a row of each regime now and then, whatever its status, kept longer than the store's rings of all rows.
//!
//! Each regime is a stratum with rows of its own, so that a common one never pushes out a rare one. From time to time all of them become
//! a dataset. While a buffer of samples waits for its export, none are taken: what is in it stays as it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::SampleConfig;
use crate::types::Timestamp;

/// What is sampled of one machine. Memory does not grow with time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampler {
    strata: Vec<Stratum>,
    /// When the next dataset is due; `None` before the first sample.
    due: Option<Timestamp>,
}

/// Samples of one regime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// Of its regime: a bundle may give the regime another slot.
    pub key: Arc<str>,
    /// Time of its first sample: what the store has from before is of another regime.
    pub since: Timestamp,
    /// Time of its last sample.
    pub last: Timestamp,
    /// Samples that are kept; at most [`SampleConfig::rows`].
    pub rows: u32,
}

/// All samples that there are.
pub struct Sampled {
    /// Of all strata.
    pub rows: u32,
    /// Of the first and last.
    pub oldest: Timestamp,
    pub newest: Timestamp,
}

impl Sampler {
    /// One judged row: the stratum that is to keep it; `None` where it is too soon. At most `strata` regimes have samples; a further one
    /// takes the place of the one that was not seen for the longest time.
    pub fn step(&mut self, key: &Arc<str>, time: Timestamp, config: &SampleConfig, strata: u16) -> Option<u16> {
        let known = self.strata.iter().position(|s| s.key == *key);
        if let Some(k) = known {
            let stratum = &mut self.strata[k];
            // A clock that was set back does not stop it.
            if time >= stratum.last && time < stratum.last.plus(config.every) {
                return None;
            }
            stratum.last = time;
            stratum.rows = stratum.rows.saturating_add(1).min(config.rows);
        }
        let due = self.due.unwrap_or_else(|| time.plus(config.export));
        // Never further away than one interval: another interval, or a clock that was set back.
        self.due = Some(due.min(time.plus(config.export)));
        let k = known.or_else(|| self.begin(key, time, strata))?;
        u16::try_from(k).ok()
    }

    fn begin(&mut self, key: &Arc<str>, time: Timestamp, strata: u16) -> Option<usize> {
        let new = Stratum { key: key.clone(), since: time, last: time, rows: 1 };
        if self.strata.len() < usize::from(strata) {
            self.strata.push(new);
            return Some(self.strata.len() - 1);
        }
        let k = (0..self.strata.len()).min_by_key(|k| self.strata[*k].last)?;
        self.strata[k] = new;
        Some(k)
    }

    /// Whether a dataset is due.
    pub fn is_due(&self, time: Timestamp) -> bool {
        self.due.is_some_and(|due| time >= due) && !self.strata.is_empty()
    }

    /// The dataset is made; the next one is due after [`SampleConfig::export`].
    pub fn made(&mut self, time: Timestamp, config: &SampleConfig) {
        self.due = Some(time.plus(config.export));
    }

    /// All samples together; `None` where there are none.
    pub fn sampled(&self) -> Option<Sampled> {
        let strata = || self.strata.iter();
        Some(Sampled {
            rows: strata().fold(0, |all: u32, s| all.saturating_add(s.rows)),
            oldest: strata().map(|s| s.since).min()?,
            newest: strata().map(|s| s.last).max()?,
        })
    }

    /// In the order of the store's.
    pub fn strata(&self) -> &[Stratum] {
        &self.strata
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CONFIG: SampleConfig = SampleConfig { every: Duration::from_secs(10), rows: 3, export: Duration::from_secs(100) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn each_regime_has_its_own_pace_and_quota() {
        let mut sampler = Sampler::default();
        let (common, rare): (Arc<str>, Arc<str>) = ("V=164".into(), "V=289".into());
        let mut taken = vec![];
        for second in 0..60 {
            let key = if second == 47 { &rare } else { &common };
            taken.extend(sampler.step(key, at(second), &CONFIG, 4).map(|stratum| (second, stratum)));
        }
        assert_eq!(taken, [(0, 0), (10, 0), (20, 0), (30, 0), (40, 0), (47, 1), (50, 0)]);
        let rows: Vec<_> = sampler.strata().iter().map(|s| s.rows).collect();
        assert_eq!(rows, [3, 1], "the quota is of each");
        let all = sampler.sampled().unwrap();
        assert_eq!((all.rows, all.oldest, all.newest), (4, at(0), at(50)));
        assert!(!sampler.is_due(at(99)) && sampler.is_due(at(100)));
        sampler.made(at(100), &CONFIG);
        assert!(!sampler.is_due(at(199)) && sampler.is_due(at(200)));
        // A clock that was set back.
        assert_eq!(sampler.step(&common, at(5), &CONFIG, 4), Some(0));
        assert!(sampler.is_due(at(105)));
    }

    #[test]
    fn a_regime_more_than_there_is_room_for_replaces_the_one_unseen_for_longest() {
        let mut sampler = Sampler::default();
        for (second, key) in ["A", "B", "C"].into_iter().enumerate() {
            sampler.step(&key.into(), at(second as i64), &CONFIG, 2);
        }
        let keys: Vec<_> = sampler.strata().iter().map(|s| (&*s.key, s.since, s.rows)).collect();
        assert_eq!(keys, [("C", at(2), 1), ("B", at(1), 1)]);
        assert_eq!(Sampler::default().step(&"A".into(), at(0), &CONFIG, 0), None);
    }
}
