//! Stands before our own nodes: every service is checked against the table of roles, and what is refused is written down.

use std::sync::Arc;

use async_trait::async_trait;
use opcua::server::CreateMonitoredItem;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::InMemoryNodeManager;
use opcua::server::node_manager::{
    BrowseNode, BrowsePathItem, DynNodeManager, ExternalReferenceRequest, HistoryNode, MethodCall, MonitoredItemRef,
    MonitoredItemUpdateRef, NodeManager, NodeManagerBuilder, ReadNode, RegisterNodeItem, RequestContext, ServerContext, WriteNode,
};
use opcua::types::{
    AttributeId, BrowseDirection, ExpandedNodeId, MonitoringMode, NodeId, ReadAnnotationDataDetails, ReadAtTimeDetails, ReadEventDetails,
    ReadProcessedDetails, ReadRawModifiedDetails, StatusCode, TimestampsToReturn,
};

use super::access::{Gatekeeper, user_name};
use super::node_manager::{GatewayNodes, instance_path};
use super::roles::{Action, granted};
use super::{INSTANCES, TYPES, browse};
use crate::users::Roles;

const DENIED: StatusCode = StatusCode::BadUserAccessDenied;

/// Our nodes behind the check.
pub(super) struct Guarded {
    pub(super) inner: Arc<InMemoryNodeManager<GatewayNodes>>,
    gatekeeper: Arc<Gatekeeper>,
}

/// Builds [`Guarded`] around what `builder` builds, which must be [`GatewayNodes`] in memory.
pub(super) struct GuardedBuilder<B> {
    pub(super) builder: B,
    pub(super) gatekeeper: Arc<Gatekeeper>,
}

impl<B: NodeManagerBuilder> NodeManagerBuilder for GuardedBuilder<B> {
    fn build(self: Box<Self>, context: ServerContext) -> Arc<DynNodeManager> {
        let built = Box::new(self.builder).build(context);
        match Arc::clone(&built).into_any_arc().downcast::<InMemoryNodeManager<GatewayNodes>>() {
            Ok(inner) => Arc::new(Guarded { inner, gatekeeper: self.gatekeeper }),
            // Found missing at start: the publisher looks for the guarded nodes.
            Err(_) => built,
        }
    }
}

/// The session that asks.
struct Caller<'a> {
    gatekeeper: &'a Gatekeeper,
    context: &'a RequestContext,
    roles: Roles,
}

impl Caller<'_> {
    fn may(&self, path: &str, action: Action) -> bool {
        granted(path, action).intersects(self.roles)
    }

    /// Whether it may; a refusal is written down.
    fn ask(&self, path: &str, action: Action) -> bool {
        let may = self.may(path, action);
        if !may {
            self.refused(path, action);
        }
        may
    }

    fn refused(&self, path: &str, action: Action) {
        let needed = granted(path, action);
        let reason = if needed.is_empty() { "nobody may".to_string() } else { format!("needs one of {needed}") };
        let address = self.gatekeeper.address_of(self.context);
        self.gatekeeper.audit.refused(user_name(&self.context.token), &address, action.name(), path, &reason);
    }

    /// Something that it may do was refused by the node.
    fn failed(&self, path: &str, action: Action, status: StatusCode) {
        let address = self.gatekeeper.address_of(self.context);
        self.gatekeeper.audit.refused(user_name(&self.context.token), &address, action.name(), path, &status.to_string());
    }

    /// Whether a node is ours and this session may not do that to it.
    fn denied(&self, id: &NodeId, action: Action) -> bool {
        instance_path(id).is_some_and(|path| !self.ask(path, action))
    }
}

impl Guarded {
    fn caller<'a>(&'a self, context: &'a RequestContext) -> Caller<'a> {
        Caller { gatekeeper: &self.gatekeeper, context, roles: self.gatekeeper.roles(context) }
    }

    /// Object and name of the called method as one path: also where the client named the type's method.
    fn called(&self, call: &MethodCall) -> Option<String> {
        let space = self.inner.address_space().read();
        let method = space.find(call.method_id())?;
        if let Some(path) = instance_path(call.method_id()) {
            return Some(path.to_string());
        }
        let object = instance_path(call.object_id())?;
        Some(format!("{object}.{}", method.as_node().browse_name().name))
    }
}

impl Guarded {
    /// As [`Self::called`], also where an alarm is called by its type's method in namespace 0.
    fn called_of_type(&self, call: &MethodCall) -> Option<String> {
        let by_type = || Some(format!("{}.{}", instance_path(call.object_id())?, super::alarms::method_name(call.method_id())?));
        self.called(call).or_else(by_type)
    }
}

/// The nodes that are allowed; the others are told what `refuse` says.
fn admitted<'b, T>(nodes: &'b mut [&mut T], mut allowed: impl FnMut(&T) -> bool, refuse: impl Fn(&mut T)) -> Vec<&'b mut T> {
    let mut passed = Vec::with_capacity(nodes.len());
    for node in nodes.iter_mut() {
        if allowed(node) {
            passed.push(&mut **node);
        } else {
            refuse(node);
        }
    }
    passed
}

/// One kind of reading history, checked and handed on.
macro_rules! history {
    ($($name:ident($details:ty);)*) => {$(
        fn $name<'life0, 'life1, 'life2, 'life3, 'life4, 'async_trait>(
            &'life0 self,
            context: &'life1 RequestContext,
            details: &'life2 $details,
            nodes: &'life3 mut [&'life4 mut HistoryNode],
            timestamps: TimestampsToReturn,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), StatusCode>> + Send + 'async_trait>>
        where
            'life0: 'async_trait, 'life1: 'async_trait, 'life2: 'async_trait, 'life3: 'async_trait, 'life4: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async move {
                let caller = self.caller(context);
                let mut passed = admitted(nodes, |n| !caller.denied(n.node_id(), Action::History), |n| n.set_status(DENIED));
                self.inner.$name(context, details, &mut passed, timestamps).await
            })
        }
    )*};
}

#[async_trait]
impl NodeManager for Guarded {
    fn owns_node(&self, id: &NodeId) -> bool {
        self.inner.owns_node(id)
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn owns_server_events(&self) -> bool {
        self.inner.owns_server_events()
    }

    fn handle_new_node(&self, parent: &ExpandedNodeId) -> bool {
        self.inner.handle_new_node(parent)
    }

    fn namespaces_for_user(&self, context: &RequestContext) -> Vec<NamespaceMetadata> {
        // Asked once in each activation.
        self.gatekeeper.activated(context);
        self.inner.namespaces_for_user(context)
    }

    async fn init(&self, type_tree: &mut opcua::nodes::DefaultTypeTree, context: ServerContext) {
        self.inner.init(type_tree, context).await;
    }

    async fn resolve_external_references(&self, context: &RequestContext, items: &mut [&mut ExternalReferenceRequest]) {
        let caller = self.caller(context);
        let visible = |item: &ExternalReferenceRequest| instance_path(item.node_id()).is_none_or(|path| caller.may(path, Action::Browse));
        let mut passed = admitted(items, visible, |_| {});
        self.inner.resolve_external_references(context, &mut passed).await;
    }

    async fn read(
        &self,
        context: &RequestContext,
        max_age: f64,
        timestamps: TimestampsToReturn,
        nodes: &mut [&mut ReadNode],
    ) -> Result<(), StatusCode> {
        let caller = self.caller(context);
        let mut passed = admitted(nodes, |n| !caller.denied(&n.node().node_id, Action::Read), |n| n.set_error(DENIED));
        self.inner.read(context, max_age, timestamps, &mut passed).await
    }

    history! {
        history_read_raw_modified(ReadRawModifiedDetails);
        history_read_processed(ReadProcessedDetails);
        history_read_at_time(ReadAtTimeDetails);
        history_read_events(ReadEventDetails);
        history_read_annotations(ReadAnnotationDataDetails);
    }

    async fn write(&self, context: &RequestContext, nodes: &mut [&mut WriteNode]) -> Result<(), StatusCode> {
        let caller = self.caller(context);
        let allowed = |n: &WriteNode| match instance_path(&n.value().node_id) {
            // What nobody may write is no matter of rights: the nodes say so themselves.
            Some(path) if granted(path, Action::Write).is_empty() => caller.ask(path, Action::Read),
            Some(path) => caller.ask(path, Action::Write),
            None => true,
        };
        let mut passed = admitted(nodes, allowed, |n| n.set_status(DENIED));
        let done = self.inner.write(context, &mut passed).await;
        // Parameters and requests tell of their own refusals.
        let parameters = &self.inner.inner().shared;
        for node in passed.iter().filter(|n| n.status().is_bad()) {
            if let Some(path) = instance_path(&node.value().node_id).filter(|path| !parameters.tells_of(path)) {
                caller.failed(path, Action::Write, node.status());
            }
        }
        done
    }

    async fn browse(&self, context: &RequestContext, nodes: &mut [BrowseNode]) -> Result<(), StatusCode> {
        let known = !self.caller(context).roles.is_empty();
        let space = self.inner.address_space().read();
        let types = context.type_tree.read();
        // Without a role types only: forward from types lead no references to instances.
        for node in nodes {
            match node.node_id().namespace {
                _ if known => browse::browse(&space, &*types, node),
                INSTANCES => node.set_status(DENIED),
                TYPES if node.browse_direction() == BrowseDirection::Forward => browse::browse(&space, &*types, node),
                TYPES => node.set_status(StatusCode::Good),
                _ => {}
            }
        }
        Ok(())
    }

    async fn translate_browse_paths_to_node_ids(
        &self,
        context: &RequestContext,
        nodes: &mut [&mut BrowsePathItem],
    ) -> Result<(), StatusCode> {
        if self.caller(context).roles.is_empty() { Ok(()) } else { self.inner.translate_browse_paths_to_node_ids(context, nodes).await }
    }

    async fn register_nodes(&self, context: &RequestContext, nodes: &mut [&mut RegisterNodeItem]) -> Result<(), StatusCode> {
        self.inner.register_nodes(context, nodes).await
    }

    async fn unregister_nodes(&self, context: &RequestContext, nodes: &[&NodeId]) -> Result<(), StatusCode> {
        self.inner.unregister_nodes(context, nodes).await
    }

    async fn create_monitored_items(&self, context: &RequestContext, items: &mut [&mut CreateMonitoredItem]) -> Result<(), StatusCode> {
        let caller = self.caller(context);
        let allowed = |item: &CreateMonitoredItem| {
            let wanted = item.item_to_monitor();
            let action = if wanted.attribute_id == AttributeId::EventNotifier { Action::Events } else { Action::Read };
            !caller.denied(&wanted.node_id, action)
        };
        let mut passed = admitted(items, allowed, |item| item.set_status(DENIED));
        self.inner.create_monitored_items(context, &mut passed).await
    }

    async fn modify_monitored_items(&self, context: &RequestContext, items: &[&MonitoredItemUpdateRef]) {
        self.inner.modify_monitored_items(context, items).await;
    }

    async fn set_monitoring_mode(&self, context: &RequestContext, mode: MonitoringMode, items: &[&MonitoredItemRef]) {
        self.inner.set_monitoring_mode(context, mode, items).await;
    }

    async fn delete_monitored_items(&self, context: &RequestContext, items: &[&MonitoredItemRef]) {
        self.inner.delete_monitored_items(context, items).await;
    }

    async fn call(&self, context: &RequestContext, calls: &mut [&mut MethodCall]) -> Result<(), StatusCode> {
        let caller = self.caller(context);
        // A method that is none of ours: the nodes say so themselves.
        let allowed = |call: &MethodCall| self.called(call).is_none_or(|path| caller.ask(&path, Action::Call));
        let passed = admitted(calls, allowed, |call| call.set_status(DENIED));
        let (mut by_type, mut own): (Vec<_>, Vec<_>) = passed.into_iter().partition(|call| call.method_id().namespace == TYPES);
        for call in &mut by_type {
            // The stack knows methods by their instances only.
            if let Some(path) = self.called(call) {
                self.inner.inner().call_path(context, self.inner.address_space(), &path, call).await;
            }
        }
        let done = self.inner.call(context, &mut own).await;
        // Commands tell of their own refusals, alarms do not.
        let GatewayNodes { shared, alarms, .. } = self.inner.inner();
        let told = |path: &str| shared.methods.contains_key(path) && alarms.alarm_of(path).is_none();
        for call in own.iter().filter(|call| call.status().is_bad() && call.status() != DENIED) {
            if let Some(path) = self.called_of_type(call).filter(|path| !told(path)) {
                caller.failed(&path, Action::Call, call.status());
            }
        }
        done
    }
}
