//! The rows of a data set out of the store: block by block, oldest first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::columns::{Batch, Layout, Row};
use super::labels::Labels;
use super::{ExportError, Order, Rows};
use crate::store::{FeatureRow, Store};
use crate::types::{Frame, Timestamp};

/// Cells that are in memory at a time, roughly.
const CELLS: usize = 200_000;
const TICK: Duration = Duration::from_nanos(1);
/// Places that are listed, of all that are counted.
const MAX_GAPS: usize = 100;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) rows: u64,
    pub(super) labelled: u64,
    /// By class.
    pub(super) by_label: BTreeMap<u16, u64>,
    /// Rows of a confirmed fault.
    pub(super) faults: u64,
    /// Rows with a signal or setting that is not good.
    pub(super) not_good: u64,
    /// Rows whose signals and settings are not stored any more.
    pub(super) without_frame: u64,
    /// Places where rows in between are of other settings, or were not judged.
    pub(super) interruptions: u64,
    /// The first of them.
    pub(super) gaps: Vec<Gap>,
    /// By the regime's key; of rows that are in one.
    pub(super) by_regime: BTreeMap<Arc<str>, u64>,
    /// Times of the first and last row.
    pub(super) span: Option<(Timestamp, Timestamp)>,
    last_row: u64,
    last_time: Timestamp,
}

/// Rows that are left out between two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Times of the row before and the row after.
    pub(super) after: Timestamp,
    pub(super) until: Timestamp,
    /// Rows in between.
    pub(super) rows: u64,
}

/// Takes a batch, and says whether to go on.
type Take<'a> = &'a mut dyn FnMut(&Batch, &Counts) -> Result<(), ExportError>;

/// A stretch of one ring.
struct Part<'a> {
    /// Number and regime's key of a stratum of samples; `None`: the ring of all rows.
    stratum: Option<(u16, &'a Arc<str>)>,
    time: Range<Timestamp>,
}

/// Hands the rows on in batches; `take` says whether to go on.
pub(super) struct Reader<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) order: &'a Order,
    pub(super) layout: &'a Layout<'a>,
    pub(super) labels: &'a Labels,
}

/// The half-open range that the store takes.
pub(super) fn range(order: &Order) -> std::ops::Range<Timestamp> {
    *order.time.start()..order.time.end().plus(TICK)
}

impl Reader<'_> {
    pub(super) fn read(&self, take: Take<'_>) -> Result<Counts, ExportError> {
        let mut counts = Counts::default();
        let Rows::Samples { strata } = &self.order.rows else {
            self.part(&Part { stratum: None, time: range(self.order) }, &mut counts, take)?;
            return Ok(counts);
        };
        for (number, (key, since)) in (0..).zip(strata) {
            let time = range(self.order);
            let part = Part { stratum: Some((number, key)), time: time.start.max(*since)..time.end };
            self.part(&part, &mut counts, take)?;
        }
        Ok(counts)
    }

    fn part(&self, part: &Part<'_>, counts: &mut Counts, take: Take<'_>) -> Result<(), ExportError> {
        let most = (CELLS / self.layout.columns.len().max(1)).clamp(64, 4096);
        let mut chunk: Vec<FeatureRow> = Vec::with_capacity(most);
        let mut failed = None;
        let mut visit = |row| {
            chunk.push(row);
            if chunk.len() < most {
                return true;
            }
            failed = self.chunk(&mut chunk, part, counts, take).err();
            failed.is_none()
        };
        match part.stratum {
            None => self.store.visit_features(self.order.machine, part.time.clone(), &mut visit)?,
            Some((number, _)) => self.store.visit_samples(self.order.machine, number, part.time.clone(), &mut visit)?,
        }
        match failed {
            Some(error) => Err(error),
            None => self.chunk(&mut chunk, part, counts, take),
        }
    }

    /// All rows of a time, of which some are wanted: those that the buffer has counted.
    fn chunk(&self, chunk: &mut Vec<FeatureRow>, part: &Part<'_>, counts: &mut Counts, take: Take<'_>) -> Result<(), ExportError> {
        let rows = chunk.len();
        chunk.retain(|row| self.order.rows.wants(row));
        let times = || chunk.iter().map(|row| row.time);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
        // As many frames as there are rows; a clock that was set back may bring others of the same time.
        let (machine, time) = (self.order.machine, first..last.plus(TICK));
        let frames = match part.stratum {
            None => self.store.frames(machine, time, 2 * rows)?,
            Some((number, _)) => self.store.sample_frames(machine, number, time, 2 * rows)?,
        };
        let frames: HashMap<u64, Frame> = frames.into_iter().collect();
        let labels = self.labels.between(first, last);
        let found = chunk.iter().map(|row| Row {
            features: row,
            frame: frames.get(&row.row),
            label: labels.get(row.row, row.time),
            regime: part.stratum.map_or_else(|| self.order.rows.key(row), |(_, key)| Some(key)),
        });
        let found: Vec<Row<'_>> = found.collect();
        found.iter().for_each(|row| counts.add(row, self.layout, part.stratum.is_none()));
        take(&self.layout.batch(&found), counts)?;
        chunk.clear();
        Ok(())
    }
}

impl Counts {
    /// `whole`: rows in between are left out, and said to be.
    fn add(&mut self, row: &Row<'_>, layout: &Layout<'_>, whole: bool) {
        let FeatureRow { row: number, time, flags, .. } = row.features;
        if whole && self.rows > 0 && *number != self.last_row + 1 {
            self.interruptions += 1;
            if self.gaps.len() < MAX_GAPS {
                self.gaps.push(Gap { after: self.last_time, until: *time, rows: number.saturating_sub(self.last_row + 1) });
            }
        }
        (self.last_row, self.last_time) = (*number, *time);
        self.rows += 1;
        if let Some(label) = row.label {
            self.labelled += 1;
            *self.by_label.entry(label.class).or_default() += 1;
        }
        if let Some(regime) = row.regime {
            *self.by_regime.entry(regime.clone()).or_default() += 1;
        }
        self.faults += u64::from(flags.fault);
        self.without_frame += u64::from(row.frame.is_none());
        self.not_good += u64::from(layout.quality(row).is_some_and(|quality| quality != "Good"));
        self.span = Some(self.span.map_or((*time, *time), |(first, last)| (first.min(*time), last.max(*time))));
    }
}
