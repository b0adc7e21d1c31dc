//! `driftgate compare` through the binary.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value as Json;

fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftgate")).args(args).current_dir(dir).output().unwrap()
}

/// Compares `r.csv` with `c.csv`.
fn compare(dir: &Path, more: &[&str]) -> Json {
    let out = run(dir, &[&["compare", "--reference", "r.csv", "--current", "c.csv", "--json"][..], more].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn write(dir: &Path, name: &str, header: &str, rows: impl IntoIterator<Item = String>) {
    let mut text = format!("{header}\n");
    rows.into_iter().for_each(|row| writeln!(text, "{row}").unwrap());
    std::fs::write(dir.join(name), text).unwrap();
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn column<'a>(json: &'a Json, name: &str) -> &'a Json {
    json["columns"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap()
}

#[test]
fn the_json_has_one_entry_a_column_and_null_for_what_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (name, shift, recipe) in [("r.csv", 0.0, "B"), ("c.csv", 3.0, "new")] {
        let rows = (0..300).map(|i| {
            let recipe = if i % 2 == 0 { "A" } else { recipe };
            format!("{},{},{recipe},7,", normal(&mut rng), normal(&mut rng) + shift)
        });
        write(dir.path(), name, "same,moved,recipe,constant,dead", rows.collect::<Vec<_>>());
    }
    let json = compare(dir.path(), &[]);
    let same = column(&json, "same");
    assert_eq!((&same["kind"], &same["regime"]), (&Json::from("numerical"), &Json::Null));
    assert_eq!((&same["n_reference"], &same["n_current"]), (&Json::from(300), &Json::from(300)));
    let metric = &same["metrics"][0];
    let fields: Vec<&String> = metric.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["name", "statistic", "p_value", "score", "threshold", "drifted", "not_applicable"]);
    assert_eq!((&metric["name"], &metric["drifted"]), (&Json::from("kolmogorov_smirnov"), &Json::from(false)));
    assert_eq!(column(&json, "moved")["metrics"][0]["drifted"], true);
    // an unseen class
    assert_eq!(column(&json, "recipe")["kind"], "categorical");
    assert_eq!(column(&json, "recipe")["metrics"][0]["name"], "chi_squared");
    assert_eq!(column(&json, "recipe")["metrics"][0]["drifted"], true);
    assert_ne!(column(&json, "constant")["metrics"][0]["drifted"], true);
    let dead = &column(&json, "dead")["metrics"][0];
    assert!(dead["score"].is_null() && dead["drifted"].is_null(), "{dead}");
    assert!(dead["not_applicable"].as_str().unwrap().contains("no value"), "{dead}");
    let summary = &json["summary"];
    assert_eq!((&summary["columns"], &summary["thresholds"]), (&Json::from(5), &Json::from("uncalibrated")));
    assert_eq!(summary["drifted_columns"], serde_json::json!(["moved", "recipe"]));
}

#[test]
fn verdicts_do_not_depend_on_the_unit() {
    let mut verdicts = Vec::new();
    for unit in [1.0, 1e-9, 1e9] {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for (name, shift) in [("r.csv", 0.0), ("c.csv", 0.8)] {
            let rows = (0..200).map(|_| format!("{:e},{:e}", normal(&mut rng) * unit, (normal(&mut rng) + shift) * unit));
            write(dir.path(), name, "a,b", rows.collect::<Vec<_>>());
        }
        let json = compare(dir.path(), &["--metrics", "all"]);
        let all = json["columns"].as_array().unwrap().iter().flat_map(|c| c["metrics"].as_array().unwrap());
        verdicts.push(all.map(|m| (m["name"].clone(), m["drifted"].clone())).collect::<Vec<_>>());
    }
    assert_eq!(verdicts[0].len(), 26);
    assert!(verdicts[0].iter().any(|(_, drifted)| drifted == true) && verdicts[0].iter().any(|(_, drifted)| drifted == false));
    assert_eq!(verdicts[0], verdicts[1]);
    assert_eq!(verdicts[0], verdicts[2]);
}

/// Three voltages, the same current at each; the mix of voltages is another in the current file.
#[test]
fn another_mix_of_settings_is_no_drift_within_each_setting() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut row = |voltages: &[f64]| {
        let voltage = voltages[rng.gen_range(0..voltages.len())];
        format!("{},{}", voltage + 0.3 * normal(&mut rng), 0.02 * voltage + 0.1 * normal(&mut rng))
    };
    let reference: Vec<_> = (0..1_000).map(|_| row(&[164.0, 220.0, 289.0])).collect();
    let current: Vec<_> = (0..300).map(|_| row(&[220.0, 220.0, 220.0, 220.0, 164.0, 350.0])).collect();
    write(dir.path(), "r.csv", "voltage,current", reference);
    write(dir.path(), "c.csv", "voltage,current", current);
    let pooled = compare(dir.path(), &["--ignore", "voltage"]);
    assert_eq!(pooled["summary"]["drifted_columns"], serde_json::json!(["current"]));
    let each = compare(dir.path(), &["--settings", "voltage~5"]);
    assert_eq!(each["summary"]["drifted_columns"], serde_json::json!([]), "{each}");
    let count = |list: &str| each["summary"][list].as_array().unwrap().len();
    assert_eq!((count("regimes"), count("outside"), count("unseen")), (2, 1, 1), "{each}");
    assert!(each["summary"]["outside"][0].as_str().unwrap().starts_with("voltage=3"));
    assert!(each["columns"].as_array().unwrap().iter().all(|c| c["name"] == "current" && c["regime"].is_string()));
}

#[test]
fn mode_evidently_gives_the_scores_of_the_golden_file() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/golden.json")).unwrap();
    let golden: Json = serde_json::from_str(&text).unwrap();
    let mut compared = 0;
    for case in golden["cases"].as_array().unwrap() {
        if !["P-N-003", "P-N-013", "P-N-016", "P-N-036", "P-N-096", "P-C-003", "P-C-054"].contains(&case["id"].as_str().unwrap()) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        for (file, values, counts) in [("r.csv", "ref", "ref_counts"), ("c.csv", "cur", "cur_counts")] {
            let rows: Vec<String> = match case[values].as_array() {
                Some(numbers) => {
                    numbers.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_string)).map(|t| t + ",x").collect()
                }
                None => {
                    let classes = case[counts].as_object().unwrap();
                    classes.iter().flat_map(|(c, n)| vec![format!("{c},x"); n.as_u64().unwrap() as usize]).collect()
                }
            };
            write(dir.path(), file, "v,other", rows.iter().map(|r| r.replace("null", "")));
        }
        let json = compare(dir.path(), &["--mode", "evidently", "--metrics", "all"]);
        let metrics = column(&json, "v")["metrics"].as_array().unwrap();
        for (name, theirs) in case["expected"]["evidently"].as_object().unwrap() {
            let Ok(metric) = name.parse::<driftgate::drift::Metric>() else { continue };
            // drawn at random on both sides
            if ["mmd", "total_variation"].contains(&metric.name()) {
                continue;
            }
            let ours = metrics.iter().find(|m| m["name"] == metric.name()).unwrap();
            let place = format!("{} {name}: {ours} is not {theirs}", case["id"]);
            match theirs["score"].as_f64() {
                None => assert!(ours["not_applicable"].is_string(), "{place}"),
                Some(score) => {
                    assert!((ours["score"].as_f64().unwrap() - score).abs() <= 1e-6 + 1e-6 * score, "{place}");
                    assert_eq!((&ours["drifted"], &ours["threshold"]), (&theirs["drifted"], &theirs["threshold"]), "{place}");
                }
            }
            compared += 1;
        }
    }
    assert!(compared >= 70, "{compared}");
}

#[test]
fn wrong_usage_is_2_and_bad_data_are_1() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "r.csv", "a", ["1".into(), "2".into()]);
    write(dir.path(), "none.csv", "a", []);
    std::fs::write(dir.path().join("empty.csv"), "").unwrap();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["r.csv", "--settings", "b"], 2, "no column `b`; they have `a`"),
        (&["r.csv", "--numerical", "b"], 2, "no column `b`"),
        (&["r.csv", "--settings", "a~0"], 2, "tolerance above 0"),
        (&["r.csv", "--metrics", "ksx"], 2, "kolmogorov_smirnov"),
        (&["none.csv"], 1, "no rows"),
        (&["empty.csv"], 1, "no header"),
        (&["missing.csv"], 1, "missing.csv"),
    ];
    for (args, code, message) in cases {
        let out = run(dir.path(), &[&["compare", "--reference", "r.csv", "--current"][..], args].concat());
        let text = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(message), "{args:?}: {text}");
    }
}

#[test]
fn choose_finds_what_separates_and_says_it_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for (name, rows, shift) in [("r.csv", 500, 0.0), ("n.csv", 1_000, 0.0), ("d.csv", 400, 2.0)] {
        let rows = (0..rows).map(|_| format!("{},{}", normal(&mut rng), normal(&mut rng) + shift));
        write(dir.path(), name, "same,moved", rows.collect::<Vec<_>>());
    }
    let args = ["choose", "--reference", "r.csv", "--normal", "n.csv", "--drifted", "d.csv", "--window", "100"];
    let out = run(dir.path(), &[&args[..], &["--json"]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let json: Json = serde_json::from_slice(&out.stdout).unwrap();
    let best = &column(&json, "moved")["metrics"][0];
    assert_eq!(
        (&best["separation"], &best["false_alarms"], &best["delay_rows"]),
        (&Json::from(1.0), &Json::from(0.0), &Json::from(100)),
        "{best}"
    );
    assert_eq!(json["overall"][0]["separation"], 1.0);
    assert!(json["recommendation"].as_str().unwrap().contains("0 of 10 normal windows"), "{json}");
    let out = run(dir.path(), &args);
    assert!(String::from_utf8_lossy(&out.stdout).contains("drift is flagged after 100 rows"));
    let out = run(dir.path(), &[&args[..8], &["600"]].concat());
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn the_table_says_why_and_what_is_outside() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "r.csv", "load,a,b", (0..50).map(|i| format!("40,{i},")));
    write(dir.path(), "c.csv", "load,a,b", (0..50).map(|i| format!("{},{i},", if i < 25 { 40 } else { 60 })));
    let out = run(dir.path(), &["compare", "--reference", "r.csv", "--current", "c.csv", "--settings", "load"]);
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success());
    assert!(text.contains("outside: load=60 is only in the current data"), "{text}");
    assert!(text.contains("not applicable: the reference data have no value"), "{text}");
}
