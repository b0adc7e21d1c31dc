//! The parts of a unit on the page.

use std::fmt::Write;

use super::collector::{Lane, Moment};
use super::places::{Places, Spread};
use super::{Clock, Feature, Unit};
use crate::report::html::{self, Cell, Page, Table, Tone};
use crate::report::svg::{self, Histogram, History, Point};
use crate::types::{DriftStatus, Event, EventKind, NotEvaluated};

/// Rows of a unit's tables.
const FEATURE_ROWS: usize = 200;
const EVENT_ROWS: usize = 60;

pub(super) fn tone(status: DriftStatus) -> Tone {
    match status {
        DriftStatus::Drift | DriftStatus::Error => Tone::Drift,
        DriftStatus::Warning => Tone::Warning,
        DriftStatus::OK => Tone::Ok,
        DriftStatus::NotEvaluated | DriftStatus::Learning | DriftStatus::Suspended => Tone::Silent,
    }
}

pub(super) fn badge(status: DriftStatus) -> String {
    let word = match status {
        DriftStatus::NotEvaluated => "Not judged",
        other => other.name(),
    };
    html::badge(tone(status), word)
}

/// `row 120`, with the time where there is one.
pub(super) fn moment(at: Moment, clock: Clock) -> String {
    let row = html::count(at.row);
    match clock {
        Clock::Rows => format!("row {row}"),
        Clock::Seconds => format!("row {row}, {} s", html::significant(at.time.as_secs_f64(), 6)),
        Clock::Utc => format!("row {row}, {}", at.time.to_utc().format("%Y-%m-%d %H:%M:%S")),
    }
}

/// The same in two lines of a cell.
fn moment_cell(at: Option<Moment>, clock: Clock) -> Cell {
    let Some(at) = at else { return Cell::Html("–".into()) };
    let text = moment(at, clock);
    Cell::Html(match text.split_once(", ") {
        Some((row, time)) => format!("<span>{row} <small class=\"when\">{time}</small></span>"),
        None => text,
    })
}

impl Unit {
    fn ends(&self) -> (String, String) {
        (moment(self.collected.first, self.clock), moment(self.collected.last, self.clock))
    }

    /// The ends as rows alone: what fits below a small drawing.
    fn rows(&self) -> (String, String) {
        let row = |at: Moment| format!("row {}", html::count(at.row));
        (row(self.collected.first), row(self.collected.last))
    }

    /// All rows of the histories.
    fn range(&self) -> (f64, f64) {
        (1.0, (self.collected.last.row - self.collected.first.row + 1).max(2) as f64)
    }

    /// Statuses over time, a lane each.
    pub(super) fn strip(&self) -> String {
        let kinds = [
            (Lane::Fault, "Machine fault", Tone::Warning),
            (Lane::Drift, "Drift", Tone::Drift),
            (Lane::Warning, "Warning", Tone::Warning),
            (Lane::Ok, "OK", Tone::Ok),
            (Lane::Outside, "Outside", Tone::Outside),
            (Lane::NotJudged, "Not judged", Tone::Silent),
            (Lane::Learning, "Learning", Tone::Silent),
        ];
        let c = &self.collected;
        let lanes = kinds.into_iter().filter(|(lane, ..)| c.rows_per_lane[*lane as usize] > 0 || matches!(lane, Lane::Drift | Lane::Ok));
        let lanes: Vec<svg::Lane> = lanes
            .map(|(lane, label, tone)| {
                let share = |counts: &[u32]| {
                    // a fault comes on top of the others
                    let rows: u32 = counts.iter().skip(1).sum();
                    f64::from(counts[lane as usize]) / f64::from(rows.max(1))
                };
                svg::Lane { label, tone, shares: c.lanes.iter().map(|(_, counts)| share(&counts.0)).collect() }
            })
            .collect();
        let ends = self.ends();
        let mut words = String::from("Statuses over the rows:");
        for (lane, label, _) in kinds {
            let rows = c.rows_per_lane[lane as usize];
            if rows > 0 {
                let _ = write!(words, " {label} {} rows,", html::count(rows));
            }
        }
        svg::strip(words.trim_end_matches([',', ':']), &lanes, (&ends.0, &ends.1))
    }

    /// Features, worst first.
    pub(super) fn sorted_features(&self) -> Vec<&Feature> {
        let mut features: Vec<&Feature> = self.features.iter().collect();
        let index = |f: &Feature| if f.index().is_nan() { -1.0 } else { f.index() };
        features.sort_by(|a, b| b.status().code().cmp(&a.status().code()).then(index(b).total_cmp(&index(a))));
        features
    }

    pub(super) fn feature_table(&self, page: &mut Page, most: usize) {
        let heads =
            ["Feature", "Status", "Settings", "Metric", "Value", "p", "Threshold", "n", "Effective n", "Mean", "Reference", "Since"];
        let caption = "Each feature at its last evaluation in the regime where it stands worst. n: values of reference / window.";
        let mut table = Table::new(caption, &heads);
        let features = self.sorted_features();
        let most = most.min(FEATURE_ROWS);
        for f in features.iter().take(most) {
            let number = |of: fn(&crate::types::FeatureReport) -> f64, digits| {
                Cell::Number(f.report.as_ref().map_or_else(|| "–".into(), |r| html::significant(of(r), digits)))
            };
            table.row(vec![
                Cell::text(&*f.name),
                Cell::Html(badge(f.status())),
                Cell::text(if f.regime.is_empty() { "–" } else { f.regime.as_str() }),
                Cell::Html(f.test.map_or_else(|| "–".into(), |t| html::escape(&t.0.replace('_', " ")))),
                number(|r| r.value, 4),
                Cell::Number(html::p_value(f.report.as_ref().map(|r| r.p_value))),
                Cell::Number(f.test.map_or_else(|| "–".into(), |t| html::significant(t.1, 3))),
                Cell::Number(format!("{} / {}", html::count(f.n_reference as u64), html::count(f.n_current as u64))),
                Cell::Number(f.effective_n.map_or_else(|| "–".into(), |e| html::count(e.round() as u64))),
                number(|r| r.current_mean, 5),
                number(|r| r.reference_mean, 5),
                moment_cell(f.since, self.clock),
            ]);
        }
        page.table(&table);
        if features.len() > most {
            page.push(&format!("<p class=\"note\">{} more, nearer to OK, are not listed.</p>\n", features.len() - most));
        }
    }

    /// Distribution and histories of a feature.
    pub(super) fn feature_figures(&self, f: &Feature) -> String {
        let mut page = Page::new("");
        let unit = if f.unit.is_empty() { String::new() } else { format!(" <small>[{}]</small>", html::name(&f.unit)) };
        page.push(&format!("<h3>{}{unit} {}</h3>\n", html::name(&f.name), badge(f.status())));
        page.figures(|page| {
            page.push(&self.distribution(f));
            if let Some(run) = self.collected.features.get(f.column) {
                let ends = self.rows();
                page.push(&self.index_history(&format!("Drift index of {}", f.name), &run.index, &ends));
                page.push(&self.mean_history(f, &run.residual, &ends));
            }
        });
        page.into_body()
    }

    fn distribution(&self, f: &Feature) -> String {
        let means = f.report.as_ref().map(|r| (r.reference_mean, r.current_mean));
        let number = |x: Option<f64>| html::number(x.unwrap_or(f64::NAN));
        let (reference, current) = (means.map(|m| m.0), means.map(|m| m.1));
        let title = format!("Distribution of {}: mean {} in the reference, {} in the window", f.name, number(reference), number(current));
        let drawing = svg::histogram(&Histogram {
            title: &title,
            range: f.range,
            reference: &f.reference,
            current: &f.current,
            reference_mean: reference,
            current_mean: current,
            beyond: f.beyond,
        });
        let regime = if f.regime.is_empty() { String::new() } else { format!("<small>{}</small>", html::name(&f.regime)) };
        html::figure(&format!("<span>Distribution</span>{regime}"), &drawing, &f.numbers())
    }

    pub(super) fn index_history(&self, title: &str, places: &Places<Spread>, ends: &(String, String)) -> String {
        let points = points(places, |x| x);
        let marks: Vec<f64> = self.collected.onsets.iter().map(|row| *row as f64).collect();
        let last = points.last().map_or(f64::NAN, |p| p.mean);
        let drawing = svg::history(&History {
            title: &format!("{title} over the rows, 1 is the threshold; at the end {}", html::number(last)),
            points: &points,
            range: self.range(),
            band: None,
            threshold: Some(1.0),
            ends: (&ends.0, &ends.1),
            marks: &marks,
            index: true,
        });
        html::figure("<span>Drift index</span><small>drift from 1 on</small>", &drawing, "")
    }

    /// In the feature's own unit where there is one regime, else in standard deviations of the regimes.
    fn mean_history(&self, f: &Feature, places: &Places<Spread>, ends: &(String, String)) -> String {
        let judged = self.collected.regimes.iter().filter(|r| !r.features.is_empty()).count();
        let own = f.report.as_ref().filter(|r| judged == 1 && r.reference_sd > 0.0 && r.reference_sd.is_finite());
        let (mean, sd) = own.map_or((0.0, 1.0), |r| (r.reference_mean, r.reference_sd));
        let points = points(places, |z| mean + z * sd);
        let drawing = svg::history(&History {
            title: &format!("Mean of {} in the window over the rows, with the band of the reference's mean and standard deviation", f.name),
            points: &points,
            range: self.range(),
            band: Some((mean - sd, mean + sd)),
            threshold: None,
            ends: (&ends.0, &ends.1),
            marks: &[],
            index: false,
        });
        let what = if own.is_some() { "band: reference mean ± 1 sd" } else { "in sd from the regime's mean; band ± 1 sd" };
        html::figure(&format!("<span>Mean of the window</span><small>{what}</small>"), &drawing, "")
    }

    pub(super) fn monitors(&self, page: &mut Page) {
        let heads = ["Monitor", "Status", "Test", "Value", "p", "Threshold", "Index", "Beyond", "In a row"];
        let mut table = Table::new(
            "Each monitor and its tests at the last evaluation: drift where all are beyond their thresholds, often enough in a row.",
            &heads,
        );
        for m in &self.verdict.monitors {
            for (k, t) in m.tests.iter().enumerate() {
                let first = k == 0;
                let once = |text: String| if first { Cell::Number(text) } else { Cell::Number(String::new()) };
                table.row(vec![
                    Cell::text(&*m.name),
                    Cell::Html(if first { badge(m.status) } else { String::new() }),
                    Cell::text(t.name.replace('_', " ")),
                    Cell::number(t.value),
                    Cell::Number(html::p_value(Some(t.p_value))),
                    Cell::Number(html::significant(t.threshold, 3)),
                    Cell::number(t.index),
                    Cell::Html(
                        if t.index.is_nan() {
                            "–"
                        } else if t.exceeded {
                            "<b>yes</b>"
                        } else {
                            "no"
                        }
                        .into(),
                    ),
                    once(format!("{} (limit {})", m.consecutive, self.n_limit)),
                ]);
            }
        }
        page.table(&table);
    }

    pub(super) fn regimes(&self, page: &mut Page) {
        let c = &self.collected;
        let heads = ["Settings", "State", "Index", "Rows", "Learned from", "Visits", "Last seen"];
        let mut table =
            Table::new("Combinations of settings. In the envelope: trained, with a reference. Outside: never trained, no verdict.", &heads);
        for r in self.regimes.iter().take(80) {
            table.row(vec![
                Cell::text(r.key.as_str()),
                Cell::Html(if r.rows == 0 { html::badge(Tone::Silent, "Not seen") } else { badge(r.status) }),
                Cell::number(r.index),
                Cell::Number(html::count(r.rows)),
                Cell::Number(html::count(u64::from(r.learned))),
                Cell::Number(html::count(u64::from(r.visits))),
                moment_cell(r.last, self.clock),
            ]);
        }
        for (key, run) in &c.outside {
            let distance = if run.distance.is_finite() {
                format!("Outside, {} tolerances off", html::significant(run.distance, 3))
            } else {
                "Outside".into()
            };
            table.row(vec![
                Cell::text(&**key),
                Cell::Html(html::badge(Tone::Outside, &distance)),
                Cell::Number("–".into()),
                Cell::Number(html::count(run.rows)),
                Cell::Number("–".into()),
                Cell::Number("–".into()),
                moment_cell(Some(run.last), self.clock),
            ]);
        }
        page.table(&table);
        if c.outside_more > 0 {
            page.push(&format!("<p class=\"note\">{} more rows outside, in other combinations.</p>\n", html::count(c.outside_more)));
        }
        let reasons: Vec<String> = c
            .reasons
            .iter()
            .filter(|(why, _)| **why != NotEvaluated::OutsideEnvelope.text())
            .map(|(why, rows)| format!("{} ({} rows)", html::escape(why), html::count(*rows)))
            .collect();
        if !reasons.is_empty() {
            page.push(&format!("<p class=\"note\">Not judged for other reasons: {}.</p>\n", reasons.join("; ")));
        }
    }

    pub(super) fn models(&self, page: &mut Page) {
        let heads = ["Model", "Last score", "Threshold", "Fault now", "Rows trusted", "Trust now"];
        let mut table =
            Table::new("Fault-detection models: a score beyond the threshold is an anomaly, several in a row are a fault.", &heads);
        for (k, (name, m)) in self.models.iter().zip(&self.verdict.models).enumerate() {
            let trusted = self.collected.trusted.get(k).copied().unwrap_or(0) as f64 / self.collected.rows.max(1) as f64;
            table.row(vec![
                Cell::text(&**name),
                Cell::number(m.score),
                Cell::number(m.threshold),
                Cell::Html(if m.fault { html::badge(Tone::Drift, "Fault") } else { html::badge(Tone::Ok, "No fault") }),
                Cell::Number(html::percent(trusted)),
                Cell::text(m.trust.text()),
            ]);
        }
        page.table(&table);
        let ends = self.rows();
        page.figures(|page| {
            for ((name, m), places) in self.models.iter().zip(&self.verdict.models).zip(&self.collected.scores).take(6) {
                let drawing = svg::history(&History {
                    title: &format!("Score of {name} over the rows, with the threshold of an anomaly"),
                    points: &points(places, |x| x),
                    range: self.range(),
                    threshold: Some(m.threshold),
                    ends: (&ends.0, &ends.1),
                    ..History::default()
                });
                page.figure(
                    &format!("<span>{}: score</span><small>anomaly beyond the dashed line</small>", html::name(name)),
                    &drawing,
                    "",
                );
            }
        });
    }

    pub(super) fn checks(&self, page: &mut Page) {
        let heads = ["Check", "Result", "Kind", "Figure", "Limit", "Feature", "Settings", "Failed looks"];
        let mut table = Table::new("Named checks of the configuration.", &heads);
        for c in &self.verdict.checks {
            let (tone, word) = match c.passed {
                Some(true) => (Tone::Ok, "Pass"),
                Some(false) => (Tone::Drift, "Fail"),
                None => (Tone::Silent, "No answer"),
            };
            let feature = c.feature.and_then(|k| self.features.get(usize::from(k))).map_or("–", |f| &f.name);
            table.row(vec![
                Cell::text(&*c.name),
                Cell::Html(html::badge(tone, word)),
                Cell::text(c.kind),
                Cell::number(c.value),
                Cell::number(c.limit),
                Cell::text(feature),
                Cell::text(if c.regime.is_empty() { "–" } else { &c.regime }),
                Cell::Number(format!("{} of {}", html::count(c.failures), html::count(c.looks))),
            ]);
        }
        page.table(&table);
    }

    pub(super) fn events(&self, page: &mut Page, most: usize) {
        let c = &self.collected;
        let mut table = Table::new("What happened, the latest last.", &["When", "What", "Details"]);
        let skipped = c.events.len().saturating_sub(most.min(EVENT_ROWS));
        for (_, event) in &c.events[skipped..] {
            let at = Moment { row: event.row, time: event.time };
            let (what, details) = told(event);
            table.row(vec![moment_cell(Some(at), self.clock), Cell::Html(what), Cell::Html(details)]);
        }
        page.table(&table);
        let left = c.events_more + skipped as u64;
        if left > 0 {
            page.push(&format!(
                "<p class=\"note\">{} less important events are not listed; <code>--events</code> writes all.</p>\n",
                html::count(left)
            ));
        }
    }
}

impl Feature {
    fn numbers(&self) -> String {
        let Some(r) = &self.report else { return String::new() };
        let pair = |what: &str, a: f64, b: f64| format!("<span>{what} {} → <b>{}</b></span>", html::number(a), html::number(b));
        let missing = if r.missing > 0.0 { format!("<span>{} missing</span>", html::percent(r.missing)) } else { String::new() };
        format!(
            "<span class=\"pairs\">{}{}{missing}</span>",
            pair("mean", r.reference_mean, r.current_mean),
            pair("sd", r.reference_sd, r.current_sd)
        )
    }
}

/// The places of a history that have a value.
fn points(places: &Places<Spread>, value: impl Fn(f64) -> f64) -> Vec<Point> {
    let point = |(x, s): (f64, &Spread)| {
        let (low, mean, high) = s.range()?;
        Some(Point { x, low: value(low), mean: value(mean), high: value(high) })
    };
    places.iter().filter_map(point).collect()
}

/// An event as a word and its details, both HTML.
fn told(event: &Event) -> (String, String) {
    let at = |regime: &Option<std::sync::Arc<str>>| regime.as_ref().map(|r| format!(" at {}", html::name(r))).unwrap_or_default();
    let of = |feature: &Option<std::sync::Arc<str>>| feature.as_deref().map(html::name).unwrap_or_default();
    match &event.kind {
        EventKind::Status { monitor, status, regime, feature, metric, value, threshold, reason, .. } => {
            let mut details = format!("{} {}{}", html::name(monitor), of(feature), at(regime));
            if let (Some(metric), Some(value), Some(threshold)) = (metric, value, threshold) {
                let metric = html::escape(&metric.replace('_', " "));
                let _ = write!(details, ", {metric} {}, threshold {}", html::number(*value), html::significant(*threshold, 3));
            }
            if let Some(reason) = reason {
                let _ = write!(details, " ({})", html::escape(reason.text()));
            }
            (badge(*status), details)
        }
        EventKind::Regime { state, key, distance, .. } => {
            let off = distance.filter(|d| *d > 1.0).map(|d| format!(", {} tolerances off", html::significant(d, 3))).unwrap_or_default();
            ("Settings".into(), format!("{} <small>{}{off}</small>", html::name(key), html::escape(state.name())))
        }
        EventKind::Fault { model, active, regime, feature, value, threshold } => {
            let word = if *active { html::badge(Tone::Drift, "Fault") } else { html::badge(Tone::Ok, "Fault over") };
            let score = format!("score {}, threshold {}", html::number(*value), html::number(*threshold));
            (word, format!("{} {}{}, {score}", html::name(model), of(feature), at(regime)))
        }
        EventKind::Buffer { slot, state, reason, regime, rows, .. } => (
            "Buffer".into(),
            format!(
                "B{:02} {} ({}), {} rows{}",
                slot + 1,
                html::escape(state.name()),
                html::escape(reason.name()),
                html::count(u64::from(*rows)),
                at(regime)
            ),
        ),
        EventKind::Reference { regime, rows } => {
            ("Reference".into(), format!("learned from {} rows at {}", html::count(u64::from(*rows)), html::name(regime)))
        }
        EventKind::Parameter { path, old, new, user, refused } => {
            let refused = refused.as_ref().map(|r| format!(", refused: {}", html::name(r))).unwrap_or_default();
            (
                "Parameter".into(),
                format!("{}: {} → {} by {}{refused}", html::name(path), html::name(old), html::name(new), html::name(user)),
            )
        }
        EventKind::Note { text } => ("Note".into(), html::shortened(text, 200)),
        EventKind::Refused { user, address, action, target, reason, .. } => {
            let by = format!("{} from {}", html::name(user), html::name(address));
            ("Refused".into(), format!("{} {} by {by}: {}", html::name(action), html::name(target), html::name(reason)))
        }
        EventKind::Session { user, address, roles } => {
            ("Login".into(), format!("{} from {} as {}", html::name(user), html::name(address), html::name(roles)))
        }
        EventKind::Command { command, user, result, refused, .. } => {
            let outcome = refused.as_ref().map_or_else(|| result.clone(), |r| format!("refused: {r}"));
            ("Command".into(), format!("{} by {}: {}", html::name(command), html::name(user), html::shortened(&outcome, 200)))
        }
        EventKind::ReferenceChanged { regime, old, new, reason, .. } => {
            ("Reference".into(), format!("{} at {}: {} → {}", html::name(reason), html::name(regime), html::name(old), html::name(new)))
        }
        EventKind::ModelChanged { old, new, reason, .. } => {
            ("Model".into(), format!("{}: {} → {}", html::shortened(reason, 200), html::name(old), html::name(new)))
        }
        EventKind::Label { prediction, class, user, .. } => {
            ("Label".into(), format!("{} is class {class}, says {}", html::name(prediction), html::name(user)))
        }
        EventKind::Contributors { monitor, regime, features } => {
            let names: Vec<String> = features.iter().take(5).map(|c| html::name(&c.feature)).collect();
            ("Contributors".into(), format!("{}: {}{}", html::name(monitor), names.join(", "), at(regime)))
        }
        EventKind::Statement { model, statement, labels, regime, error_rate, reference, .. } => {
            let rates = error_rate.zip(*reference).map(|(e, r)| format!(", errors {}, reference {}", html::percent(e), html::percent(r)));
            let text = html::escape(&statement.text(*labels));
            ("Model".into(), format!("{}: {text}{}{}", html::name(model), at(regime), rates.unwrap_or_default()))
        }
        EventKind::Check { check, passed, regime, feature, value, limit } => {
            let word = if *passed { html::badge(Tone::Ok, "Pass") } else { html::badge(Tone::Drift, "Fail") };
            (word, format!("{} {}{}, {}, limit {}", html::name(check), of(feature), at(regime), html::number(*value), html::number(*limit)))
        }
    }
}
