//! Where values are missing although the variable has one all the time, the last one ends.

use std::ops::Range;
use std::time::Duration;

use super::{FOREVER, Past, tick};
use crate::types::{Cause, End, Historic, Quality, Timestamp};

/// A past in which each value is good for `max_age`: where the next one comes later (the gateway did not run, no row was made), a Bad
/// one stands between them.
pub struct Gapped<P> {
    inner: P,
    max_age: Duration,
}

impl<P> Gapped<P> {
    pub fn new(inner: P, max_age: Duration) -> Self {
        Self { inner, max_age }
    }

    /// The mark between two values, if there is room for one.
    fn mark(&self, before: &Historic, next: &Historic) -> Option<Historic> {
        let time = tick(before.time.plus(self.max_age));
        let gap = time < next.time && before.quality.is_usable();
        gap.then_some(Historic { time, value: None, quality: Quality::Bad(Cause::Stale) })
    }
}

impl<P: Past> Past for Gapped<P> {
    type Error = P::Error;

    fn values(&self, time: Range<Timestamp>, limit: usize, end: End) -> Result<Vec<Historic>, P::Error> {
        let stored = self.inner.values(time.clone(), limit, end)?;
        let first = stored.first().map_or(time.start, |v| v.time);
        let last = stored.last().map_or(time.start, |v| v.time);
        // The neighbours on both sides: a gap may begin or end outside the range.
        let mut all = self.inner.values(Timestamp::MIN..first, 1, End::Newest)?;
        let inside = !stored.is_empty();
        all.extend(stored);
        let from = if inside { Timestamp::from_nanos(last.as_nanos().saturating_add(1)) } else { first };
        all.extend(self.inner.values(from..FOREVER, 1, End::Oldest)?);
        let mut found: Vec<Historic> = Vec::with_capacity(all.len() + 1);
        for (k, value) in all.iter().enumerate() {
            found.push(value.clone());
            found.extend(all.get(k + 1).and_then(|next| self.mark(value, next)));
        }
        found.retain(|value| time.contains(&value.time));
        match end {
            End::Oldest => found.truncate(limit),
            End::Newest => drop(found.drain(..found.len().saturating_sub(limit))),
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Memory;
    use super::*;
    use crate::types::Scalar;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn past(times: &[i64]) -> Gapped<Memory> {
        let good = |s: &i64| Historic { time: at(*s), value: Some(Scalar::F64(*s as f64)), quality: Quality::Good };
        Gapped::new(Memory(times.iter().map(good).collect()), Duration::from_secs(5))
    }

    fn seconds(values: &[Historic]) -> Vec<(i64, bool)> {
        values.iter().map(|v| (v.time.as_nanos() / 1_000_000_000, v.quality.is_good())).collect()
    }

    #[test]
    fn a_gap_is_bad() {
        let past = past(&[1, 2, 20, 21]);
        let all = past.values(at(0)..at(30), 100, End::Oldest).unwrap();
        assert_eq!(seconds(&all), [(1, true), (2, true), (7, false), (20, true), (21, true)]);
        assert!(all[2].value.is_none());
    }

    #[test]
    fn a_gap_over_an_edge_of_the_range_is_seen() {
        let past = past(&[1, 2, 20, 21]);
        for (range, expected) in [
            (5..10, vec![(7, false)]),
            (8..10, vec![]),
            (6..21, vec![(7, false), (20, true)]),
            (2..8, vec![(2, true), (7, false)]),
            (22..90, vec![]),
        ] {
            for end in [End::Oldest, End::Newest] {
                let found = past.values(at(range.start)..at(range.end), 10, end).unwrap();
                assert_eq!(seconds(&found), expected, "{range:?}");
            }
        }
    }

    #[test]
    fn limits_count_marks() {
        let past = past(&[1, 2, 20, 21]);
        assert_eq!(seconds(&past.values(at(0)..at(30), 3, End::Oldest).unwrap()), [(1, true), (2, true), (7, false)]);
        assert_eq!(seconds(&past.values(at(0)..at(30), 3, End::Newest).unwrap()), [(7, false), (20, true), (21, true)]);
        // The newest two of the range are all that is read, and the mark before them is not among them.
        assert_eq!(seconds(&past.values(at(0)..at(30), 2, End::Newest).unwrap()), [(20, true), (21, true)]);
    }
}
