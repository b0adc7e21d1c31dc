//! Machines: their clock, channels, models and monitors.

use std::sync::Arc;

use super::{Names, bounds, channel, checks, feature, join, monitor, writes};
use crate::config::raw::{Kind, RawLabel, RawMachine, RawModel, RawPerformance};
use crate::config::read::Notes;
use crate::config::{
    BufferConfig, Comparison, Condition, Conditioning, FeatureConfig, FrameClock, MAX_CONTINUOUS, MachineConfig, ModelConfig, ModelKind,
    PerformanceConfig, SampleConfig, SettingConfig, Shape, SignalConfig, SourceConfig, StoreConfig,
};

const MOST_CLASSES: usize = 100;
/// Characters of the name of a class.
const CLASS_LENGTH: usize = 40;
/// Names that the address space uses itself at the root.
const RESERVED: &[&str] = &["Gateway", "Server"];

pub(super) fn machine(
    mut raw: RawMachine,
    path: &str,
    sources: &[SourceConfig],
    store: &StoreConfig,
    notes: &mut Notes<'_>,
) -> MachineConfig {
    let name = notes.name(raw.name.take(), path);
    if RESERVED.contains(&&*name) {
        notes.fault(&join(path, "name"), format!("the address space uses this name itself: `{name}`"), Some("choose another".to_string()));
    }
    let raw_signals = raw.signals.take().unwrap_or_default();
    let signals: Vec<SignalConfig> =
        raw_signals.iter().enumerate().map(|(i, raw)| channel::signal(raw, &format!("{path}.signals[{i}]"), sources, notes)).collect();
    let settings: Vec<SettingConfig> = (raw.settings.take().unwrap_or_default().into_iter().enumerate())
        .map(|(i, raw)| channel::setting(raw, &format!("{path}.settings[{i}]"), sources, notes))
        .collect();
    check_channels(&signals, &settings, path, notes);
    let features = feature::features(&raw_signals, &signals, path, notes);
    let frame = frame_clock(&raw, &signals, path, notes);
    let max_age = notes.span_within(&join(path, "max_age"), raw.max_age, bounds::MAX_AGE);
    let machine = MachineConfig {
        frame,
        max_age,
        settle: notes.span_within(&join(path, "settle"), raw.settle, bounds::SETTLE),
        active_when: raw.active_when.as_deref().and_then(|text| condition(text, &signals, &settings, path, notes)),
        regime_slots: notes.within(&join(path, "regime_slots"), raw.regime_slots, bounds::REGIME_SLOTS),
        classes: classes(raw.classes.take().unwrap_or_default(), &join(path, "classes"), notes),
        min_reference_rows: notes.within(&join(path, "min_reference_rows"), raw.min_reference_rows, bounds::MIN_REFERENCE_ROWS),
        learn_rows: notes.within(&join(path, "learn_rows"), raw.learn_rows, bounds::LEARN_ROWS),
        baseline_rows: notes.within(&join(path, "baseline_rows"), raw.baseline_rows, bounds::BASELINE_ROWS),
        freeze_after_learning: raw.freeze_after_learning.unwrap_or(true),
        auto_learn_new_regime: raw.auto_learn_new_regime.unwrap_or(false),
        models: models(raw.models.take().unwrap_or_default(), &features, sources, path, notes),
        data_drift: monitor::monitor(raw.data_drift.take(), &join(path, "data_drift"), notes),
        checks: checks::checks(raw.checks.take().unwrap_or_default(), &features, path, notes),
        writes: writes::writes(raw.writes.take().unwrap_or_default(), (frame, max_age), path, sources, notes),
        report: checks::report(raw.report.take().unwrap_or_default(), &join(path, "report"), notes),
        buffers: buffers(&mut raw, path, store, notes),
        name,
        signals,
        settings,
        features,
    };
    if let Some((message, hint)) = learn_fault(machine.learn_rows, machine.min_reference_rows) {
        notes.fault(&join(path, "learn_rows"), message, hint);
    }
    check_paths(&machine, path, notes);
    machine
}

/// Names of the classes of labels: each can stand in a list, and is no number.
fn classes(names: Vec<String>, at: &str, notes: &mut Notes<'_>) -> Vec<Arc<str>> {
    if names.len() > MOST_CLASSES {
        notes.fault(at, format!("too many classes: `{}`", names.len()), Some(format!("at most {MOST_CLASSES}")));
    }
    let is_name = |name: &str| {
        let plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !";=,".contains(c);
        (1..=CLASS_LENGTH).contains(&name.len()) && name.chars().all(plain) && name.trim() == name && name.parse::<f64>().is_err()
    };
    for (i, name) in names.iter().enumerate() {
        if !is_name(name) {
            let hint = format!("1 to {CLASS_LENGTH} ASCII characters without `;` `=` `,`, no number");
            notes.fault(&format!("{at}[{i}]"), format!("no name of a class: `{name}`"), Some(hint));
        } else if names[..i].contains(name) {
            notes.fault(&format!("{at}[{i}]"), format!("used twice: `{name}`"), Some("each class has a name of its own".to_string()));
        }
    }
    names.into_iter().map(Arc::from).collect()
}

/// What is wrong with learning from so many rows, and what to do.
pub(in crate::config) fn learn_fault(learn_rows: u32, min_reference_rows: u32) -> Option<(String, String)> {
    (learn_rows > 0 && learn_rows < min_reference_rows).then(|| {
        let message = format!("fewer rows than min_reference_rows ({min_reference_rows}): `{learn_rows}`");
        (message, "nothing would ever be monitored: learn from more rows, or lower min_reference_rows".to_string())
    })
}

/// Signals there are, and names that are used once over signals and settings.
fn check_channels(signals: &[SignalConfig], settings: &[SettingConfig], path: &str, notes: &mut Notes<'_>) {
    if signals.is_empty() && !notes.faulty(&join(path, "signals")) && !notes.faulty(path) {
        notes.fault(&join(path, "signals"), "no signal", Some("add a table [[machines.signals]]".to_string()));
    }
    let total = signals.len() + settings.len();
    if total > bounds::MAX_CHANNELS {
        let hint = format!("at most {}", bounds::MAX_CHANNELS);
        notes.fault(&join(path, "signals"), format!("too many signals and settings: `{total}`"), hint);
    }
    let mut continuous = settings.iter().enumerate().filter(|(_, s)| matches!(s.conditioning, Conditioning::Regression(_)));
    if let Some((i, setting)) = continuous.nth(MAX_CONTINUOUS) {
        let hint = format!("at most {MAX_CONTINUOUS}: more would need more rows than there are; leave out what matters least");
        notes.fault(&format!("{path}.settings[{i}].regression"), format!("too many settings with regression: `{}`", setting.name), hint);
    }
    let mut names = Names::default();
    for (i, signal) in signals.iter().enumerate() {
        names.claim(&signal.name, format!("{path}.signals[{i}].name"), "signal or setting", notes);
    }
    for (i, setting) in settings.iter().enumerate() {
        names.claim(&setting.name, format!("{path}.settings[{i}].name"), "signal or setting", notes);
    }
}

fn frame_clock(raw: &RawMachine, signals: &[SignalConfig], path: &str, notes: &mut Notes<'_>) -> FrameClock {
    let period = notes.span_within(&join(path, "period"), raw.period, bounds::PERIOD);
    let Some(trigger) = &raw.trigger else {
        return FrameClock::Period(period);
    };
    let at = join(path, "trigger");
    if raw.period.is_some() {
        notes.fault(&at, format!("both a trigger and a period: `{trigger}`"), Some("keep one of them".to_string()));
    }
    match signals.iter().position(|s| *s.name == **trigger) {
        Some(index) => FrameClock::Trigger(index),
        None => {
            notes.unknown_word(&at, "signal", trigger, &signals.iter().map(|s| &*s.name).collect::<Vec<_>>());
            FrameClock::Period(period)
        }
    }
}

/// Longest first, so that `<=` is not read as `<`.
const COMPARISONS: &[(&str, Comparison)] = &[
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

fn condition(text: &str, signals: &[SignalConfig], settings: &[SettingConfig], machine: &str, notes: &mut Notes<'_>) -> Option<Condition> {
    let path = join(machine, "active_when");
    let parts = COMPARISONS.iter().filter_map(|(word, op)| text.split_once(word).map(|(name, value)| (name.trim(), *op, value.trim())));
    let parsed = parts.min_by_key(|(name, ..)| name.len()).and_then(|(name, op, value)| Some((name, op, number(value)?)));
    let Some((name, op, value)) = parsed else {
        let hint = "write a signal or setting, one of < <= > >= == !=, and a number, like \"Speed > 100\"";
        notes.fault(&path, format!("not a condition: `{text}`"), hint.to_string());
        return None;
    };
    let known: Vec<&str> = signals.iter().map(|s| &*s.name).chain(settings.iter().map(|s| &*s.name)).collect();
    let Some(channel) = known.iter().position(|k| *k == name) else {
        notes.unknown_word(&path, "signal or setting", name, &known);
        return None;
    };
    if matches!(signals.get(channel), Some(SignalConfig { shape: Shape::Block { .. }, .. })) {
        notes.fault(&path, format!("a waveform cannot be compared: `{name}`"), Some("use a scalar signal or a setting".to_string()));
    }
    Some(Condition { channel, op, value })
}

fn number(text: &str) -> Option<f64> {
    match text {
        "true" => Some(1.0),
        "false" => Some(0.0),
        _ => text.parse().ok().filter(|x: &f64| x.is_finite()),
    }
}

fn models(
    raw: Vec<RawModel>,
    features: &[FeatureConfig],
    sources: &[SourceConfig],
    machine: &str,
    notes: &mut Notes<'_>,
) -> Vec<ModelConfig> {
    let mut names = Names::default();
    let check = |(i, raw)| {
        let path = format!("{machine}.models[{i}]");
        let model = model(raw, features, sources, &path, notes);
        names.claim(&model.name, join(&path, "name"), "model", notes);
        model
    };
    raw.into_iter().enumerate().map(check).collect()
}

fn model(mut raw: RawModel, features: &[FeatureConfig], sources: &[SourceConfig], path: &str, notes: &mut Notes<'_>) -> ModelConfig {
    let name = notes.name(raw.name.take(), path);
    let performance = performance(raw.label.take(), raw.performance_drift.take(), &name, path, sources, notes);
    let contamination = raw.contamination.unwrap_or(bounds::CONTAMINATION);
    if !(0.0..0.5).contains(&contamination) {
        notes.fault(&join(path, "contamination"), format!("out of range: `{contamination}`"), Some("at least 0, below 0.5".to_string()));
    }
    if let Some(threshold) = raw.score_threshold.filter(|t| *t <= 0.0 || *t > bounds::SCORE_THRESHOLD) {
        let hint = format!("greater than 0, at most {}; leave it out for the threshold from training", bounds::SCORE_THRESHOLD);
        notes.fault(&join(path, "score_threshold"), format!("out of range: `{threshold}`"), hint);
    }
    let explained = raw.explained.unwrap_or(bounds::EXPLAINED);
    if !(explained > 0.0 && explained < 1.0) {
        notes.fault(&join(path, "explained"), format!("out of range: `{explained}`"), "greater than 0, below 1".to_string());
    }
    let nu = raw.nu.unwrap_or(bounds::NU);
    if !(nu > 0.0 && nu <= 0.5) {
        notes.fault(&join(path, "nu"), format!("out of range: `{nu}`"), "greater than 0, at most 0.5".to_string());
    }
    ModelConfig {
        name,
        kind: match raw.kind.unwrap_or(Kind::IsolationForest) {
            Kind::IsolationForest => ModelKind::IsolationForest {
                trees: notes.within(&join(path, "trees"), raw.trees, bounds::TREES),
                samples: notes.within(&join(path, "samples"), raw.samples, bounds::SAMPLES),
                seed: raw.seed.unwrap_or(bounds::SEED),
            },
            Kind::KMeans => ModelKind::KMeans {
                clusters: notes.within(&join(path, "clusters"), raw.clusters, bounds::CLUSTERS),
                seed: raw.seed.unwrap_or(bounds::SEED),
            },
            Kind::GaussianMixture => ModelKind::GaussianMixture {
                clusters: notes.within(&join(path, "clusters"), raw.clusters, bounds::CLUSTERS),
                seed: raw.seed.unwrap_or(bounds::SEED),
            },
            Kind::Pca => ModelKind::Pca { explained },
            Kind::OneClassSvm => ModelKind::OneClassSvm { nu, seed: raw.seed.unwrap_or(bounds::SEED) },
        },
        inputs: inputs(raw.inputs, features, path, notes),
        contamination,
        score_threshold: raw.score_threshold,
        fault_rows: notes.within(&join(path, "fault_rows"), raw.fault_rows, bounds::FAULT_ROWS),
        confirmation_timeout: notes.span_within(
            &join(path, "confirmation_timeout"),
            raw.confirmation_timeout,
            bounds::CONFIRMATION_TIMEOUT,
        ),
        latency_budget: Some(notes.span_within(&join(path, "latency_budget"), raw.latency_budget, bounds::LATENCY_BUDGET))
            .filter(|b| !b.is_zero()),
        prediction_drift: monitor::monitor(raw.prediction_drift, &join(path, "prediction_drift"), notes),
        performance,
    }
}

/// Labels and the monitor of the model's errors; the monitor alone has nothing to watch.
fn performance(
    label: Option<RawLabel>,
    drift: Option<RawPerformance>,
    model: &str,
    path: &str,
    sources: &[SourceConfig],
    notes: &mut Notes<'_>,
) -> Option<PerformanceConfig> {
    let at = join(path, "performance_drift");
    if label.is_none() && drift.is_some() {
        let hint = "say where labels come from: add a table [machines.models.label]";
        notes.fault(&at, "performance cannot be watched without labels", hint.to_string());
    }
    let label = channel::label(label?, model, &join(path, "label"), sources, notes);
    Some(PerformanceConfig { label, drift: monitor::performance(drift.unwrap_or_default(), &at, notes) })
}

fn inputs(raw: Option<Vec<String>>, features: &[FeatureConfig], model: &str, notes: &mut Notes<'_>) -> Vec<usize> {
    let path = join(model, "inputs");
    if raw.as_ref().map_or(features.is_empty() && !notes.has(&path), Vec::is_empty) {
        notes.fault(&path, "a model without inputs", Some("name features, or leave the key out for all features".to_string()));
    }
    let Some(names) = raw else {
        return (0..features.len()).collect();
    };
    let known: Vec<&str> = features.iter().map(|f| &*f.name).collect();
    let mut indexes = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let at = format!("{path}[{i}]");
        match known.iter().position(|k| k == name) {
            Some(index) if indexes.contains(&index) => notes.fault(&at, format!("input given twice: `{name}`"), None),
            Some(index) => indexes.push(index),
            None => notes.unknown_word(&at, "feature", name, &known),
        }
    }
    indexes
}

fn buffers(raw: &mut RawMachine, machine: &str, store: &StoreConfig, notes: &mut Notes<'_>) -> BufferConfig {
    let raw = raw.buffers.take().unwrap_or_default();
    let path = join(machine, "buffers");
    let target_rows = notes.within(&join(&path, "target_rows"), raw.target_rows, bounds::TARGET_ROWS);
    let rows_before = notes.within(&join(&path, "rows_before"), raw.rows_before, bounds::ROWS_BEFORE);
    let rows = u64::from(target_rows) + u64::from(rows_before);
    if rows > u64::from(store.feature_rows) {
        let message = format!("target_rows and rows_before are more than the store keeps: `{rows}`");
        let hint = format!("store.feature_rows is {}: raise it, or lower these", store.feature_rows);
        notes.fault(&join(&path, "target_rows"), message, hint);
    }
    BufferConfig {
        target_rows,
        rows_before,
        export_format: raw.export_format.unwrap_or_default(),
        auto_export: raw.auto_export.unwrap_or(true),
        collect_outside: raw.collect_outside.unwrap_or(false),
        samples: raw.sample_every.map(|_| SampleConfig {
            every: notes.span_within(&join(&path, "sample_every"), raw.sample_every, bounds::SAMPLE_EVERY),
            rows: notes.within(&join(&path, "sample_rows"), raw.sample_rows, bounds::SAMPLE_ROWS),
            export: notes.span_within(&join(&path, "sample_export"), raw.sample_export, bounds::SAMPLE_EXPORT),
        }),
    }
}

/// Node ids are texts of limited length: panels cut longer ones.
fn check_paths(machine: &MachineConfig, path: &str, notes: &mut Notes<'_>) {
    let name = &machine.name;
    let mut check = |at: String, node: String| {
        if node.len() > bounds::MAX_PATH {
            let hint = format!("{} characters, at most {}: shorten a name", node.len(), bounds::MAX_PATH);
            notes.fault(&at, format!("a node id would be too long: `{node}`"), hint);
        }
    };
    for feature in &machine.features {
        let at = format!("{path}.signals[{}].name", feature.signal);
        check(at, format!("{name}.Drift.Features.{}.ReferenceStdDev", feature.name));
    }
    for (i, named) in machine.checks.iter().enumerate() {
        check(format!("{path}.checks[{i}].name"), format!("{name}.Checks.{}.Limit.LastChangedTime", named.name));
    }
    for (i, model) in machine.models.iter().enumerate() {
        let at = format!("{path}.models[{i}].name");
        let monitor = if model.performance.is_some() { "PerformanceDrift" } else { "PredictionDrift" };
        check(at, format!("{name}.Models.{}.{monitor}.T1.Threshold.LastChangedTime", model.name));
    }
}
