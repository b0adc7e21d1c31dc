use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

/// Statistics of waveforms of one length and sampling rate. Buffers are kept: no allocation a block.
pub struct Waveform {
    rate: f64,
    fft: Arc<dyn RealToComplex<f64>>,
    input: Vec<f64>,
    output: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    window: Vec<f64>,
    /// One-sided power of each frequency bin, Hann-windowed, mean removed.
    power: Vec<f64>,
    spectrum_ready: bool,
    moments: Moments,
}

/// What one pass over a block gives.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
struct Moments {
    mean: f64,
    rms: f64,
    /// Second and fourth central moments.
    m2: f64,
    m4: f64,
    min: f64,
    max: f64,
}

impl Waveform {
    /// `length` samples a block (at least 2), `rate` samples a second.
    pub fn new(length: usize, rate: f64) -> Self {
        let fft = RealFftPlanner::<f64>::new().plan_fft_forward(length);
        let window = (0..length).map(|i| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / length as f64).cos()).collect();
        Self {
            rate,
            input: fft.make_input_vec(),
            output: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            window,
            power: vec![0.0; length / 2 + 1],
            spectrum_ready: false,
            moments: Moments::default(),
            fft,
        }
    }

    /// Takes a block; false (and nothing to ask) where its length is wrong or a value is not finite.
    pub fn load(&mut self, block: &[f64]) -> bool {
        self.spectrum_ready = false;
        if block.len() != self.input.len() || !block.iter().all(|x| x.is_finite()) {
            return false;
        }
        self.input.copy_from_slice(block);
        let n = block.len() as f64;
        let mean = block.iter().sum::<f64>() / n;
        let (mut m2, mut m4, mut min, mut max) = (0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
        for &x in block {
            let d2 = (x - mean) * (x - mean);
            m2 += d2;
            m4 += d2 * d2;
            min = f64::min(min, x);
            max = f64::max(max, x);
        }
        let (m2, m4) = (m2 / n, m4 / n);
        self.moments = Moments { mean, rms: (m2 + mean * mean).sqrt(), m2, m4, min, max };
        true
    }

    pub fn mean(&self) -> f64 {
        self.moments.mean
    }

    /// Root mean square, offset included.
    pub fn rms(&self) -> f64 {
        self.moments.rms
    }

    /// Largest absolute value over rms; NaN for a block of zeros.
    pub fn crest(&self) -> f64 {
        self.moments.max.abs().max(self.moments.min.abs()) / self.moments.rms
    }

    /// Fourth standardised moment: 3 for a Gaussian, 1.5 for a sine; NaN for a constant block.
    pub fn kurtosis(&self) -> f64 {
        self.moments.m4 / (self.moments.m2 * self.moments.m2)
    }

    pub fn peak_to_peak(&self) -> f64 {
        self.moments.max - self.moments.min
    }

    /// Natural logarithm of the power (unit squared) in `from..=to` Hz; NaN where there is none.
    ///
    /// Periodogram with Hann window, mean removed, scaled so that a sine of amplitude A gives A^2/2
    /// (Heinzel, Ruediger, Schilling 2002, equations 19 to 24).
    pub fn band(&mut self, from: f64, to: f64) -> f64 {
        if !self.spectrum_ready && !self.compute_spectrum() {
            return f64::NAN;
        }
        let step = self.rate / self.window.len() as f64;
        let first = (from / step).ceil().max(0.0) as usize;
        let last = ((to / step).floor() as usize).min(self.power.len() - 1);
        let power: f64 = if first <= last { self.power[first..=last].iter().sum() } else { 0.0 };
        if power > 0.0 { power.ln() } else { f64::NAN }
    }

    fn compute_spectrum(&mut self) -> bool {
        for (x, w) in self.input.iter_mut().zip(&self.window) {
            *x = (*x - self.moments.mean) * w;
        }
        if self.fft.process_with_scratch(&mut self.input, &mut self.output, &mut self.scratch).is_err() {
            return false;
        }
        let n = self.window.len() as f64;
        let squares: f64 = self.window.iter().map(|w| w * w).sum();
        let (last, even) = (self.power.len() - 1, self.window.len().is_multiple_of(2));
        for (k, (p, c)) in self.power.iter_mut().zip(&self.output).enumerate() {
            let sides = if k == 0 || (k == last && even) { 1.0 } else { 2.0 };
            *p = sides * c.norm_sqr() / (n * squares);
        }
        self.spectrum_ready = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(n: usize, rate: f64, hz: f64, amplitude: f64) -> Vec<f64> {
        (0..n).map(|i| amplitude * (std::f64::consts::TAU * hz * i as f64 / rate).sin()).collect()
    }

    #[test]
    fn statistics_of_a_sine_are_the_textbook_ones() {
        let mut w = Waveform::new(256, 2560.0);
        assert!(w.load(&sine(256, 2560.0, 50.0, 2.0)));
        assert!((w.rms() - 2.0f64.sqrt()).abs() < 1e-12);
        assert!((w.crest() - 2.0f64.sqrt()).abs() < 1e-2);
        assert!((w.kurtosis() - 1.5).abs() < 1e-9);
        assert!((w.peak_to_peak() - 4.0).abs() < 0.05);
        assert!((w.band(20.0, 80.0) - 2.0f64.ln()).abs() < 1e-9, "A^2/2 = 2");
        assert!(w.band(100.0, 1280.0) < -50.0);
    }

    #[test]
    fn broken_blocks_are_refused_and_constants_have_no_shape() {
        let mut w = Waveform::new(4, 10.0);
        assert!(!w.load(&[1.0, 2.0, 3.0]));
        assert!(!w.load(&[1.0, f64::NAN, 3.0, 4.0]));
        assert!(w.load(&[5.0; 4]));
        assert!(w.kurtosis().is_nan() && w.band(0.0, 5.0).is_nan());
        assert_eq!((w.rms(), w.crest()), (5.0, 1.0));
    }
}
