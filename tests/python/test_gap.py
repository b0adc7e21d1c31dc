"""An outage of the network: what the PLC has kept meanwhile is read from its history, and marked."""

import asyncio
import datetime
import json
import select
import socket
import subprocess
import threading
from contextlib import suppress

from asyncua import ua
from asyncua.sync import Server
from gateway import BINARY, eventually, run
from secure import secure_client

PATIENCE = 60
PASSWORD = "a long password"


class Wire:
    """A connection to a port that can be cut and joined."""

    def __init__(self, port):
        self._target, self._open, self._whole = port, [], True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._whole:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            self._open += [near, far]
            threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()

    @staticmethod
    def _pass_on(near, far):
        with near, far:
            try:
                while True:
                    for ready in select.select([near, far], [], [])[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        (far if ready is near else near).sendall(data)
            except (OSError, ValueError):
                return

    def cut(self):
        self._whole = False
        for end in self._open:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._open.clear()

    def join(self):
        self._whole = True

    def close(self):
        self.cut()
        self._listener.close()


class Plc:
    """A PLC that counts ten times a second and keeps a history of it."""

    def __init__(self):
        self.server = Server()
        self.server.set_endpoint("opc.tcp://127.0.0.1:0/")
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        space = self.server.register_namespace("urn:BeckhoffAutomation:Ua:PLC1")
        self.node = self.server.nodes.objects.add_variable(ua.NodeId("MAIN.nCount", space), ua.QualifiedName("nCount", space), 0.0)
        self.server.start()
        keep = self.server.aio_obj.historize_node_data_change(self.node.aio_obj, datetime.timedelta(hours=1), 100_000)
        self.server.tloop.post(keep)
        self.port = self.server.aio_obj.bserver.port
        self.count, self._ends = 0, threading.Event()
        self._counter = threading.Thread(target=self._run, daemon=True)
        self._counter.start()

    def _run(self):
        while not self._ends.wait(0.1):
            self.count += 1
            stamp = datetime.datetime.now(datetime.timezone.utc)
            self.node.write_value(ua.DataValue(ua.Variant(float(self.count)), SourceTimestamp=stamp, ServerTimestamp=stamp))

    def stop(self):
        self._ends.set()
        self._counter.join(PATIENCE)
        self.server.stop()


def kept(endpoint, certificate):
    """The values of the signal that the gateway has kept, with their status."""

    async def read():
        now = datetime.datetime.now(datetime.timezone.utc)
        async with await secure_client(endpoint, certificate, "eva", PASSWORD) as client:
            node = client.get_node("ns=2;s=M.Signals.Count")
            return await node.read_raw_history(now - datetime.timedelta(hours=1), now + datetime.timedelta(hours=1))

    return {v.Value.Value: v.StatusCode for v in asyncio.run(read()) if not v.StatusCode.is_bad()}


def test_an_outage_is_filled_from_the_history_of_the_plc(tmp_path, certificate):
    data_dir = tmp_path / "data"
    assert run("user", "add", "eva", "--role", "observer", "--password-stdin", "--data-dir", data_dir, text=PASSWORD + "\n").returncode == 0
    plc = Plc()
    wire = Wire(plc.port)
    config, log_file = tmp_path / "config.toml", tmp_path / "log.txt"
    config.write_text(
        f'[server]\nport = 0\n[[sources]]\nname = "P"\nprotocol = "opcua"\nsecurity = "none"\nendpoint = "opc.tcp://127.0.0.1:{wire.port}"\n'
        '[[machines]]\nname = "M"\ntrigger = "Count"\nsignals = [{ name = "Count", address = "MAIN.nCount" }]\n'
    )
    with log_file.open("w") as log:
        command = [str(BINARY), "run", "--config", str(config), "--data-dir", str(data_dir)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
    try:
        eventually(lambda: "OPC UA endpoint" in log_file.read_text(), PATIENCE, "the endpoint")
        endpoint = log_file.read_text().partition("OPC UA endpoint ")[2].split()[0]
        # The first attempt is refused: the client's certificate is to be trusted by hand.
        with suppress(ua.UaError, ConnectionError, asyncio.TimeoutError):
            kept(endpoint, certificate)
        (waiting,) = json.loads(run("cert", "list", "--json", "--data-dir", data_dir).stdout)["certificates"]
        assert run("cert", "trust", waiting["thumbprint"][:12], "--data-dir", data_dir).returncode == 0
        eventually(lambda: len(kept(endpoint, certificate)) > 10, PATIENCE, "values before")
        wire.cut()
        cut = plc.count
        eventually(lambda: plc.count > cut + 60, PATIENCE, "counts during the outage")
        joined = plc.count
        wire.join()
        eventually(lambda: max(kept(endpoint, certificate)) > joined + 100, PATIENCE, "values after")
        values = kept(endpoint, certificate)
        missing = [k for k in range(int(min(values)), joined) if k not in values]
        assert not missing, (missing, cut, joined, log_file.read_text())
        filled = {int(k) for k, status in values.items() if not status.is_good()}
        assert filled >= set(range(cut + 2, joined)), "each is marked"
        assert values[max(values)].is_good() and values[min(values)].is_good(), "others are not"
        assert "that the PLC has kept" in log_file.read_text()
    finally:
        process.kill()
        process.wait(PATIENCE)
        wire.close()
        plc.stop()
