"""Events of changes with their fields, by asyncua's own subscriptions; and the command that acknowledges what the alarm words show."""

import pytest
from asyncua import ua
from gateway import eventually, node, read, write
from test_alarms import Events, alarms, field, of_drift, refresh
from test_commands import COMMAND, DONE, KEY, call, offered, request, text

SPEED = 20
ACKNOWLEDGE, ACCEPT, COLLECT = 1, 4, 10
OWN_TYPES = 3


def event_types(client):
    """Our own event types by name."""
    children = client.get_node(ua.ObjectIds.BaseEventType).get_children()
    [own] = [child for child in children if child.nodeid.NamespaceIndex == OWN_TYPES]
    return {child.read_browse_name().Name: child for child in own.get_children() if child.read_node_class() == ua.NodeClass.ObjectType}


def subscribed(client, type_name):
    """A subscription of one type below the machine."""
    handler = Events()
    subscription = client.create_subscription(100, handler)
    subscription.subscribe_events(node(client, "Motor1"), event_types(client)[type_name])
    return handler, subscription


@pytest.fixture
def client(learned):
    with learned.client() as client:
        yield client


def test_changes_of_the_settings(client):
    handler, subscription = subscribed(client, "RegimeChangedEventType")
    outside = handler.until(lambda e: getattr(e, "NewState", None) == 3)
    assert (outside.MachineName, outside.NewRegimeKey) == ("Motor1", "Voltage=289;Load=50")
    assert outside.Message.Text.isascii()
    back = handler.until(lambda e: getattr(e, "NewState", None) == 2)
    assert back.NewRegimeKey == KEY
    subscription.delete()


def test_a_full_buffer_and_another_reference(client):
    ready, first = subscribed(client, "BufferReadyEventType")
    changed, second = subscribed(client, "ReferenceChangedEventType")
    eventually(lambda: offered(client, COLLECT), 60, "collecting is offered")
    dataset = call(client, "Motor1.Buffers.B04.StartCollecting", text(KEY), ua.Variant(20, ua.VariantType.UInt32), text("for the test"))
    full = ready.until(lambda e: getattr(e, "DatasetId", None) == dataset)
    assert (full.MachineName, full.Reason) == ("Motor1", 5) and full.Rows >= 20
    assert full.StartTime is not None and full.EndTime >= full.StartTime
    eventually(lambda: offered(client, ACCEPT), 120, "accepting is offered")
    old = read(client, "Motor1.Regimes.R01.ReferenceId")
    new = call(client, "Motor1.Regimes.AcceptDriftAsNewReference", text(KEY), text("new bearing"))
    event = changed.until(lambda e: getattr(e, "NewReferenceId", None) == new)
    assert (event.MachineName, event.RegimeKey, event.OldReferenceId) == ("Motor1", KEY, old)
    assert event.Reason and event.ClientUserId == "anonymous"
    for subscription in (first, second):
        subscription.delete()


def test_the_command_and_the_word_acknowledge_one_state(client):
    handler, subscription, _ = alarms(client, node(client, "Motor1"))
    refresh(client, subscription)
    waiting = handler.until(lambda e: of_drift(e) and field(e, "AckedState/Id") is False)
    eventually(lambda: read(client, "Motor1.Alarms.UnackedWord") & 3, 60, "the bit of a drift")
    assert request(client, ACKNOWLEDGE, "seen on the panel", 0.0, 77) == DONE, read(client, f"{COMMAND}.ResultText")
    assert (read(client, f"{COMMAND}.LastRequest"), read(client, f"{COMMAND}.AckId")) == (ACKNOWLEDGE, 77)
    seen = handler.until(lambda e: e.NodeId == waiting.NodeId and field(e, "AckedState/Id") is True)
    assert (seen.Comment.Text, seen.ClientUserId) == ("seen on the panel", "anonymous")
    # The word finds the same alarms acknowledged, and takes the next one.
    write(client, "Motor1.Alarms.AckWord", 0xFFFF, ua.VariantType.UInt16)
    assert read(client, "Motor1.Alarms.AckWord") == 0
    again = handler.until(lambda e: of_drift(e) and field(e, "AckedState/Id") is False)
    bits = 0

    def shown():
        nonlocal bits
        bits = read(client, "Motor1.Alarms.UnackedWord")
        return bits

    eventually(shown, 60, "the bit of the next alarm")
    write(client, "Motor1.Alarms.AckWord", bits, ua.VariantType.UInt16)
    handler.until(lambda e: e.NodeId == again.NodeId and field(e, "AckedState/Id") is True)
    subscription.delete()
