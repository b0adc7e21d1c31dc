"""All that people tune, in one demo of its own: written, refused, reset, audited, kept; sources switched off and on; rights."""

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
    write(client, ENABLED, False, BOOLEAN)
    assert read(client, f"{ENABLED}.EffectiveValue") is False
    eventually(lambda: status(client, SIGNAL) == ua.StatusCodes.BadOutOfService, 60, "values that say that the source is off")
    eventually(lambda: read(client, "Gateway.Sources.PLC1.State") == 0, 60, "Disabled")
    assert read(client, "Gateway.Sources.PLC1.StateText") == "switched off"
    assert not read(client, "Gateway.Sources.PLC1.SourceDownAlarm.ActiveState.Id"), "switched off is not down"
    eventually(lambda: "switched off" in read(client, "Gateway.HealthText"), 60, "the gateway says so")
    write(client, ENABLED, True, BOOLEAN)
    eventually(lambda: status(client, SIGNAL) == ua.StatusCodes.Good, 60, "values again")
    eventually(lambda: read(client, "Gateway.Sources.PLC1.State") == 2, 60, "Connected")
    events = [line for line in gateway.lines if line.get("event") == "parameter" and line.get("path") == ENABLED]
    assert [(e["old"], e["new"], e["user"]) for e in events] == [("true", "false", "anonymous"), ("false", "true", "anonymous")]
