//! Healthy rows with another course of chance: innovations in another order, filtered as the rows are.
//!
//! ```text
//! row ─▶ residual of its regime ─▶ minus what its past says ─▶ innovations ─(drawn anew, row by row)─▶ plus what the new
//! past says ─▶ new residual ─▶ new row
//! ```
//! Blocks cut from the rows themselves forget at each seam, and a block that is not short against the rows of a regime hides how
//! uncertain their mean is. Innovations have next to no memory: they are drawn in short blocks, all columns of a row together, so
//! that what columns share stays, and the memory comes from the autoregressive model ([`fit`]), which never forgets at
//! a seam ("post-blackening": Davison, Hinkley, "Bootstrap Methods and their Application", 1997, section 8.2.3).

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::HealthyRows;
use super::autoregression::{MAX_ORDER, fit};
use super::stationary::memory;
use crate::drift::covariance::Moments;
use crate::drift::metric::Reference;

/// Rows and columns that regimes' correlations are compared by, at most.
const MOST_ROWS: usize = 40_000;
const MOST_COLUMNS: usize = 100;
/// Fewer different values than so many: states or counts, of which a filter would make something else; left as they are.
const MIN_DISTINCT: usize = 10;
/// Rows of a visit, in the mean, from which on the memory within visits can be told from that across them.
const LONG_VISIT: usize = 20;
/// Rows of a block in memories of the innovations.
const BLOCK: f64 = 20.0;

/// The memory of healthy rows, and their innovations.
pub struct Recolour<'a> {
    healthy: &'a HealthyRows,
    columns: usize,
    /// Mean and standard deviation by regime and column; 0 where there is none.
    mean: Vec<f64>,
    sd: Vec<f64>,
    /// By lag and column.
    coefficients: Vec<f64>,
    order: usize,
    /// Residuals and innovations, row by row: the same where a column has no model, 0 where there is neither.
    residuals: Vec<f64>,
    innovations: Vec<f64>,
    /// Share of the past that still holds in another regime.
    carry: f64,
    pub block: usize,
}

/// The past of a recoloured stream.
pub struct Past {
    /// Newest first, `columns` residuals each.
    lags: Vec<f64>,
    fresh: Vec<f64>,
    slot: Option<u16>,
    rng: ChaCha8Rng,
}

impl<'a> Recolour<'a> {
    /// `own_level`: units have levels of their own, which are no memory.
    pub fn new(healthy: &'a HealthyRows, references: &[&[Option<Reference>]], own_level: bool) -> Self {
        let columns = healthy.columns();
        let each = |f: fn(&Reference) -> f64| references.iter().flat_map(|r| r.iter()).map(|r| r.as_ref().map_or(0.0, f)).collect();
        let visits = visits(healthy);
        let units = healthy.units();
        let long = healthy.len() >= LONG_VISIT * visits.len().max(1);
        let segments = if long { &visits } else { &units };
        let levels = if own_level { units.len().max(references.len()) } else { references.len() };
        let mut new = Self {
            healthy,
            columns,
            mean: each(Reference::mean),
            sd: each(Reference::sd),
            coefficients: vec![0.0; MAX_ORDER * columns],
            order: 0,
            residuals: vec![0.0; healthy.len() * columns],
            innovations: vec![0.0; healthy.len() * columns],
            carry: 1.0,
            block: 1,
        };
        let mut seams = (0.0, 0.0);
        let mut columns_of: Vec<Vec<f64>> = Vec::with_capacity(columns);
        for k in 0..columns {
            let mut z = new.column(references, k);
            if own_level {
                units.iter().for_each(|u| centre(&mut z[u.clone()]));
            }
            let states = references.iter().filter_map(|r| r[k].as_ref()).all(|r| r.distinct() < MIN_DISTINCT);
            let a = if states { Vec::new() } else { fit(&z, segments, healthy.len() as f64 / levels.max(1) as f64) };
            a.iter().enumerate().for_each(|(lag, a)| new.coefficients[lag * columns + k] = *a);
            new.order = new.order.max(a.len());
            across(&mut seams, &z, &a, &visits, &units);
            columns_of.push(z);
        }
        new.carry = if long && seams.1 > 0.0 { (seams.0 / seams.1).clamp(0.0, 1.0) } else { 1.0 };
        let runs = if new.carry < 0.5 { &visits } else { &units };
        let mut longest_memory = 1.0f64;
        for (k, mut z) in columns_of.into_iter().enumerate() {
            let a: Vec<f64> = (0..new.order).map(|lag| new.coefficients[lag * columns + k]).collect();
            let has_model = a.iter().any(|a| *a != 0.0);
            let e = if has_model { whiten(&mut z, &a, runs) } else { z.clone() };
            let longest = units.iter().max_by_key(|u| u.len()).cloned().unwrap_or(0..0);
            let known: Vec<f64> = e[longest].iter().copied().filter(|e| e.is_finite()).collect();
            longest_memory = longest_memory.max(memory(&known));
            for (i, (z, e)) in z.iter().zip(&e).enumerate().filter(|(_, (z, e))| z.is_finite() && e.is_finite()) {
                (new.residuals[i * columns + k], new.innovations[i * columns + k]) = (*z, *e);
            }
        }
        let longest = units.iter().map(Range::len).max().unwrap_or(0);
        new.block = ((BLOCK * longest_memory).ceil() as usize).clamp(1, (longest / 4).max(1));
        new
    }

    /// Residuals of a column against its regimes, NaN where missing.
    fn column(&self, references: &[&[Option<Reference>]], k: usize) -> Vec<f64> {
        let z = |i: usize| {
            let reference = references.get(usize::from(self.healthy.slot(i)))?[k].as_ref()?;
            Some(if reference.sd() > 0.0 { (self.healthy.row(i)[k] - reference.mean()) / reference.sd() } else { 0.0 })
        };
        (0..self.healthy.len()).map(|i| z(i).filter(|z| z.is_finite()).unwrap_or(f64::NAN)).collect()
    }

    /// Share of the differences between the regimes' correlations of innovations that chance does not explain, 0..=1.
    ///
    /// Few rows in many columns look as if each regime had correlations of its own. Of independent rows a correlation r differs
    /// from the pooled one with a variance of about `(1 - r^2)^2 (1 / rows of the regime - 1 / all rows)`; what is beyond that, over all
    /// pairs and regimes, is believed.
    pub fn own_share(&self) -> f64 {
        let columns = self.columns.min(MOST_COLUMNS);
        let step = self.healthy.len().div_ceil(MOST_ROWS).max(1);
        let regimes = self.mean.len() / self.columns.max(1);
        let mut of = vec![Moments::new(columns); regimes];
        for i in (0..self.healthy.len()).step_by(step) {
            of[usize::from(self.healthy.slot(i))].push(&self.innovations[i * self.columns..i * self.columns + columns]);
        }
        // Each regime in its own units, so that only correlations are compared.
        let seen: Vec<(f64, Vec<f64>)> = of.iter().filter(|m| m.rows() > 2.0).map(|m| (m.rows(), m.correlation())).collect();
        let n: f64 = seen.iter().map(|(rows, _)| rows).sum();
        let pooled = |at: usize| seen.iter().map(|(rows, r)| rows * r[at]).sum::<f64>() / n;
        let (mut found, mut chance) = (0.0, 0.0);
        for (i, j) in (0..columns).flat_map(|i| (0..i).map(move |j| (i, j))) {
            let at = i * columns + j;
            let r = pooled(at);
            for (rows, own) in &seen {
                found += rows * (own[at] - r).powi(2);
                chance += (1.0 - r * r).powi(2) * (1.0 - rows / n);
            }
        }
        if found > 0.0 { (1.0 - chance / found).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The past before a first row: that of any row.
    pub fn past(&self, rng: &mut ChaCha8Rng) -> Past {
        let lags = vec![0.0; self.order * self.columns];
        let mut past = Past { lags, fresh: vec![0.0; self.columns], slot: None, rng: ChaCha8Rng::seed_from_u64(rng.r#gen()) };
        self.forget(&mut past);
        past
    }

    fn forget(&self, past: &mut Past) {
        if self.healthy.len() <= self.order {
            return;
        }
        let at = past.rng.gen_range(self.order..self.healthy.len());
        for (lag, residuals) in past.lags.chunks_exact_mut(self.columns).enumerate() {
            residuals.copy_from_slice(&self.residuals[(at - lag - 1) * self.columns..(at - lag) * self.columns]);
        }
    }

    /// Into `out`, the row in regime `slot` that the innovations of row `source` make of this past. Those of a row of the same
    /// regime keep the shape of its distribution, and leave columns without memory as they are.
    pub fn row(&self, slot: u16, source: usize, past: &mut Past, out: &mut [f64]) {
        let own = self.healthy.slot(source) == slot;
        out.copy_from_slice(self.healthy.row(source));
        if self.order == 0 && own {
            return;
        }
        if past.slot.is_some_and(|s| s != slot) && past.rng.r#gen::<f64>() >= self.carry {
            self.forget(past);
        }
        past.slot = Some(slot);
        past.fresh.copy_from_slice(&self.innovations[source * self.columns..(source + 1) * self.columns]);
        for (a, z) in self.coefficients.chunks_exact(self.columns).zip(past.lags.chunks_exact(self.columns)) {
            for ((x, a), z) in past.fresh.iter_mut().zip(a).zip(z) {
                *x += a * z;
            }
        }
        let at = usize::from(slot) * self.columns;
        for (k, out) in out.iter_mut().enumerate() {
            let sd = self.sd[at + k];
            if own {
                *out += sd * (past.fresh[k] - self.residuals[source * self.columns + k]);
            } else if out.is_finite() {
                *out = self.mean[at + k] + sd * past.fresh[k];
            }
        }
        if self.order > 0 {
            past.lags.copy_within(..(self.order - 1) * self.columns, self.columns);
            past.lags[..self.columns].copy_from_slice(&past.fresh);
        }
    }
}

/// Rows in a row of one unit and one regime.
fn visits(healthy: &HealthyRows) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    for unit in healthy.units() {
        for i in unit.clone() {
            match out.last_mut() {
                Some(last) if i > unit.start && healthy.slot(i) == healthy.slot(i - 1) => last.end = i + 1,
                _ => out.push(i..i + 1),
            }
        }
    }
    out
}

fn centre(z: &mut [f64]) {
    let known = z.iter().filter(|z| z.is_finite());
    let mean = known.clone().sum::<f64>() / known.count().max(1) as f64;
    z.iter_mut().for_each(|z| *z -= mean);
}

/// Adds up, over the first rows of visits, how far the past in another regime predicts them.
fn across(sums: &mut (f64, f64), z: &[f64], a: &[f64], visits: &[Range<usize>], units: &[Range<usize>]) {
    for pair in visits.windows(2).filter(|_| !a.is_empty()) {
        let t = pair[1].start;
        if pair[0].len() < a.len() || units.iter().any(|u| u.start == t) {
            continue;
        }
        let predicted: f64 = a.iter().enumerate().map(|(l, a)| a * z[t - 1 - l]).sum();
        if predicted.is_finite() && z[t].is_finite() {
            sums.0 += predicted * z[t];
            sums.1 += predicted * predicted;
        }
    }
}

/// The innovations of a column. Missing residuals become what the past says; innovations that are not known (no past, or no
/// value) become others of the column, in turns.
fn whiten(z: &mut [f64], a: &[f64], runs: &[Range<usize>]) -> Vec<f64> {
    let mut e = vec![f64::NAN; z.len()];
    for run in runs {
        for t in run.clone() {
            let past = t - run.start >= a.len();
            let predicted: f64 = a.iter().take(t - run.start).enumerate().map(|(l, a)| a * z[t - 1 - l]).sum();
            if !z[t].is_finite() {
                z[t] = predicted;
            } else if past {
                e[t] = z[t] - predicted;
            }
        }
    }
    let known: Vec<f64> = e.iter().copied().filter(|e| e.is_finite()).collect();
    let unknown = e.iter_mut().filter(|e| !e.is_finite());
    unknown.zip(known.iter().cycle()).for_each(|(e, other)| *e = *other);
    e
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::types::Timestamp;

    const VISIT: usize = 100;

    /// AR(1) rows in turns of two regimes: 0.9 with a level and a spread, a copy of it, white counts.
    fn rows(n: usize, over_seams: bool, seed: u64) -> HealthyRows {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut rows = HealthyRows::new(3);
        let mut x = 0.0;
        for i in 0..n {
            let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
            if i % VISIT == 0 && !over_seams {
                x = normal() / 0.19f64.sqrt();
            }
            x = 0.9 * x + normal();
            let slot = (i / VISIT % 2) as u16;
            let missing = if i % 9 == 0 { f64::NAN } else { x };
            let row = [x * (1.0 + f64::from(slot)) + 30.0, missing, (normal() * 2.0).abs().floor().min(4.0)];
            rows.push(slot, Timestamp::EPOCH, &row);
        }
        rows
    }

    fn redrawn(rows: &HealthyRows, own: f64, n: usize) -> (f64, Vec<Vec<f64>>) {
        let references = rows.references(&rows.members(2));
        let references: Vec<_> = references.iter().map(Vec::as_slice).collect();
        let colour = Recolour::new(rows, &references, false);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut past = colour.past(&mut rng);
        let mut stream = super::super::stream::Stream::new(rows, 0..rows.len(), colour.block, own, &mut rng);
        let mut next = |_| {
            let ((slot, i), mut out) = (stream.next().unwrap(), vec![0.0; 3]);
            colour.row(slot, i, &mut past, &mut out);
            assert_eq!(out[1].is_nan(), rows.row(i)[1].is_nan());
            assert!(own < 1.0 || out[2] == rows.row(i)[2], "counts stay counts");
            out.push(f64::from(slot));
            out
        };
        (colour.carry, (0..n).map(&mut next).collect())
    }

    #[test]
    fn a_recoloured_stream_has_the_memory_and_the_spread_of_its_rows() {
        for (over_seams, own) in [(true, 1.0), (false, 1.0), (true, 0.3)] {
            let (carry, drawn) = redrawn(&rows(8_000, over_seams, 1), own, 40_000);
            assert_eq!(carry > 0.7, over_seams, "{carry}");
            let z: Vec<f64> = drawn.iter().map(|r| (r[0] - 30.0) / (1.0 + r[3])).collect();
            let sd = (z.iter().map(|z| z * z).sum::<f64>() / z.len() as f64).sqrt();
            assert!((sd * 0.19f64.sqrt() - 1.0).abs() < 0.08, "{sd}");
            let found = memory(&z);
            if over_seams {
                assert!((found / 19.0 - 1.0).abs() < 0.25, "{found}");
            }
            let apart = drawn.iter().filter(|r| r[1].is_finite()).map(|r| ((r[0] - 30.0) / (1.0 + r[3]) - r[1]).abs());
            assert!(apart.clone().sum::<f64>() / (apart.count() as f64) < 1.0, "columns stay together");
        }
    }

    #[test]
    fn regimes_have_correlations_of_their_own_only_where_they_differ() {
        let share = |apart: bool| {
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            let mut rows = HealthyRows::new(20);
            for i in 0..4_000 {
                let slot = (i / VISIT % 4) as u16;
                let common: f64 = StandardNormal.sample(&mut rng);
                let weight = if apart && slot == 3 { 0.9 } else { 0.5 };
                let mut value = || weight * common + Distribution::<f64>::sample(&StandardNormal, &mut rng);
                let row: Vec<f64> = (0..20).map(|_| value()).collect();
                rows.push(slot, Timestamp::EPOCH, &row);
            }
            let references = rows.references(&rows.members(4));
            let references: Vec<_> = references.iter().map(Vec::as_slice).collect();
            Recolour::new(&rows, &references, false).own_share()
        };
        let (alike, apart) = (share(false), share(true));
        assert!(alike < 0.25 && apart > 0.8, "{alike} {apart}");
    }

    #[test]
    fn a_mean_is_as_uncertain_as_it_is_in_life() {
        // 2,000 rows worth 105 independent ones of variance 1 / 0.19.
        let means = |drawn: &[Vec<f64>]| {
            let means: Vec<f64> =
                drawn.chunks(2_000).map(|c| c.iter().map(|r| (r[0] - 30.0) / (1.0 + r[3])).sum::<f64>() / 2_000.0).collect();
            (means.iter().map(|m| m * m).sum::<f64>() / means.len() as f64).sqrt()
        };
        let found = means(&redrawn(&rows(4_000, true, 2), 1.0, 200_000).1);
        let expected = (19.0f64 / 0.19 / 2_000.0).sqrt();
        assert!((0.8..1.3).contains(&(found / expected)), "{found}, expected {expected}");
    }
}
