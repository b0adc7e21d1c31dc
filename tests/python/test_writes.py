"""Writes as clients really send them: two at once, with timestamps, statuses, parts and nothing in them; and all of them over a restart."""

import asyncio
from datetime import datetime

import pytest
from asyncua import Client, ua
from gateway import CALL_SECONDS, Gateway, eventually, node, read, write
from test_tuning import ENABLED, other, tunables

SPEED = 40
THRESHOLD = "Motor1.Drift.DataDrift.T2.Threshold"
HOP = "Motor1.Drift.DataDrift.Hop"
REVISION = "Gateway.Configuration.Revision"
CODES = ua.StatusCodes
VT = ua.VariantType
ROUNDS = 40


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with Gateway(tmp_path_factory.mktemp("writes") / "data", speed=SPEED) as gateway:
        gateway.wait_for_event("reference", 120)
        yield gateway


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def changes(gateway, path):
    """The events of accepted writes, oldest first."""
    told = [line for line in gateway.lines if line.get("event") == "parameter" and line.get("path") == path]
    return [line for line in told if not line.get("refused")]


def test_two_clients_write_at_once_and_every_value_has_its_turn(gateway, client):
    """Each write is answered Good, each is an event, and each event begins with the value that the one before has left."""

    async def writer(value):
        async with Client(gateway.endpoint, timeout=CALL_SECONDS) as own:
            variable = own.get_node(ua.NodeId(THRESHOLD, 2))
            for k in range(ROUNDS):
                await variable.write_attribute(ua.AttributeIds.Value, ua.DataValue(ua.Variant(value + k / 1000, VT.Double)))

    async def both():
        await asyncio.gather(writer(0.6), writer(0.7))

    begun = len(changes(gateway, THRESHOLD))
    revision = read(client, REVISION)
    asyncio.run(both())
    eventually(lambda: len(changes(gateway, THRESHOLD)) - begun == 2 * ROUNDS, 60, "an event of each write")
    told = changes(gateway, THRESHOLD)[begun:]
    new = [float(event["new"]) for event in told]
    assert sorted(new) == pytest.approx([0.6 + k / 1000 for k in range(ROUNDS)] + [0.7 + k / 1000 for k in range(ROUNDS)])
    assert [float(event["old"]) for event in told[1:]] == new[:-1]
    assert new != sorted(new), "the two have taken turns"
    assert read(client, THRESHOLD) == read(client, f"{THRESHOLD}.EffectiveValue") == new[-1]
    eventually(lambda: read(client, REVISION) >= revision + 2 * ROUNDS, 60, "a revision of each write")


def status(client, path, value, index_range=None):
    """Status code of writing a whole data value."""
    wanted = ua.WriteValue(NodeId=ua.NodeId(path, 2), AttributeId=ua.AttributeIds.Value, Value=value, IndexRange=index_range)
    [code] = client.tloop.post(client.aio_obj.uaclient.write(ua.WriteParameters(NodesToWrite=[wanted])))
    return code.value


DOUBLE = ua.Variant(0.55, VT.Double)
MALFORMED = [
    ("a bad status", ua.DataValue(DOUBLE, StatusCode=ua.StatusCode(CODES.BadSensorFailure)), None, CODES.BadWriteNotSupported),
    ("an uncertain status", ua.DataValue(DOUBLE, StatusCode=ua.StatusCode(CODES.UncertainLastUsableValue)), None, CODES.BadWriteNotSupported),
    ("a part of a scalar", ua.DataValue(DOUBLE), "0", CODES.BadWriteNotSupported),
    ("nothing", ua.DataValue(ua.Variant(None, VT.Null)), None, CODES.BadTypeMismatch),
    ("an array of one", ua.DataValue(ua.Variant([0.55], VT.Double)), None, CODES.BadTypeMismatch),
    ("an empty array", ua.DataValue(ua.Variant([], VT.Double, is_array=True)), None, CODES.BadTypeMismatch),
    ("a text", ua.DataValue(ua.Variant("0.55", VT.String)), None, CODES.BadTypeMismatch),
    ("a smaller number type", ua.DataValue(ua.Variant(0.5, VT.Float)), None, CODES.BadTypeMismatch),
]


@pytest.mark.parametrize(("value", "index_range", "code"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_write_changes_nothing(client, value, index_range, code):
    before, revision = read(client, THRESHOLD), read(client, REVISION)
    answered = status(client, THRESHOLD, value, index_range)
    assert answered == code, ua.status_codes.get_name_and_doc(answered)
    assert (read(client, THRESHOLD), read(client, f"{THRESHOLD}.EffectiveValue"), read(client, REVISION)) == (before, before, revision)


def test_timestamps_of_a_client_are_taken_or_refused_but_never_shown(client):
    """Panels that copy a whole data value send its times: a good status and a source's time do not make a write wrong."""
    old = datetime(2001, 2, 3, 4, 5, 6)
    answered = status(client, THRESHOLD, ua.DataValue(ua.Variant(0.61, VT.Double), SourceTimestamp=old, ServerTimestamp=old))
    shown = node(client, THRESHOLD).read_data_value()
    if answered == CODES.Good:
        assert shown.Value.Value == 0.61
    else:
        assert answered == CODES.BadWriteNotSupported and shown.Value.Value != 0.61
    assert shown.SourceTimestamp.year > 2020
    write(client, THRESHOLD, 0.62, VT.Double)


def test_what_the_decoder_refuses_ends_no_session(client):
    """A range that is none, and a text of more than 65,535 bytes: nobody gets to look at them."""
    path = "Motor1.Drift.DataDrift.Budget"
    before = read(client, path)
    for length, code in ((2_000, CODES.BadOutOfRange), (65_000, CODES.BadOutOfRange)):
        assert status(client, path, ua.DataValue(ua.Variant("1" * length, VT.String))) == code
    for length, index_range in ((100_000, None), (3, "x:y")):
        with pytest.raises(ua.UaStatusCodeError) as error:
            status(client, path, ua.DataValue(ua.Variant("1" * length, VT.String)), index_range)
        assert error.value.code == CODES.BadDecodingError
        assert read(client, path) == before


def test_every_written_value_is_kept_over_a_restart(tmp_path):
    """Each parameter with another value than the file's; after a stop and after a kill all are as they were written."""
    data_dir = tmp_path / "data"
    written = {}
    with Gateway(data_dir, speed=SPEED) as gateway:
        gateway.wait_for_event("reference", 120)
        with gateway.client() as client:
            for path, names in tunables(client):
                # A source that is off has no rows; a metric has its own threshold.
                if path == ENABLED or path.endswith(".Name"):
                    continue
                value, kind = other(client, path, names), node(client, path).read_data_type_as_variant_type()
                write(client, path, value, kind)
                written[path] = value
            # Those that share one value are as the last one was written.
            written = {path: read(client, path) for path in written}
            changed = [path for path in written if written[path] != read(client, f"{path}.DefaultValue")]
            assert len(changed) > 25, changed
        assert gateway.terminate() == 0
    for _ in range(2):
        with Gateway(data_dir, speed=SPEED) as gateway:
            with gateway.client() as client:
                assert {path: read(client, path) for path in written} == written
                for path in (p for p in written if not p.endswith(".Budget")):
                    effective = node(client, f"{path}.EffectiveValue")
                    # Not shown before the machine's task has begun.
                    eventually(lambda: effective.read_data_value(raise_on_bad_status=False).StatusCode.is_good(), 30, f"{path} in force")
                    assert effective.read_value() == written[path], path
            gateway.kill()
