//! Where the past of each variable is, and reading it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::super::instantiate::VariableInfo;
use super::extent;
use crate::config::{Config, MachineConfig, Shape};
use crate::history::{
    Aggregate, Cursor, Extent, FOREVER, Gapped, Interval, Intervals, Page, Past, Processed, RawRequest, Rules, process, tick,
};
use crate::store::{Series, Store, StoreError};
use crate::types::{End, Historic, Scalar, ScalarKind, Timestamp};

/// Raw values that one page of aggregates may need; above it fewer intervals are worked out at a time.
const MAX_RAW: usize = 1_000_000;
/// How far a good value is looked for before and after the intervals.
const NEIGHBOURS: usize = 1_000;

/// Each variable with a history, by its path.
pub(in super::super) struct Kept {
    variables: HashMap<Arc<str>, Variable>,
}

#[derive(Clone)]
struct Variable {
    series: Series,
    kind: Option<ScalarKind>,
    /// How long a value is good without a next one; `None`: until it changes.
    max_age: Option<Duration>,
    stepped: bool,
}

/// Which variables have a history, and where it is.
pub(in super::super) fn kept(config: &Config, variables: &HashMap<Arc<str>, VariableInfo>) -> Kept {
    let changes = variables.iter().filter(|(_, info)| info.history).map(|(path, info)| {
        let variable = Variable { series: Series::Variable(Arc::clone(path)), kind: info.kind, max_age: None, stepped: true };
        (Arc::clone(path), variable)
    });
    let mut found: HashMap<_, _> = changes.collect();
    for (machine, config) in config.machines.iter().enumerate() {
        for (path, series, stepped) in of_rows(machine as u16, config) {
            if let Some(variable) = found.get_mut(path.as_str()) {
                (variable.series, variable.stepped, variable.max_age) = (series, stepped, Some(config.max_age));
            }
        }
    }
    Kept { variables: found }
}

/// Variables whose values are in the rows of a machine. Waveforms are not: their variable shows a feature.
fn of_rows(machine: u16, config: &MachineConfig) -> Vec<(String, Series, bool)> {
    let m = &config.name;
    let scalars = config.signals.iter().enumerate().filter(|(_, signal)| matches!(signal.shape, Shape::Scalar));
    let channel = |channel: usize| Series::Channel { machine, channel: channel as u16 };
    let signals = scalars.map(|(k, signal)| (format!("{m}.Signals.{}", signal.name), channel(k), false));
    let settings = config.settings.iter().enumerate();
    let settings = settings.map(|(k, s)| (format!("{m}.Settings.{}", s.name), channel(config.setting_channel(k)), true));
    let score = |(model, name): (usize, &Arc<str>)| {
        (format!("{m}.Models.{name}.Inference.Score"), Series::Score { machine, model: model as u16 }, false)
    };
    let scores = config.models.iter().map(|model| &model.name).enumerate().map(score);
    signals.chain(settings).chain(scores).collect()
}

impl Kept {
    /// Whether the changes of a variable have to be written down.
    pub(in super::super) fn is_recorded(&self, path: &str) -> bool {
        self.variables.get(path).is_some_and(|variable| matches!(variable.series, Series::Variable(_)))
    }

    /// Whether a variable goes straight from value to value; `None` where it has no history.
    pub(in super::super) fn is_stepped(&self, path: &str) -> Option<bool> {
        self.variables.get(path).map(|variable| variable.stepped)
    }

    pub(super) fn reading(&self, path: &str, store: Arc<dyn Store>) -> Option<Reading> {
        self.variables.get(path).map(|variable| Reading { variable: variable.clone(), store })
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    Store(StoreError),
    /// A text cannot be averaged.
    NotNumeric,
    /// One interval alone has more values than can be read at once.
    TooMuch,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// One variable's past.
pub(super) struct Reading {
    variable: Variable,
    store: Arc<dyn Store>,
}

/// The stored values, with times as OPC UA has them.
struct Stored<'a>(&'a Reading);

impl Past for Stored<'_> {
    type Error = StoreError;

    fn values(&self, time: Range<Timestamp>, limit: usize, end: End) -> Result<Vec<Historic>, StoreError> {
        let mut values = self.0.store.series(&self.0.variable.series, time, limit, end)?;
        values.iter_mut().for_each(|value| value.time = tick(value.time));
        Ok(values)
    }
}

impl Past for Reading {
    type Error = StoreError;

    fn values(&self, time: Range<Timestamp>, limit: usize, end: End) -> Result<Vec<Historic>, StoreError> {
        match self.variable.max_age {
            Some(max_age) => Gapped::new(Stored(self), max_age).values(time, limit, end),
            None => Stored(self).values(time, limit, end),
        }
    }
}

impl Reading {
    pub(super) fn kind(&self) -> Option<ScalarKind> {
        self.variable.kind
    }

    pub(super) fn stepped(&self) -> bool {
        self.variable.stepped
    }

    pub(super) fn raw(&self, request: &RawRequest, cursor: Option<&Cursor>, most: usize) -> Result<Page, Failure> {
        Ok(request.page(self, cursor, most)?)
    }

    /// Intervals from number `from` on, `most` at most; and the number of the next one.
    pub(super) fn processed(
        &self,
        aggregate: Aggregate,
        intervals: &Intervals,
        from: u64,
        most: usize,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<(Vec<Processed>, u64), Failure> {
        let mut count = (most as u64).min(intervals.len() - from.min(intervals.len()));
        loop {
            let part: Vec<Interval> = (from..from + count).map(|k| intervals.get(k)).collect();
            let Some(values) = self.around(&part)? else {
                if count <= 1 {
                    return Err(Failure::TooMuch);
                }
                count /= 2;
                continue;
            };
            let text = |v: &Historic| v.value.as_ref().is_some_and(|value| matches!(value, Scalar::Text(_)));
            if aggregate != Aggregate::Count && values.iter().any(text) {
                return Err(Failure::NotNumeric);
            }
            return Ok((process(aggregate, &values, &part, self.extent(now)?, rules), from + count));
        }
    }

    /// The values in these intervals, from a good one before them to a good one after them; `None` where they are too many.
    fn around(&self, intervals: &[Interval]) -> Result<Option<Vec<Historic>>, Failure> {
        let early = intervals.iter().map(|i| i.early).min().unwrap_or_default();
        let late = intervals.iter().map(|i| i.late).max().unwrap_or_default();
        let inside = self.values(early..late, MAX_RAW + 1, End::Oldest)?;
        if inside.len() > MAX_RAW {
            return Ok(None);
        }
        let mut values = self.neighbours(Timestamp::MIN..early, End::Newest)?;
        values.extend(inside);
        values.extend(self.neighbours(late..FOREVER, End::Oldest)?);
        Ok(Some(values))
    }

    /// The nearest value, and as many more as it takes to find a good one.
    fn neighbours(&self, time: Range<Timestamp>, end: End) -> Result<Vec<Historic>, Failure> {
        let nearest = self.values(time.clone(), 1, end)?;
        if nearest.iter().all(|value| value.quality.is_good()) {
            return Ok(nearest);
        }
        Ok(self.values(time, NEIGHBOURS, end)?)
    }

    fn extent(&self, now: Timestamp) -> Result<Option<Extent>, Failure> {
        let time = |end| -> Result<Option<Timestamp>, Failure> {
            Ok(self.values(Timestamp::MIN..FOREVER, 1, end)?.first().map(|value| value.time))
        };
        Ok(extent(time(End::Oldest)?, time(End::Newest)?, self.variable.max_age.is_none().then_some(now)))
    }
}
