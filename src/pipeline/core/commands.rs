//! What people ask a machine's core to do. Times are those of frames: no clock.
//!
//! ```text
//! Command ─decide─▶ Done: in force, to be stored with the state
//!                 ├▶ Plan: another bundle; stored first, then `commit`
//!                 └▶ Refusal: nothing has changed
//! ```

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MachineCore;
use super::buffers::{Order, SlotExtra};
use super::labelling::Episode;
use super::learn::LearnOrder;
use super::sampling::Sampler;
use crate::bundle::{Bundle, ChangeKind, Stamp};
use crate::drift::Baseline;
use crate::types::{
    Answer, BufferReport, BufferState, Command, CommandCode, EventKind, ExportReport, Refusal, Scalar, Timestamp, one_line, reference_id,
};

/// Longest suspension and learning: a year.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;
/// A reference of fewer rows says nothing.
const FEWEST_ROWS: u32 = 20;

/// What commands have left behind, besides the bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    pub(super) suspended_until: Option<Timestamp>,
    pub(super) learning: Option<LearnOrder>,
    /// The own baseline before the last rebaseline.
    baseline: Option<Baseline>,
    /// Rows that the windows of each monitor (data, then a model each) have forgotten.
    pub(super) forgotten: Vec<u64>,
    slots: Vec<SlotExtra>,
    /// Labels so far, and when the last one came.
    labels: (u32, Timestamp),
    /// Time spent in each regime, ms.
    #[serde(default)]
    spent: Vec<u64>,
    /// Faults that nobody has said the truth of.
    #[serde(default)]
    faults: Vec<Episode>,
    /// What each buffer has collected outside the envelope.
    #[serde(default)]
    stretches: Vec<Vec<(u64, u64)>>,
    #[serde(default)]
    sampler: Sampler,
}

/// What a command has come to.
pub enum Decided {
    /// In force; durable once the state is stored.
    Done(Answer, Vec<EventKind>),
    /// To be stored, then committed.
    Plan(Box<Plan>),
}

/// A change of the references that is not in force yet.
pub struct Plan {
    pub bundle: Arc<Bundle>,
    pub(super) slot: u16,
    pub(super) keep_window: bool,
    /// Regime, old and new revision, and why: what the caller makes the answer from.
    pub regime: Arc<str>,
    pub old: u32,
    pub new: u32,
    pub kind: ChangeKind,
}

impl Plan {
    /// Slot of the regime; 0 is R01.
    pub fn slot(&self) -> u16 {
        self.slot
    }
}

fn invalid<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::InvalidState(why.into()))
}

fn done(text: impl Into<String>) -> Decided {
    Decided::Done(Answer::said(text), Vec::new())
}

impl MachineCore {
    /// Decides on a command. `clock` is the time now, for a machine that has had no row yet.
    pub fn decide(&mut self, command: &Command, user: &Arc<str>, clock: Timestamp) -> Result<Decided, Refusal> {
        let now = if self.now.row > 0 { self.now.time } else { clock };
        let row = self.now.row;
        let stamp = |comment: &Arc<str>| Stamp { row, time: now, user: user.to_string(), comment: short(comment) };
        match command {
            Command::StartReferenceLearning { regime, min_rows, max_seconds, comment } => {
                let until = deadline(now, *max_seconds, "MaxSeconds", 2)?;
                self.start_learning(regime, *min_rows, until, stamp(comment))
            }
            Command::FreezeReference { regime, comment } => self.freeze(regime, stamp(comment)),
            Command::AcceptDriftAsNewReference { regime, comment } => self.accept(regime, stamp(comment)),
            Command::DiscardReference { regime, comment } => self.discard(regime, stamp(comment)),
            Command::RestoreReference { regime, comment } => self.take_back(regime, stamp(comment)),
            Command::SuspendMonitoring { max_seconds, .. } => self.suspend(deadline(now, *max_seconds, "MaxSeconds", 0)?),
            Command::ResumeMonitoring => self.resume(),
            Command::ResetMonitor { monitor, .. } => self.reset_monitor(monitor),
            Command::Rebaseline { .. } => self.rebaseline(),
            Command::RestoreBaseline { .. } => self.restore_baseline(),
            Command::StartCollecting { slot, regime, target_rows, .. } => self.start_collecting(*slot, regime, *target_rows, now),
            Command::AcknowledgeBuffer { slot, dataset, .. } => self.acknowledge_buffer(*slot, dataset, user),
            Command::ReleaseBuffer { slot, dataset, .. } => self.release_dataset(*slot, dataset),
            Command::SubmitLabel { prediction, from, to, class, value, comment } => {
                let label = EventKind::Label {
                    prediction: prediction.clone(),
                    from: *from,
                    to: *to,
                    class: *class,
                    value: *value,
                    comment: short(comment),
                    user: user.clone(),
                    operator: "".into(),
                };
                self.label(prediction, (*from, *to), label, now)
            }
            other => Err(Refusal::NotSupported(format!("{} is not for a machine", other.name()))),
        }
    }

    /// Puts a plan in force. Its bundle must be stored.
    pub fn commit(&mut self, plan: &Plan) {
        if plan.kind == ChangeKind::Learned {
            self.learning = None;
        }
        self.replace_bundle(plan.bundle.clone(), plan.slot, plan.keep_window);
    }

    /// The codes that are possible now, a bit each.
    pub fn allowed(&self) -> u32 {
        let bundle = self.bundle.as_deref();
        let some_regime = |wanted: &dyn Fn(u16) -> bool| bundle.is_some_and(|b| (0..b.regimes.len() as u16).any(wanted));
        let reference = |slot: u16| bundle.and_then(|b| b.regimes.get(usize::from(slot)));
        let full = |slot: u16| {
            let (rows, capacity) = self.data.window_fill(slot);
            rows == capacity && reference(slot).is_some_and(|r| !r.is_empty())
        };
        let learning = self.learning.as_ref();
        let buffers = &self.buffers;
        let possible = [
            (CommandCode::StartReferenceLearning, bundle.is_some() && learning.is_none()),
            (CommandCode::FreezeReference, learning.is_some_and(|l| l.rows() >= FEWEST_ROWS)),
            (CommandCode::AcceptDriftAsNewReference, some_regime(&full)),
            (CommandCode::DiscardReference, some_regime(&|s| reference(s).is_some_and(|r| !r.is_empty()))),
            (CommandCode::RestoreReference, some_regime(&|s| reference(s).is_some_and(|r| r.previous().is_some()))),
            (CommandCode::SuspendMonitoring, bundle.is_some() && !self.suspended),
            (CommandCode::ResumeMonitoring, self.suspended),
            (CommandCode::ResetMonitor, bundle.is_some()),
            (CommandCode::Rebaseline, bundle.is_some()),
            (CommandCode::RestoreBaseline, self.baseline_before.is_some()),
            (CommandCode::StartCollecting, bundle.is_some() && buffers.any(|s| s == BufferState::Idle)),
            (CommandCode::ExportBuffer, buffers.any(|s| matches!(s, BufferState::Ready | BufferState::Exported))),
            (CommandCode::AcknowledgeBuffer, buffers.any(|s| matches!(s, BufferState::Ready | BufferState::Exported))),
            (CommandCode::ReleaseBuffer, buffers.any_releasable()),
            (CommandCode::SubmitLabel, self.now.row > 0),
        ];
        possible.iter().filter(|(_, possible)| *possible).fold(0, |bits, (code, _)| bits | code.bit())
    }

    /// Labels given by people so far, and when the last one came.
    pub fn labels(&self) -> (u32, Timestamp) {
        self.labels
    }

    /// The slot of a regime key; the active regime where the key is empty.
    pub(super) fn slot_of(&self, key: &str) -> Result<u16, Refusal> {
        let Some(bundle) = &self.bundle else {
            return invalid("there is no reference yet: the machine is still learning, or has no bundle");
        };
        if key.is_empty() {
            return self.verdict_slot().map_or_else(|| invalid("no known regime is active: name one by its key"), Ok);
        }
        bundle.slot_of(key).ok_or_else(|| {
            let keys: Vec<&str> = bundle.envelope.regimes.iter().map(|r| &*r.key).collect();
            Refusal::Argument { index: 0, text: format!("no regime has the key `{}`; known: {}", short(key), keys.join(", ")) }
        })
    }

    fn suspend(&mut self, until: Option<Timestamp>) -> Result<Decided, Refusal> {
        if self.bundle.is_none() {
            return invalid("nothing is monitored yet");
        }
        if self.suspended {
            return invalid("monitoring is suspended already; resume it first");
        }
        (self.suspended, self.suspended_until) = (true, until);
        Ok(done(until.map_or_else(|| "monitoring suspended until it is resumed".into(), |t| format!("monitoring suspended until {t}"))))
    }

    fn resume(&mut self) -> Result<Decided, Refusal> {
        if !self.suspended {
            return invalid("monitoring is not suspended");
        }
        (self.suspended, self.suspended_until) = (false, None);
        Ok(done("monitoring resumed"))
    }

    /// At each row: whether a suspension is over.
    pub(super) fn end_suspension(&mut self) {
        if self.suspended && self.suspended_until.is_some_and(|until| self.now.time >= until) {
            (self.suspended, self.suspended_until) = (false, None);
            self.push_event(EventKind::Note { text: format!("{}: monitoring resumed, its suspension is over", self.unit) });
        }
    }

    fn accept(&mut self, key: &str, stamp: Stamp) -> Result<Decided, Refusal> {
        let slot = self.slot_of(key)?;
        let Some(bundle) = self.bundle.clone() else { return invalid("there is no reference yet") };
        if self.learning.as_ref().is_some_and(|l| l.order.slot == Some(slot)) {
            return invalid("this regime is learning; freeze it, or wait");
        }
        let before = &bundle.regimes[usize::from(slot)];
        if before.is_empty() {
            return invalid("this regime has no reference; learn one, or restore the one before");
        }
        let (rows, capacity) = self.data.window_fill(slot);
        if rows < capacity {
            return invalid(format!("the window of this regime has only {rows} of {capacity} rows; wait until it is full"));
        }
        let columns = self.data.window_columns(slot);
        let reference = before.with_columns(&columns);
        let rows: Vec<Vec<f64>> = (0..rows).map(|i| columns.iter().map(|c| c[i]).collect()).collect();
        let scores = bundle.scores(&reference, rows.iter().map(Vec::as_slice));
        Ok(self.plan(slot, bundle.with_reference(slot, reference, scores, ChangeKind::Accepted, stamp), ChangeKind::Accepted))
    }

    fn discard(&mut self, key: &str, stamp: Stamp) -> Result<Decided, Refusal> {
        let slot = self.slot_of(key)?;
        let Some(bundle) = self.bundle.clone() else { return invalid("there is no reference yet") };
        if bundle.regimes[usize::from(slot)].is_empty() {
            return invalid("this regime has no reference");
        }
        Ok(self.plan(slot, bundle.without_reference(slot, stamp), ChangeKind::Discarded))
    }

    fn take_back(&mut self, key: &str, stamp: Stamp) -> Result<Decided, Refusal> {
        let slot = self.slot_of(key)?;
        let changed = self.bundle.as_ref().and_then(|b| b.with_previous(slot, stamp));
        let Some(changed) = changed else { return invalid("no other reference of this regime is kept") };
        Ok(self.plan(slot, changed, ChangeKind::Restored))
    }

    pub(super) fn plan(&self, slot: u16, mut bundle: Bundle, kind: ChangeKind) -> Decided {
        self.name_base(&mut bundle);
        let revision = |b: &Bundle| b.regimes.get(usize::from(slot)).map_or(0, |r| r.revision());
        let regime = bundle.envelope.regimes.get(usize::from(slot)).map_or_else(|| "".into(), |r| r.key.clone());
        let old = self.bundle.as_deref().map_or(0, revision);
        Decided::Plan(Box::new(Plan {
            new: revision(&bundle),
            bundle: Arc::new(bundle),
            slot,
            keep_window: kind == ChangeKind::Accepted,
            regime,
            old,
            kind,
        }))
    }

    /// The SHA-256 (hex) of the active bundle, once it is known: references are named by it.
    pub fn name_bundle(&mut self, hash: Arc<str>) {
        self.bundle_hash = hash;
    }

    pub(super) fn name_base(&self, bundle: &mut Bundle) {
        if bundle.provenance.base.is_empty() {
            bundle.provenance.base = self.bundle_hash.to_string();
        }
    }

    /// Name of a reference: the present one of a slot, or another revision.
    pub fn reference_id(&self, slot: u16, revision: u32) -> String {
        let base = self.bundle.as_ref().map(|b| b.provenance.base.as_str()).filter(|b| !b.is_empty());
        reference_id(base.unwrap_or(&self.bundle_hash), slot, revision)
    }

    /// Another bundle that differs in the reference of one regime: only that one starts anew.
    pub(super) fn replace_bundle(&mut self, bundle: Arc<Bundle>, slot: u16, keep_window: bool) {
        self.buffers.close_foreign(|key| bundle.slot_of(key));
        self.buffers.report_into(&mut self.verdict.buffers);
        self.bundle = Some(bundle);
        self.learning = self.learning.take().filter(|l| l.order.slot != Some(slot));
        self.data.renew(slot, keep_window);
        for state in &mut self.models {
            // Scores are of the residuals against the old reference.
            state.monitor.renew(slot, false);
        }
        self.recent.forget(slot);
        self.update_parameters();
        self.report_slots();
    }

    fn reset_monitor(&mut self, name: &str) -> Result<Decided, Refusal> {
        if self.bundle.is_none() {
            return invalid("nothing is monitored yet");
        }
        let names: Vec<Arc<str>> = self.verdict.monitors.iter().map(|m| m.name.clone()).collect();
        let Some(k) = names.iter().position(|n| **n == *name) else {
            let text = format!("no monitor `{}`; there are {}", short(name), names.join(", "));
            return Err(Refusal::OutOfRange(text));
        };
        let models = self.models.len();
        if k == 0 {
            self.data.clear();
        } else if k <= models {
            self.models[k - 1].monitor.clear();
        } else if let Some(labelled) = self.models.iter_mut().filter_map(|m| m.performance.as_mut()).nth(k - 1 - models) {
            labelled.monitor.reset();
            self.update_parameters();
        }
        if let Some(forgotten) = self.forgotten.get_mut(k) {
            *forgotten = self.now.row;
        }
        Ok(done(format!("monitor {name} starts anew")))
    }

    fn rebaseline(&mut self) -> Result<Decided, Refusal> {
        if self.bundle.is_none() {
            return invalid("there is no reference yet that a baseline could be held against");
        }
        let rows = match self.config.baseline_rows {
            0 => self.config.min_reference_rows,
            rows => rows,
        };
        self.baseline_before = Some(self.data.rebaseline(rows as usize));
        self.forgotten[0] = self.now.row;
        Ok(done(format!("a new baseline is learned from the next {rows} judged rows; the old one is kept")))
    }

    fn restore_baseline(&mut self) -> Result<Decided, Refusal> {
        let Some(before) = self.baseline_before.take() else { return invalid("no other baseline is kept") };
        self.baseline_before = Some(self.data.set_baseline(before));
        self.forgotten[0] = self.now.row;
        Ok(done("the baseline before is in force again; the other one is kept"))
    }

    fn start_collecting(&mut self, slot: Option<u16>, key: &str, target_rows: u32, now: Timestamp) -> Result<Decided, Refusal> {
        let regime = self.slot_of(key)?;
        if target_rows > 1_000_000 {
            return Err(Refusal::Argument { index: 1, text: format!("`{target_rows}` rows are too many; 1,000,000 at most") });
        }
        let free = |k: &usize| self.buffers.slot(*k).is_some_and(|(state, ..)| state == BufferState::Idle);
        let Some(slot) = slot.map_or_else(|| (0..super::buffers::SLOTS).find(free), |s| Some(usize::from(s)).filter(free)) else {
            return invalid("the buffer is in use; release it first");
        };
        let Some(regime_key) = self.bundle.as_ref().and_then(|b| b.envelope.regimes.get(usize::from(regime))).map(|r| r.key.clone()) else {
            return invalid("this regime is not known");
        };
        self.buffers.start_asked(slot, &Order { row: self.now.row, time: now, regime, regime_key: &regime_key, target_rows });
        let dataset = self.buffers.slot(slot).map_or_else(|| "".into(), |(_, id, _)| id.clone());
        let text = format!("buffer B{:02} collects rows of {regime_key}", slot + 1);
        Ok(self.buffer_done(slot, Answer { outputs: vec![Scalar::Text(dataset)], text, ..Answer::default() }))
    }

    fn acknowledge_buffer(&mut self, slot: Option<u16>, dataset: &str, user: &Arc<str>) -> Result<Decided, Refusal> {
        let fetched = |state| matches!(state, BufferState::Ready | BufferState::Exported);
        let slot = self.holding(slot, dataset, &fetched, "holds no data to acknowledge")?;
        self.buffers.acknowledge(slot, user);
        Ok(self.buffer_done(slot, Answer::said(format!("the data of buffer B{:02} was fetched", slot + 1))))
    }

    fn release_dataset(&mut self, slot: Option<u16>, dataset: &str) -> Result<Decided, Refusal> {
        let slot = self.holding(slot, dataset, &|state| state != BufferState::Idle, "holds nothing to release")?;
        let event = self.buffer_event(slot);
        if !self.buffers.release(slot) {
            let why = match self.buffers.slot(slot) {
                Some((BufferState::Exporting, ..)) => "is being exported; wait until that has ended",
                _ => "collects because of a warning; it can be released when it is ready",
            };
            return invalid(format!("buffer B{:02} {why}", slot + 1));
        }
        self.verdict.buffers = self.buffers.reports();
        Ok(Decided::Done(Answer::said(format!("buffer B{:02} is free", slot + 1)), event.map(released).into_iter().collect()))
    }

    /// The slot that a data set lies in, in one of the wanted states.
    pub fn holding(&self, slot: Option<u16>, dataset: &str, wanted: &dyn Fn(BufferState) -> bool, why: &str) -> Result<usize, Refusal> {
        let fits =
            |k: &usize| self.buffers.slot(*k).is_some_and(|(state, id, _)| wanted(state) && (dataset.is_empty() || **id == *dataset));
        let found = slot.map_or_else(|| (0..super::buffers::SLOTS).find(fits), |s| Some(usize::from(s)).filter(fits));
        match (found, slot) {
            (Some(found), _) => Ok(found),
            (None, Some(slot)) if !dataset.is_empty() => {
                let there = self.buffers.slot(usize::from(slot)).map_or("", |(_, id, _)| id);
                if *there == *dataset {
                    return invalid(format!("buffer B{:02} {why}", slot + 1));
                }
                let text = format!("buffer B{:02} has the data set `{there}`, not `{}`", slot + 1, short(dataset));
                Err(Refusal::Argument { index: 0, text })
            }
            (None, Some(slot)) => invalid(format!("buffer B{:02} {why}", slot + 1)),
            (None, None) if dataset.is_empty() => {
                invalid(format!("no buffer {}", why.replacen("holds no", "holds", 1).replacen("nothing", "anything", 1)))
            }
            (None, None) => Err(Refusal::OutOfRange(format!("no buffer has the data set `{}` in a state for this", short(dataset)))),
        }
    }

    /// A file is to be written from a buffer: of the data set, or of one that nobody has exported yet. Its slot and what it holds.
    pub fn start_export(&mut self, slot: Option<u16>, dataset: &str) -> Result<(usize, BufferReport, Option<EventKind>), Refusal> {
        let ready = |state| state == BufferState::Ready;
        let again = |state| state == BufferState::Exported;
        let why = "holds no data to export";
        let slot = self.holding(slot, dataset, &ready, why).or_else(|_| self.holding(slot, dataset, &|s| ready(s) || again(s), why))?;
        self.buffers.start_export(slot);
        self.verdict.buffers = self.buffers.reports();
        Ok((slot, self.verdict.buffers[slot].clone(), self.buffer_event(slot)))
    }

    /// The file was written, or why it was not; the event of the new state.
    pub fn end_export(&mut self, slot: usize, dataset: &str, export: Result<ExportReport, Arc<str>>) -> Option<EventKind> {
        let known = self.buffers.end_export(slot, dataset, export);
        self.verdict.buffers = self.buffers.reports();
        self.buffer_event(slot).filter(|_| known)
    }

    /// Slots that are ready and not exported yet, with their data sets.
    pub fn unexported(&self) -> impl Iterator<Item = (usize, Arc<str>)> + '_ {
        self.buffers.unexported()
    }

    /// After a restart: no file is being written.
    pub fn forget_exports(&mut self) {
        self.buffers.forget_exports();
        self.verdict.buffers = self.buffers.reports();
    }

    fn buffer_done(&mut self, slot: usize, answer: Answer) -> Decided {
        self.verdict.buffers = self.buffers.reports();
        Decided::Done(answer, self.buffer_event(slot).into_iter().collect())
    }

    fn buffer_event(&self, slot: usize) -> Option<EventKind> {
        let report = self.buffers.reports().into_iter().nth(slot)?;
        Some(EventKind::Buffer {
            slot: slot as u16,
            state: report.state,
            reason: report.reason,
            regime: Some(report.regime_key),
            rows: report.rows,
            dataset_id: report.dataset_id,
        })
    }

    fn label(&mut self, prediction: &str, span: (Timestamp, Timestamp), label: EventKind, now: Timestamp) -> Result<Decided, Refusal> {
        if self.now.row == 0 {
            return invalid("there is no row yet that a label could be of");
        }
        let wrong = |index: usize, text: String| Err(Refusal::Argument { index, text });
        if prediction.is_empty() {
            if span.0 <= Timestamp::EPOCH || span.1 < span.0 {
                return wrong(1, "without a PredictionId, FromTime and ToTime say which rows are meant".into());
            }
        } else {
            let row =
                prediction.strip_prefix(&*self.config.name).and_then(|rest| rest.strip_prefix('-')).and_then(|r| r.parse::<u64>().ok());
            if row.is_none_or(|row| row == 0 || row > self.now.row) {
                return wrong(
                    0,
                    format!("no prediction has the id `{}`; they are {}-1 to {0}-{}", short(prediction), self.config.name, self.now.row),
                );
            }
        }
        if let EventKind::Label { class, value, .. } = &label {
            let classes = &self.config.classes;
            if !classes.is_empty() && usize::from(*class) >= classes.len() {
                return wrong(3, format!("there is no class {class}: 0 to {}, see ClassNames", classes.len() - 1));
            }
            if value.is_infinite() {
                return wrong(4, "TrueValue is not finite".into());
            }
        }
        self.labels = (self.labels.0.saturating_add(1), now);
        let text = self.give_label(prediction, span, &label);
        Ok(Decided::Done(Answer::said(text), vec![label]))
    }

    /// What [`Self::restore_orders`] takes; `None` where no command has left anything.
    pub(super) fn orders(&self) -> Option<Orders> {
        let orders = Orders {
            suspended_until: self.suspended_until,
            learning: self.learning.as_ref().map(|l| l.order.clone()),
            baseline: self.baseline_before.clone(),
            forgotten: if self.forgotten.iter().all(|f| *f == 0) { Vec::new() } else { self.forgotten.clone() },
            slots: Some(self.buffers.extras()).filter(|e| e.iter().any(|e| *e != SlotExtra::default())).unwrap_or_default(),
            labels: self.labels,
            spent: self.labelling.spent(),
            faults: self.labelling.faults(),
            stretches: self.buffers.all_stretches(),
            sampler: self.sampler.clone(),
        };
        (orders != Orders::default()).then_some(orders)
    }

    pub(super) fn restore_orders(&mut self, orders: Option<&Orders>) {
        let orders = orders.cloned().unwrap_or_default();
        self.suspended_until = orders.suspended_until;
        if self.learning.as_ref().map(|l| &l.order) != orders.learning.as_ref() {
            self.learning = orders.learning.map(super::learn::Learning::new);
        }
        self.baseline_before = orders.baseline;
        self.forgotten.fill(0);
        for (ours, theirs) in self.forgotten.iter_mut().zip(orders.forgotten) {
            *ours = theirs;
        }
        self.buffers.restore_extras(&orders.slots);
        self.buffers.restore_stretches(orders.stretches);
        self.sampler = orders.sampler;
        self.labels = orders.labels;
        self.labelling.restore(orders.spent, orders.faults);
    }
}

/// A slot that is let go: as it was, but idle.
fn released(event: EventKind) -> EventKind {
    match event {
        EventKind::Buffer { slot, reason, regime, rows, dataset_id, .. } => {
            EventKind::Buffer { slot, state: BufferState::Idle, reason, regime, rows, dataset_id }
        }
        other => other,
    }
}

/// `None`: without a limit.
fn deadline(now: Timestamp, seconds: f64, name: &str, index: usize) -> Result<Option<Timestamp>, Refusal> {
    if !(0.0..=MAX_SECONDS).contains(&seconds) {
        let text = format!("{name}: `{seconds}` is out of range; 0 (no limit) to {MAX_SECONDS}");
        return Err(Refusal::Argument { index, text });
    }
    Ok((seconds > 0.0).then(|| now.plus(Duration::from_secs_f64(seconds))))
}

/// What comes from outside, as long as a node or an event can bear.
pub(super) fn short(text: &str) -> String {
    one_line(text)
}

/// At least so many rows make a reference.
pub(super) const fn fewest_rows() -> u32 {
    FEWEST_ROWS
}
