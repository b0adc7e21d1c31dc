"""Tuning over OPC UA: what is accepted, what is refused and how that is said."""

import math
import queue

import pytest
from asyncua import ua
from gateway import eventually, node, read, write

THRESHOLD = "Motor1.Drift.DataDrift.T2.Threshold"
DOUBLE = ua.VariantType.Double


@pytest.fixture
def client(demo):
    with demo.client() as client:
        yield client


def refused(client, status, path, value, kind):
    """Writes what must be refused, and that nothing has changed by it."""
    before = read(client, path)
    with pytest.raises(ua.UaStatusCodeError) as error:
        write(client, path, value, kind)
    assert error.value.code == status, ua.status_codes.get_name_and_doc(error.value.code)
    assert read(client, path) == before
    assert read(client, f"{path}.EffectiveValue") == before


def test_a_value_in_range_is_effective_at_once(client):
    default = read(client, f"{THRESHOLD}.DefaultValue")
    assert default == 0.5
    revision = read(client, "Gateway.Configuration.Revision")
    write(client, THRESHOLD, 0.75, DOUBLE)
    assert read(client, THRESHOLD) == 0.75
    assert read(client, f"{THRESHOLD}.EffectiveValue") == 0.75
    assert read(client, f"{THRESHOLD}.DefaultValue") == default
    assert read(client, f"{THRESHOLD}.LastErrorText") == ""
    assert read(client, f"{THRESHOLD}.LastChangedBy") == "anonymous"
    eventually(lambda: read(client, "Gateway.Configuration.Revision") > revision, 60, "a new revision")
    write(client, THRESHOLD, default, DOUBLE)
    assert read(client, f"{THRESHOLD}.EffectiveValue") == default


def test_subscribers_see_a_written_value(client):
    seen = queue.Queue()

    class Handler:
        def datachange_notification(self, _node, value, _data):
            seen.put(value)

    subscription = client.create_subscription(50, Handler())
    subscription.subscribe_data_change(node(client, "Motor1.Drift.DataDrift.Hop.EffectiveValue"))
    assert seen.get(timeout=60) == 20
    write(client, "Motor1.Drift.DataDrift.Hop", 25, ua.VariantType.UInt32)
    assert seen.get(timeout=60) == 25
    write(client, "Motor1.Drift.DataDrift.Hop", 20, ua.VariantType.UInt32)
    assert seen.get(timeout=60) == 20
    subscription.delete()


@pytest.mark.parametrize("value", [-0.1, 1e12, math.nan, math.inf, -math.inf])
def test_out_of_range_is_refused_with_a_text(client, value):
    refused(client, ua.StatusCodes.BadOutOfRange, THRESHOLD, value, DOUBLE)
    text = read(client, f"{THRESHOLD}.LastErrorText")
    assert "range" in text and text.isascii()
    assert THRESHOLD in read(client, "Gateway.Configuration.LastErrorText")


def test_the_range_is_the_shown_one(client):
    low, high = read(client, f"{THRESHOLD}.MinValue"), read(client, f"{THRESHOLD}.MaxValue")
    for value in (low, high):
        write(client, THRESHOLD, value, DOUBLE)
        assert read(client, f"{THRESHOLD}.EffectiveValue") == value
    refused(client, ua.StatusCodes.BadOutOfRange, THRESHOLD, high * 1.01, DOUBLE)
    write(client, THRESHOLD, read(client, f"{THRESHOLD}.DefaultValue"), DOUBLE)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(0.6, ua.VariantType.Float), (1, ua.VariantType.Int32), ("0.6", ua.VariantType.String), ([0.6], DOUBLE), (None, ua.VariantType.Null)],
)
def test_another_type_is_refused(client, value, kind):
    refused(client, ua.StatusCodes.BadTypeMismatch, THRESHOLD, value, kind)
    assert "Double" in read(client, f"{THRESHOLD}.LastErrorText")


def test_a_value_that_does_not_go_with_another_is_refused(client):
    # A hop of more rows than the window has.
    window = read(client, "Motor1.Drift.DataDrift.WindowRows")
    refused(client, ua.StatusCodes.BadInvalidState, "Motor1.Drift.DataDrift.Hop", window + 1, ua.VariantType.UInt32)


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("Motor1.Drift.Status", 2, ua.VariantType.UInt16),
        ("Motor1.Drift.DataDrift.T2.Value", 0.1, DOUBLE),
        (f"{THRESHOLD}.EffectiveValue", 0.1, DOUBLE),
        ("Gateway.Heartbeat", 1, ua.VariantType.UInt32),
    ],
)
def test_what_is_no_parameter_is_not_writable(client, path, value, kind):
    with pytest.raises(ua.UaStatusCodeError) as error:
        write(client, path, value, kind)
    assert error.value.code == ua.StatusCodes.BadNotWritable


def test_an_unknown_node_is_unknown(client):
    with pytest.raises(ua.UaStatusCodeError) as error:
        write(client, "Motor1.Drift.DataDrift.T9.Threshold", 0.1, DOUBLE)
    assert error.value.code == ua.StatusCodes.BadNodeIdUnknown
