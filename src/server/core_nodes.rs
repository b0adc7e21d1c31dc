//! Namespace 0 as this server has it: the stack's own node manager, with what it does not know of us.
//!
//! Room for overrides: the stack asks the first registered manager that owns a node, so whatever concerns the Server object or the
//! server's capabilities has its place here.

use std::sync::Arc;

use async_trait::async_trait;
use opcua::nodes::{EventNotifier, NodeType};
use opcua::server::CreateMonitoredItem;
use opcua::server::address_space::AddressSpace;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{
    CoreNodeManagerBuilder, CoreNodeManagerImpl, InMemoryNodeManagerImpl, InMemoryNodeManagerImplBuilder,
};
use opcua::server::node_manager::{MethodCall, MonitoredItemRef, MonitoredItemUpdateRef, ParsedReadValueId, RequestContext, ServerContext};
use opcua::sync::RwLock;
use opcua::types::{
    DataValue, Identifier, MonitoringMode, NodeId, NumericRange, ObjectId, ReferenceTypeId, StatusCode, TimestampsToReturn, VariableId,
    Variant,
};

use super::alarms::AlarmServer;
use super::history;

/// The stack's node manager of namespace 0, wrapped.
pub(super) struct CoreNodes {
    inner: CoreNodeManagerImpl,
    alarms: Arc<AlarmServer>,
}

pub(super) struct CoreNodesBuilder {
    pub(super) alarms: Arc<AlarmServer>,
}

impl InMemoryNodeManagerImplBuilder for CoreNodesBuilder {
    type Impl = CoreNodes;

    fn build(self, context: ServerContext, space: &mut AddressSpace) -> CoreNodes {
        let inner = CoreNodeManagerBuilder.build(context, space);
        announce_aggregates(space);
        if let Some(NodeType::Object(server)) = space.find_mut(&NodeId::from(ObjectId::Server)) {
            server.set_event_notifier(EventNotifier::SUBSCRIBE_TO_EVENTS);
        }
        // Clients call the methods of namespace 0 on our alarms: the stack wants to see that these have them.
        for (alarm, method) in self.alarms.nodes.standard_methods() {
            space.insert_reference(alarm, &method, ReferenceTypeId::HasComponent);
        }
        CoreNodes { inner, alarms: self.alarms }
    }
}

/// The functions are nodes of namespace 0 already: here they are put where clients look for those that are supported.
fn announce_aggregates(space: &mut AddressSpace) {
    for folder in [ObjectId::HistoryServerCapabilities_AggregateFunctions, ObjectId::Server_ServerCapabilities_AggregateFunctions] {
        for function in history::AGGREGATES {
            let (folder, function) = (NodeId::from(folder), NodeId::from(function));
            space.insert_reference(&folder, &function, ReferenceTypeId::Organizes);
        }
    }
}

/// What the stack would tell wrongly: its capabilities are all "no", and cannot be set.
fn announced(node: &NodeId) -> Option<Variant> {
    let (0, Identifier::Numeric(id)) = (node.namespace, &node.identifier) else { return None };
    match VariableId::try_from(*id).ok()? {
        VariableId::HistoryServerCapabilities_AccessHistoryDataCapability => Some(true.into()),
        VariableId::HistoryServerCapabilities_MaxReturnDataValues => Some(history::MAX_VALUES.into()),
        _ => None,
    }
}

#[async_trait]
impl InMemoryNodeManagerImpl for CoreNodes {
    async fn init(&self, space: &mut AddressSpace, context: ServerContext) {
        self.inner.init(space, context).await;
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        self.inner.namespaces()
    }

    async fn read_values(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        nodes: &[&ParsedReadValueId],
        max_age: f64,
        timestamps: TimestampsToReturn,
    ) -> Vec<DataValue> {
        self.alarms.hub.saw(context.session_id);
        let mut values = self.inner.read_values(context, space, nodes, max_age, timestamps).await;
        for (value, node) in values.iter_mut().zip(nodes) {
            if value.status().is_good()
                && matches!(node.index_range, NumericRange::None)
                && let Some(own) = announced(&node.node_id)
            {
                value.value = Some(own);
            }
        }
        values
    }

    async fn create_value_monitored_items(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        items: &mut [&mut &mut CreateMonitoredItem],
    ) {
        self.inner.create_value_monitored_items(context, space, items).await;
        for item in items.iter_mut() {
            if let Some(own) = announced(&item.item_to_monitor().node_id) {
                item.set_initial_value(DataValue::new_now(own));
            }
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

    async fn set_monitoring_mode(&self, context: &RequestContext, mode: MonitoringMode, items: &[&MonitoredItemRef]) {
        self.inner.set_monitoring_mode(context, mode, items).await;
    }

    async fn modify_monitored_items(&self, context: &RequestContext, items: &[&MonitoredItemUpdateRef]) {
        self.inner.modify_monitored_items(context, items).await;
    }

    async fn delete_monitored_items(&self, context: &RequestContext, items: &[&MonitoredItemRef]) {
        self.alarms.delete_items(items);
        self.inner.delete_monitored_items(context, items).await;
    }

    async fn call(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        calls: &mut [&mut &mut MethodCall],
    ) -> Result<(), StatusCode> {
        for call in calls {
            if !self.alarms.call(context, call).await {
                self.inner.call(context, space, std::slice::from_mut(call)).await?;
            }
        }
        Ok(())
    }
}
