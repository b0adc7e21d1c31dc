//! What clients do with alarms: acknowledge, comment, switch off and on, refresh; by methods and by the acknowledgement words.

use std::sync::Arc;

use opcua::server::node_manager::{MethodCall, ParsedWriteValue, RequestContext};
use opcua::types::{AttributeId, MethodId, NodeId, NumericRange, ObjectTypeId, StatusCode, Variant};

use super::nodes::METHODS;
use super::{AlarmAction, AlarmServer};
use crate::alarm::{AlarmError, EventId};
use crate::server::access::user_name;
use crate::server::events::Target;
use crate::server::node_manager::instance_path;
use crate::server::publish::now;
use crate::server::roles::Action;
use crate::types::one_line;

/// The type of the audit event of a method of alarms.
pub(super) fn condition_audit_type(method: &str) -> Option<ObjectTypeId> {
    Some(match method {
        "Acknowledge" => ObjectTypeId::AuditConditionAcknowledgeEventType,
        "AddComment" => ObjectTypeId::AuditConditionCommentEventType,
        "Enable" | "Disable" => ObjectTypeId::AuditConditionEnableEventType,
        _ => return None,
    })
}

/// Name of a method of alarms by its id in namespace 0.
pub(in crate::server) fn method_name(method: &NodeId) -> Option<&'static str> {
    METHODS.iter().find(|(_, id, _)| *method == NodeId::from(*id)).map(|(name, ..)| *name)
}

fn status(error: AlarmError) -> StatusCode {
    match error {
        AlarmError::Unknown => StatusCode::BadNodeIdUnknown,
        AlarmError::EventUnknown => StatusCode::BadEventIdUnknown,
        AlarmError::AlreadyAcknowledged => StatusCode::BadConditionBranchAlreadyAcked,
        AlarmError::Disabled => StatusCode::BadConditionDisabled,
        AlarmError::AlreadyDisabled => StatusCode::BadConditionAlreadyDisabled,
        AlarmError::AlreadyEnabled => StatusCode::BadConditionAlreadyEnabled,
        AlarmError::NoAnswer => StatusCode::BadTimeout,
    }
}

impl AlarmServer {
    /// Answers a call that is for an alarm, or a refresh; false where it is neither. On a node of an alarm the method is known by its
    /// own node, or by its type's in namespace 0.
    pub(in crate::server) async fn call(&self, context: &RequestContext, call: &mut MethodCall) -> bool {
        self.hub.saw(context.session_id);
        if let Some(answer) = self.refresh(context, call) {
            answered(call, answer);
            return true;
        }
        let Some(alarm) = instance_path(call.object_id()).filter(|_| self.nodes.alarms.contains(call.object_id())) else { return false };
        let name = |method: &NodeId| match instance_path(method) {
            Some(path) => path.strip_prefix(alarm).and_then(|rest| rest.strip_prefix('.')).map(str::to_string),
            None => METHODS.iter().find(|(_, id, _)| *method == NodeId::from(*id)).map(|(name, ..)| name.to_string()),
        };
        let Some(method) = name(call.method_id()).filter(|name| METHODS.iter().any(|(known, ..)| known == name)) else { return false };
        let denied = self.denied(context, &format!("{alarm}.{method}"), Action::Call);
        let answer = if denied {
            Err(Answer::Status(StatusCode::BadUserAccessDenied))
        } else {
            self.act(context, &alarm.into(), &method, call.arguments()).await
        };
        answered(call, answer);
        true
    }

    async fn act(&self, context: &RequestContext, alarm: &Arc<str>, method: &str, arguments: &[Variant]) -> Result<(), Answer> {
        let alarm = Arc::clone(alarm);
        let (action, comment, locale) = match method {
            "Enable" | "Disable" => {
                expect_count(arguments, 0)?;
                (AlarmAction::Enable { alarm, enabled: method == "Enable" }, String::new(), String::new())
            }
            _ => {
                expect_count(arguments, 2)?;
                let (event, comment) = (&arguments[0], &arguments[1]);
                let kinds = [matches!(event, Variant::ByteString(_)), matches!(comment, Variant::LocalizedText(_) | Variant::Empty)];
                let (Variant::ByteString(event), [true, true]) = (event, kinds) else { return Err(Answer::Types(kinds.to_vec())) };
                let event = event_id(event.as_ref()).ok_or(Answer::Status(StatusCode::BadEventIdUnknown))?;
                let (comment, locale) = match comment {
                    Variant::LocalizedText(text) => (one_line(text.text.as_ref()), one_line(text.locale.as_ref())),
                    _ => (String::new(), String::new()),
                };
                let action =
                    if method == "Acknowledge" { AlarmAction::Acknowledge { alarm, event } } else { AlarmAction::Comment { alarm, event } };
                (action, comment, locale)
            }
        };
        let done = self.requests.ask(action, &comment, &locale, user_name(&context.token)).await;
        done.map(|_| ()).map_err(|error| Answer::Status(status(error)))
    }

    /// Writes to an acknowledgement word; `None` where the variable is none. It reads 0 at all times.
    pub(in crate::server) async fn write(&self, context: &RequestContext, written: &ParsedWriteValue) -> Option<StatusCode> {
        let scope = self.nodes.word(instance_path(&written.node_id)?)?;
        if written.attribute_id != AttributeId::Value {
            return Some(StatusCode::BadNotWritable);
        }
        if !matches!(written.index_range, NumericRange::None) || written.value.status.is_some_and(|status| !status.is_good()) {
            return Some(StatusCode::BadWriteNotSupported);
        }
        let Some(Variant::UInt16(bits)) = written.value.value else { return Some(StatusCode::BadTypeMismatch) };
        let done = self.requests.ask(AlarmAction::AcknowledgeAll { scope, bits }, "", "", user_name(&context.token)).await;
        Some(done.map_or_else(status, |_| StatusCode::Good))
    }

    /// Tells a subscription, or one of its items, of all alarms that are still of interest.
    fn refresh(&self, context: &RequestContext, call: &MethodCall) -> Option<Result<(), Answer>> {
        let one = *call.method_id() == NodeId::from(MethodId::ConditionType_ConditionRefresh2);
        if !one && *call.method_id() != NodeId::from(MethodId::ConditionType_ConditionRefresh) {
            return None;
        }
        if self.denied(context, "Gateway.ConditionRefresh", Action::Call) {
            return Some(Err(Answer::Status(StatusCode::BadUserAccessDenied)));
        }
        Some(self.refreshed(context, call.arguments(), one))
    }

    fn refreshed(&self, context: &RequestContext, arguments: &[Variant], one: bool) -> Result<(), Answer> {
        expect_count(arguments, if one { 2 } else { 1 })?;
        let numbers: Option<Vec<u32>> = arguments.iter().map(|a| if let Variant::UInt32(n) = a { Some(*n) } else { None }).collect();
        let numbers = numbers.ok_or_else(|| Answer::Types(arguments.iter().map(|a| matches!(a, Variant::UInt32(_))).collect()))?;
        if !Self::owns(&context.subscriptions, context.session_id, numbers[0]) {
            return Err(Answer::Status(StatusCode::BadSubscriptionIdInvalid));
        }
        let target = match numbers.as_slice() {
            [subscription_id, monitored_item_id] => Target::Item(opcua::server::MonitoredItemHandle {
                subscription_id: *subscription_id,
                monitored_item_id: *monitored_item_id,
            }),
            _ => Target::Subscription(numbers[0]),
        };
        if !self.hub.contains(target) {
            return Err(Answer::Status(if one { StatusCode::BadMonitoredItemIdInvalid } else { StatusCode::BadNothingToDo }));
        }
        let types = context.type_tree.read();
        let mark = |kind, number| Self::refresh_mark(kind, EventId::new(now(), number), now());
        let emit = |event| self.hub.emit(&context.subscriptions, &*types, &event, target);
        emit(mark(ObjectTypeId::RefreshStartEventType, u64::MAX - 1));
        self.retained().iter().for_each(|alarm| emit(self.event_of(alarm)));
        emit(mark(ObjectTypeId::RefreshEndEventType, u64::MAX));
        Ok(())
    }

    /// Alarms that an operator still has to know of, oldest change first.
    fn retained(&self) -> Vec<crate::alarm::Alarm> {
        let mut alarms: Vec<_> = self.mirror.lock().values().filter(|a| a.state.retain()).cloned().collect();
        alarms.sort_by_key(|alarm| (alarm.state.time, alarm.state.event_id.0));
        alarms
    }
}

/// Why a call fails.
enum Answer {
    Status(StatusCode),
    /// Which arguments are of the right type.
    Types(Vec<bool>),
}

fn answered(call: &mut MethodCall, answer: Result<(), Answer>) {
    match answer {
        Ok(()) => call.set_status(StatusCode::Good),
        Err(Answer::Status(status)) => call.set_status(status),
        Err(Answer::Types(fits)) => {
            let results = fits.iter().map(|fits| if *fits { StatusCode::Good } else { StatusCode::BadTypeMismatch });
            call.set_argument_error(results.collect());
        }
    }
}

fn expect_count(arguments: &[Variant], count: usize) -> Result<(), Answer> {
    match arguments.len() {
        n if n < count => Err(Answer::Status(StatusCode::BadArgumentsMissing)),
        n if n > count => Err(Answer::Status(StatusCode::BadTooManyArguments)),
        _ => Ok(()),
    }
}

fn event_id(bytes: &[u8]) -> Option<EventId> {
    bytes.try_into().ok().map(EventId)
}
