"""The past of variables as a foreign client asks for it, and that it survives a restart with the gap marked."""

from datetime import datetime, timedelta, timezone

import pytest
from asyncua import ua
from gateway import Gateway, eventually, node

TEMPERATURE = "Motor1.Signals.TempWinding"
AVERAGE, COUNT, RANGE = 2342, 2352, 2350


def raw(client, path, start, end, count=0, bounds=False):
    return node(client, path).read_raw_history(start, end, numvalues=count, return_bounds=bounds)


def history(client, path, details):
    """One answer, as it comes over the wire."""
    value = ua.HistoryReadValueId(NodeId=node(client, path).nodeid)
    parameters = ua.HistoryReadParameters(
        HistoryReadDetails=details, TimestampsToReturn=ua.TimestampsToReturn.Source, ReleaseContinuationPoints=False,
        NodesToRead=[value],
    )
    return client.tloop.post(client.aio_obj.uaclient.history_read(parameters))[0]


def processed(client, path, function, start, end, interval):
    details = ua.ReadProcessedDetails(
        StartTime=start, EndTime=end, ProcessingInterval=interval, AggregateType=[ua.NodeId(function)],
        AggregateConfiguration=ua.AggregateConfiguration(UseServerCapabilitiesDefaults=True),
    )  # fmt: skip
    return history(client, path, details)


@pytest.fixture(scope="module")
def filled(demo):
    """The demo with a few seconds of past."""
    with demo.client() as client:
        eventually(lambda: len(raw(client, TEMPERATURE, *settled())) >= 30, 60, "no past of a signal")
        yield client


def settled():
    """A span of which nothing is added and nothing falls out of the ring while it is read: the demo's holds 100 s."""
    end = datetime.now(timezone.utc) - timedelta(seconds=5)
    return end - timedelta(seconds=20), end


def test_raw_values_are_in_order_and_pages_hang_together(filled):
    start, end = settled()
    times = [value.SourceTimestamp for value in raw(filled, TEMPERATURE, start, end)]
    assert len(times) > 7 and times == sorted(times)
    first = raw(filled, TEMPERATURE, start, None, count=7)
    assert [value.SourceTimestamp for value in first] == times[:7]


def test_backwards_is_forwards_turned_round(filled):
    start, end = settled()
    # Backwards has its end, but not its start.
    forward = [value.SourceTimestamp for value in raw(filled, TEMPERATURE, start, end)]
    backward = [value.SourceTimestamp for value in raw(filled, TEMPERATURE, end, start)]
    assert [t for t in backward if start < t < end] == [t for t in forward if start < t < end][::-1]


def test_intervals_count_what_raw_gives(filled):
    start, end = settled()
    result = processed(filled, TEMPERATURE, COUNT, start, end, 5_000)
    values = result.HistoryData.DataValues
    assert len(values) == 4
    good = [value for value in raw(filled, TEMPERATURE, start, end) if value.StatusCode.is_good()]
    assert sum(value.Value.Value or 0 for value in values) == len(good)
    refused = processed(filled, TEMPERATURE, RANGE, start, end, 5_000)
    assert refused.StatusCode.name == "BadAggregateNotSupported"


def test_what_is_offered_is_announced(filled):
    assert filled.get_node(ua.ObjectIds.HistoryServerCapabilities_AccessHistoryDataCapability).read_value() is True
    functions = filled.get_node(ua.ObjectIds.HistoryServerCapabilities_AggregateFunctions).get_children()
    assert {n.nodeid.Identifier for n in functions} == {2342, 2343, 2346, 2347, 2352}
    status = node(filled, "Motor1.Drift.Status")
    assert status.read_attribute(ua.AttributeIds.Historizing).Value.Value is True
    assert ua.AccessLevel.HistoryRead in status.get_access_level()
    configuration = status.get_referenced_nodes(ua.ObjectIds.HasHistoricalConfiguration)[0]
    assert configuration.get_child("0:Stepped").read_value() is True


def test_every_historizing_variable_can_be_asked(filled):
    """Each answers Good or says that it has none: never an error of the server."""
    folders, asked = [node(filled, "Motor1"), node(filled, "Gateway.Diagnostics")], 0
    while folders:
        for child in folders.pop().get_children():
            if child.read_node_class() == ua.NodeClass.Variable:
                if child.read_attribute(ua.AttributeIds.Historizing).Value.Value:
                    details = ua.ReadRawModifiedDetails(
                        IsReadModified=False, StartTime=datetime.now(timezone.utc), EndTime=ua.get_win_epoch(), NumValuesPerNode=1,
                        ReturnBounds=True,
                    )
                    result = history(filled, child.nodeid.Identifier, details)
                    assert result.StatusCode.is_good(), child.nodeid
                    asked += 1
            elif child.read_node_class() == ua.NodeClass.Object:
                folders.append(child)
    assert asked > 40


def test_the_past_survives_a_restart(tmp_path):
    data_dir = tmp_path / "data"
    begun = datetime.now(timezone.utc)
    with Gateway(data_dir) as gateway, gateway.client() as client:
        eventually(lambda: len(raw(client, TEMPERATURE, begun, datetime.now(timezone.utc))) > 20, 60, "no past")
        eventually(lambda: len(raw(client, "Motor1.Source.State", begun, datetime.now(timezone.utc))) > 0, 60, "no past of a state")
        gateway.terminate()
    stopped = datetime.now(timezone.utc)
    with Gateway(data_dir) as gateway, gateway.client() as client:
        eventually(lambda: len(raw(client, TEMPERATURE, stopped, datetime.now(timezone.utc))) > 5, 60, "it does not go on")
        states = raw(client, "Motor1.Source.State", begun, datetime.now(timezone.utc))
        before = [value for value in states if value.SourceTimestamp <= stopped]
        assert before[0].StatusCode.is_good()
        # The stop is marked: what was last known is not taken for what was while nobody looked.
        assert not before[-1].StatusCode.is_good()
