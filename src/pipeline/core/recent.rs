//! The last judged rows of each regime, for what looks at them now and then: named checks and the full report.

use std::sync::Arc;

use super::MachineCore;
use crate::bundle::Bundle;
use crate::checks::CheckKind;
use crate::config::{Conditioning, MachineConfig};
use crate::drift::Window;
use crate::types::{CheckReport, DriftStatus, Timestamp};

/// A window a regime slot; memory is taken at a regime's first row, and only where somebody looks.
#[derive(Clone, Debug)]
pub struct Recent {
    /// Rows kept of each regime; 0: nobody looks.
    rows: usize,
    width: usize,
    /// What continuous settings explain is taken out, as for the monitors.
    windows: Vec<Option<Window>>,
    /// The same rows as measured; kept only where a check looks at them and they differ.
    measured: Option<Vec<Option<Window>>>,
    /// Rows since the last look of the checks.
    since: Vec<u32>,
}

impl Recent {
    pub fn new(config: &MachineConfig) -> Self {
        let slots = usize::from(config.regime_slots);
        let measured = wants_measured(config).then(|| vec![None; slots]);
        Self { rows: wanted(config), width: config.features.len(), windows: vec![None; slots], measured, since: vec![0; slots] }
    }

    /// Another configuration of the same shape: windows keep their newest rows.
    pub fn set_config(&mut self, config: &MachineConfig) {
        let rows = wanted(config);
        if rows == self.rows {
            return;
        }
        for slot in self.windows.iter_mut().chain(self.measured.iter_mut().flatten()) {
            *slot = slot.take().filter(|_| rows > 0).map(|w| w.resized(rows));
        }
        self.rows = rows;
    }

    /// Another bundle: what was judged against the old one is forgotten.
    pub fn clear(&mut self) {
        self.windows.iter_mut().chain(self.measured.iter_mut().flatten()).for_each(|w| *w = None);
        self.since.fill(0);
    }

    /// Another reference in one regime.
    pub fn forget(&mut self, slot: u16) {
        let slot = usize::from(slot);
        let windows = [Some(&mut self.windows), self.measured.as_mut()];
        windows.into_iter().flatten().filter_map(|w| w.get_mut(slot)).for_each(|w| *w = None);
        if let Some(since) = self.since.get_mut(slot) {
            *since = 0;
        }
    }

    /// A judged row; `measured` is not known of rows from before a restart.
    pub fn push(&mut self, slot: u16, time: Timestamp, row: &[f64], measured: Option<&[f64]>) {
        let (rows, width) = (self.rows, self.width);
        if rows == 0 || row.len() != width {
            return;
        }
        let Some(window) = self.windows.get_mut(usize::from(slot)) else { return };
        window.get_or_insert_with(|| Window::new(rows, width)).push(time, row);
        self.since[usize::from(slot)] += 1;
        if let (Some(windows), Some(row)) = (&mut self.measured, measured) {
            windows[usize::from(slot)].get_or_insert_with(|| Window::new(rows, width)).push(time, row);
        }
    }

    /// The window of a regime with the values as measured.
    pub fn measured(&self, slot: u16) -> Option<&Window> {
        match &self.measured {
            Some(windows) => windows.get(usize::from(slot))?.as_ref(),
            None => self.window(slot),
        }
    }

    /// The window of a regime; `None` before its first row.
    pub fn window(&self, slot: u16) -> Option<&Window> {
        self.windows.get(usize::from(slot))?.as_ref()
    }

    /// True once in `hop` rows of a regime that has `rows` of them.
    pub fn due(&mut self, slot: u16, rows: usize, hop: u32) -> bool {
        if self.window(slot).is_none_or(|w| w.len() < rows) {
            return false;
        }
        let since = &mut self.since[usize::from(slot)];
        let due = *since >= hop;
        if due {
            *since = 0;
        }
        due
    }
}

/// Rows that somebody looks at.
fn wanted(config: &MachineConfig) -> usize {
    let checks = if config.checks.is_empty() { 0 } else { config.data_drift.window_rows };
    let report = if config.report.interval.is_some() { config.report.rows } else { 0 };
    checks.max(report) as usize
}

/// Whether a check has a range of its own, which is one of measured values, while the monitors see something else.
fn wants_measured(config: &MachineConfig) -> bool {
    let adjusts = config.settings.iter().any(|s| matches!(s.conditioning, Conditioning::Regression(_)));
    adjusts && config.checks.iter().any(|c| matches!(c.kind, CheckKind::Range(Some(_))))
}

/// What a full report is made from: a copy, so that it can be made on another thread.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub machine: Arc<MachineConfig>,
    pub bundle: Arc<Bundle>,
    /// Of the last row.
    pub row: u64,
    pub time: Timestamp,
    /// Of the machine, by the live monitors.
    pub status: DriftStatus,
    pub checks: Vec<CheckReport>,
    /// Regimes with rows since the bundle became active.
    pub regimes: Vec<RecentRows>,
}

/// The last judged rows of one regime.
#[derive(Clone, Debug)]
pub struct RecentRows {
    pub slot: u16,
    /// A feature each, oldest row first, NaN where there is no value.
    pub columns: Vec<Vec<f64>>,
}

impl MachineCore {
    /// The last `report.rows` judged rows of each regime with what they are held against; `None` without a bundle or any such row.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let rows = self.config.report.rows as usize;
        let recent = |slot: u16| {
            let window = self.recent.window(slot)?;
            let column = |k: usize| {
                let mut values = Vec::new();
                window.newest(k, rows, &mut values);
                values
            };
            Some(RecentRows { slot, columns: (0..self.config.features.len()).map(column).collect() })
        };
        let regimes: Vec<RecentRows> = (0..self.config.regime_slots).filter_map(recent).collect();
        (!regimes.is_empty()).then_some(())?;
        Some(Snapshot {
            machine: self.config.clone(),
            bundle: self.bundle.clone()?,
            row: self.verdict.row,
            time: self.verdict.time,
            status: self.verdict.status,
            checks: self.verdict.checks.clone(),
            regimes,
        })
    }

    /// Whether some regime has all the rows that a full report looks at.
    pub fn report_is_worth_it(&self) -> bool {
        let rows = self.config.report.rows as usize;
        (0..self.config.regime_slots).any(|slot| self.recent.window(slot).is_some_and(|w| w.len() >= rows))
    }
}
