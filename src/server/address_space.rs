//! What exists in the address space: the gateway, its sources and machines, from the configuration.
//!
//! ```text
//! Objects ─▶ Gateway ─┬▶ Sources ──▶ <Source>
//!                     └▶ Machines ─▶ <Machine> ─▶ Signals, Settings, Regimes, Models, Drift, Buffers, Summary, ...
//! ```
//! Ids are paths (`ns=2;s=Motor1.Drift.Status`); those of a machine begin with its name.

use std::collections::HashMap;
use std::sync::Arc;

use opcua::nodes::NodeBase;
use opcua::server::address_space::AddressSpace;
use opcua::types::{DataTypeId, DateTime, ExtensionObject, LocalizedText, NamespaceMap, ObjectId, Range, UAString};

use super::alarms::{self, AlarmNodes};
use super::commands::{self, MethodInfo};
use super::history::{Kept, kept};
use super::instantiate::{Instantiator, Shape, VariableInfo, data_type_of, join, node_id};
use super::units::engineering_units;
use super::{INSTANCES, INSTANCES_URI, ParameterSpec, ServerError, TYPES, TYPES_URI, files, nodeset};
use crate::alarm::AlarmSpec;
use crate::config::{
    Conditioning, Config, FaultWhen, LabelValue, MachineConfig, ModbusPlace, ModelConfig, MonitorConfig, Origin, SettingConfig,
    SignalConfig, SourceConfig, SourceKind,
};
use crate::types::{DriftKind, GATEWAY, Scalar, ScalarKind};
use crate::wire::opcua::from_scalar;

/// The ten nodes an HMI screen needs first.
const SUMMARY: [&str; 10] = [
    "Health",
    "Source.State",
    "Regimes.ActiveState",
    "Regimes.ActiveKey",
    "Fault.Detected",
    "Drift.Status",
    "Drift.DriftIndex",
    "Drift.TopFeature",
    "Buffer.State",
    "Alarms.AnyUnacked",
];

/// How histories are to be read: of variables that hold their value until it changes, and of those that go straight to the next.
pub(super) const STEPPED: &str = "Gateway.HistoryOfSteps";
pub(super) const SLOPED: &str = "Gateway.HistoryOfSlopes";

/// Slots of tests in each monitor.
const TEST_SLOTS: usize = 4;

/// Optional children that the verdict can fill.
const FEATURE_DETAILS: [&str; 9] =
    ["PValue", "ReferenceMean", "CurrentMean", "ReferenceStdDev", "CurrentStdDev", "MissingRate", "Shift", "Direction", "Since"];

/// Optional children of a monitor of labels.
const PERFORMANCE_DETAILS: [&str; 8] =
    ["Statement", "ErrorRate", "ReferenceErrorRate", "Precision", "Recall", "LabelledRows", "EstimatedErrorRate", "EstimatedErrorLimit"];

/// What a writable parameter shows beside its value.
const PARAMETER_DETAILS: [&str; 4] = ["DefaultValue", "LastChangedTime", "LastChangedBy", "LastErrorText"];

/// The address space before the server runs.
pub(super) struct Prepared {
    pub(super) space: AddressSpace,
    pub(super) variables: HashMap<Arc<str>, VariableInfo>,
    pub(super) parameters: HashMap<Arc<str>, ParameterSpec>,
    pub(super) kept: Kept,
    pub(super) methods: HashMap<Arc<str>, MethodInfo>,
    /// Variables of command interfaces that can be written.
    pub(super) requests: Vec<ParameterSpec>,
    pub(super) files: HashMap<Arc<str>, files::Target>,
    pub(super) alarms: AlarmNodes,
}

/// Imports the types and makes every instance that the configuration asks for.
pub(super) fn build(config: &Config, parameters: &[ParameterSpec], alarms: &[Arc<AlarmSpec>]) -> Result<Prepared, ServerError> {
    let mut space = AddressSpace::new();
    let mut namespaces = NamespaceMap::new();
    namespaces.add_namespace(&config.server.application_uri);
    let instances = namespaces.add_namespace(INSTANCES_URI);
    space.add_namespace(INSTANCES_URI, instances);
    let types = nodeset::import(&mut space, &mut namespaces)?;
    if (instances, namespaces.get_index(TYPES_URI)) != (INSTANCES, Some(TYPES)) {
        return Err(ServerError::Namespaces);
    }

    let mut nodes = Instantiator::new(&mut space, &types)?;
    gateway(&mut nodes, config)?;
    for source in &config.sources {
        add_source(&mut nodes, source)?;
    }
    for machine in &config.machines {
        add_machine(&mut nodes, config, machine)?;
    }
    for spec in parameters {
        add_parameter(&mut nodes, spec)?;
    }
    let files = files::add(&mut nodes, config)?;
    for (path, stepped) in [(STEPPED, true), (SLOPED, false)] {
        nodes.history_configuration(path, stepped);
    }
    let alarms = alarms::add(&mut nodes, &types, config, alarms)?;
    let kept = kept(config, nodes.variables());
    nodes.describe_histories(&kept);
    let mut requests = commands::prepare(&mut nodes, GATEWAY)?;
    for machine in &config.machines {
        requests.extend(commands::prepare(&mut nodes, &machine.name)?);
    }
    let (variables, methods) = nodes.finish();
    let parameters = parameters.iter().map(|spec| (Arc::clone(&spec.path), spec.clone())).collect();
    Ok(Prepared { space, variables, parameters, kept, methods, requests, files, alarms })
}

fn gateway(nodes: &mut Instantiator<'_>, config: &Config) -> Result<(), ServerError> {
    nodes.object("Gateway", &ObjectId::ObjectsFolder.into(), "Gateway", "GatewayType")?;
    nodes.optional("Gateway.Diagnostics", "GatewayDiagnosticsType", "CycleTimeMax")?;
    nodes.set("Gateway.InstanceName", config.gateway.name.as_str())?;
    nodes.set("Gateway.SoftwareVersion", env!("CARGO_PKG_VERSION"))?;
    nodes.set("Gateway.StartTime", DateTime::now())?;
    nodes.set("Gateway.Heartbeat", 0u32)?;
    nodes.set("Gateway.MachinesTotal", u16::try_from(config.machines.len()).unwrap_or(u16::MAX))?;
    nodes.set("Gateway.Configuration.Hash", config.hash.as_str())?;
    nodes.set("Gateway.Configuration.RestartPending", false)?;
    for name in ["LastErrorText", "LastChangedBy"] {
        nodes.set(&join("Gateway.Configuration", name), "")?;
    }
    nodes.set("Gateway.BuildId", option_env!("DRIFTGATE_BUILD_ID").unwrap_or("local build"))?;
    nodes.set("Gateway.Configuration.Revision", 0u32)
}

fn add_source(nodes: &mut Instantiator<'_>, source: &SourceConfig) -> Result<(), ServerError> {
    let path = join("Gateway.Sources", &source.name);
    nodes.object(&path, &node_id("Gateway.Sources"), &source.name, "SourceConnectionType")?;
    let protocol = match &source.kind {
        SourceKind::OpcUa(_) => "OPC UA",
        SourceKind::Modbus(modbus) => match modbus.place {
            ModbusPlace::Tcp { .. } => "Modbus TCP",
            ModbusPlace::Serial(_) => "Modbus RTU",
        },
    };
    let endpoint = source.endpoint();
    nodes.set(&join(&path, "Protocol"), protocol)?;
    nodes.optional(&path, "SourceConnectionType", "Latency")?;
    for name in ["Endpoint", "Endpoint.EffectiveValue"] {
        nodes.set(&join(&path, name), endpoint.as_str())?;
    }
    for name in ["Enabled", "Enabled.EffectiveValue"] {
        nodes.set(&join(&path, name), source.enabled)?;
    }
    Ok(())
}

fn add_machine(nodes: &mut Instantiator<'_>, config: &Config, machine: &MachineConfig) -> Result<(), ServerError> {
    let path: &str = &machine.name;
    nodes.object(path, &node_id("Gateway.Machines"), path, "MachineType")?;
    for (index, signal) in machine.signals.iter().enumerate() {
        let model_input = machine.models.iter().flat_map(|m| &m.inputs).any(|i| machine.features[*i].signal == index);
        add_signal(nodes, config, path, signal, model_input)?;
    }
    for setting in &machine.settings {
        add_setting(nodes, config, path, setting)?;
    }
    add_regimes(nodes, machine)?;
    nodes.set(&join(path, "Label.ClassNames"), class_names(machine))?;
    for model in &machine.models {
        add_model(nodes, path, model)?;
    }
    describe_monitor(nodes, &join(path, "Drift.DataDrift"), DriftKind::DataDrift, &machine.data_drift)?;
    nodes.optional(&join(path, "Drift.DataDrift"), "DriftMonitorType", "Contributors")?;
    for feature in &machine.features {
        let folder = join(path, "Drift.Features");
        nodes.object(&join(&folder, &feature.name), &node_id(&folder), &feature.name, "FeatureDriftType")?;
        for detail in FEATURE_DETAILS {
            nodes.optional(&join(&folder, &feature.name), "FeatureDriftType", detail)?;
        }
    }
    for check in &machine.checks {
        let folder = join(path, "Checks");
        nodes.object(&join(&folder, &check.name), &node_id(&folder), &check.name, "CheckType")?;
        nodes.set(&join(&join(&folder, &check.name), "Kind"), check.kind.name())?;
    }
    nodes.optional(path, "MachineType", "Summary")?;
    SUMMARY.iter().try_for_each(|node| nodes.organize(&join(path, "Summary"), &join(path, node)))
}

fn add_signal(
    nodes: &mut Instantiator<'_>,
    config: &Config,
    machine: &str,
    signal: &SignalConfig,
    model_input: bool,
) -> Result<(), ServerError> {
    let path =
        nodes.variable(&join(machine, "Signals"), &signal.name, "ProcessSignalType", Shape::scalar(DataTypeId::Double).with_history())?;
    set_origin(nodes, config, &path, signal.origin.as_ref())?;
    nodes.set(&join(&path, "IsModelInput"), model_input)?;
    if let Some(sampling) = signal.origin.as_ref().and_then(|o| o.sampling) {
        nodes.optional(&path, "ProcessSignalType", "SampleInterval")?;
        nodes.set(&join(&path, "SampleInterval"), sampling.as_secs_f64() * 1e3)?;
    }
    if !signal.unit.is_empty() {
        nodes.property(&path, "EngineeringUnits", DataTypeId::EUInformation, engineering_units(&signal.unit));
    }
    if let Some((low, high)) = signal.range {
        let range = ExtensionObject::from_message(Range { low, high });
        nodes.property(&path, "EURange", DataTypeId::Range, range.into());
    }
    Ok(())
}

fn add_setting(nodes: &mut Instantiator<'_>, config: &Config, machine: &str, setting: &SettingConfig) -> Result<(), ServerError> {
    // A category may be a number or a text: only its first value tells.
    let data_type = match setting.conditioning {
        Conditioning::Bins(_) | Conditioning::Tolerance(_) | Conditioning::Regression(_) => DataTypeId::Double,
        Conditioning::Category | Conditioning::Ignored => DataTypeId::BaseDataType,
    };
    let path = nodes.variable(&join(machine, "Settings"), &setting.name, "MachineSettingType", Shape::scalar(data_type).with_history())?;
    set_origin(nodes, config, &path, setting.origin.as_ref())?;
    nodes.set(&join(&path, "IsConditioning"), setting.conditioning != Conditioning::Ignored)?;
    nodes.optional(&path, "MachineSettingType", "LastChangedTime")?;
    if let Some(width) = bin_width(&setting.conditioning) {
        nodes.optional(&path, "MachineSettingType", "BinWidth")?;
        nodes.set(&join(&path, "BinWidth"), width)?;
    }
    if !setting.unit.is_empty() {
        nodes.optional(&path, "MachineSettingType", "EngineeringUnits")?;
        nodes.set(&join(&path, "EngineeringUnits"), engineering_units(&setting.unit))?;
    }
    Ok(())
}

/// What a step of a setting's key spans; `None` where there are no steps, or of several widths.
fn bin_width(conditioning: &Conditioning) -> Option<f64> {
    match conditioning {
        Conditioning::Tolerance(off) => Some(2.0 * off),
        Conditioning::Bins(edges) => {
            let mut widths = edges.windows(2).filter_map(|pair| Some(pair.get(1)? - pair.first()?));
            let first = widths.next()?;
            widths.all(|width| (width - first).abs() <= 1e-9 * first.abs()).then_some(first)
        }
        Conditioning::Ignored | Conditioning::Category | Conditioning::Regression(_) => None,
    }
}

/// Address and source of a channel; both empty where it exists in recorded data only.
fn set_origin(nodes: &mut Instantiator<'_>, config: &Config, path: &str, origin: Option<&Origin>) -> Result<(), ServerError> {
    let address = origin.map_or("", |o| o.address.as_str());
    let source = origin.and_then(|o| config.sources.get(o.source)).map_or("", |s| &*s.name);
    nodes.set(&join(path, "SourceAddress"), address)?;
    nodes.set(&join(path, "SourceName"), source)
}

/// What the classes of a label mean: `0=healthy;1=worn bearing`, or `2=fault;3=fault;other=healthy`.
fn class_names(machine: &MachineConfig) -> String {
    if !machine.classes.is_empty() {
        let named = machine.classes.iter().enumerate().map(|(class, name)| format!("{class}={name}"));
        return named.collect::<Vec<_>>().join(";");
    }
    let listed = machine.labels().find_map(|label| match &label.fault {
        FaultWhen::Listed(values) => Some(values.iter().filter_map(|v| if let LabelValue::Number(n) = v { Some(*n) } else { None })),
        FaultWhen::Positive | FaultWhen::Outside(..) => None,
    });
    let faults: String = listed.into_iter().flatten().map(|class| format!("{class}=fault;")).collect();
    if faults.is_empty() { "0=healthy;1=fault".into() } else { format!("{faults}other=healthy") }
}

fn add_regimes(nodes: &mut Instantiator<'_>, machine: &MachineConfig) -> Result<(), ServerError> {
    let regimes = join(&machine.name, "Regimes");
    nodes.optional(&regimes, "RegimeSetType", "EnvelopeDistance")?;
    nodes.set(&join(&regimes, "SlotsTotal"), machine.regime_slots)?;
    for slot in 1..=machine.regime_slots {
        let name = format!("R{slot:02}");
        nodes.object(&join(&regimes, &name), &node_id(&regimes), &name, "RegimeType")?;
    }
    Ok(())
}

fn add_model(nodes: &mut Instantiator<'_>, machine: &str, model: &ModelConfig) -> Result<(), ServerError> {
    let models = join(machine, "Models");
    let path = join(&models, &model.name);
    nodes.object(&path, &node_id(&models), &model.name, "ModelManagementType")?;
    describe_monitor(nodes, &join(&path, "PredictionDrift"), DriftKind::PredictionDrift, &model.prediction_drift)?;
    let Some(performance) = &model.performance else { return Ok(()) };
    nodes.optional(&path, "ModelManagementType", "PerformanceDrift")?;
    nodes.optional(&join(&path, "Inference"), "InferenceType", "Confidence")?;
    let monitor = join(&path, "PerformanceDrift");
    PERFORMANCE_DETAILS.iter().try_for_each(|detail| nodes.optional(&monitor, "DriftMonitorType", detail))?;
    describe_monitor(nodes, &monitor, DriftKind::PerformanceDrift, &performance.drift)
}

/// What a monitor is: its kind, which tests it has. All slots exist, so that bindings stay valid.
fn describe_monitor(nodes: &mut Instantiator<'_>, path: &str, kind: DriftKind, config: &MonitorConfig) -> Result<(), ServerError> {
    nodes.set(&join(path, "Kind"), kind.code())?;
    nodes.set(&join(path, "Kind.ValueAsText"), LocalizedText::from(kind.name()))?;
    let budget = config.budget.map_or_else(String::new, |b| b.to_string());
    for name in ["Budget", "Budget.EffectiveValue"] {
        nodes.set(&join(path, name), budget.as_str())?;
    }
    for slot in 0..TEST_SLOTS {
        let test = join(path, &format!("T{}", slot + 1));
        nodes.optional(&test, "DriftTestType", "PValue")?;
        nodes.set(&join(&test, "InUse"), slot < config.tests.len())?;
        for name in ["Name", "Name.EffectiveValue"] {
            nodes.set(&join(&test, name), config.tests.get(slot).map_or("", |t| t.metric.name()))?;
        }
    }
    Ok(())
}

/// Makes the variable of a parameter writable; one that no type declares is added below its parent.
fn add_parameter(nodes: &mut Instantiator<'_>, spec: &ParameterSpec) -> Result<(), ServerError> {
    let path: &str = &spec.path;
    let data_type = data_type_of(spec.kind);
    if !nodes.exists(path)
        && let Some(setting) = path.strip_suffix(".Tolerance")
    {
        nodes.optional(setting, "MachineSettingType", "Tolerance")?;
    }
    if !nodes.exists(path) {
        let (parent, name) = path.rsplit_once('.').filter(|(p, _)| nodes.exists(p)).ok_or_else(|| ServerError::MissingNode(path.into()))?;
        nodes.variable(parent, name, "ConfigParameterType", Shape::scalar(data_type))?;
    }
    check_kinds(nodes, spec)?;

    let unit = (!spec.unit.is_empty()).then_some("EngineeringUnits");
    let limits = spec.min.map(|_| "MinValue").into_iter().chain(spec.max.map(|_| "MaxValue"));
    let allowed = (!spec.allowed.is_empty()).then_some("AllowedValues");
    for name in PARAMETER_DETAILS.into_iter().chain(limits).chain(unit).chain(allowed) {
        nodes.optional(path, "ConfigParameterType", name)?;
    }
    for name in ["EffectiveValue", "DefaultValue"] {
        nodes.narrow(&join(path, name), data_type)?;
    }

    let values = [(path, &spec.value), (&*join(path, "EffectiveValue"), &spec.value), (&*join(path, "DefaultValue"), &spec.default)];
    for (path, value) in values.into_iter().filter(|(_, value)| is_known(value)) {
        nodes.set(path, from_scalar(value))?;
    }
    nodes.set(&join(path, "LastErrorText"), "")?;
    for (name, limit) in [("MinValue", spec.min), ("MaxValue", spec.max)] {
        limit.map_or(Ok(()), |limit| nodes.set(&join(path, name), limit))?;
    }
    if allowed.is_some() {
        let texts: Vec<UAString> = spec.allowed.iter().map(|text| UAString::from(*text)).collect();
        nodes.set(&join(path, "AllowedValues"), texts)?;
    }
    if [".Budget", ".ScoreThreshold"].iter().any(|name| path.ends_with(name)) {
        // What is in use may be the model's own: the view says it.
        nodes.unfollow(path);
        for name in ["Pending", "PendingText"] {
            nodes.optional(path, "ConfigParameterType", name)?;
        }
    }
    if unit.is_some() {
        nodes.set(&join(path, "EngineeringUnits"), engineering_units(spec.unit))?;
    }
    nodes.writable(path)?;
    nodes.change(path, |variable| {
        if !spec.description.is_empty() {
            variable.set_description(LocalizedText::from(spec.description));
        }
    })
}

/// A parameter that training sets is NaN before.
fn is_known(value: &Scalar) -> bool {
    !matches!(value, Scalar::F64(x) if x.is_nan())
}

/// The type of the variable, of the value and of the default must be the specified one.
fn check_kinds(nodes: &Instantiator<'_>, spec: &ParameterSpec) -> Result<(), ServerError> {
    let kinds: [Option<ScalarKind>; 3] = [nodes.kind(&spec.path), Some(spec.value.kind()), Some(spec.default.kind())];
    match kinds.iter().find(|kind| **kind != Some(spec.kind)) {
        None => Ok(()),
        Some(found) => Err(ServerError::ParameterType { path: spec.path.to_string(), expected: spec.kind, found: *found }),
    }
}
