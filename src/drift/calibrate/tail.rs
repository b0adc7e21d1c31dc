//! From scores on healthy rows to thresholds: rates beyond what the sample shows are extrapolated with exponential tails.

use statrs::distribution::{ContinuousCDF, Gamma};

use crate::drift::{Chart, Decision, Metric, Test};
use crate::types::DriftStatus;

/// Scores of a monitor's tests, evaluation by evaluation.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    pub tests: usize,
    /// Evaluations of one decision, one after the other: `tests` scores each, NaN where a test had no answer.
    pub sequences: Vec<Vec<f64>>,
}

impl Trace {
    pub fn evaluations(&self) -> usize {
        self.sequences.iter().map(|s| s.len() / self.tests.max(1)).sum()
    }
}

/// A monotone change of a score after which its tail is about exponential, and larger is worse.
enum Scale {
    /// -ln p.
    LogP,
    /// x^2: distances that behave like the absolute value of a mean difference.
    Square,
    Linear,
    /// -ln of the survival of a gamma distribution with the mean and variance of the sample: quadratic forms.
    Gamma(Gamma, f64),
}

impl Scale {
    fn of(test: Test, scores: &[f64]) -> Self {
        match test {
            Test::Metric(m) if m.is_p_value() => Self::LogP,
            Test::Metric(Metric::Wasserstein | Metric::EnergyDistance | Metric::JensenShannon | Metric::Hellinger) => Self::Square,
            Test::Chart(Chart::EwmaT2) => Self::gamma(scores).unwrap_or(Self::Linear),
            Test::Metric(_) | Test::Chart(_) => Self::Linear,
        }
    }

    fn gamma(scores: &[f64]) -> Option<Self> {
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let variance = scores.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
        Gamma::new(mean * mean / variance, mean / variance).ok().map(|g| Self::Gamma(g, mean))
    }

    fn forward(&self, score: f64) -> f64 {
        match self {
            Self::LogP => -score.clamp(1e-300, 1.0).ln(),
            Self::Square => score * score,
            Self::Linear => score,
            Self::Gamma(gamma, mean) => {
                let survival = gamma.sf(score);
                // Beyond the reach of the function: goes on in a straight line.
                if survival > 1e-290 { -survival.ln() } else { 667.0 + score / mean }
            }
        }
    }

    fn backward(&self, y: f64) -> f64 {
        match self {
            Self::LogP => (-y).exp(),
            Self::Square => y.max(0.0).sqrt(),
            Self::Linear => y,
            Self::Gamma(_, mean) => {
                let (mut low, mut high) = (0.0, *mean);
                while self.forward(high) < y && high < mean * 1e6 {
                    high *= 2.0;
                }
                for _ in 0..100 {
                    let middle = 0.5 * (low + high);
                    if self.forward(middle) < y { low = middle } else { high = middle }
                }
                0.5 * (low + high)
            }
        }
    }
}

/// Exceedance of one test's score: `-ln P(score is worse)`, empirical inside the sample, exponential beyond.
struct Tail {
    scale: Scale,
    sorted: Vec<f64>,
    u: f64,
    share: f64,
    beta: f64,
}

/// Share of the sample that the tail is fitted to.
const TAIL: f64 = 0.05;

impl Tail {
    fn of(test: Test, scores: Vec<f64>) -> Option<Self> {
        let scale = Scale::of(test, &scores);
        let mut sorted: Vec<f64> = scores.iter().map(|s| scale.forward(*s)).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let n = sorted.len();
        if n < 20 {
            return None;
        }
        let above = ((n as f64 * TAIL) as usize).max(5);
        let u = sorted[n - above - 1];
        let beta = sorted[n - above..].iter().map(|y| y - u).sum::<f64>() / above as f64;
        let floor = 1e-6 * u.abs().max(1e-6);
        Some(Self { scale, u, share: above as f64 / n as f64, beta: beta.max(floor), sorted })
    }

    fn forward(&self, score: f64) -> f64 {
        if score.is_nan() {
            return 0.0;
        }
        let y = self.scale.forward(score);
        if y >= self.u {
            return (y - self.u) / self.beta - self.share.ln();
        }
        let n = self.sorted.len() as f64;
        let at_least = n - self.sorted.partition_point(|x| *x < y) as f64;
        -((at_least + 0.5) / (n + 1.0)).ln()
    }

    fn backward(&self, g: f64) -> f64 {
        if g >= -self.share.ln() {
            return self.scale.backward(self.u + self.beta * (g + self.share.ln()));
        }
        let rank = (self.sorted.len() as f64 * (1.0 - (-g).exp())) as usize;
        self.scale.backward(self.sorted[rank.min(self.sorted.len() - 1)])
    }
}

/// Onsets of the levels that the line is drawn through: at least, and up to.
const FEW: f64 = 5.0;
const ENOUGH: f64 = 100.0;
/// Up to, where fewer than [`FEW`] are wanted and the line goes on beyond the sample: at low levels alarms run into each other, which bends
/// it.
const NEAREST: f64 = 40.0;

/// How often a monitor's tests exceed together, by a level that they share: each test is exceeded equally often at it.
pub struct Curve {
    tails: Vec<Tail>,
    levels: Vec<Vec<(f64, f64)>>,
    limit: u16,
}

impl Curve {
    /// From scores on healthy rows; drift is `limit` evaluations in a row with all tests beyond. `None` where there is too little
    /// to say.
    pub fn new(kinds: &[Test], trace: &Trace, limit: u16) -> Option<Self> {
        let scores =
            |j: usize| trace.sequences.iter().flat_map(move |s| s.iter().skip(j).step_by(trace.tests).copied()).filter(|x| x.is_finite());
        let tails: Option<Vec<Tail>> = kinds.iter().enumerate().map(|(j, kind)| Tail::of(*kind, scores(j).collect())).collect();
        let tails = tails?;
        let levels = trace.sequences.iter().map(|s| spans(s, &tails)).collect();
        Some(Self { tails, levels, limit })
    }

    /// Thresholds with `rate` onsets an evaluation, where scores do not depend on the threshold.
    pub fn thresholds(&self, rate: f64) -> Option<Vec<f64>> {
        let level = level(&self.levels, self.limit, rate)?;
        Some(self.tails.iter().map(|t| t.backward(level)).collect())
    }
}

/// Smallest and largest level over the tests at each evaluation: all exceed where the smallest does, none where the largest
/// does not.
fn spans(sequence: &[f64], tails: &[Tail]) -> Vec<(f64, f64)> {
    let span = |scores: &[f64]| {
        let levels = scores.iter().zip(tails).map(|(s, t)| t.forward(*s));
        levels.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), g| (a.min(g), b.max(g)))
    };
    sequence.chunks_exact(tails.len()).map(span).collect()
}

/// The level with the wanted rate of onsets: a straight line through the logarithms of the numbers of onsets, from a third of the
/// wanted number to three times as many, or [`ENOUGH`]; where so few are wanted that the sample does not show them, from [`FEW`] to
/// [`NEAREST`].
fn level(sequences: &[Vec<(f64, f64)>], limit: u16, rate: f64) -> Option<f64> {
    let evaluations: usize = sequences.iter().map(Vec::len).sum();
    let mut lowest: Vec<f64> = sequences.iter().flatten().map(|s| s.0).collect();
    lowest.sort_unstable_by(f64::total_cmp);
    let wanted = rate * evaluations as f64;
    let few = (wanted / 3.0).max(FEW);
    let enough = if wanted < FEW { NEAREST } else { (3.0 * wanted).max(ENOUGH) };
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut share = 1.0 / evaluations.max(2) as f64;
    // From the highest level down, until there are onsets enough, or no more of them.
    while share < 0.7 {
        let u = lowest[((1.0 - share) * (evaluations - 1) as f64) as usize];
        let onsets = onsets(sequences, limit, u) as f64;
        points.push((u, onsets));
        if onsets >= enough {
            break;
        }
        share *= 1.1;
    }
    // Lower levels that one long drift covers have fewer onsets again.
    let most = points.iter().map(|p| p.1).fold(0.0, f64::max);
    points.truncate(points.iter().position(|p| p.1 >= most)? + 1);
    if most < 3.0 {
        return None;
    }
    if wanted >= most {
        return points.last().map(|p| p.0);
    }
    points.retain(|p| p.1 >= few.min(most / 2.0));
    let (level, ln, falls) = line(&points)?;
    // Levels are such that single evaluations beyond them get e times fewer with each; far beyond the sample onsets do as well.
    let falls = if wanted < FEW { 0.5 * (falls + 1.0) } else { falls };
    Some(level + (ln - wanted.ln()) / falls)
}

/// A point of the line through levels and logarithms of onsets, and how steeply it falls: least squares, weighted by the number of
/// onsets.
fn line(points: &[(f64, f64)]) -> Option<(f64, f64, f64)> {
    let sum = |f: &dyn Fn(f64, f64) -> f64| points.iter().map(|(u, n)| n * f(*u, n.ln())).sum::<f64>();
    let weight = sum(&|_, _| 1.0);
    let (level, ln) = (sum(&|u, _| u) / weight, sum(&|_, l| l) / weight);
    let varies = sum(&|u, _| (u - level) * (u - level));
    // Onsets by level: the scatter is in their number.
    let falls = -sum(&|u, l| (u - level) * (l - ln)) / varies;
    (falls > 0.0 && falls.is_finite()).then_some((level, ln, falls))
}

/// Onsets of drift in all sequences at a level.
fn onsets(sequences: &[Vec<(f64, f64)>], limit: u16, level: f64) -> usize {
    let mut onsets = 0;
    for sequence in sequences {
        let mut decision = Decision::default();
        let mut drifting = false;
        for (low, high) in sequence {
            let exceeded = usize::from(*high >= level) + usize::from(*low >= level);
            let drift = decision.step(exceeded, 2, limit) == DriftStatus::Drift;
            onsets += usize::from(drift && !drifting);
            drifting = drift;
        }
    }
    onsets
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{ChiSquared, Distribution, Exp1, StandardNormal};

    use super::*;

    fn thresholds(kinds: &[Test], trace: &Trace, limit: u16, rate: f64) -> Option<Vec<f64>> {
        Curve::new(kinds, trace, limit)?.thresholds(rate)
    }

    fn trace(n: usize, mut score: impl FnMut() -> f64) -> Trace {
        Trace { tests: 1, sequences: vec![(0..n).map(|_| score()).collect()] }
    }

    #[test]
    fn rates_beyond_the_sample_are_extrapolated() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let exponential = trace(20_000, || Exp1.sample(&mut rng));
        let h = thresholds(&[Chart::Cusum.into()], &exponential, 1, 1e-6).unwrap()[0];
        assert!((h - 1e6f64.ln()).abs() < 2.0, "{h}");
        let p = trace(20_000, || (-Distribution::<f64>::sample(&Exp1, &mut rng)).exp());
        let p = thresholds(&[Metric::KolmogorovSmirnov.into()], &p, 1, 1e-5).unwrap()[0];
        assert!((-6.0..-4.2).contains(&p.log10()), "{p}");
        let chi = ChiSquared::new(50.0).unwrap();
        let t2 = trace(20_000, || chi.sample(&mut rng));
        let h = thresholds(&[Chart::EwmaT2.into()], &t2, 1, 1e-5).unwrap()[0];
        assert!((h - 101.0).abs() < 5.0, "chi-squared 50 exceeds 101.0 once in 100,000: {h}");
    }

    #[test]
    fn several_in_a_row_and_several_tests_are_counted_as_the_decision_does() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let kinds = [Test::from(Chart::Cusum), Test::from(Chart::Adwin)];
        let both: Vec<f64> = (0..40_000).map(|_| normal().abs()).collect();
        let trace = Trace { tests: 2, sequences: vec![both] };
        let limits = thresholds(&kinds, &trace, 2, 0.002).unwrap();
        let fresh: Vec<[f64; 2]> = (0..100_000).map(|_| [normal().abs(), normal().abs()]).collect();
        let (mut decision, mut before, mut onsets) = (Decision::default(), false, 0);
        for row in &fresh {
            let exceeded = row.iter().zip(&limits).filter(|(x, h)| x >= h).count();
            let drift = decision.step(exceeded, 2, 2) == DriftStatus::Drift;
            onsets += u32::from(drift && !before);
            before = drift;
        }
        assert!((120..340).contains(&onsets), "wanted 200, got {onsets}");
    }

    #[test]
    fn too_little_is_said() {
        assert_eq!(thresholds(&[Chart::Cusum.into()], &trace(10, || 1.0), 1, 0.01), None);
    }
}
