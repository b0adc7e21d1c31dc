//! Features of a machine: what models and monitors get.

use super::{Names, join};
use crate::config::raw::{RawFeature, RawSignal, Statistic};
use crate::config::read::Notes;
use crate::config::{FeatureConfig, FeatureKind, Shape, SignalConfig};

/// Frequency bands of a waveform by default.
const DEFAULT_BANDS: usize = 4;

/// All features, in the order of the signals; their names are unique.
pub(super) fn features(raw: &[RawSignal], signals: &[SignalConfig], machine: &str, notes: &mut Notes<'_>) -> Vec<FeatureConfig> {
    let mut names = Names::default();
    let mut features = Vec::new();
    for (index, (raw, signal)) in raw.iter().zip(signals).enumerate() {
        let path = format!("{machine}.signals[{index}].features");
        for (suffix, kind, at) in kinds(raw, signal, &path, notes) {
            let name = if kind == FeatureKind::Value { signal.name.to_string() } else { format!("{}_{suffix}", signal.name) };
            // A name that is taken already was said so at the signal.
            if !notes.faulty(&format!("{machine}.signals[{index}].name")) {
                names.claim(&name, at, "feature", notes);
            }
            features.push(FeatureConfig { name: name.into(), signal: index, kind, unit: unit(kind, signal) });
        }
    }
    features
}

/// Suffix of the name, kind, and the path for messages.
type Kind = (String, FeatureKind, String);

fn kinds(raw: &RawSignal, signal: &SignalConfig, path: &str, notes: &mut Notes<'_>) -> Vec<Kind> {
    let Some(list) = &raw.features else {
        return match signal.shape {
            Shape::Scalar => vec![(String::new(), FeatureKind::Value, path.to_string())],
            Shape::Block { length, rate } => default_kinds(length, rate, path),
        };
    };
    let checked = list.iter().enumerate().filter_map(|(i, raw)| kind(raw, signal, format!("{path}[{i}]"), notes));
    checked.collect()
}

/// rms, crest, kurtosis and bands.
fn default_kinds(length: usize, rate: f64, path: &str) -> Vec<Kind> {
    let statistics = [("rms", FeatureKind::Rms), ("crest", FeatureKind::Crest), ("kurtosis", FeatureKind::Kurtosis)];
    let statistics = statistics.into_iter().map(|(suffix, kind)| (suffix.to_string(), kind));
    let bands = default_bands(length, rate).into_iter().map(|(from, to)| (band_suffix(from, to), FeatureKind::Band { from, to }));
    statistics.chain(bands).map(|(suffix, kind)| (suffix, kind, path.to_string())).collect()
}

/// Bands of equal width on a logarithmic scale, from the lowest spectral line to half the rate; none for short blocks.
/// Inner edges are rounded to two digits.
fn default_bands(length: usize, rate: f64) -> Vec<(f64, f64)> {
    let (low, high) = (rate / length as f64, rate / 2.0);
    let edge = |i: usize| match i {
        0 => low,
        DEFAULT_BANDS => high,
        _ => two_digits(low * (high / low).powf(i as f64 / DEFAULT_BANDS as f64)),
    };
    let bands: Vec<_> = (0..DEFAULT_BANDS).map(|i| (edge(i), edge(i + 1))).collect();
    if bands.iter().all(|&(from, to)| lines_between(from, to, low) > 0) { bands } else { Vec::new() }
}

fn two_digits(x: f64) -> f64 {
    let unit = 10f64.powf(x.log10().floor() - 1.0);
    // Divides by a power of ten where there is one, so that 1.7 does not become 1.7000000000000002.
    if unit < 1.0 { (x / unit).round() / (1.0 / unit).round() } else { (x / unit).round() * unit }
}

/// Spectral lines (multiples of `spacing`) in the half-open band.
fn lines_between(from: f64, to: f64, spacing: f64) -> usize {
    let first = (from / spacing - 1e-9).ceil().max(0.0);
    let end = (to / spacing - 1e-9).ceil();
    if end > first { (end - first) as usize } else { 0 }
}

fn kind(raw: &RawFeature, signal: &SignalConfig, path: String, notes: &mut Notes<'_>) -> Option<Kind> {
    match (raw.statistic, &raw.band) {
        (Some(_), Some(_)) => {
            notes.fault(&path, "both a statistic and a band", Some("make them two features".to_string()));
            None
        }
        (Some(statistic), None) => statistic_kind(statistic, raw, signal, path, notes),
        (None, Some(band)) => band_kind(band, raw, signal, path, notes),
        (None, None) => {
            if !notes.has(&join(&path, "statistic")) && !notes.has(&join(&path, "band")) && !notes.faulty(&path) {
                notes.fault(&path, "neither a statistic nor a band", Some(r#"write "rms", or { band = [40.0, 60.0] }"#.to_string()));
            }
            None
        }
    }
}

fn statistic_kind(statistic: Statistic, raw: &RawFeature, signal: &SignalConfig, path: String, notes: &mut Notes<'_>) -> Option<Kind> {
    let (word, kind) = match statistic {
        Statistic::Value => ("value", FeatureKind::Value),
        Statistic::Mean => ("mean", FeatureKind::Mean),
        Statistic::Rms => ("rms", FeatureKind::Rms),
        Statistic::Crest => ("crest", FeatureKind::Crest),
        Statistic::Kurtosis => ("kurtosis", FeatureKind::Kurtosis),
        Statistic::PeakToPeak => ("peak_to_peak", FeatureKind::PeakToPeak),
    };
    match (kind, signal.shape) {
        (FeatureKind::Value, Shape::Block { .. }) => {
            let hint = "a waveform has mean, rms, crest, kurtosis, peak_to_peak and bands";
            notes.fault(&path, "a waveform has no single value: `value`", hint.to_string());
            return None;
        }
        (FeatureKind::Value, Shape::Scalar) | (_, Shape::Block { .. }) => {}
        (_, Shape::Scalar) => {
            let hint = r#"a scalar has only "value"; for a waveform add block = { length = 256, rate = 2560.0 } to the signal"#;
            notes.fault(&path, format!("only a waveform has this feature: `{word}`"), hint.to_string());
            return None;
        }
    }
    Some((suffix(raw, word.to_string(), &path, notes), kind, path))
}

fn band_kind(band: &[f64], raw: &RawFeature, signal: &SignalConfig, path: String, notes: &mut Notes<'_>) -> Option<Kind> {
    let at = join(&path, "band");
    let Shape::Block { length, rate } = signal.shape else {
        let hint = "add block = { length = 256, rate = 2560.0 } to the signal";
        notes.fault(&at, "only a waveform has frequency bands", hint.to_string());
        return None;
    };
    let &[from, to] = band else {
        notes.fault(&at, format!("not a band: `{band:?}`"), Some("write [from, to] in Hz".to_string()));
        return None;
    };
    let (spacing, nyquist) = (rate / length as f64, rate / 2.0);
    let shown = format!("`[{from}, {to}]`");
    if from < 0.0 || from >= to {
        notes.fault(&at, format!("not a band: {shown}"), Some("write [from, to] in Hz, ascending, from 0 on".to_string()));
    } else if to > nyquist {
        let hint = format!("with {rate} samples a second there is nothing above {nyquist} Hz (half the rate)");
        notes.fault(&at, format!("above the Nyquist frequency: {shown}"), hint);
    } else if lines_between(from, to, spacing) == 0 {
        let hint =
            format!("with {length} samples at {rate} Hz the spectral lines are {spacing} Hz apart: widen the band or lengthen the block");
        notes.fault(&at, format!("no spectral line lies in the band: {shown}"), hint);
    }
    Some((suffix(raw, band_suffix(from, to), &path, notes), FeatureKind::Band { from, to }, path))
}

fn suffix(raw: &RawFeature, default: String, path: &str, notes: &mut Notes<'_>) -> String {
    let Some(name) = &raw.name else { return default };
    notes.check_name(&join(path, "name"), name);
    name.clone()
}

/// `band40_60`, `band0p5_2`: no character that a node id must not have.
fn band_suffix(from: f64, to: f64) -> String {
    format!("band{from}_{to}").replace('.', "p").replace('-', "m")
}

fn unit(kind: FeatureKind, signal: &SignalConfig) -> String {
    match kind {
        FeatureKind::Value | FeatureKind::Mean | FeatureKind::Rms | FeatureKind::PeakToPeak => signal.unit.clone(),
        FeatureKind::Crest | FeatureKind::Kurtosis | FeatureKind::Band { .. } => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_bands_reach_from_the_first_line_to_half_the_rate() {
        assert_eq!(default_bands(256, 2560.0), [(10.0, 34.0), (34.0, 110.0), (110.0, 380.0), (380.0, 1280.0)]);
        assert_eq!(default_bands(16, 16.0), [(1.0, 1.7), (1.7, 2.8), (2.8, 4.8), (4.8, 8.0)]);
        assert_eq!(default_bands(8, 8.0), []);
    }

    #[test]
    fn lines_in_half_open_bands() {
        assert_eq!(lines_between(40.0, 60.0, 10.0), 2);
        assert_eq!(lines_between(41.0, 49.0, 10.0), 0);
        assert_eq!(lines_between(0.0, 1.0, 10.0), 1);
    }

    #[test]
    fn bands_have_names_that_nodes_can_have() {
        assert_eq!(band_suffix(40.0, 60.0), "band40_60");
        assert_eq!(band_suffix(0.5, 2.25), "band0p5_2p25");
    }
}
