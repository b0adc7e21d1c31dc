//! Which columns a dataset has, and what stands in them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Order;
use super::labels::Label;
use crate::config::{Conditioning, LabelConfig, MachineConfig, Shape};
use crate::store::FeatureRow;
use crate::types::{Channel, Frame, Quality, Timestamp, Value};

/// Longest text about channels that are not good, bytes.
const MAX_QUALITY_TEXT: usize = 200;

/// Type of a column. Each may have gaps.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nanoseconds, UTC.
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
    Time(Vec<Option<i64>>),
    Count(Vec<Option<u64>>),
    Number(Vec<Option<f64>>),
    Flag(Vec<Option<bool>>),
    Text(Vec<Option<Arc<str>>>),
}

impl Values {
    fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Time => Self::Time(Vec::with_capacity(rows)),
            Kind::Count => Self::Count(Vec::with_capacity(rows)),
            Kind::Number => Self::Number(Vec::with_capacity(rows)),
            Kind::Flag => Self::Flag(Vec::with_capacity(rows)),
            Kind::Text => Self::Text(Vec::with_capacity(rows)),
        }
    }

    /// What does not fit the column's type is a gap.
    fn push(&mut self, cell: Cell) {
        match self {
            Self::Time(values) => values.push(if let Cell::Time(time) = cell { Some(time.as_nanos()) } else { None }),
            Self::Count(values) => values.push(if let Cell::Count(count) = cell { Some(count) } else { None }),
            Self::Number(values) => values.push(if let Cell::Number(x) = cell { Some(x).filter(|x| x.is_finite()) } else { None }),
            Self::Flag(values) => values.push(if let Cell::Flag(flag) = cell { Some(flag) } else { None }),
            Self::Text(values) => values.push(match cell {
                Cell::Text(text) => Some(text),
                Cell::Number(x) => Some(x.to_string().into()),
                _ => None,
            }),
        }
    }
}

/// Some rows, column by column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Batch {
    pub(super) rows: usize,
    pub(super) columns: Vec<Values>,
}

#[derive(Clone, Debug)]
enum Cell {
    Gap,
    Time(Timestamp),
    Count(u64),
    Number(f64),
    Flag(bool),
    Text(Arc<str>),
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
        let mut list = List::default();
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
        list.add("label_value", "", Kind::Number, "", "true value that somebody has given", Source::LabelValue);
        list.add("quality", "", Kind::Text, "", "worst of signals and settings: Good, Uncertain, Bad", Source::Quality);
        list.add("quality_text", "", Kind::Text, "", "signals and settings that are not good, and why", Source::QualityText);
        let signals = machine.signals.iter().map(|s| s.name.clone());
        let channels = signals.chain(machine.settings.iter().map(|s| s.name.clone())).collect();
        Self { order, columns: list.columns, channels }
    }

    pub(super) fn batch(&self, rows: &[Row<'_>]) -> Batch {
        let columns = self.columns.iter().map(|column| {
            let mut values = Values::new(column.kind, rows.len());
            rows.iter().for_each(|row| values.push(self.cell(column.source, row)));
            values
        });
        Batch { rows: rows.len(), columns: columns.collect() }
    }

    fn cell(&self, source: Source, row: &Row<'_>) -> Cell {
        let number = |values: &[f64], k: usize| values.get(k).copied().map_or(Cell::Gap, Cell::Number);
        match source {
            Source::Time => Cell::Time(row.features.time),
            Source::Machine => Cell::Text(self.order.config.name.clone()),
            Source::Row => Cell::Count(row.features.row),
            Source::Regime => Cell::Text(self.order.regime_key.clone()),
            Source::Channel(k) => row.frame.and_then(|f| f.channels.get(k)).map_or(Cell::Gap, value),
            Source::Feature(k) => number(&row.features.features, k),
            Source::Score(k) => number(&row.features.scores, k),
            Source::Prediction(k) => {
                let (score, threshold) = (row.features.scores.get(k), self.order.thresholds.get(k));
                let both = score.zip(threshold).filter(|(score, threshold)| score.is_finite() && threshold.is_finite());
                both.map_or(Cell::Gap, |(score, threshold)| Cell::Flag(score > threshold))
            }
            Source::Fault => Cell::Flag(row.features.flags.fault),
            Source::Label => row.label.map_or(Cell::Gap, |label| Cell::Count(label.class.into())),
            Source::LabelValue => row.label.map_or(Cell::Gap, |label| Cell::Number(label.value)),
            Source::Quality => self.quality(row).map_or(Cell::Gap, |quality| Cell::Text(quality.into())),
            Source::QualityText => self.quality_text(row).map_or(Cell::Gap, |text| Cell::Text(text.into())),
        }
    }

    /// Of signals and settings; nothing is known without a frame.
    pub(super) fn quality(&self, row: &Row<'_>) -> Option<&'static str> {
        let channels = row.frame?.channels.iter().take(self.channels.len());
        Some(match channels.map(|c| rank(c.quality)).max().unwrap_or(0) {
            0 => "Good",
            1 => "Uncertain",
            _ => "Bad",
        })
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

fn rank(quality: Quality) -> u8 {
    match quality {
        Quality::Good => 0,
        Quality::Uncertain(_) => 1,
        Quality::Bad(_) => 2,
    }
}

/// Bad data is a gap.
fn value(channel: &Channel) -> Cell {
    match channel.usable() {
        Some(Value::Text(text)) => Cell::Text(text.clone()),
        Some(other) => other.number().map_or(Cell::Gap, Cell::Number),
        None => Cell::Gap,
    }
}

/// Columns with names that differ in more than upper and lower case: not every reader tells these apart.
#[derive(Default)]
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
