"""The model in memory, and how it is read from model.txt and ns0.txt."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SOURCE, STANDARD = "model.txt", "ns0.txt"

# Ids of namespace 0 (OPC 10000-6, NodeIds.csv).
DATA_TYPES = {
    "Boolean": 1, "Byte": 3, "UInt16": 5, "Int32": 6, "UInt32": 7, "UInt64": 9, "Double": 11, "String": 12, "DateTime": 13,
    "ByteString": 15, "NodeId": 17, "StatusCode": 19, "LocalizedText": 21, "BaseDataType": 24, "Number": 26, "IdType": 256,
    "Duration": 290, "NumericRange": 291, "UtcTime": 294, "Argument": 296, "EUInformation": 887, "EnumValueType": 7594,
}  # fmt: skip
RULES = {"M": 78, "O": 80, "OP": 11508}
ROLES = {"Observer": 15668, "Operator": 15680, "Engineer": 16036, "Supervisor": 15692, "ConfigureAdmin": 15716, "SecurityAdmin": 15704}
# Browse names that belong to namespace 0 wherever they appear.
STANDARD_NAMES = {"EngineeringUnits", "EnumValues", "ValueAsText", "InputArguments", "OutputArguments"}


class ModelError(Exception):
    """The source or the list of ids is wrong; the text says where and what to do."""


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
