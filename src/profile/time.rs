//! The time column: sampling interval, gaps, backward jumps.

use serde::Serialize;

use super::data::{Data, Values};
use super::names;
use super::settings::Chosen;
use crate::types::Timestamp;

/// Values looked at to tell whether a column holds times.
const PROBED: usize = 200;
/// An interval so many times the median is a gap.
const GAP: f64 = 3.0;
/// Intervals within this share of the median are regular.
const REGULAR: f64 = 0.1;

/// What the values of a time column are.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Date and time as text.
    Clock,
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl TimeUnit {
    /// `replay` and `train` read it.
    pub fn is_read_by_replay(self) -> bool {
        matches!(self, Self::Clock | Self::Seconds)
    }

    fn nanos(self) -> f64 {
        match self {
            Self::Clock | Self::Seconds => 1e9,
            Self::Milliseconds => 1e6,
            Self::Microseconds => 1e3,
            Self::Nanoseconds => 1.0,
        }
    }
}

/// The time of the rows; intervals within a series (file, unit), in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimeProfile {
    pub column: String,
    pub chosen: Chosen,
    pub unit: TimeUnit,
    /// Rows without a time that can be read.
    pub unreadable: usize,
    /// Earliest and latest; dates for clocks and for seconds since 1970, else seconds.
    pub start: Option<String>,
    pub end: Option<String>,
    pub interval_median: Option<f64>,
    pub interval_min: Option<f64>,
    pub interval_max: Option<f64>,
    /// Share of intervals within 10 % of the median.
    pub regular: Option<f64>,
    /// Intervals of more than three medians.
    pub gaps: usize,
    pub longest_gap: Option<Gap>,
    /// Steps back, and steps of zero.
    pub backward: usize,
    pub repeated: usize,
}

/// A place where time jumps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    pub seconds: f64,
    pub file: String,
    /// The row after it, 1-based among the rows read of the file.
    pub row: usize,
}

/// The time column, if there is one that can be told.
pub(super) fn find(data: &Data<'_>, series: &[Vec<usize>], taken: &[usize]) -> Option<(usize, TimeUnit)> {
    let free = |c: &usize| !taken.contains(c);
    let clock = |c: &usize| is_clock(&data.columns[*c]);
    let columns: Vec<usize> = (0..data.columns.len()).filter(free).collect();
    let named = |c: &usize| names::time(data.columns[*c].name);
    if let Some(column) = columns.iter().find(|c| named(c) && clock(c)).or_else(|| columns.iter().find(|c| clock(c))) {
        return Some((*column, TimeUnit::Clock));
    }
    let column = columns.into_iter().find(|c| named(c) && ascends(&data.columns[*c].numbers, series))?;
    Some((column, unit(&data.columns[column])))
}

/// What the values of a named time column are.
pub(super) fn unit(values: &Values<'_>) -> TimeUnit {
    let (numbers, texts) = values.counts();
    if texts > numbers {
        return TimeUnit::Clock;
    }
    // seconds since 1970 are about 1.7e9
    let size = values.numbers.iter().filter(|x| x.is_finite()).fold(0.0f64, |m, x| m.max(x.abs()));
    match size {
        x if x > 1e17 => TimeUnit::Nanoseconds,
        x if x > 1e14 => TimeUnit::Microseconds,
        x if x > 1e11 => TimeUnit::Milliseconds,
        _ => TimeUnit::Seconds,
    }
}

fn is_clock(values: &Values<'_>) -> bool {
    let (numbers, texts) = values.counts();
    if texts == 0 || numbers > 0 && texts < 19 * numbers {
        return false;
    }
    let rows = values.numbers.len();
    let probed: Vec<&str> = (0..rows).step_by((rows / PROBED).max(1)).filter_map(|row| values.text(row)).collect();
    let read = probed.iter().filter(|t| Timestamp::parse(t).is_ok()).count();
    read > 0 && read * 20 >= probed.len() * 19
}

fn ascends(numbers: &[f64], series: &[Vec<usize>]) -> bool {
    let (mut steps, mut up, mut down) = (0usize, 0usize, 0usize);
    for pair in series.iter().flat_map(|rows| rows.windows(2)) {
        let step = numbers[pair[1]] - numbers[pair[0]];
        steps += 1;
        up += usize::from(step > 0.0);
        down += usize::from(step < 0.0);
    }
    steps > 0 && up * 2 > steps && down * 20 <= steps
}

pub(super) fn profile(
    data: &Data<'_>,
    files: &[String],
    series: &[Vec<usize>],
    column: usize,
    unit: TimeUnit,
    chosen: Chosen,
) -> TimeProfile {
    let values = &data.columns[column];
    let times: Vec<Option<i64>> = (0..data.rows).map(|row| time(values, row, unit)).collect();
    let mut steps: Vec<(i64, usize)> = Vec::new();
    for rows in series {
        let mut before = None;
        for row in rows {
            let Some(now) = times[*row] else { continue };
            if let Some(before) = before {
                steps.push((now.saturating_sub(before), *row));
            }
            before = Some(now);
        }
    }
    let mut ahead: Vec<i64> = steps.iter().map(|s| s.0).filter(|s| *s > 0).collect();
    ahead.sort_unstable();
    let median = ahead.get(ahead.len() / 2).copied();
    let is_gap = |step: i64| median.is_some_and(|m| step as f64 > GAP * m as f64);
    let longest = steps.iter().filter(|s| is_gap(s.0)).max_by_key(|s| s.0);
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    let regular = |m: i64| ahead.iter().filter(|s| (**s - m).abs() as f64 <= REGULAR * m as f64).count() as f64 / steps.len().max(1) as f64;
    let known = times.iter().flatten();
    TimeProfile {
        column: values.name.to_string(),
        chosen,
        unit,
        unreadable: times.iter().filter(|t| t.is_none()).count(),
        start: known.clone().min().map(|t| show(*t, unit)),
        end: known.max().map(|t| show(*t, unit)),
        interval_median: median.map(seconds),
        interval_min: ahead.first().copied().map(seconds),
        interval_max: ahead.last().copied().map(seconds),
        regular: median.map(regular),
        gaps: steps.iter().filter(|s| is_gap(s.0)).count(),
        longest_gap: longest.map(|(step, row)| {
            let (file, row) = data.place(*row);
            Gap { seconds: seconds(*step), file: files.get(file).cloned().unwrap_or_default(), row: row + 1 }
        }),
        backward: steps.iter().filter(|s| s.0 < 0).count(),
        repeated: steps.iter().filter(|s| s.0 == 0).count(),
    }
}

/// Nanoseconds since 1970, or since the beginning.
fn time(values: &Values<'_>, row: usize, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Clock => {
            let text = values.text(row).map_or_else(|| values.numbers[row].to_string(), str::to_string);
            Timestamp::parse(&text).ok().map(Timestamp::as_nanos)
        }
        _ => Some(values.numbers[row] * unit.nanos()).filter(|x| x.is_finite() && x.abs() < 9.2e18).map(|x| x as i64),
    }
}

/// Dates from 1980 on; smaller numbers count from the start of a recording.
fn show(nanos: i64, unit: TimeUnit) -> String {
    if unit == TimeUnit::Clock || nanos > 315_532_800_000_000_000 {
        Timestamp::from_nanos(nanos).to_string()
    } else {
        format!("{} s", nanos as f64 / 1e9)
    }
}
