//! What one variable was over time: columns of frames and features, and changes of everything else.
//!
//! Signals and settings are in the frames, scores in the features: one value a row, as dense as the machine's rows. Other variables
//! (status, regime, health, ...) change seldom: each change is a row of the ring of values.

use std::ops::Range;
use std::sync::Arc;

use super::FeatureRow;
use super::codec::FrameRow;
use super::ring::Step;
use crate::types::{Cause, End, Historic, Quality, Scalar, Timestamp, Value};

/// Texts are kept up to so many bytes.
const TEXT: usize = 255;

/// A variable whose past is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Series {
    /// A signal or setting, by its place in the frame.
    Channel { machine: u16, channel: u16 },
    /// The score of a model.
    Score { machine: u16, model: u16 },
    /// Any other, by its path: its changes, and the marks of [`ValueRow::mark`].
    Variable(Arc<str>),
}

/// A change of a variable.
#[derive(Clone, PartialEq, Debug)]
pub struct ValueRow {
    /// `Motor1.Drift.Status`; empty for a mark.
    pub path: Arc<str>,
    pub time: Timestamp,
    /// `None` where the quality is Bad.
    pub value: Option<Scalar>,
    pub quality: Quality,
}

impl ValueRow {
    /// From `time` on nothing is known of any variable, until each changes again: the gateway did not run.
    pub fn mark(time: Timestamp) -> Self {
        Self { path: "".into(), time, value: None, quality: Quality::Bad(Cause::NoData) }
    }

    pub(super) fn of(&self, path: &str) -> Option<Historic> {
        let wanted = self.path.is_empty() || *self.path == *path;
        wanted.then(|| Historic { time: self.time, value: self.value.clone(), quality: self.quality })
    }
}

/// As the ring keeps it: long texts lose their end.
pub(super) fn storable_value(mut row: ValueRow) -> ValueRow {
    if let Some(Scalar::Text(text)) = &mut row.value
        && text.len() > TEXT
    {
        *text = text[..text.floor_char_boundary(TEXT)].into();
    }
    row
}

impl FrameRow {
    /// A signal or setting of this row; numbers as the variable has them, a Double.
    pub(super) fn at(&self, channel: u16) -> Option<Historic> {
        let channel = self.frame.channels.get(usize::from(channel))?;
        let value = channel.usable().and_then(|value| match value {
            Value::Text(text) => Some(Scalar::Text(text.clone())),
            other => other.number().map(Scalar::F64),
        });
        Some(historic(self.frame.time, value, channel.quality))
    }
}

impl FeatureRow {
    pub(super) fn score_at(&self, model: u16) -> Option<Historic> {
        let score = self.scores.get(usize::from(model)).copied()?;
        Some(historic(self.time, Some(Scalar::F64(score)), Quality::Good))
    }
}

/// What is no value is Bad.
fn historic(time: Timestamp, value: Option<Scalar>, quality: Quality) -> Historic {
    let value = value.filter(|v| !matches!(v, Scalar::F64(x) if !x.is_finite()));
    let quality = if value.is_none() && quality.is_usable() { Quality::Bad(Cause::NoData) } else { quality };
    Historic { time, value, quality }
}

/// The values at one end of a range, out of blocks that may overlap in time (a clock was set back).
pub(super) struct Best {
    time: Range<Timestamp>,
    limit: usize,
    end: End,
    /// With the number of their block.
    found: Vec<(u64, Historic)>,
}

impl Best {
    pub(super) fn new(time: Range<Timestamp>, limit: usize, end: End) -> Self {
        Self { time, limit, end, found: Vec::new() }
    }

    pub(super) fn time(&self) -> &Range<Timestamp> {
        &self.time
    }

    /// The order in which blocks are to be looked at.
    pub(super) fn sort(&self, blocks: &mut [Step]) {
        match self.end {
            End::Oldest => blocks.sort_by_key(|step| (step.first, step.number)),
            End::Newest => blocks.sort_by_key(|step| std::cmp::Reverse((step.last, step.number))),
        }
    }

    /// Takes what belongs to it.
    pub(super) fn offer(&mut self, block: u64, values: impl Iterator<Item = Historic>) {
        let time = self.time.clone();
        self.found.extend(values.filter(|value| time.contains(&value.time)).map(|value| (block, value)));
        if self.found.len() > self.limit {
            self.cut();
        }
    }

    /// Neither this block nor one after it in [`Best::sort`]'s order can change the result.
    pub(super) fn is_settled(&self, step: &Step) -> bool {
        if self.found.len() < self.limit {
            return false;
        }
        let times = self.found.iter().map(|(_, value)| value.time);
        match self.end {
            End::Oldest => times.max().is_none_or(|newest| step.first > newest),
            End::Newest => times.min().is_none_or(|oldest| step.last < oldest),
        }
    }

    /// Oldest first.
    pub(super) fn finish(mut self) -> Vec<Historic> {
        self.cut();
        self.found.into_iter().map(|(_, value)| value).collect()
    }

    /// Sorts (nearly sorted already, mostly), and lets go what is beyond the limit.
    fn cut(&mut self) {
        self.found.sort_by_key(|(block, value)| (value.time, *block));
        match self.end {
            End::Oldest => self.found.truncate(self.limit),
            End::Newest => drop(self.found.drain(..self.found.len().saturating_sub(self.limit))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn good(seconds: i64, x: f64) -> Historic {
        Historic { time: at(seconds), value: Some(Scalar::F64(x)), quality: Quality::Good }
    }

    #[test]
    fn the_wanted_end_is_kept_whatever_the_order() {
        for (end, expected) in [(End::Oldest, [1, 2, 3]), (End::Newest, [7, 8, 9])] {
            let mut best = Best::new(at(1)..at(10), 3, end);
            best.offer(1, [5, 0, 9, 2].map(|s| good(s, 0.0)).into_iter());
            best.offer(0, [8, 10, 1, 7, 3].map(|s| good(s, 0.0)).into_iter());
            let times: Vec<_> = best.finish().into_iter().map(|v| v.time).collect();
            assert_eq!(times, expected.map(at));
        }
    }

    #[test]
    fn values_of_the_same_time_keep_their_order() {
        let mut best = Best::new(at(0)..at(10), 10, End::Oldest);
        best.offer(u64::MAX, [good(1, 3.0)].into_iter());
        best.offer(4, [good(1, 1.0), good(1, 2.0)].into_iter());
        let values: Vec<_> = best.finish().into_iter().filter_map(|v| v.value?.number()).collect();
        assert_eq!(values, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn what_is_no_number_is_bad() {
        let row = FeatureRow { scores: vec![f64::NAN, 0.5], ..FeatureRow::default() };
        assert_eq!(row.score_at(0).unwrap().quality, Quality::Bad(Cause::NoData));
        assert_eq!(row.score_at(1).unwrap().value, Some(Scalar::F64(0.5)));
        assert_eq!(row.score_at(2), None);
    }

    #[test]
    fn a_mark_is_of_every_variable() {
        let mark = ValueRow::mark(at(5));
        assert!(mark.of("a").is_some_and(|v| v.quality == Quality::Bad(Cause::NoData)));
        let row = ValueRow { path: "a".into(), time: at(1), value: Some(Scalar::U16(1)), quality: Quality::Good };
        assert!(row.of("a").is_some() && row.of("b").is_none());
    }
}
