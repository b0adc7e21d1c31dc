//! The nodes of a model's slots: Active, Candidate, Fallback.

use std::sync::Arc;

use super::{Walk, ascii};
use crate::bundle::{Bundle, BundleLife, Candidate, Kept};
use crate::config::MachineConfig;
use crate::types::{ModelState, Scalar, Timestamp};

/// All slots of a machine: its models go together, in one bundle.
#[derive(Clone, Debug, Default)]
pub struct ModelSlots {
    pub active: SlotView,
    pub candidate: SlotView,
    pub fallback: SlotView,
    /// Seconds left to confirm; 0 where nothing awaits it.
    pub remaining: f64,
}

/// What is shown of one slot.
#[derive(Clone, Debug, Default)]
pub struct SlotView {
    state: Option<ModelState>,
    text: Arc<str>,
    kept: Option<Kept>,
    trained: Option<(Timestamp, Timestamp)>,
    models: Vec<ModelView>,
}

/// What one model of a bundle is.
#[derive(Clone, Debug)]
struct ModelView {
    name: Arc<str>,
    format: &'static str,
    /// Names, comma-separated.
    inputs: String,
}

impl ModelSlots {
    /// As a machine's bundles are; `bundles` are the active one, the candidate and the fallback.
    pub fn of(life: &BundleLife, bundles: [Option<&Bundle>; 3], config: &MachineConfig) -> Self {
        let [active, candidate, fallback] = bundles;
        let state = match (active, life.until) {
            (None, _) => ModelState::Empty,
            (Some(_), None) => ModelState::Active,
            (Some(_), Some(_)) => ModelState::AwaitingConfirmation,
        };
        let until = life.until.map_or_else(String::new, |until| format!(", until {until}"));
        let (wanted, text) = match &life.candidate {
            Candidate::Empty => (ModelState::Empty, String::new()),
            Candidate::Ready(_) => (ModelState::Ready, "has passed its checks; not active yet".into()),
            Candidate::RolledBack { reason, .. } => (ModelState::RolledBack, reason.clone()),
            Candidate::Failed { reason, .. } => (ModelState::Failed, reason.clone()),
        };
        let kept = if fallback.is_some() { ModelState::Ready } else { ModelState::Empty };
        Self {
            active: SlotView::new(state, &until, life.active.as_ref(), active, config),
            candidate: SlotView::new(wanted, &text, life.candidate.kept(), candidate, config),
            fallback: SlotView::new(kept, "", life.fallback.as_ref(), fallback, config),
            remaining: 0.0,
        }
    }

    pub(super) fn show(&self, w: &mut Walk<'_>, path: &str, model: &str) {
        for (name, slot) in [("Active", &self.active), ("Candidate", &self.candidate), ("Fallback", &self.fallback)] {
            slot.show(w, &format!("{path}.{name}"), model);
        }
        w.number(|| format!("{path}.ConfirmationRemaining"), self.remaining);
    }
}

impl SlotView {
    fn new(state: ModelState, why: &str, kept: Option<&Kept>, bundle: Option<&Bundle>, config: &MachineConfig) -> Self {
        let text = match state {
            ModelState::AwaitingConfirmation => format!("{state}{why}"),
            _ if why.is_empty() => state.name().into(),
            _ => format!("{state}: {why}"),
        };
        let feature = |k: &usize| config.features.get(*k).map_or("", |f| &f.name);
        let model = |m: &crate::bundle::BundleModel| ModelView {
            name: m.name.clone(),
            format: m.model.kind(),
            inputs: m.inputs.iter().map(feature).collect::<Vec<_>>().join(","),
        };
        Self {
            state: Some(state),
            text: ascii(&text).into(),
            kept: kept.cloned(),
            trained: bundle.map(|b| (b.provenance.from, b.provenance.to)),
            models: bundle.map(|b| b.models.iter().map(model).collect()).unwrap_or_default(),
        }
    }

    fn show(&self, w: &mut Walk<'_>, path: &str, model: &str) {
        let n = |name: &str| format!("{path}.{name}");
        let kept = self.kept.as_ref();
        let view = self.models.iter().find(|m| *m.name == *model);
        let (from, to) = self.trained.unwrap_or((Timestamp::EPOCH, Timestamp::EPOCH));
        w.code(|| n("State"), self.state.unwrap_or(ModelState::Empty).code());
        w.text(|| n("StateText"), &self.text);
        w.words(|| n("Name"), view.map_or("", |_| model));
        w.words(|| n("ModelId"), &kept.map_or_else(String::new, |k| format!("{model}-{}", k.version())));
        w.words(|| n("Version"), kept.map_or("", Kept::version));
        w.words(|| n("Hash"), kept.map_or("", |k| &k.hash));
        w.words(|| n("Format"), view.map_or("", |v| v.format));
        w.count(|| n("SizeBytes"), kept.map_or(0, |k| k.size));
        w.moment(|| n("CreatedTime"), kept.map_or(Timestamp::EPOCH, |k| k.received));
        w.moment(|| n("TrainedFrom"), from);
        w.moment(|| n("TrainedTo"), to);
        w.words(|| n("DatasetId"), "");
        w.maybe(|| n("SignatureValid"), Some(Scalar::Bool(false)));
        w.words(|| n("Inputs"), view.map_or("", |v| &v.inputs));
        let activated = kept.and_then(|k| k.activated.as_ref());
        w.moment(|| n("ActivatedTime"), activated.map_or(Timestamp::EPOCH, |(time, _)| *time));
        w.words(|| n("ActivatedBy"), activated.map_or("", |(_, user)| user));
    }
}
