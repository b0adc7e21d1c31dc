//! The profile as a whole: what it takes for what, and what it makes of bad data.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::*;
use crate::comparison::{Column, Entry, Table};
use crate::config::{Conditioning, Config};
use crate::drift::metric::Kind;

/// Columns of texts; what is a number is one, what is empty is missing.
fn part(name: &str, columns: Vec<(&str, Vec<String>)>) -> Part {
    let fill = |(name, cells): (&str, Vec<String>)| {
        let mut column = Column::new(name);
        for cell in &cells {
            column.push(match cell.parse() {
                _ if cell.is_empty() => Entry::Missing,
                Ok(x) => Entry::Number(x),
                Err(_) => Entry::Text(cell),
            });
        }
        column
    };
    Part { name: name.into(), table: Table { columns: columns.into_iter().map(fill).collect() } }
}

fn cells<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|v| v.to_string()).collect()
}

fn of(columns: Vec<(&str, Vec<String>)>) -> Profile {
    profile(&[part("f.csv", columns)], &Options::default()).unwrap()
}

fn column<'a>(profile: &'a Profile, name: &str) -> &'a ColumnProfile {
    profile.columns.iter().find(|c| c.name == name).unwrap()
}

fn codes(profile: &Profile) -> Vec<&'static str> {
    profile.findings.iter().map(|f| f.code).collect()
}

fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    move || StandardNormal.sample(&mut rng)
}

/// A motor at 164, 289 and 230 V in turns of 500 rows, its current with them, a vibration of its own, a slow temperature, a fan that
/// toggles, and what else a recording has.
fn motor(rows: usize) -> Vec<(&'static str, Vec<String>)> {
    let mut e = noise(1);
    let voltage: Vec<f64> = (0..rows).map(|i| [164.0, 289.0, 230.0][i / 500 % 3]).collect();
    let measured: Vec<f64> = voltage.iter().map(|v| v + 0.2 * e()).collect();
    let current: Vec<f64> = voltage.iter().map(|v| v / 50.0 + 0.1 * e()).collect();
    let vibration: Vec<f64> = (0..rows).map(|_| 1.0 + 0.1 * e()).collect();
    let mut t = 0.0;
    let mut slow = || {
        t = 0.9 * t + e();
        t
    };
    let temperature: Vec<f64> = (0..rows).map(|_| 40.0 + slow()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    vec![
        ("time", cells((0..rows).map(|i| format!("2026-01-31T12:{:02}:{:02}Z", i / 60 % 60, i % 60)))),
        ("index", cells(0..rows)),
        ("voltage", cells(measured)),
        ("current", cells(current)),
        ("vibration", cells(vibration)),
        ("temperature", cells(temperature)),
        ("fan", cells((0..rows).map(|_| u8::from(rng.gen_bool(0.5))))),
        ("serial", vec!["A-17".into(); rows]),
        ("fault", cells((0..rows).map(|i| u8::from(i > rows * 9 / 10)))),
        ("dead", vec![String::new(); rows]),
    ]
}

#[test]
fn a_setting_is_told_from_what_follows_it_and_from_what_toggles() {
    let found = of(motor(3_000));
    assert_eq!(found.settings.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["voltage"]);
    assert_eq!(found.settings[0].condition, Condition::Tolerance(10.0));
    let keys: Vec<(&str, usize, usize)> = found.combinations.list.iter().map(|c| (c.key.as_str(), c.rows, c.visits)).collect();
    assert_eq!(keys, [("voltage=164", 1000, 2), ("voltage=230", 1000, 2), ("voltage=289", 1000, 2)]);
    let roles: Vec<Role> = found.columns.iter().map(|c| c.role).collect();
    use Role::*;
    assert_eq!(roles, [Time, Counter, Setting, Signal, Signal, Signal, Class, Constant, Label, Empty]);
    let share = |name| column(&found, name).settings.as_ref().unwrap().share.unwrap();
    assert!(share("current") > 0.98 && share("vibration") < 0.02, "{} {}", share("current"), share("vibration"));
    let order = |name| column(&found, name).order.clone().unwrap();
    assert!(order("vibration").memory < 2.0 && (12.0..30.0).contains(&order("temperature").memory));
    assert!(found.columns.iter().filter_map(|c| c.order.as_ref()).all(|o| o.stationarity == Stationarity::Stationary));
    let time = found.time.as_ref().unwrap();
    assert_eq!((time.column.as_str(), time.interval_median, time.gaps, time.backward), ("time", Some(1.0), 0, 0));
    assert!(found.suggested.window_rows.is_some_and(|w| (350..=600).contains(&w)), "{:?}", found.suggested);
    for code in ["empty", "constant", "settings_matter", "settings_detected"] {
        assert!(codes(&found).contains(&code), "{code} in {:?}", codes(&found));
    }
}

#[test]
fn what_is_found_does_not_depend_on_the_unit() {
    for unit in [1e-9, 1e9] {
        let mut columns = motor(3_000);
        for (name, values) in &mut columns {
            if ["voltage", "current", "vibration", "temperature"].contains(name) {
                values.iter_mut().for_each(|v| *v = format!("{:e}", v.parse::<f64>().unwrap() * unit));
            }
        }
        let (one, other) = (of(motor(3_000)), of(columns));
        assert_eq!(one.columns.iter().map(|c| c.role).collect::<Vec<_>>(), other.columns.iter().map(|c| c.role).collect::<Vec<_>>());
        let rows = |p: &Profile| p.combinations.list.iter().map(|c| c.rows).collect::<Vec<_>>();
        assert_eq!(rows(&one), rows(&other));
        assert_eq!(codes(&one), codes(&other));
        let memory = |p: &Profile| column(p, "temperature").order.as_ref().unwrap().memory;
        assert!((memory(&one) / memory(&other) - 1.0).abs() < 1e-6);
    }
}

#[test]
fn named_settings_are_taken_as_they_are_named() {
    let parts = [part("f.csv", motor(3_000))];
    let settings = |texts: &[&str]| Options { settings: Some(texts.iter().map(|t| t.parse().unwrap()).collect()), ..Options::default() };
    let found = profile(&parts, &settings(&["voltage~100", "fan"])).unwrap();
    assert_eq!(found.settings[0].chosen, Chosen::Named);
    assert_eq!((found.settings[0].levels.len(), &found.settings[1].condition), (1, &Condition::Category));
    assert_eq!(found.combinations.count, 2);
    let found = profile(&parts, &settings(&["temperature"])).unwrap();
    assert!(matches!(&found.settings[0].condition, Condition::Bins(edges) if edges.len() == 6), "{:?}", found.settings[0].condition);
    assert!(found.combinations.list.iter().all(|c| c.rows > 300), "{:?}", found.combinations.list);
    let found = profile(&parts, &settings(&[])).unwrap();
    assert!(found.settings.is_empty() && column(&found, "current").settings.is_none());
    for (texts, what) in [(vec!["volt"], "volt"), (vec!["time"], "time"), (vec!["voltage", "voltage"], "voltage")] {
        let error = profile(&parts, &settings(&texts)).unwrap_err();
        assert!(error.to_string().contains(&format!("`{what}`")), "{error}");
    }
}

#[test]
fn values_that_differ_from_file_to_file_are_settings() {
    let file = |load: f64, seed: u64| {
        let mut e = noise(seed);
        part("f", vec![("load", cells(vec![load; 300])), ("a", cells((0..300).map(|_| e())))])
    };
    let found = profile(&[file(0.0, 1), file(40.0, 2), file(80.0, 3)], &Options::default()).unwrap();
    assert_eq!(found.combinations.list.iter().map(|c| c.key.as_str()).collect::<Vec<_>>(), ["load=0", "load=40", "load=80"]);
    assert_eq!((found.series, found.files.len()), (3, 3));
}

#[test]
fn units_are_found_and_time_may_differ_between_them() {
    let mut e = noise(3);
    let columns = vec![
        ("unit", cells((0..1_000).map(|i| i / 100))),
        ("t", cells((0..1_000).map(|i| (i % 100) * 2))),
        ("x", cells((0..1_000).map(|_| e()))),
    ];
    let found = of(columns);
    let units = found.units.as_ref().unwrap();
    assert_eq!((units.column.as_str(), units.count, units.rows_min, units.rows_max), ("unit", 10, 100, 100));
    let time = found.time.as_ref().unwrap();
    assert_eq!((time.interval_median, time.backward, time.unit), (Some(2.0), 0, TimeUnit::Seconds));
    assert_eq!(time.start.as_deref(), Some("0 s"));
}

#[test]
fn gaps_and_steps_back_of_time_are_counted_and_placed() {
    let mut seconds: Vec<f64> = (0..500).map(f64::from).collect();
    seconds[200..].iter_mut().for_each(|s| *s += 60.0);
    seconds[300..].iter_mut().for_each(|s| *s -= 10.0);
    seconds[400] = seconds[399];
    let mut e = noise(4);
    let found = of(vec![("timestamp", cells(&seconds)), ("x", cells(seconds.iter().map(|_| e())))]);
    let time = found.time.as_ref().unwrap();
    assert_eq!((time.gaps, time.backward, time.repeated), (1, 1, 1));
    assert_eq!(time.longest_gap, Some(Gap { seconds: 61.0, file: "f.csv".into(), row: 201 }));
    let warned = codes(&found);
    assert!(["time_gaps", "time_backward", "time_repeated"].iter().all(|c| warned.contains(c)), "{warned:?}");
}

#[test]
fn gaps_holds_and_copies_are_seen() {
    let mut e = noise(5);
    let mut x: Vec<String> = cells((0..1_000).map(|_| e()));
    (100..110).chain(500..600).for_each(|i| x[i].clear());
    let mut stuck: Vec<String> = cells((0..1_000).map(|_| e()));
    (300..400).for_each(|i| stuck[i] = "0.5".into());
    let mut rows = vec![("x", x.clone()), ("stuck", stuck), ("copy", x)];
    rows.iter_mut().for_each(|(_, v)| v[999] = v[998].clone());
    let found = of(rows);
    let missing = &column(&found, "x").missing;
    assert_eq!((missing.count, missing.runs, missing.longest_run), (110, 2, 100));
    assert_eq!(missing.map.as_ref().unwrap().iter().sum::<f64>().round(), 11.0);
    assert_eq!(column(&found, "stuck").longest_hold, 100);
    assert_eq!((found.duplicates.rows >= 1, found.duplicates.frozen_rows), (true, Some(1)));
    assert_eq!(found.duplicates.columns, [("x".to_string(), "copy".to_string())]);
    let warned = codes(&found);
    assert!(["missing", "stuck", "duplicate_column", "duplicate_rows"].iter().all(|c| warned.contains(c)), "{warned:?}");
}

#[test]
fn what_drifts_already_is_told() {
    let mut e = noise(6);
    let mut walk = 0.0;
    let columns = vec![
        (
            "walk",
            cells((0..2_000).map(|_| {
                walk += e();
                walk
            })),
        ),
        ("steady", {
            let mut e = noise(7);
            cells((0..2_000).map(|_| e()))
        }),
        ("rising", {
            let mut e = noise(8);
            cells((0..2_000).map(|i| e() + f64::from(i) / 500.0))
        }),
    ];
    let found = of(columns);
    let named = |code: &str| found.findings.iter().find(|f| f.code == code).map(|f| f.columns.clone());
    assert_eq!(named("wanders"), Some(vec!["walk".to_string()]));
    assert_eq!(named("trend"), Some(vec!["rising".to_string()]));
    assert!(codes(&found).contains(&"no_settings"));
}

#[test]
fn bad_data_get_a_clear_answer_each() {
    let none = profile(&[part("f", vec![("x", vec![])])], &Options::default()).unwrap_err();
    assert_eq!(none, ProfileError::Empty);
    assert_eq!(profile(&[], &Options::default()).unwrap_err(), ProfileError::Empty);
    let one = of(vec![("x", vec!["1.5".into()]), ("y", vec!["a".into()])]);
    assert_eq!((column(&one, "x").role, column(&one, "x").numbers.as_ref().unwrap().sd), (Role::Constant, None));
    assert!(codes(&one).contains(&"few_rows") && codes(&one).contains(&"no_signals"));
    assert!(matches!(one.config(), Err(ConfigError::NoSignals)));

    let mut e = noise(9);
    let mut texts: Vec<String> = cells((0..500).map(|_| e()));
    (0..10).for_each(|i| texts[i * 7] = "ERR".into());
    let mut wide: Vec<String> = cells((0..500).map(|_| e()));
    (wide[3], wide[5]) = ("inf".into(), "-inf".into());
    wide[8] = "NaN".into();
    let found = of(vec![("texts", texts), ("wide", wide), ("names", cells((0..500).map(|i| format!("part {i}"))))]);
    assert_eq!((column(&found, "texts").texts, column(&found, "texts").kind), (10, Kind::Numerical));
    assert_eq!((column(&found, "wide").infinite, column(&found, "wide").missing.count), (2, 3));
    assert_eq!((column(&found, "names").role, column(&found, "names").top.len()), (Role::Identifier, 10));
    assert!(codes(&found).contains(&"texts") && codes(&found).contains(&"infinite"));
}

#[test]
fn no_nan_in_json_whatever_the_numbers() {
    let extreme = ["1.7e308", "-1.7e308", "5e-324", "0", "-0", "1e200", "-1e-200"];
    let wide: Vec<String> = (0..200).map(|i| extreme[i * 5 % 7].to_string()).collect();
    let tiny: Vec<String> = (0..200).map(|i| format!("{}e-310", i % 9)).collect();
    let spike: Vec<String> = (0..200).map(|i| if i == 77 { "1e300".into() } else { (i % 10).to_string() }).collect();
    let found = of(vec![("wide", wide), ("tiny", tiny), ("spike", spike), ("set", cells((0..200).map(|i| i / 100)))]);
    let json = serde_json::to_value(&found).unwrap();
    assert!(json["columns"].as_array().unwrap().len() == 4 && json["units"].is_null());
    let text = found.text(80);
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}

#[test]
fn the_text_fits_its_width_and_leads_no_terminal_astray() {
    let mut columns = motor(1_500);
    let hostile = "evil\u{1b}[31m\n\u{202e}`name` with a very long tail that goes on and on and on";
    let mut e = noise(10);
    columns.push((hostile, cells((0..1_500).map(|_| e()))));
    let found = of(columns);
    for width in [40, 80, 100, 200] {
        let text = found.text(width);
        let long = text.lines().take_while(|l| !l.starts_with("to paste")).find(|l| l.chars().count() > width.max(60));
        assert_eq!(long, None, "{width}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'));
    }
    assert!(found.text(100).contains("3 combinations of settings"));
}

#[test]
fn many_columns_are_profiled_too() {
    let names: Vec<String> = (0..500).map(|i| format!("c{i}")).collect();
    let mut e = noise(11);
    let columns = names.iter().map(|n| (n.as_str(), cells((0..60).map(|_| e())))).collect();
    let found = of(columns);
    assert_eq!((found.columns.len(), found.correlations.columns.len(), found.correlations.columns_left_out), (500, 100, 400));
    assert!(found.text(80).contains("and 460 more columns"));
}

#[test]
fn the_configuration_is_accepted_and_says_the_same() {
    let mut columns = motor(3_000);
    let mut e = noise(12);
    columns.push(("Strom \"A\" [µA]", cells((0..3_000).map(|_| e()))));
    columns.push(("recipe", cells((0..3_000).map(|i| ["A", "B\u{1b}"][i / 1500]))));
    let found = of(columns);
    let toml = found.config().unwrap();
    let config = Config::parse(&toml).unwrap_or_else(|e| panic!("{e}\n{toml}"));
    let machine = &config.machines[0];
    let signals: Vec<&str> = machine.signals.iter().map(|s| s.column.as_str()).collect();
    assert_eq!(signals, ["current", "vibration", "temperature", "Strom \"A\" [µA]"]);
    let settings: Vec<(&str, &Conditioning)> = machine.settings.iter().map(|s| (&*s.name, &s.conditioning)).collect();
    assert_eq!(settings, [("voltage", &Conditioning::Tolerance(10.0)), ("recipe", &Conditioning::Category)]);
    assert_eq!(config.replay.time_column.as_deref(), Some("time"));
    assert!(machine.learn_rows >= machine.min_reference_rows && toml.contains("# left out: fault (a label, by its name)"), "{toml}");
    assert!(toml.lines().all(|l| !l.contains('\u{1b}')));
}

#[test]
fn columns_without_a_name_of_their_own_are_left_out_of_the_configuration() {
    let mut e = noise(13);
    let mut random = || cells((0..300).map(|_| e()));
    let found = of(vec![("x", random()), ("x.1", random()), ("column_3", random()), ("s.2", random())]);
    let config = Config::parse(&found.config().unwrap()).unwrap();
    let signals: Vec<&str> = config.machines[0].signals.iter().map(|s| s.column.as_str()).collect();
    assert_eq!(signals, ["x", "s.2"]);
}
