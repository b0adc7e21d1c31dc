"""What is kept of what people do to alarms, and of what was refused: events as an administrator's subscription gets them, and the log."""

import asyncio

import pytest
from asyncua import ua
from gateway import eventually
from secure import instance, secure_client
from test_rights import PASSWORD, server_with_roles, status_of_call, status_of_request, text

VT, OBJECTS, CODES = ua.VariantType, ua.ObjectIds, ua.StatusCodes
DENIED = CODES.BadUserAccessDenied
ALARM = "Gateway.Sources.PLC1.SourceDownAlarm"
REQUEST, HOP = "Motor1.Command.Request", "Motor1.Drift.DataDrift.Hop"
METHOD, WRITE = OBJECTS.AuditUpdateMethodEventType, OBJECTS.AuditWriteUpdateEventType
ENABLED, COMMENTED = OBJECTS.AuditConditionEnableEventType, OBJECTS.AuditConditionCommentEventType
ACKNOWLEDGED = OBJECTS.AuditConditionAcknowledgeEventType


@pytest.fixture(scope="module")
def server(tmp_path_factory, certificate):
    """Refusals of one address beyond twenty are only counted: there are fewer in this module."""
    with server_with_roles(tmp_path_factory.mktemp("audits") / "data", certificate) as server:
        yield server


class Audits:
    """An administrator's subscription of audit events."""

    def __init__(self):
        self._events = asyncio.Queue()

    def event_notification(self, event):
        self._events.put_nowait(event)

    def datachange_notification(self, *_):
        """The stack sends one before the first event."""

    async def next(self, kind, source, user):
        """The next one of a type, about a node, by a user."""
        while True:
            event = await asyncio.wait_for(self._events.get(), 60)
            if (event.EventType, event.SourceName, event.ClientUserId) == (ua.NodeId(kind), source, user):
                return event


def watched(server, certificate, roles, work):
    """Runs `work` with an administrator's audits and a session of each role."""

    async def session(role):
        client = await secure_client(server.endpoint, certificate, role.lower(), PASSWORD)
        await client.connect()
        return client

    async def run():
        clients = [await session(role) for role in ["ConfigureAdmin", *roles]]
        try:
            audits = Audits()
            subscription = await clients[0].create_subscription(100, audits)
            types = [clients[0].get_node(kind) for kind in (METHOD, WRITE, ENABLED, COMMENTED, ACKNOWLEDGED)]
            await subscription.subscribe_events(clients[0].nodes.server, types)
            await work(audits, *clients[1:])
        finally:
            for client in clients:
                await client.disconnect()

    asyncio.run(run())


async def by_type(client, method, *arguments):
    """Status code of an alarm's method, called by the id that its type has for it."""
    try:
        await instance(client, ALARM).call_method(ua.NodeId(method), *arguments)
    except ua.UaStatusCodeError as error:
        return error.code
    return CODES.Good


def comment(event_id, words):
    return [ua.Variant(event_id, VT.ByteString), ua.Variant(ua.LocalizedText(words, "en"), VT.LocalizedText)]


def test_what_people_do_to_alarms_is_kept(server, certificate):
    async def work(audits, engineer, operator, observer):
        event_id = b""
        while not event_id:
            event_id = await instance(operator, f"{ALARM}.EventId").read_value()
        assert await status_of_call(engineer, f"{ALARM}.Disable", []) == CODES.Good
        done = await audits.next(ENABLED, ALARM, "engineer")
        assert done.Status is True and done.MethodId == ua.NodeId(f"{ALARM}.Disable", 2)
        assert await status_of_call(engineer, f"{ALARM}.Disable", []) == CODES.BadConditionAlreadyDisabled
        assert (await audits.next(ENABLED, ALARM, "engineer")).Status is False
        assert await by_type(engineer, OBJECTS.ConditionType_Enable) == CODES.Good
        assert (await audits.next(ENABLED, ALARM, "engineer")).Status is True

        event_id = await instance(operator, f"{ALARM}.EventId").read_value()
        assert await status_of_call(operator, f"{ALARM}.AddComment", comment(event_id, "looked at")) == CODES.Good
        said = await audits.next(COMMENTED, ALARM, "operator")
        assert (said.Status, said.ConditionEventId, said.Comment.Text) == (True, event_id, "looked at")
        assert await status_of_call(operator, f"{ALARM}.AddComment", comment(b"x" * 16, "of another")) == CODES.BadEventIdUnknown
        assert (await audits.next(COMMENTED, ALARM, "operator")).Status is False

        # Without the right, by the alarm's own method and by its type's.
        assert await status_of_call(operator, f"{ALARM}.Disable", []) == DENIED
        assert (await audits.next(ENABLED, ALARM, "operator")).Status is False
        for status in (
            await status_of_call(observer, f"{ALARM}.AddComment", comment(event_id, "curious")),
            await by_type(observer, OBJECTS.ConditionType_AddComment, *comment(event_id, "curious")),
        ):
            assert status == DENIED
            assert (await audits.next(COMMENTED, ALARM, "observer")).Status is False
        assert await by_type(observer, OBJECTS.AcknowledgeableConditionType_Acknowledge, *comment(event_id, "")) == DENIED
        assert (await audits.next(ACKNOWLEDGED, ALARM, "observer")).Status is False
        assert await instance(operator, f"{ALARM}.EnabledState.Id").read_value() is True
        assert (await instance(operator, f"{ALARM}.Comment").read_value()).Text == "looked at"

    watched(server, certificate, ["Engineer", "Operator", "Observer"], work)


def test_refused_calls_and_writes_are_kept(server, certificate):
    freeze = "Motor1.Regimes.FreezeReference"

    async def work(audits, engineer, operator):
        # The right is missing: by the method, by the request, and for a parameter.
        assert await status_of_call(operator, freeze, [text(), text()]) == DENIED
        assert (await audits.next(METHOD, freeze, "operator")).Status is False
        assert await status_of_request(operator, "Motor1", 3, "") == DENIED
        assert (await audits.next(METHOD, freeze, "operator")).Status is False
        hop = ua.DataValue(ua.Variant(7, VT.UInt32))
        assert await write(operator, HOP, hop) == DENIED
        assert (await audits.next(WRITE, HOP, "operator")).Status is False
        # Wrong arguments, and a state that does not fit.
        assert await status_of_call(engineer, freeze, [text()]) == CODES.BadArgumentsMissing
        assert (await audits.next(METHOD, freeze, "engineer")).Status is False
        assert await status_of_call(engineer, freeze, [text(), text()]) == CODES.BadInvalidState
        assert (await audits.next(METHOD, freeze, "engineer")).Status is False

    watched(server, certificate, ["Engineer", "Operator"], work)
    eventually(lambda: f"refused: call {freeze} by operator" in server.log(), 60, "the call in the log")
    eventually(lambda: f"refused: {freeze} by operator: the user has no right" in server.log(), 60, "the request in the log")
    eventually(lambda: f"refused: write {HOP} by operator" in server.log(), 60, "the write in the log")


async def write(client, path, value, index_range=None):
    """Status code of writing a whole data value."""
    node = ua.WriteValue(NodeId=ua.NodeId(path, 2), AttributeId=ua.AttributeIds.Value, Value=value, IndexRange=index_range)
    [status] = await client.uaclient.write(ua.WriteParameters(NodesToWrite=[node]))
    return status.value


def test_malformed_requests_are_refused_shown_and_kept(server, certificate):
    async def work(audits, operator):
        good = ua.Variant(6, VT.UInt16)
        bad_status = ua.DataValue(good, StatusCode=ua.StatusCode(CODES.BadSensorFailure))
        malformed = [
            (ua.DataValue(ua.Variant(6, VT.Int32)), None, CODES.BadTypeMismatch, "UInt16"),
            (ua.DataValue(ua.Variant("6", VT.String)), None, CODES.BadTypeMismatch, "UInt16"),
            (ua.DataValue(ua.Variant([6], VT.UInt16)), None, CODES.BadTypeMismatch, "UInt16"),
            (ua.DataValue(ua.Variant(None, VT.Null)), None, CODES.BadTypeMismatch, "UInt16"),
            (bad_status, None, CODES.BadWriteNotSupported, "good status"),
            (ua.DataValue(good), "0", CODES.BadWriteNotSupported, "whole"),
        ]
        for value, index_range, status, words in malformed:
            assert await write(operator, REQUEST, value, index_range) == status, value
            refused = await audits.next(METHOD, REQUEST, "operator")
            assert refused.Status is False and len(refused.InputArguments) == 1
            assert await instance(operator, "Motor1.Command.State").read_value() == 3
            assert words in await instance(operator, "Motor1.Command.ResultText").read_value()
            assert await instance(operator, REQUEST).read_value() == 0
        # A code that is none is refused in the same way.
        assert await write(operator, REQUEST, ua.DataValue(ua.Variant(999, VT.UInt16))) == CODES.BadOutOfRange
        assert (await audits.next(METHOD, REQUEST, "operator")).Status is False

    watched(server, certificate, ["Operator"], work)
    eventually(lambda: f"refused: {REQUEST} by operator" in server.log(), 60, "the request in the log")
