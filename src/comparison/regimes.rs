//! Rows by regime: each distinct combination of the settings; numbers by exact value, or within a tolerance.
//!
//! With a tolerance, values of the reference within twice the tolerance from the lowest of a group are one group, and a current value belongs
//! to the nearest group whose centre is within the tolerance. What belongs to none makes groups of its own: outside the reference.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::ComparisonError;
use super::data::{Column, Entry, Key, Table};

/// More regimes than this are taken for a setting that lacks a tolerance.
const MOST_REGIMES: usize = 1_000;

/// A setting to condition on: `NAME` or `NAME~TOLERANCE`.
///
/// ```
/// let setting: driftgate::comparison::Setting = "voltage~5".parse().unwrap();
/// assert_eq!((setting.name.as_str(), setting.tolerance), ("voltage", Some(5.0)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub name: String,
    /// Numbers so far from a group's centre still belong to it; above 0.
    pub tolerance: Option<f64>,
}

/// A text that is no setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no setting; write NAME, or NAME~TOLERANCE with a tolerance above 0")]
pub struct ParseSettingError(String);

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.tolerance.map_or(Ok(()), |tolerance| write!(f, "~{tolerance}"))
    }
}

impl FromStr for Setting {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<Self, ParseSettingError> {
        let error = || ParseSettingError(text.into());
        let (name, tolerance) = match text.rsplit_once('~') {
            None => (text, None),
            Some((name, number)) => {
                let tolerance: f64 = number.parse().map_err(|_| error())?;
                (name, Some(tolerance).filter(|t| t.is_finite() && *t > 0.0))
            }
        };
        if name.is_empty() || tolerance.is_none() && text.contains('~') {
            return Err(error());
        }
        Ok(Self { name: name.into(), tolerance })
    }
}

/// One regime with its rows on either side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Regime {
    /// `None` where there are no settings.
    pub key: Option<String>,
    pub reference: Vec<usize>,
    pub current: Vec<usize>,
}

/// The regimes of two tables, in the order of their settings' values; rows without a setting are in none.
pub(super) fn split(reference: &Table, current: &Table, settings: &[Setting]) -> Result<Vec<Regime>, ComparisonError> {
    if settings.is_empty() {
        return Ok(vec![Regime { key: None, reference: (0..reference.rows()).collect(), current: (0..current.rows()).collect() }]);
    }
    let columns = settings.iter().map(|s| Ok((find(reference, "reference", s)?, find(current, "current", s)?)));
    let columns = columns.collect::<Result<Vec<_>, ComparisonError>>()?;
    let groups: Vec<Groups> = settings.iter().zip(&columns).map(|(s, (r, c))| Groups::of(s.tolerance, r, c)).collect();
    let mut regimes: BTreeMap<Vec<Key<'_>>, Regime> = BTreeMap::new();
    for side in [Side::Reference, Side::Current] {
        let rows = if side == Side::Reference { reference.rows() } else { current.rows() };
        for row in 0..rows {
            let entries = columns.iter().map(|(r, c)| if side == Side::Reference { r.get(row) } else { c.get(row) });
            let located: Vec<Entry<'_>> = entries.zip(&groups).map(|(e, g)| g.centre(e)).collect();
            let Some(key) = located.iter().map(|e| Key::of(*e)).collect::<Option<Vec<_>>>() else { continue };
            let regime = regimes.entry(key).or_insert_with(|| Regime { key: Some(text(settings, &located)), ..Regime::default() });
            if side == Side::Reference { regime.reference.push(row) } else { regime.current.push(row) }
        }
        if regimes.len() > MOST_REGIMES {
            return Err(ComparisonError::ManyRegimes { regimes: regimes.len(), most: MOST_REGIMES });
        }
    }
    Ok(regimes.into_values().collect())
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Side {
    Reference,
    Current,
}

fn find<'a>(table: &'a Table, which: &'static str, setting: &Setting) -> Result<&'a Column, ComparisonError> {
    table.column(&setting.name).ok_or_else(|| ComparisonError::NoColumn { which, column: setting.name.clone(), has: table.names() })
}

/// `voltage=164;load=40`
fn text(settings: &[Setting], located: &[Entry<'_>]) -> String {
    let value = |setting: &Setting, entry: &Entry<'_>| match (entry, setting.tolerance) {
        (Entry::Number(x), Some(tolerance)) => {
            // a tenth of the tolerance is fine enough
            let step = 10f64.powf((tolerance / 10.0).log10().floor());
            let decimals = (-step.log10()).round().clamp(0.0, 12.0) as usize;
            let text = format!("{:.decimals$}", (x / step).round() * step + 0.0);
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
        }
        (Entry::Number(x), None) => (x + 0.0).to_string(),
        (Entry::Text(text), _) => (*text).to_string(),
        (Entry::Missing, _) => String::new(),
    };
    settings.iter().zip(located).map(|(s, e)| format!("{}={}", s.name, value(s, e))).collect::<Vec<_>>().join(";")
}

/// The groups of one setting's numbers.
struct Groups {
    /// `None`: by exact value.
    tolerance: Option<f64>,
    centres: Vec<f64>,
}

impl Groups {
    fn of(tolerance: Option<f64>, reference: &Column, current: &Column) -> Self {
        let mut groups = Self { tolerance, centres: Vec::new() };
        let Some(tolerance) = tolerance else { return groups };
        groups.centres = centres(numbers(reference), tolerance);
        let beyond = numbers(current).into_iter().filter(|x| groups.nearest(*x, tolerance).is_none()).collect();
        let own = centres(beyond, tolerance);
        groups.centres.extend(own);
        groups
    }

    /// The value that stands for this one.
    fn centre<'a>(&self, entry: Entry<'a>) -> Entry<'a> {
        match (entry, self.tolerance) {
            (Entry::Number(x), Some(tolerance)) => Entry::Number(self.nearest(x, tolerance).unwrap_or(x)),
            _ => entry,
        }
    }

    fn nearest(&self, x: f64, tolerance: f64) -> Option<f64> {
        let near = self.centres.iter().copied().min_by(|a, b| (a - x).abs().total_cmp(&(b - x).abs()))?;
        // the edge of a group is inside, whatever the rounding of its centre
        ((near - x).abs() <= tolerance * (1.0 + 1e-9)).then_some(near)
    }
}

fn numbers(column: &Column) -> Vec<f64> {
    (0..column.len()).filter_map(|row| if let Entry::Number(x) = column.get(row) { Some(x) } else { None }).collect()
}

fn centres(mut values: Vec<f64>, tolerance: f64) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let mut centres = Vec::new();
    let mut rest = values.as_slice();
    while let Some(first) = rest.first() {
        let end = rest.partition_point(|x| x - first <= 2.0 * tolerance).max(1);
        centres.push(f64::midpoint(*first, rest[end - 1]));
        rest = &rest[end..];
    }
    centres
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(values: &[f64]) -> Table {
        let mut column = Column::new("v");
        values.iter().for_each(|v| column.push(Entry::Number(*v)));
        Table { columns: vec![column] }
    }

    fn keys(reference: &[f64], current: &[f64], setting: &str) -> Vec<(String, usize, usize)> {
        let regimes = split(&table(reference), &table(current), &[setting.parse().unwrap()]).unwrap();
        regimes.into_iter().map(|r| (r.key.unwrap(), r.reference.len(), r.current.len())).collect()
    }

    #[test]
    fn exact_values_without_a_tolerance_and_groups_with_one() {
        let (reference, current) = ([164.0, 163.9, 289.0, 164.1], [164.3, 220.0, 219.0, f64::NAN]);
        assert_eq!(keys(&reference, &current, "v").len(), 7);
        let expected = [("v=164", 3, 1), ("v=219.5", 0, 2), ("v=289", 1, 0)].map(|(k, r, c)| (k.to_string(), r, c));
        assert_eq!(keys(&reference, &current, "v~5"), expected);
    }

    #[test]
    fn a_setting_without_tolerance_that_varies_is_told() {
        let values: Vec<f64> = (0..1_500).map(f64::from).collect();
        let error = split(&table(&values), &table(&values), &["v".parse().unwrap()]).unwrap_err();
        assert!(error.to_string().contains("1500 regimes") && error.to_string().contains("tolerance"), "{error}");
    }

    #[test]
    fn bad_settings_are_refused() {
        assert!(["", "v~", "v~0", "v~-1", "~5", "v~x"].iter().all(|t| t.parse::<Setting>().is_err()));
    }
}
