use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BufferReason, BufferState, DriftKind, DriftStatus, PerformanceReport, RegimeState, Timestamp};

/// Why a row is not judged.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NotEvaluated {
    /// These settings were never trained.
    OutsideEnvelope,
    /// A setting has just changed.
    Transient,
    /// The machine stands still (`active_when` is false).
    NotProducing,
    /// A conditioning setting has no good value.
    BadSetting,
    /// No model input has a good value.
    BadInputs,
    /// There is no bundle, and nothing is being learned.
    NoReference,
    /// References are still being learned.
    Learning,
    /// A fault of the machine is active: its rows say nothing about drift.
    FaultActive,
    /// An operator has suspended the monitoring.
    Suspended,
    /// Of a performance monitor: no label has come yet.
    NoLabels,
}

impl NotEvaluated {
    /// ASCII text for `StatusReason`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::OutsideEnvelope => "outside the trained envelope",
            Self::Transient => "transient: a setting has just changed",
            Self::NotProducing => "machine not producing",
            Self::BadSetting => "a setting has no good value",
            Self::BadInputs => "no input has a good value",
            Self::NoReference => "no reference: train a bundle, or set learn_rows",
            Self::Learning => "learning the reference",
            Self::FaultActive => "a machine fault is active",
            Self::Suspended => "suspended by an operator",
            Self::NoLabels => "no labels",
        }
    }
}

/// Whether a prediction can be relied on, and if not, why.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Trust {
    /// Inside the envelope, inputs good, no drift of the model.
    Trusted,
    /// As `Trusted`; the data has drifted but the model's predictions have not.
    TrustedDataDrift,
    Outside,
    Transient,
    NotProducing,
    BadSetting,
    /// An input is stale, uncertain or bad.
    BadInputs,
    PredictionDrift,
    #[default]
    NoModel,
    Learning,
    /// As `TrustedDataDrift`, and so many labels say that the model is right.
    TrustedConfirmed {
        labels: u32,
    },
    /// As `TrustedDataDrift`, and the error estimated without labels is ordinary.
    TrustedEstimated,
    /// No drift, but some sign that the model may have become worse.
    TrustedMaybeWorse,
    /// Labels say that the model has become worse.
    PerformanceDrift {
        data_changed: bool,
    },
    /// The monitoring is suspended: nothing is predicted.
    Suspended,
}

impl Trust {
    pub const fn is_trusted(self) -> bool {
        matches!(
            self,
            Self::Trusted | Self::TrustedDataDrift | Self::TrustedConfirmed { .. } | Self::TrustedEstimated | Self::TrustedMaybeWorse
        )
    }

    /// ASCII text for `TrustText`.
    pub fn text(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Trusted => "trusted",
            Self::TrustedDataDrift => "data changed, model fine",
            Self::TrustedConfirmed { labels } => return format!("data changed, model fine (confirmed by {labels} labels)").into(),
            Self::TrustedEstimated => "data changed, model fine (estimated, no labels)",
            Self::TrustedMaybeWorse => "trusted, but the model may be worse",
            Self::Outside => "not trusted: outside the trained envelope",
            Self::Transient => "not trusted: settings are changing",
            Self::NotProducing => "not trusted: machine not producing",
            Self::BadSetting => "not trusted: a setting has no good value",
            Self::BadInputs => "not trusted: an input is stale or bad",
            Self::PredictionDrift => "not trusted: the model's predictions have drifted",
            Self::PerformanceDrift { data_changed: true } => "not trusted: model worse",
            Self::PerformanceDrift { data_changed: false } => "not trusted: model worse, data unchanged",
            Self::NoModel => "not trusted: no model",
            Self::Learning => "not trusted: still learning",
            Self::Suspended => "not trusted: suspended by an operator",
        })
    }
}

/// The present combination of settings.
#[derive(Clone, PartialEq, Debug)]
pub struct RegimeReport {
    pub state: RegimeState,
    /// Slot of the regime (0-based; `R01` is 0); `None` outside, in a transient, or with a bad setting.
    pub slot: Option<u16>,
    /// `Voltage=164;Load=50`, also outside the envelope.
    pub key: Arc<str>,
    pub since: Timestamp,
    /// Distance to the nearest trained regime in tolerances: at most 1 inside, NaN where it can't be said.
    pub distance: f64,
}

/// One slot R01..Rnn.
#[derive(Clone, PartialEq, Debug)]
pub struct RegimeSlotReport {
    pub key: Arc<str>,
    pub state: RegimeState,
    /// It holds a regime, of a bundle or learned here.
    pub in_use: bool,
    pub in_envelope: bool,
    /// Which reference of the regime is in force: 0 is the trained one, each change counts one.
    pub revision: u32,
    /// When it was changed; the epoch where it is the trained one.
    pub changed: Timestamp,
    pub drift_status: DriftStatus,
    pub drift_index: f64,
    pub rows_learned: u32,
    pub rows_required: u32,
    pub last_seen: Timestamp,
    /// Time spent in it, s.
    pub total_time: f64,
    pub occurrences: u32,
}

/// One test T1..T4 of a monitor at its last evaluation, for the feature with the largest index.
#[derive(Clone, PartialEq, Debug)]
pub struct TestReport {
    pub name: &'static str,
    /// The metric's value; NaN before the first evaluation or where not applicable.
    pub value: f64,
    /// Corrected for the number of features; NaN where the metric has none.
    pub p_value: f64,
    pub threshold: f64,
    /// 1.0 = the threshold; NaN before the first evaluation.
    pub index: f64,
    pub exceeded: bool,
}

/// One monitor at the present row.
#[derive(Clone, PartialEq, Debug)]
pub struct MonitorReport {
    /// `DataDrift`, `<Model>.PredictionDrift`, or `<Model>.PerformanceDrift`.
    pub name: Arc<str>,
    pub kind: DriftKind,
    pub status: DriftStatus,
    pub reason: Option<NotEvaluated>,
    /// Smallest index of its tests: all must exceed. NaN before the first evaluation.
    pub index: f64,
    pub consecutive: u16,
    pub tests: Vec<TestReport>,
    /// What a warning or drift is about: an index into the machine's features. Latched; `None` while nothing warns, for a monitor of
    /// a score, or before the first evaluation.
    pub top_feature: Option<u16>,
    pub window_start: Timestamp,
    pub window_end: Timestamp,
    pub last_evaluation: Timestamp,
    pub last_change: Timestamp,
    pub drift_count: u32,
    /// True on the row at which an evaluation took place.
    pub evaluated: bool,
}

/// How a feature differs from its reference: the larger of a moved mean and a changed spread.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Direction {
    /// Not known, or no difference.
    #[default]
    None,
    Up,
    Down,
    Wider,
    Narrower,
}

impl Direction {
    /// From the shift of the mean in standard deviations of the reference, and the ratio of the standard deviations.
    ///
    /// ```
    /// use driftgate::types::Direction;
    /// assert_eq!(Direction::of(0.8, 1.1), Direction::Up);
    /// assert_eq!(Direction::of(-0.2, 0.5), Direction::Narrower);
    /// assert_eq!(Direction::of(f64::NAN, 1.0), Direction::None);
    /// ```
    pub fn of(shift: f64, ratio: f64) -> Self {
        let spread = if ratio > 0.0 { ratio.ln() } else { 0.0 };
        match (shift, spread) {
            (shift, spread) if shift.is_nan() || spread.is_nan() => Self::None,
            (shift, spread) if shift == 0.0 && spread == 0.0 => Self::None,
            (shift, spread) if shift.abs() >= spread.abs() => {
                if shift > 0.0 {
                    Self::Up
                } else {
                    Self::Down
                }
            }
            (_, spread) => {
                if spread > 0.0 {
                    Self::Wider
                } else {
                    Self::Narrower
                }
            }
        }
    }

    /// ASCII word; empty for none.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Up => "up",
            Self::Down => "down",
            Self::Wider => "wider",
            Self::Narrower => "narrower",
        }
    }
}

/// One feature at its last evaluation.
#[derive(Clone, PartialEq, Debug)]
pub struct FeatureReport {
    pub status: DriftStatus,
    pub index: f64,
    pub value: f64,
    pub p_value: f64,
    pub reference_mean: f64,
    pub reference_sd: f64,
    pub current_mean: f64,
    pub current_sd: f64,
    /// Share of the last window's rows without a good value, 0..1.
    pub missing: f64,
    /// Of the mean, against the reference and the machine's own baseline, in standard deviations of the reference.
    pub shift: f64,
    pub direction: Direction,
    /// From when on its index has been above one half at each evaluation of its regime; the epoch where it is not.
    pub since: Timestamp,
}

impl FeatureReport {
    /// Index from which on a feature counts as on its way to a drift.
    pub const ABOVE: f64 = 0.5;

    /// Whether its index is at least [`Self::ABOVE`].
    pub fn is_above(&self) -> bool {
        self.index >= Self::ABOVE
    }
}

/// One fault-detection model at the present row.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelReport {
    /// NaN where there is none.
    pub score: f64,
    pub threshold: f64,
    /// This row alone: the score is beyond the threshold.
    pub anomaly: bool,
    /// Confirmed over several rows.
    pub fault: bool,
    /// Row and time of the last score since the model became active.
    pub scored: Option<(u64, Timestamp)>,
    /// The threshold that the model was trained with; NaN without a model.
    pub own_threshold: f64,
    pub trust: Trust,
    /// `None` where nobody says what was true.
    pub performance: Option<PerformanceReport>,
}

/// Which reference of a regime (slot 0 is R01): by the bundle it was trained in and how often it was changed since.
///
/// ```
/// use driftgate::types::reference_id;
/// assert_eq!(reference_id("0123456789abcdef", 0, 0), "0123456789ab-R01");
/// assert_eq!(reference_id("0123456789abcdef", 1, 3), "0123456789ab-R02.3");
/// ```
pub fn reference_id(bundle: &str, slot: u16, revision: u32) -> String {
    let bundle = bundle.get(..12).unwrap_or(bundle);
    let revision = if revision == 0 { String::new() } else { format!(".{revision}") };
    format!("{bundle}-R{:02}{revision}", slot + 1)
}

/// One retraining buffer B01..B04.
#[derive(Clone, PartialEq, Debug)]
pub struct BufferReport {
    pub state: BufferState,
    pub reason: BufferReason,
    pub dataset_id: Arc<str>,
    pub regime_key: Arc<str>,
    pub rows: u32,
    pub target_rows: u32,
    pub since: Timestamp,
    pub oldest: Timestamp,
    pub newest: Timestamp,
    /// Who has fetched the data; empty for nobody.
    pub acknowledged_by: Arc<str>,
    /// The last file written from it.
    pub export: Option<ExportReport>,
    /// Why the last export has failed; empty where it has not.
    pub trouble: Arc<str>,
}

/// A file written from a buffer.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ExportReport {
    pub time: Timestamp,
    /// Its name; where it lies in the folder of datasets goes by machine and day.
    pub file: Arc<str>,
    pub rows: u32,
    /// SHA-256, hex.
    pub hash: Arc<str>,
    /// Rows with a label. Not kept with the state: `None` after a restart, until the next export.
    #[serde(skip)]
    pub labelled: Option<u32>,
}

/// One named check: the worst of its last looks, one a regime.
#[derive(Clone, PartialEq, Debug)]
pub struct CheckReport {
    pub name: Arc<str>,
    /// Word of what it measures.
    pub kind: &'static str,
    /// False where any regime fails; `None` before the first look, and where the last ones had no answer.
    pub passed: Option<bool>,
    /// What it holds against the limit; NaN where it has none.
    pub value: f64,
    pub limit: f64,
    /// The feature with the largest value; `None` for a share of features.
    pub feature: Option<u16>,
    /// Where it looked; empty before the first look.
    pub regime: Arc<str>,
    /// Of that look.
    pub time: Timestamp,
    /// Looks so far, over all regimes, and those that failed.
    pub looks: u64,
    pub failures: u64,
}

/// All that is said of a machine at one row.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    /// 1-based within the machine.
    pub row: u64,
    pub time: Timestamp,
    pub regime: RegimeReport,
    pub not_evaluated: Option<NotEvaluated>,
    /// Feature values in the order of the machine's feature list; NaN where there is none.
    pub features: Vec<f64>,
    /// The same as models and monitors see them: without what continuous settings explain.
    pub adjusted: Vec<f64>,
    pub status: DriftStatus,
    /// Largest index of the monitors that are enabled; 1.0 is the threshold.
    pub drift_index: f64,
    /// Of the data monitor.
    pub top_feature: Option<u16>,
    /// The model whose monitors warn most; `None` while none warns.
    pub top_model: Option<u16>,
    pub last_change: Timestamp,
    /// `DataDrift`, then `PredictionDrift` of each model, then `PerformanceDrift` of each model that has labels.
    pub monitors: Vec<MonitorReport>,
    pub feature_reports: Vec<FeatureReport>,
    pub models: Vec<ModelReport>,
    pub regimes: Vec<RegimeSlotReport>,
    pub buffers: Vec<BufferReport>,
    /// In the order of the configuration.
    pub checks: Vec<CheckReport>,
}

impl Verdict {
    /// What drives a warning or drift: the features whose index is above one half, largest first, three at most.
    pub fn contributors(&self) -> Vec<(u16, &FeatureReport)> {
        let above = self.feature_reports.iter().enumerate().filter(|(_, f)| f.is_above());
        let mut above: Vec<_> = above.map(|(k, f)| (k as u16, f)).collect();
        above.sort_by(|a, b| b.1.index.total_cmp(&a.1.index));
        above.truncate(3);
        above
    }
}
