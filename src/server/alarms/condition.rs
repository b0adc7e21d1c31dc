//! An alarm as an event, and as the values of its node.

use opcua::types::{LocalizedText, NodeId, ObjectTypeId, StatusCode, UAString, Variant};

use super::nodes::type_of;
use super::{AlarmServer, instance};
use crate::alarm::{Alarm, AlarmKind, EventId};
use crate::server::events::{Audience, Base, Occurrence};
use crate::server::view::ascii;
use crate::types::{DriftKind, Timestamp};
use crate::wire::opcua::to_date_time;

/// Variable that the alarm follows, below its source.
fn input(kind: AlarmKind) -> &'static str {
    match kind {
        AlarmKind::Drift(_) => "Status",
        AlarmKind::Fault => "FaultDetected",
        AlarmKind::OutOfEnvelope => "ActiveState",
        AlarmKind::SourceDown => "State",
        AlarmKind::Gateway => "Health",
    }
}

/// Class of a condition, and its name.
fn class(kind: AlarmKind) -> (ObjectTypeId, &'static str) {
    match kind {
        AlarmKind::Drift(_) => (ObjectTypeId::StatisticalConditionClassType, "Statistical"),
        AlarmKind::Fault | AlarmKind::OutOfEnvelope => (ObjectTypeId::ProcessConditionClassType, "Process"),
        AlarmKind::SourceDown | AlarmKind::Gateway => (ObjectTypeId::SystemConditionClassType, "System"),
    }
}

/// Sub-classes, with their names.
fn sub_classes(kind: AlarmKind) -> Vec<(ObjectTypeId, &'static str)> {
    match kind {
        AlarmKind::Drift(_) | AlarmKind::Fault => vec![(ObjectTypeId::MaintenanceConditionClassType, "Maintenance")],
        _ => Vec::new(),
    }
}

fn text(text: &str) -> Variant {
    UAString::from(text).into()
}

fn words(text: &str) -> Variant {
    LocalizedText::new("en", text).into()
}

/// A number that is not known is null, never 0.
fn number(value: f64) -> Variant {
    if value.is_finite() { value.into() } else { Variant::Empty }
}

impl AlarmServer {
    /// The event that tells of the alarm's present state.
    pub(super) fn event_of(&self, alarm: &Alarm) -> Occurrence {
        let (spec, state) = (&alarm.spec, &alarm.state);
        let machines = spec.machines.iter().filter_map(|m| self.machines.get(usize::from(*m)).cloned()).collect();
        let base = Base {
            id: state.event_id,
            type_id: type_of(&self.nodes, spec.kind),
            source: instance(spec.source()),
            source_name: spec.source(),
            time: state.time,
            message: &ascii(&state.message),
            severity: state.severity,
        };
        let mut event = Occurrence::new(base, Audience::Machines(machines)).condition(instance(&spec.path));
        standard(&mut event, alarm);
        self.own(&mut event, alarm);
        event
    }

    /// Fields of our alarm types.
    fn own(&self, event: &mut Occurrence, alarm: &Alarm) {
        let (spec, detail) = (&alarm.spec, &alarm.state.detail);
        let machine = spec.machines.first().and_then(|m| self.machines.get(usize::from(*m))).map_or("", |m| m);
        match spec.kind {
            AlarmKind::Drift(kind) => {
                drift(event, alarm, kind);
            }
            AlarmKind::Fault => {
                event.set("PredictionId", text(&format!("{machine}-{}", detail.row)));
                event.set("PredictionClass", u16::from(alarm.state.active));
                event.set("Score", number(detail.value));
                event.set("ScoreThreshold", number(detail.threshold));
            }
            AlarmKind::OutOfEnvelope => event.set("EnvelopeDistance", number(detail.index)),
            AlarmKind::SourceDown => {
                let endpoint = self.endpoints.get(spec.source()).map_or("", |e| e);
                event.set("SourceEndpoint", text(endpoint));
                let known = detail.last_good != Timestamp::EPOCH;
                event.set("LastGoodTime", if known { to_date_time(detail.last_good).into() } else { Variant::Empty });
                return;
            }
            AlarmKind::Gateway => return,
        }
        event.set("MachineName", text(machine));
        event.set("RegimeKey", text(&detail.regime));
    }

    /// Start or end of a refresh.
    pub(super) fn refresh_mark(type_id: ObjectTypeId, id: EventId, time: Timestamp) -> Occurrence {
        let server = opcua::types::ObjectId::Server.into();
        let (source_name, message) = ("Server", "condition refresh");
        let base = Base { id, type_id: type_id.into(), source: server, source_name, time, message, severity: 100 };
        Occurrence::new(base, Audience::Server).unfiltered()
    }
}

fn drift(event: &mut Occurrence, alarm: &Alarm, kind: DriftKind) {
    let detail = &alarm.state.detail;
    event.set("Kind", kind.code());
    event.set("DriftStatus", detail.status);
    event.set("Metric", text(&detail.metric));
    event.set("MetricValue", number(detail.value));
    event.set("Threshold", number(detail.threshold));
    event.set("DriftIndex", number(detail.index));
    event.set("ConsecutiveCount", detail.consecutive);
    event.set("TopFeature", text(&detail.feature));
}

/// Fields of ConditionType, AcknowledgeableConditionType and AlarmConditionType.
fn standard(event: &mut Occurrence, alarm: &Alarm) {
    let (spec, state) = (&alarm.spec, &alarm.state);
    let (class_id, class_name) = class(spec.kind);
    event.set("ConditionClassId", NodeId::from(class_id));
    event.set("ConditionClassName", words(class_name));
    let sub_classes = sub_classes(spec.kind);
    event.set("ConditionSubClassId", sub_classes.iter().map(|(id, _)| NodeId::from(*id)).collect::<Vec<_>>());
    event.set("ConditionSubClassName", sub_classes.iter().map(|(_, name)| LocalizedText::new("en", name)).collect::<Vec<_>>());
    event.set("ConditionName", text(spec.name()));
    event.set("BranchId", NodeId::null());
    event.set("Retain", state.retain());
    let time = |time: Timestamp| Variant::from(to_date_time(time));
    event.set("EnabledState", words(if state.enabled { "Enabled" } else { "Disabled" }));
    event.set("EnabledState/Id", state.enabled);
    event.set("EnabledState/TransitionTime", time(state.enabled_changed));
    event.set("Quality", StatusCode::Good);
    event.set("Quality/SourceTimestamp", time(state.time));
    event.set("LastSeverity", state.last_severity);
    event.set("LastSeverity/SourceTimestamp", time(state.severity_changed));
    let comment = &state.comment;
    event.set("Comment", LocalizedText::new(&comment.locale, &comment.text));
    event.set("Comment/SourceTimestamp", time(comment.time));
    event.set("ClientUserId", text(&comment.user));
    event.set("AckedState", words(if state.acked { "Acknowledged" } else { "Unacknowledged" }));
    event.set("AckedState/Id", state.acked);
    event.set("AckedState/TransitionTime", time(state.acked_changed));
    event.set("ActiveState", words(if state.active { "Active" } else { "Inactive" }));
    event.set("ActiveState/Id", state.active);
    event.set("ActiveState/TransitionTime", time(state.active_changed));
    event.set("InputNode", instance(&format!("{}.{}", spec.source(), input(spec.kind))));
    event.set("SuppressedOrShelved", false);
    event.set("NormalState", NodeId::null());
}
