//! Sums of sinusoids, sampled.

use std::f64::consts::TAU;

/// `amplitude · cos(phase + 2 pi frequency t)`
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct Component {
    pub amplitude: f64,
    /// At the first sample, rad.
    pub phase: f64,
    /// Hz
    pub frequency: f64,
}

/// Adds the components to `out`, sampled `rate` times a second. Each is a rotating phasor: two multiplications a sample
/// instead of a cosine (over one block the rounding error stays below 1e-12 of the amplitude).
pub(super) fn render(components: &[Component], rate: f64, out: &mut [f64]) {
    for component in components {
        let (mut im, mut re) = component.phase.sin_cos();
        let (step_im, step_re) = (TAU * component.frequency / rate).sin_cos();
        for sample in out.iter_mut() {
            *sample += component.amplitude * re;
            (re, im) = (re * step_re - im * step_im, re * step_im + im * step_re);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_cosine() {
        let c = Component { amplitude: 2.0, phase: 0.3, frequency: 123.4 };
        let mut out = vec![1.0; 256];
        render(&[c], 2560.0, &mut out);
        for (i, x) in out.iter().enumerate() {
            let wanted = 1.0 + 2.0 * (0.3 + TAU * 123.4 * i as f64 / 2560.0).cos();
            assert!((x - wanted).abs() < 1e-11);
        }
    }
}
