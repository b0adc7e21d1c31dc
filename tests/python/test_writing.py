"""What the gateway writes into PLCs: over OPC UA into nodes, over Modbus into registers and coils."""

import json
import math
import socket
import struct
import subprocess
import threading

import pytest
from asyncua import ua
from asyncua.sync import Server as OpcUaServer
from gateway import BINARY, eventually, run

PATIENCE = 60


class OpcUaPlc:
    """A PLC with a few variables below `MAIN`."""

    NAMES = {
        "rSpeed": (ua.VariantType.Double, 1.5, False),
        "wStatus": (ua.VariantType.UInt16, 77, True),
        "rIndex": (ua.VariantType.Float, 77.0, True),
        "bFresh": (ua.VariantType.Boolean, False, True),
        "byBeat": (ua.VariantType.Byte, 0, True),
        "iFault": (ua.VariantType.Int16, 77, True),
        "wLocked": (ua.VariantType.UInt16, 77, False),
        "sText": (ua.VariantType.String, "77", True),
        "wForeign": (ua.VariantType.UInt16, 77, True),
    }

    def __init__(self, port=0):
        self.server = OpcUaServer()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        space = self.server.register_namespace("urn:BeckhoffAutomation:Ua:PLC1")
        self.nodes = {}
        for name, (kind, value, writable) in self.NAMES.items():
            node = self.server.nodes.objects.add_variable(ua.NodeId(f"MAIN.{name}", space), ua.QualifiedName(name, space), value, kind)
            if writable:
                node.set_writable()
            self.nodes[name] = node
        self.server.start()
        self.port = self.server.aio_obj.bserver.port

    def value(self, name):
        return self.nodes[name].read_value()

    def stop(self):
        self.server.stop()


class ModbusPlc:
    """A device that keeps what is written and refuses registers from 900 on."""

    def __init__(self):
        self.registers, self.coils, self.reads, self.refused = {0: 5}, {}, 0, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            while len(head := stream.read(7)) == 7:
                transaction, _, length, unit = struct.unpack(">HHHB", head)
                body = self._answer(stream.read(length - 1))
                connection.sendall(struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body)

    def _answer(self, pdu):
        function, address, word = struct.unpack(">BHH", pdu[:5])
        if function == 1:
            return struct.pack(">BBB", 1, 1, self.coils.get(address, 0))
        if function == 3:
            self.reads += 1
            words = [self.registers.get(a, 0) for a in range(address, address + word)]
            return struct.pack(f">BB{word}H", 3, 2 * word, *words)
        if address >= 900:
            self.refused += 1
            return struct.pack(">BB", function | 0x80, 2)
        if function == 5:
            self.coils[address] = int(word == 0xFF00)
        elif function == 6:
            self.registers[address] = word
        elif function == 16:
            for k, value in enumerate(struct.unpack(f">{word}H", pdu[6:])):
                self.registers[address + k] = value
        else:
            return struct.pack(">BB", function | 0x80, 1)
        return pdu[:5]

    def real(self, address):
        return struct.unpack(">f", struct.pack(">HH", self.registers.get(address, 0), self.registers.get(address + 1, 0)))[0]

    def close(self):
        self._listener.close()


class Running:
    """`driftgate run` on a configuration."""

    def __init__(self, folder, configuration):
        self.config, self.log_file = folder / "config.toml", folder / "log.txt"
        self.config.write_text(configuration)
        self.data = folder / "data"

    def __enter__(self):
        command = [str(BINARY), "run", "--config", str(self.config), "--data-dir", str(self.data)]
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def log(self):
        return self.log_file.read_text()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, self.log()


MACHINE = """
[[machines]]
name = "M"
period = "100ms"
learn_rows = 100000
signals = [{ name = "Speed", address = "%s" }]
models = [{ name = "X" }]
"""


def over_opc_ua(port, more=""):
    return (
        f'[server]\nport = 0\n[[sources]]\nname = "P"\nprotocol = "opcua"\nsecurity = "none"\nendpoint = "opc.tcp://127.0.0.1:{port}"\n'
        + MACHINE % "MAIN.rSpeed"
        + """writes = [
    { value = "drift_status", address = "MAIN.wStatus" },
    { value = "drift_index", address = "MAIN.rIndex" },
    { value = "fresh", address = "MAIN.bFresh" },
    { value = "heartbeat", address = "MAIN.byBeat", interval = "100ms" },
    { value = "fault", address = "MAIN.iFault" },
"""
        + more
        + "]\n"
    )


@pytest.fixture
def plc():
    plc = OpcUaPlc()
    yield plc
    plc.stop()


def test_verdicts_are_written_into_nodes_of_any_type(plc, tmp_path):
    with Running(tmp_path, over_opc_ua(plc.port)) as gateway:
        # Learning; no index and no prediction yet: told as such, in the word that each type has for it.
        eventually(lambda: plc.value("wStatus") == 1 and plc.value("bFresh"), PATIENCE, "the status")
        eventually(lambda: math.isnan(plc.value("rIndex")) and plc.value("iFault") == -32768, PATIENCE, "what is not known")
        beats = []
        eventually(lambda: beats.append(plc.value("byBeat")) or len(set(beats)) > 4, PATIENCE, "a heart that beats")
        # Somebody else writes: put right within the interval.
        plc.nodes["wStatus"].write_value(ua.Variant(9, ua.VariantType.UInt16))
        eventually(lambda: plc.value("wStatus") == 1, PATIENCE, "the status again")
        gateway.stop()
    assert plc.value("wStatus") == 0 and plc.value("bFresh") is False, "withdrawn at the stop"
    assert (plc.value("wForeign"), plc.value("wLocked"), plc.value("rSpeed")) == (77, 77, 1.5), "nothing else is touched"


def test_a_refused_write_is_told_once_and_disturbs_nothing(plc, tmp_path):
    more = '{ value = "regime", address = "MAIN.wLocked" }, { value = "regime", address = "MAIN.sText" },'
    with Running(tmp_path, over_opc_ua(plc.port, more)) as gateway:
        eventually(lambda: "MAIN.wLocked" in gateway.log() and "MAIN.sText" in gateway.log(), PATIENCE, "the refusals")
        eventually(lambda: plc.value("bFresh") and plc.value("wStatus") == 1, PATIENCE, "the others")
        assert "OPC.UA.DA.Access" in gateway.log() and "a node with a number or a Boolean" in gateway.log()
        plc.nodes["wLocked"].set_writable()
        eventually(lambda: plc.value("wLocked") == 0, PATIENCE, "the write that was refused")
        assert gateway.log().count("not written into `MAIN.wLocked`: the PLC does not let") <= 2, "a log line and a status"
        gateway.stop()


def test_after_a_reconnect_everything_is_written_anew(tmp_path):
    plc = OpcUaPlc()
    port = plc.port
    with Running(tmp_path, over_opc_ua(port)) as gateway:
        eventually(lambda: plc.value("wStatus") == 1, PATIENCE, "the status")
        plc.stop()
        plc = OpcUaPlc(port)
        eventually(lambda: plc.value("wStatus") == 1 and plc.value("bFresh"), PATIENCE, "the status in the new program")
        gateway.stop()
    plc.stop()


def test_the_check_says_what_can_be_written(plc, tmp_path):
    config = tmp_path / "config.toml"
    more = '{ value = "regime", address = "MAIN.wLocked" }, { value = "regime", address = "MAIN.wNowhere" },'
    config.write_text(over_opc_ua(plc.port, more))
    arguments = ["check", "--config", config, "--connect", "--time", "5s", "--data-dir", tmp_path / "data"]
    seen = {w["address"]: w for w in json.loads(run(*arguments, "--json").stdout)["connections"][0]["writes"]}
    assert (seen["MAIN.wStatus"]["type"], seen["MAIN.wStatus"]["writable"], seen["MAIN.wStatus"]["fault"]) == ("UInt16", True, None)
    assert (seen["MAIN.wLocked"]["writable"], "no such node" in seen["MAIN.wNowhere"]["fault"]) == (False, True)
    said = run(*arguments)
    assert said.returncode != 0 and "writes M.regime into MAIN.wLocked: UInt16, not writable" in said.stdout, said.stdout
    assert plc.value("wStatus") == 77, "a check writes nothing"


def test_verdicts_are_written_into_registers_and_coils(tmp_path):
    device = ModbusPlc()
    configuration = (
        f'[server]\nport = 0\n[[sources]]\nname = "P"\nprotocol = "modbus"\nendpoint = "tcp://127.0.0.1:{device.port}"\n'
        + MACHINE.replace('address = "%s"', 'address = "holding:0", register_type = "u16"')
        + """writes = [
    { value = "drift_status", address = "holding:100" },
    { value = "drift_index", address = "holding:101", register_type = "f32" },
    { value = "drift_index", address = "holding:103", scale = 100.0 },
    { value = "fresh", address = "coil:7" },
    { value = "fault", address = "coil:8", when_bad = 1 },
    { value = "heartbeat", address = "holding:104", interval = "100ms" },
    { value = "regime", address = "holding:900" },
]
"""
    )
    with Running(tmp_path, configuration) as gateway:
        eventually(lambda: device.registers.get(100) == 1 and device.coils.get(7) == 1, PATIENCE, "the status")
        eventually(lambda: math.isnan(device.real(101)) and device.registers.get(103) == 65535, PATIENCE, "no index")
        eventually(lambda: device.coils.get(8) == 1, PATIENCE, "what stands for no prediction")
        beats = []
        eventually(lambda: beats.append(device.registers.get(104)) or len(set(beats)) > 4, PATIENCE, "a heart that beats")
        eventually(lambda: device.refused >= 2, PATIENCE, "a second attempt")
        reads, refused = device.reads, device.refused
        eventually(lambda: device.reads >= reads + 50, PATIENCE, "reads that go on")
        assert device.refused - refused < 10, "tried again later and later"
        assert "holding:900" in gateway.log() and "no such register" in gateway.log()
        gateway.stop()
    assert (device.registers[100], device.coils[7]) == (0, 0), "withdrawn at the stop"
    assert set(device.registers) - {0} <= set(range(100, 105)) and set(device.coils) <= {7, 8}, "nothing else is touched"
    device.close()
