//! One value an interval, as OPC 10000-13 defines them.
//!
//! | aggregate | of | where there is nothing |
//! |---|---|---|
//! | Count | the good raw values in the interval | 0 |
//! | Average | their mean | no data |
//! | Minimum, Maximum | the least and greatest of them | no data |
//! | TimeAverage | the area below the values by the length of the interval; its ends are interpolated from the good values around | no data |
//!
//! An interval has its start and not its end; backwards (start after end) its later end is its start. It is stamped with its start.
//! Before the first value that is kept and after the last one there is no data; an interval that reaches beyond, or that is cut short by
//! the end of the request, is partial. Where bad values are among good ones, Average and Count follow the percentages of [`Rules`],
//! Minimum, Maximum and TimeAverage are uncertain. A value that changes in steps holds until the next one; others go straight to it.

use crate::types::{Historic, Quality, Scalar, Timestamp};

/// What to make of the values of an interval.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Aggregate {
    Average,
    Minimum,
    Maximum,
    Count,
    TimeAverage,
}

/// The configuration of aggregates.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Uncertain values count as bad ones; else as good ones.
    pub uncertain_is_bad: bool,
    /// From so many percent of bad values on the result is bad; 0 to 100.
    pub percent_bad: u8,
    /// From so many percent of good values on the result is good; 0 to 100.
    pub percent_good: u8,
    /// Beyond the last value its slope goes on; else it holds.
    pub sloped: bool,
    /// The variable changes in steps.
    pub stepped: bool,
}

impl Rules {
    /// What the server announces as its own.
    pub const fn standard(stepped: bool) -> Self {
        Self { uncertain_is_bad: true, percent_bad: 100, percent_good: 100, sloped: false, stepped }
    }
}

/// From the first to the last time at which something is known.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    pub first: Timestamp,
    pub last: Timestamp,
}

/// A part of the request: `early` < `late`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    pub early: Timestamp,
    pub late: Timestamp,
    backward: bool,
    /// Cut short by the end of the request.
    cut: bool,
}

/// The intervals of a request, in the order that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervals {
    start: i128,
    end: i128,
    step: i128,
}

impl Intervals {
    /// `None` where start and end are the same. `step` in nanoseconds; 0 and what is longer than the whole is the whole.
    pub fn new(start: Timestamp, end: Timestamp, step: u64) -> Option<Self> {
        let (start, end) = (i128::from(start.as_nanos()), i128::from(end.as_nanos()));
        let whole = (end - start).abs();
        let step = if step == 0 { whole } else { i128::from(step).min(whole) };
        (whole > 0).then_some(Self { start, end, step })
    }

    pub fn len(&self) -> u64 {
        u64::try_from(((self.end - self.start).abs() + self.step - 1) / self.step).unwrap_or(u64::MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number `k`, from 0 on.
    pub fn get(&self, k: u64) -> Interval {
        let (backward, sign) = (self.end < self.start, if self.end < self.start { -1 } else { 1 });
        let begin = self.start + sign * self.step * i128::from(k);
        let full = begin + sign * self.step;
        let stop = if backward { full.max(self.end) } else { full.min(self.end) };
        let time = |nanos: i128| Timestamp::from_nanos(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64);
        let (early, late) = (time(begin.min(stop)), time(begin.max(stop)));
        Interval { early, late, backward, cut: stop != full }
    }
}

impl Interval {
    /// The time that its value gets.
    pub fn start(&self) -> Timestamp {
        if self.backward { self.late } else { self.early }
    }

    fn contains(&self, time: Timestamp) -> bool {
        if self.backward { self.early < time && time <= self.late } else { self.early <= time && time < self.late }
    }
}

/// How good a result is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Grade {
    Good,
    /// Bad values were among those it is made of.
    Uncertain,
    /// Too many of them.
    Bad,
    /// There is nothing to make it of.
    NoData,
}

/// The value of an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Processed {
    pub time: Timestamp,
    /// `None` where the grade is Bad or NoData.
    pub value: Option<f64>,
    pub grade: Grade,
    /// A raw value that lies just at the interval's start; else calculated.
    pub raw: bool,
    pub partial: bool,
}

/// Works out intervals from values, which must be sorted by time, and hold also the last good one before all intervals and the first
/// good one after them, where there are such. Texts count, but are no numbers.
pub fn process(aggregate: Aggregate, values: &[Historic], intervals: &[Interval], extent: Option<Extent>, rules: &Rules) -> Vec<Processed> {
    let points = Points::new(values, rules);
    intervals.iter().map(|interval| one(aggregate, &points, interval, extent, rules)).collect()
}

fn one(aggregate: Aggregate, points: &Points, interval: &Interval, extent: Option<Extent>, rules: &Rules) -> Processed {
    let known = extent.filter(|e| e.first < interval.late && interval.early <= e.last || interval.contains(e.first));
    let Some(extent) = known else { return none(interval, interval.cut) };
    let partial = interval.cut || interval.early < extent.first || extent.last < interval.late;
    let inside = points.inside(interval);
    match aggregate {
        Aggregate::Count => {
            let good = inside.iter().filter(|p| p.good).count();
            let grade = share(good, inside.len(), rules);
            result(interval, good as f64, grade, false, partial)
        }
        Aggregate::Average => {
            let good: Vec<f64> = inside.iter().filter(|p| p.good).map(|p| p.number).collect();
            let mean = good.iter().sum::<f64>() / good.len() as f64;
            if good.is_empty() {
                none(interval, partial)
            } else {
                result(interval, mean, share(good.len(), inside.len(), rules), false, partial)
            }
        }
        Aggregate::Minimum => extreme(inside, interval, partial, |a, b| a < b),
        Aggregate::Maximum => extreme(inside, interval, partial, |a, b| a > b),
        Aggregate::TimeAverage => time_average(points, interval, extent, rules, partial),
    }
}

fn none(interval: &Interval, partial: bool) -> Processed {
    Processed { time: interval.start(), value: None, grade: Grade::NoData, raw: false, partial }
}

fn result(interval: &Interval, value: f64, grade: Grade, raw: bool, partial: bool) -> Processed {
    let value = Some(value).filter(|_| grade != Grade::Bad);
    Processed { time: interval.start(), value, grade, raw, partial }
}

/// The grade by the percentages of good and bad values.
fn share(good: usize, all: usize, rules: &Rules) -> Grade {
    if all == 0 {
        return Grade::Good;
    }
    let percent = |n: usize| 100.0 * n as f64 / all as f64;
    if good < all && percent(all - good) >= f64::from(rules.percent_bad) {
        Grade::Bad
    } else if percent(good) >= f64::from(rules.percent_good) {
        Grade::Good
    } else {
        Grade::Uncertain
    }
}

fn extreme(inside: &[Point], interval: &Interval, partial: bool, better: fn(f64, f64) -> bool) -> Processed {
    let best = inside.iter().filter(|p| p.good).fold(None, |best: Option<&Point>, p| match best {
        Some(best) if !better(p.number, best.number) => Some(best),
        _ => Some(p),
    });
    let Some(best) = best else { return none(interval, partial) };
    let grade = if inside.iter().all(|p| p.good) { Grade::Good } else { Grade::Uncertain };
    result(interval, best.number, grade, best.time == interval.start(), partial)
}

fn time_average(points: &Points, interval: &Interval, extent: Extent, rules: &Rules, partial: bool) -> Processed {
    // Nothing is known before the first value.
    let begin = interval.early.max(extent.first);
    let (Some(left), Some(right)) = (points.at(begin, rules), points.at(interval.late, rules)) else { return none(interval, partial) };
    let mut area = 0.0;
    let mut certain = left.good && right.good && (rules.stepped || interval.late <= extent.last);
    let (mut from, mut height) = (begin, left.number);
    for point in points.between(begin, interval.late) {
        if !point.good {
            certain = false;
            continue;
        }
        area += seconds(from, point.time) * if rules.stepped { height } else { (height + point.number) / 2.0 };
        (from, height) = (point.time, point.number);
    }
    area += seconds(from, interval.late) * if rules.stepped { height } else { (height + right.number) / 2.0 };
    let length = seconds(begin, interval.late);
    if length <= 0.0 {
        return none(interval, partial);
    }
    let certain = certain && interval.late <= extent.last;
    result(interval, area / length, if certain { Grade::Good } else { Grade::Uncertain }, false, partial)
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_secs_f64()
}

#[derive(Copy, Clone, Debug)]
struct Point {
    time: Timestamp,
    number: f64,
    good: bool,
}

struct Points {
    all: Vec<Point>,
    /// For each place the nearest good one at or before it, and at or after it.
    before: Vec<Option<usize>>,
    behind: Vec<Option<usize>>,
}

impl Points {
    fn new(values: &[Historic], rules: &Rules) -> Self {
        let point = |v: &Historic| {
            let good = match v.quality {
                Quality::Good => true,
                Quality::Uncertain(_) => !rules.uncertain_is_bad,
                Quality::Bad(_) => false,
            };
            let number = v.value.as_ref().and_then(Scalar::number).unwrap_or(0.0);
            Point { time: v.time, number, good: good && v.value.is_some() }
        };
        let all: Vec<Point> = values.iter().map(point).collect();
        let mut last = None;
        let mut look = |k: usize| {
            if all[k].good {
                last = Some(k);
            }
            last
        };
        let before = (0..all.len()).map(&mut look).collect();
        last = None;
        let mut look = |k: usize| {
            if all[k].good {
                last = Some(k);
            }
            last
        };
        let mut behind: Vec<_> = (0..all.len()).rev().map(&mut look).collect();
        behind.reverse();
        Self { all, before, behind }
    }

    fn inside(&self, interval: &Interval) -> &[Point] {
        let early = self.all.partition_point(|p| p.time < interval.early || (interval.backward && p.time == interval.early));
        let late = self.all.partition_point(|p| p.time < interval.late || (interval.backward && p.time == interval.late));
        self.all.get(early..late).unwrap_or_default()
    }

    /// Strictly between.
    fn between(&self, from: Timestamp, to: Timestamp) -> &[Point] {
        let (early, late) = (self.all.partition_point(|p| p.time <= from), self.all.partition_point(|p| p.time < to));
        self.all.get(early..late).unwrap_or_default()
    }

    /// The interpolated value: not good where bad ones were passed over, or where nothing comes after it.
    fn at(&self, time: Timestamp, rules: &Rules) -> Option<Point> {
        let after = self.all.partition_point(|p| p.time <= time);
        let near = self.before.get(after.checked_sub(1)?).copied().flatten()?;
        let left = self.all[near];
        if left.time == time {
            return Some(left);
        }
        if rules.stepped {
            return Some(Point { time, number: left.number, good: near + 1 == after });
        }
        match self.behind.get(after).copied().flatten() {
            Some(next) => {
                let right = self.all[next];
                let share = seconds(left.time, time) / seconds(left.time, right.time);
                Some(Point { time, number: left.number + share * (right.number - left.number), good: next == near + 1 })
            }
            None => Some(Point { time, number: self.beyond(near, time, rules), good: false }),
        }
    }

    /// After the last good value.
    fn beyond(&self, last: usize, time: Timestamp, rules: &Rules) -> f64 {
        let end = self.all[last];
        let previous = last.checked_sub(1).and_then(|k| self.before[k]).map(|k| self.all[k]);
        match previous {
            Some(previous) if rules.sloped && previous.time < end.time => {
                end.number + (end.number - previous.number) * seconds(end.time, time) / seconds(previous.time, end.time)
            }
            _ => end.number,
        }
    }
}

#[cfg(test)]
mod tests;
