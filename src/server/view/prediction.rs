//! What the models say of the machine, each with the quality that its prediction has.

use super::{LAST_USABLE, Walk};
use crate::types::{Cause, ModelReport, Quality, Scalar, Timestamp, Verdict};

/// UncertainSubNormal: there is a value, but what it was made of is not all good.
const UNTRUSTED: Quality = Quality::Uncertain(Cause::Status(0x4095_0000));

/// `Fault` of the machine: a fault of any model, else that none has one. Without a prediction of each model the second is not known.
pub(super) fn roll_up(w: &mut Walk<'_>, m: &str, verdict: &Verdict) {
    let models = verdict.models.iter().enumerate();
    let told = models.max_by_key(|(k, model)| {
        let quality = quality(model);
        (model.fault, if model.fault { certainty(quality) } else { 2 - certainty(quality) }, usize::MAX - k)
    });
    let config = w.view.config.clone();
    let Some((k, model)) = told else {
        w.maybe(|| format!("{m}.Fault.Detected"), None);
        w.words(|| format!("{m}.Fault.Text"), "not known: no model is configured");
        w.words(|| format!("{m}.Fault.Model"), "");
        return;
    };
    let quality = quality(model);
    detected(w, || format!("{m}.Fault.Detected"), model, quality);
    let said = if model.fault { "fault detected" } else { "no fault" };
    let why = model.trust.text();
    let text = match quality {
        Quality::Good => said.into(),
        Quality::Uncertain(_) if model.trust.is_trusted() => format!("{said}; the present row has no score"),
        Quality::Uncertain(_) => format!("{said}; {why}"),
        Quality::Bad(_) => {
            format!("not known: {}", if model.trust.is_trusted() { "no score yet" } else { why.trim_start_matches("not trusted: ") })
        }
    };
    w.words(|| format!("{m}.Fault.Text"), &text);
    w.words(|| format!("{m}.Fault.Model"), config.models.get(k).filter(|_| model.fault).map_or("", |c| &c.name));
}

/// The prediction of one model.
pub(super) fn show(w: &mut Walk<'_>, m: &str, name: &str, model: &ModelReport) {
    let i = |node: &str| format!("{m}.Models.{name}.Inference.{node}");
    let quality = quality(model);
    let scored = model.score.is_finite();
    w.number_as(|| i("Score"), model.score, quality);
    w.number(|| i("ModelScoreThreshold"), model.own_threshold);
    w.number(|| i("ScoreThreshold.EffectiveValue"), model.threshold);
    detected(w, || i("FaultDetected"), model, quality);
    match scored {
        true => w.put(|| i("PredictionClass"), Some(Scalar::U16(u16::from(model.anomaly))), quality),
        false => w.maybe(|| i("PredictionClass"), None),
    }
    let text = if scored { ["normal", "anomaly"][usize::from(model.anomaly)] } else { "none" };
    w.words(|| i("PredictionText"), text);
    w.flag(|| i("Trusted"), model.trust.is_trusted());
    w.words(|| i("TrustText"), &model.trust.text());
    w.words(|| i("PredictionId"), &model.scored.map_or_else(String::new, |(row, _)| format!("{m}-{row}")));
    w.moment(|| i("PredictionTime"), model.scored.map_or(Timestamp::EPOCH, |(_, time)| time));
}

fn detected(w: &mut Walk<'_>, path: impl FnOnce() -> String, model: &ModelReport, quality: Quality) {
    w.put(path, Some(Scalar::Bool(model.fault)).filter(|_| quality.is_usable()), quality);
}

/// Good: a trusted score of the present row. Uncertain: one that is not trusted, or an earlier one. Bad: none since the model became
/// active.
fn quality(model: &ModelReport) -> Quality {
    match (model.scored, model.score.is_finite()) {
        (_, true) if model.trust.is_trusted() => Quality::Good,
        (_, true) => UNTRUSTED,
        (Some(_), false) => LAST_USABLE,
        // A fault from before a restart.
        (None, false) if model.fault => LAST_USABLE,
        (None, false) => Quality::Bad(Cause::NoData),
    }
}

fn certainty(quality: Quality) -> u8 {
    match quality {
        Quality::Good => 2,
        Quality::Uncertain(_) => 1,
        Quality::Bad(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Trust;

    fn model(score: f64, fault: bool, scored: bool, trust: Trust) -> ModelReport {
        let scored = scored.then_some((1, Timestamp::from_nanos(1)));
        ModelReport { score, threshold: 1.0, own_threshold: 1.0, anomaly: fault, fault, scored, trust, performance: None }
    }

    #[test]
    fn only_a_trusted_score_of_this_row_is_good() {
        for (model, expected) in [
            (model(0.5, false, true, Trust::Trusted), Quality::Good),
            (model(0.5, false, true, Trust::TrustedDataDrift), Quality::Good),
            (model(0.5, false, true, Trust::BadInputs), UNTRUSTED),
            (model(0.5, true, true, Trust::PredictionDrift), UNTRUSTED),
            (model(f64::NAN, false, true, Trust::Outside), LAST_USABLE),
            (model(f64::NAN, true, false, Trust::Transient), LAST_USABLE),
            (model(f64::NAN, false, false, Trust::Learning), Quality::Bad(Cause::NoData)),
        ] {
            assert_eq!(quality(&model), expected, "{model:?}");
        }
    }
}
