//! The page of a profile: what stands out, settings and their combinations, columns, distributions, correlations, gaps.

use std::fmt::Write;

use super::html::{self, Cell, Page, Table, Tone};
use super::svg::{self, Bar, HeatMap, Histogram};
use crate::profile::{
    ColumnProfile, Combination, Condition, FindingLevel, Numbers, Order, Profile, REGIME_ROWS, Role, Stationarity, role_name, time_sentence,
};

/// Bytes of a page up to which pictures are drawn.
const DRAW_UP_TO: usize = 265_000;
/// Rows of the tables, combinations and columns of the pictures.
const COLUMN_ROWS: usize = 250;
const COMBINATION_ROWS: usize = 64;
const FILE_ROWS: usize = 60;
const BARS: usize = 30;
const HEAT: usize = 45;
const SIGNALS: usize = 60;
/// Columns whose gaps are drawn, and slices of the rows.
const GAPS: (usize, usize) = (60, 50);
/// Characters of the settings to paste.
const LONGEST_TOML: usize = 10_000;

/// The page. At most 300 kB, whatever the number of columns: what is left out is said. `made`: when, as text; may be empty.
pub fn html(profile: &Profile, subject: &str, made: &str) -> String {
    let mut page = Page::new(&format!("Profile of {subject}"));
    header(profile, subject, &mut page);
    findings(profile, &mut page);
    settings(profile, &mut page);
    columns(profile, &mut page);
    correlations(profile, &mut page);
    gaps(profile, &mut page);
    files(profile, &mut page);
    distributions(profile, &mut page);
    let made = if made.is_empty() { String::new() } else { format!(" on {}", html::escape(made)) };
    page.finish(&format!(
        "Made{made} by driftgate {}. This page is whole in itself: it fetches nothing and runs no script.",
        env!("CARGO_PKG_VERSION")
    ))
}

fn header(p: &Profile, subject: &str, page: &mut Page) {
    let warnings = p.findings.iter().filter(|f| f.level == FindingLevel::Warning).count();
    let signals = p.columns.iter().filter(|c| c.role == Role::Signal).count();
    let (tone, word) = match warnings {
        0 => (Tone::Ok, "Nothing to warn of".to_string()),
        n => (Tone::Warning, html::counted(n, "warning", "warnings")),
    };
    let mut sentence = format!("{} in {}", html::counted(signals, "signal", "signals"), html::counted(p.rows, "row", "rows"));
    if p.settings.is_empty() {
        sentence.push_str("; no settings are known.");
    } else {
        let _ = write!(
            sentence,
            "; {} of {}.",
            html::counted(p.combinations.count, "combination", "combinations"),
            html::counted(p.settings.len(), "setting", "settings")
        );
    }
    let mut facts = vec![("Rows", html::count(p.rows as u64)), ("Columns", html::count(p.columns.len() as u64))];
    if p.files.len() > 1 {
        facts.push(("Files", html::count(p.files.len() as u64)));
    }
    if let Some(u) = &p.units {
        facts.push(("Units", format!("{} by {}", html::count(u.count as u64), html::name(&u.column))));
    }
    if let Some(t) = &p.time {
        facts.push(("Time", html::name(&t.column)));
        facts.extend(t.start.as_ref().map(|s| ("From", html::escape(s))));
        facts.extend(t.end.as_ref().map(|s| ("To", html::escape(s))));
        facts.extend(t.interval_median.map(|s| ("Interval", format!("{} s", html::number(s)))));
    }
    facts.extend(p.suggested.window_rows.map(|w| ("Suggested window", html::counted(w, "row", "rows"))));
    page.header(&format!("Profile of {subject}"), tone, &word, &sentence, &facts);
}

fn findings(p: &Profile, page: &mut Page) {
    page.section("findings", "What stands out", "", |page| {
        for finding in &p.findings {
            let badge = match finding.level {
                FindingLevel::Warning => html::badge(Tone::Warning, "Warning"),
                FindingLevel::Note => html::badge(Tone::Silent, "Note"),
            };
            page.push(&format!("<p>{badge} {}</p>\n", sentence(&finding.text, 600)));
        }
        if let Some(time) = &p.time {
            page.push(&format!("<p class=\"lead\">{}</p>\n", sentence(&time_sentence(time), 400)));
        }
    });
}

/// Escaped and cut; what stands in backticks as code.
fn sentence(text: &str, most: usize) -> String {
    let mut html = String::new();
    for (i, piece) in html::shortened(text, most).split('`').enumerate() {
        let _ = if i % 2 == 1 { write!(html, "<code>{piece}</code>") } else { write!(html, "{piece}") };
    }
    html
}

fn settings(p: &Profile, page: &mut Page) {
    if p.settings.is_empty() {
        return;
    }
    let lead = format!("Each combination of settings is a regime with references of its own; it takes {REGIME_ROWS} rows to be learned.");
    page.section("settings", "Settings and their combinations", &lead, |page| {
        let mut table = Table::new("Settings", &["Setting", "Condition", "Values", "Rows between", "Rows missing"]);
        for s in &p.settings {
            let condition = match &s.condition {
                Condition::Category => "category".to_string(),
                Condition::Tolerance(t) => format!("tolerance {}", html::number(*t)),
                Condition::Bins(_) => "bins".to_string(),
            };
            let values: Vec<String> = s.levels.iter().take(40).map(|l| html::shortened(&l.value, 30)).collect();
            let more = if s.levels.len() > values.len() { format!(" and {} more", s.levels.len() - values.len()) } else { String::new() };
            table.row(vec![
                Cell::text(&s.name),
                Cell::text(condition),
                Cell::Html(format!("{}{more}", values.join(" | "))),
                Cell::count(s.rows_between),
                Cell::count(s.rows_missing),
            ]);
        }
        page.table(&table);
        page.figures(|page| combination_pictures(p, page));
        combination_table(p, page);
        means(p, page);
        let toml = p.settings_toml();
        if !toml.is_empty() && toml.len() < LONGEST_TOML {
            page.push(&format!("<h3>To paste into the configuration</h3>\n<div class=\"scroll\"><pre>{}</pre></div>\n", lines(&toml)));
        }
    });
}

/// Escaped, with its line ends.
fn lines(text: &str) -> String {
    text.lines().map(html::escape).collect::<Vec<_>>().join("\n")
}

fn combination_pictures(p: &Profile, page: &mut Page) {
    let mut most: Vec<(usize, &Combination)> = p.combinations.list.iter().enumerate().collect();
    most.sort_by_key(|(_, c)| std::cmp::Reverse(c.rows));
    let mut shown: Vec<(usize, &Combination)> = most.into_iter().take(BARS).collect();
    shown.sort_by_key(|(i, _)| *i);
    let bar = |(i, c): &(usize, &Combination)| Bar {
        label: format!("{}: {}", i + 1, values(p, c)),
        value: c.rows as f64,
        note: if c.enough { html::count(c.rows as u64) } else { format!("{}, too few", html::count(c.rows as u64)) },
        tone: if c.enough { Tone::Ok } else { Tone::Warning },
    };
    let bars: Vec<Bar> = shown.iter().map(bar).collect();
    let drawing = svg::bars("Rows of each combination of settings", &bars, None);
    let left_out = p.combinations.count - bars.len();
    let note = if left_out > 0 { format!("{left_out} combinations with fewer rows are not drawn.") } else { String::new() };
    page.figure("Rows of each combination", &drawing, &note);
    if let [a, b, ..] = two_settings(p)[..] {
        plane(p, (a, b), page);
    }
}

/// The values without the names of the settings.
fn values(p: &Profile, c: &Combination) -> String {
    let value = |(s, l): (&crate::profile::SettingProfile, &usize)| s.levels.get(*l).map_or_else(String::new, |l| l.value.clone());
    p.settings.iter().zip(&c.levels).map(value).collect::<Vec<_>>().join("; ")
}

/// The two settings of most values that still can be drawn, in their order.
fn two_settings(p: &Profile) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.settings.len()).filter(|s| (2..=HEAT).contains(&p.settings[*s].levels.len())).collect();
    order.sort_by_key(|s| std::cmp::Reverse(p.settings[*s].levels.len()));
    order.truncate(2);
    order.sort_unstable();
    order
}

/// Where the envelope has rows, and where it has gaps.
fn plane(p: &Profile, (a, b): (usize, usize), page: &mut Page) {
    let labels = |s: usize| p.settings[s].levels.iter().map(|l| l.value.clone()).collect::<Vec<_>>();
    let (rows, columns) = (labels(a), labels(b));
    let mut counts = vec![vec![0usize; columns.len()]; rows.len()];
    for c in &p.combinations.list {
        if let Some(count) = c.levels.get(a).zip(c.levels.get(b)).and_then(|(i, j)| counts.get_mut(*i)?.get_mut(*j)) {
            *count += c.rows;
        }
    }
    let highest = counts.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
    let title = format!("Rows at each pair of values of {} and {}", p.settings[a].name, p.settings[b].name);
    let drawing = svg::heat_map(&HeatMap {
        title: &title,
        rows: &rows,
        columns: &columns,
        value: &|i, j| (counts[i][j] > 0).then(|| (counts[i][j] as f64 / highest).sqrt().max(0.07)),
        word: &|i, j| if counts[i][j] < 10_000 { counts[i][j].to_string() } else { format!("{}k", counts[i][j] / 1000) },
    });
    let caption = format!("{} (down) and {} (across)", html::name(&p.settings[a].name), html::name(&p.settings[b].name));
    page.figure(&caption, &drawing, "Rows at each pair of values; empty places were never seen: outside the envelope.");
}

fn combination_table(p: &Profile, page: &mut Page) {
    let caption = match p.combinations.rows_outside {
        0 => "Combinations; all rows are in one of them".to_string(),
        n => format!("Combinations; {} rows are in none of them", html::count(n as u64)),
    };
    let series = if p.units.is_some() { "Units" } else { "Files" };
    let heads = ["Combination", "Rows", "Share", "Visits", "Rows a visit", "Longest", series, "Enough"];
    let mut table = Table::new(&caption, &heads);
    for (i, c) in p.combinations.list.iter().enumerate().take(COMBINATION_ROWS) {
        table.row(vec![
            Cell::Text(format!("{}: {}", i + 1, c.key)),
            Cell::count(c.rows),
            Cell::Number(html::percent(c.share)),
            Cell::count(c.visits),
            Cell::number(c.visit_rows_median),
            Cell::count(c.visit_rows_longest),
            Cell::count(c.series),
            Cell::Html(if c.enough { html::badge(Tone::Ok, "yes") } else { html::badge(Tone::Warning, "too few") }),
        ]);
    }
    page.table(&table);
    left_out(p.combinations.count, table.len(), "combinations", page);
}

fn left_out(all: usize, shown: usize, what: &str, page: &mut Page) {
    if all > shown {
        page.push(&format!("<p class=\"note\">{} more {what} are not shown; --json has them.</p>\n", html::count((all - shown) as u64)));
    }
}

/// How the level of each signal moves with the settings.
fn means(p: &Profile, page: &mut Page) {
    let shown = p.combinations.list.len().min(HEAT);
    let signals: Vec<(&ColumnProfile, &Numbers, &[Option<f64>])> = p
        .columns
        .iter()
        .filter(|c| c.role == Role::Signal)
        .filter_map(|c| Some((c, c.numbers.as_ref()?, c.settings.as_ref()?.means.as_slice())))
        .take(SIGNALS)
        .collect();
    if signals.is_empty() || shown < 2 {
        return;
    }
    let share =
        |c: &ColumnProfile| c.settings.as_ref().and_then(|s| s.share).map_or_else(|| "–".to_string(), |s| format!("{:.0} %", s * 100.0));
    let rows: Vec<String> = signals.iter().map(|(c, ..)| format!("{} {}", share(c), c.name)).collect();
    let columns: Vec<String> = (1..=shown).map(|i| i.to_string()).collect();
    let value = |i: usize, j: usize| {
        let (_, numbers, means) = signals[i];
        let (mean, sd) = (numbers.mean?, numbers.sd.filter(|sd| *sd > 0.0)?);
        // two standard deviations are the full colour
        Some(((*means.get(j)?)? / sd - mean / sd) / 2.0).filter(|x| x.is_finite())
    };
    let drawing = svg::heat_map(&HeatMap {
        title: "Mean of each signal in each combination of settings, against its mean over all",
        rows: &rows,
        columns: &columns,
        value: &value,
        word: &|i, j| value(i, j).map_or_else(String::new, |x| tenth(x * 2.0)),
    });
    page.push("<h3>What the settings do to the signals</h3>\n");
    page.push(
        "<p class=\"lead\">Mean of each signal in each combination (numbers as in the table), in standard deviations from its mean over all rows; \
         negative ones are hatched. Before the name: the share of its variance that the settings explain.</p>\n",
    );
    page.push(&drawing);
}

/// One decimal; never -0.0.
fn tenth(x: f64) -> String {
    format!("{:.1}", (x * 10.0).round() / 10.0 + 0.0)
}

fn columns(p: &Profile, page: &mut Page) {
    let lead = "“By settings” is the share of the variance that the settings explain; memory is how many rows say as much as one independent row, at \
                unchanged settings; what wanders has no level to come back to.";
    page.section("columns", "Columns", lead, |page| {
        let conditioned = p.combinations.count > 1;
        let mut heads = vec!["Column", "Role", "Missing", "Distinct", "Min", "Median", "Max", "SD", "Outliers"];
        heads.extend(conditioned.then_some("By settings"));
        heads.extend(["Memory", "Level"]);
        let mut table = Table::new("All columns", &heads);
        p.columns.iter().take(COLUMN_ROWS).for_each(|c| table.row(column_row(c, conditioned)));
        page.table(&table);
        left_out(p.columns.len(), table.len(), "columns", page);
    });
}

fn column_row(c: &ColumnProfile, conditioned: bool) -> Vec<Cell> {
    let numbers = c.numbers.as_ref().filter(|_| !matches!(c.role, Role::Time | Role::Unit | Role::Identifier));
    let number = |x: Option<f64>| Cell::number(x.unwrap_or(f64::NAN));
    let percent = |x: Option<f64>| Cell::Number(html::percent(x.unwrap_or(f64::NAN)));
    let mut cells = vec![
        Cell::text(&c.name),
        Cell::text(role_name(c.role)),
        Cell::Number(if c.missing.count == 0 { "–".into() } else { html::percent(c.missing.share) }),
        Cell::count(c.distinct),
        number(numbers.map(|n| n.min)),
        number(numbers.map(|n| n.median)),
        number(numbers.map(|n| n.max)),
        number(numbers.and_then(|n| n.sd)),
        number(c.outliers.map(|o| o as f64)),
    ];
    cells.extend(conditioned.then(|| percent(c.settings.as_ref().and_then(|s| s.share))));
    cells.push(number(c.order.as_ref().map(|o| o.memory)));
    cells.push(Cell::Html(c.order.as_ref().map_or_else(|| "–".into(), level)));
    cells
}

fn level(order: &Order) -> String {
    match order.stationarity {
        Stationarity::Stationary => html::badge(Tone::Ok, "steady"),
        Stationarity::Trend => html::badge(Tone::Warning, "trend"),
        Stationarity::Wanders => html::badge(Tone::Drift, "wanders"),
    }
}

fn correlations(p: &Profile, page: &mut Page) {
    let c = &p.correlations;
    let shown = c.columns.len().min(HEAT);
    if shown < 2 {
        return;
    }
    let all = c.columns.len() + c.columns_left_out;
    let mut lead = format!("From {} evenly spaced rows; negative ones are hatched.", html::count(c.rows_used as u64));
    if all > shown {
        let _ = write!(lead, " The first {shown} of {all} columns.");
    }
    page.section("correlations", "Correlations", &lead, |page| {
        let names = &c.columns[..shown];
        let title = "Over all rows: Pearson above the diagonal, Spearman below";
        page.push(&correlation_map(title, names, &|i, j| if i < j { *c.pearson.get(i)?.get(j)? } else { *c.spearman.get(i)?.get(j)? }));
        let Some(within) = &c.within else { return };
        let is_signal = |i: &usize| p.columns.iter().any(|x| x.name == c.columns[*i] && matches!(x.role, Role::Signal | Role::Class));
        let moving: Vec<usize> = (0..shown).filter(|i| is_signal(i) && within[*i][*i].is_some()).collect();
        if moving.len() >= 2 {
            let names: Vec<String> = moving.iter().map(|i| c.columns[*i].clone()).collect();
            let title = "At unchanged settings: Pearson of what is left when the mean of the combination is taken away";
            page.push(&correlation_map(title, &names, &|i, j| within[moving[i]][moving[j]]));
        }
    });
}

fn correlation_map(title: &str, names: &[String], value: &dyn Fn(usize, usize) -> Option<f64>) -> String {
    let word = |i: usize, j: usize| value(i, j).map_or_else(String::new, tenth);
    let drawing = svg::heat_map(&HeatMap { title, rows: names, columns: names, value, word: &word });
    format!("<h3>{}</h3>\n{drawing}\n", html::escape(title))
}

fn gaps(p: &Profile, page: &mut Page) {
    let with_gaps: Vec<(&ColumnProfile, &Vec<f64>)> =
        p.columns.iter().filter_map(|c| Some((c, c.missing.map.as_ref()?))).take(GAPS.0).collect();
    let Some(slices) = with_gaps.iter().map(|(_, map)| map.len()).max() else { return };
    let all = p.columns.iter().filter(|c| c.missing.count > 0).count();
    let lead = "Share of missing values over the rows, from the first on the left to the last on the right.";
    page.section("gaps", "Missing values", lead, |page| {
        let places = slices.min(GAPS.1);
        let rows: Vec<String> = with_gaps.iter().map(|(c, _)| format!("{} {:.1} %", c.name, c.missing.share * 100.0)).collect();
        let label =
            |j: usize| if places >= 10 && j.is_multiple_of(places / 10) { format!("{} %", j * 100 / places) } else { String::new() };
        let columns: Vec<String> = (0..places).map(label).collect();
        let value = |i: usize, j: usize| {
            let map = with_gaps[i].1;
            let part = map.get(j * map.len() / places..((j + 1) * map.len() / places).max(j * map.len() / places + 1))?;
            let share = part.iter().sum::<f64>() / part.len().max(1) as f64;
            Some(if share > 0.0 { share.max(0.13) } else { 0.0 })
        };
        let title = "Missing values over the rows";
        page.push(&svg::heat_map(&HeatMap { title, rows: &rows, columns: &columns, value: &value, word: &|_, _| String::new() }));
        left_out(all, with_gaps.len(), "columns with gaps", page);
    });
}

fn files(p: &Profile, page: &mut Page) {
    if p.files.len() < 2 {
        return;
    }
    page.section("files", "Files", "", |page| {
        let mut table = Table::new("All files", &["File", "Rows", "Columns", "Lacks"]);
        for file in p.files.iter().take(FILE_ROWS) {
            let lacks = if file.lacks.is_empty() { "–".to_string() } else { file.lacks.join(", ") };
            table.row(vec![Cell::text(&file.name), Cell::count(file.rows), Cell::count(file.columns), Cell::text(lacks)]);
        }
        page.table(&table);
        left_out(p.files.len(), table.len(), "files", page);
    });
}

/// Signals first: where the place is short, they are drawn.
fn distributions(p: &Profile, page: &mut Page) {
    let lead = "The dashed line is the mean. Values far outside are counted at the ends.";
    let is_drawn =
        |c: &&ColumnProfile| !matches!(c.role, Role::Time | Role::Unit | Role::Empty | Role::Constant | Role::Counter | Role::Identifier);
    let mut order: Vec<&ColumnProfile> = p.columns.iter().filter(is_drawn).collect();
    order.sort_by_key(|c| c.role != Role::Signal);
    if order.is_empty() {
        return;
    }
    page.section("distributions", "Distributions", lead, |page| {
        let mut drawn = 0;
        page.figures(|page| {
            for column in &order {
                if page.len() > DRAW_UP_TO {
                    break;
                }
                distribution(column, page);
                drawn += 1;
            }
        });
        left_out(order.len(), drawn, "distributions", page);
    });
}

fn distribution(c: &ColumnProfile, page: &mut Page) {
    let mut about = role_name(c.role).to_string();
    if let Some(share) = c.settings.as_ref().and_then(|s| s.share) {
        let _ = write!(about, ", {:.0} % by settings", share * 100.0);
    }
    let caption = format!("{} <small>{about}</small>", html::name(&c.name));
    let title = format!("Distribution of {}", c.name);
    let drawing = match &c.numbers {
        Some(n) if c.top.is_empty() => histogram(&title, n),
        _ => top(&title, c),
    };
    let mut notes = Vec::new();
    if let Some(n) = c.numbers.as_ref().filter(|_| c.top.is_empty()) {
        notes.push(format!("quartiles {} | {} | {}", html::number(n.q1), html::number(n.median), html::number(n.q3)));
        notes.extend(n.mean.map(|m| format!("mean {}", html::number(m))));
        notes.extend(n.skewness.map(|s| format!("skewness {}", html::significant(s, 2))));
        notes.extend(n.resolution.map(|r| format!("resolution {}", html::number(r))));
    } else if c.distinct > c.top.len() {
        notes.push(format!("{} different values, the most frequent are drawn", html::count(c.distinct as u64)));
    }
    if c.longest_hold > 50 {
        notes.push(format!("held for {} rows at most", html::count(c.longest_hold as u64)));
    }
    page.figure(&caption, &drawing, &notes.join(" · "));
}

fn histogram(title: &str, n: &Numbers) -> String {
    let h = &n.histogram;
    let total = (h.counts.iter().sum::<usize>() + h.below + h.above).max(1) as f64;
    let shares: Vec<f64> = h.counts.iter().map(|c| *c as f64 / total).collect();
    svg::histogram(&Histogram {
        title,
        range: (h.low, h.high),
        reference: &shares,
        current: &[],
        reference_mean: n.mean,
        current_mean: None,
        beyond: (h.below, h.above),
    })
}

fn top(title: &str, c: &ColumnProfile) -> String {
    let bar = |t: &crate::profile::Top| Bar {
        label: t.value.clone(),
        value: t.count as f64,
        note: html::count(t.count as u64),
        tone: Tone::Silent,
    };
    svg::bars(title, &c.top.iter().map(bar).collect::<Vec<_>>(), None)
}

#[cfg(test)]
mod tests {
    use super::super::check::well_formed;
    use super::*;
    use crate::comparison::{Column, Entry, Table as Data};
    use crate::profile::{Options, Part, profile};

    /// The number of a row.
    type Value = Box<dyn Fn(usize) -> f64>;

    /// Numbers without order, -1 to 1.
    fn noise(i: usize) -> f64 {
        ((i.wrapping_mul(2_654_435_761) >> 7) % 2001) as f64 / 1000.0 - 1.0
    }

    fn page(columns: Vec<(String, Value)>, rows: usize) -> String {
        let fill = |(name, value): (String, Value)| {
            let mut column = Column::new(name);
            (0..rows).for_each(|i| column.push(Entry::Number(value(i))));
            column
        };
        let part = Part { name: "a<b>.csv".into(), table: Data { columns: columns.into_iter().map(fill).collect() } };
        html(&profile(&[part], &Options::default()).unwrap(), "a<b>.csv", "2026-01-31")
    }

    #[test]
    fn everything_is_drawn_in_a_page_that_is_whole_in_itself() {
        let hostile = "<script>alert(1)</script>`\u{202e}\"'&".to_string();
        let html = page(
            vec![
                ("speed_set".into(), Box::new(|i| [10.0, 20.0][i / 300 % 2])),
                ("load_set".into(), Box::new(|i| [1.5, 4.5, 9.5][i / 600 % 3])),
                ("flow".into(), Box::new(|i| [10.0, 20.0][i / 300 % 2] + noise(i))),
                (hostile, Box::new(|i| if i % 97 == 0 { f64::NAN } else { noise(i * 31 + 7) })),
            ],
            1_800,
        );
        well_formed(&html).unwrap();
        assert!(html.len() < 300_000 && !html.contains("<script") && !html.contains('\u{202e}'));
        for part in
            ["Settings and their combinations", "Correlations", "Missing values", "Distributions", "[[machines.settings]]", "2026-01-31"]
        {
            assert!(html.contains(part), "{part}");
        }
        assert!(html.contains("speed_set=10;load_set=1.5") && html.contains("outside the envelope"));
    }

    #[test]
    fn five_hundred_columns_stay_below_the_limit_and_what_is_left_out_is_said() {
        let columns =
            (0..500usize).map(|c| (format!("column with a long name {c}"), Box::new(move |i: usize| noise(i * 500 + c)) as Value));
        let html = page(columns.collect(), 300);
        well_formed(&html).unwrap();
        assert!(html.len() < 300_000, "{}", html.len());
        assert!(html.contains("more columns are not shown") && html.contains("more distributions are not shown"));
    }

    #[test]
    fn one_row_and_nothing_to_draw() {
        let html = page(vec![("x".into(), Box::new(|_| 1.0)), ("y".into(), Box::new(|_| f64::NAN))], 1);
        well_formed(&html).unwrap();
        assert!(html.contains("no column looks like a signal"));
    }
}
