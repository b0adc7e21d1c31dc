use rand::seq::index::sample;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::FitError;

/// Isolation forest (Liu, Ting, Zhou 2008): rows that random splits isolate early are strange.
///
/// Score `2^(-E[h(x)] / c(n))`, between 0 and 1; about 0.5 for ordinary rows, near 1 for outliers, where h is the path
/// length and `c(n) = 2 H(n-1) - 2 (n-1)/n` the mean path length of an unsuccessful search in a tree of n rows.
/// Invariant under any increasing rescaling of a single feature only as far as splits are uniform between its extremes:
/// linear rescaling changes nothing. Seeded: the same rows, parameters and seed give the same forest, bit by bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IsolationForest {
    inputs: usize,
    /// `c(n)` of the subsample size.
    normaliser: f64,
    nodes: Vec<Node>,
    roots: Vec<u32>,
}

/// A split or a leaf. `x[feature] < split` goes to `left`, else to `left + 1`.
#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Node {
    /// For a leaf: its path length, with the correction for the rows left in it.
    split: f64,
    left: u32,
    /// [`LEAF`] for a leaf.
    feature: u32,
}

const LEAF: u32 = u32::MAX;
/// Trees that are walked at once.
const LANES: usize = 8;

impl IsolationForest {
    /// Fits `trees` trees, each on `samples` rows drawn without replacement (all rows, where there are fewer).
    /// `rows` is row after row, each of `inputs` values.
    pub fn fit(rows: &[f64], inputs: usize, trees: usize, samples: usize, seed: u64) -> Result<Self, FitError> {
        super::check_rows(rows, inputs)?;
        let n = rows.len() / inputs;
        let samples = samples.clamp(2, n);
        let depth_limit = (samples as f64).log2().ceil() as u32;
        let mut forest = Self { inputs, normaliser: mean_path(samples), nodes: Vec::new(), roots: Vec::new() };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..trees.max(1) {
            let mut chosen: Vec<u32> = sample(&mut rng, n, samples).into_iter().map(|i| i as u32).collect();
            let root = forest.push(Node { split: 0.0, left: 0, feature: LEAF });
            forest.roots.push(root);
            forest.grow(rows, &mut chosen, root, 0, depth_limit, &mut rng);
        }
        Ok(forest)
    }

    fn push(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    fn grow(&mut self, rows: &[f64], chosen: &mut [u32], at: u32, depth: u32, limit: u32, rng: &mut ChaCha8Rng) {
        let value = |row: u32, feature: usize| rows[row as usize * self.inputs + feature];
        let split = (depth < limit && chosen.len() > 1).then(|| choose_split(chosen, self.inputs, value, rng)).flatten();
        let Some((feature, split)) = split else {
            self.nodes[at as usize] = Node { split: f64::from(depth) + mean_path(chosen.len()), left: 0, feature: LEAF };
            return;
        };
        let mut middle = 0;
        for i in 0..chosen.len() {
            if value(chosen[i], feature) < split {
                chosen.swap(i, middle);
                middle += 1;
            }
        }
        let left = self.push(Node { split: 0.0, left: 0, feature: LEAF });
        self.push(Node { split: 0.0, left: 0, feature: LEAF });
        self.nodes[at as usize] = Node { split, left, feature: feature as u32 };
        let (low, high) = chosen.split_at_mut(middle);
        self.grow(rows, low, left, depth + 1, limit, rng);
        self.grow(rows, high, left + 1, depth + 1, limit, rng);
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    /// Score of one row of [`Self::inputs`] values; 0 < score < 1. NaN inputs go to the right at each split.
    ///
    /// # Panics
    /// Where `row` has fewer values than [`Self::inputs`].
    pub fn score(&self, row: &[f64]) -> f64 {
        let row = &row[..self.inputs];
        let mut total = 0.0;
        let mut groups = self.roots.chunks_exact(LANES);
        for roots in &mut groups {
            let mut at = [0; LANES];
            at.copy_from_slice(roots);
            for leaf in self.leaves(at, row) {
                total += self.nodes[leaf as usize].split;
            }
        }
        for root in groups.remainder() {
            let [leaf] = self.leaves([*root], row);
            total += self.nodes[leaf as usize].split;
        }
        (-(total / self.roots.len() as f64) / self.normaliser).exp2()
    }

    /// The leaves that `row` ends in, from the roots of several trees at once: their loads from memory overlap.
    fn leaves<const N: usize>(&self, mut at: [u32; N], row: &[f64]) -> [u32; N] {
        loop {
            let mut moved = false;
            for at in &mut at {
                let node = self.nodes[*at as usize];
                // A leaf stays where it is; which input it then looks at does not matter.
                let inner = node.feature != LEAF;
                let x = row[if inner { node.feature as usize } else { 0 }];
                // NaN is not below the split.
                let below = x < node.split;
                let next = node.left + u32::from(!below);
                *at = if inner { next } else { *at };
                moved |= inner;
            }
            if !moved {
                return at;
            }
        }
    }

    /// True where the tables fit together: what came from a file can be scored with.
    pub fn is_sound(&self) -> bool {
        let n = self.nodes.len() as u32;
        let node_ok = |(i, node): (usize, &Node)| {
            node.split.is_finite()
                && (node.feature == LEAF
                    || ((node.feature as usize) < self.inputs && node.left > i as u32 && node.left.checked_add(1).is_some_and(|r| r < n)))
        };
        self.normaliser > 0.0 && !self.roots.is_empty() && self.roots.iter().all(|r| *r < n) && self.nodes.iter().enumerate().all(node_ok)
    }
}

/// A feature that is not constant in the node, and a uniform split inside its range.
fn choose_split(chosen: &[u32], inputs: usize, value: impl Fn(u32, usize) -> f64, rng: &mut ChaCha8Rng) -> Option<(usize, f64)> {
    let first = rng.gen_range(0..inputs);
    (0..inputs).map(|k| (first + k) % inputs).find_map(|feature| {
        let range = chosen.iter().map(|r| value(*r, feature)).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        if range.0 >= range.1 {
            return None;
        }
        let split = range.0 + rng.r#gen::<f64>() * (range.1 - range.0);
        // Rounding can put the split on the minimum: nothing would go left.
        Some((feature, if split > range.0 { split } else { range.1 }))
    })
}

/// Mean path length of an unsuccessful search in a binary search tree of `n` rows.
fn mean_path(n: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let m = (n - 1) as f64;
            2.0 * (m.ln() + EULER) - 2.0 * m / n as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    fn normal(n: usize, d: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n * d).map(|_| StandardNormal.sample(&mut rng)).collect()
    }

    #[test]
    fn outliers_score_higher_than_the_crowd() {
        let forest = IsolationForest::fit(&normal(1000, 3, 1), 3, 100, 256, 7).unwrap();
        let inlier = forest.score(&[0.0, 0.1, -0.1]);
        let outlier = forest.score(&[5.0, -5.0, 5.0]);
        assert!(inlier < 0.5 && outlier > 0.7, "{inlier} {outlier}");
        let held_out = normal(2000, 3, 2);
        let above = held_out.chunks(3).filter(|r| forest.score(r) > outlier).count();
        assert!(above < 4, "{above} of 2000 healthy rows are stranger than a far outlier");
    }

    #[test]
    fn same_seed_same_forest_and_linear_rescaling_changes_nothing() {
        let rows = normal(300, 2, 3);
        let a = IsolationForest::fit(&rows, 2, 50, 128, 9).unwrap();
        assert_eq!(a, IsolationForest::fit(&rows, 2, 50, 128, 9).unwrap());
        let scaled: Vec<f64> = rows.iter().map(|x| x * 1024.0).collect();
        let b = IsolationForest::fit(&scaled, 2, 50, 128, 9).unwrap();
        assert_eq!(a.score(&[0.5, -2.0]), b.score(&[512.0, -2048.0]));
    }

    #[test]
    fn bad_rows_are_refused_with_a_reason() {
        assert_eq!(IsolationForest::fit(&[1.0, f64::NAN], 1, 10, 10, 1), Err(FitError::NotFinite(0)));
        assert_eq!(IsolationForest::fit(&[1.0], 1, 10, 10, 1), Err(FitError::TooFewRows(1)));
        assert_eq!(IsolationForest::fit(&[1.0; 3], 2, 10, 10, 1), Err(FitError::Shape { inputs: 2, values: 3 }));
        let constant = IsolationForest::fit(&[1.0; 20], 2, 10, 10, 1).unwrap();
        assert!(constant.score(&[1.0, 1.0]).is_finite());
    }

    #[test]
    fn a_tampered_forest_is_recognised() {
        let mut forest = IsolationForest::fit(&normal(100, 2, 4), 2, 5, 64, 1).unwrap();
        assert!(forest.is_sound());
        forest.nodes[0].left = 0;
        assert!(!forest.is_sound(), "a loop");
    }
}
