//! Which columns a dataset has, and what stands in them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Order;
use super::folder::PARTITIONS;
use super::labels::Label;
use crate::config::{Conditioning, LabelConfig, MachineConfig, Shape};
use crate::store::FeatureRow;
use crate::types::{Frame, Quality, Value};

/// Longest text about channels that are not good, bytes.
const MAX_QUALITY_TEXT: usize = 200;

/// Type of a column. Each may have gaps.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// UTC.
    Time,
    Count,
    Number,
    Flag,
    Text,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Count => "count",
            Self::Number => "number",
            Self::Flag => "flag",
            Self::Text => "text",
        }
    }
}

/// Values of one column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// Nanoseconds.
    Time(Vec<Option<i64>>),
    Count(Vec<Option<u64>>),
    Number(Vec<Option<f64>>),
    Flag(Vec<Option<bool>>),
    Text(Vec<Option<Arc<str>>>),
}

/// Some rows, column by column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Batch {
    pub(super) rows: usize,
    pub(super) columns: Vec<Values>,
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) unit: String,
    /// What it is, in a few words.
    pub(super) about: String,
    source: Source,
}

/// Where a column's values come from; indexes into the machine's lists.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Source {
    Time,
    Machine,
    Row,
    Regime,
    Channel(usize),
    Feature(usize),
    Score(usize),
    Prediction(usize),
    Fault,
    Label,
    LabelName,
    LabelValue,
    Quality,
    QualityText,
}

/// One row as it is stored.
pub(super) struct Row<'a> {
    pub(super) features: &'a FeatureRow,
    /// `None` where the ring of frames has lost it.
    pub(super) frame: Option<&'a Frame>,
    pub(super) label: Option<&'a Label>,
    /// Key of its regime; `None` where it is in none.
    pub(super) regime: Option<&'a Arc<str>>,
}

impl Row<'_> {
    /// Bad data is a gap.
    fn channel(&self, channel: usize) -> Option<&Value> {
        self.frame?.channels.get(channel)?.usable()
    }
}

/// The columns of a machine's dataset.
pub(super) struct Layout<'a> {
    order: &'a Order,
    pub(super) columns: Vec<Column>,
    /// `TempWinding`, one a channel, for texts.
    channels: Vec<Arc<str>>,
}

impl<'a> Layout<'a> {
    /// `sample`: some frame of the rows; channels that are texts there have a column of texts.
    pub(super) fn new(order: &'a Order, sample: Option<&Frame>) -> Self {
        let machine = &*order.config;
        // What stands in the path is no column of the file.
        let mut list = List { columns: Vec::new(), names: PARTITIONS.map(String::from).into() };
        list.add("time", "", Kind::Time, "", "when the row was made, UTC", Source::Time);
        list.add("machine", "", Kind::Text, "", "", Source::Machine);
        list.add("row", "", Kind::Count, "", "number of the row within the machine", Source::Row);
        list.add("regime", "", Kind::Text, "", "key of the combination of settings", Source::Regime);
        list.channels(machine, sample);
        let continuous = machine.settings.iter().any(|s| matches!(s.conditioning, Conditioning::Regression(_)));
        let about = if continuous { "feature, without what continuous settings explain" } else { "feature" };
        for (k, feature) in machine.features.iter().enumerate() {
            list.add(&format!("feature_{}", feature.name), "", Kind::Number, &feature.unit, about, Source::Feature(k));
        }
        for (k, model) in machine.models.iter().enumerate() {
            list.add(&format!("score_{}", model.name), "", Kind::Number, "", "score of the model", Source::Score(k));
            let about = "score beyond the model's threshold";
            list.add(&format!("prediction_{}", model.name), "", Kind::Flag, "", about, Source::Prediction(k));
        }
        list.add("fault", "", Kind::Flag, "", "a confirmed fault was active", Source::Fault);
        list.add("label", "", Kind::Count, "", "class that somebody has given; the last word counts", Source::Label);
        if !machine.classes.is_empty() {
            list.add("label_name", "", Kind::Text, "", "name of that class", Source::LabelName);
        }
        list.add("label_value", "", Kind::Number, "", "true value that somebody has given", Source::LabelValue);
        list.add("quality", "", Kind::Text, "", "worst of signals and settings: Good, Uncertain, Bad", Source::Quality);
        list.add("quality_text", "", Kind::Text, "", "signals and settings that are not good, and why", Source::QualityText);
        let signals = machine.signals.iter().map(|s| s.name.clone());
        let channels = signals.chain(machine.settings.iter().map(|s| s.name.clone())).collect();
        Self { order, columns: list.columns, channels }
    }

    pub(super) fn batch(&self, rows: &[Row<'_>]) -> Batch {
        Batch { rows: rows.len(), columns: self.columns.iter().map(|column| self.values(column, rows)).collect() }
    }

    fn values(&self, column: &Column, rows: &[Row<'_>]) -> Values {
        let features = || rows.iter().map(|row| row.features);
        let labels = || rows.iter().map(|row| row.label);
        let same = |text: &Arc<str>| Values::Text(vec![Some(text.clone()); rows.len()]);
        match column.source {
            Source::Time => Values::Time(features().map(|row| Some(row.time.as_nanos())).collect()),
            Source::Machine => same(&self.order.config.name),
            Source::Row => Values::Count(features().map(|row| Some(row.row)).collect()),
            Source::Regime => Values::Text(rows.iter().map(|row| row.regime.cloned()).collect()),
            Source::Channel(k) if column.kind == Kind::Text => Values::Text(rows.iter().map(|row| text(row.channel(k)?)).collect()),
            Source::Channel(k) => numbers(rows.iter().map(|row| row.channel(k)?.number())),
            Source::Feature(k) => numbers(features().map(|row| row.features.get(k).copied())),
            Source::Score(k) => numbers(features().map(|row| row.scores.get(k).copied())),
            Source::Prediction(k) => Values::Flag(features().map(|row| self.prediction(row, k)).collect()),
            Source::Fault => Values::Flag(features().map(|row| Some(row.flags.fault)).collect()),
            Source::Label => Values::Count(labels().map(|label| Some(label?.class.into())).collect()),
            Source::LabelName => {
                let name = |label: &Label| self.order.config.classes.get(usize::from(label.class)).cloned();
                Values::Text(labels().map(|label| name(label?)).collect())
            }
            Source::LabelValue => numbers(labels().map(|label| Some(label?.value))),
            Source::Quality => {
                let names = QUALITIES.map(Arc::<str>::from);
                Values::Text(rows.iter().map(|row| names.get(worst(row, self.channels.len())?).cloned()).collect())
            }
            Source::QualityText => Values::Text(rows.iter().map(|row| self.quality_text(row).map(Arc::from)).collect()),
        }
    }

    fn prediction(&self, row: &FeatureRow, model: usize) -> Option<bool> {
        let (score, threshold) = (row.scores.get(model)?, self.order.thresholds.get(model)?);
        (score.is_finite() && threshold.is_finite()).then_some(score > threshold)
    }

    /// Of signals and settings; nothing is known without a frame.
    pub(super) fn quality(&self, row: &Row<'_>) -> Option<&'static str> {
        QUALITIES.get(worst(row, self.channels.len())?).copied()
    }

    fn quality_text(&self, row: &Row<'_>) -> Option<String> {
        let channels = self.channels.iter().zip(&row.frame?.channels);
        let mut text = String::new();
        for (name, channel) in channels.filter(|(_, c)| !c.quality.is_good()) {
            let next = format!("{}{name} {}", if text.is_empty() { "" } else { "; " }, channel.quality);
            if text.len() + next.len() > MAX_QUALITY_TEXT {
                text.push_str("; ...");
                break;
            }
            text.push_str(&next);
        }
        Some(text).filter(|text| !text.is_empty())
    }
}

/// By [`rank`].
const QUALITIES: [&str; 3] = ["Good", "Uncertain", "Bad"];

fn rank(quality: Quality) -> usize {
    match quality {
        Quality::Good => 0,
        Quality::Uncertain(_) => 1,
        Quality::Bad(_) => 2,
    }
}

/// [`rank`] of the worst of the first so many channels.
fn worst(row: &Row<'_>, channels: usize) -> Option<usize> {
    Some(row.frame?.channels.iter().take(channels).map(|c| rank(c.quality)).max().unwrap_or(0))
}

/// What is no number is a gap.
fn numbers(values: impl Iterator<Item = Option<f64>>) -> Values {
    Values::Number(values.map(|value| value.filter(|x| x.is_finite())).collect())
}

fn text(value: &Value) -> Option<Arc<str>> {
    match value {
        Value::Text(text) => Some(text.clone()),
        other => other.number().map(|x| x.to_string().into()),
    }
}

/// Columns with names that differ in more than upper and lower case: not every reader tells these apart.
struct List {
    columns: Vec<Column>,
    names: BTreeSet<String>,
}

impl List {
    /// Signals, settings and labels under their columns' names of recorded data, so that `train` and `replay` find them. Waveforms are not
    /// kept.
    fn channels(&mut self, machine: &MachineConfig, sample: Option<&Frame>) {
        let kind = |channel: usize| {
            let text = sample.and_then(|f| f.channels.get(channel)).is_some_and(|c| matches!(c.value, Some(Value::Text(_))));
            if text { Kind::Text } else { Kind::Number }
        };
        for (k, signal) in machine.signals.iter().enumerate().filter(|(_, s)| s.shape == Shape::Scalar) {
            let other = format!("signal_{}", signal.name);
            self.add(&signal.column, &other, kind(k), &signal.unit, "signal", Source::Channel(k));
        }
        for (k, setting) in machine.settings.iter().enumerate() {
            let (channel, other) = (machine.setting_channel(k), format!("setting_{}", setting.name));
            self.add(&setting.column, &other, kind(channel), &setting.unit, "setting", Source::Channel(channel));
        }
        let first = machine.signals.len() + machine.settings.len();
        for (channel, LabelConfig { name, column, .. }) in (first..).zip(machine.labels()) {
            let other = name.replace('.', "_");
            self.add(column, &other, kind(channel), "", "label, as the machine gives it", Source::Channel(channel));
        }
    }

    fn add(&mut self, name: &str, other: &str, kind: Kind, unit: &str, about: &str, source: Source) {
        let numbered = (2..).map(|n| format!("{}_{n}", if other.is_empty() { name } else { other }));
        let mut names = [name, other].into_iter().filter(|n| !n.is_empty()).map(str::to_string).chain(numbered);
        if let Some(name) = names.find(|n| !self.names.contains(&n.to_lowercase())) {
            self.names.insert(name.to_lowercase());
            self.columns.push(Column { name, kind, unit: unit.into(), about: about.into(), source });
        }
    }
}
