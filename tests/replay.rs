//! Train and replay through the binary: what an events file holds, and that the same input gives the same bytes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value as Json;

const CONFIG: &str = r#"
[gateway]
name = "test"
[replay]
time_column = "time"
[[machines]]
name = "M"
signals = ["a", "b"]
min_reference_rows = 100
[[machines.settings]]
name = "Voltage"
column = "volt"
tolerance = 5.0
[[machines.models]]
name = "Forest"
trees = 50
[machines.models.prediction_drift]
tests = [{ metric = "kolmogorov_smirnov", threshold = 0.0001 }, { metric = "wasserstein", threshold = 1.0 }]
window_rows = 100
[machines.data_drift]
tests = [{ metric = "kolmogorov_smirnov", threshold = 0.001 }, { metric = "wasserstein", threshold = 0.5 }]
window_rows = 100
hop = 20
consecutive_limit = 3
[machines.buffers]
target_rows = 300
rows_before = 50
"#;

/// A directory with `config.toml`, and CSV files of two signals that follow the voltage.
struct Bench {
    dir: tempfile::TempDir,
    rng: ChaCha8Rng,
    row: i64,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), CONFIG).unwrap();
        Self { dir, rng: ChaCha8Rng::seed_from_u64(11), row: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Rows of (voltage, shift of b in sd).
    fn file(&mut self, name: &str, phases: &[(usize, f64, f64)]) -> PathBuf {
        let mut text = String::from("time,unit,volt,a,b\n");
        for &(rows, volt, shift) in phases {
            for _ in 0..rows {
                self.row += 1;
                let (a, b): (f64, f64) = (StandardNormal.sample(&mut self.rng), StandardNormal.sample(&mut self.rng));
                let noise: f64 = StandardNormal.sample(&mut self.rng);
                let (a, b, v) = (volt / 10.0 + a, volt / 20.0 + b + shift, volt + noise * 0.3);
                writeln!(text, "{},{},{v},{a},{b}", self.row, self.row % 2).unwrap();
            }
        }
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_driftgate")).args(args).current_dir(self.dir.path()).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> Json {
        let out = self.run(args);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    fn train(&mut self) {
        self.file("fit.csv", &[(1500, 164.0, 0.0), (1500, 220.0, 0.0)]);
        let trained = self.ok(&["train", "--config", "config.toml", "--input", "fit.csv", "--out", "m.bundle", "--json"]);
        let keys: Vec<_> = trained["regimes"].as_array().unwrap().iter().map(|r| r["key"].as_str().unwrap()).collect();
        assert_eq!(keys, ["Voltage=164", "Voltage=220"]);
    }

    fn replay(&self, input: &str, events: &str, more: &[&str]) -> (Json, Vec<Json>) {
        let mut args = vec!["replay", "--config", "config.toml", "--bundle", "m.bundle", "--input", input, "--events", events, "--json"];
        args.extend(more);
        let summary = self.ok(&args);
        (summary, lines(&self.path(events)))
    }
}

fn lines(path: &Path) -> Vec<Json> {
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn statuses(events: &[Json], monitor: &str) -> Vec<(u64, String)> {
    let of = events.iter().filter(|e| e["event"] == "status" && e["monitor"] == monitor);
    of.map(|e| (e["row"].as_u64().unwrap(), e["status"].as_str().unwrap().to_string())).collect()
}

#[test]
fn a_setting_is_no_drift_and_a_drift_is_one() {
    let mut bench = Bench::new();
    bench.train();
    bench.file("day.csv", &[(500, 164.0, 0.0), (400, 289.0, 0.0), (400, 220.0, 0.0), (600, 164.0, 1.5), (900, 164.0, 0.0)]);
    let (summary, events) = bench.replay("day.csv", "e.jsonl", &[]);
    assert_eq!((summary["rows"].as_u64(), summary["outside"].as_u64()), (Some(2800), Some(400)));
    assert_eq!(summary["rows_per_regime"]["Voltage=220"].as_u64(), Some(400));
    assert_eq!((summary["drifts"].as_u64(), summary["faults"].as_u64()), (Some(1), Some(0)));
    for event in &events {
        for key in ["unit", "row", "time", "event", "monitor", "status", "regime", "feature", "value", "threshold"] {
            assert!(event.get(key).is_some(), "{key} is missing in {event}");
        }
    }
    let machine = statuses(&events, "machine");
    assert_eq!(machine[0].0, 1, "one status line on the first row");
    assert!(machine.iter().any(|(row, s)| *row == 501 && s == "NotEvaluated"));
    let (row, _) = machine.iter().find(|(_, s)| s == "Drift").unwrap();
    assert!((1301..1700).contains(row), "drift at row {row}");
    assert_eq!(machine.last().unwrap().1, "OK", "over after the repair");
    let drift = events.iter().find(|e| e["monitor"] == "machine" && e["status"] == "Drift").unwrap();
    assert_eq!((drift["feature"].as_str(), drift["regime"].as_str()), (Some("b"), Some("Voltage=164")));
    let drivers = events.iter().rfind(|e| e["event"] == "contributors" && e["row"] == drift["row"]).unwrap();
    let first = &drivers["features"][0];
    assert_eq!((first["feature"].as_str(), first["direction"].as_str()), (Some("b"), Some("up")), "{drivers}");
    assert!(
        first["index"].as_f64() >= Some(1.0) && first["since"].as_f64() > Some(1301.0) && first["since"].as_f64() < drift["time"].as_f64()
    );
    assert!(drivers["features"].as_array().unwrap().iter().all(|f| f["feature"] != "a"), "a has not moved: {drivers}");
    let outside = events.iter().find(|e| e["event"] == "regime" && e["state"] == "Outside").unwrap();
    assert_eq!((outside["row"].as_u64(), outside["regime"].is_null()), (Some(501), true));
    assert!(events.iter().any(|e| e["event"] == "buffer" && e["status"] == "Ready"));
}

#[test]
fn named_checks_pass_and_fail_by_regime() {
    let mut bench = Bench::new();
    bench.train();
    let checks = r#"
[[machines.checks]]
name = "Gaps"
check = "missing_share"
[[machines.checks]]
name = "Band"
check = "mean_in_band"
feature = "b"
limit = 0.8
[[machines.checks]]
name = "Possible"
check = "range"
feature = "a"
range = [0.0, 60.0]
[[machines.checks]]
name = "Drifted"
check = "drifted_share"
limit = 0.4
"#;
    std::fs::write(bench.path("config.toml"), format!("{CONFIG}{checks}")).unwrap();
    // b moves by 1.5 sd at 164 V only; 289 V is outside, and no check looks there.
    bench.file("day.csv", &[(400, 164.0, 0.0), (300, 289.0, 0.0), (400, 220.0, 0.0), (500, 164.0, 1.5), (300, 220.0, 0.0)]);
    let (summary, events) = bench.replay("day.csv", "e.jsonl", &[]);
    let of = |name: &str, key: &str| summary["checks"][name][key].as_u64().unwrap();
    assert_eq!((of("Gaps", "failures"), of("Possible", "failures")), (0, 0));
    // 1,600 judged rows, a look each 10 rows once a regime has 100: (900 - 100) / 10 + (700 - 100) / 10, and the two first.
    assert_eq!(of("Gaps", "looks"), 80 + 60 + 2);
    assert!(of("Band", "failures") > 30 && of("Band", "units_failing") == 1, "{summary}");
    assert!(of("Drifted", "failures") > 30, "{summary}");
    let told: Vec<_> = events.iter().filter(|e| e["event"] == "check" && e["monitor"] == "Band").collect();
    assert_eq!(told.len(), 1, "told once: at 220 V it passes all the time");
    let row = told[0]["row"].as_u64().unwrap();
    assert!((1100..1300).contains(&row) && told[0]["status"] == "Failed" && told[0]["regime"] == "Voltage=164", "{}", told[0]);
    assert!(told[0]["feature"] == "b" && told[0]["value"].as_f64() > Some(0.8) && told[0]["threshold"].as_f64() == Some(0.8));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let mut bench = Bench::new();
    bench.train();
    bench.file("day.csv", &[(600, 164.0, 0.0), (600, 164.0, 1.0)]);
    bench.replay("day.csv", "1.jsonl", &[]);
    bench.replay("day.csv", "2.jsonl", &[]);
    let read = |name: &str| std::fs::read(bench.path(name)).unwrap();
    assert!(!read("1.jsonl").is_empty());
    assert_eq!(read("1.jsonl"), read("2.jsonl"));
    let first = read("m.bundle");
    bench.ok(&["train", "--config", "config.toml", "--input", "fit.csv", "--out", "m.bundle", "--json"]);
    assert_eq!(first, read("m.bundle"), "the same rows give the same bundle");
}

#[test]
fn units_ranges_and_set_columns_are_kept_apart() {
    let mut bench = Bench::new();
    bench.train();
    bench.file("day.csv", &[(400, 164.0, 0.0)]);
    let (summary, events) = bench.replay("day.csv", "e.jsonl", &["--unit-column", "unit"]);
    assert_eq!((summary["units"].as_u64(), summary["rows"].as_u64()), (Some(2), Some(400)));
    let units: std::collections::BTreeSet<_> = events.iter().map(|e| e["unit"].as_str().unwrap()).collect();
    assert_eq!(units.into_iter().collect::<Vec<_>>(), ["0", "1"]);
    let (summary, _) = bench.replay("day.csv@volt=289@rows=11-60", "e.jsonl", &[]);
    assert_eq!((summary["rows"].as_u64(), summary["outside"].as_u64()), (Some(50), Some(50)));
}

#[test]
fn a_replay_can_learn_from_its_own_first_rows() {
    let mut bench = Bench::new();
    bench.file("day.csv", &[(800, 164.0, 0.0), (300, 289.0, 0.0), (600, 164.0, 2.0)]);
    let args = ["replay", "--config", "config.toml", "--learn-rows", "500", "--input", "day.csv", "--events", "e.jsonl", "--json"];
    let summary = bench.ok(&args);
    assert_eq!((summary["learning"].as_u64(), summary["outside"].as_u64()), (Some(500), Some(300)));
    assert_eq!(summary["drifts"].as_u64(), Some(1));
}

/// As in `driftgate ... | head -1`.
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    // Gone before the first write: each one fails.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let out = Command::new(env!("CARGO_BIN_EXE_driftgate")).arg("default-config").stdout(writer).output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn what_is_wrong_is_named() {
    let mut bench = Bench::new();
    bench.train();
    let text = |out: &Output| String::from_utf8_lossy(&out.stderr).into_owned();
    let replay = |input: &str| bench.run(&["replay", "--config", "config.toml", "--bundle", "m.bundle", "--input", input]);
    let out = replay("nothing.csv");
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out).contains("nothing.csv"), "{}", text(&out));
    std::fs::write(bench.path("other.csv"), "time,volt,a\n1,164,2\n").unwrap();
    let out = replay("other.csv");
    assert!(text(&out).contains("no column `b`") && text(&out).contains("`volt`"), "{}", text(&out));
    std::fs::write(bench.path("broken.bundle"), "{}\n").unwrap();
    let out = bench.run(&["replay", "--config", "config.toml", "--bundle", "broken.bundle", "--input", "fit.csv"]);
    assert!(text(&out).contains("not a driftgate bundle"), "{}", text(&out));
    let mut bytes = std::fs::read(bench.path("m.bundle")).unwrap();
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    std::fs::write(bench.path("bent.bundle"), bytes).unwrap();
    let out = bench.run(&["replay", "--config", "config.toml", "--bundle", "bent.bundle", "--input", "fit.csv"]);
    assert!(text(&out).contains("damaged"), "{}", text(&out));
    let out = bench.run(&["replay", "--config", "config.toml", "--input", "fit.csv"]);
    assert!(text(&out).contains("--learn-rows"), "{}", text(&out));
    let out = bench.run(&["check", "--config", "missing.toml"]);
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn missing_and_wrong_cells_are_bad_not_fatal() {
    let mut bench = Bench::new();
    bench.train();
    let path = bench.file("day.csv", &[(400, 164.0, 0.0)]);
    let text = std::fs::read_to_string(&path).unwrap();
    let spoilt: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(i, line)| {
            let mut cells: Vec<&str> = line.split(',').collect();
            match i {
                0 => {}
                i if i % 7 == 0 => cells[4] = "",
                i if i % 11 == 0 => cells[4] = "broken",
                i if i % 13 == 0 => cells[2] = "NaN",
                _ => {}
            }
            cells.join(",")
        })
        .collect();
    std::fs::write(&path, spoilt.join("\n")).unwrap();
    let (summary, events) = bench.replay("day.csv", "e.jsonl", &[]);
    assert_eq!(summary["rows"].as_u64(), Some(400));
    assert!(summary["unreadable"].as_u64().unwrap() > 20);
    assert!(summary["bad_setting"].as_u64().unwrap() > 15);
    assert!(statuses(&events, "machine").iter().all(|(_, s)| s != "Drift"));
}

#[test]
fn a_broken_sensor_is_named_and_is_no_drift() {
    let mut bench = Bench::new();
    bench.train();
    let path = bench.file("day.csv", &[(300, 164.0, 0.0), (400, 164.0, 0.0), (500, 164.0, 0.0)]);
    let text = std::fs::read_to_string(&path).unwrap();
    let stuck = text.lines().enumerate().map(|(i, line)| {
        let kept = line.rsplit_once(',').map_or(line, |(kept, _)| kept);
        if (301..=700).contains(&i) { format!("{kept},9.5") } else { line.to_string() }
    });
    std::fs::write(&path, stuck.collect::<Vec<_>>().join("\n")).unwrap();
    let (summary, _) = bench.replay("day.csv", "without.jsonl", &[]);
    assert_eq!(summary["drifts"].as_u64(), Some(1), "without a rule a stuck sensor looks like drift");

    let rule = "signals = [\"a\", { name = \"b\", stuck_after = \"5s\" }]";
    std::fs::write(bench.path("config.toml"), CONFIG.replace("signals = [\"a\", \"b\"]", rule)).unwrap();
    let (summary, events) = bench.replay("day.csv", "with.jsonl", &[]);
    assert_eq!(summary["drifts"].as_u64(), Some(0));
    let notes: Vec<(u64, &str)> = events
        .iter()
        .filter(|e| e["event"] == "note")
        .map(|e| (e["row"].as_u64().unwrap(), e["text"].as_str().unwrap()))
        .filter(|(_, text)| text.contains("signal b"))
        .collect();
    let [(begun, broken), (ended, well)] = notes[..] else { panic!("{notes:?}") };
    assert!(broken.contains("stuck") && (304..=307).contains(&begun), "row {begun}: {broken}");
    assert!(well.contains("plausible again") && (759..=762).contains(&ended), "row {ended}: {well}");
}
