"""All that people tune, in one demo of its own: written, refused, reset, audited, kept; sources switched off and on; rights."""

from datetime import UTC, datetime

import pytest
from asyncua import ua
from gateway import Gateway, eventually, node, read, write

SPEED = 40
ENABLED = "Gateway.Sources.PLC1.Enabled"
SIGNAL = "Motor1.Signals.TempWinding"
BOOLEAN = ua.VariantType.Boolean


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with Gateway(tmp_path_factory.mktemp("tuning") / "data", speed=SPEED) as gateway:
        yield gateway


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def status(client, path):
    """Status code of a variable's value."""
    return node(client, path).read_data_value(raise_on_bad_status=False).StatusCode.value


def test_a_source_is_switched_off_and_on(gateway, client):
    eventually(lambda: status(client, SIGNAL) == ua.StatusCodes.Good, 60, "a value")
    begun = datetime.now(UTC)
    write(client, ENABLED, False, BOOLEAN)
    assert read(client, f"{ENABLED}.EffectiveValue") is False
    eventually(lambda: status(client, SIGNAL) == ua.StatusCodes.BadOutOfService, 60, "values that say that the source is off")
    eventually(lambda: read(client, "Gateway.Sources.PLC1.State") == 0, 60, "Disabled")
    assert read(client, "Gateway.Sources.PLC1.StateText") == "switched off"
    assert not read(client, "Gateway.Sources.PLC1.SourceDownAlarm.ActiveState.Id"), "switched off is not down"
    eventually(lambda: "switched off" in read(client, "Gateway.HealthText"), 60, "the gateway says so")
    for path in ("Motor1.Source.State", "Motor1.Health"):
        assert node(client, path).read_data_value().SourceTimestamp.replace(tzinfo=UTC) >= begun, f"{path}: of the change, not of the last row"
    write(client, ENABLED, True, BOOLEAN)
    eventually(lambda: status(client, SIGNAL) == ua.StatusCodes.Good, 60, "values again")
    eventually(lambda: read(client, "Gateway.Sources.PLC1.State") == 2, 60, "Connected")
    events = [line for line in gateway.lines if line.get("event") == "parameter" and line.get("path") == ENABLED]
    assert [(e["old"], e["new"], e["user"]) for e in events] == [("true", "false", "anonymous"), ("false", "true", "anonymous")]


VT = ua.VariantType
KINDS = {VT.Boolean: bool, VT.UInt16: int, VT.UInt32: int, VT.Double: float, VT.String: str}
# What is not simply a neighbour of the present value, by the end of the path.
OTHERS = {"Budget": "2 per 7d", "ExportFormat": "csv"}


def tunables(client):
    """Every writable parameter: paths of variables with an EffectiveValue that has a DefaultValue beside it, by browsing."""
    found, left, seen = [], [client.get_node(ua.NodeId("Gateway", 2))], set()
    while left:
        here = left.pop()
        if here.nodeid in seen:
            continue
        seen.add(here.nodeid)
        children = here.get_children()
        names = {child.nodeid.Identifier.rsplit(".", 1)[-1] for child in children if child.nodeid.NamespaceIndex == 2}
        if {"EffectiveValue", "DefaultValue"} <= names:
            found.append((here.nodeid.Identifier, names))
        else:
            left += [child for child in children if child.nodeid.NamespaceIndex == 2]
    return sorted(found)


def other(client, path, names):
    """Another valid value."""
    now = read(client, path)
    last = path.rsplit(".", 1)[-1]
    if last in OTHERS:
        return OTHERS[last]
    if isinstance(now, bool):
        return not now
    if last == "Name":
        used = [read(client, f"{path.rsplit('.', 2)[0]}.T{slot}.Name") for slot in range(1, 5)]
        return next(name for name in read(client, f"{path}.AllowedValues") if name not in used and name != "jensen_shannon")
    low, high = read(client, f"{path}.MinValue"), read(client, f"{path}.MaxValue")
    step = 1 if isinstance(now, int) else (high - low) / 1000 if high <= 1 else 0.5
    return now + step if now + step <= high else now - step


def refusal(client, path, value, kind):
    with pytest.raises(ua.UaStatusCodeError) as error:
        write(client, path, value, kind)
    return error.value.code


@pytest.fixture(scope="module")
def matrix(gateway):
    """Path, type, file's value and members of every parameter."""
    gateway.wait_for_event("reference", 120)
    with gateway.client() as client:
        found = tunables(client)
        kinds = {path: node(client, path).read_data_type_as_variant_type() for path, _ in found}
        return [(path, kinds[path], read(client, f"{path}.DefaultValue"), names) for path, names in found]


def test_all_kinds_of_parameters_are_there(matrix):
    ends = {path.rsplit(".", 1)[-1] for path, *_ in matrix}
    wanted = {"Enabled", "WindowRows", "Hop", "ConsecutiveLimit", "Threshold", "Name", "Budget", "Tolerance", "ScoreThreshold", "LatencyBudget"}
    assert wanted | {"ConfirmationTimeout", "MinReferenceRows", "TargetRows", "ExportFormat", "Interval"} <= ends
    assert len(matrix) >= 30


def test_every_parameter_is_written_audited_and_reset(gateway, client, matrix):
    skipped = {ENABLED}
    for path, kind, default, names in matrix:
        if path in skipped:
            continue
        value, before, revision = other(client, path, names), read(client, path), read(client, "Gateway.Configuration.Revision")
        begun = len(gateway.lines)
        write(client, path, value, kind)
        assert read(client, path) == value, path
        if not path.endswith("Budget") or path.endswith("LatencyBudget"):
            eventually(lambda path=path, value=value: read(client, f"{path}.EffectiveValue") == value, 60, f"{path} is in force")
        else:
            eventually(lambda path=path: read(client, f"{path}.Pending") is True, 60, f"{path} waits for a training")
        assert read(client, "Gateway.Configuration.Revision") > revision, path
        assert read(client, f"{path}.LastErrorText") == "" and read(client, f"{path}.LastChangedBy") == "anonymous"
        told = gateway.wait_for(lambda line, path=path: line.get("event") == "parameter" and line.get("path") == path, 60, begun)
        assert (told["user"], told.get("refused")) == ("anonymous", None), path
        assert told["old"] != told["new"], path
        reset = node(client, "Gateway.Configuration.ResetParameter")
        node(client, "Gateway.Configuration").call_method(reset, path, "test")
        eventually(lambda path=path, default=default: read(client, path) == default or before == read(client, path), 60, f"{path} as in the file")
