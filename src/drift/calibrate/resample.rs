//! Runs on resampled rows: streams without drift as long as wanted, and streams with a shift.

use std::ops::Range;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{HealthyRows, Subject, Trace, follow};
use crate::drift::chart::ewma_t2::EwmaReference;
use crate::drift::metric::Reference;
use crate::types::DriftStatus;

/// Drawings of references: as many as so many values allow, so that small references, whose drawings differ most, get most.
const DRAWN_VALUES: usize = 2_000_000;
const REPLICATES: (usize, usize) = (20, 200);
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
        let replicates = (DRAWN_VALUES / (self.healthy.len() * self.healthy.columns()).max(1)).clamp(REPLICATES.0, REPLICATES.1);
        let each = (PER_ONSET / rate).clamp(MIN_EVALUATIONS, most) as usize / replicates;
        let mut rng = ChaCha8Rng::seed_from_u64(0x5eed);
        let members = self.healthy.members(self.references.len());
        let mut trace = Trace { tests: self.params.tests.len(), sequences: vec![] };
        for _ in 0..replicates {
            let drawn: Vec<Vec<usize>> = members.iter().map(|rows| redraw(rows, block, &mut rng)).collect();
            let references = self.healthy.references(&drawn);
            let references: Vec<&[Option<Reference>]> = references.iter().map(Vec::as_slice).collect();
            let ewma = self.redrawn_ewma(&references, block, &mut rng);
            let mut monitor = self.monitor(None, ewma.as_ref());
            let unit = self.unit(&mut rng);
            // Windows of all regimes fill at the pace of the rarest one.
            let most = (each + 2 * self.params.window_rows * self.references.len()).saturating_mul(self.params.hop).max(100_000);
            let stream = Stream::new(self.healthy, unit, block, &mut rng).take(most);
            follow(&mut monitor, stream, self.healthy, &references, &mut trace, each);
        }
        trace
    }

    fn redrawn_ewma(&self, references: &[&[Option<Reference>]], block: usize, rng: &mut ChaCha8Rng) -> Option<Arc<EwmaReference>> {
        let mut drawn = HealthyRows::new(self.healthy.columns());
        for unit in self.healthy.units() {
            drawn.start_unit();
            let rows = unit.len();
            let stream: Vec<usize> = Stream::new(self.healthy, unit, block, rng).take(rows).collect();
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
            let stream = Stream::new(self.healthy, unit, block, &mut rng).take(lead + PATIENCE * window);
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

/// As many of `rows` as there are, drawn in blocks of neighbours, at least four; the last row's neighbour is the first, so that
/// no row is drawn more often than another.
fn redraw(rows: &[usize], block: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let n = rows.len();
    let block = block.clamp(1, (n / 4).max(1));
    let mut out = Vec::with_capacity(n + block);
    while out.len() < n {
        let start = rng.gen_range(0..n);
        out.extend((start..start + block).map(|i| rows[i % n]));
    }
    out.truncate(n);
    out
}

/// A block of neighbours; shorter where there are fewer rows.
fn neighbours<'a>(rows: &'a [usize], block: usize, rng: &mut ChaCha8Rng) -> &'a [usize] {
    let block = block.clamp(1, rows.len());
    let start = rng.gen_range(0..=rows.len() - block);
    &rows[start..start + block]
}

/// Endless rows of some units, block after block.
///
/// Where the machine keeps its settings for longer than a block, visits are drawn first, and filled with blocks of their
/// regime: what a reference is wrong about must last as long as it does in life.
struct Stream {
    rows: Vec<usize>,
    /// Regime and length of each visit; empty: blocks are drawn whatever their regime.
    visits: Vec<(usize, usize)>,
    members: Vec<Vec<usize>>,
    slot: usize,
    left: usize,
    block: usize,
    pending: std::collections::VecDeque<usize>,
    rng: ChaCha8Rng,
}

impl Stream {
    fn new(healthy: &HealthyRows, range: Range<usize>, block: usize, rng: &mut ChaCha8Rng) -> Self {
        let mut visits: Vec<(usize, usize)> = Vec::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        for i in range.clone() {
            let slot = usize::from(healthy.slot(i));
            members.resize_with(members.len().max(slot + 1), Vec::new);
            members[slot].push(i);
            match visits.last_mut() {
                Some((last, n)) if *last == slot => *n += 1,
                _ => visits.push((slot, 1)),
            }
        }
        if visits.len() < 2 || range.len() / visits.len() <= block {
            visits.clear();
        }
        let rng = ChaCha8Rng::seed_from_u64(rng.r#gen());
        Self { rows: range.collect(), visits, members, slot: 0, left: 0, block, pending: Default::default(), rng }
    }

    fn refill(&mut self) {
        if self.visits.is_empty() {
            self.pending.extend(neighbours(&self.rows, self.block, &mut self.rng));
            return;
        }
        if self.left == 0 {
            (self.slot, self.left) = self.visits[self.rng.gen_range(0..self.visits.len())];
        }
        let block = neighbours(&self.members[self.slot], self.block, &mut self.rng);
        self.pending.extend(block.iter().take(self.left));
        self.left -= self.pending.len();
    }
}

impl Iterator for Stream {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.rows.is_empty() {
            return None;
        }
        if self.pending.is_empty() {
            self.refill();
        }
        self.pending.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    fn rows(visit: usize) -> HealthyRows {
        let mut rows = HealthyRows::new(1);
        (0..60).for_each(|i| rows.push((i / visit % 2) as u16, Timestamp::EPOCH, &[0.0]));
        rows
    }

    fn stream(visit: usize, seed: u64) -> Vec<usize> {
        Stream::new(&rows(visit), 10..50, 8, &mut ChaCha8Rng::seed_from_u64(seed)).take(80).collect()
    }

    #[test]
    fn a_stream_is_made_of_neighbours_and_reproducible() {
        let drawn = stream(1, 1);
        assert!(drawn.iter().all(|r| (10..50).contains(r)));
        assert!(drawn.chunks(8).all(|b| b.windows(2).all(|w| w[1] == w[0] + 1)));
        assert_eq!(drawn, stream(1, 1));
        assert_ne!(drawn, stream(1, 2));
    }

    #[test]
    fn long_visits_stay_long() {
        let slots: Vec<usize> = stream(20, 1).iter().map(|i| i / 20 % 2).collect();
        let changes = slots.windows(2).filter(|w| w[0] != w[1]).count();
        assert!(changes <= 80 / 10, "visits of 10 or 20 rows, not blocks of 8: {changes}");
    }
}
