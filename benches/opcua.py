#!/usr/bin/env python3
"""How fast the OPC UA server answers, measured from outside with asyncua on a running demo.

    benches/opcua.py            needs asyncua; takes target/release/driftgate unless DRIFTGATE names another

Prints: HistoryRead of 100,000 values in pages of 10,000 (the same past read again until there are so many), from write to effect
of a parameter (write, then EffectiveValue is there: median and worst of 200), and the load with every variable subscribed.
A client in Python shares the time: what the server needs alone is less.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from asyncua import ua
from asyncua.sync import Client

ROOT = Path(__file__).resolve().parents[1]
BINARY = os.environ.get("DRIFTGATE", str(ROOT / "target/release/driftgate"))
SIGNAL, PARAMETER = "Motor1.Signals.TempWinding", "Motor1.Drift.DataDrift.Hop"
ROWS, VALUES, WRITES, SECONDS = 5_000, 100_000, 200, 20


def node(client: Client, path: str):
    return client.get_node(ua.NodeId(path, 2))


def history(client: Client) -> None:
    start = datetime.now(timezone.utc) - timedelta(hours=1)
    read = lambda: node(client, SIGNAL).read_raw_history(start, datetime.now(timezone.utc))
    while len(read()) < ROWS:
        time.sleep(1)
    count, begun = 0, time.perf_counter()
    while count < VALUES:
        count += len(read())
    seconds = time.perf_counter() - begun
    print(f"history: {count} values in {seconds:.2f} s, {count / seconds:,.0f} a second")


def parameter(client: Client) -> None:
    variable, effective = node(client, PARAMETER), node(client, f"{PARAMETER}.EffectiveValue")
    first = variable.read_value()
    took = []
    for k in range(WRITES):
        value = first + 1 + k % 2
        begun = time.perf_counter()
        variable.write_attribute(ua.AttributeIds.Value, ua.DataValue(ua.Variant(value, ua.VariantType.UInt32)))
        assert effective.read_value() == value
        took.append(1e3 * (time.perf_counter() - begun))
    variable.write_attribute(ua.AttributeIds.Value, ua.DataValue(ua.Variant(first, ua.VariantType.UInt32)))
    print(f"write to effect: median {statistics.median(took):.0f} ms, worst {max(took):.0f} ms of {WRITES}")


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def datachange_notification(self, *_: object) -> None:
        self.count += 1


def ticks(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def subscription(client: Client, pid: int) -> None:
    found, queue = [], [node(client, "Gateway")]
    while queue:
        for child in queue.pop().get_children():
            if child.nodeid.NamespaceIndex == 2:
                (found if child.read_node_class() == ua.NodeClass.Variable else queue).append(child)
    counter = Counter()
    items = client.create_subscription(100, counter)
    items.subscribe_data_change(found)
    begun, used, before = time.perf_counter(), ticks(pid), counter.count
    time.sleep(SECONDS)
    seconds, changes = time.perf_counter() - begun, counter.count - before
    memory = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    load = 100 * (ticks(pid) - used) / seconds
    print(f"subscription: {len(found)} variables, {changes / seconds:.0f} changes/s, {load:.0f} % of one core, {int(memory.split()[1]) // 1000} MB")


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        command = [BINARY, "demo", "--port", "0", "--json", "--speed", "20", "--duration", "900s", "--data-dir", f"{directory}/data"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            line = next(line for line in map(json.loads, process.stdout) if line["type"] == "start")
            # Nobody reads on, and a full pipe would hold the demo up.
            threading.Thread(target=lambda: all(True for _ in process.stdout), daemon=True).start()
            with Client(line["endpoint"]) as client:
                parameter(client)
                subscription(client, process.pid)
                history(client)
        finally:
            process.terminate()
            process.wait(20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
