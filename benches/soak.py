#!/usr/bin/env python3
"""Memory of gateways whose PLCs lose their connections all the time: benches/soak.py [--minutes N] [--family NAME]

A gateway for each simulated PLC (siemens, beckhoff, modbus): 5 rows a second, a lost connection every 5 s, a restart of the PLC every
minute. Says the resident memory after a fifth of the time (when caches have filled) and at the end, its mean over the last fifth,
and how often the source connected. Needs tests/python/requirements.txt; the binary is target/release/driftgate, or DRIFTGATE_BIN.
Exit codes: 0, or 1 where memory grew by more than a tenth and 4 MB between the second and the last fifth."""

import argparse
import asyncio
import logging
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("DRIFTGATE_BIN", str(ROOT / "target/release/driftgate"))
sys.path[:0] = [str(ROOT / "tests/robustness"), str(ROOT / "tests/python")]

from families import FAMILIES, configuration  # noqa: E402
from gateway import Server  # noqa: E402
from rig import Sim  # noqa: E402

DROP_EVERY, RESTART_EVERY = 5, 60


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


async def disturb(sim: Sim, restart: str) -> None:
    second = 0
    while True:
        await asyncio.sleep(DROP_EVERY)
        second += DROP_EVERY
        for command in restart.split(";") if second % RESTART_EVERY == 0 else ["drop"]:
            await sim.do(command)


async def soak(family, folder: Path, seconds: float) -> bool:
    sim = await asyncio.to_thread(Sim, family.script, folder / "plc", *family.arguments)
    try:
        server = await asyncio.to_thread(Server, folder / "data", "", configuration(family, sim.endpoint))
        disturbing = asyncio.create_task(disturb(sim, "stop;start" if family.name == "modbus" else "restart 1"))
        try:
            begun, seen = time.monotonic(), []
            while (passed := time.monotonic() - begun) < seconds:
                seen.append((passed, memory_mb(server.process.pid)))
                await asyncio.sleep(1)
        finally:
            disturbing.cancel()
            await asyncio.to_thread(server.__exit__)
    finally:
        sim.end()
    fifths = [mean(mb for at, mb in seen if k <= at * 5 / seconds < k + 1) for k in range(5)]
    connected = len(re.findall(r"values (?:subscribed|polled)", server.log()))
    flat = fifths[4] <= max(fifths[1] * 1.1, fifths[1] + 4)
    means = " ".join(f"{mb:.1f}" for mb in fifths)
    print(f"{family.name:9} {seconds / 60:.0f} min, connected {connected} times, RSS in MB: start {seen[0][1]:.1f}, end {seen[-1][1]:.1f}, means of the fifths {means}", flush=True)
    return flat


async def soak_all(names: list[str], seconds: float) -> bool:
    with tempfile.TemporaryDirectory(prefix="driftgate-soak-") as folder:
        wanted = [f for f in FAMILIES if not names or f.name in names]
        return all(await asyncio.gather(*(soak(f, Path(folder) / f.name, seconds) for f in wanted)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--family", action="append", default=[], choices=[f.name for f in FAMILIES])
    arguments = parser.parse_args()
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    flat = asyncio.run(soak_all(arguments.family, arguments.minutes * 60))
    print("memory is flat" if flat else "MEMORY GROWS")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
