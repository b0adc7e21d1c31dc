//! An event as its fields.

use std::collections::HashMap;
use std::sync::Arc;

use opcua::types::{AttributeId, ByteString, LocalizedText, NodeId, NumericRange, SimpleAttributeOperand, UAString, Variant};

use crate::alarm::EventId;
use crate::types::Timestamp;
use crate::wire::opcua::to_date_time;

/// Whom an event concerns, besides those who listen to the server as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Nobody: audit events.
    Server,
    /// The gateway, and the machines named.
    Machines(Vec<Arc<str>>),
}

/// What all events have.
pub(crate) struct Base<'a> {
    pub(crate) id: EventId,
    pub(crate) type_id: NodeId,
    pub(crate) source: NodeId,
    pub(crate) source_name: &'a str,
    pub(crate) time: Timestamp,
    pub(crate) message: &'a str,
    /// 1..1000
    pub(crate) severity: u16,
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Occurrence {
    type_id: NodeId,
    /// Of an alarm: the id of its node.
    condition: Option<NodeId>,
    pub(super) audience: Audience,
    /// By path: `AckedState/Id`.
    fields: HashMap<&'static str, Variant>,
    /// Start and end of a refresh: no where clause holds them back.
    pub(super) unfiltered: bool,
}

impl Occurrence {
    pub(crate) fn new(base: Base<'_>, audience: Audience) -> Self {
        let time = Variant::from(to_date_time(base.time));
        let fields = HashMap::from([
            ("EventId", ByteString::from(base.id.0.to_vec()).into()),
            ("EventType", base.type_id.clone().into()),
            ("SourceNode", base.source.into()),
            ("SourceName", UAString::from(base.source_name).into()),
            ("Time", time.clone()),
            ("ReceiveTime", time),
            ("Message", LocalizedText::new("en", base.message).into()),
            ("Severity", base.severity.into()),
        ]);
        Self { type_id: base.type_id, condition: None, audience, fields, unfiltered: false }
    }

    /// The event of an alarm.
    pub(crate) fn condition(mut self, id: NodeId) -> Self {
        self.condition = Some(id);
        self
    }

    /// Passes every where clause.
    pub(crate) fn unfiltered(mut self) -> Self {
        self.unfiltered = true;
        self
    }

    pub(crate) fn set(&mut self, path: &'static str, value: impl Into<Variant>) {
        self.fields.insert(path, value.into());
    }

    pub(crate) fn type_id(&self) -> &NodeId {
        &self.type_id
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static str, &Variant)> {
        self.fields.iter().map(|(path, value)| (*path, value))
    }

    /// What a clause asks for; empty where the event has no such field. Names decide, whatever type the clause is of: clients
    /// ask for fields of many types at once.
    pub(super) fn field(&self, clause: &SimpleAttributeOperand) -> Variant {
        let names: Vec<&str> = clause.browse_path.iter().flatten().map(|name| name.name.as_ref()).collect();
        let value = match AttributeId::from_u32(clause.attribute_id) {
            Ok(AttributeId::NodeId) if names.is_empty() => self.condition.clone().map(Variant::from),
            Ok(AttributeId::Value) => self.fields.get(names.join("/").as_str()).cloned(),
            _ => None,
        };
        match (value, &clause.index_range) {
            (None, _) => Variant::Empty,
            (Some(value), NumericRange::None) => value,
            (Some(value), range) => value.range_of(range).unwrap_or_default(),
        }
    }
}
