#!/usr/bin/env python3
"""A stream over three voltages, simulated: trains, replays and prints the figures. Usage: run.py [--driftgate BIN]

Current = 0.02 A/V x voltage + noise of 0.1 A. Reference: 1,000 rows, voltages in equal shares. 100 streams of 300 rows of each kind:
no drift with equal shares, no drift with 10/80/10 %, no drift at 220 V only, +0.5 sd and +1 sd at 220 V only, and 250 V (never trained)
in every tenth row; and streams of 900 rows with +0.5 sd at 220 V."""
import csv
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from replay_tools import Events, arguments, call  # noqa: E402

HERE, VOLTAGES, STREAMS = Path(__file__).resolve().parent, (164, 220, 289), 100
EQUAL = (1, 1, 1)
KINDS = {
    "no drift, equal shares": (EQUAL, 0.0, 300),
    "no drift, 10/80/10": ((1, 8, 1), 0.0, 300),
    "no drift, all at 220 V": ((0, 1, 0), 0.0, 300),
    "+0.5 sd at 220 V": (EQUAL, 0.5, 300),
    "+0.5 sd at 220 V, 900 rows": (EQUAL, 0.5, 900),
    "+1 sd at 220 V": (EQUAL, 1.0, 300),
    "250 V in every tenth row": (EQUAL, 0.0, 300),
}


def stream(rng, kind):
    shares, shift, rows = KINDS[kind]
    for i in range(rows):
        v = 250 if "250" in kind and i % 10 == 9 else rng.choices(VOLTAGES, shares)[0]
        yield v, 0.02 * v + rng.gauss(0, 0.1) + (0.1 * shift if v == 220 else 0.0)


def main():
    a = arguments(__doc__)
    rng = random.Random(5)
    reference, test = a.work / "reference.csv", a.work / "streams.csv"
    with open(reference, "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["unit", "Voltage", "Current"])
        for i in range(1000):
            v = rng.choice(VOLTAGES)
            w.writerow(["reference", v, f"{0.02 * v + rng.gauss(0, 0.1):.6f}"])
    with open(test, "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["unit", "Voltage", "Current"])
        for kind in KINDS:
            for n in range(STREAMS):
                w.writerows((f"{kind} #{n}", v, f"{i:.6f}") for v, i in stream(rng, kind))
    config, bundle, events = HERE / "three_voltages.toml", a.work / "motor.bundle", a.work / "events.jsonl"
    print(call(a.driftgate, "train", "--config", config, "--input", reference, "--out", bundle))
    call(a.driftgate, "replay", "--config", config, "--bundle", bundle, "--input", test, "--events", events)
    e = Events(events)
    for kind, (_, _, rows) in KINDS.items():
        units = [f"{kind} #{n}" for n in range(STREAMS)]
        drifted = sum(any(e.alarms(u, rows)) for u in units)
        print(f"{kind:<32} streams with a drift {drifted} of {STREAMS}")
    kind = "250 V in every tenth row"
    outside = [e.outside(f"{kind} #{n}", 300) for n in range(STREAMS)]
    right = sum(o[i] for o in outside for i in range(9, 300, 10))
    print(f"rows at 250 V: {right} of {30 * STREAMS} outside; other rows outside: {sum(map(sum, outside)) - right}")


if __name__ == "__main__":
    main()
