"""A changed configuration file, read again while the gateway runs: a source goes over to it, the others do not notice."""

import signal
import socket
import struct
import subprocess
import threading

import pytest
from gateway import BINARY, eventually


class Plc:
    """A Modbus device whose registers all hold the same number."""

    def __init__(self, value):
        self.value, self.connections, self.open = value, 0, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            while len(head := stream.read(8)) == 8:
                transaction, _, _, unit, function = struct.unpack(">HHHBB", head)
                _, count = struct.unpack(">HH", stream.read(4))
                data = struct.pack(">H", self.value) * count
                connection.sendall(struct.pack(">HHHBBB", transaction, 0, 3 + len(data), unit, function, len(data)) + data)
        self.open -= 1

    def close(self):
        self._listener.close()


@pytest.fixture
def plcs():
    found = [Plc(11), Plc(22), Plc(33)]
    yield found
    for plc in found:
        plc.close()


def configuration(first, second, more=""):
    return f"""
[server]
port = 0
[[sources]]
name = "First"
protocol = "modbus"
endpoint = "tcp://127.0.0.1:{first.port}"
[[sources]]
name = "Second"
protocol = "modbus"
endpoint = "tcp://127.0.0.1:{second.port}"
[[machines]]
name = "M"
period = "100ms"
[[machines.signals]]
name = "a"
source = "First"
address = "holding:1"
register_type = "u16"
[[machines.signals]]
name = "b"
source = "Second"
address = "holding:1"
register_type = "u16"
[machines.data_drift]
tests = ["psi"]
{more}"""


def test_one_source_goes_over_and_the_other_does_not_notice(plcs, tmp_path):
    old, other, new = plcs
    file, log = tmp_path / "config.toml", tmp_path / "log.txt"
    file.write_text(configuration(old, other))
    with log.open("w") as errors:
        process = subprocess.Popen(
            [BINARY, "run", "--config", file, "--data-dir", tmp_path / "data"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
    try:
        eventually(lambda: old.open == 1 and other.open == 1, 60, "both are connected")

        # A file with a fault changes nothing, and every fault is named.
        file.write_text(configuration(new, other, "hop = 0"))
        process.send_signal(signal.SIGHUP)
        eventually(lambda: "not taken as a whole" in log.read_text(), 60, "the fault is told")
        assert "data_drift.hop" in log.read_text()
        assert (old.open, new.connections) == (1, 0)

        file.write_text(configuration(new, other))
        process.send_signal(signal.SIGHUP)
        eventually(lambda: new.open == 1 and old.open == 0, 60, "the first source goes over")
        eventually(lambda: "source First: connects anew" in log.read_text(), 60, "it is told")
        assert (other.connections, other.open) == (1, 1)
        assert "Second: connects anew" not in log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
