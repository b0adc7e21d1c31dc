"""Members of structures that a PLC has as one node."""

import json

import pytest
from asyncua import ua
from asyncua.common.structures104 import new_struct, new_struct_field
from asyncua.sync import Server
from gateway import run

SPACE = "urn:BeckhoffAutomation:Ua:PLC1"


async def build(server):
    space = await server.register_namespace(SPACE)
    pump, _ = await new_struct(server, space, "ST_Pump", [new_struct_field("fFlow", ua.VariantType.Float)])
    await new_struct(
        server,
        space,
        "ST_Motor",
        [
            new_struct_field("sName", ua.VariantType.String),
            new_struct_field("fCurrent", ua.VariantType.Float),
            new_struct_field("nStarts", ua.VariantType.Int32),
            new_struct_field("bRuns", ua.VariantType.Boolean),
            new_struct_field("aFlux", ua.VariantType.Double, array=True),
            new_struct_field("stPump", pump),
        ],
    )
    await server.load_data_type_definitions()
    motor = ua.ST_Motor(sName="M1", fCurrent=2.5, nStarts=7, bRuns=True, aFlux=[float(k) for k in range(16)], stPump=ua.ST_Pump(fFlow=0.25))
    await server.nodes.objects.add_variable(ua.NodeId("MAIN.stMotor", space), ua.QualifiedName("stMotor", space), motor)
    await server.nodes.objects.add_variable(ua.NodeId("MAIN.rPlain", space), ua.QualifiedName("rPlain", space), 1.0)


@pytest.fixture
def port():
    server = Server()
    server.set_endpoint("opc.tcp://127.0.0.1:0/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    server.tloop.post(build(server.aio_obj))
    server.start()
    yield server.aio_obj.bserver.port
    server.stop()


def test_members_are_values_like_others(port, tmp_path):
    members = ["#fCurrent", "#nStarts", "#bRuns", "#stPump.fFlow", "#fcurrent", "#stPump"]
    signals = [f'{{ name = "S{k}", address = "MAIN.stMotor{member}" }}' for k, member in enumerate(members)]
    signals += [
        '{ name = "Flux", address = "MAIN.stMotor#aFlux", block = { length = 16, rate = 100.0 } }',
        '{ name = "Plain", address = "MAIN.rPlain" }',
        '{ name = "NoStruct", address = "MAIN.rPlain#fX" }',
    ]
    config = tmp_path / "config.toml"
    config.write_text(
        f'[[sources]]\nname = "P"\nprotocol = "opcua"\nsecurity = "none"\nendpoint = "opc.tcp://127.0.0.1:{port}"\n'
        f'[[machines]]\nname = "M"\nperiod = "1s"\nsignals = [{", ".join(signals)}]\n'
    )
    result = run("check", "--config", config, "--connect", "--time", "8s", "--data-dir", tmp_path / "data", "--json")
    connection = json.loads(result.stdout)["connections"][0]
    seen = {a["address"]: (a["type"], a["value"], a["quality"]) for a in connection["addresses"]}
    good = {address: (kind, value) for address, (kind, value, quality) in seen.items() if quality == "Good"}
    assert good == {
        "MAIN.stMotor#fCurrent": ("real", "2.5"),
        "MAIN.stMotor#nStarts": ("integer", "7"),
        "MAIN.stMotor#bRuns": ("flag", "true"),
        "MAIN.stMotor#stPump.fFlow": ("real", "0.25"),
        "MAIN.stMotor#aFlux": ("block[16]", "0 1 2 ..."),
        "MAIN.rPlain": ("real", "1"),
    }, seen
    assert "has no member `fcurrent`" in connection["text"], connection["text"]
    assert "is no structure: leave `#fX` out" in connection["text"], connection["text"]
    assert "wrong type" in seen["MAIN.stMotor#stPump"][2], "a structure within is no value"
