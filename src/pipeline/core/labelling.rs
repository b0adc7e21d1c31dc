//! Labels by people: which rows they are of, which faults nobody has said the truth of, and how long each regime lasted.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MachineCore;
use super::performance::{Read, read};
use crate::config::{FaultWhen, LabelConfig};
use crate::drift::performance::Labelled;
use crate::types::{Channel, EventKind, Quality, Timestamp, Value};

/// Faults without a label that are remembered; the oldest go first.
const FAULTS: usize = 1_000;

/// A fault of the machine, from its alarm to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// First and last row; the last is 0 while it lasts.
    rows: (u64, u64),
    /// When they were; the end is the epoch while it lasts.
    times: (Timestamp, Timestamp),
}

impl Episode {
    fn has(&self, row: u64) -> bool {
        row >= self.rows.0 && (self.rows.1 == 0 || row <= self.rows.1)
    }

    fn overlaps(&self, (from, to): (Timestamp, Timestamp)) -> bool {
        to >= self.times.0 && (self.rows.1 == 0 || from <= self.times.1)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Labelling {
    faults: VecDeque<Episode>,
    /// Row of the last fault's alarm.
    last: u64,
    /// In each regime.
    spent: Vec<Duration>,
}

impl Labelling {
    /// A fault begins or ends.
    pub fn fault(&mut self, active: bool, row: u64, time: Timestamp) {
        match self.faults.back_mut() {
            Some(open) if !active && open.rows.1 == 0 => (open.rows.1, open.times.1) = (row, time),
            _ if active => {
                if self.faults.len() == FAULTS {
                    self.faults.pop_front();
                }
                self.faults.push_back(Episode { rows: (row, 0), times: (time, Timestamp::EPOCH) });
                self.last = row;
            }
            _ => {}
        }
    }

    /// Somebody has said the truth of a row, or of all rows of a time.
    fn labelled(&mut self, row: Option<u64>, span: (Timestamp, Timestamp)) {
        self.faults.retain(|fault| !row.map_or_else(|| fault.overlaps(span), |row| fault.has(row)));
    }

    /// More time in a regime; s so far.
    pub fn spend(&mut self, slot: u16, time: Duration) -> f64 {
        let slot = usize::from(slot);
        if self.spent.len() <= slot {
            self.spent.resize(slot + 1, Duration::ZERO);
        }
        self.spent[slot] = self.spent[slot].saturating_add(time);
        self.spent[slot].as_secs_f64()
    }

    /// Regimes are others now.
    pub fn forget_times(&mut self) {
        self.spent.clear();
    }

    /// Time in a regime, s.
    pub fn time_in(&self, slot: usize) -> f64 {
        self.spent.get(slot).map_or(0.0, Duration::as_secs_f64)
    }

    /// ms; empty where there is none.
    pub fn spent(&self) -> Vec<u64> {
        self.spent.iter().map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)).collect()
    }

    pub fn faults(&self) -> Vec<Episode> {
        self.faults.iter().cloned().collect()
    }

    pub fn restore(&mut self, spent: Vec<u64>, faults: Vec<Episode>) {
        self.spent = spent.into_iter().map(Duration::from_millis).collect();
        self.last = faults.last().map_or(0, |f| f.rows.0);
        self.faults = faults.into();
    }
}

impl MachineCore {
    /// Faults that nobody has said the truth of, and the row of the last fault's alarm (0: none yet).
    pub fn unlabelled(&self) -> (u32, u64) {
        (u32::try_from(self.labelling.faults.len()).unwrap_or(u32::MAX), self.labelling.last)
    }

    /// Takes a checked label: it counts at the next row. Returns what became of it.
    pub(super) fn give_label(&mut self, prediction: &str, span: (Timestamp, Timestamp), label: &EventKind) -> String {
        let EventKind::Label { class, value, .. } = label else { return String::new() };
        let row = prediction.rsplit_once('-').and_then(|(_, row)| row.parse::<u64>().ok());
        self.labelling.labelled(row, span);
        let (mut counted, mut watched) = (0_usize, false);
        for (state, config) in self.models.iter_mut().zip(&self.config.models) {
            let (Some(performance), Some(config)) = (&mut state.performance, &config.performance) else { continue };
            watched = true;
            let Some(fault) = truth(&config.label, *class, *value) else { continue };
            let meant = performance.past.iter().filter(|(r, p)| row.map_or(p.time >= span.0 && p.time <= span.1, |row| *r == row));
            let before = performance.given.len();
            performance.given.extend(meant.map(|(_, p)| (p.slot, Labelled { time: p.time, predicted: p.fault, fault })));
            counted += performance.given.len() - before;
        }
        match (watched, counted) {
            (false, _) => "label kept; no model has a performance monitor".into(),
            (true, 0) => "label kept; no prediction that is still known is meant, so no performance monitor counts it".into(),
            (true, n) => format!("label kept; counts for {n} predictions"),
        }
    }
}

/// What a label by people says: its value where labels are measured, else its class.
fn truth(config: &LabelConfig, class: u16, value: f64) -> Option<bool> {
    let said = match config.fault {
        FaultWhen::Outside(..) if value.is_finite() => Value::Real(value),
        FaultWhen::Outside(..) => return Some(class > 0),
        FaultWhen::Positive | FaultWhen::Listed(_) => Value::Integer(i64::from(class)),
    };
    match read(config, &Channel { value: Some(said), quality: Quality::Good, ..Channel::default() }) {
        Read::Truth(fault) => Some(fault),
        Read::Nothing | Read::Unreadable => None,
    }
}
