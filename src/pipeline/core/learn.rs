//! Learning the reference of one regime anew, while the others are watched.
//!
//! ```text
//! StartReferenceLearning ─▶ rows of the regime collected, not judged ─ enough rows, or FreezeReference ─▶ another bundle
//!                                        └─ its time is over ─▶ the reference before stays in force
//! ```
//! A regime that no training knows gets a slot of its own: its data is watched, its predictions are not trusted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::MachineCore;
use super::commands::{Decided, fewest_rows};
use crate::bundle::{Bundle, ChangeKind, Stamp, Training};
use crate::regime::{Cell, Place, Regime};
use crate::types::{Answer, EventKind, NotEvaluated, Refusal, RegimeState, Scalar, Timestamp};

/// Rows collected at most where nobody freezes.
const MOST_ROWS: u32 = 100_000;

/// What is to be learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnOrder {
    /// `None`: a regime that is not known yet.
    pub slot: Option<u16>,
    /// Settings of a regime that is not known yet.
    cells: Vec<Cell>,
    key: Arc<str>,
    rows: u32,
    until: Option<Timestamp>,
    stamp: Stamp,
}

/// A learning under way.
#[derive(Clone, Debug)]
pub struct Learning {
    pub order: LearnOrder,
    training: Training,
}

impl Learning {
    pub fn new(order: LearnOrder) -> Self {
        Self { order, training: Training::default() }
    }

    /// Rows so far.
    pub fn rows(&self) -> u32 {
        self.training.rows.len() as u32
    }
}

impl MachineCore {
    pub(super) fn start_learning(&mut self, key: &str, min_rows: u32, until: Option<Timestamp>, stamp: Stamp) -> Result<Decided, Refusal> {
        if self.bundle.is_none() {
            return Err(Refusal::InvalidState("there is no bundle: all regimes are learned together at first".into()));
        }
        if let Some(learning) = &self.learning {
            return Err(Refusal::InvalidState(format!("{} is being learned; freeze it, or wait", learning.order.key)));
        }
        let rows = if min_rows == 0 { self.config.min_reference_rows } else { min_rows };
        if !(fewest_rows()..=MOST_ROWS).contains(&rows) {
            let text = format!("MinRows: `{rows}` is out of range; 0 (as configured) or {} to {MOST_ROWS}", fewest_rows());
            return Err(Refusal::Argument { index: 1, text });
        }
        let order = self.order(key, rows, until, stamp)?;
        let slot = order.slot.unwrap_or_else(|| self.next_slot());
        let text = format!("learning the reference of {} from {rows} rows", order.key);
        let id = self.reference_id(slot, self.next_revision(order.slot));
        self.learning = Some(Learning::new(order));
        self.report_learning();
        Ok(Decided::Done(Answer { outputs: vec![Scalar::Text(id.into())], text, ..Answer::default() }, Vec::new()))
    }

    fn order(&self, key: &str, rows: u32, until: Option<Timestamp>, stamp: Stamp) -> Result<LearnOrder, Refusal> {
        let outside = matches!(self.now.place, Place::Outside { .. }) && self.now.readable;
        if outside && (key.is_empty() || *key == *self.verdict.regime.key) {
            if self.next_slot() >= self.config.regime_slots {
                let text = format!("all {} regime slots are in use; raise regime_slots", self.config.regime_slots);
                return Err(Refusal::InvalidState(text));
            }
            // A continuous setting is no part of a regime.
            let cells = self.now.cells.iter().map(|c| if let Cell::Value(_) = c { Cell::Any } else { c.clone() });
            return Ok(LearnOrder { slot: None, cells: cells.collect(), key: self.verdict.regime.key.clone(), rows, until, stamp });
        }
        let slot = self.slot_of(key)?;
        let key = self.bundle.as_ref().and_then(|b| b.envelope.regimes.get(usize::from(slot))).map_or_else(|| "".into(), |r| r.key.clone());
        Ok(LearnOrder { slot: Some(slot), cells: Vec::new(), key, rows, until, stamp })
    }

    /// Where a regime that is not known would go.
    fn next_slot(&self) -> u16 {
        self.bundle.as_ref().map_or(0, |b| b.regimes.len() as u16)
    }

    fn next_revision(&self, slot: Option<u16>) -> u32 {
        let reference = slot.and_then(|s| self.bundle.as_ref()?.regimes.get(usize::from(s)));
        reference.map_or(1, |r| r.revision().max(r.previous().map_or(0, |p| p.revision)) + 1)
    }

    /// Whether the present row is one that a learning under way waits for.
    pub(super) fn is_learned_from(&self) -> bool {
        let Some(order) = self.learning.as_ref().map(|l| &l.order) else { return false };
        match (order.slot, &self.now.place) {
            (Some(slot), Place::Known { slot: here, .. }) => slot == *here,
            (None, Place::Outside { .. }) => self.now.readable && self.rules.distance(&order.cells, &self.stripped()) <= 1.0,
            _ => false,
        }
    }

    /// The present settings without the continuous ones.
    fn stripped(&self) -> Vec<Cell> {
        self.now.cells.iter().map(|c| if let Cell::Value(_) = c { Cell::Any } else { c.clone() }).collect()
    }

    /// Starts to learn the present settings by itself, where they are outside and the configuration wants it.
    pub(super) fn learn_by_itself(&mut self) {
        let wanted = self.config.auto_learn_new_regime && self.learning.is_none() && self.training.is_none() && !self.suspended;
        let outside = matches!(self.now.place, Place::Outside { .. }) && self.now.readable && self.now.producing == Some(true);
        if !(wanted && outside) || self.bundle.is_none() || self.next_slot() >= self.config.regime_slots {
            return;
        }
        let key: Arc<str> = self.rules.key(&self.stripped()).into();
        let stamp = Stamp { row: self.now.row, time: self.now.time, user: "AutoLearnNewRegime".into(), comment: String::new() };
        let order =
            LearnOrder { slot: None, cells: self.stripped(), key: key.clone(), rows: self.config.min_reference_rows, until: None, stamp };
        self.learning = Some(Learning::new(order));
        self.push_event(EventKind::Note { text: format!("{}: {key} is new and is being learned", self.unit) });
        self.report_learning();
    }

    /// Ends a learning whose time is over, and takes the present row in; another bundle where there are enough now.
    pub(super) fn learn_regime(&mut self) -> Option<Arc<Bundle>> {
        let learning = self.learning.as_ref()?;
        if learning.order.until.is_some_and(|until| self.now.time >= until) {
            let text = format!(
                "{}: learning {} has ended, its time is over with {} of {} rows; nothing has changed",
                self.unit,
                learning.order.key,
                learning.rows(),
                learning.order.rows
            );
            self.learning = None;
            self.push_event(EventKind::Note { text });
            self.report_slots();
            return None;
        }
        if self.now.not_evaluated != Some(NotEvaluated::Learning) {
            return None;
        }
        let row = self.training_row()?;
        let freezes = self.config.freeze_after_learning;
        let learning = self.learning.as_mut()?;
        if learning.rows() < MOST_ROWS {
            learning.training.rows.push(row);
        }
        let enough = learning.rows() >= learning.order.rows;
        self.report_learning();
        if !(enough && freezes) {
            return None;
        }
        let (mut bundle, slot) = self.learned()?;
        self.name_base(&mut bundle);
        let reference = &bundle.regimes[usize::from(slot)];
        let regime = bundle.envelope.regimes[usize::from(slot)].key.clone();
        let change = self.change_event(&bundle, slot, "learned");
        self.push_event(EventKind::Reference { regime, rows: reference.rows });
        self.push_event(change);
        let bundle = Arc::new(bundle);
        self.learning = None;
        self.replace_bundle(bundle.clone(), slot, false);
        Some(bundle)
    }

    /// The bundle with what was learned, and where.
    fn learned(&self) -> Option<(Bundle, u16)> {
        let (learning, bundle) = (self.learning.as_ref()?, self.bundle.as_ref()?);
        let order = &learning.order;
        let stamp = Stamp { row: self.now.row, ..order.stamp.clone() };
        let regime = match order.slot {
            Some(slot) => bundle.envelope.regimes.get(usize::from(slot))?.clone(),
            None => Regime { cells: order.cells.clone(), key: "".into(), support: None },
        };
        let envelope = self.tuned.as_ref().unwrap_or(&bundle.envelope);
        let (regime, mut reference, rows) = learning.training.learn_regime(envelope, regime);
        Some(match order.slot {
            Some(slot) => {
                reference.untrained = bundle.regimes.get(usize::from(slot))?.untrained;
                let scores = bundle.scores(&reference, rows.iter().map(Vec::as_slice));
                (bundle.with_reference(slot, reference, scores, ChangeKind::Learned, stamp), slot)
            }
            None => (bundle.with_regime(regime, reference, stamp), bundle.regimes.len() as u16),
        })
    }

    /// Ends the learning under way with the rows that are there.
    pub(super) fn freeze(&mut self, key: &str, stamp: Stamp) -> Result<Decided, Refusal> {
        let Some(learning) = &mut self.learning else {
            return Err(Refusal::InvalidState("nothing is being learned: all references are frozen".into()));
        };
        if !key.is_empty() && *key != *learning.order.key {
            let text = format!("`{}` is being learned, not this regime", learning.order.key);
            return Err(Refusal::Argument { index: 0, text });
        }
        if learning.rows() < fewest_rows() {
            let text = format!("only {} rows so far; a reference needs {} at least", learning.rows(), fewest_rows());
            return Err(Refusal::InvalidState(text));
        }
        learning.order.stamp = stamp;
        let Some((bundle, slot)) = self.learned() else {
            return Err(Refusal::InvalidState("the regime is not known any more".into()));
        };
        Ok(self.plan(slot, bundle, ChangeKind::Learned))
    }

    /// What the slot of the regime that is being learned shows.
    pub(super) fn report_learning(&mut self) {
        let Some(learning) = &self.learning else { return };
        let (order, rows) = (&learning.order, learning.rows());
        let slot = order.slot.unwrap_or_else(|| self.next_slot());
        let Some(report) = self.verdict.regimes.get_mut(usize::from(slot)) else { return };
        report.in_use = true;
        if report.key != order.key {
            report.key = order.key.clone();
        }
        report.state = RegimeState::Learning;
        (report.rows_learned, report.rows_required) = (rows, order.rows);
    }

    pub(super) fn change_event(&self, bundle: &Bundle, slot: u16, reason: &str) -> EventKind {
        let revision = |b: &Bundle| b.regimes.get(usize::from(slot)).map(|r| self.reference_id(slot, r.revision()));
        let regime = bundle.envelope.regimes.get(usize::from(slot)).map_or_else(|| "".into(), |r| r.key.clone());
        let user = bundle.regimes.get(usize::from(slot)).and_then(|r| r.change.as_ref()).map_or("", |c| &c.stamp.user);
        EventKind::ReferenceChanged {
            regime,
            old: self.bundle.as_deref().and_then(revision).unwrap_or_default().into(),
            new: revision(bundle).unwrap_or_default().into(),
            reason: reason.into(),
            user: user.into(),
        }
    }
}
