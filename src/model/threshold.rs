/// The value that a share `exceed` of healthy scores lies beyond, also where the sample is too small to show it.
///
/// Inside the sample it is the empirical quantile; beyond, an exponential tail is fitted to the excesses over the 95 %
/// quantile (peaks over threshold, Pickands 1975): `u + mean_excess * ln(0.05 / exceed)`. `None` for fewer than 20
/// finite scores, or where `exceed` is not in (0, 0.5).
pub fn tail_quantile(scores: &[f64], exceed: f64) -> Option<f64> {
    const TAIL: f64 = 0.05;
    let mut sorted: Vec<f64> = scores.iter().copied().filter(|x| x.is_finite()).collect();
    if sorted.len() < 20 || !(exceed > 0.0 && exceed < 0.5) {
        return None;
    }
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |q: f64| sorted[((sorted.len() - 1) as f64 * q).round() as usize];
    if exceed >= TAIL || exceed * sorted.len() as f64 >= 20.0 {
        return Some(at(1.0 - exceed));
    }
    let u = at(1.0 - TAIL);
    let excess: Vec<f64> = sorted.iter().filter(|x| **x > u).map(|x| x - u).collect();
    if excess.is_empty() {
        return Some(u);
    }
    let mean = excess.iter().sum::<f64>() / excess.len() as f64;
    Some(u + mean * (TAIL / exceed).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_an_exponential_is_found_beyond_the_sample() {
        let n = 500;
        let scores: Vec<f64> = (0..n).map(|i| -(1.0 - (f64::from(i) + 0.5) / f64::from(n)).ln()).collect();
        let q = tail_quantile(&scores, 1e-4).unwrap();
        assert!((q - 1e4f64.ln()).abs() < 0.5, "{q}");
        let inner = tail_quantile(&scores, 0.1).unwrap();
        assert!((inner - 10f64.ln()).abs() < 0.05, "{inner}");
    }

    #[test]
    fn too_little_to_say_is_said() {
        assert_eq!(tail_quantile(&[1.0; 10], 0.01), None);
        assert_eq!(tail_quantile(&[1.0; 30], 0.0), None);
        assert_eq!(tail_quantile(&[1.0; 30], 0.01), Some(1.0));
    }
}
