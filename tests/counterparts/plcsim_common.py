"""Parts shared by the PLC simulators: signals, CSV replay, the demo process, the control channel.

CSV format
    First column: time in seconds (any name). Other columns are signals, named in the header:
        rSpeed:REAL            a scalar                     (type may be left out: REAL, or BOOL for true/false)
        aWave:REAL[256]        an array, cell "1.0;2.0;..."
        stMotor.rCurrent:REAL  a member of the structure stMotor
        @rSetSpeed:REAL        a setting: writable by clients, the CSV writes it only when its cell changes
    An empty cell keeps the last value; "!BadSensorFailure" makes the value bad with that status.
"""
from __future__ import annotations

import asyncio
import csv
import json
import math
import random
import re
import shlex
import socket
import struct
import sys
import time
from bisect import bisect_right
from dataclasses import dataclass

INT_RANGE = {
    "SINT": (-128, 127), "USINT": (0, 255), "BYTE": (0, 255), "INT": (-32768, 32767),
    "UINT": (0, 65535), "WORD": (0, 65535), "DINT": (-2**31, 2**31 - 1), "UDINT": (0, 2**32 - 1),
    "DWORD": (0, 2**32 - 1), "LINT": (-2**63, 2**63 - 1), "ULINT": (0, 2**64 - 1),
    "LWORD": (0, 2**64 - 1), "TIME": (-2**31, 2**31 - 1),
}
TYPES = {"BOOL", "REAL", "LREAL", "STRING", *INT_RANGE}


@dataclass(frozen=True)
class Bad:
    """A value that is not there, with an OPC UA status name."""
    status: str


@dataclass(frozen=True)
class Signal:
    name: str          # "rSpeed" or "stMotor.rCurrent"
    type: str          # IEC type name
    length: int = 0    # 0: scalar
    setting: bool = False

    @property
    def struct(self) -> str | None:
        return self.name.split(".", 1)[0] if "." in self.name else None

    def parse(self, cell: str):
        if cell.startswith("!"):
            return Bad(cell[1:])
        if self.length:
            parts = [self._one(c) for c in cell.split(";")]
            if len(parts) != self.length:
                raise ValueError(f"{self.name}: {len(parts)} elements where {self.length} were declared")
            return parts
        return self._one(cell)

    def _one(self, cell: str):
        cell = cell.strip()
        if self.type == "BOOL":
            return cell.lower() in ("1", "true", "on")
        if self.type == "STRING":
            return cell
        if self.type in INT_RANGE:
            lo, hi = INT_RANGE[self.type]
            return max(lo, min(hi, int(float(cell))))
        return float(cell)

    def zero(self):
        one = False if self.type == "BOOL" else "" if self.type == "STRING" else 0 if self.type in INT_RANGE else 0.0
        return [one] * self.length if self.length else one


def parse_header(text: str, sample: str = "") -> Signal:
    m = re.fullmatch(r"(@?)([A-Za-z_][\w.]*)(?::([A-Za-z]+)(?:\[(\d+)\])?)?", text.strip())
    if not m:
        raise ValueError(f"bad column header {text!r}")
    kind = (m[3] or ("BOOL" if sample.strip().lower() in ("true", "false") else "REAL")).upper()
    if kind not in TYPES:
        raise ValueError(f"unknown type {kind} in {text!r}")
    return Signal(m[2], kind, int(m[4] or 0), bool(m[1]))


class CsvSource:
    def __init__(self, path: str, loop: bool = True):
        with open(path, newline="") as f:
            rows = list(csv.reader(f))
        head, body = rows[0], [r for r in rows[1:] if r]
        if not body:
            raise ValueError(f"{path}: no rows")
        self.signals = [parse_header(h, body[0][i + 1]) for i, h in enumerate(head[1:])]
        self.times: list[float] = []
        self.rows: list[dict] = []
        last: dict = {s.name: s.zero() for s in self.signals}
        for r in body:
            for s, cell in zip(self.signals, r[1:]):
                if cell != "":
                    last[s.name] = s.parse(cell)
            self.times.append(float(r[0]))
            self.rows.append(dict(last))
        self.loop = loop
        step = (self.times[-1] - self.times[0]) / max(1, len(self.times) - 1)
        self.span = self.times[-1] - self.times[0] + (step or 1.0)

    def at(self, t: float) -> dict:
        t = (t % self.span if self.loop else min(t, self.span)) + self.times[0]
        return self.rows[max(0, bisect_right(self.times, t) - 1)]



class DemoSource:
    """A motor with a bearing that starts to drift at drift_at seconds; a 512-sample vibration waveform."""
    N = 512
    signals = [
        Signal("rSpeed", "REAL"), Signal("rTorque", "REAL"), Signal("lrEnergy", "LREAL"),
        Signal("rTempBearing", "REAL"), Signal("rPressure", "REAL"), Signal("rVibRms", "REAL"),
        Signal("iState", "INT"), Signal("diCycles", "DINT"), Signal("wStatus", "WORD"), Signal("xRunning", "BOOL"),
        Signal("sBatch", "STRING"), Signal("aVibration", "REAL", N), Signal("aZoneTemp", "REAL", 8),
        Signal("stMotor.rCurrent", "REAL"), Signal("stMotor.rVoltage", "REAL"), Signal("stMotor.diFaults", "DINT"),
        Signal("stMotor.xReady", "BOOL"),
        Signal("rSetSpeed", "REAL", setting=True), Signal("rLimitTemp", "REAL", setting=True),
        Signal("iRecipe", "INT", setting=True),
    ]

    def __init__(self, seed: int = 1, drift_at: float = 120.0, drift_rate: float = 0.02):
        self.rng = random.Random(seed)
        self.drift_at, self.drift_rate = drift_at, drift_rate

    def at(self, t: float) -> dict:
        g = self.rng.gauss
        drift = max(0.0, t - self.drift_at) * self.drift_rate
        recipe = int(t // 60) % 3
        set_speed = (1200.0, 1450.0, 900.0)[recipe]
        speed = set_speed + 4 * math.sin(t / 3) + g(0, 1.5)
        torque = 18 + 0.004 * speed + 0.3 * drift + g(0, 0.15)
        rms = 1.1 + 0.12 * drift + abs(g(0, 0.03))
        wave = [rms * math.sin(2 * math.pi * (i * 25 / self.N) + t) + 0.4 * drift *
                (1.0 if i % 64 < 2 else 0.0) + g(0, 0.1) for i in range(self.N)]
        return {
            "rSpeed": speed, "rTorque": torque, "lrEnergy": 1000.0 + t * torque * speed / 9.55e6,
            "rTempBearing": 52 + 0.5 * drift + 1.5 * math.sin(t / 40) + g(0, 0.1),
            "rPressure": 4.2 + 0.05 * math.sin(t / 7) + g(0, 0.01), "rVibRms": rms,
            "iState": 3, "diCycles": int(t / 2.5), "wStatus": 0x0237 if drift < 5 else 0x02B7, "xRunning": True,
            "sBatch": f"B{int(t // 60):05d}", "aVibration": wave,
            "aZoneTemp": [180 + 2 * i + g(0, 0.2) for i in range(8)],
            "stMotor.rCurrent": 0.42 * torque + g(0, 0.02), "stMotor.rVoltage": 398 + g(0, 0.8),
            "stMotor.diFaults": int(drift // 10), "stMotor.xReady": True,
            "rSetSpeed": set_speed, "rLimitTemp": 75.0, "iRecipe": recipe,
        }



class Replay:
    """Time of the replayed data: wall time since begin() times the speed, unless it is held still; or, with a step, scans times the step."""

    def __init__(self, source, speed: float = 1.0, step: float = 0.0):
        self.source, self.speed, self.step = source, speed, step
        self.begin()

    def begin(self, at: float = 0.0, hold: bool = False) -> None:
        self.base, self.start, self.held, self.scans = at, time.monotonic(), hold, 0

    def now(self) -> float:
        if self.held:
            return self.base
        return self.base + (self.scans * self.step if self.step else (time.monotonic() - self.start) * self.speed)

    def values(self) -> dict:
        """The values of this scan."""
        self.scans += not self.held
        return self.source.at(self.now())

    def command(self, cmd: str, words: list[str]) -> bool:
        """seek SECONDS [hold] | hold | go"""
        if cmd == "seek":
            self.begin(float(words[0]), words[1:] == ["hold"])
        elif cmd in ("hold", "go"):
            self.begin(self.now(), cmd == "hold")
        else:
            return False
        return True


def add_replay_args(p):
    g = p.add_argument_group("data")
    g.add_argument("--csv", help="CSV file to replay (see plcsim_common.py); without it the built-in motor runs")
    g.add_argument("--speed", type=float, default=1.0, help="replay speed (10: ten times as fast)")
    g.add_argument("--once", action="store_true", help="stay at the last row of the CSV instead of looping")
    g.add_argument("--hold", action="store_true", help="begin with the replay held still (see the commands seek, hold, go)")
    g.add_argument("--by-scan", action="store_true", help="each scan takes the data on by its time, late or not: no row is left out or shown twice")
    g.add_argument("--seed", type=int, default=1)
    g.add_argument("--drift-at", type=float, default=120.0, help="demo process: drift begins here (seconds)")
    g.add_argument("--drift-rate", type=float, default=0.02)
    g.add_argument("--scan-ms", type=float, default=100.0, help="PLC scan: values change this often")
    c = p.add_argument_group("faults")
    c.add_argument("--control", type=int, default=0, metavar="PORT",
                   help="HTTP control on 127.0.0.1:PORT: curl -d 'drop' 127.0.0.1:PORT (-1: any free one, named in the first line)")
    c.add_argument("--at", action="append", default=[], metavar="SECONDS:COMMAND",
                   help="run a command later, e.g. --at '5:bad rSpeed BadSensorFailure' (may be repeated)")
    c.add_argument("--stdin", action="store_true", help="also read commands from standard input")


def free_port(host: str) -> int:
    """A port that nobody listens on: for --port 0, which has to stay the same over a restart."""
    with socket.socket() as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def make_source(args):
    return CsvSource(args.csv, not args.once) if args.csv else DemoSource(args.seed, args.drift_at, args.drift_rate)


def make_replay(args) -> Replay:
    return Replay(make_source(args), args.speed, args.scan_ms / 1000 * args.speed if args.by_scan else 0.0)


def reset(transport) -> None:
    """Close a connection with RST, as a power cut or a firewall does, not with FIN."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Control:
    """Commands by HTTP (GET / shows the status, POST runs one line), by --at, and by standard input."""

    def __init__(self, run, status):
        self.run, self.status, self._tasks = run, status, []

    async def start(self, args):
        if args.control:
            server = await asyncio.start_server(self._http, "127.0.0.1", max(args.control, 0))
            args.control = server.sockets[0].getsockname()[1]
            self._tasks.append(server)
        for spec in args.at:
            when, cmd = spec.split(":", 1)
            self._tasks.append(asyncio.create_task(self._later(float(when), cmd)))
        if args.stdin:
            loop = asyncio.get_running_loop()
            loop.add_reader(sys.stdin, self._line, loop)

    def _line(self, loop):
        line = sys.stdin.readline()
        if line:
            self._tasks.append(asyncio.ensure_future(self._say(line)))
        else:                                      # whoever gave the commands is gone
            loop.remove_reader(sys.stdin)
            self._tasks.append(asyncio.ensure_future(self.execute("quit")))

    async def _later(self, when: float, cmd: str):
        await asyncio.sleep(when)
        await self._say(cmd)

    async def _say(self, line: str):
        if line.strip():
            print(json.dumps({"command": line.strip(), **await self.execute(line)}), flush=True)

    async def execute(self, line: str) -> dict:
        try:
            words = shlex.split(line)
            return {"ok": True, "result": await self.run(words[0].lower(), words[1:])}
        except Exception as e:  # the answer goes to whoever gave the command
            return {"ok": False, "error": f"{type(e).__name__}: {e}"}

    async def _http(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            m = re.search(r"content-length:\s*(\d+)", head, re.I)
            body = (await reader.readexactly(int(m[1]))).decode() if m else ""
            answer = await self.execute(body) if body.strip() else self.status()
            data = json.dumps(answer, default=str).encode() + b"\n"
            code = b"200 OK" if answer.get("ok", True) else b"400 Bad Request"
            writer.write(b"HTTP/1.1 " + code + b"\r\nContent-Type: application/json\r\nContent-Length: "
                         + str(len(data)).encode() + b"\r\nConnection: close\r\n\r\n" + data)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
