//! Which row comes next: blocks of neighbours, drawn from healthy rows.

use std::collections::VecDeque;
use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::HealthyRows;

/// All rows again, in their order of regimes, each regime filled with blocks of its own rows; the last row's neighbour is the
/// first, so that no row is drawn more often than another.
pub fn redraw(healthy: &HealthyRows, members: &[Vec<usize>], block: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    // Next row and rows left of the current block of each regime.
    let mut cursors = vec![(0, 0); members.len()];
    let next = |row: usize| {
        let slot = usize::from(healthy.slot(row));
        let rows = members.get(slot)?;
        let (at, left) = &mut cursors[slot];
        if *left == 0 {
            (*at, *left) = (rng.gen_range(0..rows.len()), block.clamp(1, (rows.len() / 4).max(1)));
        }
        let drawn = rows[*at];
        (*at, *left) = ((*at + 1) % rows.len(), *left - 1);
        Some(drawn)
    };
    (0..healthy.len()).filter_map(next).collect()
}

/// A block of neighbours; shorter where there are fewer rows.
fn neighbours<'a>(rows: &'a [usize], block: usize, rng: &mut ChaCha8Rng) -> &'a [usize] {
    let block = block.clamp(1, rows.len());
    let start = rng.gen_range(0..=rows.len() - block);
    &rows[start..start + block]
}

/// Endless rows of some units, block after block: their regimes, and the rows that they are made from.
///
/// Where the machine keeps its settings for longer than a block, visits are drawn first, and filled with blocks of their
/// regime: what a reference is wrong about must last as long as it does in life.
pub struct Stream {
    rows: Vec<usize>,
    slots: Vec<u16>,
    /// Regime and length of each visit; empty: blocks are drawn whatever their regime.
    visits: Vec<(u16, usize)>,
    members: Vec<Vec<usize>>,
    slot: u16,
    left: usize,
    block: usize,
    /// Share of the blocks that are of the regime they are for; the others are of any.
    own: f64,
    pending: VecDeque<(u16, usize)>,
    rng: ChaCha8Rng,
}

impl Stream {
    pub fn new(healthy: &HealthyRows, range: Range<usize>, block: usize, own: f64, rng: &mut ChaCha8Rng) -> Self {
        let mut visits: Vec<(u16, usize)> = Vec::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        for i in range.clone() {
            let slot = healthy.slot(i);
            members.resize_with(members.len().max(usize::from(slot) + 1), Vec::new);
            members[usize::from(slot)].push(i);
            match visits.last_mut() {
                Some((last, n)) if *last == slot => *n += 1,
                _ => visits.push((slot, 1)),
            }
        }
        if visits.len() < 2 || range.len() / visits.len() <= block {
            visits.clear();
        }
        let slots = range.clone().map(|i| healthy.slot(i)).collect();
        let rng = ChaCha8Rng::seed_from_u64(rng.r#gen());
        Self { rows: range.collect(), slots, visits, members, slot: 0, left: 0, block, own, pending: VecDeque::new(), rng }
    }

    fn refill(&mut self) {
        let any = neighbours(&self.rows, self.block, &mut self.rng);
        let own = self.rng.r#gen::<f64>() < self.own;
        if self.visits.is_empty() {
            let regimes = neighbours(&self.rows, self.block, &mut self.rng);
            let sources = if own { regimes } else { any };
            let slots = regimes.iter().map(|i| self.slots[i - self.rows[0]]);
            self.pending.extend(slots.zip(sources.iter().copied()));
            return;
        }
        if self.left == 0 {
            (self.slot, self.left) = self.visits[self.rng.gen_range(0..self.visits.len())];
        }
        let members = &self.members[usize::from(self.slot)];
        let sources = if own { neighbours(members, self.block, &mut self.rng) } else { any };
        self.pending.extend(sources.iter().take(self.left).map(|i| (self.slot, *i)));
        self.left -= self.pending.len();
    }
}

impl Iterator for Stream {
    type Item = (u16, usize);

    fn next(&mut self) -> Option<(u16, usize)> {
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

    fn stream(visit: usize, own: f64, seed: u64) -> Vec<(u16, usize)> {
        Stream::new(&rows(visit), 10..50, 8, own, &mut ChaCha8Rng::seed_from_u64(seed)).take(80).collect()
    }

    #[test]
    fn a_stream_is_made_of_neighbours_and_reproducible() {
        for own in [0.0, 1.0] {
            let drawn = stream(1, own, 1);
            assert!(drawn.iter().all(|r| (10..50).contains(&r.1)));
            assert!(drawn.chunks(8).all(|b| b.windows(2).all(|w| w[1].1 == w[0].1 + 1 && w[1].0 != w[0].0)));
            assert_eq!(drawn.iter().all(|r| usize::from(r.0) == r.1 % 2), own == 1.0);
            assert_eq!(drawn, stream(1, own, 1));
            assert_ne!(drawn, stream(1, own, 2));
        }
    }

    #[test]
    fn long_visits_stay_long() {
        let drawn = stream(20, 1.0, 1);
        assert!(drawn.iter().all(|(slot, i)| usize::from(*slot) == i / 20 % 2));
        let slots: Vec<u16> = stream(20, 0.2, 1).iter().map(|r| r.0).collect();
        let changes = slots.windows(2).filter(|w| w[0] != w[1]).count();
        assert!(changes <= 80 / 10, "visits of 10 or 20 rows, not blocks of 8: {changes}");
    }

    #[test]
    fn a_redrawn_history_has_the_regimes_of_the_first() {
        let rows = rows(5);
        let drawn = redraw(&rows, &rows.members(2), 8, &mut ChaCha8Rng::seed_from_u64(1));
        assert!(drawn.iter().enumerate().all(|(i, d)| rows.slot(i) == rows.slot(*d)));
        assert!((0..60).any(|i| drawn[i] != i));
    }
}
