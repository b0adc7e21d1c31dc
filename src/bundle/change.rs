//! References changed at the machine: a bundle with another one in a regime, and the one before kept for undo. Pure: what is in
//! force is always one whole bundle.

use serde::{Deserialize, Serialize};

use super::{Bundle, RegimeReference, Training};
use crate::drift::metric::Reference;
use crate::drift::performance::LabelledScores;
use crate::regime::{Cell, Regime, RegimeTable};
use crate::types::Timestamp;

/// How a reference came about.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeKind {
    /// The rows of a window.
    Accepted,
    /// Rows that were collected for it.
    Learned,
    /// There is none.
    Discarded,
    /// The one before, taken back.
    Restored,
}

impl ChangeKind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Learned => "learned",
            Self::Discarded => "discarded",
            Self::Restored => "restored",
        }
    }
}

/// The last change of a regime's reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceChange {
    pub kind: ChangeKind,
    /// Counts the references that this regime has had; the trained one is 0.
    pub revision: u32,
    pub stamp: Stamp,
    /// What was in force before; `None` for the first reference of a regime that no training knows.
    pub previous: Option<Box<Previous>>,
}

/// When a change was made, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// Last row that was judged by the reference before.
    pub row: u64,
    pub time: Timestamp,
    pub user: String,
    pub comment: String,
}

/// A reference that is kept for undo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    pub reference: RegimeReference,
    /// Of each model.
    pub scores: Vec<Option<Reference>>,
    pub revision: u32,
}

impl RegimeReference {
    /// Which reference of its regime it is; 0 is the trained one.
    pub fn revision(&self) -> u32 {
        self.change.as_ref().map_or(0, |c| c.revision)
    }

    /// Whether one is kept that could be restored.
    pub fn previous(&self) -> Option<&Previous> {
        self.change.as_ref()?.previous.as_deref()
    }

    /// From columns of adjusted features, a feature each; what continuous settings explain stays as it was.
    pub fn with_columns(&self, columns: &[Vec<f64>]) -> Self {
        let references: Vec<_> = columns.iter().map(|c| Reference::new(c).ok()).collect();
        Self {
            rows: columns.iter().map(Vec::len).max().unwrap_or(0) as u32,
            mean: references.iter().map(|r| r.as_ref().map_or(f64::NAN, Reference::mean)).collect(),
            sd: references.iter().map(|r| r.as_ref().map_or(0.0, Reference::sd)).collect(),
            references,
            regression: self.regression.clone(),
            untrained: self.untrained,
            change: None,
        }
    }
}

impl Bundle {
    /// Whether any reference is another one than at the training.
    pub fn is_changed(&self) -> bool {
        self.regimes.iter().any(|r| r.change.is_some())
    }

    /// The slot of a regime key.
    pub fn slot_of(&self, key: &str) -> Option<u16> {
        self.envelope.regimes.iter().position(|r| *r.key == *key).map(|s| s as u16)
    }

    /// Scores of rows (adjusted features) against a reference, a sample for each model; none where no model knows the regime.
    pub fn scores<'a>(&self, reference: &RegimeReference, rows: impl Iterator<Item = &'a [f64]> + Clone) -> Vec<Option<Reference>> {
        let of = |model: &super::BundleModel| {
            if reference.untrained {
                return None;
            }
            let complete = rows.clone().filter(|row| model.inputs.iter().all(|k| row[*k].is_finite()));
            let mut inputs = Vec::with_capacity(model.inputs.len());
            let scores: Vec<f64> = complete
                .map(|row| {
                    inputs.clear();
                    inputs.extend(model.inputs.iter().map(|k| reference.residual(*k, row[*k])));
                    model.model.score(&inputs)
                })
                .collect();
            Reference::new(&scores).ok()
        };
        self.models.iter().map(of).collect()
    }

    /// With another reference in a regime; the one before is kept. A slot that does not exist changes nothing.
    pub fn with_reference(
        &self,
        slot: u16,
        reference: RegimeReference,
        scores: Vec<Option<Reference>>,
        kind: ChangeKind,
        stamp: Stamp,
    ) -> Self {
        let mut changed = self.clone();
        let at = usize::from(slot);
        let Some(place) = changed.regimes.get_mut(at) else { return changed };
        let revision = self.newest_revision(at) + 1;
        let before = std::mem::replace(place, reference);
        let kept = std::mem::take(&mut changed.models).into_iter().zip(scores).map(|(mut model, score)| {
            let old = model.scores.get_mut(at).and_then(|s| std::mem::replace(s, score));
            (model, old)
        });
        let (models, old): (Vec<_>, Vec<_>) = kept.unzip();
        changed.models = models;
        let previous = Previous { revision: before.revision(), reference: RegimeReference { change: None, ..before }, scores: old };
        changed.regimes[at].change = Some(Box::new(ReferenceChange { kind, revision, stamp, previous: Some(Box::new(previous)) }));
        changed
    }

    /// With one more regime, which no model knows.
    pub fn with_regime(&self, regime: Regime, reference: RegimeReference, stamp: Stamp) -> Self {
        let mut changed = self.clone();
        let change = ReferenceChange { kind: ChangeKind::Learned, revision: 1, stamp, previous: None };
        changed.envelope.regimes.push(regime);
        changed.regimes.push(RegimeReference { untrained: true, change: Some(Box::new(change)), ..reference });
        for model in &mut changed.models {
            model.scores.push(None);
            if let Some(performance) = &mut model.performance {
                performance.regimes.push(LabelledScores::default());
            }
        }
        changed
    }

    /// Without a reference in a regime; the one before is kept.
    pub fn without_reference(&self, slot: u16, stamp: Stamp) -> Self {
        let Some(before) = self.regimes.get(usize::from(slot)) else { return self.clone() };
        let width = before.references.len();
        let empty = RegimeReference {
            rows: 0,
            references: vec![None; width],
            mean: vec![f64::NAN; width],
            sd: vec![0.0; width],
            regression: before.regression.clone(),
            untrained: before.untrained,
            change: None,
        };
        self.with_reference(slot, empty, vec![None; self.models.len()], ChangeKind::Discarded, stamp)
    }

    /// With the reference that was kept; the present one is kept in turn. `None` where there is none.
    pub fn with_previous(&self, slot: u16, stamp: Stamp) -> Option<Self> {
        let previous = self.regimes.get(usize::from(slot))?.previous()?.clone();
        Some(self.with_reference(slot, previous.reference, previous.scores, ChangeKind::Restored, stamp))
    }

    fn newest_revision(&self, slot: usize) -> u32 {
        let regime = &self.regimes[slot];
        regime.revision().max(regime.previous().map_or(0, |p| p.revision))
    }
}

impl Training {
    /// The reference of one regime from these rows, and the rows as monitors will see them. `regime` is where they are: its centres
    /// and places are learned from them where it has no key yet, else it stays as it is.
    pub fn learn_regime(&self, rules: &RegimeTable, regime: Regime) -> (Regime, RegimeReference, Vec<Vec<f64>>) {
        let known = !regime.key.is_empty();
        let mut table = RegimeTable { rules: rules.rules.clone(), regimes: vec![regime] };
        let members: Vec<usize> = if known {
            (0..self.rows.len()).collect()
        } else {
            let cells: Vec<Vec<Cell>> = self.rows.iter().map(|r| r.cells.clone()).collect();
            let slots = table.learn(&cells);
            table.regimes.truncate(1);
            slots.iter().enumerate().filter(|(_, slot)| **slot == Some(0)).map(|(i, _)| i).collect()
        };
        let regression = self.regression(&table, &members);
        let seen = self.adjusted(&table, std::slice::from_ref(&regression));
        let width = self.rows.first().map_or(0, |r| r.features.len());
        let reference = RegimeReference { regression: regression.clone(), ..seen.reference(&members, width) };
        let rows = members.iter().map(|i| seen.rows[*i].features.clone()).collect();
        let regime = table.regimes.remove(0);
        (regime, reference, rows)
    }
}
