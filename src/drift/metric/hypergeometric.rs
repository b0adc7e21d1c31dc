//! Tables with fixed margins: probabilities and draws.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::special::ln_choose;

/// The generator of all resampling metrics: seeded, so that the same samples give the same answer.
pub(super) fn generator() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0x6472_6966_7467_6174)
}

/// How many of `marked` among `total` are in a draw of `draws`: by walking outward from the most probable number.
pub(super) fn draw(rng: &mut impl Rng, total: u64, marked: u64, draws: u64) -> u64 {
    let lowest = (marked + draws).saturating_sub(total);
    let highest = marked.min(draws);
    let mode = ((draws + 1) as f64 * (marked + 1) as f64 / (total + 2) as f64) as u64;
    let mode = mode.clamp(lowest, highest);
    let p_mode = (ln_choose(marked, mode) + ln_choose(total - marked, draws - mode) - ln_choose(total, draws)).exp();
    let mut left: f64 = rng.r#gen::<f64>() - p_mode;
    let (mut up, mut down) = ((mode, p_mode), (mode, p_mode));
    while left > 0.0 && (up.0 < highest || down.0 > lowest) {
        if up.0 < highest {
            up = (up.0 + 1, up.1 * ratio(total, marked, draws, up.0));
            left -= up.1;
            if left <= 0.0 {
                return up.0;
            }
        }
        if down.0 > lowest {
            down = (down.0 - 1, down.1 / ratio(total, marked, draws, down.0 - 1));
            left -= down.1;
            if left <= 0.0 {
                return down.0;
            }
        }
    }
    mode
}

/// P(k + 1) / P(k).
pub(super) fn ratio(total: u64, marked: u64, draws: u64, k: u64) -> f64 {
    ((marked - k) as f64 * (draws - k) as f64) / ((k + 1) as f64 * (total + k + 1 - marked - draws) as f64)
}

/// Fills `row` with a random first row of a 2 x K table with these column sums and first-row total.
pub(super) fn draw_table(rng: &mut impl Rng, columns: &[u64], first_row: u64, row: &mut Vec<u64>) {
    let mut total: u64 = columns.iter().sum();
    let mut draws = first_row;
    row.clear();
    for column in columns {
        let k = draw(rng, total, *column, draws);
        row.push(k);
        draws -= k;
        total -= column;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_right_mean_and_spread() {
        let mut rng = generator();
        let (total, marked, draws) = (500u64, 120u64, 200u64);
        let sample: Vec<f64> = (0..20_000).map(|_| draw(&mut rng, total, marked, draws) as f64).collect();
        let mean = sample.iter().sum::<f64>() / 20_000.0;
        let variance = sample.iter().map(|k| (k - mean) * (k - mean)).sum::<f64>() / 20_000.0;
        assert!((mean - 48.0).abs() < 0.2, "{mean}");
        assert!((variance / (48.0 * 0.76 * 300.0 / 499.0) - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn tables_keep_their_margins() {
        let mut rng = generator();
        let mut row = Vec::new();
        for _ in 0..1000 {
            draw_table(&mut rng, &[3, 0, 5, 1], 4, &mut row);
            assert_eq!(row.iter().sum::<u64>(), 4);
            assert!(row.iter().zip([3, 0, 5, 1]).all(|(r, c)| *r <= c));
        }
    }
}
