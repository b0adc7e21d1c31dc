//! Verdict -> values of nodes: what of a machine has changed since it was last asked.
//!
//! The nodes are walked in the same order each time, so a value finds its node by its place: no look-up, no text made anew.
//! A value that was not sent yet waits, latched, for the next time.

mod buffers;
mod prediction;
mod slots;

use std::sync::Arc;

pub use self::slots::{ModelSlots, SlotView};
use super::NodeUpdate;
use crate::config::{FeatureKind, MachineConfig, Shape};
use crate::types::{
    BufferState, Cause, Channel, DriftKind, DriftStatus, Event, EventKind, Health, MonitorReport, PerformanceReport, Quality,
    RegimePerformance, RegimeState, ReportState, Scalar, SourceState, Statement, Timestamp, Verdict, reference_id,
};

/// What else is shown of a machine besides its verdict.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Latest values of the channels: signals, then settings.
    pub channels: Vec<Channel>,
    /// Time of what is no row's: the state of the source.
    pub now: Timestamp,
    /// Roll-up over the sources of the machine: the worst.
    pub source: Option<(SourceState, Timestamp)>,
    /// Rows learned and wanted.
    pub learning: Option<(usize, usize)>,
    /// SHA-256 of the active bundle as it was trained, hex, and its provenance: from, to.
    pub bundle: Option<(Arc<str>, Timestamp, Timestamp)>,
    /// SHA-256 of the active bundle with what was changed since, hex.
    pub bundle_hash: Arc<str>,
    /// Command codes that are possible now, a bit each.
    pub allowed: u32,
    /// Labels given by people so far, and when the last one came.
    pub labels: (u32, Timestamp),
    /// The bundles that are active, waiting and kept.
    pub slots: ModelSlots,
    /// Where each threshold comes from: of the data drift monitor's tests, then of each model's.
    pub origins: Vec<Vec<&'static str>>,
    /// What each monitor's calibration says of the delay of a drift; in the same order.
    pub delays: Vec<Arc<str>>,
    pub report: ReportView,
    /// Latency of the last inference and its 99 % quantile, ms.
    pub latency: (f64, f64),
    pub inferences: u32,
    /// Rows that a model should have scored, but did not.
    pub errors: u32,
    /// Faults that nobody has said the truth of, and the row of the last one (0: none yet).
    pub unlabelled: (u32, u64),
    /// Budgets that the thresholds in use keep; in the order of the monitors, empty for none.
    pub budgets: Vec<String>,
}

/// The last full report, and when the next one is due.
#[derive(Clone, Debug)]
pub struct ReportView {
    pub state: ReportState,
    /// Why it failed, or that there is none.
    pub state_text: Arc<str>,
    /// The verdict in one sentence.
    pub text: Arc<str>,
    pub last: Timestamp,
    pub next: Timestamp,
    pub features: u16,
    pub drifted: u16,
    pub checks_failed: u16,
    pub kept: u16,
    pub html: Arc<str>,
    pub json: Arc<str>,
}

impl Default for ReportView {
    fn default() -> Self {
        let empty: Arc<str> = "".into();
        Self {
            state: ReportState::None,
            state_text: "none yet".into(),
            text: empty.clone(),
            last: Timestamp::EPOCH,
            next: Timestamp::EPOCH,
            features: 0,
            drifted: 0,
            checks_failed: 0,
            kept: 0,
            html: empty.clone(),
            json: empty,
        }
    }
}

/// The values of one machine's nodes.
pub struct MachineView {
    config: Arc<MachineConfig>,
    nodes: Vec<Node>,
    cursor: usize,
    /// The last known value of each setting, and since when it has been that.
    settings: Vec<(Option<Scalar>, Timestamp)>,
}

struct Node {
    path: Arc<str>,
    value: Option<Scalar>,
    quality: Quality,
    time: Timestamp,
    dirty: bool,
}

impl MachineView {
    pub fn new(config: Arc<MachineConfig>) -> Self {
        Self { config, nodes: Vec::new(), cursor: 0, settings: Vec::new() }
    }

    /// The configuration after a parameter was written.
    pub fn set_config(&mut self, config: Arc<MachineConfig>) {
        self.config = config;
    }

    /// Takes the present state in.
    pub fn update(&mut self, verdict: &Verdict, beside: &Beside) {
        self.cursor = 0;
        let config = self.config.clone();
        let time = verdict.time;
        let mut w = Walk { view: self, time };
        let m = &*config.name;
        machine(&mut w, m, verdict, beside);
        channels(&mut w, m, &config, beside, verdict);
        regimes(&mut w, m, verdict, beside);
        for (k, model) in config.models.iter().enumerate() {
            models(&mut w, m, &model.name, k, verdict, beside);
            monitor(&mut w, &format!("{m}.Models.{}.PredictionDrift", model.name), &config, verdict, beside, 1 + k);
        }
        let labelled = config.models.iter().enumerate().filter(|(_, model)| model.performance.is_some());
        for (at, (k, model)) in labelled.enumerate() {
            let path = format!("{m}.Models.{}.PerformanceDrift", model.name);
            monitor(&mut w, &path, &config, verdict, beside, 1 + config.models.len() + at);
            performance(&mut w, m, &model.name, verdict.models[k].performance.as_ref(), verdict.regime.slot);
        }
        monitor(&mut w, &format!("{m}.Drift.DataDrift"), &config, verdict, beside, 0);
        features(&mut w, m, &config, verdict);
        checks(&mut w, m, &config, verdict);
        report(&mut w, m, &beside.report);
        buffers::show(&mut w, m, verdict);
        w.count(|| format!("{m}.Command.AllowedRequests"), beside.allowed);
        w.count(|| format!("{m}.Label.Labelled"), beside.labels.0);
        let (pending, last_fault) = beside.unlabelled;
        w.count(|| format!("{m}.Label.Pending"), pending);
        // Set at each fault, so that an operator labels what the alarm was about; in between it is the operator's.
        let id = if last_fault == 0 { String::new() } else { format!("{m}-{last_fault}") };
        w.words(|| format!("{m}.Label.PredictionId"), &id);
        w.moment(|| format!("{m}.Label.LastLabelTime"), beside.labels.1);
    }

    /// The values that have changed since they were last taken.
    pub fn take(&mut self) -> Vec<NodeUpdate> {
        let changed = self.nodes.iter_mut().filter(|n| n.dirty).map(|n| {
            n.dirty = false;
            NodeUpdate { path: n.path.clone(), value: n.value.clone(), quality: n.quality, time: n.time }
        });
        changed.collect()
    }

    /// Gives back what could not be sent.
    pub fn put_back(&mut self, updates: &[NodeUpdate]) {
        // In the order of the nodes, as they were taken.
        let mut nodes = self.nodes.iter_mut();
        for update in updates {
            if let Some(node) = nodes.find(|n| Arc::ptr_eq(&n.path, &update.path)) {
                node.dirty = true;
            }
        }
    }
}

/// One walk over the nodes.
struct Walk<'a> {
    view: &'a mut MachineView,
    time: Timestamp,
}

impl Walk<'_> {
    fn put(&mut self, path: impl FnOnce() -> String, value: Option<Scalar>, quality: Quality) {
        let (k, time) = (self.view.cursor, self.time);
        self.view.cursor += 1;
        match self.view.nodes.get_mut(k) {
            Some(node) if node.value == value && node.quality == quality => {}
            Some(node) => {
                (node.value, node.quality, node.time, node.dirty) = (value, quality, time, true);
            }
            None => self.view.nodes.push(Node { path: path().into(), value, quality, time, dirty: true }),
        }
    }

    /// When a setting last got another value; the epoch where no change was seen yet. A value that is not known is no change.
    fn setting_changed(&mut self, k: usize, value: Option<&Scalar>) -> Timestamp {
        if self.view.settings.len() <= k {
            self.view.settings.resize(k + 1, (None, Timestamp::EPOCH));
        }
        let (last, since) = &mut self.view.settings[k];
        if value.is_some() && last.as_ref() != value {
            if last.is_some() {
                *since = self.time;
            }
            *last = value.cloned();
        }
        *since
    }

    /// NaN is no value.
    fn number(&mut self, path: impl FnOnce() -> String, x: f64) {
        if x.is_finite() { self.put(path, Some(Scalar::F64(x)), Quality::Good) } else { self.put(path, None, Quality::Bad(Cause::NoData)) }
    }

    /// A number of such a quality; NaN is no value.
    fn number_as(&mut self, path: impl FnOnce() -> String, x: f64, quality: Quality) {
        if x.is_finite() { self.put(path, Some(Scalar::F64(x)), quality) } else { self.number(path, x) }
    }

    /// Without a value: Bad.
    fn maybe(&mut self, path: impl FnOnce() -> String, value: Option<Scalar>) {
        let quality = if value.is_some() { Quality::Good } else { Quality::Bad(Cause::NoData) };
        self.put(path, value, quality);
    }

    /// Of such a quality; without a value: Bad.
    fn maybe_as(&mut self, path: impl FnOnce() -> String, value: Option<Scalar>, quality: Quality) {
        let quality = if value.is_some() { quality } else { Quality::Bad(Cause::NoData) };
        self.put(path, value, quality);
    }

    fn text(&mut self, path: impl FnOnce() -> String, text: &Arc<str>) {
        self.put(path, Some(Scalar::Text(text.clone())), Quality::Good);
    }

    fn words(&mut self, path: impl FnOnce() -> String, text: &str) {
        let k = self.view.cursor;
        // Most texts stay: the old one is kept instead of a new one made.
        match self.view.nodes.get(k).and_then(|n| n.value.as_ref()) {
            Some(Scalar::Text(old)) if **old == *text => self.view.cursor += 1,
            _ => self.put(path, Some(Scalar::Text(text.into())), Quality::Good),
        }
    }

    fn code(&mut self, path: impl FnOnce() -> String, code: u16) {
        self.put(path, Some(Scalar::U16(code)), Quality::Good);
    }

    fn count(&mut self, path: impl FnOnce() -> String, n: u32) {
        self.put(path, Some(Scalar::U32(n)), Quality::Good);
    }

    fn flag(&mut self, path: impl FnOnce() -> String, flag: bool) {
        self.put(path, Some(Scalar::Bool(flag)), Quality::Good);
    }

    /// The epoch is no time.
    fn moment(&mut self, path: impl FnOnce() -> String, time: Timestamp) {
        if time == Timestamp::EPOCH {
            self.put(path, None, Quality::Bad(Cause::NoData));
        } else {
            self.put(path, Some(Scalar::Time(time)), Quality::Good);
        }
    }
}

fn machine(w: &mut Walk<'_>, m: &str, verdict: &Verdict, beside: &Beside) {
    let (source, last_good) = beside.source.unwrap_or((SourceState::Connecting, Timestamp::EPOCH));
    let slow = w.view.config.models.iter().find(|m| m.latency_budget.is_some_and(|b| beside.latency.1 > b.as_secs_f64() * 1e3));
    let slow = slow.map(|m| m.name.clone());
    let health = match source {
        SourceState::Connected if slow.is_some() => Health::Degraded,
        SourceState::Connected if verdict.row > 0 => Health::OK,
        SourceState::Connected | SourceState::Connecting => Health::Starting,
        _ => Health::Degraded,
    };
    // A source is lost and found between rows.
    w.time = beside.now.max(verdict.time);
    w.code(|| format!("{m}.Health"), health.code());
    let health_text = match &slow {
        Some(model) if health == Health::Degraded && source == SourceState::Connected => {
            format!("{}: inferences of {model} take longer than LatencyBudget", health.name())
        }
        _ if source == SourceState::Disabled => format!("{}: a source is switched off", health.name()),
        _ => health.name().into(),
    };
    w.words(|| format!("{m}.HealthText"), &health_text);
    w.code(|| format!("{m}.Source.State"), source.code());
    w.words(|| format!("{m}.Source.StateText"), source.name());
    w.moment(|| format!("{m}.Source.LastGoodTime"), last_good);
    w.time = verdict.time;
    prediction::roll_up(w, m, verdict);
    w.code(|| format!("{m}.Drift.Status"), verdict.status.code());
    w.words(|| format!("{m}.Drift.StatusText"), &status_text(verdict));
    w.number_as(|| format!("{m}.Drift.DriftIndex"), verdict.drift_index, machine_quality(verdict));
    let config = w.view.config.clone();
    w.text(|| format!("{m}.Drift.TopFeature"), &feature_name(&config, verdict.top_feature));
    let top = verdict.top_model.and_then(|k| config.models.get(usize::from(k))).map_or_else(|| "".into(), |f| f.name.clone());
    w.text(|| format!("{m}.Drift.TopModel"), &top);
    w.moment(|| format!("{m}.Drift.LastStatusChange"), verdict.last_change);
}

/// A value that was true at an earlier row, and is not judged at the present one.
const LAST_USABLE: Quality = Quality::Uncertain(Cause::LastUsable);

/// Of what a monitor has measured: Good while it goes on measuring.
fn index_quality(report: &MonitorReport) -> Quality {
    let judged = matches!(report.status, DriftStatus::OK | DriftStatus::Warning | DriftStatus::Drift);
    if judged && report.reason.is_none() { Quality::Good } else { LAST_USABLE }
}

/// Of the largest index: that of the monitor it comes from.
fn machine_quality(verdict: &Verdict) -> Quality {
    let from = verdict.monitors.iter().filter(|m| m.index == verdict.drift_index);
    if from.map(index_quality).any(Quality::is_good) { Quality::Good } else { LAST_USABLE }
}

fn status_text(verdict: &Verdict) -> String {
    let statements = verdict.models.iter().filter_map(|m| m.performance.as_ref());
    // What labels say comes first; a model that is worse before one that is fine.
    let statement = statements.max_by_key(|p| (p.statement.is_worse(), p.statement != Statement::Unknown));
    match (verdict.not_evaluated, statement) {
        (Some(reason), _) => format!("{}: {}", verdict.status, reason.text()),
        (None, Some(p)) if p.statement != Statement::Unknown => format!("{}: {}", verdict.status, p.statement.text(p.labels)),
        (None, _) => verdict.status.name().into(),
    }
}

fn feature_name(config: &MachineConfig, feature: Option<u16>) -> Arc<str> {
    feature.and_then(|k| config.features.get(usize::from(k))).map_or_else(|| "".into(), |f| f.name.clone())
}

/// Signals and settings. A waveform shows its rms where it has that feature, else nothing.
fn channels(w: &mut Walk<'_>, m: &str, config: &MachineConfig, beside: &Beside, verdict: &Verdict) {
    let unknown = Channel::default();
    for (k, signal) in config.signals.iter().enumerate() {
        let channel = beside.channels.get(k).unwrap_or(&unknown);
        let number = match signal.shape {
            Shape::Scalar => channel.usable().and_then(|v| v.number()),
            Shape::Block { .. } => {
                let rms = config.features.iter().position(|f| f.signal == k && f.kind == FeatureKind::Rms);
                rms.and_then(|f| verdict.features.get(f)).copied().filter(|x| x.is_finite() && channel.quality.is_usable())
            }
        };
        let quality = if number.is_none() && channel.quality.is_usable() { Quality::Bad(Cause::NoData) } else { channel.quality };
        w.put(|| format!("{m}.Signals.{}", signal.name), number.map(Scalar::F64), quality);
    }
    for (k, setting) in config.settings.iter().enumerate() {
        let channel = beside.channels.get(config.setting_channel(k)).unwrap_or(&unknown);
        let value = channel.usable().and_then(|v| match v {
            crate::types::Value::Text(text) => Some(Scalar::Text(text.clone())),
            other => other.number().map(Scalar::F64),
        });
        let changed = w.setting_changed(k, value.as_ref());
        w.put(|| format!("{m}.Settings.{}", setting.name), value, channel.quality);
        w.moment(|| format!("{m}.Settings.{}.LastChangedTime", setting.name), changed);
    }
}

fn regimes(w: &mut Walk<'_>, m: &str, verdict: &Verdict, beside: &Beside) {
    let regime = &verdict.regime;
    w.text(|| format!("{m}.Regimes.ActiveKey"), &regime.key);
    // 1 is R01; 0: in none.
    w.code(|| format!("{m}.Regimes.ActiveSlot"), regime.slot.map_or(0, |s| s + 1));
    w.code(|| format!("{m}.Regimes.ActiveState"), regime.state.code());
    w.words(|| format!("{m}.Regimes.ActiveStateText"), regime.state.name());
    w.moment(|| format!("{m}.Regimes.ActiveSince"), regime.since);
    w.number(|| format!("{m}.Regimes.EnvelopeDistance"), regime.distance);
    w.code(|| format!("{m}.Regimes.SlotsUsed"), verdict.regimes.iter().filter(|r| r.in_use).count() as u16);
    w.code(|| format!("{m}.Regimes.SlotsTotal"), verdict.regimes.len() as u16);
    for (k, slot) in verdict.regimes.iter().enumerate() {
        let r = |name: &str| format!("{m}.Regimes.R{:02}.{name}", k + 1);
        let learning = beside.learning.filter(|_| k == 0);
        let learned = learning.map_or(slot.rows_learned, |(rows, _)| rows as u32);
        let required = learning.map_or(slot.rows_required, |(_, rows)| rows as u32);
        w.flag(|| r("InUse"), slot.in_use);
        w.text(|| r("Key"), &slot.key);
        w.code(|| r("State"), slot.state.code());
        w.words(|| r("StateText"), slot.state.name());
        w.flag(|| r("InEnvelope"), slot.in_envelope);
        let present = regime.slot == Some(k as u16);
        let quality = if present { index_quality(&verdict.monitors[0]) } else { LAST_USABLE };
        // That nothing was judged here yet is true at any time.
        let of_status = if slot.drift_status == DriftStatus::NotEvaluated { Quality::Good } else { quality };
        w.put(|| r("DriftStatus"), Some(Scalar::U16(slot.drift_status.code())), of_status);
        w.number_as(|| r("DriftIndex"), slot.drift_index, quality);
        w.count(|| r("RowsLearned"), learned);
        w.count(|| r("RowsRequired"), required);
        w.number(|| r("LearnProgress"), (100.0 * f64::from(learned) / f64::from(required.max(1))).min(100.0));
        w.flag(|| r("ReferenceFrozen"), slot.in_use && slot.state != RegimeState::Learning && slot.state != RegimeState::NoReference);
        w.moment(|| r("LastSeen"), slot.last_seen);
        w.number(|| r("TotalTime"), slot.total_time);
        w.count(|| r("Occurrences"), slot.occurrences);
        let bundle = beside.bundle.as_ref().filter(|_| slot.in_use);
        let id = bundle.map_or_else(String::new, |(base, ..)| reference_id(base, k as u16, slot.revision));
        w.words(|| r("ReferenceId"), &id);
        let hash = bundle.map_or("", |(base, ..)| if slot.revision == 0 { base } else { &beside.bundle_hash });
        w.words(|| r("ReferenceHash"), hash);
        let trained = bundle.map_or(Timestamp::EPOCH, |(_, _, to)| *to);
        w.moment(|| r("ReferenceTime"), if slot.revision == 0 { trained } else { slot.changed });
    }
}

/// `Vibration_broadband up, Flux_rms wider`.
fn contributors(config: &MachineConfig, verdict: &Verdict) -> String {
    let name = |k: u16| config.features.get(usize::from(k)).map_or("", |f| &f.name);
    let words = verdict.contributors().into_iter().map(|(k, f)| format!("{} {}", name(k), f.direction.name()).trim_end().to_string());
    words.collect::<Vec<_>>().join(", ")
}

fn models(w: &mut Walk<'_>, m: &str, model: &str, k: usize, verdict: &Verdict, beside: &Beside) {
    let report = &verdict.models[k];
    beside.slots.show(w, &format!("{m}.Models.{model}"), model);
    let i = |name: &str| format!("{m}.Models.{model}.Inference.{name}");
    prediction::show(w, m, model, report);
    w.number(|| i("Latency"), beside.latency.0);
    w.number(|| i("LatencyP99"), beside.latency.1);
    w.count(|| i("InferenceCount"), beside.inferences);
    w.count(|| i("ErrorCount"), beside.errors);
}

/// Figures of the present regime, or of the one that the statement is of.
fn performance(w: &mut Walk<'_>, m: &str, model: &str, report: Option<&PerformanceReport>, slot: Option<u16>) {
    let p = |name: &str| format!("{m}.Models.{model}.PerformanceDrift.{name}");
    let at = report.and_then(|r| r.regimes.get(usize::from(slot.or(r.regime)?)));
    let number = |of: fn(&RegimePerformance) -> f64| at.map_or(f64::NAN, of);
    w.number(|| format!("{m}.Models.{model}.Inference.Confidence"), report.map_or(f64::NAN, |r| r.confidence));
    w.words(|| p("Statement"), &report.map_or_else(String::new, |r| r.statement.text(r.labels)));
    w.number(|| p("ErrorRate"), number(|r| r.window.error_rate()));
    w.number(|| p("ReferenceErrorRate"), number(|r| r.reference.error_rate()));
    w.number(|| p("Precision"), number(|r| r.window.precision()));
    w.number(|| p("Recall"), number(|r| r.window.recall()));
    w.count(|| p("LabelledRows"), at.map_or(0, |r| u32::try_from(r.total.total()).unwrap_or(u32::MAX)));
    w.number(|| p("EstimatedErrorRate"), number(|r| r.estimate));
    w.number(|| p("EstimatedErrorLimit"), number(|r| r.band.1));
}

fn monitor(w: &mut Walk<'_>, path: &str, config: &MachineConfig, verdict: &Verdict, beside: &Beside, k: usize) {
    let report: &MonitorReport = &verdict.monitors[k];
    let p = |name: &str| format!("{path}.{name}");
    w.code(|| p("Kind"), report.kind.code());
    w.code(|| p("Status"), report.status.code());
    w.words(|| p("StatusText"), report.status.name());
    if report.kind != DriftKind::PerformanceDrift {
        budget(w, path, config, beside, k);
    }
    w.words(|| p("StatusReason"), report.reason.map_or("", |r| r.text()));
    let quality = index_quality(report);
    w.number_as(|| p("DriftIndex"), report.index, quality);
    w.code(|| p("ConsecutiveCount"), report.consecutive);
    w.moment(|| p("WindowStart"), report.window_start);
    w.moment(|| p("WindowEnd"), report.window_end);
    w.moment(|| p("LastEvaluation"), report.last_evaluation);
    w.moment(|| p("LastStatusChange"), report.last_change);
    w.count(|| p("DriftCount"), report.drift_count);
    w.text(|| p("RegimeKey"), &verdict.regime.key);
    w.text(|| p("TopFeature"), &feature_name(config, report.top_feature));
    for slot in 0..4 {
        let t = |name: &str| format!("{path}.T{}.{name}", slot + 1);
        let test = report.tests.get(slot);
        w.flag(|| t("InUse"), test.is_some());
        w.words(|| t("Name"), test.map_or("", |t| t.name));
        w.number_as(|| t("Value"), test.map_or(f64::NAN, |t| t.value), quality);
        w.number_as(|| t("PValue"), test.map_or(f64::NAN, |t| t.p_value), quality);
        w.number_as(|| t("DriftIndex"), test.map_or(f64::NAN, |t| t.index), quality);
        match test.filter(|t| t.index.is_finite()) {
            Some(test) => w.put(|| t("Exceeded"), Some(Scalar::Bool(test.exceeded)), quality),
            None => w.maybe(|| t("Exceeded"), None),
        }
        let origin = beside.origins.get(k).and_then(|o| o.get(slot)).copied().unwrap_or("");
        w.words(|| t("ThresholdOrigin"), origin);
        // The calibrated one, where nobody has set another: the node of the parameter shows what is in use.
        if let Some(test) = test {
            w.number(|| t("Threshold"), test.threshold);
        }
    }
    if report.kind == DriftKind::DataDrift {
        w.words(|| p("Contributors"), &contributors(config, verdict));
    }
    let delay = beside.delays.get(k).cloned().unwrap_or_else(|| "".into());
    w.text(|| p("ExpectedDelay"), &delay);
    let slot = verdict.regime.slot.and_then(|slot| Some((slot, verdict.regimes.get(usize::from(slot))?.revision)));
    let reference = slot.zip(beside.bundle.as_ref()).map(|((slot, revision), (base, ..))| reference_id(base, slot, revision));
    w.words(|| p("ReferenceId"), &reference.unwrap_or_default());
}

/// The budget that the thresholds in use keep, and whether another one waits for its training.
fn budget(w: &mut Walk<'_>, path: &str, config: &MachineConfig, beside: &Beside, k: usize) {
    let kept = beside.budgets.get(k).map_or("", String::as_str);
    let monitor = k.checked_sub(1).map_or(Some(&config.data_drift), |model| config.models.get(model).map(|m| &m.prediction_drift));
    let wanted = monitor.and_then(|m| m.budget).map_or_else(String::new, |b| b.to_string());
    let text = match (wanted == kept, kept) {
        (true, _) => "",
        (false, "") => "from the next training on: the thresholds in use keep no budget",
        (false, _) => "from the next training on: the thresholds in use keep EffectiveValue",
    };
    w.words(|| format!("{path}.Budget.EffectiveValue"), kept);
    w.flag(|| format!("{path}.Budget.Pending"), wanted != kept);
    w.words(|| format!("{path}.Budget.PendingText"), text);
}

fn features(w: &mut Walk<'_>, m: &str, config: &MachineConfig, verdict: &Verdict) {
    let quality = index_quality(&verdict.monitors[0]);
    for (feature, report) in config.features.iter().zip(&verdict.feature_reports) {
        let f = |name: &str| format!("{m}.Drift.Features.{}.{name}", feature.name);
        let shown = if verdict.not_evaluated.is_some() { DriftStatus::NotEvaluated } else { report.status };
        w.code(|| f("Status"), shown.code());
        w.number_as(|| f("DriftIndex"), report.index, quality);
        w.number_as(|| f("Value"), report.value, quality);
        w.number_as(|| f("PValue"), report.p_value, quality);
        w.number_as(|| f("ReferenceMean"), report.reference_mean, quality);
        w.number_as(|| f("CurrentMean"), report.current_mean, quality);
        w.number_as(|| f("ReferenceStdDev"), report.reference_sd, quality);
        w.number_as(|| f("CurrentStdDev"), report.current_sd, quality);
        w.number_as(|| f("MissingRate"), 100.0 * report.missing, quality);
        w.number_as(|| f("Shift"), report.shift, quality);
        w.words(|| f("Direction"), if report.is_above() { report.direction.name() } else { "" });
        w.moment(|| f("Since"), report.since);
    }
}

/// A check that has not looked yet has no value: Bad.
/// Of the last look: it says nothing of the present row where that is not judged.
fn checks(w: &mut Walk<'_>, m: &str, config: &MachineConfig, verdict: &Verdict) {
    let quality = index_quality(&verdict.monitors[0]);
    let failed: Vec<&str> = verdict.checks.iter().filter(|c| c.passed == Some(false)).map(|c| &*c.name).collect();
    let looked = verdict.checks.iter().any(|c| c.passed.is_some());
    w.code(|| format!("{m}.Checks.Total"), verdict.checks.len() as u16);
    let of_look = if looked { quality } else { Quality::Good };
    w.put(|| format!("{m}.Checks.Failed"), Some(Scalar::U16(failed.len() as u16)), of_look);
    w.maybe_as(|| format!("{m}.Checks.AllPassed"), looked.then_some(Scalar::Bool(failed.is_empty())), quality);
    w.put(|| format!("{m}.Checks.FailedText"), Some(Scalar::Text(failed.join(", ").into())), of_look);
    for check in &verdict.checks {
        let c = |name: &str| format!("{m}.Checks.{}.{name}", check.name);
        w.maybe_as(|| c("Passed"), check.passed.map(Scalar::Bool), quality);
        w.number_as(|| c("Value"), check.value, quality);
        w.text(|| c("Feature"), &feature_name(config, check.feature));
        w.text(|| c("RegimeKey"), &check.regime);
        w.moment(|| c("LastEvaluation"), check.time);
        w.count(|| c("Evaluations"), u32::try_from(check.looks).unwrap_or(u32::MAX));
        w.count(|| c("Failures"), u32::try_from(check.failures).unwrap_or(u32::MAX));
    }
}

fn report(w: &mut Walk<'_>, m: &str, report: &ReportView) {
    let r = |name: &str| format!("{m}.Report.{name}");
    w.code(|| r("State"), report.state.code());
    w.text(|| r("StateText"), &report.state_text);
    w.moment(|| r("LastTime"), report.last);
    w.moment(|| r("NextTime"), report.next);
    w.text(|| r("Text"), &report.text);
    w.code(|| r("FeaturesTotal"), report.features);
    w.code(|| r("FeaturesDrifted"), report.drifted);
    w.code(|| r("ChecksFailed"), report.checks_failed);
    w.code(|| r("ReportsKept"), report.kept);
    w.text(|| r("Html"), &report.html);
    w.text(|| r("Json"), &report.json);
}

/// Panels can show ASCII only.
pub fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' }).collect()
}

fn or_none(version: &str) -> &str {
    if version.is_empty() { "none" } else { version }
}

/// An event in one ASCII sentence, for panels, the log and the terminal; `None` where nobody needs to read it.
pub fn sentence(event: &Event) -> Option<String> {
    let of = |regime: &Option<Arc<str>>| regime.as_deref().map(|r| format!(" at {r}")).unwrap_or_default();
    Some(match &event.kind {
        EventKind::Status { monitor, status, reason, regime, feature, .. } => {
            let feature = feature.as_deref().map(|f| format!(", most in {f}")).unwrap_or_default();
            let reason = reason.map(|r| format!(" ({})", r.text())).unwrap_or_default();
            let what = if &**monitor == "machine" { "machine" } else { monitor };
            format!("{} {what}: {status}{}{feature}{reason}", event.unit, if reason.is_empty() { of(regime) } else { String::new() })
        }
        EventKind::Regime { state, key, .. } => format!("{} settings: {state} {key}", event.unit),
        EventKind::Fault { model, active: true, regime, feature, .. } => {
            let feature = feature.as_deref().map(|f| format!(", driven by {f}")).unwrap_or_default();
            format!("{} FAULT detected by {model}{}{feature}", event.unit, of(regime))
        }
        EventKind::Fault { model, active: false, .. } => format!("{} fault is over ({model})", event.unit),
        EventKind::Buffer { slot, state: BufferState::Idle, rows, regime, .. } => {
            format!("{} buffer B{:02}: the warning{} has faded, its {rows} rows are not kept", event.unit, slot + 1, of(regime))
        }
        EventKind::Buffer { slot, state, rows, regime, .. } => {
            format!("{} buffer B{:02}: {state}{}, {rows} rows", event.unit, slot + 1, of(regime))
        }
        EventKind::Reference { regime, rows } => format!("{} reference learned for {regime} from {rows} rows", event.unit),
        EventKind::Parameter { path, old, new, user, refused: None } => format!("{path}: {old} -> {new} by {user}"),
        EventKind::Parameter { path, new, user, refused: Some(why), .. } => format!("{path}: {new} by {user} refused: {why}"),
        EventKind::Statement { model, statement, labels, regime, .. } => {
            format!("{} {model}: {}{}", event.unit, statement.text(*labels), of(regime))
        }
        EventKind::Note { text } => text.clone(),
        EventKind::Refused { user, address, action, target, reason, .. } => {
            let target = if target.is_empty() { String::new() } else { format!(" {target}") };
            format!("refused: {action}{target} by {user} from {address}: {reason}")
        }
        EventKind::Session { user, address, roles } => format!("{user} has logged in from {address} as {roles}"),
        // What was done to an alarm is told by a note.
        EventKind::Command { path, refused: None, .. } if is_of_alarm(path) => return None,
        EventKind::Command { command, user, operator, result, refused, .. } => {
            let who = if operator.is_empty() { user.to_string() } else { format!("{operator} ({user})") };
            match refused {
                Some(why) => ascii(&format!("{} {command} by {who} refused: {why}", event.unit)),
                None if result.is_empty() => ascii(&format!("{} {command} by {who}", event.unit)),
                None => ascii(&format!("{} {command} by {who}: {result}", event.unit)),
            }
        }
        EventKind::ReferenceChanged { regime, old, new, reason, user } => {
            ascii(&format!("{} reference of {regime} {reason} by {user}: {old} -> {new}", event.unit))
        }
        EventKind::ModelChanged { old, new, reason, user, .. } => {
            let by = if user.is_empty() { String::new() } else { format!(" by {user}") };
            let change = if old == new { new.to_string() } else { format!("{} -> {}", or_none(old), or_none(new)) };
            ascii(&format!("{} model {change}{by}: {reason}", event.unit))
        }
        EventKind::Label { prediction, class, user, .. } => ascii(&format!("{} label {class} for {prediction} by {user}", event.unit)),
        EventKind::Contributors { monitor, features, .. } => {
            let named: Vec<_> = features.iter().map(|f| format!("{} {} since {}", f.feature, f.direction.name(), f.since)).collect();
            format!("{} {monitor} driven by {}", event.unit, named.join(", "))
        }
        EventKind::Check { check, passed, regime, feature, value, limit } => {
            let feature = feature.as_deref().map(|f| format!(" of {f}")).unwrap_or_default();
            let (verb, sign) = if *passed { ("passes again", "<=") } else { ("FAILS", ">") };
            format!("{} check {check} {verb}{}: {value:.4}{feature} {sign} {limit}", event.unit, of(regime))
        }
    })
}

fn is_of_alarm(path: &str) -> bool {
    let method = path.rsplit_once('.').and_then(|(alarm, method)| alarm.ends_with("Alarm").then_some(method));
    matches!(method, Some("Acknowledge" | "AddComment" | "Enable" | "Disable"))
}
