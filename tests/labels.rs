//! Labels through the binary: is the model worse, or has only the data changed?

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value as Json;

const CONFIG: &str = r#"
[gateway]
name = "test"
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
contamination = 0.01
# The fault of these rows is not to stop the monitors.
fault_rows = 10000
[machines.models.prediction_drift]
enabled = false
[machines.models.label]
column = "scrap"
DELAY
[machines.models.performance_drift]
window_rows = 200
[machines.data_drift]
tests = [{ metric = "kolmogorov_smirnov", threshold = 0.0001 }]
window_rows = 100
"#;

/// Rows of one kind.
#[derive(Clone, Copy)]
struct Phase {
    rows: usize,
    volt: f64,
    /// Shift of `a`, in standard deviations.
    shift: f64,
    /// Share of faults.
    faults: f64,
    label: Label,
}

#[derive(Clone, Copy, PartialEq)]
enum Label {
    Right,
    /// Turned round for a share of the rows.
    Wrong(f64),
    None,
}

fn healthy(rows: usize, label: Label) -> Phase {
    Phase { rows, volt: 164.0, shift: 0.0, faults: 0.0, label }
}

struct Bench {
    dir: tempfile::TempDir,
    rng: ChaCha8Rng,
}

impl Bench {
    fn new(delay: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), CONFIG.replace("DELAY", &format!("delay_rows = {delay}"))).unwrap();
        Self { dir, rng: ChaCha8Rng::seed_from_u64(23) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A fault moves both signals by eight standard deviations. Labels come `delay` rows late.
    fn file(&mut self, name: &str, phases: &[Phase], delay: usize) {
        let mut rows = Vec::new();
        let mut labels = vec![String::new(); delay];
        for phase in phases {
            for _ in 0..phase.rows {
                let (a, b): (f64, f64) = (StandardNormal.sample(&mut self.rng), StandardNormal.sample(&mut self.rng));
                let fault = self.rng.gen_bool(phase.faults);
                let away = if fault { 8.0 } else { 0.0 };
                rows.push(format!("{},{},{}", phase.volt, phase.volt / 10.0 + a + phase.shift + away, phase.volt / 20.0 + b + away));
                labels.push(match phase.label {
                    Label::None => String::new(),
                    Label::Right => u8::from(fault).to_string(),
                    Label::Wrong(share) => u8::from(fault != self.rng.gen_bool(share)).to_string(),
                });
            }
        }
        let mut text = String::from("volt,a,b,scrap\n");
        rows.iter().zip(&labels).for_each(|(row, label)| writeln!(text, "{row},{label}").unwrap());
        std::fs::write(self.path(name), text).unwrap();
    }

    fn ok(&self, args: &[&str]) -> Json {
        let out = Command::new(env!("CARGO_BIN_EXE_driftgate")).args(args).current_dir(self.dir.path()).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// At 164 and 220 V, a tenth of faults, all labelled.
    fn train(&mut self, delay: usize) -> Json {
        let phase = Phase { faults: 0.1, ..healthy(3000, Label::Right) };
        self.file("fit.csv", &[phase, Phase { volt: 220.0, ..phase }], delay);
        self.ok(&["train", "--config", "config.toml", "--input", "fit.csv", "--out", "m.bundle", "--json"])
    }

    fn replay(&self, input: &str) -> (Json, Vec<Json>) {
        let args = ["replay", "--config", "config.toml", "--bundle", "m.bundle", "--input", input, "--events", "e.jsonl", "--json"];
        let summary = self.ok(&args);
        let events = std::fs::read_to_string(self.path("e.jsonl")).unwrap();
        (summary["performance"]["Forest"].clone(), events.lines().map(|l| serde_json::from_str(l).unwrap()).collect())
    }
}

/// First row at which a monitor has this status.
fn first(events: &[Json], monitor: &str, status: &str) -> Option<u64> {
    let of = |e: &&Json| e["event"] == "status" && e["monitor"] == monitor && e["status"] == status;
    events.iter().find(of).and_then(|e| e["row"].as_u64())
}

fn statements(events: &[Json]) -> Vec<&str> {
    events.iter().filter(|e| e["event"] == "statement").map(|e| e["text"].as_str().unwrap()).collect()
}

#[test]
fn a_measured_truth_says_what_the_flag_says() {
    let mut bench = Bench::new(0);
    bench.train(0);
    bench.file("day.csv", &[healthy(800, Label::Right), Phase { faults: 0.1, ..healthy(800, Label::Wrong(0.3)) }], 0);
    let flagged = bench.replay("day.csv");
    assert!(first(&flagged.1, "Forest.PerformanceDrift", "Drift").is_some(), "labels disagree with the model");
    // The wear at an inspection: up to 0.3 mm is healthy.
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    std::fs::write(bench.path("config.toml"), config.replace("delay_rows", "healthy_range = [0.0, 0.3]\ndelay_rows")).unwrap();
    let wear = |(i, line): (usize, &str)| match line.rsplit_once(',') {
        Some((row, "1")) => format!("{row},{}", 0.31 + 0.01 * (i % 7) as f64),
        Some((row, "0")) => format!("{row},{}", 0.04 * (i % 7) as f64),
        _ => line.to_string(),
    };
    let text = std::fs::read_to_string(bench.path("day.csv")).unwrap();
    std::fs::write(bench.path("day.csv"), text.lines().enumerate().map(wear).collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(bench.replay("day.csv"), flagged);
}

#[test]
fn data_changed_model_fine() {
    let mut bench = Bench::new(0);
    let trained = bench.train(0);
    let text = trained["models"][0]["labels"].as_str().unwrap();
    assert!(text.contains("can be estimated without labels"), "{text}");
    let day = healthy(800, Label::Right);
    bench.file("day.csv", &[day, Phase { shift: 0.7, ..day }], 0);
    let (summary, events) = bench.replay("day.csv");
    assert!(first(&events, "DataDrift", "Drift").unwrap() > 800);
    assert_eq!(first(&events, "Forest.PerformanceDrift", "Drift"), None);
    assert_eq!(first(&events, "Forest.PerformanceDrift", "OK"), Some(200), "the window of labels is full");
    let said = statements(&events);
    assert_eq!(said.last(), Some(&"data changed, model fine (confirmed by 200 labels)"), "{said:?}");
    assert!(said.contains(&"model fine, data unchanged (confirmed by 200 labels)"));
    assert_eq!((summary["labels"].as_u64(), summary["drifts"].as_u64()), (Some(1600), Some(0)));
    assert!(summary["statements"]["DataChangedFine"].as_u64() >= Some(1) && summary["statements"]["Worse"].is_null());
}

#[test]
fn model_worse_data_unchanged() {
    let mut bench = Bench::new(0);
    bench.train(0);
    let day = Phase { faults: 0.1, ..healthy(800, Label::Right) };
    bench.file("day.csv", &[day, Phase { label: Label::Wrong(0.2), ..day }, day], 0);
    let (summary, events) = bench.replay("day.csv");
    assert_eq!(first(&events, "DataDrift", "Drift"), None);
    let row = first(&events, "Forest.PerformanceDrift", "Drift").unwrap();
    assert!((801..1000).contains(&row), "row {row}");
    let said = events.iter().find(|e| e["event"] == "statement" && e["statement"] == "WorseDataUnchanged").unwrap();
    assert_eq!(said["text"], "model worse, data unchanged");
    assert!(said["error_rate"].as_f64() > said["reference_error_rate"].as_f64());
    assert_eq!(said["regime"], "Voltage=164");
    assert_eq!(statements(&events).last(), Some(&"model fine, data unchanged (confirmed by 200 labels)"), "labels agree again");
    let regime = &summary["regimes"]["Voltage=164"];
    let count = |cell: &str| regime[cell].as_u64().unwrap();
    assert_eq!(count("true_positives") + count("false_positives") + count("false_negatives") + count("true_negatives"), 2400);
    assert!((regime["error_rate"].as_f64().unwrap() - 0.07).abs() < 0.03, "{regime}");
    assert!(regime["precision"].is_number() && regime["recall"].is_number());
    // As a machine it is a drift, of this monitor.
    assert_eq!(first(&events, "machine", "Drift"), Some(row));
}

#[test]
fn model_worse_in_one_of_two_regimes() {
    let mut bench = Bench::new(0);
    bench.train(0);
    let mut phases = Vec::new();
    for _ in 0..15 {
        let visit = Phase { faults: 0.1, ..healthy(60, Label::Right) };
        phases.extend([visit, Phase { volt: 220.0, label: Label::Wrong(0.25), ..visit }]);
    }
    bench.file("day.csv", &phases, 0);
    let (summary, events) = bench.replay("day.csv");
    let drift = events.iter().find(|e| e["monitor"] == "Forest.PerformanceDrift" && e["status"] == "Drift").unwrap();
    assert_eq!(drift["regime"], "Voltage=220");
    let rate = |key: &str| summary["regimes"][key]["error_rate"].as_f64().unwrap();
    assert!(rate("Voltage=164") < 0.05 && rate("Voltage=220") > 0.2, "{summary}");
}

#[test]
fn without_labels_nothing_is_said_but_the_estimate() {
    let mut bench = Bench::new(0);
    bench.train(0);
    let day = Phase { faults: 0.1, ..healthy(800, Label::None) };
    bench.file("day.csv", &[day], 0);
    let (summary, events) = bench.replay("day.csv");
    let begin = events.iter().find(|e| e["monitor"] == "Forest.PerformanceDrift").unwrap();
    assert_eq!((begin["status"].as_str(), begin["reason"].as_str()), (Some("NotEvaluated"), Some("no labels")));
    assert_eq!(summary["labels"].as_u64(), Some(0));
    assert_eq!(statements(&events), ["model fine, data unchanged (estimated, no labels)"]);
    let regime = &summary["regimes"]["Voltage=164"];
    assert!(regime["error_rate"].is_null() && regime["estimated_error_rate"].as_f64().unwrap() < 0.05, "{regime}");
}

/// Neither labels nor probabilities: labels were never seen, or only one class of them.
#[test]
fn no_estimate_says_why() {
    let mut bench = Bench::new(0);
    let why = |label: Label, bench: &mut Bench| {
        bench.file("fit.csv", &[healthy(1500, label)], 0);
        bench.ok(&["train", "--config", "config.toml", "--input", "fit.csv", "--out", "m.bundle", "--json"]);
        bench.file("day.csv", &[healthy(600, Label::None)], 0);
        let (summary, events) = bench.replay("day.csv");
        assert_eq!(first(&events, "Forest.PerformanceDrift", "OK"), None);
        assert!(statements(&events).is_empty());
        summary["no_estimate"].as_str().unwrap().to_string()
    };
    assert!(why(Label::None, &mut bench).contains("had no labels"));
    assert!(why(Label::Right, &mut bench).contains("450 healthy and 0 faulty"));
    // A file without the column is a file without labels.
    let text = std::fs::read_to_string(bench.path("day.csv")).unwrap();
    std::fs::write(bench.path("bare.csv"), text.replace(",scrap", "").replace(",\n", "\n")).unwrap();
    assert_eq!(bench.replay("bare.csv").0["labels"].as_u64(), Some(0));
}

#[test]
fn late_missing_and_bad_labels() {
    let mut bench = Bench::new(7);
    bench.train(7);
    let day = Phase { faults: 0.1, ..healthy(2000, Label::Right) };
    bench.file("day.csv", &[day], 7);
    let text = std::fs::read_to_string(bench.path("day.csv")).unwrap();
    let spoilt = text.lines().enumerate().map(|(i, line)| {
        let (values, label) = line.rsplit_once(',').unwrap();
        let label = match i {
            0 => label,
            i if i % 5 == 0 => "",
            i if i % 7 == 0 => "broken",
            i if i % 11 == 0 => "NaN",
            _ => label,
        };
        // Some rows are outside the envelope: what is true there is of no prediction.
        let values = if i > 0 && i % 50 == 14 { values.replacen("164", "289", 1) } else { values.to_string() };
        format!("{values},{label}\n")
    });
    std::fs::write(bench.path("spoilt.csv"), spoilt.collect::<String>()).unwrap();
    let (summary, events) = bench.replay("spoilt.csv");
    assert_eq!(first(&events, "Forest.PerformanceDrift", "Drift"), None, "late labels meet their rows");
    assert!(summary["regimes"]["Voltage=164"]["error_rate"].as_f64().unwrap() < 0.03, "{summary}");
    let count = |key: &str| summary[key].as_u64().unwrap();
    assert_eq!(count("unreadable_labels"), (1..=2000).filter(|i| i % 5 != 0 && i % 7 == 0).count() as u64);
    assert!((15..=35).contains(&count("labels_without_prediction")), "{summary}");
    assert!((1150..1300).contains(&count("labels")), "{summary}");
    // The same labels taken as punctual contradict the model.
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    std::fs::write(bench.path("config.toml"), config.replace("delay_rows = 7", "delay_rows = 0")).unwrap();
    assert!(first(&bench.replay("spoilt.csv").1, "Forest.PerformanceDrift", "Drift").is_some());
}

/// More rows near the border of the fault: the data shifts, what a value means stays as it was.
#[test]
fn the_estimate_follows_the_true_error_without_labels() {
    let mut bench = Bench::new(0);
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    let config = config.replace("window_rows = 200", "window_rows = 2000").replace("contamination = 0.01", "score_threshold = 0.6");
    std::fs::write(bench.path("config.toml"), config).unwrap();
    // The nearer to a distance of 2.6 from the centre, the less certain is a fault. Written with labels, and once more without.
    let mut write = |name: &str, rows: usize, spread: f64| {
        let mut labelled = String::from("volt,a,b,scrap\n");
        let mut bare = String::from("volt,a,b\n");
        for _ in 0..rows {
            let (a, b): (f64, f64) = (StandardNormal.sample(&mut bench.rng), StandardNormal.sample(&mut bench.rng));
            let (a, b) = (a * spread, b * spread);
            let fault = bench.rng.gen_bool(1.0 / (1.0 + (-3.0 * (a.hypot(b) - 2.6)).exp()));
            writeln!(labelled, "164,{a},{b},{}", u8::from(fault)).unwrap();
            writeln!(bare, "164,{a},{b}").unwrap();
        }
        std::fs::write(bench.dir.path().join(format!("{name}.csv")), labelled).unwrap();
        std::fs::write(bench.dir.path().join(format!("{name}-bare.csv")), bare).unwrap();
    };
    write("fit", 12_000, 1.0);
    write("same", 8000, 1.0);
    write("shifted", 8000, 1.5);
    bench.ok(&["train", "--config", "config.toml", "--input", "fit.csv", "--out", "m.bundle", "--json"]);
    let rate = |summary: &Json, key: &str| summary["regimes"]["Voltage=164"][key].as_f64().unwrap();
    let compare = |name: &str| {
        let truth = rate(&bench.replay(&format!("{name}.csv")).0, "error_rate");
        let (summary, events) = bench.replay(&format!("{name}-bare.csv"));
        let estimate = rate(&summary, "estimated_error_rate");
        assert!((estimate - truth).abs() < 0.03, "{name}: {truth} estimated as {estimate}");
        (truth, events)
    };
    let (before, _) = compare("same");
    let (after, events) = compare("shifted");
    assert!(after > before + 0.05, "the error has changed: {before} to {after}");
    assert!(first(&events, "Forest.PerformanceDrift", "Warning").is_some());
    assert_eq!(first(&events, "Forest.PerformanceDrift", "Drift"), None, "an estimate never says more than Warning");
}
