//! The profile as text for a terminal: the table of columns, the combinations of settings, what stands out, what to paste.

use std::fmt::Write as _;

use super::column::{ColumnProfile, Role};
use super::findings::Level;
use super::order::Stationarity;
use super::settings::{Chosen, Condition};
use super::time::TimeProfile;
use super::{Profile, TimeUnit};

/// Columns and combinations that are shown at most; JSON and the report have all.
const COLUMNS: usize = 40;
const COMBINATIONS: usize = 12;
const FILES: usize = 12;
/// Names and keys longer than this are cut.
const NAME: usize = 24;
/// Names in one sentence at most.
const LISTED: usize = 6;

/// A column of a table: its head, and how soon it is left out where the width is too small (0: never).
type Head = (&'static str, u8);

impl Profile {
    /// The essentials, in lines of at most `width` characters (40 at least).
    pub fn text(&self, width: usize) -> String {
        let width = width.max(40);
        let mut out = String::new();
        self.head(&mut out, width);
        out.push('\n');
        self.columns_table(&mut out, width);
        self.settings_table(&mut out, width);
        out.push_str("\nfindings\n");
        for finding in &self.findings {
            let mark = if finding.level == Level::Warning { "! " } else { "- " };
            wrap(&mut out, mark, &plain(&finding.text), width);
        }
        let toml = self.settings_toml();
        if !toml.is_empty() && self.settings.iter().any(|s| s.chosen == Chosen::Detected || !matches!(s.condition, Condition::Category)) {
            let _ = write!(out, "\nto paste (a whole configuration: --emit-config)\n{toml}");
        }
        out
    }

    fn head(&self, out: &mut String, width: usize) {
        let mut line = format!("{} rows, {} columns", self.rows, self.columns.len());
        if self.files.len() > 1 {
            let _ = write!(line, ", {} files", self.files.len());
        }
        if let Some(u) = &self.units {
            let rows =
                if u.rows_min == u.rows_max { format!("{} rows", u.rows_max) } else { format!("{} to {} rows", u.rows_min, u.rows_max) };
            let _ = write!(line, "; {} units by `{}` of {rows}", u.count, u.column);
        }
        wrap(out, "", &plain(&line), width);
        if let Some(t) = &self.time {
            wrap(out, "", &plain(&time_sentence(t)), width);
        }
        if self.files.len() > 1 {
            for file in self.files.iter().take(FILES) {
                let lacks = if file.lacks.is_empty() { String::new() } else { format!("; lacks {}", list(&file.lacks)) };
                wrap(out, "  ", &plain(&format!("{}: {} rows, {} columns{lacks}", file.name, file.rows, file.columns)), width);
            }
            more(out, self.files.len(), FILES, "files");
        }
    }

    fn columns_table(&self, out: &mut String, width: usize) {
        let conditioned = self.combinations.count > 1;
        let heads: &[Head] = &[
            ("column", 0),
            ("role", 0),
            ("missing", 3),
            ("distinct", 5),
            ("min", 2),
            ("median", 1),
            ("max", 2),
            ("sd", 1),
            ("by settings", if conditioned { 0 } else { 9 }),
            ("memory", 4),
            ("level", 0),
        ];
        let rows: Vec<Vec<String>> = self.columns.iter().take(COLUMNS).map(row).collect();
        table(out, heads, &rows, width, conditioned);
        more(out, self.columns.len(), COLUMNS, "columns: --json and --report show all");
    }

    fn settings_table(&self, out: &mut String, width: usize) {
        if self.settings.is_empty() {
            return;
        }
        out.push_str("\nsettings\n");
        for s in &self.settings {
            let how = match &s.condition {
                Condition::Category => "category".to_string(),
                Condition::Tolerance(t) => format!("tolerance {t}"),
                Condition::Bins(_) => "bins".to_string(),
            };
            let values: Vec<&str> = s.levels.iter().map(|l| l.value.as_str()).collect();
            wrap(out, "  ", &plain(&format!("{} ({how}): {}", s.name, values.join(" | "))), width);
        }
        let all = &self.combinations;
        let outside = match all.rows_outside {
            0 => "all rows are in one of them".to_string(),
            n => format!("{n} rows are in none of them"),
        };
        let _ = writeln!(out, "\n{} combinations of settings; {outside}", all.count);
        let heads: &[Head] =
            &[("combination", 0), ("rows", 0), ("share", 1), ("visits", 2), ("rows a visit", 2), ("longest", 4), (self.series_word(), 3)];
        let rows: Vec<Vec<String>> = all
            .list
            .iter()
            .take(COMBINATIONS)
            .map(|c| {
                vec![
                    cut(&plain(&c.key), width.saturating_sub(50).max(30)),
                    c.rows.to_string(),
                    format!("{:.1} %", c.share * 100.0),
                    c.visits.to_string(),
                    short(c.visit_rows_median),
                    c.visit_rows_longest.to_string(),
                    c.series.to_string(),
                ]
            })
            .collect();
        table(out, heads, &rows, width, true);
        more(out, all.count, COMBINATIONS, "combinations");
    }

    fn series_word(&self) -> &'static str {
        if self.units.is_some() { "units" } else { "files" }
    }
}

fn row(c: &ColumnProfile) -> Vec<String> {
    let dash = || "-".to_string();
    // numbers of a clock, a unit, a code say nothing
    let is_quantity = matches!(c.role, Role::Signal | Role::Setting | Role::Constant | Role::Counter | Role::Label | Role::Class);
    let numbers = c.numbers.as_ref().filter(|_| is_quantity);
    let figure = |x: Option<f64>| x.map_or_else(dash, short);
    let missing = match c.missing.share {
        0.0 => dash(),
        s if s < 1e-3 => "<0.1 %".to_string(),
        s => format!("{:.1} %", s * 100.0),
    };
    let level = match c.order.as_ref().map(|o| o.stationarity) {
        Some(Stationarity::Stationary) => "steady",
        Some(Stationarity::Trend) => "trend",
        Some(Stationarity::Wanders) => "wanders",
        None => "-",
    };
    vec![
        cut(&plain(&c.name), NAME),
        role_name(c.role).to_string(),
        missing,
        c.distinct.to_string(),
        figure(numbers.map(|n| n.min)),
        figure(numbers.map(|n| n.median)),
        figure(numbers.map(|n| n.max)),
        figure(numbers.and_then(|n| n.sd)),
        c.settings.as_ref().and_then(|s| s.share).map_or_else(dash, |s| format!("{:.0} %", s * 100.0)),
        c.order.as_ref().map_or_else(dash, |o| short_rows(o.memory)),
        level.to_string(),
    ]
}

/// The role as a word.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Time => "time",
        Role::Unit => "unit",
        Role::Setting => "setting",
        Role::Signal => "signal",
        Role::Class => "class",
        Role::Counter => "counter",
        Role::Label => "label",
        Role::Constant => "constant",
        Role::Empty => "empty",
        Role::Identifier => "identifier",
    }
}

/// `time `t`: from to, every 1 s (98 % regular), 3 gaps, longest 12 s`
pub fn time_sentence(t: &TimeProfile) -> String {
    let mut line = format!("time `{}`", t.column);
    if t.unit != TimeUnit::Clock {
        let _ = write!(line, " in {}", super::findings::unit_name(t.unit));
    }
    if let (Some(start), Some(end)) = (&t.start, &t.end) {
        let _ = write!(line, ": {start} to {end}");
    }
    if let Some(interval) = t.interval_median {
        let _ = write!(line, ", every {} s ({:.1} % regular)", short(interval), t.regular.unwrap_or(0.0) * 100.0);
    }
    if let Some(gap) = &t.longest_gap {
        let _ = write!(line, ", {} gaps, longest {} s", t.gaps, short(gap.seconds));
    }
    line
}

fn more(out: &mut String, count: usize, shown: usize, what: &str) {
    if count > shown {
        let _ = writeln!(out, "  ... and {} more {what}", count - shown);
    }
}

/// The first column to the left, the second too where it is a word; figures to the right. Columns are left out until the width is enough.
fn table(out: &mut String, heads: &[Head], rows: &[Vec<String>], width: usize, show_optional: bool) {
    let mut shown: Vec<usize> = (0..heads.len()).filter(|i| heads[*i].1 < 9 || show_optional).collect();
    let size = |i: usize| rows.iter().map(|r| r[i].chars().count()).chain([heads[i].0.len()]).max().unwrap_or(0);
    let total = |shown: &[usize]| shown.iter().map(|i| size(*i) + 2).sum::<usize>().saturating_sub(2);
    while total(&shown) > width {
        let Some(next) = (0..shown.len()).filter(|k| heads[shown[*k]].1 > 0).max_by_key(|k| heads[shown[*k]].1) else { break };
        shown.remove(next);
    }
    let is_word = |i: usize| i == 0 || matches!(heads[i].0, "role" | "level");
    let mut line = |cell: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for (k, i) in shown.iter().enumerate() {
            let (cell, size) = (cell(*i), size(*i));
            let gap = if k > 0 { "  " } else { "" };
            let _ = if is_word(*i) { write!(text, "{gap}{cell:<size$}") } else { write!(text, "{gap}{cell:>size$}") };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&|i| heads[i].0.to_string());
    for row in rows {
        line(&|i| row[i].clone());
    }
}

/// Breaks at spaces; further lines are indented below the first.
fn wrap(out: &mut String, mark: &str, text: &str, width: usize) {
    let indent = if mark.is_empty() { 2 } else { mark.len() };
    let mut line = mark.to_string();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            out.push_str(&line);
            out.push('\n');
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}

/// What a terminal cannot be led astray with: control and direction characters become `?`.
pub(super) fn plain(text: &str) -> String {
    let is_safe =
        |c: char| !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    text.chars().map(|c| if is_safe(c) { c } else { '?' }).collect()
}

/// At most so many characters, with dots in the place of the rest.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_string() } else { text.chars().take(most.saturating_sub(2)).chain("..".chars()).collect() }
}

/// Names for a sentence: the first few, in backticks.
pub(super) fn list(names: &[String]) -> String {
    let mut text = names.iter().take(LISTED).map(|n| format!("`{}`", cut(n, 60))).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        let _ = write!(text, " and {} more", names.len() - LISTED);
    }
    text
}

/// Four significant digits.
pub(super) fn short(x: f64) -> String {
    if x == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e7).contains(&x.abs()) {
        return format!("{x:.2e}");
    }
    let decimals = (3 - x.abs().log10().floor() as i32).clamp(0, 7) as usize;
    let text = format!("{x:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

fn short_rows(rows: f64) -> String {
    if rows < 9.95 { format!("{rows:.1}") } else { format!("{rows:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (1234.567, "1235"),
            (0.012_345, "0.01235"),
            (-2.5, "-2.5"),
            (1e-9, "1.00e-9"),
            (123_456.0, "123456"),
            (3e8, "3.00e8"),
        ];
        assert_eq!(cases.map(|(x, _)| short(x)), cases.map(|(_, text)| text.to_string()));
    }

    #[test]
    fn nothing_that_leads_a_terminal_astray() {
        assert_eq!(plain("a\u{1b}[31m\n\u{202e}b"), "a?[31m??b");
        assert_eq!(cut("abcdef", 4), "ab..");
        assert_eq!(list(&["a".to_string(), "b".to_string()]), "`a`, `b`");
    }

    #[test]
    fn tables_leave_columns_out_until_they_fit() {
        let heads = [("column", 0), ("min", 2), ("max", 1)];
        let rows = [vec!["pressure".to_string(), "1.5".into(), "200".into()]];
        let mut wide = String::new();
        table(&mut wide, &heads, &rows, 40, true);
        assert_eq!(wide, "column    min  max\npressure  1.5  200\n");
        let mut narrow = String::new();
        table(&mut narrow, &heads, &rows, 14, true);
        assert_eq!(narrow, "column    max\npressure  200\n");
    }
}
