//! The shipped NodeSet2 file as the gateway loads it. The importer skips what it cannot read, so every node is looked for.
#![cfg(feature = "gateway")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use driftgate::types::{
    BufferReason, BufferState, CommandState, DriftKind, DriftStatus, Health, ModelState, RegimeState, ReportState, SourceState,
};
use opcua::core_namespace::CoreNamespace;
use opcua::nodes::{DefaultTypeTree, NodeSet2Import, NodeType};
use opcua::server::address_space::AddressSpace;
use opcua::types::{DataEncoding, EnumValueType, NodeClass, NodeId, NumericRange, TimestampsToReturn, Variant};

const TYPES_URI: &str = "urn:driftgate:ua:types";

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("nodesets").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Namespace 0 and the types, with the instances' namespace registered before them as in the gateway.
struct Loaded {
    space: AddressSpace,
    namespace: u16,
    xml: String,
    ids: BTreeMap<String, (u32, String)>,
}

impl Loaded {
    fn new() -> Self {
        let mut space = AddressSpace::new();
        let mut tree = DefaultTypeTree::new();
        tree.namespaces_mut().add_namespace("urn:driftgate:test");
        tree.namespaces_mut().add_namespace("urn:driftgate:ua:instances");
        space.import_node_set(&CoreNamespace, tree.namespaces_mut());
        let xml = file("Driftgate.Types.NodeSet2.xml");
        let import = NodeSet2Import::new_str("en", &xml, Vec::new()).expect("the file is a nodeset");
        space.import_node_set(&import, tree.namespaces_mut());
        let namespace = tree.namespaces().get_index(TYPES_URI).expect("the file brings its namespace");
        let ids = file("Driftgate.Types.NodeIds.csv").lines().map(Self::row).collect();
        Self { space, namespace, xml, ids }
    }

    /// `path,id,class`
    fn row(line: &str) -> (String, (u32, String)) {
        let columns: Vec<&str> = line.split(',').collect();
        assert_eq!(columns.len(), 3, "row: `{line}`");
        (columns[0].to_string(), (columns[1].parse().expect("a number"), columns[2].to_string()))
    }

    fn find(&self, id: u32) -> Option<&NodeType> {
        self.space.find(&NodeId::new(self.namespace, id))
    }

    fn at(&self, path: &str) -> &NodeType {
        let (id, _) = self.ids.get(path).unwrap_or_else(|| panic!("no id for `{path}`"));
        self.find(*id).unwrap_or_else(|| panic!("no node for `{path}`"))
    }

    fn value(&self, path: &str) -> Variant {
        let NodeType::Variable(variable) = self.at(path) else { panic!("not a variable: `{path}`") };
        let value = variable.value(TimestampsToReturn::Neither, &NumericRange::None, &DataEncoding::Binary, 0.0);
        value.value.unwrap_or(Variant::Empty)
    }

    /// Number and name of each code.
    fn codes(&self, path: &str) -> Vec<(i64, String)> {
        let Variant::Array(array) = self.value(path) else { panic!("not an array: `{path}`") };
        let code = |value: &Variant| {
            let Variant::ExtensionObject(object) = value else { panic!("not a structure in `{path}`") };
            let code: &EnumValueType = object.inner_as().unwrap_or_else(|| panic!("not an EnumValueType in `{path}`"));
            (code.value, code.display_name.text.to_string())
        };
        array.values.iter().map(code).collect()
    }

    /// The lines that open a `UA...` element: one for each node of the file.
    fn elements(&self) -> impl Iterator<Item = &str> {
        self.xml.lines().filter(|line| line.starts_with("  <UA"))
    }
}

fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

fn own_id(element: &str) -> u32 {
    let id = attribute(element, "NodeId").and_then(|id| id.strip_prefix("ns=1;i="));
    id.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("no own id: `{element}`"))
}

#[test]
fn every_node_of_the_file_is_imported() {
    let loaded = Loaded::new();
    assert_eq!(loaded.namespace, 3, "types follow the server's and the instances' namespace");
    let ids: BTreeSet<u32> = loaded.elements().map(own_id).collect();
    assert_eq!(ids.len(), loaded.elements().count(), "an id is used twice");
    assert_eq!(ids.len(), loaded.xml.matches("<UA").count() - 1, "an element was not looked at");
    let skipped: Vec<&u32> = ids.iter().filter(|id| loaded.find(**id).is_none()).collect();
    assert!(skipped.is_empty(), "the importer skipped {skipped:?}");
}

#[test]
fn every_value_of_the_file_is_imported() {
    let loaded = Loaded::new();
    let mut element = "";
    let mut empty = Vec::new();
    for line in loaded.xml.lines() {
        if line.starts_with("  <UA") {
            element = line;
        } else if line == "    <Value>" {
            let Some(NodeType::Variable(variable)) = loaded.find(own_id(element)) else { panic!("not a variable: `{element}`") };
            let value = variable.value(TimestampsToReturn::Neither, &NumericRange::None, &DataEncoding::Binary, 0.0);
            if matches!(value.value, None | Some(Variant::Empty)) {
                empty.push(element.trim());
            }
        }
    }
    assert!(empty.is_empty(), "values that were lost: {empty:#?}");
}

#[test]
fn every_type_has_its_id() {
    let loaded = Loaded::new();
    let mut types = 0;
    for (path, (id, class)) in loaded.ids.iter().filter(|(_, (_, class))| class.ends_with("Type")) {
        let node = loaded.find(*id).unwrap_or_else(|| panic!("no type `{path}` under ns=3;i={id}"));
        let expected = match class.as_str() {
            "ObjectType" | "EventType" => NodeClass::ObjectType,
            "VariableType" => NodeClass::VariableType,
            "DataType" => NodeClass::DataType,
            other => panic!("unknown class: `{other}`"),
        };
        assert_eq!(node.node_class(), expected, "{path}");
        let name = node.as_node().browse_name();
        assert_eq!((name.namespace_index, name.name.as_ref()), (loaded.namespace, path.as_str()));
        types += 1;
    }
    assert!(types >= 46, "only {types} types in the list of ids");
}

#[test]
fn code_lists_equal_those_of_the_code() {
    let loaded = Loaded::new();
    macro_rules! check {
        ($($list:ident: $($variable:literal)*;)+) => {$(
            let expected: Vec<(i64, String)> = $list::ALL.iter().map(|c| (i64::from(c.code()), c.name().to_string())).collect();
            for path in [concat!(stringify!($list), "Enum"), $($variable),*] {
                assert_eq!(loaded.codes(&format!("{path}_EnumValues")), expected, "{path}");
            }
        )+};
    }
    check! {
        Health: "MachineType_Health" "GatewayType_Health";
        SourceState: "MachineType_Source_State" "SourceConnectionType_State";
        RegimeState: "MachineType_Regimes_ActiveState" "RegimeType_State";
        DriftStatus: "MachineType_Drift_Status" "DriftMonitorType_Status" "FeatureDriftType_Status" "RegimeType_DriftStatus";
        DriftKind: "DriftMonitorType_Kind";
        ModelState: "ModelType_State";
        BufferState: "MachineType_Buffer_State" "RetrainingBufferType_State";
        BufferReason: "RetrainingBufferType_Reason";
        ReportState: "FullReportType_State";
        CommandState: "CommandInterfaceType_State";
    }
}

#[test]
fn own_data_types_keep_clear_of_standard_numbers() {
    let loaded = Loaded::new();
    let low: Vec<_> = loaded.ids.iter().filter(|(_, (id, class))| class == "DataType" && *id < 3001).collect();
    assert!(low.is_empty(), "some clients read only the number of a data type's id: {low:?}");
}
