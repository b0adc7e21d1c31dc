//! The alarms in the address space: static instances under readable ids, so that clients which must know their alarms beforehand
//! can bind them.

use std::collections::HashMap;
use std::sync::Arc;

use opcua::nodes::{AccessLevel, Method};
use opcua::types::{Argument, DataTypeId, LocalizedText, MethodId, NodeId, ObjectId, ObjectTypeId, ReferenceTypeId, Variant};
use opcua::types::{ExtensionObject, VariantScalarTypeId};

use crate::alarm::{AlarmKind, AlarmSpec, Scope};
use crate::config::Config;
use crate::server::ServerError;
use crate::server::instantiate::{Instantiator, join, node_id};
use crate::server::nodeset::Types;

/// Event types of our nodeset that are raised.
const EVENT_TYPES: [&str; 10] = [
    "DriftStatusChangedEventType",
    "RegimeChangedEventType",
    "ReferenceChangedEventType",
    "ModelChangedEventType",
    "BufferReadyEventType",
    "LabelSubmittedEventType",
    "DriftAlarmType",
    "OutOfEnvelopeAlarmType",
    "FaultDetectedAlarmType",
    "SourceDownAlarmType",
];

/// Methods of an alarm, with the id of each in namespace 0, and whether it takes an event and a comment.
pub(super) const METHODS: [(&str, MethodId, bool); 4] = [
    ("Acknowledge", MethodId::AcknowledgeableConditionType_Acknowledge, true),
    ("AddComment", MethodId::ConditionType_AddComment, true),
    ("Enable", MethodId::ConditionType_Enable, false),
    ("Disable", MethodId::ConditionType_Disable, false),
];

/// What of the address space alarms and events need to know.
#[derive(Default)]
pub(in crate::server) struct AlarmNodes {
    types: HashMap<&'static str, NodeId>,
    /// Writable acknowledgement words.
    words: HashMap<String, Scope>,
    pub(super) alarms: Vec<NodeId>,
}

impl AlarmNodes {
    /// Id of one of our event types.
    pub(super) fn type_id(&self, name: &'static str) -> NodeId {
        self.types.get(name).cloned().unwrap_or_else(NodeId::null)
    }

    /// Whose alarms the variable acknowledges.
    pub(super) fn word(&self, path: &str) -> Option<Scope> {
        self.words.get(path).copied()
    }

    /// Ids of the alarms and of the methods that may be called on each by their ids in namespace 0.
    pub(in crate::server) fn standard_methods(&self) -> impl Iterator<Item = (&NodeId, NodeId)> {
        self.alarms.iter().flat_map(|alarm| METHODS.iter().map(move |(_, id, _)| (alarm, NodeId::from(*id))))
    }
}

/// Adds alarms, their methods, the notifiers and the acknowledgement words.
pub(in crate::server) fn add(
    nodes: &mut Instantiator<'_>,
    types: &Types,
    config: &Config,
    specs: &[Arc<AlarmSpec>],
) -> Result<AlarmNodes, ServerError> {
    let mut known = AlarmNodes::default();
    for name in EVENT_TYPES {
        known.types.insert(name, types.get(name)?);
    }
    nodes.notifier("Gateway", &ObjectId::Server.into())?;
    acknowledgement(nodes, &mut known, "Gateway", Scope::Gateway)?;
    for (index, machine) in config.machines.iter().enumerate() {
        nodes.notifier(&machine.name, &node_id("Gateway"))?;
        acknowledgement(nodes, &mut known, &machine.name, Scope::Machine(index as u16))?;
    }
    for spec in specs {
        alarm(nodes, spec)?;
        known.alarms.push(node_id(&spec.path));
    }
    Ok(known)
}

fn acknowledgement(nodes: &mut Instantiator<'_>, known: &mut AlarmNodes, owner: &str, scope: Scope) -> Result<(), ServerError> {
    let path = join(owner, "Alarms.AckWord");
    nodes.set(&path, 0u16)?;
    nodes.change(&path, |variable| {
        let access = AccessLevel::CURRENT_READ | AccessLevel::CURRENT_WRITE;
        variable.set_access_level(access);
        variable.set_user_access_level(access);
    })?;
    known.words.insert(path, scope);
    Ok(())
}

fn alarm(nodes: &mut Instantiator<'_>, spec: &AlarmSpec) -> Result<(), ServerError> {
    let owner_type = match spec.kind {
        AlarmKind::Drift(_) => "DriftMonitorType",
        AlarmKind::Fault => "InferenceType",
        AlarmKind::OutOfEnvelope => "RegimeSetType",
        AlarmKind::SourceDown => "SourceConnectionType",
        AlarmKind::Gateway => "GatewayType",
    };
    let (path, source) = (&*spec.path, spec.source());
    // Names follow from its own path: the owner's is all but the last part.
    let name = match spec.kind {
        AlarmKind::Drift(_) => "DriftAlarm",
        AlarmKind::Fault => "FaultDetectedAlarm",
        AlarmKind::OutOfEnvelope => "OutOfEnvelopeAlarm",
        AlarmKind::SourceDown => "SourceDownAlarm",
        AlarmKind::Gateway => "GatewayAlarm",
    };
    nodes.optional(source, owner_type, name)?;
    nodes.refer(source, path, ReferenceTypeId::HasCondition);
    let notifier = spec.machines.first().and_then(|_| spec.path.split('.').next()).filter(|m| *m != "Gateway").unwrap_or("Gateway");
    if notifier != source {
        nodes.refer(notifier, source, ReferenceTypeId::HasEventSource);
    }
    for (method, _, with_event) in METHODS {
        add_method(nodes, path, method, with_event);
    }
    Ok(())
}

fn add_method(nodes: &mut Instantiator<'_>, alarm: &str, name: &'static str, with_event: bool) {
    let path = join(alarm, name);
    if nodes.exists(&path) {
        return;
    }
    nodes.insert_method(alarm, Method::new(&node_id(&path), name, name, true, true));
    if with_event {
        let argument = |name: &str, data_type: DataTypeId, text: &str| {
            let description = LocalizedText::new("", text);
            ExtensionObject::from_message(Argument {
                name: name.into(),
                data_type: data_type.into(),
                value_rank: -1,
                array_dimensions: None,
                description,
            })
        };
        let arguments: Vec<Variant> = vec![
            argument("EventId", DataTypeId::ByteString, "The identifier for the event to comment.").into(),
            argument("Comment", DataTypeId::LocalizedText, "The comment to add to the condition.").into(),
        ];
        let value = Variant::from((VariantScalarTypeId::ExtensionObject, arguments));
        nodes.argument_list(&path, "InputArguments", value);
    }
}

/// Type of an alarm's node, of ours or of namespace 0.
pub(super) fn type_of(nodes: &AlarmNodes, kind: AlarmKind) -> NodeId {
    match kind {
        AlarmKind::Drift(_) => nodes.type_id("DriftAlarmType"),
        AlarmKind::Fault => nodes.type_id("FaultDetectedAlarmType"),
        AlarmKind::OutOfEnvelope => nodes.type_id("OutOfEnvelopeAlarmType"),
        AlarmKind::SourceDown => nodes.type_id("SourceDownAlarmType"),
        AlarmKind::Gateway => ObjectTypeId::SystemDiagnosticAlarmType.into(),
    }
}
