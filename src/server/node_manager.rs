//! Our namespaces as the stack sees them: reads from memory, subscriptions, writes of parameters.

use std::sync::Arc;

use async_trait::async_trait;
use opcua::nodes::{AccessLevel, NodeType};
use opcua::server::CreateMonitoredItem;
use opcua::server::address_space::{AddressSpace, user_access_level};
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::InMemoryNodeManagerImpl;
use opcua::server::node_manager::{
    HistoryNode, MethodCall, MonitoredItemRef, MonitoredItemUpdateRef, ParsedWriteValue, RequestContext, ServerContext, WriteNode,
};
use opcua::sync::RwLock;
use opcua::types::{
    AttributeId, IdType, Identifier, MonitoringMode, NodeId, ReadProcessedDetails, ReadRawModifiedDetails, StatusCode, TimestampsToReturn,
    Variant,
};

use super::access::user_name;
use super::alarms::AlarmServer;
use super::audit::Audit;
use super::commands;
use super::history::Histories;
use super::parameter::{self, ANSWER_TIMEOUT, Rejection};
use super::publish::{Shared, Values, current, now, own};
use super::view::ascii;
use super::{CommandSender, INSTANCES, INSTANCES_URI, NodeUpdate, ParameterSpec, TYPES, TYPES_URI};
use crate::types::{EventKind, Scalar};

/// Longest text of a refused value in an event, characters.
const MAX_SAID: usize = 100;
/// Longest text of an error in a node, bytes.
const MAX_ERROR: usize = 1_000;

pub(super) struct GatewayNodes {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: CommandSender,
    pub(super) histories: Histories,
    pub(super) audit: Arc<Audit>,
    pub(super) alarms: Arc<AlarmServer>,
}

impl GatewayNodes {
    /// One written value. The lock of the address space is not held while the owner of the state decides.
    async fn write_one(&self, context: &RequestContext, space: &RwLock<AddressSpace>, written: &ParsedWriteValue) -> StatusCode {
        if let Some(status) = self.alarms.write(context, written).await {
            return status;
        }
        if let Some(status) = commands::write(self, context, space, written).await {
            return status;
        }
        let spec = match self.writable(context, space, written) {
            Ok(spec) => spec,
            Err(status) => return status,
        };
        let user = user_name(&context.token);
        let result = match parameter::check(spec, &written.value, &written.index_range) {
            Ok(value) => {
                let answer = parameter::submit(&self.commands, Arc::clone(&spec.path), value.clone(), user, ANSWER_TIMEOUT).await;
                answer.map(|()| value)
            }
            Err(rejection) => {
                self.keep_refused(space, spec, written, user, &rejection);
                Err(rejection)
            }
        };
        let values = Values { space, subscriptions: &context.subscriptions, shared: &self.shared };
        values.set(&consequences(spec, user, &result, revision(space)));
        result.map_or_else(|rejection| rejection.status, |_| StatusCode::Good)
    }

    /// A called method by the path of its instance; one that is none of ours is left alone.
    pub(super) async fn call_path(&self, context: &RequestContext, space: &RwLock<AddressSpace>, path: &str, call: &mut MethodCall) {
        if let Some(info) = self.shared.methods.get(path) {
            commands::call(self, context, space, (path, info), call).await;
        }
    }

    /// A write that never reached the owner is kept all the same.
    fn keep_refused(
        &self,
        space: &RwLock<AddressSpace>,
        spec: &ParameterSpec,
        written: &ParsedWriteValue,
        user: &str,
        rejection: &Rejection,
    ) {
        let old = match space.read().find((INSTANCES, &*spec.path)) {
            Some(NodeType::Variable(variable)) => current(variable).value.map(|v| v.to_string()).unwrap_or_default(),
            _ => String::new(),
        };
        let new = written.value.value.as_ref().map(said).unwrap_or_default();
        let refused = Some(rejection.text.clone());
        let kind = EventKind::Parameter { path: Arc::clone(&spec.path), old, new, user: user.into(), refused };
        self.audit.keep(kind);
    }

    /// The parameter behind a node, if there is one that this session may write.
    fn writable(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        written: &ParsedWriteValue,
    ) -> Result<&ParameterSpec, StatusCode> {
        let space = space.read();
        let node = space.find(&written.node_id).ok_or(StatusCode::BadNodeIdUnknown)?;
        if written.attribute_id != AttributeId::Value || !matches!(node, NodeType::Variable(_)) {
            return Err(StatusCode::BadNotWritable);
        }
        let spec = instance_path(&written.node_id).and_then(|path| self.shared.parameters.get(path)).ok_or(StatusCode::BadNotWritable)?;
        if user_access_level(context, node).contains(AccessLevel::CURRENT_WRITE) { Ok(spec) } else { Err(StatusCode::BadUserAccessDenied) }
    }
}

/// What somebody wanted to write, as long as an event can bear. An array may be large: only that it is one is said.
pub(super) fn said(value: &Variant) -> String {
    match value {
        Variant::Array(array) => format!("an array of {} values", array.values.len()),
        Variant::ByteString(_) | Variant::XmlElement(_) | Variant::ExtensionObject(_) => "no scalar".into(),
        scalar => scalar.to_string().chars().take(MAX_SAID).collect(),
    }
}

/// What an accepted or refused write changes.
fn consequences(spec: &ParameterSpec, user: &str, result: &Result<Scalar, Rejection>, revision: u32) -> Vec<NodeUpdate> {
    let path = &spec.path;
    let error = |rejection: &Rejection| {
        let text = ascii(&rejection.text);
        text[..text.floor_char_boundary(MAX_ERROR)].to_string()
    };
    match result {
        Ok(value) => vec![
            own(Arc::clone(path), value.clone()),
            own(format!("{path}.LastChangedTime"), Scalar::Time(now())),
            own(format!("{path}.LastChangedBy"), user),
            own(format!("{path}.LastErrorText"), ""),
            own("Gateway.Configuration.LastChangedTime", Scalar::Time(now())),
            own("Gateway.Configuration.LastChangedBy", user),
            own("Gateway.Configuration.LastErrorText", ""),
            own("Gateway.Configuration.Revision", Scalar::U32(revision.wrapping_add(1))),
        ],
        Err(rejection) => vec![
            own(format!("{path}.LastErrorText"), &*error(rejection)),
            own("Gateway.Configuration.LastErrorText", &*format!("{path}: {}", error(rejection))),
        ],
    }
}

/// The present revision of the configuration; 0 before the first change.
pub(super) fn revision(space: &RwLock<AddressSpace>) -> u32 {
    match space.read().find((INSTANCES, "Gateway.Configuration.Revision")) {
        Some(NodeType::Variable(variable)) => match current(variable).value {
            Some(Variant::UInt32(revision)) => revision,
            _ => 0,
        },
        _ => 0,
    }
}

/// The path in an instance's id.
pub(super) fn instance_path(id: &NodeId) -> Option<&str> {
    match &id.identifier {
        Identifier::String(path) if id.namespace == INSTANCES => Some(path.as_ref()),
        _ => None,
    }
}

#[async_trait]
impl InMemoryNodeManagerImpl for GatewayNodes {
    /// The address space is complete before the server is built.
    async fn init(&self, _space: &mut AddressSpace, _context: ServerContext) {}

    fn name(&self) -> &str {
        "gateway"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        let namespace = |index, uri: &str, id_type| NamespaceMetadata {
            is_namespace_subset: Some(false),
            namespace_uri: uri.into(),
            namespace_version: Some(env!("CARGO_PKG_VERSION").into()),
            static_node_id_types: Some(vec![id_type]),
            namespace_index: index,
            ..NamespaceMetadata::default()
        };
        vec![namespace(INSTANCES, INSTANCES_URI, IdType::String), namespace(TYPES, TYPES_URI, IdType::Numeric)]
    }

    async fn create_value_monitored_items(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        items: &mut [&mut &mut CreateMonitoredItem],
    ) {
        let nodes: Vec<_> = items.iter().map(|item| item.item_to_monitor()).collect();
        let values = self.read_values(context, space, &nodes, 0.0, TimestampsToReturn::Both).await;
        let mut known = self.shared.items.lock();
        for (item, value) in items.iter_mut().zip(values) {
            match value.status() {
                refused @ (StatusCode::BadUserAccessDenied
                | StatusCode::BadNotReadable
                | StatusCode::BadNodeIdUnknown
                | StatusCode::BadAttributeIdInvalid) => item.set_status(refused),
                _ => known.created(item, value),
            }
        }
    }

    async fn modify_monitored_items(&self, _context: &RequestContext, items: &[&MonitoredItemUpdateRef]) {
        let mut known = self.shared.items.lock();
        for item in items.iter().filter(|item| item.status_code().is_good() && item.attribute() == AttributeId::Value) {
            known.modified(item.handle(), item.update().revised_sampling_interval);
        }
    }

    async fn set_monitoring_mode(&self, _context: &RequestContext, mode: MonitoringMode, items: &[&MonitoredItemRef]) {
        if mode != MonitoringMode::Disabled {
            let mut known = self.shared.items.lock();
            items
                .iter()
                .filter(|item| item.attribute() == AttributeId::Value)
                .for_each(|item| known.enabled(item.handle(), item.node_id()));
        }
    }

    async fn create_event_monitored_items(
        &self,
        context: &RequestContext,
        _space: &RwLock<AddressSpace>,
        items: &mut [&mut &mut CreateMonitoredItem],
    ) {
        self.alarms.create_event_items(context, items);
    }

    async fn delete_monitored_items(&self, _context: &RequestContext, items: &[&MonitoredItemRef]) {
        self.alarms.delete_items(items);
        let mut known = self.shared.items.lock();
        items.iter().for_each(|item| known.deleted(item.handle()));
    }

    async fn history_read_raw_modified(
        &self,
        _context: &RequestContext,
        details: &ReadRawModifiedDetails,
        nodes: &mut [&mut &mut HistoryNode],
        timestamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        self.histories.raw(details, nodes, timestamps).await
    }

    async fn history_read_processed(
        &self,
        _context: &RequestContext,
        details: &ReadProcessedDetails,
        nodes: &mut [&mut &mut HistoryNode],
        timestamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        self.histories.processed(details, nodes, timestamps).await
    }

    /// The methods of the information model; others are left to whoever has them.
    async fn call(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        calls: &mut [&mut &mut MethodCall],
    ) -> Result<(), StatusCode> {
        let values = Values { space, subscriptions: &context.subscriptions, shared: &self.shared };
        for call in calls {
            if self.alarms.call(context, call).await {
                continue;
            }
            match instance_path(call.method_id()).map(str::to_string) {
                Some(path) if self.shared.files.owns(&path) => self.shared.files.call(context, &values, &path, call).await,
                Some(path) => self.call_path(context, space, &path, call).await,
                None => {}
            }
        }
        Ok(())
    }

    /// In order: two writes of one request to one node leave the second value.
    async fn write(&self, context: &RequestContext, space: &RwLock<AddressSpace>, nodes: &mut [&mut WriteNode]) -> Result<(), StatusCode> {
        for node in nodes {
            let status = self.write_one(context, space, node.value()).await;
            node.set_status(status);
        }
        Ok(())
    }
}
