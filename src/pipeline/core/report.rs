//! Fills the verdict from the state: in place, so that an ordinary row allocates nothing.

use std::sync::Arc;

use super::{MachineCore, ModelState};
use crate::config::{MachineConfig, MonitorConfig};
use crate::drift::performance::Performance;
use crate::drift::{Evaluation, Monitor, MonitorParams, TestResult};
use crate::types::{
    Contributor, Direction, DriftKind, DriftStatus, EventKind, FeatureReport, ModelReport, MonitorReport, NotEvaluated, RegimeReport,
    RegimeSlotReport, RegimeState, TestReport, Timestamp, Trust, Verdict,
};

/// A feature before its first evaluation.
const UNKNOWN: FeatureReport = FeatureReport {
    status: DriftStatus::NotEvaluated,
    index: f64::NAN,
    value: f64::NAN,
    p_value: f64::NAN,
    reference_mean: f64::NAN,
    reference_sd: f64::NAN,
    current_mean: f64::NAN,
    current_sd: f64::NAN,
    missing: f64::NAN,
    shift: f64::NAN,
    direction: Direction::None,
    since: Timestamp::EPOCH,
};

/// How much larger the index of another feature must be to become the top one: equal ones do not take turns.
const TOP_MARGIN: f64 = 1.25;

/// A verdict before the first row.
pub fn empty(config: &MachineConfig) -> Verdict {
    let nan = f64::NAN;
    let models = config.models.iter();
    let data = monitor("DataDrift".into(), DriftKind::DataDrift, &config.data_drift);
    let prediction = models.map(|m| {
        let name = format!("{}.PredictionDrift", m.name);
        monitor(name.into(), DriftKind::PredictionDrift, &m.prediction_drift)
    });
    let performance = config.models.iter().filter_map(|m| {
        let name = format!("{}.PerformanceDrift", m.name);
        Some(monitor(name.into(), DriftKind::PerformanceDrift, &m.performance.as_ref()?.drift))
    });
    let model = |labelled: bool| ModelReport {
        score: nan,
        threshold: nan,
        anomaly: false,
        fault: false,
        scored: None,
        own_threshold: nan,
        trust: Trust::NoModel,
        performance: labelled.then(super::performance::empty),
    };
    Verdict {
        row: 0,
        time: Timestamp::EPOCH,
        regime: RegimeReport { state: RegimeState::NoReference, slot: None, key: "".into(), since: Timestamp::EPOCH, distance: nan },
        not_evaluated: Some(NotEvaluated::NoReference),
        features: vec![nan; config.features.len()],
        adjusted: vec![nan; config.features.len()],
        status: DriftStatus::NotEvaluated,
        drift_index: nan,
        top_feature: None,
        top_model: None,
        last_change: Timestamp::EPOCH,
        monitors: std::iter::once(data).chain(prediction).chain(performance).collect(),
        feature_reports: vec![UNKNOWN; config.features.len()],
        models: config.models.iter().map(|m| model(m.performance.is_some())).collect(),
        regimes: Vec::new(),
        buffers: super::buffers::Buffers::new(config).reports(),
        checks: super::checks::reports(config),
    }
}

fn monitor(name: Arc<str>, kind: DriftKind, config: &MonitorConfig) -> MonitorReport {
    let tests = config.tests.iter().map(|t| TestReport {
        name: t.metric.name(),
        value: f64::NAN,
        p_value: f64::NAN,
        threshold: f64::NAN,
        index: f64::NAN,
        exceeded: false,
    });
    MonitorReport {
        name,
        kind,
        status: DriftStatus::NotEvaluated,
        reason: None,
        index: f64::NAN,
        consecutive: 0,
        tests: tests.collect(),
        top_feature: None,
        window_start: Timestamp::EPOCH,
        window_end: Timestamp::EPOCH,
        last_evaluation: Timestamp::EPOCH,
        last_change: Timestamp::EPOCH,
        drift_count: 0,
        evaluated: false,
    }
}

/// The owner of a report: what watches the features or a score, or what holds labels against predictions.
#[derive(Copy, Clone)]
enum Watcher<'a> {
    Distribution(&'a Monitor),
    Labels(&'a Performance),
}

/// The owner of report `k`: data, then the scores of all models, then the performance of those with labels.
fn watcher<'a>(data: &'a Monitor, models: &'a [ModelState], k: usize) -> Watcher<'a> {
    match k {
        0 => Watcher::Distribution(data),
        k if k <= models.len() => Watcher::Distribution(&models[k - 1].monitor),
        k => {
            let labelled = models.iter().filter_map(|m| m.performance.as_ref()).nth(k - 1 - models.len());
            labelled.map_or(Watcher::Distribution(data), |p| Watcher::Labels(&p.monitor))
        }
    }
}

impl<'a> Watcher<'a> {
    fn params(self) -> &'a MonitorParams {
        match self {
            Self::Distribution(m) => m.params(),
            Self::Labels(p) => p.params(),
        }
    }

    fn tests(self) -> &'a [TestResult] {
        match self {
            Self::Distribution(m) => m.tests(),
            Self::Labels(p) => p.tests(),
        }
    }

    fn last(self) -> Option<&'a Evaluation> {
        match self {
            Self::Distribution(m) => m.last(),
            Self::Labels(p) => p.last(),
        }
    }

    fn status(self) -> Option<DriftStatus> {
        match self {
            Self::Distribution(m) => m.status(),
            Self::Labels(p) => p.status(),
        }
    }

    fn worst_slot(self) -> Option<u16> {
        match self {
            Self::Distribution(m) => m.worst_slot(),
            Self::Labels(p) => p.worst_slot(),
        }
    }

    /// `slot` is the present regime; labels may be of another one.
    fn consecutive(self, slot: Option<u16>) -> Option<u16> {
        match self {
            Self::Distribution(m) => slot.map(|s| m.consecutive(s)),
            Self::Labels(p) => p.last().map(|l| p.consecutive(l.slot)),
        }
    }

    /// Why a row that is judged has no status.
    fn reason(self) -> Option<NotEvaluated> {
        match self {
            Self::Labels(p) if p.params().enabled && p.status().is_none() && p.total() == 0 => Some(NotEvaluated::NoLabels),
            _ => None,
        }
    }
}

/// The status that a monitor shows at a row.
fn shown(monitor: Watcher<'_>, not_evaluated: Option<NotEvaluated>) -> DriftStatus {
    match not_evaluated {
        Some(NotEvaluated::Learning) => DriftStatus::Learning,
        Some(NotEvaluated::Suspended) => DriftStatus::Suspended,
        // A fault keeps the status: its rows say nothing about drift.
        Some(NotEvaluated::FaultActive) | None if monitor.params().enabled => monitor.status().unwrap_or(DriftStatus::Learning),
        _ => DriftStatus::NotEvaluated,
    }
}

impl MachineCore {
    /// Slots R01..Rnn, after a bundle became active.
    pub(super) fn report_slots(&mut self) {
        let empty = RegimeSlotReport {
            key: "".into(),
            state: RegimeState::NoReference,
            in_use: false,
            in_envelope: false,
            revision: 0,
            changed: Timestamp::EPOCH,
            drift_status: DriftStatus::NotEvaluated,
            drift_index: f64::NAN,
            rows_learned: 0,
            rows_required: self.config.min_reference_rows,
            last_seen: Timestamp::EPOCH,
            total_time: 0.0,
            occurrences: 0,
        };
        self.verdict.regimes = vec![empty; usize::from(self.config.regime_slots)];
        let Some(bundle) = &self.bundle else { return };
        let known = bundle.envelope.regimes.iter().zip(&bundle.regimes).zip(&self.visits).enumerate();
        for (slot, ((regime, reference), visits)) in known {
            let report = &mut self.verdict.regimes[slot];
            report.key = regime.key.clone();
            report.state = if reference.is_empty() { RegimeState::NoReference } else { RegimeState::Monitoring };
            report.in_use = true;
            report.in_envelope = !reference.untrained;
            report.revision = reference.revision();
            report.changed = reference.change.as_ref().map_or(Timestamp::EPOCH, |c| c.stamp.time);
            report.rows_learned = reference.rows;
            report.last_seen = visits.last_seen;
            report.total_time = self.labelling.time_in(slot);
            report.occurrences = visits.occurrences;
            report.drift_status = self.data.regime_status(slot as u16).unwrap_or(DriftStatus::NotEvaluated);
            report.drift_index = self.data.regime_index(slot as u16);
        }
        self.report_learning();
    }

    /// Thresholds in use, also before the first row.
    pub(super) fn report_thresholds(&mut self) {
        for (k, report) in self.verdict.monitors.iter_mut().enumerate() {
            let params = watcher(&self.data, &self.models, k).params();
            for (test, (_, threshold)) in report.tests.iter_mut().zip(&params.tests) {
                test.threshold = *threshold;
            }
        }
    }

    /// Monitors and features; events for each status that has changed.
    pub(super) fn report_monitors(&mut self, slot: Option<u16>) {
        let reason = self.now.not_evaluated;
        let before = self.verdict.monitors[0].status;
        for k in 0..self.verdict.monitors.len() {
            let monitor = watcher(&self.data, &self.models, k);
            let reason = reason.or_else(|| monitor.reason());
            let report = &mut self.verdict.monitors[k];
            let due = report.evaluated || slot.is_none() || self.now.row <= 1 || monitor.last().is_none();
            // A label may be of an earlier row: it counts whatever the present one is.
            let labelled = matches!(monitor, Watcher::Labels(_));
            if reason.is_some() && reason != Some(NotEvaluated::FaultActive) && !labelled {
                report.evaluated = false;
            }
            fill_tests(report, monitor);
            if due || report.evaluated {
                fill_evaluation(report, monitor);
            }
            report.reason = reason;
            report.consecutive = monitor.consecutive(slot).unwrap_or(report.consecutive);
            let (status, previous) = (shown(monitor, reason), report.status);
            if status != previous || self.now.row == 1 {
                report.status = status;
                report.last_change = self.now.time;
                if status == DriftStatus::Drift && previous != DriftStatus::Drift {
                    report.drift_count = report.drift_count.saturating_add(1);
                }
                let previous = (self.now.row > 1).then_some(previous);
                let event = self.status_event(k, self.verdict.monitors[k].name.clone(), status, previous);
                self.push_event(event);
            }
        }
        if self.data.last().is_none() {
            // What was said before another reference or model came is said no more.
            self.verdict.feature_reports.fill(UNKNOWN);
        }
        if self.verdict.monitors[0].evaluated {
            self.report_features();
            let data = &self.verdict.monitors[0];
            if warns(data.status)
                && data.status != before
                && let Some(event) = self.contributors_event()
            {
                self.push_event(event);
            }
        }
        self.report_slot(slot);
    }

    fn report_slot(&mut self, slot: Option<u16>) {
        let Some(slot) = slot else { return };
        if let Some(report) = self.verdict.regimes.get_mut(usize::from(slot)) {
            report.drift_status = self.data.regime_status(slot).unwrap_or(DriftStatus::Learning);
            report.drift_index = self.data.regime_index(slot);
        }
    }

    fn report_features(&mut self) {
        let Some(last) = self.data.last() else { return };
        let regime = self.bundle.as_ref().and_then(|b| b.regimes.get(usize::from(last.slot)));
        let tests = self.config.data_drift.tests.len();
        for (k, (report, column)) in self.verdict.feature_reports.iter_mut().zip(self.data.columns()).enumerate() {
            report.status = match column.exceeded {
                _ if column.index.is_nan() => DriftStatus::NotEvaluated,
                0 => DriftStatus::OK,
                n if n >= tests && last.status == DriftStatus::Drift => DriftStatus::Drift,
                _ => DriftStatus::Warning,
            };
            report.index = column.index;
            report.value = column.value;
            report.p_value = column.p_value;
            (report.current_mean, report.current_sd, report.missing) = (column.mean, column.sd, column.missing);
            (report.reference_mean, report.reference_sd) = regime.map_or((f64::NAN, f64::NAN), |r| (r.mean[k], r.sd[k]));
            (report.shift, report.since) = (column.shift, column.since);
            report.direction = Direction::of(column.shift, column.sd / report.reference_sd);
        }
    }

    pub(super) fn report_models(&mut self) {
        for k in 0..self.models.len() {
            let trust = self.trust(k);
            let state = &self.models[k];
            let report = &mut self.verdict.models[k];
            report.score = state.score;
            report.threshold = state.threshold;
            report.anomaly = state.anomaly && state.score.is_finite();
            report.fault = state.fault.is_active();
            (report.scored, report.own_threshold) = (state.scored, state.own_threshold);
            report.trust = trust;
        }
    }

    /// The machine as a whole: the worst of its monitors.
    pub(super) fn report_machine(&mut self) {
        let verdict = &mut self.verdict;
        verdict.row = self.now.row;
        verdict.time = self.now.time;
        verdict.not_evaluated = self.now.not_evaluated;
        verdict.features.clone_from(&self.now.extracted.values);
        verdict.adjusted.clone_from(&self.now.adjusted);
        let enabled = |m: &&MonitorReport| m.status != DriftStatus::NotEvaluated || m.reason.is_some();
        let rank = |s: DriftStatus| match s {
            // A monitor that still fills its window does not hide what the others say.
            DriftStatus::Learning => 1,
            DriftStatus::OK => 2,
            other => other.code(),
        };
        let worst = verdict.monitors.iter().enumerate().filter(|(_, m)| enabled(m)).max_by_key(|(k, m)| (rank(m.status), usize::MAX - k));
        let (k, status) = worst.map_or((0, DriftStatus::NotEvaluated), |(k, m)| (k, m.status));
        let indexes = verdict.monitors.iter().enumerate().filter(|(k, m)| {
            // What is switched off has no say, whatever it said last.
            !m.index.is_nan() && watcher(&self.data, &self.models, *k).params().enabled
        });
        verdict.drift_index = indexes.map(|(_, m)| m.index).fold(f64::NAN, f64::max);
        verdict.top_feature = verdict.monitors[0].top_feature;
        let top = (1..verdict.monitors.len())
            .filter(|k| verdict.monitors[*k].index.is_finite() && warns(verdict.monitors[*k].status))
            .max_by(|a, b| verdict.monitors[*a].index.total_cmp(&verdict.monitors[*b].index));
        let top_model = top.and_then(|k| self.model_of(k));
        let verdict = &mut self.verdict;
        verdict.top_model = top_model;
        let previous = verdict.status;
        if status != previous || self.now.row == 1 {
            verdict.status = status;
            verdict.last_change = self.now.time;
            let previous = (self.now.row > 1).then_some(previous);
            let event = self.status_event(k, "machine".into(), status, previous);
            self.push_event(event);
        }
    }

    /// Who drives the data monitor's warning or drift.
    fn contributors_event(&self) -> Option<EventKind> {
        let contributor = |(k, f): (u16, &FeatureReport)| {
            let feature = self.config.features.get(usize::from(k))?.name.clone();
            Some(Contributor { feature, index: f.index, direction: f.direction, since: f.since })
        };
        let features: Vec<Contributor> = self.verdict.contributors().into_iter().filter_map(contributor).collect();
        let slot = self.data.last()?.slot;
        let regime = self.bundle.as_ref().and_then(|b| b.envelope.regimes.get(usize::from(slot))).map(|r| r.key.clone());
        let monitor = self.verdict.monitors[0].name.clone();
        (!features.is_empty()).then_some(EventKind::Contributors { monitor, regime, features })
    }

    /// The model that monitor `k` belongs to; `None` for the features'.
    fn model_of(&self, k: usize) -> Option<u16> {
        let mut labelled = self.models.iter().enumerate().filter(|(_, m)| m.performance.is_some()).map(|(k, _)| k);
        let model = if k > self.models.len() { labelled.nth(k - 1 - self.models.len()) } else { k.checked_sub(1) };
        model.map(|m| m as u16)
    }

    /// A status event that quotes monitor `k`.
    fn status_event(&self, k: usize, monitor: Arc<str>, status: DriftStatus, previous: Option<DriftStatus>) -> EventKind {
        let report = &self.verdict.monitors[k];
        let judged = matches!(status, DriftStatus::OK | DriftStatus::Warning | DriftStatus::Drift);
        let source = watcher(&self.data, &self.models, k);
        // The test that decides: all must exceed, so the smallest index does.
        let tests = report.tests.iter().zip(&source.params().tests).filter(|(t, _)| judged && t.index.is_finite());
        let test = tests.min_by(|a, b| a.0.index.total_cmp(&b.0.index));
        let alarmed = warns(status);
        let worst = source.worst_slot().filter(|_| alarmed);
        let worst_key = worst.and_then(|s| self.bundle.as_ref()?.envelope.regimes.get(usize::from(s)).map(|r| r.key.clone()));
        let top = report.top_feature.filter(|_| k == 0 && alarmed);
        EventKind::Status {
            monitor,
            status,
            previous,
            reason: report.reason,
            regime: worst_key.or_else(|| self.regime_key()),
            feature: top.and_then(|t| self.config.features.get(usize::from(t))).map(|f| f.name.clone()),
            metric: test.map(|(t, _)| t.name.into()),
            // What is held against the threshold: of a test with a p-value, that.
            value: test.map(|(t, (kind, _))| if kind.is_p_value() { t.p_value } else { t.value }),
            threshold: test.map(|(t, _)| t.threshold),
        }
    }
}

fn fill_tests(report: &mut MonitorReport, monitor: Watcher<'_>) {
    let tests = report.tests.iter_mut().zip(monitor.tests()).zip(&monitor.params().tests);
    for ((report, test), (_, threshold)) in tests {
        report.value = test.value;
        report.p_value = test.p_value;
        report.index = test.index;
        report.exceeded = test.exceeded;
        report.threshold = *threshold;
    }
}

fn fill_evaluation(report: &mut MonitorReport, monitor: Watcher<'_>) {
    let Some(last) = monitor.last() else {
        (report.index, report.top_feature) = (f64::NAN, None);
        return;
    };
    report.index = last.index;
    if let (Watcher::Distribution(monitor), DriftKind::DataDrift) = (monitor, report.kind) {
        report.top_feature = top_feature(monitor, last, report.top_feature);
    }
    (report.window_start, report.window_end) = last.window;
    report.last_evaluation = last.time;
}

/// What the warning or drift is about. It stays while something warns, until an evaluation that warns finds another feature well above.
fn top_feature(monitor: &Monitor, last: &Evaluation, latched: Option<u16>) -> Option<u16> {
    if !monitor.status().is_some_and(warns) {
        return None;
    }
    if !warns(last.status) {
        // Of another regime, in which nothing has moved.
        return latched;
    }
    let index = |feature: Option<u16>| monitor.columns().get(usize::from(feature?)).map(|c| c.index);
    match (index(last.top), index(latched)) {
        (Some(new), Some(old)) if new < old * TOP_MARGIN => latched,
        _ => last.top,
    }
}

fn warns(status: DriftStatus) -> bool {
    matches!(status, DriftStatus::Warning | DriftStatus::Drift)
}
