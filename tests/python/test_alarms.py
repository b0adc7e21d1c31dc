"""Alarms, events and alarm words as a control system sees them, with asyncua's own subscriptions, unchanged."""

import queue

import pytest
from asyncua import ua
from gateway import Gateway, eventually, node, read, write

DRIFT = "Motor1.Drift.DataDrift.DriftAlarm"
CONDITION = ua.NodeId(ua.ObjectIds.ConditionType)
REFRESH = ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh)
REFRESH2 = ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh2)
ACKNOWLEDGE = ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge)
ADD_COMMENT = ua.NodeId(ua.ObjectIds.ConditionType_AddComment)
OWN_TYPES = 3
# A drift of the story lasts for some seconds.
SPEED = 10


class Events:
    """Handler of a subscription: keeps events in order."""

    def __init__(self):
        self.events = queue.Queue()

    def event_notification(self, event):
        self.events.put(event)

    def datachange_notification(self, *_):
        """The stack sends one before the first event."""

    def until(self, wanted, seconds=120.0):
        """The first event that is wanted."""
        while True:
            event = self.events.get(timeout=seconds)
            if wanted(event):
                return event


def field(event, name):
    """A field of an event by its path, `AckedState/Id`."""
    return getattr(event, name)


def of_drift(event):
    return getattr(event, "ConditionName", None) == "DriftAlarm" and event.SourceName == "Motor1.Drift.DataDrift"


def alarms(client, source=None):
    """A subscription of alarms, as asyncua makes it."""
    handler = Events()
    subscription = client.create_subscription(100, handler)
    source = (source or client.nodes.server).nodeid
    # asyncua's synchronous client does not repeat this method.
    asked = subscription.aio_obj.subscribe_alarms_and_conditions(source, ua.NodeId(ua.ObjectIds.AlarmConditionType))
    item = subscription.tloop.post(asked)
    return handler, subscription, item


def refresh(client, subscription):
    client.get_node(CONDITION).call_method(REFRESH, ua.Variant(subscription.aio_obj.subscription_id, ua.VariantType.UInt32))


def call(client, method, event, comment):
    text = ua.Variant(ua.LocalizedText(comment, "en"), ua.VariantType.LocalizedText)
    condition = client.get_node(event.NodeId)
    return condition.call_method(method, ua.Variant(event.EventId, ua.VariantType.ByteString), text)


def refused(status, act):
    with pytest.raises(ua.UaStatusCodeError) as error:
        act()
    assert error.value.code == status, ua.status_codes.get_name_and_doc(error.value.code)


def test_the_story_of_an_alarm(data_dir):
    """Warning, drift, comment, acknowledgement, refresh; and all of it still there after a restart."""
    with Gateway(data_dir, speed=SPEED) as gateway:
        with gateway.client() as client:
            handler, subscription, item = alarms(client)
            warning = handler.until(of_drift)
            assert (warning.Severity, warning.Retain, field(warning, "AckedState/Id")) == (400, True, False)
            assert warning.NodeId == ua.NodeId(DRIFT, 2)
            assert field(warning, "ActiveState/Id") is True
            drift = handler.until(lambda e: of_drift(e) and e.Severity == 600)
            assert drift.LastSeverity == 400
            assert drift.EventId != warning.EventId
            assert "Drift" in drift.Message.Text
            assert drift.Message.Text.isascii()
            assert field(drift, "AckedState/Id") is False
            # Bit 1, or 0 where the story has gone on to the next warning.
            eventually(lambda: read(client, "Motor1.Alarms.UnackedWord") & 3, 60, "the bit of a drift")
            assert read(client, "Motor1.Alarms.AnyUnacked") is True
            assert read(client, "Gateway.Alarms.UnackedWord") & 3

            # The node says the same as the event.
            assert len(read(client, f"{DRIFT}.EventId")) == len(drift.EventId) == 16
            assert read(client, f"{DRIFT}.AckedState.Id") is False
            assert read(client, f"{DRIFT}.InputNode") == ua.NodeId("Motor1.Drift.DataDrift.Status", 2)

            refused(ua.StatusCodes.BadEventIdUnknown, lambda: call(client, ACKNOWLEDGE, warning, "too late"))
            call(client, ADD_COMMENT, drift, "sensor?")
            commented = handler.until(lambda e: of_drift(e) and e.Comment.Text == "sensor?")
            assert field(commented, "AckedState/Id") is False

            # Those who come later ask for what they have missed.
            refresh(client, subscription)
            started = handler.until(lambda e: e.EventType == ua.NodeId(ua.ObjectIds.RefreshStartEventType))
            assert started.SourceName == "Server"
            assert handler.until(of_drift).Comment.Text == "sensor?"
            handler.until(lambda e: e.EventType == ua.NodeId(ua.ObjectIds.RefreshEndEventType))
            one = [ua.Variant(n, ua.VariantType.UInt32) for n in (subscription.aio_obj.subscription_id, 4_000_000)]
            refused(ua.StatusCodes.BadMonitoredItemIdInvalid, lambda: client.get_node(CONDITION).call_method(REFRESH2, *one))
            subscription.delete()
        assert gateway.terminate() == 0

    with Gateway(data_dir, speed=SPEED) as gateway:
        with gateway.client() as client:
            assert read(client, f"{DRIFT}.AckedState.Id") is False
            assert read(client, f"{DRIFT}.Comment").Text == "sensor?"
            assert read(client, "Motor1.Alarms.UnackedWord") & 3
            handler, subscription, _ = alarms(client)
            refresh(client, subscription)
            kept = handler.until(of_drift)
            assert (kept.Severity, field(kept, "AckedState/Id"), kept.Comment.Text) == (600, False, "sensor?")
            # An event of the time before the restart still tells of the same state.
            call(client, ACKNOWLEDGE, commented, "seen")
            seen = handler.until(lambda e: of_drift(e) and field(e, "AckedState/Id"))
            assert (seen.Comment.Text, seen.ClientUserId) == ("seen", "anonymous")
            refused(ua.StatusCodes.BadConditionBranchAlreadyAcked, lambda: call(client, ACKNOWLEDGE, seen, "again"))
            # Bit 0 may be of another monitor's warning, raised since.
            eventually(lambda: not read(client, "Motor1.Alarms.UnackedWord") & 2, 60, "no drift to acknowledge")
            assert any("acknowledged by anonymous: seen" in read(client, f"Motor1.Log.Line{n:02}") for n in range(1, 11))


def test_the_word_acknowledges_the_same_alarm(demo):
    """What panels without alarms write is what others see as an acknowledgement."""
    with demo.client() as client:
        handler, subscription, _ = alarms(client, node(client, "Motor1"))
        refresh(client, subscription)
        waiting = handler.until(lambda e: getattr(e, "AckedState/Id", None) is False)
        bits = read(client, "Motor1.Alarms.UnackedWord")
        assert bits
        refused(ua.StatusCodes.BadTypeMismatch, lambda: write(client, "Motor1.Alarms.AckWord", bits, ua.VariantType.UInt32))
        write(client, "Motor1.Alarms.AckWord", bits, ua.VariantType.UInt16)
        assert read(client, "Motor1.Alarms.AckWord") == 0
        seen = handler.until(lambda e: e.NodeId == waiting.NodeId and field(e, "AckedState/Id") is True)
        assert seen.ClientUserId == "anonymous"
        subscription.delete()


def test_events_of_the_tree_and_of_writes(demo):
    """asyncua's default subscription of a type of ours, and audits at the server only."""
    with demo.client() as client:
        own, audits, of_machine = Events(), Events(), Events()
        kinds = [child for child in client.get_node(ua.ObjectIds.BaseEventType).get_children() if child.nodeid.NamespaceIndex == OWN_TYPES]
        assert [kind.read_browse_name().Name for kind in kinds] == ["GatewayEventType"]
        changes = {kind.read_browse_name().Name: kind for kind in kinds[0].get_children() if kind.read_node_class() == ua.NodeClass.ObjectType}
        first = client.create_subscription(100, own)
        first.subscribe_events(node(client, "Motor1"), [changes["DriftStatusChangedEventType"], changes["RegimeChangedEventType"]])
        second = client.create_subscription(100, audits)
        second.subscribe_events(client.nodes.server, client.get_node(ua.ObjectIds.AuditWriteUpdateEventType))
        third = client.create_subscription(100, of_machine)
        third.subscribe_events(node(client, "Motor1"), client.get_node(ua.ObjectIds.AuditWriteUpdateEventType))

        path = "Motor1.Drift.DataDrift.ConsecutiveLimit"
        before = read(client, path)
        write(client, path, before, ua.VariantType.UInt16)
        refused(ua.StatusCodes.BadOutOfRange, lambda: write(client, path, 0, ua.VariantType.UInt16))
        done = audits.until(lambda e: e.SourceName == path and e.Status)
        assert (done.NewValue, done.ClientUserId) == (str(before), "anonymous")

        event = own.until(lambda e: True)
        assert event.MachineName == "Motor1"
        assert event.EventType in (changes["DriftStatusChangedEventType"].nodeid, changes["RegimeChangedEventType"].nodeid)
        assert of_machine.events.empty()
        for subscription in (first, second, third):
            subscription.delete()
