"""A simulator, a gateway that reads from it, and an observer at the gateway's OPC UA nodes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from gateway import ROOT, Server, run
from secure import instance, make_certificate, secure_client

COUNTERPARTS = ROOT / "tests/counterparts"
# The PLC's scan, in seconds. Each makes one row of data, whose number is the value of the counter.
SCAN = 0.2
ROWS = 20_000
# Of the machine: a value older than this is Bad; the level, if it stays the same for so long.
MAX_AGE = 4.0
STUCK = 2.0
PASSWORD = "robustness only"


def write_data(path: Path) -> None:
    """Rows whose time is their number: a counter, the same as a real number, a waveform, and what never changes."""
    still = ";".join(["1.5", "-2.5"] * 8)
    with path.open("w") as file:
        file.write("t,diCounter:DINT,rLevel:REAL,rStill:REAL,aWave:REAL[8],aStill:REAL[16],@iRecipe:INT\n")
        for row in range(ROWS):
            wave = ";".join(str((row + k) % 97) for k in range(8))
            file.write(f"{row},{row},{row},7.25,{wave},{still},3\n")


class Sim:
    """A simulator process with its control port."""

    def __init__(self, script: str, folder: Path, *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "data.csv"
        write_data(data)
        command = [sys.executable, "-B", str(COUNTERPARTS / script), "--port", "0", "--control", "-1", "--csv", str(data), "--by-scan"]
        command += ["--scan-ms", str(SCAN * 1000), "--speed", str(1 / SCAN), *arguments]
        self._errors = (folder / "errors.txt").open("w")
        self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, text=True)
        assert self.process.stdout is not None
        hello = json.loads(self.process.stdout.readline())
        self.endpoint, self._control = hello["endpoint"], f"http://127.0.0.1:{hello['control']}"

    def _ask(self, command: str) -> Any:
        with urllib.request.urlopen(urllib.request.Request(self._control, command.encode()), timeout=60) as answer:
            return json.loads(answer.read())["result"]

    async def do(self, command: str) -> Any:
        """Gives a command and waits until it is done."""
        return await asyncio.to_thread(self._ask, command)

    async def status(self) -> "PlcStatus":
        asked = time.monotonic()
        status = await self.do("status")
        requests = status["requests"]
        return PlcStatus((asked + time.monotonic()) / 2, round(status["t"]), sum(requests.values()) if isinstance(requests, dict) else requests)

    def end(self) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        self._errors.close()


@dataclass(frozen=True)
class PlcStatus:
    at: float
    # The newest row, which is the value of the counter.
    row: int
    requests: int


@dataclass(frozen=True)
class Shown:
    """What a node became, and when a client was told."""

    at: float
    status: int
    value: Any

    @property
    def good(self) -> bool:
        return self.status == 0


class Observer:
    """A client of the gateway that subscribes to what an operator would see."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Shown]] = {}
        self.client: Client

    def datachange_notification(self, source: Any, _: Any, data: Any) -> None:
        value = data.monitored_item.Value
        shown = Shown(time.monotonic(), value.StatusCode.value, None if value.Value is None else value.Value.Value)
        self.seen.setdefault(source.nodeid.Identifier, []).append(shown)

    async def connect(self, server: Server, folder: Path) -> None:
        """The way of every client: knock, be trusted, log in as a user."""
        certificate = await asyncio.to_thread(make_certificate, folder)
        with suppress(ua.UaError, ConnectionError, asyncio.TimeoutError):
            async with await secure_client(server.endpoint, certificate):
                pass
        await asyncio.to_thread(self._admit, server.data_dir)
        self.client = await secure_client(server.endpoint, certificate, "observer", PASSWORD)
        await self.client.connect()

    @staticmethod
    def _admit(data_dir: Path) -> None:
        found = json.loads(run("cert", "list", "--json", "--data-dir", data_dir).stdout)["certificates"]
        (own,) = [c for c in found if c["of"] == "client"]
        for result in (
            run("cert", "trust", own["thumbprint"], "--data-dir", data_dir),
            run("user", "add", "observer", "--role", "Observer", "--password-stdin", "--data-dir", data_dir, text=PASSWORD + "\n"),
        ):
            assert result.returncode == 0, result

    async def subscribe(self, paths: list[str]) -> None:
        subscription = await self.client.create_subscription(100, self)
        await subscription.subscribe_data_change([instance(self.client, path) for path in paths], queuesize=100)

    def status_change_notification(self, status: Any) -> None:
        """The subscription ends with the server."""

    def last(self, path: str) -> Shown | None:
        shown = self.seen.get(path)
        return shown[-1] if shown else None

    async def until(self, wanted: Any, seconds: float) -> bool:
        """Whether it came true in that time."""
        deadline = time.monotonic() + seconds
        while not wanted():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def past(self, path: str) -> list[ua.DataValue]:
        """All rows that the store has."""
        now, day = datetime.now(UTC), timedelta(days=1)
        return await instance(self.client, path).read_raw_history(now - day, now + day, numvalues=0, return_bounds=False)
