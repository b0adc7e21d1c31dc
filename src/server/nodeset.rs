//! The information model's types, imported from the NodeSet2 XML that is shipped in `nodesets/`.

use std::cell::RefCell;
use std::collections::HashMap;

use opcua::nodes::{ImportedItem, NodeSet2Import, NodeSetImport, NodeSetNamespaceMapper};
use opcua::server::address_space::{AddressSpace, NodeType};
use opcua::types::{NamespaceMap, NodeId};
use opcua::xml::load_nodeset2_file;

use super::ServerError;

pub(super) const NODESET: &str = include_str!("../../nodesets/Driftgate.Types.NodeSet2.xml");

/// The types by BrowseName; numeric ids stay inside the nodeset.
pub(super) struct Types {
    by_name: HashMap<String, NodeId>,
}

impl Types {
    pub(super) fn get(&self, name: &'static str) -> Result<NodeId, ServerError> {
        self.by_name.get(name).cloned().ok_or(ServerError::MissingType(name))
    }
}

/// Loads the types into `space`. A node the importer cannot read is an error, not a hole.
pub(super) fn import(space: &mut AddressSpace, namespaces: &mut NamespaceMap) -> Result<Types, ServerError> {
    let nodeset = load_nodeset2_file(NODESET)
        .map_err(|e| ServerError::Nodeset(e.to_string()))?
        .node_set
        .ok_or_else(|| ServerError::Nodeset("it has no UANodeSet".into()))?;
    let expected = nodeset.nodes.len();
    let import = TypeImport { inner: NodeSet2Import::new_nodeset("en", nodeset, Vec::new()), seen: RefCell::default() };
    space.import_node_set(&import, namespaces);
    let Seen { nodes, types } = import.seen.into_inner();
    if nodes != expected {
        return Err(ServerError::Nodeset(format!("only {nodes} of its {expected} nodes could be read")));
    }
    Ok(Types { by_name: types })
}

#[derive(Default)]
struct Seen {
    nodes: usize,
    types: HashMap<String, NodeId>,
}

/// The vendor's importer, without its messages on standard output, and with an eye on what passes.
struct TypeImport {
    inner: NodeSet2Import,
    seen: RefCell<Seen>,
}

impl NodeSetImport for TypeImport {
    fn register_namespaces(&self, namespaces: &mut NodeSetNamespaceMapper) {
        for (uri, index) in self.inner.get_own_namespaces().iter().zip(1..) {
            namespaces.add_namespace(uri, index);
        }
    }

    fn get_own_namespaces(&self) -> Vec<String> {
        self.inner.get_own_namespaces()
    }

    fn load<'a>(&'a self, namespaces: &'a NodeSetNamespaceMapper) -> Box<dyn Iterator<Item = ImportedItem> + 'a> {
        Box::new(self.inner.load(namespaces).inspect(|item| {
            let mut seen = self.seen.borrow_mut();
            seen.nodes += 1;
            if matches!(item.node, NodeType::ObjectType(_) | NodeType::VariableType(_)) {
                let node = item.node.as_node();
                seen.types.insert(node.browse_name().name.to_string(), node.node_id().clone());
            }
        }))
    }
}
