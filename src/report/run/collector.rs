//! What a run leaves for its report: thinned histories, the last judgement of each regime, the events that matter. Fed with each row;
//! memory depends on features, regimes and models, not on rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::places::{Counts, Places, Spread};
use crate::types::{DriftStatus, Event, EventKind, FeatureReport, NotEvaluated, RegimeState, Timestamp, Verdict};

/// Events that are kept: the most important, of those the latest.
const EVENTS: usize = 60;
/// Combinations of settings outside the envelope that are kept by name.
const OUTSIDE: usize = 12;

/// Kinds of rows in the strip, in the order of its lanes.
pub const LANES: usize = 7;
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Lane {
    Fault,
    Drift,
    Warning,
    Ok,
    Outside,
    NotJudged,
    Learning,
}

/// A moment of a run.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// 1-based.
    pub row: u64,
    pub time: Timestamp,
}

/// A feature at the last evaluation in a regime.
#[derive(Clone, Debug)]
pub struct Judged {
    pub report: FeatureReport,
    /// Since when it is not OK; `None` where it is.
    pub since: Option<Moment>,
}

/// What is known of one regime.
#[derive(Clone, Debug, Default)]
pub struct RegimeRun {
    pub rows: u64,
    pub last: Moment,
    /// One a feature; empty before the first evaluation.
    pub features: Vec<Judged>,
}

/// Rows of one combination of settings outside the envelope.
#[derive(Clone, Debug)]
pub struct OutsideRun {
    pub rows: u64,
    pub last: Moment,
    /// To the nearest regime, in tolerances.
    pub distance: f64,
}

/// Two histories of a feature, one value an evaluation.
#[derive(Clone, Debug, Default)]
pub struct FeatureRun {
    pub index: Places<Spread>,
    /// The window's mean, as residual of its regime.
    pub residual: Places<Spread>,
}

/// Collects one unit (machine).
#[derive(Clone, Debug, Default)]
pub struct Collector {
    pub(super) first: Moment,
    pub(super) last: Moment,
    pub(super) rows: u64,
    pub(super) evaluations: u64,
    pub(super) drifts: u64,
    pub(super) faults: u64,
    pub(super) lanes: Places<Counts<LANES>>,
    pub(super) rows_per_lane: [u64; LANES],
    /// The last of OK, Warning and Drift, and since when.
    pub(super) judged: Option<(DriftStatus, Moment)>,
    /// Why rows were not judged, by the text of the reason.
    pub(super) reasons: BTreeMap<&'static str, u64>,
    pub(super) index: Places<Spread>,
    pub(super) features: Vec<FeatureRun>,
    /// By slot.
    pub(super) regimes: Vec<RegimeRun>,
    /// Slot of the last evaluation.
    pub(super) evaluated_in: Option<u16>,
    pub(super) outside: BTreeMap<Arc<str>, OutsideRun>,
    /// Rows outside in combinations that are not kept by name.
    pub(super) outside_more: u64,
    pub(super) scores: Vec<Places<Spread>>,
    pub(super) trusted: Vec<u64>,
    /// With how much they matter.
    pub(super) events: Vec<(u8, Event)>,
    /// Events that are not kept.
    pub(super) events_more: u64,
    /// Onsets of Drift of the machine, for marks in the drawings.
    pub(super) onsets: Vec<u64>,
}

impl Collector {
    /// One row, as a core's step answers it.
    pub fn push(&mut self, verdict: &Verdict, events: &[Event]) {
        let now = Moment { row: verdict.row, time: verdict.time };
        if self.rows == 0 {
            self.first = now;
            self.features.resize_with(verdict.features.len(), FeatureRun::default);
            self.scores.resize_with(verdict.models.len(), Places::default);
            self.trusted.resize(verdict.models.len(), 0);
        }
        self.last = now;
        self.rows += 1;
        // rows are counted from the first that was seen: a live core may have had some before
        let row = now.row - self.first.row + 1;
        // before the status is taken over: an onset is a change of it
        events.iter().for_each(|e| self.event(e, row));
        self.count(verdict, row);
        self.place(verdict, now);
        if verdict.monitors.first().is_some_and(|m| m.evaluated) {
            self.evaluation(verdict, now, row);
        }
        for (k, model) in verdict.models.iter().enumerate().take(self.scores.len()) {
            self.scores[k].at(row).add(model.score);
            self.trusted[k] += u64::from(model.trust.is_trusted());
        }
    }

    fn count(&mut self, verdict: &Verdict, row: u64) {
        let lane = match (verdict.not_evaluated, verdict.status) {
            (Some(NotEvaluated::OutsideEnvelope), _) => Lane::Outside,
            (Some(NotEvaluated::Learning), _) | (_, DriftStatus::Learning) => Lane::Learning,
            (_, DriftStatus::Drift) => Lane::Drift,
            (_, DriftStatus::Warning) => Lane::Warning,
            (_, DriftStatus::OK) => Lane::Ok,
            _ => Lane::NotJudged,
        };
        let fault = verdict.models.iter().any(|m| m.fault);
        let counts = self.lanes.at(row);
        for lane in [Some(lane), fault.then_some(Lane::Fault)].into_iter().flatten() {
            counts.0[lane as usize] += 1;
            self.rows_per_lane[lane as usize] += 1;
        }
        if let Some(reason) = verdict.not_evaluated {
            *self.reasons.entry(reason.text()).or_default() += 1;
        }
        let judged = matches!(verdict.status, DriftStatus::OK | DriftStatus::Warning | DriftStatus::Drift);
        if judged && self.judged.is_none_or(|(status, _)| status != verdict.status) {
            self.judged = Some((verdict.status, Moment { row: verdict.row, time: verdict.time }));
        }
    }

    /// Where the machine was: rows of regimes, and of settings outside.
    fn place(&mut self, verdict: &Verdict, now: Moment) {
        if let Some(slot) = verdict.regime.slot {
            let slot = usize::from(slot);
            if slot >= self.regimes.len() {
                self.regimes.resize_with(slot + 1, RegimeRun::default);
            }
            self.regimes[slot].rows += 1;
            self.regimes[slot].last = now;
        } else if verdict.not_evaluated == Some(NotEvaluated::OutsideEnvelope) {
            let known = self.outside.contains_key(&verdict.regime.key);
            if !known && self.outside.len() >= OUTSIDE {
                self.outside_more += 1;
                return;
            }
            let distance = verdict.regime.distance;
            let run = self.outside.entry(verdict.regime.key.clone());
            let run = run.or_insert(OutsideRun { rows: 0, last: now, distance });
            run.rows += 1;
            run.last = now;
            run.distance = run.distance.min(distance);
        }
    }

    fn evaluation(&mut self, verdict: &Verdict, now: Moment, row: u64) {
        self.evaluations += 1;
        self.index.at(row).add(verdict.monitors[0].index);
        for (run, report) in self.features.iter_mut().zip(&verdict.feature_reports) {
            run.index.at(row).add(report.index);
            run.residual.at(row).add((report.current_mean - report.reference_mean) / report.reference_sd);
        }
        let Some(regime) = verdict.regime.slot.and_then(|s| self.regimes.get_mut(usize::from(s))) else { return };
        self.evaluated_in = verdict.regime.slot;
        if regime.features.len() != verdict.feature_reports.len() {
            regime.features = verdict.feature_reports.iter().map(|r| Judged { report: r.clone(), since: None }).collect();
        }
        for (judged, report) in regime.features.iter_mut().zip(&verdict.feature_reports) {
            let off = matches!(report.status, DriftStatus::Warning | DriftStatus::Drift);
            judged.since = off.then(|| judged.since.unwrap_or(now));
            judged.report.clone_from(report);
        }
    }

    fn event(&mut self, event: &Event, row: u64) {
        let weight = self.weight(&event.kind);
        match &event.kind {
            EventKind::Status { monitor, status: DriftStatus::Drift, .. } if &**monitor == "machine" && weight > 0 => {
                self.drifts += 1;
                if self.onsets.len() < 20 {
                    self.onsets.push(row);
                }
            }
            EventKind::Fault { active: true, .. } => self.faults += 1,
            _ => {}
        }
        if weight == 0 {
            self.events_more += 1;
            return;
        }
        self.events.push((weight, event.clone()));
        if self.events.len() > EVENTS {
            // of the least important the oldest
            let least = (0..self.events.len()).min_by_key(|k| (self.events[*k].0, *k)).unwrap_or(0);
            self.events.remove(least);
            self.events_more += 1;
        }
    }

    /// How much an event matters to somebody who reads about the run later; 0: not at all.
    fn weight(&self, kind: &EventKind) -> u8 {
        match kind {
            EventKind::Fault { .. } => 4,
            // the same status again after rows that were not judged is no news
            EventKind::Status { monitor, status, .. } if &**monitor == "machine" => match status {
                DriftStatus::OK | DriftStatus::Warning | DriftStatus::Drift if self.judged.is_some_and(|j| j.0 == *status) => 0,
                DriftStatus::Drift | DriftStatus::Error => 4,
                DriftStatus::Warning | DriftStatus::OK => 3,
                DriftStatus::NotEvaluated | DriftStatus::Learning | DriftStatus::Suspended => 0,
            },
            EventKind::Status { status: DriftStatus::Drift | DriftStatus::Warning, previous, .. } => {
                let news = !matches!(previous, Some(DriftStatus::NotEvaluated | DriftStatus::Suspended));
                u8::from(news)
            }
            EventKind::Statement { .. } => 3,
            EventKind::Contributors { .. } => 0,
            EventKind::Check { passed, .. } => 1 + u8::from(!passed),
            EventKind::Reference { .. } | EventKind::Parameter { .. } | EventKind::Buffer { .. } | EventKind::Note { .. } => 2,
            EventKind::Command { .. } | EventKind::ReferenceChanged { .. } | EventKind::ModelChanged { .. } | EventKind::Label { .. } => 2,
            EventKind::Regime { state: RegimeState::OutOfEnvelope, .. } => 1,
            EventKind::Status { .. } | EventKind::Regime { .. } | EventKind::Refused { .. } | EventKind::Session { .. } => 0,
        }
    }
}
