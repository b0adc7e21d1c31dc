//! A machine whose signals follow a continuous speed, through the binary: where the speed lies is no drift, what the speed does not
//! explain is one, and speeds that were never trained are outside.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use driftgate::config::Config;
use driftgate::pipeline::core::MachineCore;
use driftgate::types::{Channel, Frame, Quality, Timestamp, Value};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde_json::Value as Json;

const CONFIG: &str = r#"
[replay]
time_column = "time"
[[machines]]
name = "Drive"
signals = ["current", "vibration"]
[[machines.settings]]
name = "Voltage"
tolerance = 5.0
[[machines.settings]]
name = "Speed"
unit = "rpm"
regression = 50.0
[[machines.models]]
name = "Forest"
trees = 50
[machines.models.prediction_drift]
tests = [{ metric = "kolmogorov_smirnov", threshold = 0.0001 }, { metric = "wasserstein", threshold = 0.5 }]
[machines.data_drift]
tests = [{ metric = "kolmogorov_smirnov", threshold = 0.001 }, { metric = "wasserstein", threshold = 0.5 }]
"#;

/// sd of the noise of the current.
const NOISE: f64 = 0.2;

/// So many rows at speeds between two, with the current shifted by so many sd.
#[derive(Copy, Clone)]
struct Phase {
    rows: usize,
    speeds: (f64, f64),
    shift: f64,
}

const fn phase(rows: usize, from: f64, to: f64, shift: f64) -> Phase {
    Phase { rows, speeds: (from, to), shift }
}

/// Trained at 600 to 1,200 and at 1,600 to 2,400 rpm: a critical speed between is passed quickly.
const TRAINED: [Phase; 4] =
    [phase(1000, 600.0, 1200.0, 0.0), phase(1000, 1600.0, 2400.0, 0.0), phase(1000, 600.0, 1200.0, 0.0), phase(1000, 1600.0, 2400.0, 0.0)];

struct Bench {
    dir: tempfile::TempDir,
    rng: ChaCha8Rng,
    row: u64,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), rng: ChaCha8Rng::seed_from_u64(21), row: 0 }
    }

    /// With a bundle trained on [`TRAINED`].
    fn trained(config: &str) -> Self {
        let mut bench = Self::new();
        bench.write("config.toml", config);
        bench.data("fit.csv", &TRAINED);
        bench.run(&["train", "--input", "fit.csv", "--out", "m.bundle"]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn noise(&mut self) -> f64 {
        self.rng.sample(StandardNormal)
    }

    /// The speed wanders up and down within each phase; current and vibration bend with it, and shake more the faster it is.
    fn data(&mut self, name: &str, phases: &[Phase]) {
        let mut text = String::from("time,Voltage,Speed,current,vibration\n");
        for phase in phases {
            let (from, to) = phase.speeds;
            for i in 0..phase.rows {
                self.row += 1;
                let speed = from + (to - from) * (0.5 - 0.49 * (i as f64 * 0.043).cos()) + self.rng.gen_range(-0.01..0.01) * (to - from);
                let current =
                    4.0 + 8.0 * (speed / 1000.0).powi(2) - 3.0 * (speed / 700.0 - 2.0).tanh() + (self.noise() + phase.shift) * NOISE;
                let resonance = 2.0 / (1.0 + ((speed - 2000.0) / 150.0).powi(2));
                let vibration = resonance + 0.1 * self.noise() * speed / 1000.0;
                let volt = 400.0 + 0.5 * self.noise();
                writeln!(text, "{},{volt},{speed},{current},{vibration}", self.row).unwrap();
            }
        }
        self.write(name, &text);
    }

    fn run(&self, args: &[&str]) -> Json {
        let out = Command::new(env!("CARGO_BIN_EXE_driftgate"))
            .args([args[0], "--config", "config.toml", "--json"])
            .args(&args[1..])
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// Summary and events of these phases, judged by the bundle.
    fn replay(&mut self, phases: &[Phase]) -> (Json, Vec<Json>) {
        self.data("day.csv", phases);
        let summary = self.run(&["replay", "--bundle", "m.bundle", "--input", "day.csv", "--events", "e.jsonl"]);
        (summary, lines(&self.path("e.jsonl")))
    }
}

fn lines(path: &Path) -> Vec<Json> {
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn number(summary: &Json, key: &str) -> u64 {
    summary[key].as_u64().unwrap()
}

#[test]
fn a_speed_that_moves_within_the_trained_range_is_no_drift() {
    let mut bench = Bench::trained(CONFIG);
    let parts = [(600.0, 700.0), (700.0, 1200.0), (1150.0, 1200.0), (1600.0, 1700.0), (1900.0, 2100.0), (2300.0, 2400.0)];
    let (summary, events) = bench.replay(&parts.map(|(from, to)| phase(800, from, to, 0.0)));
    assert_eq!((number(&summary, "drifts"), number(&summary, "outside"), number(&summary, "faults")), (0, 0, 0), "{summary}");
    assert_eq!(summary["rows_per_regime"]["Voltage=400"], 4800, "one regime, whatever the speed: {summary}");
    assert!(number(&summary, "evaluations") > 200);
    assert!(events.iter().all(|e| e["status"] != "Drift"));
}

#[test]
fn one_sd_that_the_speed_does_not_explain_is_found_at_any_speed() {
    let mut bench = Bench::trained(CONFIG);
    for speeds in [(600.0, 620.0), (600.0, 1200.0), (1150.0, 1200.0), (1600.0, 1650.0), (1980.0, 2020.0), (2350.0, 2400.0)] {
        let (from, to) = speeds;
        let (summary, events) = bench.replay(&[phase(400, 600.0, 1200.0, 0.0), phase(500, from, to, 1.0)]);
        let drift = events.iter().find(|e| e["monitor"] == "DataDrift" && e["status"] == "Drift");
        let drift = drift.unwrap_or_else(|| panic!("not found at {speeds:?}: {summary}"));
        assert!((400..=900).contains(&drift["row"].as_u64().unwrap()));
        assert_eq!((drift["feature"].as_str(), drift["regime"].as_str()), (Some("current"), Some("Voltage=400")));
    }
}

#[test]
fn speeds_beyond_the_range_and_in_the_gap_are_outside_and_never_drift() {
    let mut bench = Bench::trained(CONFIG);
    let (summary, events) = bench.replay(&[
        phase(300, 600.0, 1200.0, 0.0),
        phase(700, 1300.0, 1500.0, 0.0),
        phase(700, 2500.0, 2900.0, 5.0),
        phase(300, 200.0, 500.0, 0.0),
    ]);
    assert_eq!((number(&summary, "outside"), number(&summary, "drifts")), (1700, 0), "{summary}");
    let outside = events.iter().find(|e| e["state"] == "Outside").unwrap();
    assert_eq!((outside["row"].as_u64(), outside["key"].as_str()), (Some(301), Some("Voltage=400")));
    // From 1,200 to 1,300 rpm are two tolerances.
    assert!((1.8..2.4).contains(&outside["distance"].as_f64().unwrap()), "{outside}");
}

#[test]
fn without_regression_the_speed_is_a_drift_or_outside() {
    let slow = [phase(1000, 600.0, 800.0, 0.0)];
    for (conditioning, drifts) in
        [("", true), ("bins = [0.0, 3000.0]", true), ("bins = [0.0, 900.0, 1200.0, 1500.0, 2000.0, 2500.0]", false)]
    {
        let mut bench = Bench::trained(&CONFIG.replace("regression = 50.0", conditioning));
        let (summary, _) = bench.replay(&slow);
        assert_eq!(number(&summary, "drifts") > 0, drifts, "`{conditioning}`: {summary}");
        // A bin between trained ones that never was is outside.
        let (summary, _) = bench.replay(&[phase(500, 1250.0, 1450.0, 0.0)]);
        assert_eq!(number(&summary, "outside") == 500, !drifts, "`{conditioning}`: {summary}");
    }
}

#[test]
fn a_stated_range_is_one_of_measured_values() {
    let check = "[[machines.checks]]\nname = \"Fuse\"\ncheck = \"range\"\nfeature = \"current\"\nrange = [0.0, 40.0]\n";
    let mut bench = Bench::trained(&format!("{CONFIG}{check}"));
    // At 2,300 rpm and more the current is above 43, which the speed explains.
    for (from, to, passed) in [(600.0, 1200.0, true), (2300.0, 2400.0, false)] {
        let (summary, events) = bench.replay(&[phase(600, from, to, 0.0)]);
        assert_eq!(number(&summary, "drifts"), 0, "{summary}");
        let failed: Vec<_> = events.iter().filter(|e| e["event"] == "check" && e["monitor"] == "Fuse").collect();
        assert_eq!(failed.is_empty(), passed, "{failed:?}");
        assert!(failed.iter().all(|e| e["value"] == 1.0), "every row: {failed:?}");
    }
}

#[test]
fn a_machine_learns_it_at_its_own_commissioning() {
    let mut bench = Bench::new();
    bench.write("config.toml", CONFIG);
    for (shift, found) in [(0.0, false), (1.5, true)] {
        let mut phases = Vec::from(TRAINED);
        phases.push(phase(1000, 600.0, 800.0, shift));
        phases.push(phase(100, 1350.0, 1450.0, 0.0));
        bench.data("life.csv", &phases);
        let summary = bench.run(&["replay", "--learn-rows", "4000", "--input", "life.csv"]);
        assert_eq!((number(&summary, "drifts") > 0, number(&summary, "outside")), (found, 100), "{summary}");
    }
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let mut bench = Bench::trained(CONFIG);
    let read = |bench: &Bench, name: &str| std::fs::read(bench.path(name)).unwrap();
    let bundle = read(&bench, "m.bundle");
    bench.run(&["train", "--input", "fit.csv", "--out", "again.bundle"]);
    assert_eq!(bundle, read(&bench, "again.bundle"));
    bench.replay(&[phase(300, 600.0, 1200.0, 0.0), phase(300, 1600.0, 1700.0, 1.0)]);
    bench.run(&["replay", "--bundle", "again.bundle", "--input", "day.csv", "--events", "again.jsonl"]);
    assert!(!read(&bench, "e.jsonl").is_empty());
    assert_eq!(read(&bench, "e.jsonl"), read(&bench, "again.jsonl"));
}

/// One row: current and vibration at a speed.
fn frame(row: usize, rng: &mut ChaCha8Rng) -> Frame {
    let time = Timestamp::from_secs_f64(row as f64);
    let channel = |x: f64| Channel { value: Some(Value::Real(x)), quality: Quality::Good, source_time: time };
    let speed = 1000.0 + 400.0 * (row as f64 * 0.043).sin();
    let values = [speed * speed / 1e5 + rng.sample::<f64, _>(StandardNormal), rng.sample(StandardNormal), 400.0, speed];
    Frame { time, channels: values.map(channel).to_vec() }
}

#[test]
fn a_restart_goes_on_with_what_the_monitors_had_seen() {
    let config = Config::parse(&CONFIG.replace("name = \"Drive\"", "name = \"Drive\"\nlearn_rows = 2000")).unwrap();
    let core = |bundle| MachineCore::new(config.machines[0].clone(), "".into(), "Drive".into(), bundle).unwrap();
    let mut first = core(None);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut kept = Vec::new();
    for row in 0..2410 {
        let frame = frame(row, &mut rng);
        let verdict = first.step(&frame).verdict;
        let Some(slot) = verdict.regime.slot else { continue };
        assert_eq!(verdict.features[0], frame.channels[0].usable().unwrap().number().unwrap(), "raw, as the PLC sent it");
        assert!((verdict.adjusted[0] - 11.0).abs() < 6.0, "the residual with the mean: {}", verdict.adjusted[0]);
        let scores: Vec<f64> = verdict.models.iter().map(|m| m.score).collect();
        kept.push((verdict.row, slot, verdict.time, verdict.adjusted.clone(), scores));
    }
    assert!(kept.len() > 400);
    let mut second = core(first.bundle().cloned());
    for (row, slot, time, features, scores) in &kept {
        second.restore_row(*row, *slot, *time, features, scores);
    }
    second.restore(&first.state());
    let mut evaluated = 0;
    for row in 2410..2500 {
        let frame = frame(row, &mut rng);
        let (a, b) = (first.step(&frame).verdict.clone(), second.step(&frame).verdict);
        assert_eq!(a.status, b.status, "row {row}");
        if a.monitors[0].evaluated {
            evaluated += 1;
            assert_eq!(a.monitors[0].index.to_bits(), b.monitors[0].index.to_bits(), "row {row}");
        }
    }
    assert!(evaluated > 3);
}
