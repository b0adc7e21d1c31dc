//! A small configuration like the demo's, for the tests of this room.

use std::sync::Arc;
use std::time::Duration;

use super::ParameterSpec;
use crate::config::*;
use crate::drift::{Metric, Test};
use crate::types::{Scalar, ScalarKind};

pub(super) fn config() -> Config {
    Config {
        gateway: GatewayConfig { name: "Line 1".into() },
        server: ServerConfig { port: 0, application_uri: "urn:driftgate:test".into() },
        store: StoreConfig { frame_rows: 1, feature_rows: 1, history_rows: 1, event_rows: 1, disk_reserve: 0 },
        replay: ReplayConfig::default(),
        sources: vec![SourceConfig { name: "PLC1".into(), kind: source() }],
        machines: vec![Arc::new(machine("Motor1"))],
        hash: "0123".into(),
    }
}

fn source() -> SourceKind {
    SourceKind::OpcUa(OpcUaConfig {
        endpoint: "opc.tcp://127.0.0.1:4841/".into(),
        security: Security::Auto,
        user: None,
        namespace: None,
        publishing_interval: Duration::from_millis(100),
        silence: Duration::from_secs(10),
        trust_any_certificate: false,
    })
}

fn machine(name: &str) -> MachineConfig {
    let signals = vec![
        signal("Flux", "mWb", None, Shape::Block { length: 1024, rate: 10_000.0 }),
        signal("Temperature", "degC", Some((-40.0, 200.0)), Shape::Scalar),
    ];
    let feature = |name: &str, signal, kind| FeatureConfig { name: name.into(), signal, kind, unit: String::new() };
    MachineConfig {
        name: name.into(),
        frame: FrameClock::Trigger(0),
        max_age: Duration::from_secs(5),
        settle: Duration::ZERO,
        active_when: None,
        signals,
        settings: vec![setting("Voltage", "V", Conditioning::Tolerance(5.0)), setting("Product", "", Conditioning::Category)],
        features: vec![feature("Flux_rms", 0, FeatureKind::Rms), feature("Temperature", 1, FeatureKind::Value)],
        regime_slots: 8,
        min_reference_rows: 200,
        learn_rows: 0,
        baseline_rows: 0,
        models: vec![ModelConfig {
            name: "Stator".into(),
            kind: ModelKind::IsolationForest { trees: 100, samples: 256, seed: 1 },
            inputs: vec![0],
            contamination: 0.001,
            score_threshold: None,
            fault_rows: 5,
            prediction_drift: monitor(&[Metric::Wasserstein]),
        }],
        data_drift: monitor(&[Metric::KolmogorovSmirnov, Metric::Wasserstein]),
        buffers: BufferConfig { target_rows: 1_000, rows_before: 200 },
    }
}

fn origin(address: &str) -> Option<Origin> {
    let sampling = Some(Duration::from_millis(100));
    Some(Origin { source: 0, address: address.into(), register_type: RegisterType::F32, sampling, scale: 1.0, offset: 0.0 })
}

fn signal(name: &str, unit: &str, range: Option<(f64, f64)>, shape: Shape) -> SignalConfig {
    SignalConfig { name: name.into(), column: name.into(), origin: origin(&format!("MAIN.{name}")), unit: unit.into(), range, shape }
}

fn setting(name: &str, unit: &str, conditioning: Conditioning) -> SettingConfig {
    SettingConfig { name: name.into(), column: name.into(), origin: origin(&format!("MAIN.{name}")), unit: unit.into(), conditioning }
}

fn monitor(metrics: &[Metric]) -> MonitorConfig {
    let tests = metrics.iter().map(|metric| TestConfig { metric: Test::Metric(*metric), threshold: None }).collect();
    MonitorConfig { enabled: true, tests, window_rows: 200, hop: 20, consecutive_limit: 3, budget: None }
}

pub(super) fn parameters() -> Vec<ParameterSpec> {
    let spec = |path: &str, value: Scalar, max| ParameterSpec {
        path: path.into(),
        kind: value.kind(),
        default: value.clone(),
        value,
        min: Some(0.0),
        max: Some(max),
        unit: "",
        description: "",
    };
    vec![
        spec("Motor1.Drift.DataDrift.T1.Threshold", Scalar::F64(0.05), 1.0),
        spec("Motor1.Drift.DataDrift.WindowRows", Scalar::U32(200), 10_000.0),
        spec("Motor1.Drift.DataDrift.ConsecutiveLimit", Scalar::U16(3), 1_000.0),
        ParameterSpec { kind: ScalarKind::Bool, min: None, max: None, ..spec("Motor1.Drift.DataDrift.Enabled", Scalar::Bool(true), 0.0) },
        ParameterSpec { unit: "ms", ..spec("Gateway.Configuration.Patience", Scalar::F64(2.0), 60.0) },
    ]
}
