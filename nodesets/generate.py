#!/usr/bin/env python3
"""Writes Driftgate.Types.NodeSet2.xml from model.txt, ns0.txt and Driftgate.Types.NodeIds.csv.

    python3 nodesets/generate.py            write the XML, append rows for new nodes to the CSV
    python3 nodesets/generate.py --check    change nothing; exit 1 if the XML or the CSV is not current

The format of the source is documented at the head of model.txt. The same source and the same CSV give the same bytes.
Exit codes: 0 success, 1 not current, 2 the source or the CSV is wrong.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

SOURCE, STANDARD = "model.txt", "ns0.txt"
CSV_FILE, XML_FILE = "Driftgate.Types.NodeIds.csv", "Driftgate.Types.NodeSet2.xml"

NODESET_XMLNS = "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"
TYPES_XMLNS = "http://opcfoundation.org/UA/2008/02/Types.xsd"
UNITS_URI = "http://www.opcfoundation.org/UA/units/un/cefact"

# Ids of namespace 0 (OPC 10000-6, NodeIds.csv).
DATA_TYPES = {
    "Boolean": 1, "Byte": 3, "UInt16": 5, "Int32": 6, "UInt32": 7, "UInt64": 9, "Double": 11, "String": 12, "DateTime": 13,
    "ByteString": 15, "NodeId": 17, "StatusCode": 19, "LocalizedText": 21, "BaseDataType": 24, "Number": 26, "IdType": 256,
    "Duration": 290, "NumericRange": 291, "UtcTime": 294, "Argument": 296, "EUInformation": 887, "EnumValueType": 7594,
}  # fmt: skip
REFERENCES = {
    "HasModellingRule": 37, "HasTypeDefinition": 40, "HasSubtype": 45, "HasProperty": 46, "HasComponent": 47, "HasCondition": 9006,
    "GeneratesEvent": 41,
}  # fmt: skip
RULES = {"M": 78, "O": 80, "OP": 11508}
ROLES = {"Observer": 15668, "Operator": 15680, "Engineer": 16036, "Supervisor": 15692, "ConfigureAdmin": 15716, "SecurityAdmin": 15704}
# Permission bits (OPC 10000-3, 8.55): Browse, Read, ReadHistory, ReceiveEvents; Write; Call.
LOOK, WRITE, CALL = 0x1 | 0x20 | 0x80 | 0x800, 0x40, 0x1000
# Access level bits (OPC 10000-3, 8.57).
READ_BIT, WRITE_BIT, HISTORY_BIT = 1, 2, 4
ENUMERATION, BASE_VARIABLE, PROPERTY, MULTI_STATE, ANALOG = 29, 63, 68, 11238, 17497
ENUM_VALUE_BINARY, ARGUMENT_XML, EU_INFORMATION_XML = 7616, 297, 888
NAMESPACE_METADATA_TYPE, SERVER_NAMESPACES = 11616, 11715
# Browse names that belong to namespace 0 wherever they appear.
STANDARD_NAMES = {"EngineeringUnits", "EnumValues", "ValueAsText", "InputArguments", "OutputArguments"}
# First and last id of each class. Own data types start at 3001: some clients read only the number of a data type's id.
RANGES = {
    "ObjectType": (1001, 1499), "EventType": (1501, 1999), "VariableType": (2001, 2999), "DataType": (3001, 3999),
    "Object": (5001, 6999), "Method": (7001, 9999), "Variable": (10001, 19999),
}  # fmt: skip
# Values of the declarations; types that are not listed have none.
DEFAULTS = {"Boolean": "false", "UInt16": "0", "UInt32": "0", "Double": "0", "String": "", "DateTime": "1601-01-01T00:00:00Z"}


class ModelError(Exception):
    """The source or the CSV is wrong; the text says where and what to do."""


# ---------------------------------------------------------------- the model in memory


@dataclass
class Member:
    """A variable, property, object or method below a type."""

    name: str
    kind: str  # variable, property, object, method
    type: str  # data type of a variable, type definition of an object, empty for a method
    array: bool = False
    variable_type: str = ""  # type definition of a variable, where it is not the default
    codes: str = ""  # code list of a variable
    unit: str = ""
    rule: str = "M"
    write: str = ""  # role that writes
    call: str = ""  # role that calls
    history: bool = False
    notifier: bool = False
    inputs: list[tuple[str, str]] = field(default_factory=list)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    declaration: int = 0  # id of the method in namespace 0
    text: str = ""
    children: list[Member] = field(default_factory=list)
    standard: bool = False  # browse name in namespace 0


@dataclass
class Type:
    name: str
    base: str
    data_type: str = ""  # only of a variable type
    abstract: bool = False
    id: int = 0  # only of namespace 0
    text: str = ""
    generates: list[str] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)


@dataclass
class Model:
    uri: str = ""
    version: str = ""
    date: str = ""
    requires: tuple[str, str, str] = ("", "", "")
    units: dict[str, tuple[int, str]] = field(default_factory=dict)
    roles: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    types: dict[str, Type] = field(default_factory=dict)
    codes: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def type(self, name: str) -> Type:
        if name not in self.types:
            raise ModelError(f"unknown type: `{name}`; declare it in {SOURCE}, or in {STANDARD} if it is of namespace 0")
        return self.types[name]

    def chain(self, name: str) -> list[Type]:
        """The type and its super types, the most general first."""
        found: list[Type] = []
        while name:
            found.insert(0, self.type(name))
            name = found[0].base
        return found

    def is_a(self, name: str, ancestor: str) -> bool:
        return any(t.name == ancestor for t in self.chain(name))

    def inherited_members(self, name: str) -> list[Member]:
        """Members of the type and its super types; a member that a sub type declares again replaces the first."""
        found: dict[str, Member] = {}
        for member in (m for t in self.chain(name) for m in t.members):
            found[member.name] = member
        return list(found.values())


# ---------------------------------------------------------------- reading the source

NAME = r"[A-Za-z]\w*"
TYPE_LINE = re.compile(rf"({NAME})(?: i=(\d+))?(?: <: ({NAME}))?(?: \(({NAME})\))?( abstract)?$")
CODES_LINE = re.compile(rf"({NAME}): (\d+=.*)$")
GENERATES_LINE = re.compile(r"generates (.+)$")
METHOD_LINE = re.compile(rf"({NAME})\((.*?)\)(?: -> \((.+?)\))? (.+)$")
RANGE_LINE = re.compile(rf"({NAME}?)(\d+)\.\.\1(\d+)/ (.+)$")
OBJECT_LINE = re.compile(rf"({NAME}|<{NAME}>)/ ({NAME}) (.+)$")
VARIABLE_LINE = re.compile(rf"(\.?)({NAME}|<{NAME}>): ({NAME})(\[\])? (.+)$")
ROLE_LINE = re.compile(r"role (\w+) write: ([\w ]+); call: ([\w ]+)$")
UNIT_LINE = re.compile(r"unit (\S+) (\d+) (.+)$")
HEAD_LINE = re.compile(r"(model|requires) (\S+) (\S+) (\d{4}-\d\d-\d\d)$")


def parse(model: Model, text: str, file: str, standard: bool = False) -> None:
    """Adds what `text` declares to `model`; `standard`: it describes namespace 0."""
    # Per depth, the list that takes the next member of that depth.
    open_lists: list[list[Member]] = []
    current: Type | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        try:
            if not raw.isascii():
                raise ModelError("only ASCII: some panels show anything else as `?`")
            line, _, note = raw.partition(" -- ")
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            indent = len(line) - len(line.lstrip(" "))
            content = re.sub(r" +", " ", line.strip())
            if indent == 0:
                current = parse_top(model, content, note.strip(), standard)
                open_lists = [current.members] if current else []
                continue
            depth = indent // 2 - 1
            if indent % 2 or depth >= len(open_lists):
                raise ModelError("wrong indentation: two blanks a level, below a type or an object")
            if current and depth == 0 and (m := GENERATES_LINE.match(content)):
                current.generates += m[1].split(", ")
                continue
            del open_lists[depth + 1 :]
            members = parse_member(model, content, note.strip(), standard)
            for member in members:
                if any(m.name == member.name for m in open_lists[depth]):
                    raise ModelError(f"declared twice: `{member.name}`")
                open_lists[depth].append(member)
            open_lists.append(members[-1].children)
        except ModelError as error:
            raise ModelError(f"{file}:{number}: {error}: `{raw.strip()}`") from None


def parse_top(model: Model, content: str, note: str, standard: bool) -> Type | None:
    if m := HEAD_LINE.match(content):
        if m[1] == "model":
            model.uri, model.version, model.date = m[2], m[3], m[4]
        else:
            model.requires = (m[2], m[3], m[4])
    elif m := UNIT_LINE.match(content):
        model.units[m[1]] = (int(m[2]), m[3])
    elif m := ROLE_LINE.match(content):
        model.roles[m[1]] = {"write": known_roles(m[2]), "call": known_roles(m[3])}
    elif m := CODES_LINE.match(content):
        model.codes[m[1]] = parse_codes(m[2])
    elif m := TYPE_LINE.match(content):
        if m[1] in model.types:
            raise ModelError(f"declared twice: `{m[1]}`")
        if bool(m[2]) != standard:
            raise ModelError("`i=` belongs to types of namespace 0, and to them only")
        created = Type(m[1], m[3] or "", m[4] or "", bool(m[5]), int(m[2] or 0), note)
        model.types[created.name] = created
        return created
    else:
        raise ModelError("neither a type, a code list, a unit, a role nor a head line")
    return None


def known_roles(text: str) -> list[str]:
    for role in text.split():
        if role not in ROLES:
            raise ModelError(f"unknown role: `{role}`; one of {', '.join(ROLES)}")
    return text.split()


def parse_codes(text: str) -> list[tuple[int, str]]:
    codes = [(int(number), name) for number, name in (pair.split("=") for pair in text.split(", "))]
    if len({n for n, _ in codes}) < len(codes) or len({n for _, n in codes}) < len(codes):
        raise ModelError("a number or a name appears twice in the code list")
    return codes


def parse_member(model: Model, content: str, note: str, standard: bool) -> list[Member]:
    if m := METHOD_LINE.match(content):
        member = Member(m[1], "method", "", text=note, standard=standard)
        member.inputs, member.outputs = parse_arguments(m[2]), parse_arguments(m[3])
        return [with_flags(model, member, m[4])]
    if m := RANGE_LINE.match(content):
        names = [f"{m[1]}{i:0{len(m[2])}}" for i in range(int(m[2]), int(m[3]) + 1)]
        return [m2 for name in names for m2 in parse_member(model, f"{name}/ {m[4]}", note, standard)]
    if m := OBJECT_LINE.match(content):
        return [with_flags(model, Member(m[1], "object", m[2], text=note, standard=standard), m[3])]
    if m := VARIABLE_LINE.match(content):
        kind = "property" if m[1] else "variable"
        member = Member(m[2], kind, m[3], array=bool(m[4]), text=note, standard=standard or m[2] in STANDARD_NAMES)
        if member.type not in DATA_TYPES:
            raise ModelError(f"unknown data type: `{member.type}`")
        return [with_flags(model, member, m[5])]
    raise ModelError("neither a variable, an object nor a method; the format is at the head of " + SOURCE)


def parse_arguments(text: str | None) -> list[tuple[str, str]]:
    found = []
    for argument in text.split(", ") if text else []:
        name, _, data_type = argument.partition(": ")
        if data_type not in DATA_TYPES:
            raise ModelError(f"unknown data type of the argument `{name}`: `{data_type}`")
        found.append((name, data_type))
    return found


def with_flags(model: Model, member: Member, flags: str) -> Member:
    ruled = False
    for flag in flags.split():
        if flag in RULES:
            member.rule, ruled = flag, True
        elif flag.startswith(("RW:", "Call:")):
            verb, role = flag.split(":")
            if role not in model.roles:
                raise ModelError(f"unknown role: `{role}`; one of {', '.join(model.roles)}")
            if verb == "RW":
                member.write = role
            else:
                member.call = role
        elif flag == "Hist":
            member.history = True
        elif flag == "notifier":
            member.notifier = True
        elif re.fullmatch(r"i=\d+", flag):
            member.declaration = int(flag[2:])
        elif flag in model.units:
            member.unit = flag
        elif flag in model.codes:
            member.codes = flag
        elif flag in model.types and model.is_a(flag, "BaseVariableType"):
            member.variable_type = flag
        else:
            raise ModelError(f"unknown word: `{flag}`; a unit, code list or variable type must be declared above its use")
    if not ruled:
        raise ModelError("no modelling rule: M, O or OP")
    return member


# ---------------------------------------------------------------- XML, one element a line, values indented


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

    return extension_list(ENUM_VALUE_BINARY, [body(*code) for code in codes])


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


# ---------------------------------------------------------------- ids


@dataclass
class Row:
    path: str
    id: int
    id_class: str


def read_rows(text: str) -> list[Row]:
    rows = []
    for number, columns in enumerate(csv.reader(io.StringIO(text)), 1):
        if len(columns) != 3 or not columns[1].isdigit() or columns[2] not in RANGES:
            raise ModelError(f"{CSV_FILE}:{number}: not a row `path,id,class`: `{','.join(columns)}`")
        rows.append(Row(columns[0], int(columns[1]), columns[2]))
    for what, values in (("path", [r.path for r in rows]), ("id", [str(r.id) for r in rows])):
        if twice := sorted({v for v in values if values.count(v) > 1}) if len(set(values)) < len(values) else []:
            raise ModelError(f"{CSV_FILE}: {what} appears twice: `{twice[0]}`; restore the file, rows are never edited")
    return rows


def allot(nodes: list[Node], rows: list[Row]) -> list[Row]:
    """All rows: the old ones as they are, then new ones for new paths. An id that was ever given is never given again."""
    known = {row.path: row for row in rows}
    following = {c: max([start - 1, *(r.id for r in rows if r.id_class == c)]) + 1 for c, (start, _) in RANGES.items()}
    grown = list(rows)
    for node in nodes:
        row = known.get(node.path)
        if row and row.id_class != node.id_class:
            raise ModelError(f"`{node.path}` was {row.id_class} and would become {node.id_class}; give it another name")
        if not row:
            row = Row(node.path, following[node.id_class], node.id_class)
            if row.id > RANGES[node.id_class][1]:
                raise ModelError(f"no id left for class {node.id_class}; widen its range in RANGES")
            following[node.id_class] += 1
            known[row.path] = row
            grown.append(row)
    return grown


def refuse_lost_rows(rows: list[Row], written_xml: str) -> None:
    """Every id in the file that was written last must still have its row."""
    lost = {int(i) for i in re.findall(r' NodeId="ns=1;i=(\d+)"', written_xml)} - {row.id for row in rows}
    if lost:
        raise ModelError(f"{CSV_FILE}: row missing for id {min(lost)}, which {XML_FILE} uses; restore the row, rows are never removed")


# ---------------------------------------------------------------- writing


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


# ---------------------------------------------------------------- command


def generate(folder: Path) -> tuple[str, str]:
    """The texts of the XML and of the CSV as they should be."""

    def read(name: str) -> str:
        path = folder / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    model = Model()
    parse(model, read(STANDARD), STANDARD, standard=True)
    parse(model, read(SOURCE), SOURCE)
    if not model.uri or not model.requires[0]:
        raise ModelError(f"{SOURCE}: the lines `model ...` and `requires ...` are missing")
    nodes = Builder(model).build()
    rows = read_rows(read(CSV_FILE))
    refuse_lost_rows(rows, read(XML_FILE))
    rows = allot(nodes, rows)
    xml = Writer(model, {row.path: row.id for row in rows}).document(nodes)
    return xml, "".join(f"{r.path},{r.id},{r.id_class}\n" for r in rows)


def difference(name: str, wanted: str, found: str) -> str:
    pairs = zip(wanted.splitlines() + [""], found.splitlines() + [""])
    number, (want, have) = next((i, p) for i, p in enumerate(pairs, 1) if p[0] != p[1] or not (p[0] or p[1]))
    return f"{name}:{number} is not current: has `{have.strip()}`, should have `{want.strip()}`"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Generates the NodeSet2 XML of driftgate's types.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a generated file is not current")
    parser.add_argument("--dir", type=Path, default=Path(__file__).parent, help="folder of the files (default: this one)")
    options = parser.parse_args(arguments)
    try:
        xml, rows = generate(options.dir)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stale = []
    for name, wanted in ((CSV_FILE, rows), (XML_FILE, xml)):
        path = options.dir / name
        found = path.read_text(encoding="utf-8") if path.exists() else ""
        if found != wanted:
            stale.append(difference(name, wanted, found))
            if not options.check:
                path.write_text(wanted, encoding="utf-8", newline="\n")
                print(f"wrote {path}")
    if options.check and stale:
        print("\n".join(stale), file=sys.stderr)
        print("hint: run `python3 nodesets/generate.py` and commit all files of nodesets/", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
