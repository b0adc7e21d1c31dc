"""From types to nodes, and from nodes to NodeSet2 XML."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from xml.sax.saxutils import escape, quoteattr

from model_source import DATA_TYPES, ROLES, RULES, Member, Model, Type

NODESET_XMLNS = "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"
TYPES_XMLNS = "http://opcfoundation.org/UA/2008/02/Types.xsd"
UNITS_URI = "http://www.opcfoundation.org/UA/units/un/cefact"

# Ids of namespace 0 (OPC 10000-6, NodeIds.csv).
REFERENCES = {
    "HasModellingRule": 37, "HasTypeDefinition": 40, "HasSubtype": 45, "HasProperty": 46, "HasComponent": 47, "HasCondition": 9006,
    "GeneratesEvent": 41,
}  # fmt: skip
ENUMERATION, BASE_VARIABLE, PROPERTY, MULTI_STATE, ANALOG = 29, 63, 68, 11238, 17497
ENUM_VALUE_XML, ARGUMENT_XML, EU_INFORMATION_XML = 7616, 297, 888
NAMESPACE_METADATA_TYPE, SERVER_NAMESPACES = 11616, 11715
# Permission bits (OPC 10000-3, 8.55): Browse, Read, ReadHistory, ReceiveEvents; Write; Call.
LOOK, WRITE, CALL = 0x1 | 0x20 | 0x80 | 0x800, 0x40, 0x1000
# Access level bits (OPC 10000-3, 8.57).
READ_BIT, WRITE_BIT, HISTORY_BIT = 1, 2, 4
# First and last id of each class. Own data types start at 3001: some clients read only the number of a data type's id.
RANGES = {
    "ObjectType": (1001, 1499), "EventType": (1501, 1999), "VariableType": (2001, 2999), "DataType": (3001, 3999),
    "Object": (5001, 6999), "Method": (7001, 9999), "Variable": (10001, 19999),
}  # fmt: skip
# Values of the declarations; types that are not listed have none.
DEFAULTS = {"Boolean": "false", "UInt16": "0", "UInt32": "0", "Double": "0", "String": "", "DateTime": "1601-01-01T00:00:00Z"}


# ---------------------------------------------------------------- XML, one element a line


@dataclass
class Element:
    """An XML element with either text or children. Values stay indented: some importers read a compact value as Null."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def lines(self, depth: int = 0) -> list[str]:
        pad = "  " * depth
        head = self.tag + "".join(f" {k}={quoteattr(v)}" for k, v in self.attributes.items())
        if self.children:
            inner = [line for child in self.children for line in child.lines(depth + 1)]
            return [f"{pad}<{head}>", *inner, f"{pad}</{self.tag}>"]
        if self.text:
            return [f"{pad}<{head}>{escape(self.text)}</{self.tag}>"]
        return [f"{pad}<{head}/>"]


def element(tag: str, content: str | list[Element] = "", **attributes: str) -> Element:
    return Element(tag, attributes, *(("", content) if isinstance(content, list) else (content,)))


def scalar_value(data_type: str, text: str) -> Element:
    return element(data_type, text, xmlns=TYPES_XMLNS)


def extension_object(encoding: int, body: Element, **attributes: str) -> Element:
    type_id = element("TypeId", [element("Identifier", f"i={encoding}")])
    return element("ExtensionObject", [type_id, element("Body", [body])], **attributes)


def extension_list(encoding: int, bodies: list[Element]) -> Element:
    return element("ListOfExtensionObject", [extension_object(encoding, b) for b in bodies], xmlns=TYPES_XMLNS)


def enum_values(codes: list[tuple[int, str]]) -> Element:
    def body(number: int, name: str) -> Element:
        shown = element("DisplayName", [element("Text", name)])
        return element("EnumValueType", [element("Value", str(number)), shown, element("Description")])

    return extension_list(ENUM_VALUE_XML, [body(*code) for code in codes])


def arguments_value(arguments: list[tuple[str, str]]) -> Element:
    def body(name: str, data_type: str) -> Element:
        type_id = element("DataType", [element("Identifier", f"i={DATA_TYPES[data_type]}")])
        rank = element("ValueRank", "-1")
        return element("Argument", [element("Name", name), type_id, rank, element("ArrayDimensions"), element("Description")])

    return extension_list(ARGUMENT_XML, [body(*argument) for argument in arguments])


def unit_value(symbol: str, unece: int, name: str) -> Element:
    def localized(tag: str, text: str) -> Element:
        return element(tag, [element("Text", text)])

    parts = [element("NamespaceUri", UNITS_URI), element("UnitId", str(unece))]
    body = element("EUInformation", [*parts, localized("DisplayName", symbol), localized("Description", name)])
    return extension_object(EU_INFORMATION_XML, body, xmlns=TYPES_XMLNS)


# ---------------------------------------------------------------- from types to nodes


@dataclass
class Node:
    """A node of the file. Ids are resolved when it is written, since a reference may point forward."""

    path: str
    id_class: str
    tag: str
    name: str
    standard: bool = False
    parent: str = ""
    parent_reference: str = ""
    definition: str = ""  # type definition: `i=63`, or the path of an own type
    rule: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    references: list[tuple[str, str, bool]] = field(default_factory=list)  # type, target, forward
    write: str = ""
    call: str = ""
    method_declaration: str = ""
    extra: Element | None = None  # Definition of a data type
    value: Element | None = None


class Builder:
    """Lays out the nodes in the order of the source: a type, then all of its instance declarations, depth first."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.nodes: list[Node] = []

    def build(self) -> list[Node]:
        model = self.model
        for name, codes in model.codes.items():
            self.data_type(name, codes)
        own = [t for t in model.types.values() if not t.id]
        for wanted in ("VariableType", "EventType", "ObjectType"):
            for item in own:
                if self.type_class(item) == wanted:
                    self.type_node(item, wanted)
        self.namespace_metadata()
        return self.nodes

    def type_class(self, item: Type) -> str:
        if self.model.is_a(item.name, "BaseVariableType"):
            return "VariableType"
        return "EventType" if self.model.is_a(item.name, "BaseEventType") else "ObjectType"

    def type_reference(self, name: str) -> str:
        found = self.model.type(name)
        return f"i={found.id}" if found.id else name

    def data_type(self, name: str, codes: list[tuple[int, str]]) -> None:
        fields = [Element("Field", {"Name": label, "Value": str(number)}) for number, label in codes]
        definition = Element("Definition", {"Name": f"1:{name}"}, "", fields)
        subtype = ("HasSubtype", f"i={ENUMERATION}", False)
        self.nodes.append(Node(name, "DataType", "UADataType", name, references=[subtype], extra=definition))
        self.property(name, "EnumValues", "EnumValueType", enum_values(codes), array="0")

    def type_node(self, item: Type, id_class: str) -> None:
        attributes = {"IsAbstract": "true"} if item.abstract else {}
        tag = "UAObjectType"
        if id_class == "VariableType":
            tag, attributes = "UAVariableType", {"DataType": f"i={DATA_TYPES[item.data_type]}", **attributes}
        references = [("HasSubtype", self.type_reference(item.base), False)]
        references += [("GeneratesEvent", self.type_reference(event), True) for event in item.generates]
        self.nodes.append(Node(item.name, id_class, tag, item.name, attributes=attributes, text=item.text, references=references))
        for member in item.members:
            self.member(member, item.name, owner=item.name)

    def member(self, member: Member, parent: str, owner: str) -> None:
        """`owner`: path of the type's own declaration of the parent, which methods below it point back to."""
        path, declared = f"{parent}_{member.name}", f"{owner}_{member.name}"
        node = Node(path, "", "", member.name, member.standard, parent, "HasComponent", rule=member.rule, text=member.text)
        if member.kind == "method":
            self.method(member, node, declared)
        elif member.kind == "object":
            self.object(member, node, declared)
        else:
            self.variable(member, node)

    def method(self, member: Member, node: Node, declared: str) -> None:
        node.id_class, node.tag, node.call = "Method", "UAMethod", member.call
        if member.declaration:
            node.method_declaration = f"i={member.declaration}"
        elif declared != node.path:
            node.method_declaration = declared
        self.nodes.append(node)
        for name, arguments in (("InputArguments", member.inputs), ("OutputArguments", member.outputs)):
            if arguments:
                self.property(node.path, name, "Argument", arguments_value(arguments), array=str(len(arguments)))

    def object(self, member: Member, node: Node, declared: str) -> None:
        node.id_class, node.tag, node.definition = "Object", "UAObject", self.type_reference(member.type)
        if member.notifier:
            node.attributes["EventNotifier"] = "1"
        if self.model.is_a(member.type, "ConditionType"):
            node.references.append(("HasCondition", node.parent, False))
        self.nodes.append(node)
        for child in member.children:
            self.member(child, node.path, declared)
        # A placeholder stands for any number of instances, which have the members of their type.
        if member.rule != "OP":
            for child in self.model.inherited_members(member.type):
                if child.rule == "M":
                    origin = next(t.name for t in self.model.chain(member.type) if child in t.members)
                    self.member(child, node.path, origin)

    def variable(self, member: Member, node: Node) -> None:
        model = self.model
        node.id_class, node.tag = "Variable", "UAVariable"
        node.definition = f"i={BASE_VARIABLE}"
        if member.kind == "property":
            node.parent_reference, node.definition = "HasProperty", f"i={PROPERTY}"
        elif member.variable_type:
            node.definition = self.type_reference(member.variable_type)
        elif member.codes:
            node.definition = f"i={MULTI_STATE}"
        elif member.unit:
            node.definition = f"i={ANALOG}"
        node.attributes["DataType"] = f"i={DATA_TYPES[member.type]}"
        if member.array:
            node.attributes |= {"ValueRank": "1", "ArrayDimensions": "0"}
        access = READ_BIT | (WRITE_BIT if member.write else 0) | (HISTORY_BIT if member.history else 0)
        if access != READ_BIT:
            node.attributes |= {"AccessLevel": str(access), "UserAccessLevel": str(access)}
        if member.history:
            node.attributes["Historizing"] = "true"
        node.write = member.write
        if member.type in DEFAULTS and not member.array and not member.standard:
            node.value = scalar_value(member.type, DEFAULTS[member.type])
        self.nodes.append(node)
        if member.codes:
            codes = model.codes[member.codes]
            self.property(node.path, "EnumValues", "EnumValueType", enum_values(codes), array="0")
            shown = element("LocalizedText", [element("Text", codes[0][1])], xmlns=TYPES_XMLNS)
            self.property(node.path, "ValueAsText", "LocalizedText", shown)
        if member.unit:
            self.property(node.path, "EngineeringUnits", "EUInformation", unit_value(member.unit, *model.units[member.unit]))
        for child in model.inherited_members(member.variable_type) if member.variable_type else []:
            if child.rule == "M":
                # A property of any type (EffectiveValue) has the type of its variable.
                same = child.type == "BaseDataType"
                self.member(replace(child, type=member.type) if same else child, node.path, member.variable_type)

    def property(self, parent: str, name: str, data_type: str, value: Element, array: str = "", rule: str = "M") -> None:
        attributes = {"DataType": f"i={DATA_TYPES[data_type]}"}
        if array:
            attributes |= {"ValueRank": "1", "ArrayDimensions": array}
        node = Node(f"{parent}_{name}", "Variable", "UAVariable", name, True, parent, "HasProperty", f"i={PROPERTY}", rule, attributes)
        node.value = value
        self.nodes.append(node)

    def namespace_metadata(self) -> None:
        model, path = self.model, "NamespaceMetadata"
        node = Node(path, "Object", "UAObject", model.uri, definition=f"i={NAMESPACE_METADATA_TYPE}")
        node.parent, node.parent_reference = f"i={SERVER_NAMESPACES}", "HasComponent"
        node.attributes["SymbolicName"] = path
        self.nodes.append(node)
        numeric = element("ListOfInt32", [element("Int32", "0")], xmlns=TYPES_XMLNS)
        last = max(end for _, end in RANGES.values())
        numbers = element("ListOfString", [element("String", f"1:{last}")], xmlns=TYPES_XMLNS)
        published = scalar_value("DateTime", timestamp(model.date))
        for name, data_type, value, array in (
            ("NamespaceUri", "String", scalar_value("String", model.uri), ""),
            ("NamespaceVersion", "String", scalar_value("String", model.version), ""),
            ("NamespacePublicationDate", "DateTime", published, ""),
            ("IsNamespaceSubset", "Boolean", scalar_value("Boolean", "false"), ""),
            ("StaticNodeIdTypes", "IdType", numeric, "0"),
            ("StaticNumericNodeIdRange", "NumericRange", numbers, "0"),
            ("StaticStringNodeIdPattern", "String", scalar_value("String", ""), ""),
        ):
            self.property(path, name, data_type, value, array, rule="")


def timestamp(date: str) -> str:
    return f"{date}T00:00:00Z"


# ---------------------------------------------------------------- from nodes to the document


class Writer:
    def __init__(self, model: Model, ids: dict[str, int]) -> None:
        self.model = model
        self.ids = ids

    def resolve(self, target: str) -> str:
        return target if target.startswith("i=") else f"ns=1;i={self.ids[target]}"

    def document(self, nodes: list[Node]) -> str:
        attributes = {"xmlns": NODESET_XMLNS, "LastModified": timestamp(self.model.date)}
        aliases = [Element("Alias", {"Alias": name}, f"i={number}") for name, number in REFERENCES.items()]
        children = [
            element("NamespaceUris", [element("Uri", self.model.uri)]),
            element("Models", [self.model_element()]),
            element("Aliases", aliases),
            *(self.node(n) for n in nodes),
        ]
        lines = Element("UANodeSet", attributes, "", children).lines()
        return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', *lines, ""])

    def model_element(self) -> Element:
        model, (uri, version, date) = self.model, self.model.requires
        required = Element("RequiredModel", {"ModelUri": uri, "Version": version, "PublicationDate": timestamp(date)})
        attributes = {"ModelUri": model.uri, "Version": model.version, "ModelVersion": model.version}
        attributes["PublicationDate"] = timestamp(model.date)
        return Element("Model", attributes, "", [self.permissions([], 0), required])

    def permissions(self, roles: list[str], extra: int) -> Element:
        def permission(role: str) -> Element:
            bits = LOOK | (extra if role in roles else 0)
            return Element("RolePermission", {"Permissions": str(bits)}, f"i={ROLES[role]}")

        return element("RolePermissions", [permission(role) for role in ROLES])

    def node(self, node: Node) -> Element:
        name = node.name if node.standard else f"1:{node.name}"
        attributes = {"NodeId": self.resolve(node.path), "BrowseName": name}
        if node.parent:
            attributes["ParentNodeId"] = self.resolve(node.parent)
        attributes |= node.attributes
        if node.method_declaration:
            attributes["MethodDeclarationId"] = self.resolve(node.method_declaration)
        children = [element("DisplayName", node.name)]
        if node.text:
            children.append(element("Description", node.text))
        children.append(element("References", self.references(node)))
        if node.write or node.call:
            verb, extra = ("write", WRITE) if node.write else ("call", CALL)
            children.append(self.permissions(self.model.roles[node.write or node.call][verb], extra))
        if node.extra:
            children.append(node.extra)
        if node.value:
            children.append(element("Value", [node.value]))
        return Element(node.tag, attributes, "", children)

    def references(self, node: Node) -> list[Element]:
        def reference(kind: str, target: str, forward: bool = True) -> Element:
            attributes = {"ReferenceType": kind} if forward else {"ReferenceType": kind, "IsForward": "false"}
            return Element("Reference", attributes, self.resolve(target))

        found = []
        if node.definition:
            found.append(reference("HasTypeDefinition", node.definition))
        if node.rule:
            found.append(reference("HasModellingRule", f"i={RULES[node.rule]}"))
        if node.parent:
            found.append(reference(node.parent_reference, node.parent, False))
        return found + [reference(*r) for r in node.references]
