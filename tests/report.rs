//! The reports of `compare` and `replay`: whole in themselves, bounded, safe against hostile names, the same for the same data.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use driftgate::comparison::{Column, Comparison, Entry, Metrics, Options, Table, compare_with};
use driftgate::report::{About, comparison};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

#[path = "../src/report/check.rs"]
mod check;

const MOST: usize = 300_000;

fn column(name: &str, entries: impl IntoIterator<Item = f64>) -> Column {
    let mut column = Column::new(name);
    entries.into_iter().for_each(|x| column.push(Entry::Number(x)));
    column
}

fn normal(rng: &mut ChaCha8Rng, n: usize, mean: f64) -> Vec<f64> {
    (0..n).map(|_| mean + Distribution::<f64>::sample(&StandardNormal, rng)).collect()
}

fn report(reference: &Table, current: &Table, options: &Options) -> (Comparison, String) {
    let mut pictures = comparison::Pictures::default();
    let answer = compare_with(reference, current, options, &mut |_, samples| pictures.take(samples)).unwrap();
    let about = About { subject: "current against reference".into(), facts: vec![], made: "2026-01-31 12:00 UTC".into() };
    let html = comparison::html(&answer, &pictures, &about);
    check::well_formed(&html).unwrap();
    assert!(html.len() < MOST, "{}", html.len());
    (answer, html)
}

#[test]
fn two_hundred_columns_in_four_regimes_stay_small_and_the_drifted_come_first() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut table = |shift: f64| {
        let long = "a name that is longer than anybody would like to read in a table of two hundred columns ".repeat(3);
        let mut columns: Vec<Column> =
            (0..200).map(|k| column(&format!("{long}{k}"), normal(&mut rng, 800, if k == 123 { shift } else { 0.0 }))).collect();
        columns.push(column("load", (0..800).map(|i| f64::from(i % 4))));
        columns[123].name = "the one".into();
        Table { columns }
    };
    let (reference, current) = (table(0.0), table(2.0));
    let options = Options { settings: vec!["load".parse().unwrap()], metrics: Metrics::All, ..Options::default() };
    let (answer, html) = report(&reference, &current, &options);
    assert_eq!(answer.summary.drifted_columns, ["the one"]);
    assert!(html.contains("1 of 200 columns has drifted: the one at load="));
    assert!(html.find("the one").unwrap() < html.find("a name that").unwrap());
    // what is left out is said
    assert!(html.contains("more are not listed") && html.contains("are not drawn"));
    let drawn = html.matches("Distribution of ").count();
    assert!((60..800).contains(&drawn), "{drawn}");
    assert_eq!(html, report(&reference, &current, &options).1, "the same data give the same bytes");
}

#[test]
fn hostile_names_and_odd_columns_break_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let hostile = "<script>alert(\"x\")</script> & 'y' \u{202e}evil </title></style> \u{0} 温度 µ";
    let mut side = |shift: f64| {
        let mut classes = Column::new("classes <b>");
        (0..90).for_each(|i| classes.push(Entry::Text(["<i>", "&amp;", "\"q\" onload=\"x\""][i % 3])));
        let columns = vec![
            column(hostile, normal(&mut rng, 90, shift)),
            column("empty", [f64::NAN; 90]),
            column("constant", [7.0; 90]),
            column("huge", (0..90).map(|i| if i % 2 == 0 { 1e308 } else { -1e308 })),
            column("tiny", (0..90).map(|i| 1e-310 * f64::from(i))),
            column("one value", (0..90).map(|i| if i == 0 { 1.0 } else { f64::NAN })),
            classes,
        ];
        Table { columns }
    };
    let (reference, mut current) = (side(0.0), side(3.0));
    current.columns.push(column("only here", [1.0; 90]));
    let (answer, html) = report(&reference, &current, &Options::default());
    assert!(answer.summary.drifted_columns.contains(&hostile.to_string()));
    assert!(html.contains("&lt;script&gt;alert(&quot;x&quot;)") && !html.contains('\u{202e}') && !html.contains('\u{0}'));
    assert!(html.contains("the reference data have no such column"));
    let all = Options { metrics: Metrics::All, ..Options::default() };
    report(&reference, &current, &all);
    // a single row, and no overlap of settings
    let row = |x: f64| Table { columns: vec![column("a", [x]), column("load", [x])] };
    let options = Options { settings: vec!["load".parse().unwrap()], ..Options::default() };
    let (_, html) = report(&row(1.0), &row(2.0), &options);
    assert!(html.contains("Outside: no verdict"));
}

#[test]
fn checks_pass_on_the_same_process_and_fail_where_they_should() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut healthy_fails, mut slow_fails) = (0, 0);
    for _ in 0..40 {
        let slow = |rng: &mut ChaCha8Rng| {
            let mut x = 0.0;
            let next = |e: f64| {
                x = 0.95 * x + e;
                x
            };
            column("slow", normal(rng, 400, 0.0).into_iter().map(next))
        };
        let mut side = || Table { columns: vec![column("same", normal(&mut rng, 400, 0.0)), slow(&mut rng)] };
        let (answer, _) = report(&side(), &side(), &Options::default());
        let fails = |column: &str| answer.checks.iter().filter(|c| c.column.as_deref() == Some(column) && c.passed == Some(false)).count();
        healthy_fails += fails("same");
        slow_fails += fails("slow");
    }
    // of 120 and 120
    assert!(healthy_fails <= 1 && slow_fails <= 6, "{healthy_fails} {slow_fails}");
    let gaps = normal(&mut rng, 400, 4.0).into_iter().map(|x| if rng.r#gen::<f64>() < 0.2 { f64::NAN } else { x });
    let current = Table { columns: vec![column("a", gaps.collect::<Vec<_>>())] };
    let reference = Table { columns: vec![column("a", normal(&mut ChaCha8Rng::seed_from_u64(4), 400, 0.0))] };
    let (answer, html) = report(&reference, &current, &Options::default());
    let json = serde_json::to_value(&answer).unwrap();
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(
        checks.iter().map(|c| c["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["range", "missing_share", "mean_in_band", "drifted_share"]
    );
    assert!(checks.iter().all(|c| c["passed"] == false), "{checks:?}");
    let keys: Vec<&String> = checks[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["name", "column", "regime", "value", "limit", "passed"]);
    assert!(checks[3]["column"].is_null() && html.contains("0 passed, 4 failed"));
}

const CONFIG: &str = r#"
[replay]
unit_column = "unit"
time_column = "time"
[[machines]]
name = "Pump"
learn_rows = 400
signals = [{ name = "Flow" }, { name = "Heat", unit = "°C" }, { name = "Dead" }]
[[machines.settings]]
name = "Speed"
tolerance = 5.0
[[machines.models]]
name = "Bearing"
inputs = ["Flow", "Heat"]
[machines.data_drift]
tests = [{ metric = "kolmogorov_smirnov", threshold = 1e-6 }, { metric = "wasserstein", threshold = 0.8 }]
window_rows = 60
hop = 10
consecutive_limit = 2
"#;

/// Runs a replay of units; `drifting` of them drift at 50 from row 1,000 on. Returns the page.
fn replay(dir: &Path, units: usize, drifting: usize) -> String {
    std::fs::write(dir.join("pump.toml"), CONFIG).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut csv = String::from("time,unit,Speed,Flow,Heat,Dead\n");
    for unit in 0..units {
        for i in 0..1_600 {
            let speed = if (1_200..1_240).contains(&i) {
                90.0
            } else if i / 100 % 2 == 0 {
                50.0
            } else {
                70.0
            };
            let drift = if unit < drifting && i >= 1_000 && speed < 60.0 { 2.0 } else { 0.0 };
            let (a, b): (f64, f64) = (StandardNormal.sample(&mut rng), StandardNormal.sample(&mut rng));
            writeln!(csv, "{i},<u>{unit},{speed},{},{},", speed / 10.0 + a + drift, 40.0 + b).unwrap();
        }
    }
    std::fs::write(dir.join("pump.csv"), csv).unwrap();
    let args = ["replay", "--config", "pump.toml", "--input", "pump.csv", "--report", "pump.html"];
    let out = Command::new(env!("CARGO_BIN_EXE_driftgate")).args(args).current_dir(dir).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let html = std::fs::read_to_string(dir.join("pump.html")).unwrap();
    check::well_formed(&html).unwrap();
    assert!(html.len() < MOST, "{}", html.len());
    html
}

/// Without the line that says when it was made.
fn undated(html: &str) -> String {
    html.lines().filter(|l| !l.starts_with("<footer>")).collect()
}

#[test]
fn a_run_tells_which_feature_drifted_where_and_since_when() {
    let dir = tempfile::tempdir().unwrap();
    let html = replay(dir.path(), 1, 1);
    assert!(
        html.contains("Drift since row 1,") && html.contains("Most of all Flow at Speed=50"),
        "{}",
        &html[html.find("<header").unwrap()..][..900]
    );
    assert!(html.contains("40 rows were outside") && html.contains("Speed=90") && html.contains("tolerances off"));
    for part in ["Over time", "Features", "Distributions and histories", "Regimes and envelope", "Monitors", "Models", "Events"] {
        assert!(html.contains(&format!(">{part}</h2>")), "{part}");
    }
    assert!(html.contains("Bearing: score") && html.contains("Distribution of Dead"));
    assert_eq!(undated(&html), undated(&replay(dir.path(), 1, 1)));
}

#[test]
fn many_units_are_ranked_and_the_healthy_are_not_blamed() {
    let dir = tempfile::tempdir().unwrap();
    let html = replay(dir.path(), 12, 2);
    assert!(html.contains("2 of 12 units end in drift"), "{}", &html[html.find("<header").unwrap()..][..900]);
    let table = &html[html.find("<caption>Units").unwrap()..];
    let first: Vec<&str> = table.split("<th scope=\"row\">").skip(1).take(2).collect();
    assert!(first.iter().all(|row| row.starts_with("&lt;u&gt;0<") || row.starts_with("&lt;u&gt;1<")), "{first:?}");
    assert!(html.contains("8 less affected units are not drawn"));
}
