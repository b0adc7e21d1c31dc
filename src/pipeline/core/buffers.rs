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

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{BufferConfig, MachineConfig};
use crate::types::{BufferReason, BufferReport, BufferState, DriftStatus, ExportReport, Timestamp};

/// Buffers of a machine.
pub const SLOTS: usize = 4;

/// Buffers that rows outside the envelope may have at a time.
const OUTSIDE_SLOTS: usize = 2;
/// Stands for the regime where there is none.
const OUTSIDE: u16 = u16::MAX;
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

    /// Frees the slot of rows outside the envelope that has the fewest, while it collects.
    fn give_way(&mut self, changes: &mut Vec<Change>) -> Option<usize> {
        let collects = |s: &Slot| s.is_outside() && s.state == BufferState::Collecting;
        let k = (0..self.slots.len()).filter(|k| collects(&self.slots[*k])).min_by_key(|k| self.slots[*k].rows)?;
        self.end(k, changes);
        Some(k)
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
mod tests {
    use super::*;
    use DriftStatus::{Drift, OK, Warning};

    fn buffers(target_rows: u32, enough: u32) -> Buffers {
        Buffers {
            machine: "M".into(),
            target_rows,
            rows_before: 2,
            enough,
            slots: vec![Slot::idle(); SLOTS],
            recent: vec![VecDeque::new(); 2],
        }
    }

    /// States of B01 after each row of regime 0.
    fn run(b: &mut Buffers, statuses: &[DriftStatus]) -> Vec<BufferState> {
        let key: Arc<str> = "V=164".into();
        let mut changes = vec![];
        let each = statuses.iter().enumerate().map(|(i, status)| {
            let time = Timestamp::from_nanos(i as i64);
            let row = BufferRow { row: i as u64, time, regime: 0, regime_key: &key, status: *status, reason: BufferReason::DataDrift };
            b.step(&row, &mut changes);
            b.slots[0].state
        });
        each.collect()
    }

    #[test]
    fn collects_from_before_the_warning_and_is_ready_at_the_drift() {
        let mut b = buffers(100, 5);
        let states = run(&mut b, &[OK, OK, OK, Warning, Warning, Drift, Drift]);
        assert_eq!(states[3], BufferState::Collecting);
        assert_eq!(states[5], BufferState::Ready);
        let report = &b.reports()[0];
        assert_eq!((report.rows, report.oldest), (5, Timestamp::from_nanos(1)), "two rows from before");
        assert_eq!(&*report.dataset_id, "M-R01-DataDrift-3");
        assert!(b.release(0) && !b.release(0));
    }

    #[test]
    fn what_was_asked_for_is_collected_to_its_target_without_any_warning() {
        let mut b = buffers(100, 2);
        let key: Arc<str> = "V=164".into();
        let order = Order { row: 7, time: Timestamp::EPOCH, regime: 0, regime_key: &key, target_rows: 3 };
        assert!(b.start_asked(0, &order) && !b.start_asked(0, &order), "taken");
        assert!(!b.acknowledge(0, &"eva".into()), "nothing to fetch yet");
        let states = run(&mut b, &[OK, Drift, OK, OK]);
        assert_eq!(states, [BufferState::Collecting, BufferState::Collecting, BufferState::Ready, BufferState::Ready]);
        assert_eq!((b.slots[0].oldest, b.slots[0].newest), (Timestamp::EPOCH, Timestamp::from_nanos(2)));
        assert_eq!((b.reports()[0].rows, b.reports()[0].target_rows), (3, 3));
        assert!(b.acknowledge(0, &"eva".into()) && !b.acknowledge(0, &"eva".into()));
        assert_eq!(&*b.reports()[0].acknowledged_by, "eva");
        let (kept, extras) = (b.clone(), b.extras());
        let mut again = buffers(100, 2);
        again.restore(&serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap());
        again.restore_extras(&extras);
        assert_eq!(again.reports(), b.reports());
        assert!(b.release(0) && b.start_asked(0, &order) && b.release(0), "what was asked for can be called off");
        // A warning has a buffer of its own beside it.
        assert!(b.start_asked(1, &order));
        run(&mut b, &[Warning, Warning]);
        let rows: Vec<_> = b.reports().iter().map(|r| (r.state, r.reason, r.rows)).collect();
        assert_eq!(rows[0], (BufferState::Collecting, BufferReason::DataDrift, 4));
        assert_eq!(rows[1], (BufferState::Collecting, BufferReason::OperatorRequest, 2));
    }

    #[test]
    fn a_fading_warning_lets_go_and_a_ready_buffer_is_frozen() {
        assert_eq!(run(&mut buffers(100, 5), &[Warning, Warning, OK])[2], BufferState::Idle);
        let mut b = buffers(4, 4);
        let states = run(&mut b, &[Warning, Warning, Warning, Warning, Warning, OK, Warning]);
        assert_eq!(states[3..], vec![BufferState::Ready; 4][..]);
        assert_eq!(b.reports()[0].rows, 4);
    }

    #[test]
    fn an_export_goes_on_or_back() {
        let mut b = buffers(2, 2);
        assert!(!b.start_export(0), "nothing to write");
        assert_eq!(b.unexported().count(), 0);
        run(&mut b, &[Warning, Warning]);
        let id = b.reports()[0].dataset_id.clone();
        assert_eq!(b.unexported().collect::<Vec<_>>(), [(0, id.clone())]);
        let states = |b: &Buffers| (b.slots[0].state, b.reports()[0].trouble.to_string());
        assert!(b.start_export(0) && !b.start_export(0) && !b.release(0) && !b.acknowledge(0, &"eva".into()));
        assert!(b.end_export(0, &id, Err("disk full".into())));
        assert_eq!(states(&b), (BufferState::Ready, "disk full".into()), "nothing is lost");
        assert_eq!(b.unexported().count(), 1, "to be tried again");
        assert!(b.start_export(0));
        let export = ExportReport { file: "f".into(), rows: 2, ..ExportReport::default() };
        assert!(b.end_export(0, &id, Ok(export)));
        assert_eq!(states(&b), (BufferState::Exported, String::new()));
        assert_eq!(b.unexported().count(), 0, "once is enough");
        // Again, and the gateway ends meanwhile.
        assert!(b.start_export(0));
        b.forget_exports();
        assert_eq!(b.slots[0].state, BufferState::Exported);
        assert!(b.acknowledge(0, &"eva".into()) && b.release(0));
        assert!(!b.end_export(0, &id, Ok(ExportReport::default())), "another data set");
        assert_eq!(b.reports()[0].export, None);
    }

    /// Rows (number, key) outside; states, keys and rows of all slots after them.
    fn outside(b: &mut Buffers, rows: impl IntoIterator<Item = (u64, &'static str)>) -> Vec<(BufferState, String, u32)> {
        let mut changes = vec![];
        for (row, key) in rows {
            b.step_outside(row, Timestamp::from_nanos(row as i64), &key.into(), &mut changes);
        }
        b.reports().iter().map(|r| (r.state, r.regime_key.to_string(), r.rows)).collect()
    }

    #[test]
    fn what_was_never_trained_is_collected_over_all_its_visits() {
        let mut b = buffers(5, 3);
        let slots = outside(&mut b, (10..13).map(|r| (r, "V=289")).chain([(20, "V=350"), (30, "V=289")]));
        assert_eq!(slots[3], (BufferState::Collecting, "V=289".into(), 4), "from the last slot on");
        assert_eq!(slots[2], (BufferState::Collecting, "V=350".into(), 1));
        assert_eq!(slots[..2], vec![(BufferState::Idle, String::new(), 0); 2]);
        assert_eq!(outside(&mut b, [(40, "V=400")])[2], (BufferState::Collecting, "V=400".into(), 1), "one row of 350 V was passing");
        assert_eq!(outside(&mut b, [(41, "V=289"), (42, "V=289")])[3], (BufferState::Ready, "V=289".into(), 5), "frozen");
        assert_eq!(b.stretches(3), [(10, 12), (30, 30), (41, 41)]);
        let reports = b.reports();
        assert_eq!((reports[3].reason, &*reports[3].dataset_id), (BufferReason::OutOfEnvelope, "M-OutOfEnvelope-10"));
        assert_eq!((reports[3].oldest, reports[3].newest), (Timestamp::from_nanos(10), Timestamp::from_nanos(41)));
        // A drift takes a free slot, and then that of one that still collects.
        let order = Order { row: 7, time: Timestamp::EPOCH, regime: 1, regime_key: &"V".into(), target_rows: 3 };
        assert!(b.start_asked(0, &order) && b.start_asked(1, &order));
        run(&mut b, &[Warning]);
        let reasons: Vec<_> = b.reports().iter().map(|r| r.reason).collect();
        assert_eq!(reasons[2..], [BufferReason::DataDrift, BufferReason::OutOfEnvelope]);
    }

    #[test]
    fn what_is_learned_is_not_outside_any_more() {
        let mut b = buffers(50, 3);
        outside(&mut b, [(1, "V=289"), (2, "V=350")]);
        b.close_foreign(|key| (key == "V=289").then_some(1));
        let states: Vec<_> = b.reports().iter().map(|r| r.state).collect();
        assert_eq!(states[2..], [BufferState::Collecting, BufferState::Ready]);
        let kept = serde_json::to_string(&b).unwrap();
        let mut again = buffers(50, 3);
        again.restore(&serde_json::from_str(&kept).unwrap());
        again.restore_extras(&b.extras());
        again.restore_stretches(b.all_stretches());
        assert_eq!((again.reports(), again.stretches(2)), (b.reports(), &[(2, 2)][..]));
        assert_eq!(outside(&mut again, [(3, "V=350")])[2].2, 2, "it goes on after a restart");
    }

    #[test]
    fn two_regimes_do_not_share_a_slot() {
        let mut b = buffers(100, 50);
        let key: Arc<str> = "V".into();
        let mut changes = vec![];
        for regime in [0, 1, 0] {
            let time = Timestamp::EPOCH;
            let row = BufferRow { row: 1, time, regime, regime_key: &key, status: Warning, reason: BufferReason::DataDrift };
            b.step(&row, &mut changes);
        }
        assert_eq!(changes.len(), 2);
        assert_eq!((b.slots[0].regime, b.slots[1].regime), (0, 1));
    }
}
