//! A small configuration for the tests of this room.

use std::sync::Arc;

use super::ParameterSpec;
use crate::alarm::{AlarmLayout, AlarmSpec};
use crate::config::Config;
use crate::types::{Scalar, ScalarKind};

const CONFIG: &str = r#"
[gateway]
name = "Line1"
[server]
application_uri = "urn:driftgate:test"
[[sources]]
name = "PLC1"
protocol = "opcua"
endpoint = "opc.tcp://127.0.0.1:4841/"
[[machines]]
name = "Motor1"
trigger = "Flux"
learn_rows = 400
regime_slots = 8
[[machines.settings]]
name = "Voltage"
address = "ns=4;s=GVL.rVoltage"
unit = "V"
tolerance = 5.0
[[machines.settings]]
name = "Product"
address = "ns=4;s=GVL.sProduct"
category = true
[[machines.signals]]
name = "Flux"
address = "ns=4;s=MAIN.aFlux"
unit = "mWb"
block = { length = 256, rate = 2560.0 }
features = ["rms"]
[[machines.signals]]
name = "Temperature"
address = "ns=4;s=MAIN.rTemperature"
unit = "degC"
range = [-40.0, 200.0]
[[machines.models]]
name = "Stator"
inputs = ["Flux_rms"]
[machines.models.label]
address = "ns=4;s=GVL.iScrap"
[machines.data_drift]
tests = ["kolmogorov_smirnov", "wasserstein"]
"#;

pub(super) fn config() -> Config {
    Config::parse(CONFIG).unwrap_or_else(|errors| panic!("{errors}"))
}

pub(super) fn parameters() -> Vec<ParameterSpec> {
    let spec = |path: &str, value: Scalar, max| ParameterSpec {
        path: path.into(),
        kind: value.kind(),
        default: value.clone(),
        value,
        min: Some(0.0),
        max: Some(max),
        allowed: &[],
        unit: "",
        description: "",
    };
    vec![
        spec("Motor1.Drift.DataDrift.T1.Threshold", Scalar::F64(0.05), 1.0),
        spec("Motor1.Drift.DataDrift.WindowRows", Scalar::U32(200), 10_000.0),
        spec("Motor1.Drift.DataDrift.ConsecutiveLimit", Scalar::U16(3), 1_000.0),
        ParameterSpec { kind: ScalarKind::Bool, min: None, max: None, ..spec("Motor1.Drift.DataDrift.Enabled", Scalar::Bool(true), 0.0) },
        ParameterSpec { unit: "ms", ..spec("Gateway.Configuration.Patience", Scalar::F64(2.0), 60.0) },
        // Known only after training.
        spec("Motor1.Models.Stator.Inference.ScoreThreshold", Scalar::F64(f64::NAN), 1.0),
    ]
}

pub(super) fn alarms() -> Vec<Arc<AlarmSpec>> {
    let mut layout = AlarmLayout::default();
    layout.machine(0, "Motor1", [("Stator", true)].into_iter());
    layout.source("PLC1", vec![0]);
    layout.finish()
}
