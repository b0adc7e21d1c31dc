"""A driftgate process as a test sees it: its JSON lines on stdout, its messages on stderr, its OPC UA server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

from asyncua import ua
from asyncua.sync import Client, SyncNode

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("DRIFTGATE_BIN", ROOT / "target/debug/driftgate")).absolute()
# Generous: a test machine may be busy with other things.
START_SECONDS = 60.0
STOP_SECONDS = 20.0
# Of one request: some are answered when a reference has been calibrated.
CALL_SECONDS = 60.0

Line = dict[str, Any]


def run(*arguments: object, env: dict[str, str] | None = None, text: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command of driftgate to its end; `text` is its standard input."""
    command = [str(BINARY), *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})})


class Gateway:
    """A running `driftgate demo --json`."""

    def __init__(self, data_dir: Path, *, speed: float = 20, seconds: float = 3600, extra: tuple[str, ...] = ()) -> None:
        self.data_dir = data_dir
        self._errors = data_dir.parent / f"{data_dir.name}-{time.monotonic_ns()}.stderr"
        command = [str(BINARY), "demo", "--port", "0", "--json", "--speed", str(speed), "--duration", f"{seconds}s"]
        command += ["--data-dir", str(data_dir), *extra]
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.lines: list[Line] = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.endpoint: str = self.wait_for(lambda line: line["type"] == "start", START_SECONDS)["endpoint"]
        except BaseException:
            self.kill()
            raise

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            line = json.loads(text)
            line["at"] = time.monotonic()
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, wanted: Callable[[Line], bool], seconds: float, after: int = 0) -> Line:
        """The first line from number `after` on that is `wanted`."""
        deadline = time.monotonic() + seconds
        seen = after
        with self._changed:
            while True:
                while seen < len(self.lines):
                    if wanted(self.lines[seen]):
                        return self.lines[seen]
                    seen += 1
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "the process has ended" if self._ended else f"not within {seconds} s"
                    last = json.dumps(self.lines[-1]) if self.lines else "none"
                    raise AssertionError(f"the line waited for did not come: {why}\nlast line: {last}\nstderr: {self.errors()}")
                self._changed.wait(left)

    def wait_for_event(self, name: str, seconds: float) -> Line:
        return self.wait_for(lambda line: line.get("event") == name, seconds)

    def wait_for_status(self, status: str, seconds: float, after: int = 0) -> Line:
        """Waits until the machine as a whole has this status."""
        return self.wait_for(lambda line: line["type"] == "state" and line["status"] == status, seconds, after)

    def errors(self) -> str:
        """All that was written to stderr until now."""
        return self._errors.read_text()

    def terminate(self) -> int:
        """SIGTERM, as a service manager does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        return code

    def kill(self) -> None:
        """SIGKILL: nothing can be saved any more."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """An anonymous client on the unencrypted endpoint."""
        with Client(self.endpoint, timeout=CALL_SECONDS) as client:
            yield client

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


class Server:
    """A running `driftgate run`: no PLC answers it, unless its configuration names one."""

    def __init__(self, data_dir: Path, server: str = "", text: str = "") -> None:
        """`text`: the whole configuration, in place of a machine without a PLC."""
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        config = data_dir / "config.toml"
        config.write_text(
            text
            or f"""[server]\nport = 0\n{server}\n[[machines]]\nname = "Motor1"\nperiod = "1s"\nlearn_rows = 200
[[sources]]\nname = "PLC1"\nprotocol = "modbus"\nendpoint = "tcp://127.0.0.1:1"
[[machines.signals]]\nname = "Temperature"\naddress = "holding:1"\nregister_type = "f32"
[machines.data_drift]\ntests = ["kolmogorov_smirnov"]\n"""
        )
        self._log = data_dir / "log.txt"
        command = [str(BINARY), "run", "--config", str(config), "--data-dir", str(data_dir)]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        try:
            eventually(lambda: "OPC UA endpoint" in self.log() or self.process.poll() is not None, START_SECONDS, "the endpoint")
            assert self.process.poll() is None, self.log()
        except BaseException:
            self.kill()
            raise
        self.port = int(self.log().partition("OPC UA endpoint opc.tcp://")[2].partition("/")[0].rpartition(":")[2])
        self.endpoint = f"opc.tcp://127.0.0.1:{self.port}/"

    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(STOP_SECONDS) == 0, self.log()
        finally:
            self.kill()


def node(client: Client, path: str) -> SyncNode:
    """An instance by its path."""
    return client.get_node(ua.NodeId(path, 2))


def read(client: Client, path: str) -> Any:
    return node(client, path).read_value()


def write(client: Client, path: str, value: Any, kind: ua.VariantType) -> None:
    """Writes the value alone, as most panels do: no status, no timestamps."""
    variable = node(client, path)
    variable.write_attribute(ua.AttributeIds.Value, ua.DataValue(ua.Variant(value, kind)))


def eventually(wanted: Callable[[], bool], seconds: float, what: str) -> None:
    """Polls until it holds."""
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
