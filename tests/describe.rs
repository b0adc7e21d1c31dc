//! `driftgate describe` through the binary.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value as Json;

fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftgate")).args(args).current_dir(dir).env_remove("COLUMNS").output().unwrap()
}

fn stdout(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout.clone()).unwrap()
}

/// A pump at two speeds, recorded every second: a flow that follows the speed, a vibration that does not, a recipe.
fn pump(dir: &Path, name: &str, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let mut text = String::from("time,speed_set,flow,vibration,recipe,note\n");
    for i in 0..2_400 {
        let speed = if i / 600 % 2 == 0 { 1450.0 } else { 2900.0 };
        let (flow, vibration) = (speed / 100.0 + normal() * 0.3, 2.0 + normal() * 0.2);
        let recipe = if i / 1200 == 0 { "A" } else { "B" };
        let note = if i % 50 == 0 { "NA" } else { "1" };
        writeln!(text, "2026-01-31 12:{:02}:{:02},{speed},{flow},{vibration},{recipe},{note}", i / 60, i % 60).unwrap();
    }
    std::fs::write(dir.join(name), text).unwrap();
}

#[test]
fn text_json_and_report_of_one_file() {
    let dir = tempfile::tempdir().unwrap();
    pump(dir.path(), "pump.csv", 1);
    let text = stdout(&run(dir.path(), &["describe", "pump.csv"]));
    assert!(
        text.starts_with("2400 rows, 6 columns\ntime `time`: 2026-01-31T12:00:00.000Z to 2026-01-31T12:39:59.000Z, every 1 s"),
        "{text}"
    );
    assert!(text.contains("speed_set=1450;recipe=A") && text.contains("tolerance = 200.0"), "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");

    let out = run(dir.path(), &["describe", "pump.csv", "--json", "--report", "pump.html"]);
    let json: Json = serde_json::from_str(&stdout(&out)).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    let expected = [
        "rows",
        "series",
        "files",
        "units",
        "time",
        "columns",
        "settings",
        "also_settings",
        "combinations",
        "correlations",
        "duplicates",
        "suggested",
        "findings",
    ];
    assert_eq!(keys, expected);
    let columns = json["columns"].as_array().unwrap();
    let roles: Vec<&str> = columns.iter().map(|c| c["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["time", "setting", "signal", "signal", "setting", "constant"]);
    assert_eq!(json["combinations"]["count"], 4);
    assert!(columns[2]["settings"]["share"].as_f64().unwrap() > 0.99 && columns[3]["settings"]["share"].as_f64().unwrap() < 0.02);
    assert!(columns[4]["numbers"].is_null() && columns[5]["missing"]["count"] == 48);
    assert_eq!(json["settings"][0]["condition"], serde_json::json!({ "tolerance": 200.0 }));

    let page = std::fs::read_to_string(dir.path().join("pump.html")).unwrap();
    assert!(page.len() < 300_000 && page.starts_with("<!DOCTYPE html>"), "{}", page.len());
    assert!(page.contains("speed_set=1450;recipe=A") && !page.contains("<script") && !page.contains("http"));
}

#[test]
fn the_emitted_configuration_is_checked_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    pump(dir.path(), "pump.csv", 2);
    let toml = stdout(&run(dir.path(), &["describe", "pump.csv", "--emit-config"]));
    std::fs::write(dir.path().join("start.toml"), &toml).unwrap();
    stdout(&run(dir.path(), &["check", "--config", "start.toml"]));
    let summary = stdout(&run(dir.path(), &["replay", "--config", "start.toml", "--input", "pump.csv", "--json"]));
    let summary: Json = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["rows"], 2_400, "{toml}");
    // learned from two speeds of the first recipe and one of the second; the last combination was never learned
    assert_eq!(summary["learning"], 1_400, "{summary}");
    assert_eq!(
        (&summary["rows_per_regime"]["speed_set=1450;recipe=B"], &summary["outside"]),
        (&Json::from(400), &Json::from(600)),
        "{summary}"
    );
}

#[test]
fn several_files_are_profiled_together() {
    let dir = tempfile::tempdir().unwrap();
    pump(dir.path(), "one.csv", 3);
    std::fs::write(dir.path().join("two.csv"), "speed_set,flow,pressure\n1450,14,1\n1450,15,2\n").unwrap();
    let out = stdout(&run(dir.path(), &["describe", "one.csv@line=1@rows=1-1200", "two.csv@line=2", "--json"]));
    let json: Json = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["rows"], &json["series"]), (&Json::from(1_202), &Json::from(2)));
    assert_eq!(json["files"][0]["lacks"], serde_json::json!(["pressure"]));
    assert_eq!(json["files"][1]["lacks"], serde_json::json!(["time", "vibration", "recipe", "note"]));
    assert!(json["findings"].as_array().unwrap().iter().any(|f| f["code"] == "files_differ"));
}

#[test]
fn bad_data_and_wrong_usage_have_their_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("empty.csv", "");
    write("header.csv", "a,b\n");
    write("fine.csv", "a,b\n1,x\n2,y\n");
    write("letters.csv", &("id\n".to_string() + &(0..900).map(|i| format!("part{i}\n")).collect::<String>()));
    let cases: &[(&[&str], i32, &str)] = &[
        (&["describe", "empty.csv"], 1, "no header"),
        (&["describe", "header.csv"], 1, "no rows"),
        (&["describe", "none.csv"], 1, "none.csv"),
        (&["describe", "fine.csv", "--settings", "c"], 2, "`c`"),
        (&["describe", "fine.csv", "--settings", "a~-1"], 2, "no setting"),
        (&["describe", "fine.csv", "--ignore", "a,b"], 2, "no column is left"),
        (&["describe", "fine.csv", "--numerical", "a", "--categorical", "a"], 2, "`a`"),
        (&["describe", "letters.csv", "--settings", "id"], 2, "cannot be a setting"),
        (&["describe", "fine.csv", "--json", "--emit-config"], 2, "cannot be used with"),
        (&["describe"], 2, "DATA"),
        (&["describe", "letters.csv", "--emit-config"], 1, "no column can be a signal"),
        (&["describe", "fine.csv", "--report", "no/such/dir.html"], 1, "cannot write the report"),
    ];
    for (args, code, says) in cases {
        let out = run(dir.path(), args);
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(*code), "{args:?}: {error}");
        assert!(error.contains(says), "{args:?}: {error}");
    }
    stdout(&run(dir.path(), &["describe", "fine.csv"]));
}
