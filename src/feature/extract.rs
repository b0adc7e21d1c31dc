use super::Waveform;
use crate::config::{FeatureKind, MachineConfig, Shape};
use crate::types::{Frame, Quality, Value};

/// The features of one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extracted {
    /// In the order of the machine's features; NaN where there is no usable value.
    pub values: Vec<f64>,
    /// Number of features that are missing.
    pub missing: usize,
    /// An input was Uncertain: judged, but a prediction on it is not trusted.
    pub uncertain: bool,
}

/// Computes the features of one machine. Keeps its buffers.
pub struct Extractor {
    plans: Vec<SignalPlan>,
}

struct SignalPlan {
    /// For waveforms.
    waveform: Option<Waveform>,
    /// Which features come from this signal: index and kind.
    features: Vec<(usize, FeatureKind)>,
}

impl Extractor {
    pub fn new(machine: &MachineConfig) -> Self {
        let plans = machine.signals.iter().enumerate().map(|(i, signal)| SignalPlan {
            waveform: match signal.shape {
                Shape::Scalar => None,
                Shape::Block { length, rate } => Some(Waveform::new(length, rate)),
            },
            features: machine.features.iter().enumerate().filter(|(_, f)| f.signal == i).map(|(k, f)| (k, f.kind)).collect(),
        });
        Self { plans: plans.collect() }
    }

    /// Fills `out` from a frame.
    pub fn extract(&mut self, frame: &Frame, out: &mut Extracted) {
        let features = self.plans.iter().map(|p| p.features.len()).sum();
        out.values.clear();
        out.values.resize(features, f64::NAN);
        out.uncertain = false;
        for (plan, channel) in self.plans.iter_mut().zip(&frame.channels) {
            let Some(value) = channel.usable() else { continue };
            plan.fill(value, &mut out.values);
            out.uncertain |= matches!(channel.quality, Quality::Uncertain(_)) && !plan.features.is_empty();
        }
        out.missing = out.values.iter().filter(|v| v.is_nan()).count();
    }
}

impl SignalPlan {
    fn fill(&mut self, value: &Value, out: &mut [f64]) {
        match &mut self.waveform {
            None => {
                if let Some(x) = value.number().filter(|x| x.is_finite()) {
                    for (k, _) in &self.features {
                        out[*k] = x;
                    }
                }
            }
            Some(waveform) => {
                let Some(block) = value.block() else { return };
                if !waveform.load(block) {
                    return;
                }
                for (k, kind) in &self.features {
                    let x = match *kind {
                        FeatureKind::Value | FeatureKind::Mean => waveform.mean(),
                        FeatureKind::Rms => waveform.rms(),
                        FeatureKind::Crest => waveform.crest(),
                        FeatureKind::Kurtosis => waveform.kurtosis(),
                        FeatureKind::PeakToPeak => waveform.peak_to_peak(),
                        FeatureKind::Band { from, to } => waveform.band(from, to),
                    };
                    out[*k] = if x.is_finite() { x } else { f64::NAN };
                }
            }
        }
    }
}
