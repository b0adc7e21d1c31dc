//! Browsing in the order of the names.
//!
//! The stack keeps references in hash sets and answers in their order, another one at each start. People who look for a node in the tree of
//! an HMI want to find it where it was.

use std::collections::VecDeque;

use opcua::nodes::{NodeType, TypeTree};
use opcua::server::address_space::{AddressSpace, ReferenceDirection, ReferenceRef};
use opcua::server::node_manager::{AddReferenceResult, BrowseNode, ExternalReference};
use opcua::types::{BrowseDirection, ExpandedNodeId, NodeClass, NodeId, ReferenceDescription, ReferenceTypeId, StatusCode};

use super::{INSTANCES, TYPES};

/// What did not fit into an answer.
struct Rest(VecDeque<ReferenceDescription>);

/// Answers one node: from the start, or with what an answer before had left.
pub(super) fn browse(space: &AddressSpace, types: &dyn TypeTree, node: &mut BrowseNode) {
    if node.node_id().is_null() {
        return;
    }
    node.set_status(StatusCode::Good);
    let rest = match node.take_continuation_point::<Rest>() {
        Some(rest) => resume(node, *rest),
        None => begin(space, types, node),
    };
    if !rest.0.is_empty() {
        node.set_next_continuation_point(Box::new(rest));
    }
}

fn resume(node: &mut BrowseNode, mut rest: Rest) -> Rest {
    while node.remaining() > 0
        && let Some(reference) = rest.0.pop_front()
    {
        node.add_unchecked(reference);
    }
    rest
}

fn begin(space: &AddressSpace, types: &dyn TypeTree, node: &mut BrowseNode) -> Rest {
    let source = node.node_id().clone();
    let filter = (!node.reference_type_id().is_null()).then(|| (node.reference_type_id().clone(), node.include_subtypes()));
    let mut found = Vec::new();
    for reference in space.find_references(&source, filter, types, node.browse_direction()) {
        match space.find_node(reference.target_node) {
            Some(target) => found.push(describe(space, types, &reference, target)),
            None if [INSTANCES, TYPES].contains(&reference.target_node.namespace) => {}
            None => {
                let target = ExpandedNodeId::new(reference.target_node.clone());
                node.push_external_reference(ExternalReference::new(target, reference.reference_type.clone(), reference.direction));
            }
        }
    }
    found.sort_by_cached_key(|r| (r.browse_name.name.as_ref().to_owned(), r.node_id.to_string(), r.is_forward));
    let full = |reference| match node.add(types, reference) {
        AddReferenceResult::Full(left) => Some(left),
        _ => None,
    };
    Rest(found.into_iter().filter_map(full).collect())
}

fn describe(space: &AddressSpace, types: &dyn TypeTree, reference: &ReferenceRef<'_>, target: &NodeType) -> ReferenceDescription {
    let target = target.as_node();
    ReferenceDescription {
        reference_type_id: reference.reference_type.clone(),
        is_forward: matches!(reference.direction, ReferenceDirection::Forward),
        node_id: ExpandedNodeId::new(target.node_id().clone()),
        browse_name: target.browse_name().clone(),
        display_name: target.display_name().clone(),
        node_class: target.node_class(),
        type_definition: match target.node_class() {
            NodeClass::Object | NodeClass::Variable => type_of(space, types, target.node_id()),
            _ => ExpandedNodeId::null(),
        },
    }
}

fn type_of(space: &AddressSpace, types: &dyn TypeTree, node: &NodeId) -> ExpandedNodeId {
    let mut found = space.find_references(node, Some((ReferenceTypeId::HasTypeDefinition, false)), types, BrowseDirection::Forward);
    found.next().map_or_else(ExpandedNodeId::null, |r| ExpandedNodeId::new(r.target_node.clone()))
}
