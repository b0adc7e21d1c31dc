//! What verdicts, sources and the store say of each alarm.

use std::sync::Arc;

use super::state::{AlarmKind, AlarmSpec, Detail, Reading};
use crate::types::{DriftKind, DriftStatus, ModelReport, MonitorReport, RegimeReport, RegimeState, SourceState, Timestamp};

/// Names from which the alarms of a gateway follow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AlarmLayout {
    specs: Vec<Arc<AlarmSpec>>,
}

impl AlarmLayout {
    fn add(&mut self, path: String, kind: AlarmKind, subject: String, machines: Vec<u16>) {
        self.specs.push(Arc::new(AlarmSpec { path: path.into(), kind, subject: subject.into(), machines }));
    }

    /// A machine with its models: their names, and whether they have labels.
    pub fn machine<'a>(&mut self, index: u16, machine: &str, models: impl Iterator<Item = (&'a str, bool)>) {
        let own = vec![index];
        let data = format!("{machine}.Drift.DataDrift.DriftAlarm");
        self.add(data, AlarmKind::Drift(DriftKind::DataDrift), format!("{machine} DataDrift"), own.clone());
        for (model, labels) in models {
            let at = |part: &str| format!("{machine}.Models.{model}.{part}");
            let prediction = AlarmKind::Drift(DriftKind::PredictionDrift);
            self.add(at("PredictionDrift.DriftAlarm"), prediction, format!("{machine} {model}.PredictionDrift"), own.clone());
            if labels {
                let performance = AlarmKind::Drift(DriftKind::PerformanceDrift);
                self.add(at("PerformanceDrift.DriftAlarm"), performance, format!("{machine} {model}.PerformanceDrift"), own.clone());
            }
            self.add(at("Inference.FaultDetectedAlarm"), AlarmKind::Fault, format!("{machine} {model}"), own.clone());
        }
        self.add(format!("{machine}.Regimes.OutOfEnvelopeAlarm"), AlarmKind::OutOfEnvelope, machine.into(), own);
    }

    /// A source, with the machines that read from it.
    pub fn source(&mut self, source: &str, machines: Vec<u16>) {
        self.add(format!("Gateway.Sources.{source}.SourceDownAlarm"), AlarmKind::SourceDown, format!("source {source}"), machines);
    }

    /// With the gateway's own.
    pub fn finish(mut self) -> Vec<Arc<AlarmSpec>> {
        self.add("Gateway.GatewayAlarm".into(), AlarmKind::Gateway, "gateway".into(), Vec::new());
        self.specs
    }
}

fn at(regime: &str) -> String {
    if regime.is_empty() { String::new() } else { format!(" at {regime}") }
}

/// A monitor's status with what it rests on. What is not evaluated leaves the alarm as it is; a reference that is learned anew
/// ends it.
pub fn drift(subject: &str, status: DriftStatus, report: Option<&MonitorReport>, mut detail: Detail) -> Reading {
    let severity = match status {
        DriftStatus::Warning => AlarmKind::WARNING,
        DriftStatus::Drift => AlarmKind::DRIFT,
        DriftStatus::OK => return Reading::Normal { message: format!("{subject}: back to OK") },
        DriftStatus::Learning => return Reading::Normal { message: format!("{subject}: learning a new reference") },
        DriftStatus::NotEvaluated | DriftStatus::Suspended | DriftStatus::Error => return Reading::Hold,
    };
    detail.status = status.code();
    if let Some(report) = report.filter(|r| r.status == status) {
        (detail.index, detail.consecutive) = (report.index, report.consecutive);
        if detail.metric.is_empty()
            && let Some(test) = report.tests.iter().filter(|t| t.index.is_finite()).min_by(|a, b| a.index.total_cmp(&b.index))
        {
            detail.metric = test.name.into();
            (detail.value, detail.threshold) = (if test.p_value.is_finite() { test.p_value } else { test.value }, test.threshold);
        }
    }
    let feature = if detail.feature.is_empty() { String::new() } else { format!(", most in {}", detail.feature) };
    let message = format!("{subject}: {status}{}{feature}", at(&detail.regime));
    Reading::Active { severity, message, detail: Box::new(detail) }
}

/// A model's statement about the machine.
pub fn fault(subject: &str, active: bool, report: Option<&ModelReport>, mut detail: Detail) -> Reading {
    if !active {
        return Reading::Normal { message: format!("{subject}: the fault is over") };
    }
    if let Some(report) = report
        && detail.value.is_nan()
    {
        (detail.value, detail.threshold) = (report.score, report.threshold);
    }
    let feature = if detail.feature.is_empty() { String::new() } else { format!(", driven by {}", detail.feature) };
    let message = format!("{subject}: FAULT detected{}{feature}", at(&detail.regime));
    Reading::Active { severity: AlarmKind::Fault.severity(), message, detail: Box::new(detail) }
}

/// Settings that were never trained. While they change, or nothing is watched, the alarm stays as it is.
pub fn envelope(subject: &str, regime: &RegimeReport) -> Reading {
    match regime.state {
        RegimeState::OutOfEnvelope => Reading::Active {
            severity: AlarmKind::OutOfEnvelope.severity(),
            message: format!("{subject}: settings were never trained: {}", regime.key),
            detail: Box::new(Detail { regime: regime.key.to_string(), index: regime.distance, ..Detail::default() }),
        },
        RegimeState::Transient | RegimeState::Suspended => Reading::Hold,
        RegimeState::NoReference | RegimeState::Learning | RegimeState::Monitoring | RegimeState::NotProducing => {
            Reading::Normal { message: format!("{subject}: settings are in the trained envelope, or the machine stands still") }
        }
    }
}

/// A connection to a PLC. While it is being tried again, the alarm stays as it is.
pub fn source_down(subject: &str, state: SourceState, text: &str, last_good: Timestamp) -> Reading {
    match state {
        SourceState::Connected | SourceState::Disabled => Reading::Normal { message: format!("{subject}: {state}") },
        SourceState::Connecting => Reading::Hold,
        SourceState::Stale | SourceState::Down | SourceState::ConfigurationError | SourceState::CertificateRejected => Reading::Active {
            severity: AlarmKind::SourceDown.severity(),
            message: if text.is_empty() { format!("{subject}: {state}") } else { format!("{subject}: {state}: {text}") },
            detail: Box::new(Detail { last_good, ..Detail::default() }),
        },
    }
}

/// The store, without which nothing is kept.
pub fn store_failing(subject: &str, failing: Option<&str>) -> Reading {
    match failing {
        None => Reading::Normal { message: format!("{subject}: works again") },
        Some(why) => {
            Reading::Active { severity: AlarmKind::Gateway.severity(), message: format!("{subject}: {why}"), detail: Box::default() }
        }
    }
}
