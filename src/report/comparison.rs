//! The report of a comparison of two files: verdict, overview, columns, distributions, settings, checks.

use std::fmt::Write;

use super::About;
use super::bins::Bins;
use super::html::{self, Cell, Page, Table, Tone};
use super::svg::{self, Category, HeatMap, Histogram};
use crate::comparison::{CheckAnswer, ColumnComparison, Comparison, MetricAnswer, Mode, Samples, Statistics};
use crate::drift::metric::{self, Kind};

/// Bytes of a page up to which distributions are drawn; the tables before take their share first.
const DRAW_UP_TO: usize = 265_000;
/// Distributions that are open at once.
const OPEN: usize = 12;
/// Rows of the tables.
const COLUMN_ROWS: usize = 250;
const CHECK_ROWS: usize = 80;
const REGIME_ROWS: usize = 60;
/// Columns and regimes of the overview.
const OVERVIEW: (usize, usize) = (24, 16);
/// Classes of a picture.
const CLASSES: usize = 10;

/// Pictures of the columns, taken while [`crate::comparison::compare_with`] runs: bins, not values. One a column and regime.
#[derive(Clone, Debug, Default)]
pub struct Pictures(Vec<Picture>);

#[derive(Clone, Debug)]
enum Picture {
    None,
    Numbers { range: (f64, f64), reference: Vec<f64>, current: Vec<f64>, beyond: (usize, usize) },
    Classes(Vec<Category>),
}

impl Pictures {
    /// Takes the picture of the next column and regime.
    pub fn take(&mut self, samples: &Samples<'_>) {
        self.0.push(match samples {
            Samples::Numbers { reference, current } => Bins::of(reference, current).map_or(Picture::None, |bins| {
                let (r, c) = (bins.shares(reference), bins.shares(current));
                let side = |shares: Vec<f64>, empty: bool| if empty { Vec::new() } else { shares };
                Picture::Numbers {
                    range: bins.range(),
                    beyond: (r.below + c.below, r.above + c.above),
                    reference: side(r.shares, reference.is_empty()),
                    current: side(c.shares, current.is_empty()),
                }
            }),
            Samples::Classes { labels, reference, current } => Picture::Classes(classes(labels, reference, current)),
        });
    }
}

/// The most frequent classes, the rest together.
fn classes(labels: &dyn Fn(usize) -> String, reference: &[u64], current: &[u64]) -> Vec<Category> {
    let total = |counts: &[u64]| counts.iter().sum::<u64>().max(1) as f64;
    let (n, m) = (total(reference), total(current));
    let share = |k: usize| (reference[k] as f64 / n, current[k] as f64 / m);
    let mut order: Vec<usize> = (0..reference.len()).collect();
    if order.len() > CLASSES {
        order.sort_by(|a, b| (share(*b).0.max(share(*b).1)).total_cmp(&share(*a).0.max(share(*a).1)));
    }
    let rest = order.split_off(order.len().min(if order.len() > CLASSES { CLASSES - 1 } else { CLASSES }));
    let mut shown: Vec<Category> =
        order.iter().map(|k| Category { label: labels(*k), reference: share(*k).0, current: share(*k).1 }).collect();
    if !rest.is_empty() {
        let sum = |of: fn((f64, f64)) -> f64| rest.iter().map(|k| of(share(*k))).sum();
        shown.push(Category { label: format!("{} others", rest.len()), reference: sum(|s| s.0), current: sum(|s| s.1) });
    }
    shown
}

/// A column in a regime, with what it is shown by.
struct Item<'a> {
    column: &'a ColumnComparison,
    picture: &'a Picture,
    tone: Tone,
    /// How near the column is to drift: the smallest index of its metrics, as all must exceed. NaN without an answer.
    index: f64,
    /// The metric with that index, else the first.
    metric: Option<&'a MetricAnswer>,
}

impl<'a> Item<'a> {
    fn new(column: &'a ColumnComparison, picture: &'a Picture) -> Self {
        let answered = column.metrics.iter().filter_map(|m| Some((m, index(m)?)));
        let least = answered.min_by(|a, b| a.1.total_cmp(&b.1));
        let exceeded = column.metrics.iter().filter(|m| m.drifted == Some(true)).count();
        let tone = match (column.drifted(), least, exceeded) {
            (true, ..) => Tone::Drift,
            (_, None, _) => Tone::Silent,
            (_, _, 0) => Tone::Ok,
            _ => Tone::Warning,
        };
        Self { column, picture, tone, index: least.map_or(f64::NAN, |l| l.1), metric: least.map(|l| l.0).or(column.metrics.first()) }
    }

    fn badge(&self) -> String {
        html::badge(self.tone, word(self.tone))
    }
}

fn word(tone: Tone) -> &'static str {
    match tone {
        Tone::Drift => "Drift",
        Tone::Warning => "Partly",
        Tone::Ok => "OK",
        Tone::Outside => "Outside",
        Tone::Silent => "Not judged",
    }
}

fn index(answer: &MetricAnswer) -> Option<f64> {
    Some(metric::index(answer.name, answer.score?, answer.threshold))
}

/// The page of a comparison. At most 300 kB, whatever the number of columns: what is left out is said, OK columns first.
pub fn html(comparison: &Comparison, pictures: &Pictures, about: &About) -> String {
    let none = Picture::None;
    let pictures = pictures.0.iter().chain(std::iter::repeat(&none));
    let mut items: Vec<Item<'_>> = comparison.columns.iter().zip(pictures).map(|(c, p)| Item::new(c, p)).collect();
    // worst first; of the others those nearest to their thresholds
    let rank = |i: &Item<'_>| (i.tone, if i.index.is_nan() { -1.0 } else { i.index });
    items.sort_by(|a, b| rank(b).0.cmp(&rank(a).0).then(rank(b).1.total_cmp(&rank(a).1)));
    let mut page = Page::new(&format!("Drift: {}", about.subject));
    header(&mut page, comparison, &items, about);
    if comparison.summary.regimes.len() > 1 {
        overview(&mut page, comparison, &items);
    }
    columns(&mut page, comparison, &items);
    let mut rest = Page::new("");
    settings(&mut rest, comparison);
    checks(&mut rest, &comparison.checks);
    distributions(&mut page, &items, rest.body_len());
    settings(&mut page, comparison);
    checks(&mut page, &comparison.checks);
    page.finish(&about.footer())
}

fn header(page: &mut Page, comparison: &Comparison, items: &[Item<'_>], about: &About) {
    let s = &comparison.summary;
    let judged = items.iter().any(|i| i.tone != Tone::Silent);
    let tone = if s.drifted {
        Tone::Drift
    } else if !judged {
        if s.outside.is_empty() { Tone::Silent } else { Tone::Outside }
    } else if s.drifted_columns.is_empty() {
        Tone::Ok
    } else {
        Tone::Warning
    };
    let said = match tone {
        Tone::Drift => "Drift",
        Tone::Outside => "Outside: no verdict",
        Tone::Silent => "Not judged",
        Tone::Warning => "Some columns drifted",
        Tone::Ok => "No drift",
    };
    let (reference, current) = comparison.rows;
    let failed = comparison.checks.iter().filter(|c| c.passed == Some(false)).count();
    let answered = comparison.checks.iter().filter(|c| c.passed.is_some()).count();
    let mut facts = vec![
        ("Columns drifted", format!("{} of {}", s.drifted_columns.len(), s.columns)),
        ("Checks failed", format!("{} of {}", html::count(failed as u64), html::count(answered as u64))),
        ("Rows of the reference", html::count(reference as u64)),
        ("Rows compared with it", html::count(current as u64)),
    ];
    if !comparison.regimes.is_empty() {
        facts.push(("Combinations of settings", format!("{} judged, {} outside", s.regimes.len(), s.outside.len())));
    }
    facts.push(("Thresholds", if s.mode == Mode::Evidently { "of Evidently".into() } else { html::escape(s.thresholds) }));
    facts.extend(about.facts.iter().map(|(what, value)| (what.as_str(), html::name(value))));
    page.header(&about.subject, tone, said, &sentence(comparison, items), &facts);
}

/// What the verdict rests on.
fn sentence(comparison: &Comparison, items: &[Item<'_>]) -> String {
    let s = &comparison.summary;
    let mut text = match items.first().filter(|i| i.tone == Tone::Drift) {
        Some(worst) => {
            let at = worst.column.regime.as_ref().map(|r| format!(" at {r}")).unwrap_or_default();
            let which = html_plain(&worst.column.name);
            let (count, columns) = (s.drifted_columns.len(), s.columns);
            let lead = if columns == 1 {
                format!("{which} has drifted{at}")
            } else if count == 1 {
                format!("1 of {columns} columns has drifted: {which}{at}")
            } else {
                format!("{count} of {columns} columns have drifted, most of all {which}{at}")
            };
            let shift = shift_text(worst.column).map(|t| format!(", {t}")).unwrap_or_default();
            format!("{lead}{shift}.")
        }
        None if items.iter().all(|i| i.tone == Tone::Silent) => "No column could be judged; the table says why.".into(),
        None => format!("None of {} is beyond its threshold.", html::counted(s.columns, "column", "columns")),
    };
    if s.mode == Mode::Evidently && !s.drifted && !s.drifted_columns.is_empty() {
        text.push_str(" That is less than half of them: the data set has not drifted.");
    }
    if !s.outside.is_empty() {
        let what = if s.outside.len() == 1 { "combination of settings is" } else { "combinations of settings are" };
        let _ = write!(
            text,
            " {} {what} not in the reference ({} rows): outside, no verdict.",
            s.outside.len(),
            html::count(s.outside_rows as u64)
        );
    }
    text
}

/// A name in plain text, cut.
fn html_plain(name: &str) -> String {
    if name.chars().count() > 60 { name.chars().take(59).chain(['…']).collect() } else { name.to_string() }
}

/// `mean +1.3 sd`, in standard deviations of the reference.
fn shift(column: &ColumnComparison) -> Option<f64> {
    let (r, c) = (column.reference.mean?, column.current.mean?);
    let sd = column.reference.sd.filter(|sd| *sd > 0.0)?;
    Some((c - r) / sd).filter(|z| z.is_finite())
}

fn shift_text(column: &ColumnComparison) -> Option<String> {
    let z = shift(column)?;
    (z.abs() >= 0.05).then(|| format!("its mean {} by {} sd", if z > 0.0 { "higher" } else { "lower" }, html::significant(z.abs(), 2)))
}

fn overview(page: &mut Page, comparison: &Comparison, items: &[Item<'_>]) {
    let mut names: Vec<String> = Vec::new();
    for item in items {
        if names.len() < OVERVIEW.0 && !names.contains(&item.column.name) {
            names.push(item.column.name.clone());
        }
    }
    let regimes: Vec<String> = comparison.summary.regimes.iter().take(OVERVIEW.1).cloned().collect();
    let find = |i: usize, j: usize| items.iter().find(|x| x.column.name == names[i] && x.column.regime.as_ref() == Some(&regimes[j]));
    let value = |i: usize, j: usize| find(i, j).filter(|x| !x.index.is_nan()).map(|x| (x.index / 2.0).min(1.0));
    let word = |i: usize, j: usize| find(i, j).map(|x| html::significant(x.index.min(999.0), 2)).unwrap_or_default();
    let map = HeatMap {
        title: "Drift index of each column in each combination of settings",
        rows: &names,
        columns: &regimes,
        value: &value,
        word: &word,
    };
    let lead = "How near each column is to its threshold, in each combination of settings: from 1 on it is beyond. Strongest first.";
    page.section("overview", "Where it drifted", lead, |page| {
        page.push(&svg::heat_map(&map));
        let left = (comparison.summary.columns.saturating_sub(names.len()), comparison.summary.regimes.len() - regimes.len());
        if left != (0, 0) {
            page.push(&format!("<p class=\"note\">Not shown: {} columns nearer to OK, {} combinations of settings.</p>\n", left.0, left.1));
        }
    });
}

fn columns(page: &mut Page, comparison: &Comparison, items: &[Item<'_>]) {
    let conditioned = !comparison.regimes.is_empty();
    let mut heads = vec!["Column", "Verdict", "Metric", "Value", "p", "Threshold", "n", "Effective n", "Mean", "Was"];
    if conditioned {
        heads.insert(1, "Settings");
    }
    let mut table = Table::new("Every column, strongest drift first. n: values compared (reference / current).", &heads);
    for item in items.iter().take(COLUMN_ROWS) {
        table.row(row(item, conditioned));
    }
    let lead = "A column has drifted where all its metrics are beyond their thresholds; the one nearest to OK is shown. A p-value drifts \
                at or below its threshold, a distance at or above. Effective n is what n is worth, as values that follow each other \
                repeat each other (it takes the rows to be in the order of time).";
    page.section("columns", "Columns", lead, |page| {
        page.table(&table);
        if items.len() > COLUMN_ROWS {
            let (left, worst) = (items.len() - COLUMN_ROWS, items[COLUMN_ROWS].tone);
            let what = if worst == Tone::Drift { "some of them drifted" } else { "none of them drifted" };
            page.push(&format!("<p class=\"note\">{left} more are not listed, {what}; <code>--json</code> has them all.</p>\n"));
        }
    });
}

fn row(item: &Item<'_>, conditioned: bool) -> Vec<Cell> {
    let c = item.column;
    let mut cells = vec![Cell::text(c.name.as_str())];
    if conditioned {
        cells.push(Cell::text(c.regime.as_deref().unwrap_or("–")));
    }
    let pair = |r: String, c: String| Cell::Number(format!("{r} / {c}"));
    let effective = |s: &Statistics| s.effective_n.map_or_else(|| "–".into(), |e| html::count(e.round() as u64));
    let mean = |s: &Statistics| Cell::Number(s.mean.map_or_else(|| "–".into(), |m| html::significant(m, 5)));
    cells.push(Cell::Html(item.badge()));
    match item.metric {
        Some(MetricAnswer { not_applicable: Some(why), .. }) => {
            // why there is none, instead of numbers
            cells.push(Cell::Html(format!("<small>{}</small>", html::shortened(why, 120))));
            cells.extend(std::iter::repeat_n(Cell::Number("–".into()), 3));
        }
        Some(m) => {
            let others = c.metrics.len() - 1;
            let name = m.name.name().replace('_', " ");
            cells.push(Cell::Html(if others == 0 { name } else { format!("{name} <small>of {}</small>", others + 1) }));
            cells.push(Cell::Number(html::number(m.statistic.unwrap_or(f64::NAN))));
            cells.push(Cell::Number(html::p_value(m.p_value)));
            cells.push(Cell::Number(html::significant(m.threshold, 3)));
        }
        None => cells.extend(std::iter::repeat_n(Cell::Number("–".into()), 4)),
    }
    cells.push(pair(html::count(c.n_reference as u64), html::count(c.n_current as u64)));
    cells.push(pair(effective(&c.reference), effective(&c.current)));
    cells.push(mean(&c.current));
    cells.push(mean(&c.reference));
    cells
}

/// `reserve`: bytes that must be left for what comes after.
fn distributions(page: &mut Page, items: &[Item<'_>], reserve: usize) {
    let lead = "The share of values in bins that both samples share: the reference as an area, the current values as a line. Strongest drift first.";
    page.section("distributions", "Distributions", lead, |page| {
        page.push(&html::legend("reference", "current"));
        let drawable: Vec<&Item<'_>> = items.iter().filter(|i| !matches!(i.picture, Picture::None)).collect();
        let (open, closed) = drawable.split_at(drawable.len().min(OPEN));
        page.figures(|page| open.iter().for_each(|i| page.push(&card(i))));
        let mut room = DRAW_UP_TO.saturating_sub(page.len() + reserve);
        let mut cards = Vec::new();
        for item in closed {
            let card = card(item);
            if card.len() > room {
                break;
            }
            room -= card.len();
            cards.push(card);
        }
        if !cards.is_empty() {
            let summary = format!("{} more distributions", cards.len());
            page.details(&summary, |page| page.figures(|page| cards.iter().for_each(|c| page.push(c))));
        }
        let left = closed.len() - cards.len();
        if left > 0 {
            page.push(&format!("<p class=\"note\">{left} more, nearer to OK, are not drawn: the page stays below 300 kB.</p>\n"));
        }
        if drawable.is_empty() {
            page.push("<p>No column has values to draw.</p>\n");
        }
    });
}

/// The distributions of a column in a regime, with its numbers.
fn card(item: &Item<'_>) -> String {
    let c = item.column;
    let regime = c.regime.as_ref().map(|r| format!(" <small>{}</small>", html::name(r))).unwrap_or_default();
    let caption = format!("<span>{}{regime}</span>{}", html::name(&c.name), item.badge());
    let drawing = match item.picture {
        Picture::None => String::new(),
        Picture::Numbers { range, reference, current, beyond } => svg::histogram(&Histogram {
            title: &drawn(c),
            range: *range,
            reference,
            current,
            reference_mean: c.reference.mean,
            current_mean: c.current.mean,
            beyond: *beyond,
        }),
        Picture::Classes(classes) => svg::categories(&drawn(c), classes),
    };
    html::figure(&caption, &drawing, &notes(c))
}

/// A picture in words.
fn drawn(c: &ColumnComparison) -> String {
    let mut text = format!("Distribution of {}", html_plain(&c.name));
    if let Some(regime) = &c.regime {
        let _ = write!(text, " at {}", html_plain(regime));
    }
    if let (Some(r), Some(m)) = (c.reference.mean, c.current.mean) {
        let _ = write!(text, ": mean {} in the reference, {} now", html::number(r), html::number(m));
    }
    text
}

fn notes(c: &ColumnComparison) -> String {
    let mut text = String::new();
    if c.kind == Kind::Numerical {
        text.push_str("<span class=\"pairs\">");
        for (what, of) in [("mean", (|s| s.mean) as fn(&Statistics) -> Option<f64>), ("sd", |s| s.sd), ("median", |s| s.median)] {
            let show = |s: &Statistics| of(s).map_or_else(|| "–".into(), |x| html::significant(x, 4));
            let _ = write!(text, "<span>{what} {} → <b>{}</b></span>", show(&c.reference), show(&c.current));
        }
        text.push_str("</span>");
    }
    for (i, m) in c.metrics.iter().take(20).enumerate() {
        let br = if i == 0 { "" } else { "<br>" };
        let name = m.name.name().replace('_', " ");
        let _ = match (&m.not_applicable, m.p_value.filter(|_| m.name.is_p_value()), m.score) {
            (Some(why), ..) => write!(text, "{br}{name}: {}", html::shortened(why, 120)),
            (None, Some(p), _) => write!(text, "{br}{name}: p {}, threshold {}", html::p_value(Some(p)), html::significant(m.threshold, 3)),
            (None, None, Some(d)) => write!(text, "{br}{name}: {}, threshold {}", html::number(d), html::significant(m.threshold, 3)),
            (None, None, None) => Ok(()),
        };
    }
    if repeats(c) {
        text.push_str("<br>Values follow each other: n is worth far less, so p is smaller than it should be.");
    }
    text.strip_prefix("<br>").map(str::to_string).unwrap_or(text)
}

/// A p-value counts values that are hardly worth a third of it.
fn repeats(c: &ColumnComparison) -> bool {
    let thin = |s: &Statistics| s.effective_n.is_some_and(|e| e * 3.0 < s.n as f64);
    c.metrics.iter().any(|m| m.name.is_p_value() && m.drifted == Some(true)) && (thin(&c.reference) || thin(&c.current))
}

fn settings(page: &mut Page, comparison: &Comparison) {
    if comparison.regimes.is_empty() {
        return;
    }
    let s = &comparison.summary;
    let mut table =
        Table::new("Each combination of the settings.", &["Settings", "State", "Rows of the reference", "Rows now", "Columns drifted"]);
    for regime in comparison.regimes.iter().take(REGIME_ROWS) {
        let drifted = comparison.columns.iter().filter(|c| c.regime.as_ref() == Some(&regime.key) && c.drifted()).count();
        let (tone, word, drifted) = match (regime.reference, regime.current) {
            (0, _) => (Tone::Outside, "Outside", "–".into()),
            (_, 0) => (Tone::Silent, "Unseen", "–".into()),
            _ if drifted > 0 => (Tone::Drift, "Drift", drifted.to_string()),
            _ => (Tone::Ok, "OK", "0".into()),
        };
        table.row(vec![
            Cell::text(regime.key.as_str()),
            Cell::Html(html::badge(tone, word)),
            Cell::count(regime.reference),
            Cell::count(regime.current),
            Cell::Number(drifted),
        ]);
    }
    let lead = "Values are compared within the same combination only. Outside: the reference has no such rows, so that no verdict can be given. \
                Unseen: only the reference has them.";
    page.section("settings", "Settings", lead, |page| {
        page.table(&table);
        if comparison.regimes.len() > REGIME_ROWS {
            let left = comparison.regimes.len() - REGIME_ROWS;
            page.push(&format!("<p class=\"note\">{left} more are not listed ({} outside in all).</p>\n", s.outside.len()));
        }
    });
}

fn checks(page: &mut Page, checks: &[CheckAnswer]) {
    let order = |c: &&CheckAnswer| match c.passed {
        Some(false) => 0,
        None => 1,
        Some(true) if c.column.is_none() => 2,
        Some(true) => 3,
    };
    let mut sorted: Vec<&CheckAnswer> = checks.iter().collect();
    sorted.sort_by_key(order);
    let conditioned = checks.iter().any(|c| c.regime.is_some());
    let mut heads = vec!["Check", "Column", "Result", "Figure", "Limit"];
    if conditioned {
        heads.insert(2, "Settings");
    }
    let mut table = Table::new("Failed checks first.", &heads);
    for check in sorted.iter().take(CHECK_ROWS) {
        let (tone, word) = match check.passed {
            Some(true) => (Tone::Ok, "Pass"),
            Some(false) => (Tone::Drift, "Fail"),
            None => (Tone::Silent, "No answer"),
        };
        let mut row = vec![
            Cell::text(&*check.name),
            Cell::text(check.column.as_deref().unwrap_or("all columns")),
            Cell::Html(html::badge(tone, word)),
            Cell::number(check.value.unwrap_or(f64::NAN)),
            Cell::number(check.limit.unwrap_or(f64::NAN)),
        ];
        if conditioned {
            row.insert(2, Cell::text(check.regime.as_deref().unwrap_or("all")));
        }
        table.row(row);
    }
    let passed = |p: Option<bool>| checks.iter().filter(|c| c.passed == p).count();
    let usual = ["range", "missing_share", "mean_in_band", "drifted_share"];
    let named = checks.iter().any(|c| !usual.contains(&&*c.name));
    let lead = "Plain questions about the current data. range: share of values outside what the reference spans. missing_share: rows without a \
                value. mean_in_band: distance of the means in standard deviations; the limit is 4 standard errors by effective n. drifted_share: \
                share of drifted columns.";
    let own = "The machine's own checks: each holds one figure against one limit, and fails beyond.";
    page.section("checks", "Checks", if named { own } else { lead }, |page| {
        page.push(&format!("<p>{} passed, {} failed, {} without an answer.</p>\n", passed(Some(true)), passed(Some(false)), passed(None)));
        page.table(&table);
        if sorted.len() > CHECK_ROWS {
            let left = &sorted[CHECK_ROWS..];
            let what = if left.iter().any(|c| c.passed == Some(false)) { "failed ones among them" } else { "none of them failed" };
            page.push(&format!("<p class=\"note\">{} more are not listed, {what}; <code>--json</code> has them all.</p>\n", left.len()));
        }
    });
}
