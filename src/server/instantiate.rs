//! Makes instances of types: copies what a type declares as mandatory, recursively, under string ids that are paths.

use std::collections::HashMap;
use std::sync::Arc;

use opcua::nodes::{Base, DefaultTypeTree, EventNotifier, Method, NodeBase, NodeType, Object, Variable};
use opcua::server::address_space::{AccessLevel, AddressSpace};
use opcua::types::{
    Argument, BrowseDirection, DataEncoding, DataTypeId, DataValue, DateTime, EnumValueType, ExtensionObject, LocalizedText, NodeClass,
    NodeId, NumericRange, ObjectId, ObjectTypeId, QualifiedName, ReferenceTypeId, StatusCode, TimestampsToReturn, UAString, VariableTypeId,
    Variant, VariantScalarTypeId,
};

use super::address_space::{SLOPED, STEPPED};
use super::commands::MethodInfo;
use super::history::Kept;
use super::nodeset::Types;
use super::{INSTANCES, ServerError, TYPES};
use crate::history::Rules;
use crate::types::ScalarKind;

/// What the publisher must know of a variable.
#[derive(Default)]
pub(super) struct VariableInfo {
    /// The type its value must have; `None`: the type is open.
    pub(super) kind: Option<ScalarKind>,
    /// A code list: its `ValueAsText` follows the value.
    pub(super) codes: Option<CodeList>,
    /// A parameter: its `EffectiveValue` follows the value.
    pub(super) effective: Option<Arc<str>>,
    /// Its past can be read.
    pub(super) history: bool,
    /// Its changes are written down for that.
    pub(super) recorded: bool,
}

pub(super) struct CodeList {
    /// Path of the `ValueAsText` property.
    pub(super) text_path: Arc<str>,
    pub(super) names: Arc<[(i64, UAString)]>,
}

impl CodeList {
    /// The text of a code; empty for an unknown one.
    pub(super) fn text(&self, code: i64) -> LocalizedText {
        let name = self.names.iter().find(|(c, _)| *c == code).map_or_else(UAString::null, |(_, name)| name.clone());
        LocalizedText { locale: UAString::null(), text: name }
    }
}

/// A child to be made.
pub(super) struct Child<'a> {
    pub(super) parent: &'a str,
    pub(super) name: QualifiedName,
    pub(super) reference: NodeId,
    pub(super) type_definition: NodeId,
}

/// Shape of a variable that comes from configuration, not from a declaration.
pub(super) struct Shape {
    pub(super) data_type: NodeId,
    pub(super) value_rank: i32,
    pub(super) array_dimensions: Option<Vec<u32>>,
    pub(super) description: Option<LocalizedText>,
    pub(super) history: bool,
}

impl Shape {
    pub(super) fn scalar(data_type: DataTypeId) -> Self {
        Self { data_type: data_type.into(), value_rank: -1, array_dimensions: None, description: None, history: false }
    }

    /// Its past is kept.
    pub(super) fn with_history(self) -> Self {
        Self { history: true, ..self }
    }
}

pub(super) struct Instantiator<'a> {
    space: &'a mut AddressSpace,
    types: &'a Types,
    variables: HashMap<Arc<str>, VariableInfo>,
    methods: HashMap<Arc<str>, MethodInfo>,
    parameter_type: NodeId,
    start: DateTime,
    /// Look-ups follow exact reference types only, so no type tree is needed.
    no_tree: DefaultTypeTree,
}

impl<'a> Instantiator<'a> {
    pub(super) fn new(space: &'a mut AddressSpace, types: &'a Types) -> Result<Self, ServerError> {
        let parameter_type = types.get("ConfigParameterType")?;
        let (variables, start, no_tree) = (HashMap::new(), DateTime::now(), DefaultTypeTree::new());
        Ok(Self { space, types, variables, methods: HashMap::new(), parameter_type, start, no_tree })
    }

    /// What was made: variables and methods by their paths.
    pub(super) fn finish(self) -> (HashMap<Arc<str>, VariableInfo>, HashMap<Arc<str>, MethodInfo>) {
        (self.variables, self.methods)
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.space.node_exists(&node_id(path))
    }

    /// An object of one of our types with all its mandatory children; `path` is its id.
    pub(super) fn object(&mut self, path: &str, parent: &NodeId, name: &str, type_name: &'static str) -> Result<(), ServerError> {
        let type_id = self.types.get(type_name)?;
        let reference = if parent.namespace == 0 { ReferenceTypeId::Organizes } else { ReferenceTypeId::HasComponent };
        self.insert_object(path, parent, QualifiedName::new(INSTANCES, name), None, reference.into(), &type_id);
        self.children_of_type(&type_id, path);
        Ok(())
    }

    /// A variable of one of our types with all its mandatory properties.
    pub(super) fn variable(&mut self, parent: &str, name: &str, type_name: &'static str, shape: Shape) -> Result<String, ServerError> {
        let child = Child {
            parent,
            name: QualifiedName::new(INSTANCES, name),
            reference: ReferenceTypeId::HasComponent.into(),
            type_definition: self.types.get(type_name)?,
        };
        let path = self.insert_variable(&child, name.into(), shape, None);
        self.children_of_type(&child.type_definition, &path);
        self.remember_followers(&path, &child.type_definition);
        Ok(path)
    }

    /// An optional child that the type of `owner` declares.
    pub(super) fn optional(&mut self, owner: &str, type_name: &'static str, name: &str) -> Result<(), ServerError> {
        let type_id = self.types.get(type_name)?;
        let declaration = self.chain(&type_id).iter().flat_map(|t| self.declarations(t)).find(|d| d.name.name.as_ref() == name);
        match declaration {
            Some(declaration) => {
                self.copy(&declaration, owner);
                Ok(())
            }
            None => Err(ServerError::MissingNode(format!("{type_name}.{name}"))),
        }
    }

    /// A property of namespace 0, which types there declare and our nodeset does not repeat.
    pub(super) fn property(&mut self, owner: &str, name: &str, data_type: DataTypeId, value: Variant) {
        if self.exists(&join(owner, name)) {
            return;
        }
        let child = Child {
            parent: owner,
            name: QualifiedName::new(0, name),
            reference: ReferenceTypeId::HasProperty.into(),
            type_definition: VariableTypeId::PropertyType.into(),
        };
        self.insert_variable(&child, name.into(), Shape::scalar(data_type), Some(value));
    }

    /// An object of a type of namespace 0; its members are made one by one.
    pub(super) fn standard_object(&mut self, path: &str, parent: &NodeId, name: &str, type_definition: ObjectTypeId) {
        let name = QualifiedName::new(INSTANCES, name);
        self.insert_object(path, parent, name, None, ReferenceTypeId::HasComponent.into(), &type_definition.into());
    }

    /// A method of namespace 0 with its arguments, unless the type of its object has brought it.
    pub(super) fn method(&mut self, parent: &str, name: &str, inputs: &[(&str, DataTypeId)], outputs: &[(&str, DataTypeId)]) {
        let path = join(parent, name);
        if self.exists(&path) {
            return;
        }
        let display = LocalizedText { locale: UAString::null(), text: name.into() };
        let base = Base::new_full(node_id(&path), NodeClass::Method, QualifiedName::new(0, name), display, None, None, None);
        self.space.insert::<_, NodeId>(Method::new_full(base, true, true), None);
        self.space.insert_reference(&node_id(parent), &node_id(&path), ReferenceTypeId::HasComponent);
        for (name, arguments) in [("InputArguments", inputs), ("OutputArguments", outputs)] {
            if !arguments.is_empty() {
                self.arguments_of(&path, name, arguments);
            }
        }
    }

    fn arguments_of(&mut self, method: &str, name: &str, arguments: &[(&str, DataTypeId)]) {
        let argument = |(name, data_type): &(&str, DataTypeId)| Argument {
            name: (*name).into(),
            data_type: (*data_type).into(),
            value_rank: -1,
            array_dimensions: None,
            description: LocalizedText::null(),
        };
        let values: Vec<Variant> = arguments.iter().map(|a| ExtensionObject::from_message(argument(a)).into()).collect();
        let shape = Shape { value_rank: 1, array_dimensions: Some(vec![values.len() as u32]), ..Shape::scalar(DataTypeId::Argument) };
        let child = Child {
            parent: method,
            name: QualifiedName::new(0, name),
            reference: ReferenceTypeId::HasProperty.into(),
            type_definition: VariableTypeId::PropertyType.into(),
        };
        let value = Variant::from((VariantScalarTypeId::ExtensionObject, values));
        self.insert_variable(&child, name.into(), shape, Some(value));
    }

    /// Gives a variable its value, Good since the start.
    pub(super) fn set(&mut self, path: &str, value: impl Into<Variant>) -> Result<(), ServerError> {
        let start = self.start;
        self.change(path, |variable| variable.set_data_value(DataValue::new_at(value.into(), start)))
    }

    /// Changes a variable of the space.
    pub(super) fn change(&mut self, path: &str, change: impl FnOnce(&mut Variable)) -> Result<(), ServerError> {
        match self.space.find_mut((INSTANCES, path)) {
            Some(NodeType::Variable(variable)) => {
                change(variable);
                Ok(())
            }
            _ => Err(ServerError::MissingNode(path.to_string())),
        }
    }

    /// Clients may write it.
    pub(super) fn writable(&mut self, path: &str) -> Result<(), ServerError> {
        self.change(path, |variable| {
            let access = AccessLevel::CURRENT_READ | AccessLevel::CURRENT_WRITE;
            variable.set_access_level(access);
            variable.set_user_access_level(access);
        })
    }

    /// Narrows the open type that a declaration leaves to its instances.
    pub(super) fn narrow(&mut self, path: &str, data_type: DataTypeId) -> Result<(), ServerError> {
        let info = self.variables.get_mut(path).ok_or_else(|| ServerError::MissingNode(path.to_string()))?;
        info.kind = kind_of(&data_type.into());
        self.change(path, |variable| variable.set_data_type(data_type))
    }

    pub(super) fn kind(&self, path: &str) -> Option<ScalarKind> {
        self.variables.get(path)?.kind
    }

    /// What tells how histories are to be read (OPC 10000-11); several variables share one.
    pub(super) fn history_configuration(&mut self, path: &str, stepped: bool) {
        let name = |name: &str| QualifiedName::new(0, name);
        self.unattached_object(path, name("HA Configuration"), ObjectTypeId::HistoricalDataConfigurationType);
        let standard = Rules::standard(stepped);
        self.property(path, "Stepped", DataTypeId::Boolean, stepped.into());
        let aggregates = join(path, "AggregateConfiguration");
        self.unattached_object(&aggregates, name("AggregateConfiguration"), ObjectTypeId::AggregateConfigurationType);
        self.space.insert_reference(&node_id(path), &node_id(&aggregates), ReferenceTypeId::HasComponent);
        self.property(&aggregates, "TreatUncertainAsBad", DataTypeId::Boolean, standard.uncertain_is_bad.into());
        self.property(&aggregates, "PercentDataBad", DataTypeId::Byte, standard.percent_bad.into());
        self.property(&aggregates, "PercentDataGood", DataTypeId::Byte, standard.percent_good.into());
        self.property(&aggregates, "UseSlopedExtrapolation", DataTypeId::Boolean, standard.sloped.into());
    }

    /// An object of a type of namespace 0, to which others refer.
    fn unattached_object(&mut self, path: &str, name: QualifiedName, type_definition: ObjectTypeId) {
        let display = LocalizedText { locale: UAString::null(), text: name.name.clone() };
        let base = Base::new_full(node_id(path), NodeClass::Object, name, display, None, None, None);
        self.space.insert::<_, NodeId>(Object::new_full(base, EventNotifier::empty()), None);
        self.space.insert_reference(&node_id(path), &type_definition.into(), ReferenceTypeId::HasTypeDefinition);
    }

    /// Connects the variables that have a past with what tells how it is to be read.
    pub(super) fn describe_histories(&mut self, kept: &Kept) {
        for (path, info) in &mut self.variables {
            let Some(stepped) = kept.is_stepped(path) else { continue };
            info.recorded = kept.is_recorded(path);
            let configuration = node_id(if stepped { STEPPED } else { SLOPED });
            self.space.insert_reference(&node_id(path), &configuration, ReferenceTypeId::HasHistoricalConfiguration);
        }
    }

    pub(super) fn variables(&self) -> &HashMap<Arc<str>, VariableInfo> {
        &self.variables
    }

    /// `folder` organizes `target`, which lives elsewhere.
    pub(super) fn organize(&mut self, folder: &str, target: &str) -> Result<(), ServerError> {
        if !self.exists(target) {
            return Err(ServerError::MissingNode(target.to_string()));
        }
        self.space.insert_reference(&node_id(folder), &node_id(target), ReferenceTypeId::Organizes);
        Ok(())
    }

    /// Lets clients subscribe to the events of an object, which `parent` passes on.
    pub(super) fn notifier(&mut self, path: &str, parent: &NodeId) -> Result<(), ServerError> {
        match self.space.find_mut((INSTANCES, path)) {
            Some(NodeType::Object(object)) => object.set_event_notifier(EventNotifier::SUBSCRIBE_TO_EVENTS),
            _ => return Err(ServerError::MissingNode(path.to_string())),
        }
        self.space.insert_reference(parent, &node_id(path), ReferenceTypeId::HasNotifier);
        Ok(())
    }

    /// A further reference between two instances.
    pub(super) fn refer(&mut self, from: &str, to: &str, reference: ReferenceTypeId) {
        self.space.insert_reference(&node_id(from), &node_id(to), reference);
    }

    /// A method below an object.
    pub(super) fn insert_method(&mut self, owner: &str, method: Method) {
        let id = method.node_id().clone();
        self.space.insert::<_, NodeId>(method, None);
        self.space.insert_reference(&node_id(owner), &id, ReferenceTypeId::HasComponent);
    }

    /// `InputArguments` or `OutputArguments` of a method.
    pub(super) fn argument_list(&mut self, method: &str, name: &str, value: Variant) {
        let child = Child {
            parent: method,
            name: QualifiedName::new(0, name),
            reference: ReferenceTypeId::HasProperty.into(),
            type_definition: VariableTypeId::PropertyType.into(),
        };
        let shape = Shape { value_rank: 1, ..Shape::scalar(DataTypeId::Argument) };
        self.insert_variable(&child, name.into(), shape, Some(value));
    }

    /// The type itself, then its super types as far as they are ours.
    fn chain(&self, type_id: &NodeId) -> Vec<NodeId> {
        let mut chain = vec![type_id.clone()];
        while let Some(super_type) = chain
            .last()
            .and_then(|last| self.target(last, ReferenceTypeId::HasSubtype, BrowseDirection::Inverse))
            .filter(|t| t.namespace == TYPES)
        {
            chain.push(super_type);
        }
        chain
    }

    fn children_of_type(&mut self, type_id: &NodeId, path: &str) {
        for type_id in self.chain(type_id) {
            self.children(&type_id, path);
        }
    }

    fn children(&mut self, source: &NodeId, path: &str) {
        for declaration in self.declarations(source).into_iter().filter(|d| d.mandatory) {
            self.copy(&declaration, path);
        }
    }

    /// Copies one declared child, with its own children and those of its type. An existing child (overridden further down
    /// the chain of types) stays.
    fn copy(&mut self, declaration: &Declaration, parent: &str) {
        let path = join(parent, declaration.name.name.as_ref());
        if self.exists(&path) {
            return;
        }
        match self.space.find(&declaration.id) {
            Some(NodeType::Object(object)) => {
                let description = object.description().cloned();
                let (name, reference) = (declaration.name.clone(), declaration.reference.clone());
                self.insert_object(&path, &node_id(parent), name, description, reference, &declaration.type_definition);
            }
            Some(NodeType::Variable(variable)) => {
                let shape = Shape {
                    data_type: variable.data_type(),
                    value_rank: variable.value_rank(),
                    array_dimensions: variable.array_dimensions(),
                    description: variable.description().cloned(),
                    history: variable.historizing(),
                };
                let display = variable.display_name().clone();
                // Properties describe (units, code lists): their declared value is the instance's. Other values are not known yet.
                let property = declaration.type_definition == VariableTypeId::PropertyType;
                let value = property.then(|| declared_value(variable)).flatten();
                let child = Child {
                    parent,
                    name: declaration.name.clone(),
                    reference: declaration.reference.clone(),
                    type_definition: declaration.type_definition.clone(),
                };
                self.insert_variable(&child, display, shape, value);
            }
            Some(NodeType::Method(method)) => {
                let base = Base::new_full(
                    node_id(&path),
                    NodeClass::Method,
                    declaration.name.clone(),
                    method.display_name().clone(),
                    method.description().cloned(),
                    None,
                    None,
                );
                self.space.insert::<_, NodeId>(Method::new_full(base, true, true), None);
                self.space.insert_reference(&node_id(parent), &node_id(&path), declaration.reference.clone());
                self.children(&declaration.id, &path);
                self.remember_method(&path);
                return;
            }
            _ => return,
        }
        self.children(&declaration.id, &path);
        if declaration.type_definition.namespace == TYPES {
            self.children_of_type(&declaration.type_definition, &path);
        }
        self.remember_followers(&path, &declaration.type_definition);
    }

    fn insert_object(
        &mut self,
        path: &str,
        parent: &NodeId,
        name: QualifiedName,
        description: Option<LocalizedText>,
        reference: NodeId,
        type_definition: &NodeId,
    ) {
        let id = node_id(path);
        let display = LocalizedText { locale: UAString::null(), text: name.name.clone() };
        let base = Base::new_full(id.clone(), NodeClass::Object, name, display, description, None, None);
        self.space.insert::<_, NodeId>(Object::new_full(base, EventNotifier::empty()), None);
        self.space.insert_reference(parent, &id, reference);
        self.space.insert_reference(&id, type_definition, ReferenceTypeId::HasTypeDefinition);
    }

    fn insert_variable(&mut self, child: &Child<'_>, display: LocalizedText, shape: Shape, value: Option<Variant>) -> String {
        let path = join(child.parent, child.name.name.as_ref());
        let id = node_id(&path);
        let kind = (shape.value_rank == -1).then(|| kind_of(&shape.data_type)).flatten();
        self.variables.insert(path.as_str().into(), VariableInfo { kind, history: shape.history, ..VariableInfo::default() });
        let value = match value {
            Some(value) => DataValue::new_at(value, self.start),
            // No source timestamp: whatever comes first is newer.
            None => DataValue {
                value: Some(Variant::Empty),
                status: Some(StatusCode::BadWaitingForInitialData),
                server_timestamp: Some(self.start),
                ..DataValue::default()
            },
        };
        let base = Base::new_full(id.clone(), NodeClass::Variable, child.name.clone(), display, shape.description, None, None);
        let history = if shape.history { AccessLevel::HISTORY_READ } else { AccessLevel::empty() };
        let access = (AccessLevel::CURRENT_READ | history).bits();
        let variable =
            Variable::new_full(base, shape.data_type, shape.history, shape.value_rank, value, access, access, shape.array_dimensions, None);
        self.space.insert::<_, NodeId>(variable, None);
        self.space.insert_reference(&node_id(child.parent), &id, child.reference.clone());
        self.space.insert_reference(&id, &child.type_definition, ReferenceTypeId::HasTypeDefinition);
        path
    }

    /// Notes the properties that follow the value of a variable, once they exist.
    /// The parameter's `EffectiveValue` goes its own way.
    pub(super) fn unfollow(&mut self, path: &str) {
        if let Some(info) = self.variables.get_mut(path) {
            info.effective = None;
        }
    }

    fn remember_followers(&mut self, path: &str, type_definition: &NodeId) {
        let effective = (*type_definition == self.parameter_type).then(|| join(path, "EffectiveValue").into());
        let text_path = join(path, "ValueAsText");
        let names = self.exists(&text_path).then(|| self.code_names(&join(path, "EnumValues")));
        if let Some(info) = self.variables.get_mut(path) {
            info.effective = effective;
            info.codes = names.map(|names| CodeList { text_path: text_path.into(), names });
        }
    }

    /// Notes a method, once its arguments exist. One with other than plain arguments is none that we can call.
    fn remember_method(&mut self, path: &str) {
        let inputs: Option<Vec<_>> = self
            .arguments(&join(path, "InputArguments"))
            .into_iter()
            .map(|a| Some((a.name.as_ref().into(), kind_of(&a.data_type)?)))
            .collect();
        let outputs = self.arguments(&join(path, "OutputArguments")).len();
        if let Some(inputs) = inputs {
            self.methods.insert(path.into(), MethodInfo { inputs, outputs });
        }
    }

    fn arguments(&self, path: &str) -> Vec<Argument> {
        let Some(NodeType::Variable(variable)) = self.space.find((INSTANCES, path)) else { return Vec::new() };
        let Some(Variant::Array(array)) = declared_value(variable) else { return Vec::new() };
        let argument = |value: &Variant| match value {
            Variant::ExtensionObject(object) => object.inner_as::<Argument>().cloned(),
            _ => None,
        };
        array.values.iter().filter_map(argument).collect()
    }

    fn code_names(&self, enum_values: &str) -> Arc<[(i64, UAString)]> {
        let Some(NodeType::Variable(variable)) = self.space.find((INSTANCES, enum_values)) else { return Arc::default() };
        let Some(Variant::Array(array)) = declared_value(variable) else { return Arc::default() };
        let entry = |value: &Variant| match value {
            Variant::ExtensionObject(object) => object.inner_as::<EnumValueType>().map(|e| (e.value, e.display_name.text.clone())),
            _ => None,
        };
        array.values.iter().filter_map(entry).collect()
    }

    fn target(&self, node: &NodeId, reference: ReferenceTypeId, direction: BrowseDirection) -> Option<NodeId> {
        self.space.find_references(node, Some((reference, false)), &self.no_tree, direction).next().map(|r| r.target_node.clone())
    }

    /// What a type, or a declaration within a type, declares as its children.
    fn declarations(&self, source: &NodeId) -> Vec<Declaration> {
        let references = self.space.find_references(source, None::<(NodeId, bool)>, &self.no_tree, BrowseDirection::Forward);
        references
            .filter(|r| is_child_reference(r.reference_type))
            .filter_map(|r| self.declaration(r.target_node, r.reference_type))
            .collect()
    }

    fn declaration(&self, id: &NodeId, reference: &NodeId) -> Option<Declaration> {
        let rule = self.target(id, ReferenceTypeId::HasModellingRule, BrowseDirection::Forward)?;
        Some(Declaration {
            id: id.clone(),
            reference: reference.clone(),
            name: self.space.find(id)?.as_node().browse_name().clone(),
            type_definition: match self.space.find(id)? {
                NodeType::Method(_) => NodeId::null(),
                _ => self.target(id, ReferenceTypeId::HasTypeDefinition, BrowseDirection::Forward)?,
            },
            mandatory: rule == ObjectId::ModellingRule_Mandatory,
        })
    }
}

/// A child as a type declares it. Methods have no type definition: theirs is null.
struct Declaration {
    id: NodeId,
    reference: NodeId,
    name: QualifiedName,
    type_definition: NodeId,
    mandatory: bool,
}

fn is_child_reference(reference: &NodeId) -> bool {
    [ReferenceTypeId::HasComponent, ReferenceTypeId::HasProperty, ReferenceTypeId::HasOrderedComponent, ReferenceTypeId::Organizes]
        .iter()
        .any(|r| reference == r)
}

/// `ns=2;s=<path>`
pub(super) fn node_id(path: &str) -> NodeId {
    NodeId::new(INSTANCES, path)
}

pub(super) fn join(parent: &str, name: &str) -> String {
    format!("{parent}.{name}")
}

fn declared_value(variable: &Variable) -> Option<Variant> {
    variable
        .value(TimestampsToReturn::Neither, &NumericRange::None, &DataEncoding::Binary, 0.0)
        .value
        .filter(|v| !matches!(v, Variant::Empty))
}

/// The plain types of our variables; others are open or belong to properties that never change.
fn kind_of(data_type: &NodeId) -> Option<ScalarKind> {
    Some(match data_type.as_data_type_id().ok()? {
        DataTypeId::Boolean => ScalarKind::Bool,
        DataTypeId::UInt16 => ScalarKind::U16,
        DataTypeId::UInt32 => ScalarKind::U32,
        DataTypeId::Double => ScalarKind::F64,
        DataTypeId::String => ScalarKind::Text,
        DataTypeId::DateTime => ScalarKind::Time,
        _ => return None,
    })
}

pub(super) fn data_type_of(kind: ScalarKind) -> DataTypeId {
    match kind {
        ScalarKind::Bool => DataTypeId::Boolean,
        ScalarKind::U16 => DataTypeId::UInt16,
        ScalarKind::U32 => DataTypeId::UInt32,
        ScalarKind::F64 => DataTypeId::Double,
        ScalarKind::Text => DataTypeId::String,
        ScalarKind::Time => DataTypeId::DateTime,
    }
}
