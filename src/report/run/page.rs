//! The page of a run: head, units, parts of each drawn unit.

use super::collector::{Lane, Moment};
use super::parts::{badge, moment};
use super::{Unit, worst_first};
use crate::report::About;
use crate::report::html::{self, Cell, Page, Table, Tone};
use crate::types::DriftStatus;

/// Bytes of a page up to which features are drawn.
const DRAW_UP_TO: usize = 270_000;
/// Units that are drawn, rows of the table of units.
const DRAWN_UNITS: usize = 4;
const UNIT_ROWS: usize = 150;
/// Features of a unit that are drawn openly; the rest are closed.
const OPEN: usize = 4;

/// The page of a run. At most 300 kB, whatever the numbers of rows, units and features: what is left out is said.
///
/// The same units give the same bytes; when it was made comes in with `about`.
pub fn html(units: &[Unit], about: &About) -> String {
    let order = worst_first(units);
    let mut page = Page::new(&format!("Drift: {}", about.subject));
    header(&mut page, units, &order, about);
    match (units, order.as_slice()) {
        ([], _) | (_, []) => page.push("<p>No rows were read.</p>\n"),
        ([unit], _) => {
            page.section("time", "Over time", STRIP, |page| page.push(&unit.strip()));
            parts(&mut page, unit, "", usize::MAX, DRAW_UP_TO);
        }
        _ => {
            page.section("units", "Units", "Each unit is a machine by itself, judged by its own windows; the worst are first.", |page| {
                unit_table(page, units, &order);
            });
            several(&mut page, units, &order);
        }
    }
    page.finish(&about.footer())
}

const STRIP: &str = "One lane a status, rows from left to right; where several fall together, the height is their share. Outside and not judged \
                     rows have no verdict: they are neither drift nor OK.";

fn several(page: &mut Page, units: &[Unit], order: &[usize]) {
    let drawn = order.len().min(DRAWN_UNITS);
    for (i, k) in order.iter().take(drawn).enumerate() {
        let unit = &units[*k];
        let id = format!("u{i}");
        // the bytes that are left are shared by the units that are left
        let room = DRAW_UP_TO.saturating_sub(page.len()) / (drawn - i);
        let up_to = page.len() + room;
        page.section(&id, &unit.name, "", |page| page.push(&unit.strip()));
        parts(page, unit, &id, 12, up_to);
    }
    if order.len() > drawn {
        page.push(&format!("<p class=\"note\">{} less affected units are not drawn.</p>\n", order.len() - drawn));
    }
}

/// Everything about one unit below its strip.
fn parts(page: &mut Page, unit: &Unit, id: &str, features: usize, up_to: usize) {
    let section = |what: &str| format!("{id}{what}");
    let lead = "All tests of a feature must be beyond their thresholds: the one nearest to OK is shown. A p-value drifts at or below its threshold, \
                corrected for the number of features; a distance or chart at or above. Effective n is what the window's values are worth, \
                as values that follow each other repeat each other.";
    page.section(&section("features"), "Features", lead, |page| unit.feature_table(page, features));
    let mut rest = Page::new("");
    other_parts(&mut rest, unit, id, features);
    figures(page, unit, &section("drawn"), up_to.saturating_sub(rest.body_len()));
    other_parts(page, unit, id, features);
}

fn figures(page: &mut Page, unit: &Unit, id: &str, up_to: usize) {
    let lead = "The reference of the regime as an area, the last window as a line; then, over all rows, how far the feature was from drift, and where \
                the mean of its window lay. Dotted lines: onsets of drift of the machine.";
    page.section(id, "Distributions and histories", lead, |page| {
        page.push(&html::legend("reference", "last window"));
        let features = unit.sorted_features();
        let mut left = features.len();
        let mut closed = Vec::new();
        let mut bytes = page.len();
        for (i, feature) in features.iter().enumerate() {
            let drawn = unit.feature_figures(feature);
            if bytes + drawn.len() > up_to {
                break;
            }
            bytes += drawn.len();
            left -= 1;
            if i < OPEN { page.push(&drawn) } else { closed.push(drawn) }
        }
        if !closed.is_empty() {
            page.details(&format!("{} more features", closed.len()), |page| closed.iter().for_each(|c| page.push(c)));
        }
        if left > 0 {
            page.push(&format!("<p class=\"note\">{left} more features, nearer to OK, are not drawn: the page stays below 300 kB.</p>\n"));
        }
    });
}

fn other_parts(page: &mut Page, unit: &Unit, id: &str, features: usize) {
    let section = |what: &str| format!("{id}{what}");
    page.section(&section("regimes"), "Regimes and envelope", "", |page| unit.regimes(page));
    page.section(&section("monitors"), "Monitors", "", |page| unit.monitors(page));
    if !unit.verdict.models.is_empty() {
        page.section(&section("models"), "Models", "", |page| unit.models(page));
    }
    if !unit.verdict.checks.is_empty() {
        page.section(&section("checks"), "Checks", "", |page| unit.checks(page));
    }
    page.section(&section("events"), "Events", "", |page| unit.events(page, if features > 12 { usize::MAX } else { 20 }));
}

fn header(page: &mut Page, units: &[Unit], order: &[usize], about: &About) {
    let sum = |of: &dyn Fn(&Unit) -> u64| units.iter().map(of).sum::<u64>();
    let rows = sum(&|u| u.collected.rows);
    let lane = |lane: Lane| sum(&|u| u.collected.rows_per_lane[lane as usize]);
    let (tone, word, sentence) = match order.first().map(|k| &units[*k]) {
        None => (Tone::Silent, "Not judged", "There were no rows.".to_string()),
        Some(unit) if units.len() == 1 => verdict(unit),
        Some(_) => verdict_of_units(units),
    };
    let share = |n: u64| format!("{} <small>({})</small>", html::count(n), html::percent(n as f64 / rows.max(1) as f64));
    let mut facts = vec![
        ("Rows", html::count(rows)),
        ("Evaluations", html::count(sum(&|u| u.collected.evaluations))),
        ("Onsets of drift", html::count(sum(&|u| u.collected.drifts))),
        ("Machine faults", html::count(sum(&|u| u.collected.faults))),
        ("Rows in drift", share(lane(Lane::Drift))),
        ("Rows outside", share(lane(Lane::Outside))),
    ];
    if let Some(unit) = units.first() {
        facts.push(("Thresholds", unit.thresholds.into()));
    }
    facts.extend(about.facts.iter().map(|(what, value)| (what.as_str(), html::name(value))));
    page.header(&about.subject, tone, word, &sentence, &facts);
}

/// Verdict, as a word and a sentence.
fn verdict(unit: &Unit) -> (Tone, &'static str, String) {
    let c = &unit.collected;
    let since = |at: Moment| moment(at, unit.clock);
    let worst = unit.sorted_features().into_iter().find(|f| matches!(f.status(), DriftStatus::Drift | DriftStatus::Warning));
    let which = worst.map(|f| {
        let place = if f.regime.is_empty() { String::new() } else { format!(" at {}", f.regime) };
        let shift = f.report.as_ref().map(|r| (r.current_mean - r.reference_mean) / r.reference_sd).filter(|z| z.is_finite());
        let shift =
            shift.map(|z| format!(", its mean {} by {} sd", if z > 0.0 { "higher" } else { "lower" }, html::significant(z.abs(), 2)));
        format!(" Most of all {}{place}{}.", f.name, shift.unwrap_or_default())
    });
    let which = which.unwrap_or_default();
    let outside = c.rows_per_lane[Lane::Outside as usize];
    let mut answer = match c.judged {
        Some((DriftStatus::Drift, at)) => (Tone::Drift, "Drift", format!("Drift since {}.{which}", since(at))),
        Some((status, at)) if c.drifts > 0 => {
            let times = if c.drifts == 1 { "once".into() } else { format!("{} times", c.drifts) };
            (Tone::Warning, "Drifted before", format!("It drifted {times}; {} since {}.{which}", status.name(), since(at)))
        }
        Some((DriftStatus::Warning, at)) => {
            (Tone::Warning, "Warning", format!("Some tests are beyond their thresholds, since {}.{which}", since(at)))
        }
        Some(_) => (Tone::Ok, "No drift", "Inside the trained envelope, nothing has drifted.".into()),
        None if outside > 0 => (Tone::Outside, "Outside: no verdict", "No row could be judged.".into()),
        None => (Tone::Silent, "Not judged", "No window was filled: there is no verdict.".into()),
    };
    if outside > 0 {
        let rows = html::counted(outside as usize, "row was", "rows were");
        answer.2.push_str(&format!(" {rows} outside the trained envelope: no verdict for them."));
    }
    if c.faults > 0 {
        answer.2.push_str(&format!(" The models reported {}.", html::counted(c.faults as usize, "machine fault", "machine faults")));
    }
    answer
}

fn verdict_of_units(units: &[Unit]) -> (Tone, &'static str, String) {
    let count = |of: &dyn Fn(&Unit) -> bool| units.iter().filter(|u| of(u)).count();
    let ended = |status: DriftStatus| count(&|u| u.collected.judged.is_some_and(|j| j.0 == status));
    let (drifting, before) = (ended(DriftStatus::Drift), count(&|u| u.collected.drifts > 0));
    let all = units.len();
    match (drifting, before) {
        (0, 0) if ended(DriftStatus::Warning) > 0 => {
            (Tone::Warning, "Warning", format!("{} of {all} units end with a warning, none drifted.", ended(DriftStatus::Warning)))
        }
        (0, 0) if count(&|u| u.collected.judged.is_some()) == 0 => {
            (Tone::Silent, "Not judged", format!("None of {all} units could be judged."))
        }
        (0, 0) => (Tone::Ok, "No drift", format!("None of {all} units has drifted.")),
        (0, n) => (Tone::Warning, "Drifted before", format!("{n} of {all} units drifted for a time, none at the end.")),
        (n, m) => (Tone::Drift, "Drift", format!("{n} of {all} units end in drift; {m} drifted at some time.")),
    }
}

fn unit_table(page: &mut Page, units: &[Unit], order: &[usize]) {
    let heads = ["Unit", "Ends as", "Since", "Onsets", "Faults", "In drift", "Outside", "Rows", "Index", "Top feature"];
    let mut table = Table::new("Units, the worst first.", &heads);
    for unit in order.iter().take(UNIT_ROWS).map(|k| &units[*k]) {
        let c = &unit.collected;
        let share = |lane: Lane| Cell::Number(html::percent(c.rows_per_lane[lane as usize] as f64 / c.rows.max(1) as f64));
        let top = unit.verdict.top_feature.and_then(|k| unit.features.get(usize::from(k))).map_or("–", |f| &f.name);
        table.row(vec![
            Cell::text(unit.name.as_str()),
            Cell::Html(badge(c.judged.map_or(DriftStatus::NotEvaluated, |j| j.0))),
            Cell::Html(c.judged.map_or_else(|| "–".into(), |j| moment(j.1, unit.clock))),
            Cell::Number(html::count(c.drifts)),
            Cell::Number(html::count(c.faults)),
            share(Lane::Drift),
            share(Lane::Outside),
            Cell::Number(html::count(c.rows)),
            Cell::number(unit.verdict.drift_index),
            Cell::text(top),
        ]);
    }
    page.table(&table);
    if order.len() > UNIT_ROWS {
        page.push(&format!("<p class=\"note\">{} less affected units are not listed.</p>\n", order.len() - UNIT_ROWS));
    }
}
