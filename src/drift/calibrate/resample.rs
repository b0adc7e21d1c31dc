//! Runs on resampled rows: streams without drift as long as wanted, and streams with a shift.

use std::ops::Range;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{HealthyRows, Subject, Trace, follow};
use crate::drift::chart::ewma_t2::EwmaReference;
use crate::drift::metric::Reference;
use crate::types::DriftStatus;

/// Drawings of references.
const REPLICATES: usize = 20;
/// Evaluations wanted for each false alarm of the budget, and at most for windows and for charts.
const PER_ONSET: f64 = 20.0;
const MAX_WINDOWS: f64 = 4_000.0;
const MAX_CHARTS: f64 = 400_000.0;
const MIN_EVALUATIONS: f64 = 2_000.0;
/// Shifted streams for a delay, and windows (or hundreds of rows) that each is followed for.
const DELAYS: usize = 15;
const PATIENCE: usize = 10;

impl Subject<'_> {
    /// Streams drawn in blocks, against references drawn in blocks.
    pub(super) fn resampled(&self, block: usize, rate: f64) -> Trace {
        let most = if self.params.is_pooled() { MAX_CHARTS } else { MAX_WINDOWS };
        let each = (PER_ONSET / rate).clamp(MIN_EVALUATIONS, most) as usize / REPLICATES;
        let mut rng = ChaCha8Rng::seed_from_u64(0x5eed);
        let members = self.healthy.members(self.references.len());
        let mut trace = Trace { tests: self.params.tests.len(), sequences: vec![] };
        for _ in 0..REPLICATES {
            let drawn: Vec<Vec<usize>> = members.iter().map(|rows| redraw(rows, block, &mut rng)).collect();
            let references = self.healthy.references(&drawn);
            let references: Vec<&[Option<Reference>]> = references.iter().map(Vec::as_slice).collect();
            let ewma = self.redrawn_ewma(&references, block, &mut rng);
            let mut monitor = self.monitor(None, ewma.as_ref());
            let unit = self.unit(&mut rng);
            // Windows of all regimes fill at the pace of the rarest one.
            let most = (each + 2 * self.params.window_rows * self.references.len()).saturating_mul(self.params.hop).max(100_000);
            let stream = Stream::new(unit, block, &mut rng).take(most);
            follow(&mut monitor, stream, self.healthy, &references, &mut trace, each);
        }
        trace
    }

    fn redrawn_ewma(&self, references: &[&[Option<Reference>]], block: usize, rng: &mut ChaCha8Rng) -> Option<Arc<EwmaReference>> {
        let mut drawn = HealthyRows::new(self.healthy.columns());
        for unit in self.healthy.units() {
            drawn.start_unit();
            let rows = unit.len();
            let stream: Vec<usize> = Stream::new(unit, block, rng).take(rows).collect();
            stream.into_iter().for_each(|i| drawn.push(self.healthy.slot(i), self.healthy.time(i), self.healthy.row(i)));
        }
        self.ewma(&self.residuals(references, &drawn))
    }

    /// All rows, or those of one unit where machines have baselines of their own.
    fn unit(&self, rng: &mut ChaCha8Rng) -> Range<usize> {
        let units = self.healthy.units();
        if self.params.baseline_rows == 0 { 0..self.healthy.len() } else { units[rng.gen_range(0..units.len())].clone() }
    }

    /// Median rows from a shift of one column, by `shift` standard deviations, to the drift.
    pub(super) fn delay(&self, thresholds: &[f64], ewma: Option<&Arc<EwmaReference>>, block: usize, shift: f64) -> Option<u32> {
        let columns = self.healthy.columns();
        let mut rng = ChaCha8Rng::seed_from_u64(0xde1a);
        let window = if self.params.is_pooled() { 100 } else { self.params.window_rows * self.references.len() };
        let lead = window + self.params.baseline_rows;
        let mut row = vec![0.0; columns];
        let mut delays: Vec<Option<u32>> = Vec::with_capacity(DELAYS);
        for run in 0..DELAYS {
            let column = run * columns / DELAYS;
            let mut monitor = self.monitor(Some(thresholds), ewma);
            let unit = self.unit(&mut rng);
            let stream = Stream::new(unit, block, &mut rng).take(lead + PATIENCE * window);
            let mut found = None;
            for (n, i) in stream.enumerate() {
                let slot = usize::from(self.healthy.slot(i));
                row.copy_from_slice(self.healthy.row(i));
                if n >= lead {
                    row[column] += shift * self.references[slot][column].as_ref().map_or(0.0, Reference::sd);
                }
                let evaluation = monitor.push(slot as u16, self.healthy.time(i), &row, self.references[slot]);
                if n >= lead && evaluation.is_some_and(|e| e.status == DriftStatus::Drift) {
                    found = Some((n - lead + 1) as u32);
                    break;
                }
            }
            delays.push(found);
        }
        // Not found sorts last.
        delays.sort_unstable_by_key(|d| d.unwrap_or(u32::MAX));
        delays[DELAYS / 2]
    }
}

/// As many of `rows` as there are, drawn in blocks of neighbours.
fn redraw(rows: &[usize], block: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    Stream::new(0..rows.len(), block, rng).take(rows.len()).map(|i| rows[i]).collect()
}

/// Endless rows of a range, block after block.
struct Stream {
    range: Range<usize>,
    block: usize,
    next: usize,
    left: usize,
    rng: ChaCha8Rng,
}

impl Stream {
    fn new(range: Range<usize>, block: usize, rng: &mut ChaCha8Rng) -> Self {
        let block = block.clamp(1, range.len().max(1));
        Self { range, block, next: 0, left: 0, rng: ChaCha8Rng::seed_from_u64(rng.r#gen()) }
    }
}

impl Iterator for Stream {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.range.is_empty() {
            return None;
        }
        if self.left == 0 {
            self.next = self.rng.gen_range(self.range.start..=self.range.end - self.block);
            self.left = self.block;
        }
        let row = self.next;
        self.next += 1;
        self.left -= 1;
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_made_of_neighbours_and_reproducible() {
        let stream = |seed| -> Vec<usize> { Stream::new(10..50, 8, &mut ChaCha8Rng::seed_from_u64(seed)).take(80).collect() };
        let rows = stream(1);
        assert!(rows.iter().all(|r| (10..50).contains(r)));
        assert!(rows.chunks(8).all(|b| b.windows(2).all(|w| w[1] == w[0] + 1)));
        assert_eq!(rows, stream(1));
        assert_ne!(rows, stream(2));
    }
}
