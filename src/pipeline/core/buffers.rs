//! Retraining buffers B01..B04: which rows are kept for a retraining, and why. The rows themselves lie in the store's ring.
//!
//! ```text
//!         first threshold exceeded               drift with enough rows, or target reached        released
//!  Idle ─────────────────────────▶ Collecting ───────────────────────────────────────────▶ Ready ─────────▶ Idle
//!    ▲                                  │ warning fades
//!    └──────────────────────────────────┘
//! ```
//! Rows outside the envelope have buffers of their own, one for each combination of settings: from its first settled row until there are
//! enough, however often the machine leaves it meanwhile, or until it is learned. They take slots from the last one on, [`OUTSIDE_SLOTS`] at
//! most, and give way to a drift that finds no other.
//!
//! Samples of all regimes are Ready at once, from the last free slot on. Once they are exported, the next ones take their slot, and a drift
//! that finds no other.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::sampling::Sampled;
use crate::config::{BufferConfig, MachineConfig};
use crate::types::{BufferReason, BufferReport, BufferState, DriftStatus, ExportReport, Timestamp};

/// Buffers of a machine.
pub const SLOTS: usize = 4;

/// Buffers that rows outside the envelope may have at a time.
const OUTSIDE_SLOTS: usize = 2;
/// Stands for the regime where there is none.
const OUTSIDE: u16 = u16::MAX;
/// Stands for the regimes of a buffer of samples.
const ALL: u16 = u16::MAX - 1;
/// Stretches of rows that a buffer of rows outside the envelope remembers; then it is ready.
const MOST_STRETCHES: usize = 500;

/// The retraining buffers of one machine. Memory does not grow with time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Buffers {
    machine: Arc<str>,
    target_rows: u32,
    rows_before: u32,
    /// A drift needs so many rows to be ready.
    enough: u32,
    slots: Vec<Slot>,
    /// Times of the last judged rows of each regime: where "from before" begins.
    recent: Vec<VecDeque<Timestamp>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    state: BufferState,
    reason: BufferReason,
    dataset_id: Arc<str>,
    regime: u16,
    regime_key: Arc<str>,
    rows: u32,
    since: Timestamp,
    oldest: Timestamp,
    newest: Timestamp,
    /// Kept apart, so that states of older programs can be read.
    #[serde(skip)]
    extra: SlotExtra,
}

/// What commands have added to a slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlotExtra {
    /// 0: as configured.
    target_rows: u32,
    acknowledged_by: Arc<str>,
    export: Option<ExportReport>,
    /// First and last rows of what was collected outside the envelope; kept by [`Buffers::stretches`].
    #[serde(skip)]
    stretches: Vec<(u64, u64)>,
    /// Why the last export has failed.
    #[serde(skip)]
    trouble: Arc<str>,
}

/// A slot that has changed its state.
pub struct Change {
    /// 0 is B01.
    pub slot: u16,
    /// The slot after the change.
    pub report: BufferReport,
}

/// One judged row, as far as buffers care.
pub struct BufferRow<'a> {
    /// 1-based within the machine.
    pub row: u64,
    /// When the row was made.
    pub time: Timestamp,
    /// Slot of its regime.
    pub regime: u16,
    /// Key of its regime.
    pub regime_key: &'a Arc<str>,
    /// Worst of the monitors in this regime, and what it watches.
    pub status: DriftStatus,
    /// What a buffer that starts at this row is for.
    pub reason: BufferReason,
}

/// What somebody asks to be collected.
pub struct Order<'a> {
    /// The last row before it.
    pub row: u64,
    pub time: Timestamp,
    pub regime: u16,
    pub regime_key: &'a Arc<str>,
    /// 0: as configured.
    pub target_rows: u32,
}

impl Slot {
    fn is_releasable(&self) -> bool {
        match self.state {
            BufferState::Idle | BufferState::Exporting => false,
            BufferState::Collecting => self.reason == BufferReason::OperatorRequest,
            _ => true,
        }
    }

    fn idle() -> Self {
        Self {
            state: BufferState::Idle,
            reason: BufferReason::None,
            dataset_id: "".into(),
            regime: 0,
            regime_key: "".into(),
            rows: 0,
            since: Timestamp::EPOCH,
            oldest: Timestamp::EPOCH,
            newest: Timestamp::EPOCH,
            extra: SlotExtra::default(),
        }
    }

    /// The file is there: nothing is lost without the slot.
    fn is_exported_sample(&self) -> bool {
        self.reason == BufferReason::Scheduled && matches!(self.state, BufferState::Exported | BufferState::Acknowledged)
    }

    fn is_outside(&self) -> bool {
        self.state != BufferState::Idle && self.regime == OUTSIDE
    }

    fn target(&self, configured: u32) -> u32 {
        if self.extra.target_rows > 0 { self.extra.target_rows } else { configured }
    }

    fn report(&self, target_rows: u32) -> BufferReport {
        BufferReport {
            state: self.state,
            reason: self.reason,
            dataset_id: self.dataset_id.clone(),
            regime_key: self.regime_key.clone(),
            rows: self.rows,
            target_rows: self.target(target_rows),
            since: self.since,
            oldest: self.oldest,
            newest: self.newest,
            acknowledged_by: self.extra.acknowledged_by.clone(),
            export: self.extra.export.clone(),
            trouble: self.extra.trouble.clone(),
        }
    }
}

impl Buffers {
    /// All slots idle.
    pub fn new(machine: &MachineConfig) -> Self {
        Self {
            machine: machine.name.clone(),
            target_rows: machine.buffers.target_rows,
            rows_before: machine.buffers.rows_before,
            enough: machine.min_reference_rows.min(machine.buffers.target_rows),
            slots: vec![Slot::idle(); SLOTS],
            recent: vec![VecDeque::new(); usize::from(machine.regime_slots)],
        }
    }

    /// Other targets, effective at once.
    pub fn set_config(&mut self, config: &BufferConfig) {
        self.target_rows = config.target_rows;
        self.rows_before = config.rows_before;
        self.enough = self.enough.min(config.target_rows);
    }

    /// Slots of another run of the same configuration.
    pub fn restore(&mut self, other: &Self) {
        if other.slots.len() == self.slots.len() && other.recent.len() == self.recent.len() {
            self.slots.clone_from(&other.slots);
            self.recent.clone_from(&other.recent);
        }
    }

    /// One judged row; `changes` receives the slots whose state has changed.
    pub fn step(&mut self, row: &BufferRow<'_>, changes: &mut Vec<Change>) {
        let Some(recent) = self.recent.get_mut(usize::from(row.regime)) else { return };
        recent.push_back(row.time);
        while recent.len() > self.rows_before as usize + 1 {
            recent.pop_front();
        }
        let alarmed = matches!(row.status, DriftStatus::Warning | DriftStatus::Drift);
        let held = |s: &Slot| s.state != BufferState::Idle && s.regime == row.regime && s.reason != BufferReason::OperatorRequest;
        let started = if alarmed && !self.slots.iter().any(held) { self.start(row, changes) } else { None };
        // One that was asked for may collect beside the one of a warning.
        for k in (0..self.slots.len()).filter(|k| Some(*k) != started) {
            if self.slots[k].state == BufferState::Collecting && self.slots[k].regime == row.regime {
                self.collect(k, row, alarmed, changes);
            }
        }
    }

    fn start(&mut self, row: &BufferRow<'_>, changes: &mut Vec<Change>) -> Option<usize> {
        // All slots taken: nothing is overwritten until an operator releases one.
        let idle = self.slots.iter().position(|s| s.state == BufferState::Idle);
        let k = idle.or_else(|| self.give_way(changes))?;
        let recent = &self.recent[usize::from(row.regime)];
        self.slots[k] = Slot {
            state: BufferState::Collecting,
            reason: row.reason,
            dataset_id: format!("{}-R{:02}-{}-{}", self.machine, row.regime + 1, row.reason, row.row).into(),
            regime: row.regime,
            regime_key: row.regime_key.clone(),
            rows: recent.len() as u32,
            since: row.time,
            oldest: recent.front().copied().unwrap_or(row.time),
            newest: row.time,
            extra: SlotExtra::default(),
        };
        changes.push(self.change(k));
        Some(k)
    }

    /// One settled row of settings that were never trained; `changes` receives the slots whose state has changed.
    pub fn step_outside(&mut self, row: u64, time: Timestamp, key: &Arc<str>, changes: &mut Vec<Change>) {
        if let Some(k) = self.slots.iter().position(|s| s.is_outside() && s.regime_key == *key) {
            self.collect_outside(k, row, time, changes);
            return;
        }
        if self.slots.iter().filter(|s| s.is_outside()).count() >= OUTSIDE_SLOTS {
            // A combination that was only passed makes room.
            let passed = |s: &Slot| s.is_outside() && s.state == BufferState::Collecting && s.rows < self.enough;
            let Some(k) = (0..self.slots.len()).filter(|k| passed(&self.slots[*k])).min_by_key(|k| self.slots[*k].rows) else { return };
            self.end(k, changes);
        }
        let Some(k) = self.slots.iter().rposition(|s| s.state == BufferState::Idle) else { return };
        let reason = BufferReason::OutOfEnvelope;
        self.slots[k] = Slot {
            state: BufferState::Collecting,
            reason,
            dataset_id: format!("{}-{reason}-{row}", self.machine).into(),
            regime: OUTSIDE,
            regime_key: key.clone(),
            rows: 1,
            since: time,
            oldest: time,
            newest: time,
            extra: SlotExtra { stretches: vec![(row, row)], ..SlotExtra::default() },
        };
        changes.push(self.change(k));
    }

    fn collect_outside(&mut self, k: usize, row: u64, time: Timestamp, changes: &mut Vec<Change>) {
        let slot = &mut self.slots[k];
        if slot.state != BufferState::Collecting {
            return;
        }
        (slot.rows, slot.newest) = (slot.rows + 1, time);
        match slot.extra.stretches.last_mut() {
            Some((_, last)) if *last + 1 == row => *last = row,
            _ => slot.extra.stretches.push((row, row)),
        }
        if slot.rows >= slot.target(self.target_rows) || slot.extra.stretches.len() >= MOST_STRETCHES {
            slot.state = BufferState::Ready;
            changes.push(self.change(k));
        }
    }

    /// Frees the slot of samples that were exported; else that of rows outside the envelope that has the fewest, while it collects.
    fn give_way(&mut self, changes: &mut Vec<Change>) -> Option<usize> {
        let collects = |s: &Slot| s.is_outside() && s.state == BufferState::Collecting;
        let outside = || (0..self.slots.len()).filter(|k| collects(&self.slots[*k])).min_by_key(|k| self.slots[*k].rows);
        let k = self.slots.iter().position(Slot::is_exported_sample).or_else(outside)?;
        self.end(k, changes);
        Some(k)
    }

    /// Samples of all regimes are a dataset now; false where another one is not exported yet, or no slot is free.
    pub fn start_sampled(&mut self, row: u64, time: Timestamp, sampled: &Sampled, changes: &mut Vec<Change>) -> bool {
        if self.holds_samples() {
            return false;
        }
        if let Some(k) = self.slots.iter().position(Slot::is_exported_sample) {
            self.end(k, changes);
        }
        let Some(k) = self.slots.iter().rposition(|s| s.state == BufferState::Idle) else { return false };
        let reason = BufferReason::Scheduled;
        self.slots[k] = Slot {
            state: BufferState::Ready,
            reason,
            dataset_id: format!("{}-{reason}-{row}", self.machine).into(),
            regime: ALL,
            regime_key: "".into(),
            rows: sampled.rows,
            since: time,
            oldest: sampled.oldest,
            newest: sampled.newest,
            extra: SlotExtra { target_rows: sampled.rows, ..SlotExtra::default() },
        };
        changes.push(self.change(k));
        true
    }

    /// Whether samples wait for their export.
    pub fn holds_samples(&self) -> bool {
        let waits = |s: &Slot| matches!(s.state, BufferState::Ready | BufferState::Exporting);
        self.slots.iter().any(|s| s.reason == BufferReason::Scheduled && waits(s))
    }

    /// What is told of is what ends: the slot itself is empty again.
    fn end(&mut self, k: usize, changes: &mut Vec<Change>) {
        let ended = Slot { state: BufferState::Idle, ..std::mem::replace(&mut self.slots[k], Slot::idle()) };
        changes.push(Change { slot: k as u16, report: ended.report(self.target_rows) });
    }

    fn collect(&mut self, k: usize, row: &BufferRow<'_>, alarmed: bool, changes: &mut Vec<Change>) {
        let slot = &mut self.slots[k];
        if slot.rows == 0 {
            slot.oldest = row.time;
        }
        slot.rows += 1;
        slot.newest = row.time;
        let asked_for = slot.reason == BufferReason::OperatorRequest;
        let drift = row.status == DriftStatus::Drift && !asked_for;
        if slot.rows >= slot.target(self.target_rows) || (drift && slot.rows >= self.enough) {
            slot.state = BufferState::Ready;
        } else if !alarmed && !asked_for {
            self.end(k, changes);
            return;
        } else {
            return;
        }
        changes.push(self.change(k));
    }

    fn change(&self, k: usize) -> Change {
        Change { slot: k as u16, report: self.slots[k].report(self.target_rows) }
    }

    /// Another bundle: what collects in a regime that is not where it was, or outside in one that is known now, ends with the rows it
    /// has. `slot_of` gives the slot of a key.
    pub fn close_foreign(&mut self, slot_of: impl Fn(&str) -> Option<u16>) {
        let foreign = |s: &Slot| slot_of(&s.regime_key) != Some(s.regime).filter(|regime| *regime != OUTSIDE);
        for slot in self.slots.iter_mut().filter(|s| s.state == BufferState::Collecting && foreign(s)) {
            if slot.rows == 0 {
                *slot = Slot::idle();
            } else {
                slot.state = BufferState::Ready;
            }
        }
    }

    /// Frees a slot that is ready (or further), or collects because somebody asked for it; false where it is not.
    pub fn release(&mut self, slot: usize) -> bool {
        match self.slots.get_mut(slot) {
            Some(s) if s.is_releasable() => {
                *s = Slot::idle();
                true
            }
            _ => false,
        }
    }

    /// Collects the rows of a regime from the next one on, because somebody asks for it; false where the slot is taken.
    pub fn start_asked(&mut self, slot: usize, order: &Order<'_>) -> bool {
        let machine = &self.machine;
        let Some(s) = self.slots.get_mut(slot).filter(|s| s.state == BufferState::Idle) else { return false };
        let reason = BufferReason::OperatorRequest;
        *s = Slot {
            state: BufferState::Collecting,
            reason,
            dataset_id: format!("{machine}-R{:02}-{reason}-{}", order.regime + 1, order.row + 1).into(),
            regime: order.regime,
            regime_key: order.regime_key.clone(),
            rows: 0,
            since: order.time,
            oldest: order.time,
            newest: order.time,
            extra: SlotExtra { target_rows: order.target_rows, ..SlotExtra::default() },
        };
        true
    }

    /// The data was fetched; false where there is none.
    pub fn acknowledge(&mut self, slot: usize, user: &Arc<str>) -> bool {
        match self.slots.get_mut(slot) {
            Some(s) if matches!(s.state, BufferState::Ready | BufferState::Exported) => {
                s.state = BufferState::Acknowledged;
                s.extra.acknowledged_by = user.clone();
                true
            }
            _ => false,
        }
    }

    /// A file is being written from the slot; false where there is nothing to write.
    pub fn start_export(&mut self, slot: usize) -> bool {
        match self.slots.get_mut(slot) {
            Some(s) if matches!(s.state, BufferState::Ready | BufferState::Exported) => {
                s.state = BufferState::Exporting;
                s.extra.trouble = "".into();
                true
            }
            _ => false,
        }
    }

    /// The file was written, or why it was not: the slot is as it was then. False where the slot holds something else by now.
    pub fn end_export(&mut self, slot: usize, dataset: &str, export: Result<ExportReport, Arc<str>>) -> bool {
        let Some(s) = self.slots.get_mut(slot).filter(|s| *s.dataset_id == *dataset) else { return false };
        match export {
            Ok(export) => s.extra.export = Some(export),
            Err(trouble) => s.extra.trouble = trouble,
        }
        if matches!(s.state, BufferState::Ready | BufferState::Exporting) {
            s.state = if s.extra.export.is_some() { BufferState::Exported } else { BufferState::Ready };
        }
        true
    }

    /// Slots that are ready and not exported yet, with their data sets.
    pub fn unexported(&self) -> impl Iterator<Item = (usize, Arc<str>)> + '_ {
        let waits = |s: &Slot| s.state == BufferState::Ready && s.extra.export.is_none();
        self.slots.iter().enumerate().filter(move |(_, s)| waits(s)).map(|(k, s)| (k, s.dataset_id.clone()))
    }

    /// After a restart: no file is being written.
    pub fn forget_exports(&mut self) {
        for s in self.slots.iter_mut().filter(|s| s.state == BufferState::Exporting) {
            s.state = if s.extra.export.is_some() { BufferState::Exported } else { BufferState::Ready };
        }
    }

    /// State, data set and regime of a slot.
    pub fn slot(&self, slot: usize) -> Option<(BufferState, &Arc<str>, u16)> {
        self.slots.get(slot).map(|s| (s.state, &s.dataset_id, s.regime))
    }

    /// First and last rows of what a slot has collected outside the envelope; empty where it is of a regime.
    pub fn stretches(&self, slot: usize) -> &[(u64, u64)] {
        self.slots.get(slot).map_or(&[], |s| &s.extra.stretches)
    }

    /// The same, a slot each; empty where none has any.
    pub fn all_stretches(&self) -> Vec<Vec<(u64, u64)>> {
        let some = self.slots.iter().any(|s| !s.extra.stretches.is_empty());
        if some { self.slots.iter().map(|s| s.extra.stretches.clone()).collect() } else { Vec::new() }
    }

    /// The same of another run, a slot each.
    pub fn restore_stretches(&mut self, stretches: Vec<Vec<(u64, u64)>>) {
        for (slot, stretches) in self.slots.iter_mut().zip(stretches) {
            slot.extra.stretches = stretches;
        }
    }

    /// Whether some slot is in such a state.
    pub fn any(&self, wanted: impl Fn(BufferState) -> bool) -> bool {
        self.slots.iter().any(|s| wanted(s.state))
    }

    pub fn any_releasable(&self) -> bool {
        self.slots.iter().any(Slot::is_releasable)
    }

    /// What commands have added, a slot each.
    pub fn extras(&self) -> Vec<SlotExtra> {
        self.slots.iter().map(|s| s.extra.clone()).collect()
    }

    pub fn restore_extras(&mut self, extras: &[SlotExtra]) {
        for (slot, extra) in self.slots.iter_mut().zip(extras) {
            slot.extra.clone_from(extra);
        }
    }

    /// All slots, B01 first.
    pub fn reports(&self) -> Vec<BufferReport> {
        self.slots.iter().map(|s| s.report(self.target_rows)).collect()
    }

    /// Updates reports in place, without allocating.
    pub fn report_into(&self, reports: &mut [BufferReport]) {
        for (slot, report) in self.slots.iter().zip(reports) {
            if slot.state == BufferState::Collecting || slot.state != report.state {
                *report = slot.report(self.target_rows);
            }
        }
    }
}

#[cfg(test)]
mod tests;
