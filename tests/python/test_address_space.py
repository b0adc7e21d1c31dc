"""Namespaces, nodes and data types as a foreign client finds them."""

from asyncua import ua
from gateway import eventually, node, read

SUBSET = {"Boolean", "UInt16", "UInt32", "Double", "String", "DateTime"}
# Descriptions that generic clients read and panels need not: standard properties with the standard's types.
DESCRIPTIONS = {
    "EnumValues", "ValueAsText", "EngineeringUnits", "EURange", "InputArguments", "OutputArguments", "Size", "ClientProcessingTimeout",
    "AllowedValues",
}  # fmt: skip
TEN_NODES = [
    "Health",
    "Source.State",
    "Regimes.ActiveState",
    "Regimes.ActiveKey",
    "Fault.Detected",
    "Drift.Status",
    "Drift.DriftIndex",
    "Drift.TopFeature",
    "Buffer.State",
    "Alarms.AnyUnacked",
]
NAMED = {
    "Gateway.Health": "UInt16",
    "Gateway.Heartbeat": "UInt32",
    "Gateway.Sources.PLC1.State": "UInt16",
    "Gateway.Sources.PLC1.StateText": "String",
    "Motor1.Health": "UInt16",
    "Motor1.Source.State": "UInt16",
    "Motor1.Source.StateText": "String",
    "Motor1.Source.LastGoodTime": "DateTime",
    "Motor1.Regimes.ActiveState": "UInt16",
    "Motor1.Regimes.ActiveKey": "String",
    "Motor1.Models.Stator.Inference.Trusted": "Boolean",
    "Motor1.Models.Stator.Inference.TrustText": "String",
    "Motor1.Models.Stator.PredictionDrift.Status": "UInt16",
    "Motor1.Fault.Detected": "Boolean",
    "Motor1.Fault.Text": "String",
    "Motor1.Fault.Model": "String",
    "Motor1.Drift.Status": "UInt16",
    "Motor1.Drift.StatusText": "String",
    "Motor1.Drift.DriftIndex": "Double",
    "Motor1.Drift.TopFeature": "String",
    "Motor1.Drift.TopModel": "String",
    "Motor1.Drift.LastStatusChange": "DateTime",
    "Motor1.Drift.DataDrift.Enabled": "Boolean",
    "Motor1.Drift.DataDrift.WindowRows": "UInt32",
    "Motor1.Drift.DataDrift.Hop": "UInt32",
    "Motor1.Drift.DataDrift.ConsecutiveLimit": "UInt16",
    **{f"Motor1.Drift.DataDrift.T{slot}.{name}": kind for slot in range(1, 5) for name, kind in {
        "Name": "String", "Value": "Double", "PValue": "Double", "Threshold": "Double", "Exceeded": "Boolean",
    }.items()},
    **{f"Motor1.Buffers.B{slot:02}.State": "UInt16" for slot in range(1, 5)},
    "Motor1.Buffer.State": "UInt16",
    "Motor1.Buffer.Rows": "UInt32",
    "Motor1.Alarms.AnyUnacked": "Boolean",
}  # fmt: skip


def data_type(client, path):
    return ua.ObjectIdNames[node(client, path).read_data_type().Identifier]


def own_nodes(client):
    """All nodes of namespace 2 below Objects, by path, with class and type definition."""
    found = {}
    open_nodes = [client.nodes.objects]
    while open_nodes:
        parent = open_nodes.pop()
        for reference in parent.get_references(ua.ObjectIds.HierarchicalReferences, ua.BrowseDirection.Forward):
            node_id = reference.NodeId
            # How histories are read: a description that many variables share.
            if reference.ReferenceTypeId == ua.NodeId(ua.ObjectIds.HasHistoricalConfiguration):
                continue
            if node_id.NamespaceIndex == 2 and node_id.Identifier not in found:
                found[node_id.Identifier] = reference
                open_nodes.append(client.get_node(node_id))
    return found


def test_namespace_indices_are_fixed(demo):
    with demo.client() as client:
        names = client.get_namespace_array()
    assert names[0] == "http://opcfoundation.org/UA/"
    assert names[2:] == ["urn:driftgate:ua:instances", "urn:driftgate:ua:types"]


def test_the_whole_tree_can_be_browsed_and_read(demo):
    with demo.client() as client:
        found = own_nodes(client)
        variables = [path for path, reference in found.items() if reference.NodeClass == ua.NodeClass.Variable]
        assert len(variables) > 500
        assert all(reference.NodeClass in (ua.NodeClass.Object, ua.NodeClass.Variable, ua.NodeClass.Method) for reference in found.values())
        # Ids are paths: each is its parent's and its own name.
        assert all(path.rpartition(".")[2] == reference.BrowseName.Name for path, reference in found.items())
        assert all(path.isascii() for path in found)
        nodes = [node(client, path) for path in variables]
        types = dict(zip(variables, client.read_attributes(nodes, ua.AttributeIds.DataType)))
        ranks = dict(zip(variables, client.read_attributes(nodes, ua.AttributeIds.ValueRank)))
        values = dict(zip(variables, client.read_attributes(nodes, ua.AttributeIds.Value)))

    def kind(path):
        return ua.ObjectIdNames.get(types[path].Value.Value.Identifier)

    # Conditions are for clients with an alarm view; panels have the alarm words.
    conditions = {path for path in variables if any(part.endswith("Alarm") for part in path.split(".")[:-1])}
    assert conditions
    described = {path for path in variables if path.rpartition(".")[2] in DESCRIPTIONS} | conditions
    others = {path: kind(path) for path in variables if path not in described and kind(path) not in SUBSET}
    assert others == {}, "data types that panels cannot show"
    assert {path for path in variables if path not in described and ranks[path].Value.Value != -1} == set()
    unreadable = [path for path in variables if values[path].StatusCode.value in (
        ua.StatusCodes.BadNodeIdUnknown, ua.StatusCodes.BadInternalError, ua.StatusCodes.BadNotReadable)]  # fmt: skip
    assert unreadable == []
    # A good value has the type that its node says.
    wrong = {
        path: values[path].Value
        for path in variables
        if path not in described and values[path].StatusCode.is_good() and values[path].Value.VariantType.name != kind(path)
    }
    assert wrong == {}


def test_nodes_named_in_the_contract_exist_with_their_types(demo):
    with demo.client() as client:
        assert {path: data_type(client, path) for path in NAMED} == NAMED


def test_the_summary_holds_the_ten_nodes_to_bind(demo):
    with demo.client() as client:
        summary = node(client, "Motor1.Summary").get_referenced_nodes(ua.ObjectIds.Organizes)
        assert sorted(n.nodeid.Identifier for n in summary) == sorted(f"Motor1.{name}" for name in TEN_NODES)
        assert all(n.nodeid.NamespaceIndex == 2 for n in summary)


def test_codes_come_with_their_texts(demo):
    with demo.client() as client:
        entries = read(client, "Motor1.Drift.Status.EnumValues")
        names = {entry.Value: entry.DisplayName.Text for entry in entries}
    assert names == {
        0: "NotEvaluated", 1: "Learning", 2: "OK", 3: "Warning", 4: "Drift", 5: "Suspended", 6: "Error",
    }  # fmt: skip


def test_the_heartbeat_beats(demo):
    with demo.client() as client:
        first = read(client, "Gateway.Heartbeat")
        eventually(lambda: read(client, "Gateway.Heartbeat") > first, 60, "a new heartbeat")
