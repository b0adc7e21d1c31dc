//! What a configuration becomes.

use std::time::Duration;

use super::*;
use crate::drift::{Chart, Metric, Test};

const EXAMPLE: &str = r#"
[gateway]
name = "line1"
[server]
port = 0
[store]
frame_rows = 30000
disk_reserve_mb = 5
[replay]
unit_column = "unit"
[[sources]]
name = "PLC1"
protocol = "opcua"
endpoint = "opc.tcp://192.168.0.10:4840"
namespace = "urn:BeckhoffAutomation:Ua:PLC1"
security = "auto"
user = { name = "gateway", password_env = "PLC1_PASSWORD" }
publishing_interval = "250ms"
[[sources]]
name = "PLC2"
protocol = "modbus"
endpoint = "tcp://plc2"
word_order = "CDAB"
[[machines]]
name = "Motor1"
trigger = "Flux"
max_age = "2s"
settle = "1min"
active_when = "Speed >= 100"
learn_rows = 400
[[machines.settings]]
name = "Voltage"
source = "PLC1"
address = "GVL_Settings.rVoltage"
unit = "V"
tolerance = 5.0
[[machines.settings]]
name = "Recipe"
source = "PLC2"
address = "holding:0x3000"
category = true
register_type = "i16"
[[machines.signals]]
name = "Speed"
source = "PLC2"
address = "input:7"
scale = 0.1
features = []
[[machines.signals]]
name = "Flux"
source = "PLC1"
address = "MAIN.fbMotor.aFlux"
unit = "mWb"
range = [-50.0, 50.0]
block = { length = 256, rate = 2560.0 }
features = ["rms", "kurtosis", { band = [40.0, 60.0], name = "fundamental" }, { band = [100, 200.5] }]
[[machines.signals]]
name = "Current1"
source = "PLC1"
address = "MAIN.fbMotor.rCurrent1"
[[machines.models]]
name = "Stator"
kind = "isolation_forest"
trees = 50
inputs = ["Flux_rms", "Current1"]
[machines.models.prediction_drift]
tests = ["ks", "wasserstein"]
[machines.data_drift]
tests = [{ metric = "kolmogorov_smirnov", threshold = 0.001 }, "wasserstein"]
window_rows = 100
[machines.buffers]
target_rows = 500
"#;

fn example() -> Config {
    Config::parse(EXAMPLE).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn sources_and_server_are_read() {
    let config = example();
    let server = ServerConfig {
        port: 0,
        address: [0, 0, 0, 0].into(),
        host: None,
        max_sessions: 50,
        max_connections: 200,
        max_connections_per_address: 100,
        application_uri: "urn:driftgate:line1".into(),
    };
    assert_eq!(config.server, server);
    assert_eq!((config.store.frame_rows, config.store.event_rows, config.store.disk_reserve), (30_000, 20_000, 5_000_000));
    assert_eq!(config.replay.unit_column.as_deref(), Some("unit"));
    let SourceKind::OpcUa(opcua) = &config.sources[0].kind else { panic!() };
    assert_eq!(opcua.publishing_interval, Duration::from_millis(250));
    assert_eq!(opcua.user, Some(UserConfig { name: "gateway".into(), password: PasswordFrom::Env("PLC1_PASSWORD".into()) }));
    let SourceKind::Modbus(modbus) = &config.sources[1].kind else { panic!() };
    assert_eq!((modbus.place.to_string(), modbus.word_order), ("plc2:502".into(), WordOrder::Cdab));
    assert_eq!(config.hash.len(), 64);
    assert_ne!(config.hash, Config::parse(&format!("{EXAMPLE}\n")).unwrap().hash);
}

#[test]
fn a_machine_is_read() {
    let config = example();
    let machine = &config.machines[0];
    assert_eq!(machine.frame, FrameClock::Trigger(1));
    assert_eq!(machine.settle, Duration::from_secs(60));
    assert_eq!(machine.active_when, Some(Condition { channel: 0, op: Comparison::GreaterOrEqual, value: 100.0 }));
    assert_eq!(machine.settings[0].conditioning, Conditioning::Tolerance(5.0));
    assert_eq!(machine.settings[1].conditioning, Conditioning::Category);
    let origin = machine.settings[1].origin.as_ref().unwrap();
    assert_eq!((origin.source, origin.address.as_str(), origin.register_type), (1, "holding:12288", RegisterType::I16));
    assert_eq!(machine.signals[1].shape, Shape::Block { length: 256, rate: 2560.0 });
    assert_eq!(machine.signals[1].range, Some((-50.0, 50.0)));
    assert_eq!(machine.signals[2].column, "Current1");
}

#[test]
fn features_models_and_monitors_are_read() {
    let config = example();
    let machine = &config.machines[0];
    let names: Vec<&str> = machine.features.iter().map(|f| &*f.name).collect();
    assert_eq!(names, ["Flux_rms", "Flux_kurtosis", "Flux_fundamental", "Flux_band100_200p5", "Current1"]);
    assert_eq!(machine.features[2].kind, FeatureKind::Band { from: 40.0, to: 60.0 });
    assert_eq!((machine.features[0].unit.as_str(), machine.features[1].unit.as_str()), ("mWb", ""));
    let model = &machine.models[0];
    assert_eq!(model.kind, ModelKind::IsolationForest { trees: 50, samples: 256, seed: 1 });
    assert_eq!(model.inputs, [0, 4]);
    assert_eq!((model.contamination, model.score_threshold, model.fault_rows), (0.001, None, 5));
    let metrics: Vec<Test> = model.prediction_drift.tests.iter().map(|t| t.metric).collect();
    assert_eq!(metrics, [Test::from(Metric::KolmogorovSmirnov), Test::from(Metric::Wasserstein)]);
    let monitor = &machine.data_drift;
    assert_eq!((monitor.enabled, monitor.window_rows, monitor.hop, monitor.consecutive_limit), (true, 100, 20, 3));
    assert_eq!(monitor.tests[0], TestConfig { metric: Metric::KolmogorovSmirnov.into(), threshold: Some(0.001) });
    assert_eq!(
        machine.buffers,
        BufferConfig {
            target_rows: 500,
            rows_before: 200,
            export_format: ExportFormat::Parquet,
            auto_export: true,
            collect_outside: false,
            samples: None
        }
    );
}

#[test]
fn recorded_data_needs_no_source_and_little_text() {
    let text = r#"
        machines = [{ name = "Engine", signals = ["s2", "s3", { name = "s4", unit = "degR" }], settings = ["op1"] }]
    "#;
    let config = Config::parse(text).unwrap_or_else(|e| panic!("{e}"));
    let machine = &config.machines[0];
    assert_eq!(machine.features.iter().map(|f| &*f.name).collect::<Vec<_>>(), ["s2", "s3", "s4"]);
    assert!(machine.signals.iter().all(|s| s.origin.is_none()));
    assert_eq!(machine.signals[2].unit, "degR");
    assert_eq!(machine.frame, FrameClock::Period(Duration::from_millis(100)));
    assert_eq!(machine.settings[0].conditioning, Conditioning::Ignored);
    assert_eq!(machine.data_drift.tests, [TestConfig { metric: Metric::KolmogorovSmirnov.into(), threshold: None }]);
}

#[test]
fn a_waveform_has_features_by_default() {
    let text = r#"
        [[machines]]
        name = "M"
        [[machines.signals]]
        name = "Flux"
        block = { length = 256, rate = 2560 }
    "#;
    let config = Config::parse(text).unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<&str> = config.machines[0].features.iter().map(|f| &*f.name).collect();
    let bands = ["Flux_band10_34", "Flux_band34_110", "Flux_band110_380", "Flux_band380_1280"];
    assert_eq!(names, ["Flux_rms", "Flux_crest", "Flux_kurtosis"].into_iter().chain(bands).collect::<Vec<_>>());
}

proptest::proptest! {
    /// Whatever is done to a file, it is read or refused, and each fault has a place in it.
    #[test]
    fn damaged_files_are_refused_and_never_a_panic(
        edits in proptest::collection::vec((0usize..6000, 0usize..40, "[-\\[\\]{}=.,\"0-9a-z\n ]{0,6}"), 1..4)
    ) {
        let mut text = EXAMPLE.to_string();
        for (at, length, insert) in edits {
            let at = at % text.len();
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &insert);
        }
        if let Err(errors) = Config::parse(&text) {
            proptest::prop_assert!(!errors.faults.is_empty());
            proptest::prop_assert!(errors.faults.iter().all(|f| f.line <= text.lines().count() + 1 && !f.message.is_empty()));
        }
    }
}

#[test]
fn faults_come_all_at_once_in_the_order_of_the_file() {
    let text = "[server]\nprt = 1\n[[machines]]\nname = \"1\"\nmax_age = 5\nsignals = [{ name = \"A\", range = [2, 1] }]\n";
    let errors = Config::parse(text).unwrap_err();
    let found: Vec<(&str, usize, usize)> = errors.faults.iter().map(|f| (f.path.as_str(), f.line, f.column)).collect();
    let expected =
        [("server.prt", 2, 1), ("machines[0].name", 4, 8), ("machines[0].max_age", 5, 11), ("machines[0].signals[0].range", 6, 34)];
    assert_eq!(found, expected);
}

#[test]
fn charts_look_at_every_row_and_have_a_budget() {
    let text = r#"
        [[machines]]
        name = "M"
        signals = ["A"]
        baseline_rows = 30
        [machines.data_drift]
        tests = ["ewma_t2", { metric = "cusum", threshold = 8 }]
        budget = "1 per 30d"
    "#;
    let config = Config::parse(text).unwrap_or_else(|e| panic!("{e}"));
    let (machine, monitor) = (&config.machines[0], &config.machines[0].data_drift);
    assert_eq!((machine.baseline_rows, monitor.hop, monitor.consecutive_limit), (30, 1, 1));
    assert_eq!(monitor.tests[1], TestConfig { metric: Chart::Cusum.into(), threshold: Some(8.0) });
    assert_eq!(monitor.budget.unwrap().to_string(), "1 per 30d");
    let faults = Config::parse(&text.replace("30d", "30")).unwrap_err().to_string();
    assert!(faults.contains("not a false-alarm budget: `1 per 30`"), "{faults}");
    let mixed = Config::parse(&text.replace("cusum\"", "ks\"").replace("= 8", "= 0.1")).unwrap();
    assert_eq!((mixed.machines[0].data_drift.hop, mixed.machines[0].data_drift.consecutive_limit), (20, 3));
}
