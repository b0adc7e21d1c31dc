//! The address space of a configuration as NodeSet2 XML, for tools that are not connected: the types as they are shipped, then the
//! instances.
//!
//! In the file `ns=1` are the types and `ns=2` the instances, as the order of its URIs says; importers map both. Values of properties are
//! written where they are known without a running gateway: units, ranges, code lists, arguments.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use opcua::nodes::{DefaultTypeTree, NodeType, Variable};
use opcua::server::address_space::AddressSpace;
use opcua::types::{
    Argument, BrowseDirection, EUInformation, EnumValueType, ExtensionObject, LocalizedText, NodeId, ObjectId, QualifiedName, Range,
    ReferenceTypeId, VariableTypeId, Variant,
};

use super::publish::current;
use super::{INSTANCES, INSTANCES_URI, ParameterSpec, ServerError, TYPES, address_space, nodeset};
use crate::alarm::AlarmSpec;
use crate::config::Config;

const VALUES: &str = "http://opcfoundation.org/UA/2008/02/Types.xsd";

/// The document; `parameters` and `alarms` as for a server.
pub fn nodeset_xml(config: &Config, parameters: &[ParameterSpec], alarms: &[Arc<AlarmSpec>]) -> Result<String, ServerError> {
    let space = address_space::build(config, parameters, alarms)?.space;
    let mut nodes = String::new();
    let instances = instances(&space);
    let parents = instances.iter().map(|(id, parent)| (id, &parent.id)).collect();
    let mut exporter = Exporter { space: &space, parents, out: &mut nodes };
    for (id, parent) in &instances {
        if let Some(node) = space.find(id) {
            exporter.node(id, node, parent);
        }
    }
    insert(nodeset::NODESET, &nodes).ok_or_else(|| ServerError::Nodeset("it is not as the generator writes it".into()))
}

/// Puts instances, their namespace and their model into the document of the types.
fn insert(types: &str, nodes: &str) -> Option<String> {
    let version = env!("CARGO_PKG_VERSION");
    let (uri, model, end) = ("    <Uri>urn:driftgate:ua:types</Uri>\n", "  </Models>\n", "</UANodeSet>");
    let (head, rest) = types.split_once(uri)?;
    let (models, rest) = rest.split_once(model)?;
    let (body, tail) = rest.rsplit_once(end)?;
    // What it requires, the types of the same file and theirs, is left out: importers look for what they already have.
    let own = format!("    <Model ModelUri=\"{INSTANCES_URI}\" Version=\"{version}\"/>\n");
    Some(format!("{head}{uri}    <Uri>{INSTANCES_URI}</Uri>\n{models}{own}{model}{body}{nodes}{end}{tail}"))
}

/// A node's parent, and how it hangs below it.
struct Parent {
    id: NodeId,
    reference: NodeId,
}

/// All instances with their parents, parents first and in the order of their ids: the same file each time.
fn instances(space: &AddressSpace) -> Vec<(NodeId, Parent)> {
    let mut parents: BTreeMap<String, (NodeId, Parent)> = BTreeMap::new();
    let mut queue = vec![NodeId::from(ObjectId::ObjectsFolder)];
    while let Some(node) = queue.pop() {
        for (reference, target) in children(space, &node) {
            let parent = Parent { id: node.clone(), reference };
            match parents.entry(target.to_string()) {
                Entry::Vacant(entry) => {
                    queue.push(target.clone());
                    entry.insert((target, parent));
                }
                // Several refer to it: the one it is named after, else the first by name.
                Entry::Occupied(mut entry) if rank(&target, &parent) < rank(&target, &entry.get().1) => entry.get_mut().1 = parent,
                Entry::Occupied(_) => {}
            }
        }
    }
    let mut below: BTreeMap<String, Vec<(NodeId, Parent)>> = BTreeMap::new();
    for (target, parent) in parents.into_values() {
        below.entry(parent.id.to_string()).or_default().push((target, parent));
    }
    let mut found = Vec::new();
    let mut next = below.remove(&NodeId::from(ObjectId::ObjectsFolder).to_string()).unwrap_or_default();
    while let Some((node, parent)) = next.pop() {
        next.extend(below.remove(&node.to_string()).unwrap_or_default().into_iter().rev());
        found.push((node, parent));
    }
    found
}

fn rank(target: &NodeId, parent: &Parent) -> (bool, String) {
    (!is_below(target, &parent.id), parent.id.to_string())
}

fn children(space: &AddressSpace, node: &NodeId) -> Vec<(NodeId, NodeId)> {
    let tree = DefaultTypeTree::new();
    let references = space.find_references(node, None::<(NodeId, bool)>, &tree, BrowseDirection::Forward);
    references
        .filter(|r| r.target_node.namespace == INSTANCES && is_child(r.reference_type))
        .map(|r| (r.reference_type.clone(), r.target_node.clone()))
        .collect()
}

/// What a summary refers to has its place elsewhere; what tells how histories are read hangs on its variables. Where events come from and
/// conditions are told beside: such nodes are components of something as well.
fn is_child(reference: &NodeId) -> bool {
    [ReferenceTypeId::HasComponent, ReferenceTypeId::HasProperty, ReferenceTypeId::HasHistoricalConfiguration, ReferenceTypeId::Organizes]
        .iter()
        .any(|child| reference == child)
}

struct Exporter<'a> {
    space: &'a AddressSpace,
    parents: HashMap<&'a NodeId, &'a NodeId>,
    out: &'a mut String,
}

impl Exporter<'_> {
    fn node(&mut self, id: &NodeId, node: &NodeType, parent: &Parent) {
        let tag = match node {
            NodeType::Object(_) => "UAObject",
            NodeType::Variable(_) => "UAVariable",
            NodeType::Method(_) => "UAMethod",
            _ => return,
        };
        let base = node.as_node();
        let attributes = match node {
            NodeType::Variable(variable) => variable_attributes(variable),
            NodeType::Object(object) if !object.event_notifier().is_empty() => {
                format!(" EventNotifier=\"{}\"", object.event_notifier().bits())
            }
            _ => String::new(),
        };
        let name = browse_name(base.browse_name());
        let line = format!("<{tag} NodeId=\"{}\" BrowseName=\"{name}\" ParentNodeId=\"{}\"{attributes}>", text_id(id), text_id(&parent.id));
        self.line(1, &line);
        self.line(2, &format!("<DisplayName>{}</DisplayName>", escape(base.display_name().text.as_ref())));
        if let Some(description) = base.description().filter(|d| !d.text.is_empty()) {
            self.line(2, &format!("<Description>{}</Description>", escape(description.text.as_ref())));
        }
        self.references(id, parent);
        if let NodeType::Variable(variable) = node {
            self.value(id, variable);
        }
        self.line(1, &format!("</{tag}>"));
    }

    fn references(&mut self, id: &NodeId, parent: &Parent) {
        self.line(2, "<References>");
        let up =
            format!("<Reference ReferenceType=\"{}\" IsForward=\"false\">{}</Reference>", text_id(&parent.reference), text_id(&parent.id));
        self.line(3, &up);
        let tree = DefaultTypeTree::new();
        let forward = self.space.find_references(id, None::<(NodeId, bool)>, &tree, BrowseDirection::Forward);
        // A child tells of its parent itself.
        let mut lines: Vec<String> = forward
            .filter(|r| self.parents.get(r.target_node) != Some(&id) || !is_child(r.reference_type))
            .map(|r| format!("<Reference ReferenceType=\"{}\">{}</Reference>", text_id(r.reference_type), text_id(r.target_node)))
            .collect();
        lines.sort();
        lines.iter().for_each(|line| self.line(3, line));
        self.line(2, "</References>");
    }

    /// Of properties only: other values come from the running gateway.
    fn value(&mut self, id: &NodeId, variable: &Variable) {
        let tree = DefaultTypeTree::new();
        let mut types = self.space.find_references(id, Some((ReferenceTypeId::HasTypeDefinition, false)), &tree, BrowseDirection::Forward);
        if !types.any(|r| *r.target_node == VariableTypeId::PropertyType) {
            return;
        }
        let Some(value) = current(variable).value else { return };
        let mut lines = Vec::new();
        if write_value(&value, &mut lines) {
            self.line(2, "<Value>");
            lines.iter().for_each(|(depth, line)| self.line(3 + depth, line));
            self.line(2, "</Value>");
        }
    }

    fn line(&mut self, depth: usize, text: &str) {
        // Writing into memory cannot fail.
        let _ = writeln!(self.out, "{:width$}{text}", "", width = 2 * depth);
    }
}

/// `Motor1.Drift.Status` is below `Motor1.Drift`; what hangs on a node without being named after it is not.
fn is_below(target: &NodeId, id: &NodeId) -> bool {
    let (target, id) = (target.to_string(), id.to_string());
    target.strip_prefix(&id).is_some_and(|rest| rest.starts_with('.') && !rest[1..].contains('.'))
}

fn variable_attributes(variable: &Variable) -> String {
    let mut out = format!(" DataType=\"{}\"", text_id(&variable.data_type()));
    if variable.value_rank() != -1 {
        let _ = write!(out, " ValueRank=\"{}\"", variable.value_rank());
    }
    if let Some(dimensions) = variable.array_dimensions() {
        let dimensions: Vec<String> = dimensions.iter().map(u32::to_string).collect();
        let _ = write!(out, " ArrayDimensions=\"{}\"", dimensions.join(","));
    }
    let access = variable.access_level().bits();
    let _ = write!(out, " AccessLevel=\"{access}\" UserAccessLevel=\"{access}\"");
    if variable.historizing() {
        out.push_str(" Historizing=\"true\"");
    }
    out
}

/// Lines of a value with their depth; `false` where it is none that is written.
fn write_value(value: &Variant, lines: &mut Vec<(usize, String)>) -> bool {
    let first = lines.len();
    let known = match value {
        Variant::Array(array) => {
            let mut parts = Vec::new();
            let known = array.values.iter().all(|value| single(value, 1, &mut parts));
            let name = array.values.first().and_then(tag);
            let Some(name) = name.filter(|_| known) else { return false };
            lines.push((0, format!("<ListOf{name} xmlns=\"{VALUES}\">")));
            lines.extend(parts);
            lines.push((0, format!("</ListOf{name}>")));
            true
        }
        single_value => single(single_value, 0, lines),
    };
    if let Some((_, line)) = lines.get_mut(first).filter(|(_, line)| known && !line.contains("xmlns")) {
        // Behind the tag's name.
        let at = line.find(['>', '/']).filter(|at| *at > 1).unwrap_or(line.len());
        line.insert_str(at, &format!(" xmlns=\"{VALUES}\""));
    }
    known
}

fn tag(value: &Variant) -> Option<&'static str> {
    Some(match value {
        Variant::Boolean(_) => "Boolean",
        Variant::Byte(_) => "Byte",
        Variant::UInt16(_) => "UInt16",
        Variant::UInt32(_) => "UInt32",
        Variant::Int32(_) => "Int32",
        Variant::Int64(_) => "Int64",
        Variant::UInt64(_) => "UInt64",
        Variant::Double(_) => "Double",
        Variant::String(_) => "String",
        Variant::LocalizedText(_) => "LocalizedText",
        Variant::ExtensionObject(_) => "ExtensionObject",
        _ => return None,
    })
}

fn single(value: &Variant, depth: usize, lines: &mut Vec<(usize, String)>) -> bool {
    let Some(tag) = tag(value) else { return false };
    match value {
        Variant::LocalizedText(text) => {
            lines.push((depth, "<LocalizedText>".into()));
            lines.push((depth + 1, format!("<Text>{}</Text>", escape(text.text.as_ref()))));
            lines.push((depth, "</LocalizedText>".into()));
            true
        }
        Variant::ExtensionObject(object) => structure(object, depth, lines),
        Variant::String(text) => {
            lines.push((depth, format!("<String>{}</String>", escape(text.as_ref()))));
            true
        }
        Variant::Double(x) if !x.is_finite() => false,
        plain => {
            lines.push((depth, format!("<{tag}>{plain}</{tag}>")));
            true
        }
    }
}

/// The structures that properties have.
fn structure(object: &ExtensionObject, depth: usize, lines: &mut Vec<(usize, String)>) -> bool {
    let (id, name, fields) = if let Some(range) = object.inner_as::<Range>() {
        (885, "Range", vec![format!("<Low>{}</Low>", range.low), format!("<High>{}</High>", range.high)])
    } else if let Some(unit) = object.inner_as::<EUInformation>() {
        let mut fields = vec![
            format!("<NamespaceUri>{}</NamespaceUri>", escape(unit.namespace_uri.as_ref())),
            format!("<UnitId>{}</UnitId>", unit.unit_id),
        ];
        fields.extend(localized("DisplayName", &unit.display_name));
        fields.extend(localized("Description", &unit.description));
        (888, "EUInformation", fields)
    } else if let Some(code) = object.inner_as::<EnumValueType>() {
        let mut fields = vec![format!("<Value>{}</Value>", code.value)];
        fields.extend(localized("DisplayName", &code.display_name));
        fields.push("<Description/>".into());
        (7616, "EnumValueType", fields)
    } else if let Some(argument) = object.inner_as::<Argument>() {
        let mut fields = vec![format!("<Name>{}</Name>", escape(argument.name.as_ref())), "<DataType>".into()];
        fields.push(format!("  <Identifier>{}</Identifier>", text_id(&argument.data_type)));
        fields.extend(["</DataType>".into(), format!("<ValueRank>{}</ValueRank>", argument.value_rank)]);
        fields.extend(["<ArrayDimensions/>".into(), "<Description/>".into()]);
        (297, "Argument", fields)
    } else {
        return false;
    };
    let mut line = |more: usize, text: String| lines.push((depth + more, text));
    line(0, "<ExtensionObject>".into());
    line(1, "<TypeId>".into());
    line(2, format!("<Identifier>i={id}</Identifier>"));
    line(1, "</TypeId>".into());
    line(1, "<Body>".into());
    line(2, format!("<{name}>"));
    fields.into_iter().for_each(|field| line(3, field));
    line(2, format!("</{name}>"));
    line(1, "</Body>".into());
    line(0, "</ExtensionObject>".into());
    true
}

fn localized(tag: &str, text: &LocalizedText) -> [String; 3] {
    [format!("<{tag}>"), format!("  <Text>{}</Text>", escape(text.text.as_ref())), format!("</{tag}>")]
}

/// As the file has it: types are its namespace 1, instances its namespace 2.
fn namespace(index: u16) -> u16 {
    match index {
        TYPES => 1,
        INSTANCES => 2,
        other => other,
    }
}

fn text_id(id: &NodeId) -> String {
    escape(&NodeId { namespace: namespace(id.namespace), identifier: id.identifier.clone() }.to_string())
}

fn browse_name(name: &QualifiedName) -> String {
    match namespace(name.namespace_index) {
        0 => escape(name.name.as_ref()),
        index => format!("{index}:{}", escape(name.name.as_ref())),
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // No control character but these may stand in XML.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn all_instances_are_in_the_file() {
        let (config, parameters) = (fixture::config(), fixture::parameters());
        let xml = nodeset_xml(&config, &parameters, &fixture::alarms()).unwrap();
        assert_eq!(xml, nodeset_xml(&config, &parameters, &fixture::alarms()).unwrap(), "the same file each time");
        for line in [
            "<UAVariable NodeId=\"ns=2;s=Motor1.Drift.Status\" BrowseName=\"1:Status\" ParentNodeId=\"ns=2;s=Motor1.Drift\" DataType=\"i=5\" \
             AccessLevel=\"5\" UserAccessLevel=\"5\" Historizing=\"true\">",
            "<UAVariable NodeId=\"ns=2;s=Motor1.Signals.Temperature\" BrowseName=\"2:Temperature\" ParentNodeId=\"ns=2;s=Motor1.Signals\" \
             DataType=\"i=11\" AccessLevel=\"5\" UserAccessLevel=\"5\" Historizing=\"true\">",
            "<Reference ReferenceType=\"i=35\" IsForward=\"false\">i=85</Reference>",
        ] {
            assert!(xml.contains(line), "{line}");
        }
        let space = address_space::build(&config, &parameters, &fixture::alarms()).unwrap().space;
        let count = instances(&space).len();
        assert!(count > 500, "{count}");
        assert_eq!(xml.matches("NodeId=\"ns=2;s=").count() - xml.matches("ParentNodeId=\"ns=2;s=").count(), count);
    }

    /// As the stack's own importer reads it.
    #[test]
    fn the_file_is_read_whole() {
        let xml = nodeset_xml(&fixture::config(), &fixture::parameters(), &fixture::alarms()).unwrap();
        let read = opcua::xml::load_nodeset2_file(&xml).unwrap().node_set.unwrap();
        assert!(read.nodes.len() > 2_000);
        assert_eq!(read.namespace_uris.unwrap().uris, [crate::server::TYPES_URI, INSTANCES_URI]);
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escape("a<b & \"c\"\u{1}"), "a&lt;b &amp; &quot;c&quot;?");
        let mut lines = Vec::new();
        assert!(write_value(&Variant::from("x"), &mut lines));
        assert_eq!(lines, [(0, format!("<String xmlns=\"{VALUES}\">x</String>"))]);
        assert!(!write_value(&Variant::Empty, &mut Vec::new()));
    }
}
