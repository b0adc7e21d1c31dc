//! The rows of a data set out of the store: block by block, oldest first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::columns::{Batch, Layout, Row};
use super::labels::Labels;
use super::{ExportError, Order};
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
    pub(super) fn read(&self, take: &mut dyn FnMut(&Batch, &Counts) -> Result<(), ExportError>) -> Result<Counts, ExportError> {
        let most = (CELLS / self.layout.columns.len().max(1)).clamp(64, 4096);
        let mut counts = Counts::default();
        let mut chunk: Vec<FeatureRow> = Vec::with_capacity(most);
        let mut failed = None;
        self.store.visit_features(self.order.machine, range(self.order), &mut |row| {
            chunk.push(row);
            if chunk.len() < most {
                return true;
            }
            failed = self.chunk(&mut chunk, &mut counts, take).err();
            failed.is_none()
        })?;
        match failed {
            Some(error) => return Err(error),
            None => self.chunk(&mut chunk, &mut counts, take)?,
        }
        Ok(counts)
    }

    /// All rows of a time, of which some are wanted: those that the buffer has counted.
    fn chunk(
        &self,
        chunk: &mut Vec<FeatureRow>,
        counts: &mut Counts,
        take: &mut dyn FnMut(&Batch, &Counts) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let rows = chunk.len();
        chunk.retain(|row| self.order.rows.wants(row));
        let times = || chunk.iter().map(|row| row.time);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
        // As many frames as there are rows; a clock that was set back may bring others of the same time.
        let frames = self.store.frames(self.order.machine, first..last.plus(TICK), 2 * rows)?;
        let frames: HashMap<u64, Frame> = frames.into_iter().collect();
        let labels = self.labels.between(first, last);
        let found = chunk.iter().map(|row| Row { features: row, frame: frames.get(&row.row), label: labels.get(row.row, row.time) });
        let found: Vec<Row<'_>> = found.collect();
        found.iter().for_each(|row| counts.add(row, self.order.rows.key(row.features), self.layout));
        take(&self.layout.batch(&found), counts)?;
        chunk.clear();
        Ok(())
    }
}

impl Counts {
    fn add(&mut self, row: &Row<'_>, regime: Option<&Arc<str>>, layout: &Layout<'_>) {
        let FeatureRow { row: number, time, flags, .. } = row.features;
        if self.rows > 0 && *number != self.last_row + 1 {
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
        if let Some(regime) = regime {
            *self.by_regime.entry(regime.clone()).or_default() += 1;
        }
        self.faults += u64::from(flags.fault);
        self.without_frame += u64::from(row.frame.is_none());
        self.not_good += u64::from(layout.quality(row).is_some_and(|quality| quality != "Good"));
        self.span = Some(self.span.map_or((*time, *time), |(first, last)| (first.min(*time), last.max(*time))));
    }
}
