//! Named checks: a look at the last rows of the present regime, ten times a window.

use std::sync::Arc;

use super::MachineCore;
use crate::checks::{Check, CheckKind, CheckResult};
use crate::config::MachineConfig;
use crate::types::{CheckReport, EventKind, Timestamp};

/// Looks of one check in a window.
const LOOKS: u32 = 10;

/// The last look of each check in each regime.
#[derive(Clone, Debug)]
pub struct Checks {
    slots: usize,
    /// Check by check, slot by slot.
    last: Vec<Look>,
    column: Vec<f64>,
}

#[derive(Copy, Clone, Debug)]
struct Look {
    result: CheckResult,
    time: Timestamp,
}

impl Checks {
    pub fn new(config: &MachineConfig) -> Self {
        let slots = usize::from(config.regime_slots);
        Self { slots, last: vec![Look::NONE; slots * config.checks.len()], column: Vec::new() }
    }

    /// Another bundle: looks at rows judged against the old one are forgotten.
    pub fn clear(&mut self) {
        self.last.fill(Look::NONE);
    }

    /// The looks of one check, one a slot.
    fn of(&self, check: usize) -> &[Look] {
        &self.last[check * self.slots..(check + 1) * self.slots]
    }
}

impl Look {
    const NONE: Self = Self { result: CheckResult::NONE, time: Timestamp::EPOCH };
}

/// Reports before the first look.
pub fn reports(config: &MachineConfig) -> Vec<CheckReport> {
    let report = |check: &Check| CheckReport {
        name: check.name.clone(),
        kind: check.kind.name(),
        passed: None,
        value: f64::NAN,
        limit: check.limit,
        feature: None,
        regime: "".into(),
        time: Timestamp::EPOCH,
        looks: 0,
        failures: 0,
    };
    config.checks.iter().map(report).collect()
}

impl MachineCore {
    /// After the row has entered the windows of its regime.
    pub(super) fn check(&mut self, slot: u16) {
        let window_rows = self.config.data_drift.window_rows;
        if self.config.checks.is_empty() || !self.recent.due(slot, window_rows as usize, (window_rows / LOOKS).max(1)) {
            return;
        }
        let config = self.config.clone();
        for (k, check) in config.checks.iter().enumerate() {
            let result = self.look(check, slot);
            self.take_result(k, check, slot, result);
        }
    }

    fn look(&mut self, check: &Check, slot: u16) -> CheckResult {
        if check.kind == CheckKind::DriftedShare {
            return check.of_share(self.drifted_share(slot));
        }
        // A stated range is one of measured values, also where continuous settings are taken out for the monitors.
        let stated = matches!(check.kind, CheckKind::Range(Some(_)));
        let window = if stated { self.recent.measured(slot) } else { self.recent.window(slot) };
        let rows = self.config.data_drift.window_rows as usize;
        let Some(window) = window.filter(|w| w.len() >= rows) else { return CheckResult::NONE };
        let Some(regime) = self.bundle.as_ref().and_then(|b| b.regimes.get(usize::from(slot))) else { return CheckResult::NONE };
        let column = &mut self.checks.column;
        check.of_columns(self.config.features.len(), |k| {
            window.newest(k, rows, column);
            check.kind.figure(column, regime.references.get(k).and_then(Option::as_ref))
        })
    }

    /// Share of the features that the data monitor found beyond their thresholds; NaN where it looked elsewhere last.
    fn drifted_share(&self, slot: u16) -> f64 {
        if self.data.last().is_none_or(|last| last.slot != slot) {
            return f64::NAN;
        }
        let tested = self.data.columns().iter().filter(|c| c.index.is_finite()).count();
        let drifted = self.data.columns().iter().filter(|c| c.index >= 1.0).count();
        if tested == 0 { f64::NAN } else { drifted as f64 / tested as f64 }
    }

    fn take_result(&mut self, k: usize, check: &Check, slot: u16, result: CheckResult) {
        let look = &mut self.checks.last[k * self.checks.slots + usize::from(slot)];
        let Some(passed) = result.passed else {
            // Nothing to be measured in these rows, such as a sensor that is gone: the look before says nothing of them. A share is of the
            // monitor's last evaluation, which may have been elsewhere.
            if look.result.passed.is_some() && check.kind != CheckKind::DriftedShare {
                look.result = CheckResult::NONE;
                self.report_check(k);
            }
            return;
        };
        let before = look.result.passed.replace(passed).unwrap_or(true);
        *look = Look { result, time: self.now.time };
        let report = &mut self.verdict.checks[k];
        report.looks += 1;
        report.failures += u64::from(!passed);
        self.report_check(k);
        if passed != before {
            let feature = result.column.and_then(|k| self.config.features.get(k)).map(|f| f.name.clone());
            let (value, limit) = (result.value, check.limit);
            self.push_event(EventKind::Check { check: check.name.clone(), passed, regime: self.regime_key(), feature, value, limit });
        }
    }

    /// The worst of a check's looks, one a regime.
    fn report_check(&mut self, k: usize) {
        let looks = self.checks.of(k).iter().enumerate().filter(|(_, l)| l.result.passed.is_some());
        let Some((slot, look)) = looks.max_by(|a, b| a.1.result.value.total_cmp(&b.1.result.value)) else {
            let report = &mut self.verdict.checks[k];
            (report.passed, report.value, report.feature) = (None, f64::NAN, None);
            return;
        };
        let key = self.bundle.as_ref().and_then(|b| b.envelope.regimes.get(slot)).map_or_else(|| Arc::from(""), |r| r.key.clone());
        let report = &mut self.verdict.checks[k];
        (report.passed, report.value) = (look.result.passed, look.result.value);
        report.feature = look.result.column.and_then(|c| u16::try_from(c).ok());
        (report.regime, report.time) = (key, look.time);
    }

    /// Limits in use; a changed one counts from the next look on.
    pub(super) fn report_limits(&mut self) {
        for (report, check) in self.verdict.checks.iter_mut().zip(&self.config.checks) {
            report.limit = check.limit;
        }
    }
}
