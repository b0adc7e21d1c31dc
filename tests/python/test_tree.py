"""The served tree against the information model: every variable is there, typed and filled, and every parameter can be tuned."""

import re
import sys

import pytest
from asyncua import ua
from gateway import ROOT, Gateway, eventually, node, read, write

sys.path.insert(0, str(ROOT / "nodesets"))
from model_source import SOURCE, STANDARD, Model, parse  # noqa: E402

# Variables that may be Bad once the demo has found its drift, each with its reason. Patterns of whole paths that name each node.
MONITOR = r"Motor1\.(Drift\.DataDrift|Models\.Stator\.PredictionDrift)"
EMPTY = {
    r"Motor1\.Regimes\.R0[2-8]\.(DriftIndex|LastSeen|ReferenceTime)": "a slot without a regime",
    MONITOR + r"\.T4\.(Value|DriftIndex|Threshold|PValue|Exceeded)": "a slot without a test",
    MONITOR + r"\.T[23]\.PValue": "distances have no p-value",
    r"Motor1\.Drift\.Features\.\w+\.PValue": "a distance decides for this feature",
    r"Motor1\.Drift\.Features\.\w+\.Since": "this feature does not drift",
    r"Motor1\.Buffers\.B0[1-4]\.(CollectingSince|OldestRow|NewestRow)": "an empty buffer; which one is filled is up to the story",
    r"Motor1\.Buffers\.B0[1-4]\.(LastExportTime|LastExportRows)": "a buffer without an export",
    r"Motor1\.Buffers\.B0[1-4]\.LabelledRows": "labels are joined to rows by an export, and there was none",
    r"Motor1\.Models\.Stator\.(Candidate|Fallback)\.(CreatedTime|TrainedFrom|TrainedTo|ActivatedTime)": "a slot without a model",
    r"Motor1\.Models\.Stator\.Inference\.(Score|PredictionClass)": "the present row is not judged: the story goes on",
    r"Motor1\.Regimes\.EnvelopeDistance": "the same",
    r"Motor1\.Settings\.(Voltage|Load)\.LastChangedTime": "it has not changed since the start",
    r"(Gateway|Motor1)\.Command\.LastTime": "no command was given",
    r"Motor1\.Label\.LastLabelTime": "no label was given",
    r"Gateway\.Configuration\.LastChangedTime": "nothing was changed",
    r"Motor1\..*\.LastChangedTime": "this parameter was not changed",
    r"Motor1\.Report\.(Last|Next)Time": "no report was made, or none is due",
    r".*Alarm\.(DriftIndex|LastGoodTime|MetricValue|Score|ScoreThreshold|Threshold)": "of a condition that was never active; test_alarms.py",
}
HIERARCHY = ua.ObjectIds.HierarchicalReferences


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A demo of its own in which drift has been found: everything has been evaluated."""
    with Gateway(tmp_path_factory.mktemp("tree") / "data") as gateway:
        gateway.wait_for_status("Drift", 120)
        yield gateway


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.client() as client:
        yield client


@pytest.fixture(scope="module")
def variables(client):
    """All variables below Objects that are instances of ours, by path."""
    found, seen, due = {}, set(), [client.nodes.objects]
    while due:
        for reference in due.pop().get_references(HIERARCHY, ua.BrowseDirection.Forward, 0, True):
            child = reference.NodeId
            if child.NamespaceIndex != 2 or child in seen:
                continue
            seen.add(child)
            due.append(client.get_node(child))
            if reference.NodeClass == ua.NodeClass.Variable:
                found[child.Identifier] = due[-1]
    return found


@pytest.fixture(scope="module")
def parameters(client, variables):
    """Paths of all ConfigParameterType variables."""
    type_id = next(c.nodeid for c in client.get_node(ua.ObjectIds.DataItemType).get_children() if c.read_browse_name().Name == "ConfigParameterType")
    of_type = [path for path, variable in variables.items() if path.count(".") > 1 and f"{path}.EffectiveValue" in variables]
    assert all(variables[path].read_type_definition() == type_id for path in of_type)
    return sorted(of_type)


@pytest.fixture(scope="module")
def model():
    """nodesets/model.txt."""
    model = Model()
    for file in (STANDARD, SOURCE):
        parse(model, (ROOT / "nodesets" / file).read_text(), file, standard=file == STANDARD)
    return model


def expected(model, type_name, path):
    """Paths of all mandatory variables below an instance of a type, with the name of their data type."""
    for member in model.inherited_members(type_name):
        below = f"{path}.{member.name}"
        if member.rule != "M" or member.kind == "method" or member.standard:
            continue
        if member.kind == "object":
            yield from expected(model, member.type, below)
        else:
            yield below, member.type


@pytest.mark.parametrize(
    ("type_name", "path"),
    [
        ("GatewayType", "Gateway"),
        ("SourceConnectionType", "Gateway.Sources.PLC1"),
        ("MachineType", "Motor1"),
        ("RegimeType", "Motor1.Regimes.R08"),
        ("ModelManagementType", "Motor1.Models.Stator"),
        ("FeatureDriftType", "Motor1.Drift.Features.Flux_rms"),
        ("ProcessSignalType", "Motor1.Signals.Speed"),
        ("MachineSettingType", "Motor1.Settings.Voltage"),
    ],
)
def test_every_mandatory_variable_of_the_model_is_served(model, variables, type_name, path):
    wanted = dict(expected(model, type_name, path))
    assert len(wanted) > 2
    assert [missing for missing in wanted if missing not in variables] == []
    for served, data_type in wanted.items():
        if data_type in ua.ObjectIdNames.values() and data_type not in ("BaseDataType", "Number"):
            assert ua.ObjectIdNames[variables[served].read_data_type().Identifier] == data_type, served


def test_every_variable_is_typed_and_filled(variables):
    assert len(variables) > 1000
    empty, wrong = [], []
    for path, variable in variables.items():
        value = variable.read_data_value(raise_on_bad_status=False)
        access = variable.read_attribute(ua.AttributeIds.AccessLevel).Value.Value
        if not access & 1 or variable.read_data_type().Identifier == 0:
            wrong.append(path)
        # Good or Uncertain: the story goes on while this is read.
        filled = value.StatusCode.value >> 31 == 0 and value.Value is not None and value.Value.VariantType != ua.VariantType.Null
        if not filled and not any(re.fullmatch(pattern, path) for pattern in EMPTY):
            empty.append(f"{path}: {value.StatusCode.name}")
        # A historian would put it there.
        if value.SourceTimestamp is not None and value.SourceTimestamp.year < 2000:
            wrong.append(f"{path}: of {value.SourceTimestamp}")
    assert not wrong
    assert not empty


def test_the_active_model_is_described(client):
    active = {child.read_browse_name().Name: child.read_data_value(raise_on_bad_status=False) for child in node(client, "Motor1.Models.Stator.Active").get_children()}
    values = {name: value.Value.Value for name, value in active.items() if value.StatusCode.is_good()}
    assert set(active) == set(values), "all are known"
    filled = {"StateText", "ModelId", "Name", "Version", "Hash", "Format", "Inputs", "SizeBytes", "CreatedTime", "TrainedFrom", "TrainedTo"}
    assert {name for name in filled if not values[name]} == set()
    assert (values["State"], values["Name"], len(values["Hash"])) == (3, "Stator", 64)


def test_the_summary_is_ten_nodes_that_are_elsewhere(client):
    nodes = [child.nodeid.Identifier for child in node(client, "Motor1.Summary").get_children()]
    assert len(nodes) == 10
    assert all(path.startswith("Motor1.") and "Summary" not in path for path in nodes)
    assert "Motor1.Health" in nodes and "Motor1.Alarms.AnyUnacked" in nodes


def test_a_label_is_offered_for_the_last_fault(gateway, client):
    gateway.wait_for_event("fault", 120)
    eventually(lambda: read(client, "Motor1.Label.Pending") > 0, 60, "a fault without a label")
    prediction = read(client, "Motor1.Label.PredictionId")
    assert re.fullmatch(r"Motor1-\d+", prediction)
    pending = read(client, "Motor1.Label.Pending")
    write(client, "Motor1.Label.LabelClass", 1, ua.VariantType.UInt16)
    write(client, "Motor1.Command.Request", 14, ua.VariantType.UInt16)
    assert read(client, "Motor1.Command.State") == 2, read(client, "Motor1.Command.ResultText")
    eventually(lambda: read(client, "Motor1.Label.Pending") < pending, 60, "a fault with a label")
    assert read(client, "Motor1.Label.ClassNames") == "0=healthy;1=fault"


def test_every_parameter_takes_its_own_value_and_refuses_others(client, variables, parameters):
    assert len(parameters) > 35
    written = 0
    for path in parameters:
        variable = variables[path]
        data = variable.read_data_value(raise_on_bad_status=False)
        if not variable.read_attribute(ua.AttributeIds.AccessLevel).Value.Value & 2 or not data.StatusCode.is_good():
            continue
        kind, before = data.Value.VariantType, data.Value.Value
        write(client, path, before, kind)
        assert read(client, f"{path}.LastErrorText") == ""
        written += 1
        other = ua.Variant(1.5, ua.VariantType.Float)
        refusals = [(other, ua.StatusCodes.BadTypeMismatch, "")]
        if f"{path}.MaxValue" in variables:
            high = read(client, f"{path}.MaxValue")
            beyond = high * 2 if kind == ua.VariantType.Double else min(int(high) + 1, 65535 if kind == ua.VariantType.UInt16 else 2**32 - 1)
            refusals.append((ua.Variant(beyond, kind), ua.StatusCodes.BadOutOfRange, "range"))
        if kind == ua.VariantType.String:
            refusals.append((ua.Variant("no such thing", kind), ua.StatusCodes.BadOutOfRange, "no such thing"))
        for value, status, text in refusals:
            with pytest.raises(ua.UaStatusCodeError) as error:
                write(client, path, value.Value, value.VariantType)
            assert error.value.code == status, (path, value, error.value)
            assert read(client, path) == before
            said = read(client, f"{path}.LastErrorText")
            assert said and text in said, path
            assert read(client, "Gateway.Configuration.LastErrorText").startswith(path)
        write(client, path, before, kind)
    assert written == len(parameters) - len(NOT_WRITABLE & set(parameters)), "what is not writable is listed"


# Parameters of the model that a demo does not let anybody write, and why.
NOT_WRITABLE = {
    "Gateway.Sources.PLC1.Endpoint",  # it is changed in the file
    "Motor1.Drift.DataDrift.T4.Name",  # slots without a test
    "Motor1.Drift.DataDrift.T4.Threshold",
    "Motor1.Models.Stator.PredictionDrift.T4.Name",
    "Motor1.Models.Stator.PredictionDrift.T4.Threshold",
}


def test_a_budget_waits_for_the_next_training(client):
    path = "Motor1.Drift.DataDrift.Budget"
    write(client, path, "1 per 30d", ua.VariantType.String)
    assert read(client, path) == "1 per 30d"
    assert read(client, f"{path}.EffectiveValue") in ("", None), "thresholds of the file are in use"
    with pytest.raises(ua.UaStatusCodeError) as error:
        write(client, path, "seldom", ua.VariantType.String)
    assert error.value.code == ua.StatusCodes.BadOutOfRange
    assert "1 per 30d" in read(client, f"{path}.LastErrorText")
    write(client, path, "", ua.VariantType.String)


def test_a_slow_inference_degrades_the_health(client):
    path = "Motor1.Models.Stator.Inference.LatencyBudget"
    assert read(client, path) == 100.0
    write(client, path, 1e-6, ua.VariantType.Double)
    eventually(lambda: read(client, "Motor1.Health") == 2, 60, "Degraded")
    assert "LatencyBudget" in read(client, "Motor1.HealthText")
    write(client, path, 100.0, ua.VariantType.Double)
    eventually(lambda: read(client, "Motor1.Health") == 1, 60, "OK")


def test_the_export_format_is_one_for_all_slots(client):
    write(client, "Motor1.Buffers.B02.ExportFormat", "csv", ua.VariantType.String)
    eventually(lambda: read(client, "Motor1.Buffers.B01.ExportFormat") == "csv", 60, "the same value")
    assert read(client, "Motor1.Buffers.B01.ExportFormat.AllowedValues") == ["parquet", "csv"]
    write(client, "Motor1.Buffers.B01.ExportFormat", "parquet", ua.VariantType.String)
