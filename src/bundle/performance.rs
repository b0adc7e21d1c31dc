//! Labels of training rows: rows of a fault are kept out of references and models, and labelled rows that no model was fitted on
//! become the reference of the performance monitor.

use super::train::HELD_OUT;
use super::{BundleModel, RegimeReference, Training, TrainingRow};
use crate::config::MachineConfig;
use crate::drift::performance::{DelayLine, LabelledScores, PerformanceReference};
use crate::regime::{Located, RegimeTable};
use crate::types::Timestamp;

/// What was true at a training row, for one model.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RowLabel {
    /// Index into the rows.
    pub row: usize,
    /// Index into the machine's models.
    pub model: usize,
    pub fault: bool,
}

/// Finds the training row of each label of one unit: a label may come rows later.
#[derive(Clone, Debug)]
pub struct Labeller(Vec<DelayLine<Option<usize>>>);

impl Labeller {
    pub fn new(machine: &MachineConfig) -> Self {
        let delay = |m: &crate::config::ModelConfig| m.performance.as_ref().map_or(0, |p| p.label.delay_rows as usize);
        Self(machine.models.iter().map(|m| DelayLine::new(delay(m))).collect())
    }

    /// One row of the unit: its index in the training, if it is there, and what the labels of each model say at it.
    pub fn step(&mut self, training: &mut Training, index: Option<usize>, truths: impl Iterator<Item = Option<bool>>) {
        for (model, (line, truth)) in self.0.iter_mut().zip(truths).enumerate() {
            if let (Some(Some(row)), Some(fault)) = (line.push(index), truth) {
                training.labels.push(RowLabel { row, model, fault });
            }
        }
    }
}

impl Training {
    /// Takes the rows that some label calls a fault out of the healthy ones.
    pub fn set_faults_aside(&mut self) {
        let mut faulty = vec![false; self.rows.len()];
        for label in self.labels.iter().filter(|l| l.fault) {
            faulty[label.row] = true;
        }
        if !faulty.contains(&true) {
            return;
        }
        let mut faults = Self::default();
        let mut healthy = Self { held_back: self.held_back.take(), ..Self::default() };
        let mut places = Vec::with_capacity(self.rows.len());
        for (i, row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            let side = if faulty[i] { &mut faults } else { &mut healthy };
            places.push(side.rows.len());
            side.push(self.unit(i), row);
        }
        for label in &self.labels {
            let side = if faulty[label.row] { &mut faults } else { &mut healthy };
            side.labels.push(RowLabel { row: places[label.row], ..*label });
        }
        healthy.faults = Some(Box::new(faults));
        *self = healthy;
    }

    /// What labels say of model `k` at each row.
    fn truths(&self, k: usize) -> Vec<Option<bool>> {
        let mut truths = vec![None; self.rows.len()];
        self.labels.iter().filter(|l| l.model == k).for_each(|l| truths[l.row] = Some(l.fault));
        truths
    }

    /// The reference of model `k`'s performance, from labelled rows that it was not fitted on; of faults, the same share is taken, so
    /// that they are as frequent as in the training rows. `None` without any label. `members` are the healthy rows of each regime.
    pub(super) fn learn_performance(
        &self,
        k: usize,
        members: &[Vec<usize>],
        envelope: &RegimeTable,
        regimes: &[RegimeReference],
        model: &BundleModel,
    ) -> Option<PerformanceReference> {
        if !self.labels.iter().chain(self.faults.iter().flat_map(|f| &f.labels)).any(|l| l.model == k) {
            return None;
        }
        let mut labelled: Vec<Vec<(Timestamp, f64, bool)>> = vec![Vec::new(); regimes.len()];
        let truths = self.truths(k);
        for (slot, rows) in members.iter().enumerate() {
            let complete = rows.iter().filter(|i| is_complete(&self.rows[**i], model));
            for (_, i) in complete.enumerate().filter(|(n, _)| HELD_OUT.contains(&(n % 10))) {
                let row = &self.rows[*i];
                labelled[slot].extend(truths[*i].map(|fault| (row.time, score(row, &regimes[slot], model), fault)));
            }
        }
        if let Some(faults) = &self.faults {
            let mut seen = vec![0; regimes.len()];
            for (row, truth) in faults.rows.iter().zip(faults.truths(k)) {
                let Located::Known { slot, .. } = envelope.locate(&row.cells) else { continue };
                let slot = usize::from(slot);
                if !is_complete(row, model) {
                    continue;
                }
                seen[slot] += 1;
                if HELD_OUT.contains(&((seen[slot] - 1) % 10)) {
                    labelled[slot].extend(truth.map(|fault| (row.time, score(row, &regimes[slot], model), fault)));
                }
            }
        }
        let in_order = labelled.into_iter().map(|mut rows| {
            rows.sort_by_key(|r| r.0);
            let mut out = LabelledScores::default();
            rows.into_iter().for_each(|(_, score, fault)| out.push(score, fault));
            out
        });
        Some(PerformanceReference::new(in_order.collect()))
    }
}

/// All inputs of the model are there.
fn is_complete(row: &TrainingRow, model: &BundleModel) -> bool {
    model.inputs.iter().all(|i| row.features[*i].is_finite())
}

fn score(row: &TrainingRow, regime: &RegimeReference, model: &BundleModel) -> f64 {
    let inputs: Vec<f64> = model.inputs.iter().map(|i| regime.residual(*i, row.features[*i])).collect();
    model.model.score(&inputs)
}

/// Says in one line what labels of the training came to.
pub fn performance_text(reference: &PerformanceReference) -> String {
    let rows: usize = reference.regimes.iter().map(|r| r.scores.len()).sum();
    let faults = reference.regimes.iter().flat_map(|r| &r.faults).filter(|f| **f).count();
    let estimate = match &reference.probability {
        Ok(_) => "the error can be estimated without labels".into(),
        Err(why) => format!("no estimate without labels: {why}"),
    };
    format!("{rows} labelled rows, {faults} of them faults; {estimate}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(x: f64) -> TrainingRow {
        TrainingRow { time: Timestamp::from_secs_f64(x), cells: Vec::new(), features: vec![x] }
    }

    #[test]
    fn faults_leave_the_healthy_rows_and_take_their_labels_along() {
        let mut training = Training::default();
        (0..6).for_each(|i| training.push(i % 2, row(f64::from(i))));
        let label = |row, fault| RowLabel { row, model: 0, fault };
        training.labels = vec![label(0, false), label(2, true), label(4, false), label(5, true)];
        training.set_faults_aside();
        let features = |t: &Training| t.rows.iter().map(|r| r.features[0]).collect::<Vec<_>>();
        assert_eq!((features(&training), &training.units), (vec![0.0, 1.0, 3.0, 4.0], &vec![0, 1, 1, 0]));
        assert_eq!(training.labels, [label(0, false), label(3, false)]);
        assert_eq!(training.truths(0), [Some(false), None, None, Some(false)]);
        let faults = training.faults.unwrap();
        assert_eq!((features(&faults), &faults.labels), (vec![2.0, 5.0], &vec![label(0, true), label(1, true)]));
    }
}
