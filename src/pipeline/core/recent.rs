//! The last judged rows of each regime, for what looks at them now and then: named checks and the full report.

use crate::config::MachineConfig;
use crate::drift::Window;
use crate::types::Timestamp;

/// A window a regime slot; memory is taken at a regime's first row, and only where somebody looks.
#[derive(Clone, Debug)]
pub struct Recent {
    /// Rows kept of each regime; 0: nobody looks.
    rows: usize,
    width: usize,
    windows: Vec<Option<Window>>,
    /// Rows since the last look of the checks.
    since: Vec<u32>,
}

impl Recent {
    pub fn new(config: &MachineConfig) -> Self {
        let slots = usize::from(config.regime_slots);
        Self { rows: wanted(config), width: config.features.len(), windows: vec![None; slots], since: vec![0; slots] }
    }

    /// Another configuration of the same shape: windows keep their newest rows.
    pub fn set_config(&mut self, config: &MachineConfig) {
        let rows = wanted(config);
        if rows == self.rows {
            return;
        }
        for slot in &mut self.windows {
            *slot = slot.take().filter(|_| rows > 0).map(|w| w.resized(rows));
        }
        self.rows = rows;
    }

    /// Another bundle: what was judged against the old one is forgotten.
    pub fn clear(&mut self) {
        self.windows.fill(None);
        self.since.fill(0);
    }

    pub fn push(&mut self, slot: u16, time: Timestamp, row: &[f64]) {
        let (rows, width) = (self.rows, self.width);
        if rows == 0 || row.len() != width {
            return;
        }
        let Some(window) = self.windows.get_mut(usize::from(slot)) else { return };
        window.get_or_insert_with(|| Window::new(rows, width)).push(time, row);
        self.since[usize::from(slot)] += 1;
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
