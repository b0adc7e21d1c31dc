#!/usr/bin/env python3
"""Attacks a demo of its own and says how a good client fares: benches/attack.py [--quick]

Needs tests/python/requirements.txt; the binary is target/release/driftgate, or DRIFTGATE_BIN. The good client reads one value
twenty times a second on a connection of its own. All come from one address, which is the harder case."""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("DRIFTGATE_BIN", str(ROOT / "target/release/driftgate"))
sys.path.insert(0, str(ROOT / "tests/python"))

import attacks  # noqa: E402
from gateway import Gateway  # noqa: E402
from secure import make_certificate  # noqa: E402


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    share = 10 if parser.parse_args().quick else 1
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder))
        with Gateway(Path(folder) / "data", speed=1, seconds=3600) as gateway:
            attack(gateway, certificate, share)


def attack(gateway: Gateway, certificate, share: int) -> None:
    endpoint, phases, notes = gateway.endpoint, [], {}
    good = attacks.GoodClient(endpoint)

    def run(name, work):
        with attacks.phase(phases, name):
            result = asyncio.run(work)
        notes[name] = (result, memory_mb(gateway.process.pid))
        print(f"done: {name}, {phases[-1][2] - phases[-1][1]:.1f} s", file=sys.stderr, flush=True)

    run("alone", asyncio.sleep(10))
    run("300 idle connections", attacks.idle_connections(endpoint, 300 // share, 15))
    run("600 malformed or oversized", attacks.malformed_messages(endpoint, 600 // share))
    run("a stalled subscriber", attacks.stalled_subscriber(endpoint, 30))
    run("200 x 20 CreateSession", attacks.unactivated_sessions(endpoint, 200 // share, 20))
    run("10,000 failed logins", attacks.failed_logins(endpoint, certificate, 10_000 // share))
    begun = time.monotonic()
    while not asyncio.run(attacks.is_admitted(endpoint)):
        time.sleep(0.2)
    attacks.GoodClient(endpoint).finish()
    login = time.monotonic() - begun
    took = good.finish()
    print(f"{'phase':<30} {'s':>6} {'reads/s':>8} {'median ms':>10} {'worst ms':>9} {'MB':>5}  result")
    for name, begun, ended in phases:
        of_phase = sorted(d for at, d in took if begun <= at < ended)
        rate, median, worst = len(of_phase) / (ended - begun), of_phase[len(of_phase) // 2] * 1e3, of_phase[-1] * 1e3
        result, memory = notes[name]
        print(f"{name:<30} {ended - begun:>6.1f} {rate:>8.1f} {median:>10.1f} {worst:>9.1f} {memory:>5.0f}  {result if result is not None else ''}")
    print(f"a new client of the attackers' address: in after {login:.1f} s of trying; the process lives: {gateway.process.poll() is None}")


if __name__ == "__main__":
    main()
