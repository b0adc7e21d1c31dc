//! What happens in the gateway, as events of our own types and as audit events.

use std::sync::Arc;

use opcua::types::{AttributeId, ByteString, LocalizedText, ObjectId, ObjectTypeId, UAString, Variant, VariantScalarTypeId};

use super::{AlarmServer, instance};
use crate::alarm::{AlarmKind, EventId};
use crate::server::events::{Audience, Base, Occurrence};
use crate::server::view::{ascii, sentence};
use crate::types::{BufferState, DriftStatus, Event, EventKind, Timestamp, Verdict};
use crate::wire::opcua::{from_scalar, to_date_time};

/// Of what an operator need not look at.
const NOTE: u16 = 100;
const READY: u16 = 200;

fn text(text: &str) -> Variant {
    UAString::from(text).into()
}

fn known(text: Option<&Arc<str>>) -> Variant {
    self::text(text.map_or("", |t| t))
}

fn number(value: Option<f64>) -> Variant {
    value.filter(|v| v.is_finite()).map_or(Variant::Empty, Variant::from)
}

fn moment(time: Timestamp) -> Variant {
    if time == Timestamp::EPOCH { Variant::Empty } else { to_date_time(time).into() }
}

/// Path of what a monitor's status events come from.
fn monitor_path(machine: &str, monitor: &str) -> String {
    match monitor.split_once('.') {
        Some((model, monitor)) => format!("{machine}.Models.{model}.{monitor}"),
        None if monitor == "machine" => format!("{machine}.Drift"),
        None => format!("{machine}.Drift.{monitor}"),
    }
}

impl AlarmServer {
    /// The event that clients get; `None` where there is none for it. `before` is the key of the regime before this event.
    pub(super) fn event_for(&self, event: &Event, id: EventId, verdict: Option<&Verdict>, before: &str) -> Option<Occurrence> {
        let machine = &event.unit;
        let new = |type_name: &'static str, source: String, severity: u16| {
            let message = ascii(&sentence(event).unwrap_or_default());
            let type_id = self.nodes.type_id(type_name);
            let base = Base { id, type_id, source: instance(&source), source_name: &source, time: event.time, message: &message, severity };
            let mut made = Occurrence::new(base, Audience::Machines(vec![machine.clone()]));
            made.set("MachineName", text(machine));
            made
        };
        Some(match &event.kind {
            EventKind::Status { monitor, status, previous, regime, feature, metric, value, threshold, .. } => {
                let severity = match status {
                    DriftStatus::Drift => AlarmKind::DRIFT,
                    DriftStatus::Warning => AlarmKind::WARNING,
                    _ => NOTE,
                };
                let mut made = new("DriftStatusChangedEventType", monitor_path(machine, monitor), severity);
                let report = verdict.and_then(|v| v.monitors.iter().find(|m| m.name == *monitor && m.status == *status));
                made.set("RegimeKey", known(regime.as_ref()));
                made.set("MonitorName", text(monitor));
                made.set("OldStatus", previous.unwrap_or(DriftStatus::NotEvaluated).code());
                made.set("NewStatus", status.code());
                made.set("Metric", known(metric.as_ref()));
                made.set("MetricValue", number(*value));
                made.set("Threshold", number(*threshold));
                made.set("ConsecutiveCount", report.map_or(Variant::Empty, |r| r.consecutive.into()));
                made.set("TopFeature", known(feature.as_ref()));
                made
            }
            EventKind::Regime { state, key, .. } => {
                let mut made = new("RegimeChangedEventType", format!("{machine}.Regimes"), NOTE);
                made.set("OldRegimeKey", text(before));
                made.set("NewRegimeKey", text(key));
                made.set("NewState", state.code());
                made
            }
            EventKind::Reference { regime, rows } => {
                let mut made = new("ReferenceChangedEventType", format!("{machine}.Regimes"), NOTE);
                made.set("RegimeKey", text(regime));
                made.set("OldReferenceId", text(""));
                made.set("NewReferenceId", text(""));
                made.set("Reason", text(&format!("learned from {rows} rows")));
                made.set("ClientUserId", text(""));
                made
            }
            EventKind::Buffer { slot, state: BufferState::Ready, reason, rows, dataset_id, .. } => {
                let mut made = new("BufferReadyEventType", format!("{machine}.Buffers.B{:02}", slot + 1), READY);
                let report = verdict.and_then(|v| v.buffers.get(usize::from(*slot)));
                made.set("DatasetId", text(dataset_id));
                made.set("Reason", reason.code());
                made.set("Rows", *rows);
                made.set("StartTime", report.map_or(Variant::Empty, |r| moment(r.oldest)));
                made.set("EndTime", report.map_or(Variant::Empty, |r| moment(r.newest)));
                made
            }
            EventKind::Parameter { path, old, new, user, refused } => written(event, id, (path, old, new, user), refused.is_none()),
            EventKind::ReferenceChanged { regime, old, new: newer, reason, user } => {
                let mut made = new("ReferenceChangedEventType", format!("{machine}.Regimes"), NOTE);
                made.set("RegimeKey", text(regime));
                made.set("OldReferenceId", text(old));
                made.set("NewReferenceId", text(newer));
                made.set("Reason", text(reason));
                made.set("ClientUserId", text(user));
                made
            }
            EventKind::ModelChanged { old, new: newer, hash, reason, user } => {
                let mut made = new("ModelChangedEventType", format!("{machine}.Models"), NOTE);
                made.set("OldVersion", text(old));
                made.set("NewVersion", text(newer));
                made.set("NewHash", text(hash));
                made.set("Reason", text(reason));
                made.set("ClientUserId", text(user));
                made
            }
            EventKind::Label { prediction, class, value, user, operator, .. } => {
                let mut made = new("LabelSubmittedEventType", format!("{machine}.Label"), NOTE);
                made.set("PredictionId", text(prediction));
                made.set("LabelClass", *class);
                made.set("TrueValue", number(Some(*value)));
                made.set("OperatorName", text(operator));
                made.set("ClientUserId", text(user));
                made
            }
            EventKind::Command { path, arguments, user, refused, .. } if self.alarm_of(path).is_some() => {
                let mut made = self.condition_audit(event, id, path, user, refused.is_none());
                let named = |wanted: &str| arguments.iter().find(|(name, _)| **name == *wanted).map(|(_, value)| value.to_string());
                if let Some(event_id) = named("EventId").and_then(|hex| from_hex(&hex)) {
                    made.set("ConditionEventId", ByteString::from(event_id));
                }
                made.set("Comment", LocalizedText::new("", &named("Comment").unwrap_or_default()));
                made
            }
            EventKind::Refused { user, action, target, .. } if &**action == "call" && self.alarm_of(target).is_some() => {
                self.condition_audit(event, id, target, user, false)
            }
            EventKind::Command { path, arguments, user, refused, .. } => {
                let mut made = audit(event, id, ObjectTypeId::AuditUpdateMethodEventType, path, user, refused.is_none());
                made.set("MethodId", instance(path));
                // An array of any type holds variants, each with its value.
                let given: Vec<Variant> = arguments.iter().map(|(_, value)| Variant::Variant(Box::new(from_scalar(value)))).collect();
                made.set("InputArguments", (VariantScalarTypeId::Variant, given));
                made
            }
            EventKind::Refused { user, action, target, .. } => {
                let type_id = match &**action {
                    "write" => ObjectTypeId::AuditWriteUpdateEventType,
                    "call" => ObjectTypeId::AuditUpdateMethodEventType,
                    _ => ObjectTypeId::AuditSecurityEventType,
                };
                audit(event, id, type_id, target, user, false)
            }
            EventKind::Session { user, .. } => audit(event, id, ObjectTypeId::AuditActivateSessionEventType, "", user, true),
            _ => return None,
        })
    }
}

impl AlarmServer {
    /// The alarm that a path of a method belongs to.
    pub(in crate::server) fn alarm_of<'a>(&self, path: &'a str) -> Option<&'a str> {
        let (alarm, method) = path.rsplit_once('.')?;
        (super::methods::condition_audit_type(method).is_some() && self.nodes.alarms.contains(&instance(alarm))).then_some(alarm)
    }

    /// An alarm was acknowledged, commented, switched on or off, or somebody was not allowed to.
    fn condition_audit(&self, event: &Event, id: EventId, path: &str, user: &str, done: bool) -> Occurrence {
        let (alarm, method) = path.rsplit_once('.').unwrap_or((path, ""));
        let type_id = super::methods::condition_audit_type(method).unwrap_or(ObjectTypeId::AuditConditionEventType);
        let mut made = audit(event, id, type_id, alarm, user, done);
        made.set("MethodId", instance(path));
        made
    }
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Fields of all audit events.
fn audit(event: &Event, id: EventId, type_id: ObjectTypeId, source: &str, user: &str, done: bool) -> Occurrence {
    let said = || if let EventKind::Command { result, .. } = &event.kind { result.clone() } else { String::new() };
    let message = ascii(&sentence(event).unwrap_or_else(said));
    let severity = if done { NOTE } else { READY };
    // Without a node it is a matter of the server.
    let node = if source.is_empty() { ObjectId::Server.into() } else { instance(source) };
    let source_name = if source.is_empty() { "Server" } else { source };
    let base = Base { id, type_id: type_id.into(), source: node, source_name, time: event.time, message: &message, severity };
    let mut made = Occurrence::new(base, Audience::Server);
    made.set("ActionTimeStamp", to_date_time(event.time));
    made.set("Status", done);
    made.set("ServerId", text("Gateway"));
    made.set("ClientAuditEntryId", text(""));
    made.set("ClientUserId", text(user));
    made
}

/// A parameter was written, or refused.
fn written(event: &Event, id: EventId, what: (&str, &str, &str, &str), done: bool) -> Occurrence {
    let (path, old, new, user) = what;
    let mut made = audit(event, id, ObjectTypeId::AuditWriteUpdateEventType, path, user, done);
    made.set("AttributeId", AttributeId::Value as u32);
    made.set("IndexRange", text(""));
    made.set("OldValue", text(old));
    made.set("NewValue", text(new));
    made
}
