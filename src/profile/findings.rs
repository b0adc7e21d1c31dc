//! What stands out, in sentences: first what to settle before monitoring, then what is good to know; the data, the settings, the signals.

use serde::Serialize;

use super::column::{ColumnProfile, Role};
use super::order::Stationarity;
use super::settings::{Condition, REGIME_ROWS};
use super::text::{cut, list, short};
use super::{Chosen, Profile, TimeUnit};
use crate::drift::metric::Kind;

/// Share of gaps that is worth a word.
const MANY_GAPS: f64 = 0.01;
/// A signal depends on the settings from this share of its variance on.
const DEPENDS: f64 = 0.5;
/// A sensor is coarse where its step is more than this part of its standard deviation.
const COARSE: f64 = 0.3;
/// A signal is stuck where it holds one value for so many rows, and for this share of its series.
const STUCK: (usize, f64) = (50, 0.02);
/// A signal that usually repeats its value (slow sampling) is not stuck.
const USUALLY_REPEATED: f64 = 0.5;
/// A signal is cut off at its ends from this share of rows there on, with that many different values.
const CUT_OFF: (f64, usize) = (0.02, 20);
/// Two signals say the same from this correlation on.
const SAME: f64 = 0.995;
/// Pairs that are named.
const PAIRS: usize = 4;
/// Independent values below which a signal's normal state cannot be learned.
const INDEPENDENT: f64 = 30.0;
/// Autocorrelation below which a signal swings.
const SWINGS: f64 = -0.2;
/// Spread that differs between combinations by this factor depends on the settings.
const SPREAD: f64 = 1.5;
/// Outliers are many from this share on.
const OUTLIERS: f64 = 0.001;

/// How much a finding matters.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Note,
    /// To be settled before monitoring.
    Warning,
}

/// Something that stands out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// A word that programs can rely on.
    pub code: &'static str,
    pub columns: Vec<String>,
    pub text: String,
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, code: &'static str, columns: Vec<String>, text: String) {
        self.0.push(Finding { level, code, columns, text });
    }

    /// One finding over all columns of which it is true.
    fn of(&mut self, level: Level, code: &'static str, columns: Vec<String>, text: impl FnOnce(&str, bool) -> String) {
        if !columns.is_empty() {
            let text = text(&list(&columns), columns.len() > 1);
            self.add(level, code, columns, text);
        }
    }
}

pub(super) fn findings(profile: &Profile) -> Vec<Finding> {
    let mut out = Findings(Vec::new());
    data(profile, &mut out);
    time(profile, &mut out);
    settings(profile, &mut out);
    signals(profile, &mut out);
    out.0.sort_by_key(|f| f.level != Level::Warning);
    out.0
}

fn names(profile: &Profile, which: impl Fn(&ColumnProfile) -> bool) -> Vec<String> {
    profile.columns.iter().filter(|c| which(c)).map(|c| c.name.clone()).collect()
}

fn data(p: &Profile, out: &mut Findings) {
    let differ: Vec<&super::FileProfile> = p.files.iter().filter(|f| !f.lacks.is_empty()).collect();
    if let Some(file) = differ.first() {
        let text = format!("{} of {} files lack columns: `{}` lacks {}", differ.len(), p.files.len(), file.name, list(&file.lacks));
        out.add(Level::Warning, "files_differ", file.lacks.clone(), text);
    }
    if p.rows < REGIME_ROWS {
        let text = format!("only {} rows: a regime needs {REGIME_ROWS} to be learned", p.rows);
        out.add(Level::Warning, "few_rows", Vec::new(), text);
    }
    let is = |role: Role| move |c: &ColumnProfile| c.role == role;
    out.of(Level::Warning, "empty", names(p, is(Role::Empty)), |n, _| format!("no value at all: {n}"));
    out.of(Level::Note, "constant", names(p, is(Role::Constant)), |n, _| format!("one value only, nothing to watch: {n}"));
    out.of(Level::Warning, "texts", names(p, |c| c.texts > 0), |n, _| format!("texts among the numbers, taken as gaps: {n}"));
    out.of(Level::Warning, "infinite", names(p, |c| c.infinite > 0), |n, _| format!("infinite values, taken as gaps: {n}"));
    let gaps = |c: &ColumnProfile| c.role != Role::Empty && c.missing.share >= MANY_GAPS;
    let worst = p.columns.iter().filter(|c| gaps(c)).map(|c| c.missing.share).fold(0.0, f64::max);
    out.of(Level::Warning, "missing", names(p, gaps), |n, many| {
        format!("values are missing ({}{:.1} % of the rows): {n}", if many { "up to " } else { "" }, worst * 100.0)
    });
    if p.duplicates.rows > 0 {
        let text = format!("{} rows equal an earlier row in all columns", p.duplicates.rows);
        out.add(if p.duplicates.rows * 100 > p.rows { Level::Warning } else { Level::Note }, "duplicate_rows", Vec::new(), text);
    }
    if let Some(frozen) = p.duplicates.frozen_rows.filter(|f| f * 100 > p.rows) {
        let text = format!("in {frozen} rows all signals repeat the row before: recorded faster than read, or a lost connection");
        out.add(Level::Warning, "frozen_rows", Vec::new(), text);
    }
    for (first, second) in p.duplicates.columns.iter().take(5) {
        out.add(Level::Note, "duplicate_column", vec![second.clone()], format!("`{second}` equals `{first}` in all rows"));
    }
}

fn time(p: &Profile, out: &mut Findings) {
    let Some(t) = &p.time else {
        let dates = names(p, |c| c.role == Role::Identifier && super::names::time(&c.name));
        out.of(Level::Warning, "time_unreadable", dates, |n, _| {
            format!("{n} may be a time, but cannot be read: write RFC 3339 (2026-01-31T12:00:00Z) or seconds")
        });
        return;
    };
    let column = || vec![t.column.clone()];
    if t.unreadable > 0 {
        let text = format!("`{}`: no time that can be read in {} rows", t.column, t.unreadable);
        out.add(Level::Warning, "time_unreadable", column(), text);
    }
    if t.backward > 0 {
        let text = format!("time runs back {} times: rows are out of order, or a clock was set", t.backward);
        out.add(Level::Warning, "time_backward", column(), text);
    }
    if t.repeated > 0 {
        out.add(Level::Note, "time_repeated", column(), format!("{} rows have the time of the row before", t.repeated));
    }
    if let Some(gap) = &t.longest_gap {
        let text = format!("{} gaps in time, the longest {} s (`{}`, row {})", t.gaps, short(gap.seconds), gap.file, gap.row);
        out.add(Level::Note, "time_gaps", column(), text);
    }
    if !matches!(t.unit, TimeUnit::Clock | TimeUnit::Seconds) {
        let text = format!("`{}` counts {}: replay and train read dates or seconds", t.column, unit_name(t.unit));
        out.add(Level::Note, "time_unit", column(), text);
    }
}

pub(super) fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Clock => "dates",
        TimeUnit::Seconds => "seconds",
        TimeUnit::Milliseconds => "milliseconds",
        TimeUnit::Microseconds => "microseconds",
        TimeUnit::Nanoseconds => "nanoseconds",
    }
}

fn settings(p: &Profile, out: &mut Findings) {
    if p.settings.is_empty() {
        let text = "no column looks like a setting: name them with --settings, or give one with FILE@NAME=VALUE; without, a change of settings looks like drift";
        out.add(Level::Warning, "no_settings", Vec::new(), text.to_string());
        return;
    }
    let guessed: Vec<String> = p.settings.iter().filter(|s| s.chosen == Chosen::Detected).map(|s| s.name.clone()).collect();
    out.of(Level::Note, "settings_detected", guessed, |n, many| {
        let look = if many { "look like settings" } else { "looks like a setting" };
        format!("{n} {look}: --settings NAME,... if not; a measured value must not be one, or its drift is hidden")
    });
    out.of(Level::Note, "also_settings", p.also_settings.clone(), |n, _| {
        format!("few values too, but they follow from the settings or make too many combinations: {n}")
    });
    let signals: Vec<&ColumnProfile> = p.columns.iter().filter(|c| c.role == Role::Signal).collect();
    let shares: Vec<f64> = signals.iter().filter_map(|c| c.settings.as_ref()?.share).collect();
    let depend = shares.iter().filter(|s| **s >= DEPENDS).count();
    if depend > 0 {
        let mut sorted = shares.clone();
        sorted.sort_by(f64::total_cmp);
        let text = format!(
            "the settings explain at least half of the variance of {depend} of {} signals (median {:.0} %): without conditioning, a change of settings is drift there",
            signals.len(),
            super::numbers::quantile(&sorted, 0.5) * 100.0
        );
        out.add(Level::Note, "settings_matter", Vec::new(), text);
    } else if !shares.is_empty() {
        let text = "the settings explain less than half of the variance of every signal";
        out.add(Level::Note, "settings_matter_little", Vec::new(), text.to_string());
    }
    let spread = |c: &&&ColumnProfile| {
        c.settings.as_ref().is_some_and(|s| s.share.is_none_or(|x| x < DEPENDS) && s.sd_ratio.is_some_and(|r| r >= SPREAD))
    };
    let spread: Vec<String> = signals.iter().filter(spread).map(|c| c.name.clone()).collect();
    out.of(Level::Note, "settings_change_spread", spread, |n, _| {
        format!("the settings change the spread, not the mean (by {SPREAD} times and more): {n}")
    });
    combinations(p, out);
}

fn combinations(p: &Profile, out: &mut Findings) {
    let few: Vec<&super::Combination> = p.combinations.list.iter().filter(|c| !c.enough).collect();
    if !few.is_empty() {
        let names: Vec<String> = few.iter().map(|c| c.key.clone()).collect();
        let text = format!("{} of {} combinations have fewer than {REGIME_ROWS} rows: {}", few.len(), p.combinations.count, list(&names));
        out.add(Level::Warning, "few_rows_in_combination", Vec::new(), text);
    }
    if p.combinations.rows_outside * 100 > p.rows {
        let share = p.combinations.rows_outside as f64 / p.rows as f64 * 100.0;
        let text =
            format!("{share:.1} % of the rows are between the settings' values, or lack a setting: ramps, or too narrow a tolerance");
        out.add(Level::Note, "rows_between", Vec::new(), text);
    }
    let bins: Vec<String> = p.settings.iter().filter(|s| matches!(s.condition, Condition::Bins(_))).map(|s| s.name.clone()).collect();
    out.of(Level::Note, "continuous_settings", bins, |n, _| format!("no gaps between the values, so bins of about equal rows: {n}"));
}

fn signals(p: &Profile, out: &mut Findings) {
    let signal = |which: &dyn Fn(&ColumnProfile) -> bool| names(p, |c| c.role == Role::Signal && which(c));
    if !p.columns.iter().any(|c| c.role == Role::Signal) {
        out.add(Level::Warning, "no_signals", Vec::new(), "no column looks like a signal: nothing to watch".to_string());
        return;
    }
    let fixed = signal(&|c| c.settings.as_ref().is_some_and(|s| s.constant_within));
    out.of(Level::Note, "constant_within", fixed, |n, _| format!("one value in each combination of settings, nothing to watch: {n}"));
    let stationarity = |which: Stationarity| signal(&move |c| c.order.as_ref().is_some_and(|o| o.stationarity == which));
    out.of(Level::Warning, "wanders", stationarity(Stationarity::Wanders), |n, _| {
        format!("no level to come back to, even at unchanged settings (unit root): no threshold keeps a budget of false alarms on {n}")
    });
    out.of(Level::Warning, "trend", stationarity(Stationarity::Trend), |n, many| {
        let move_ = if many { "move" } else { "moves" };
        format!("{n} {move_} in one direction through a series at unchanged settings: wear, warming up, or already drift")
    });
    let coarse = signal(&|c| c.numbers.as_ref().is_some_and(|n| matches!((n.resolution, n.sd), (Some(r), Some(sd)) if r > COARSE * sd)));
    out.of(Level::Note, "coarse", coarse, |n, _| format!("coarse steps against the spread (resolution of the sensor or of the file): {n}"));
    let stuck = signal(&|c| {
        c.longest_hold >= STUCK.0 && c.longest_hold as f64 >= STUCK.1 * c.n as f64 / p.series.max(1) as f64 && c.repeated < USUALLY_REPEATED
    });
    out.of(Level::Warning, "stuck", stuck, |n, _| format!("held one value for long although it usually moves: {n}"));
    let cut = signal(&|c| {
        c.distinct > CUT_OFF.1
            && c.numbers.as_ref().is_some_and(|n| n.at_min.max(n.at_max) as f64 > CUT_OFF.0 * c.n as f64 && n.resolution.is_none())
    });
    out.of(Level::Note, "cut_off", cut, |n, _| format!("many rows at the lowest or highest value (saturated, or cut off): {n}"));
    let outliers = signal(&|c| c.outliers.is_some_and(|o| o as f64 > OUTLIERS * c.n as f64));
    out.of(Level::Note, "outliers", outliers, |n, _| format!("outliers in more than 1 of 1,000 rows: {n}"));
    waveform(p, out);
    same(p, out);
    window(p, out);
}

/// Most signals swing many times: rows are samples of waveforms.
fn waveform(p: &Profile, out: &mut Findings) {
    let signals: Vec<&ColumnProfile> = p.columns.iter().filter(|c| c.role == Role::Signal && c.order.is_some()).collect();
    let swings = |c: &&&ColumnProfile| c.order.as_ref().is_some_and(|o| o.rows >= 1000 && o.lowest_autocorrelation < SWINGS);
    let swinging: Vec<String> = signals.iter().filter(swings).map(|c| c.name.clone()).collect();
    let fast = p.time.as_ref().is_none_or(|t| t.interval_median.is_some_and(|i| i < 0.01));
    let mostly = fast && swinging.len() * 2 >= signals.len();
    if mostly {
        out.of(Level::Note, "waveforms", swinging, |n, _| format!("rows look like samples of waveforms, configure them with `block`: {n}"));
    } else {
        out.of(Level::Note, "oscillates", swinging, |n, _| {
            format!("swings about its level (a waveform, or a control loop that hunts): {n}")
        });
    }
}

fn same(p: &Profile, out: &mut Findings) {
    let c = &p.correlations;
    let matrix = c.within.as_ref().unwrap_or(&c.pearson);
    let is_signal = |name: &String| p.columns.iter().any(|x| x.name == *name && x.role == Role::Signal && x.kind == Kind::Numerical);
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (a, row) in matrix.iter().enumerate() {
        let strong = row.iter().enumerate().skip(a + 1).filter_map(|(b, r)| r.filter(|r| r.abs() >= SAME).map(|r| (r.abs(), a, b)));
        pairs.extend(strong.filter(|(_, a, b)| is_signal(&c.columns[*a]) && is_signal(&c.columns[*b])));
    }
    if pairs.is_empty() {
        return;
    }
    let pair = |(_, a, b): &(f64, usize, usize)| format!("`{}` and `{}`", cut(&c.columns[*a], 40), cut(&c.columns[*b], 40));
    let named: Vec<String> = pairs.iter().take(PAIRS).map(pair).collect();
    let more = if pairs.len() > PAIRS { format!(", and {} more pairs", pairs.len() - PAIRS) } else { String::new() };
    let text = format!("nearly the same (correlation above {SAME}), one of two is enough: {}{more}", named.join(", "));
    let columns = pairs.iter().map(|(_, _, b)| c.columns[*b].clone()).collect();
    out.add(Level::Note, "same", columns, text);
}

fn window(p: &Profile, out: &mut Findings) {
    let (Some(window), Some(memory)) = (p.suggested.window_rows, p.suggested.memory_rows) else { return };
    let slow = |c: &ColumnProfile| c.role == Role::Signal && c.order.as_ref().is_some_and(|o| o.effective_n < INDEPENDENT);
    let slow = names(p, slow);
    out.of(Level::Warning, "few_independent", slow, |n, _| {
        format!("too short a recording for slow signals (fewer than 30 independent values: what is normal cannot be learned from it): {n}")
    });
    let text = if memory >= 2.0 {
        let independent = window as f64 / memory;
        let hint = if independent < INDEPENDENT / 2.0 { ": few, so record for longer series, or judge by charts (ewma_t2)" } else { "" };
        let start = format!("rows are not independent: of the slower signals it takes {memory:.0} to say as much as one");
        format!("{start}; window_rows = {window} holds the worth of {}{hint}", short(independent.round().max(1.0)))
    } else {
        format!("rows are nearly independent; window_rows = {window} is enough")
    };
    out.add(Level::Note, "window_rows", Vec::new(), text);
}
