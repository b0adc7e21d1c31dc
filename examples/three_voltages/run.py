#!/usr/bin/env python3
"""A stream over three voltages, simulated: trains, replays and prints the figures. Usage: run.py [--driftgate BIN]

Current = 0.02 A/V x voltage + noise of 0.1 A. 40 references, voltages in equal shares, each followed by 10 streams of each kind: 400
of a kind. Streams of 300 rows: no drift with equal shares, no drift with 10/80/10 %, no drift at 220 V only, +0.5 sd and +1 sd at
220 V only, and 250 V (never trained) in every tenth row; and streams of 900 rows with +0.5 sd at 220 V. References have 1,000 rows.
The interval is 2 standard errors over the references, as the streams of one share it."""
import csv
import math
import random
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from replay_tools import Events, arguments, call  # noqa: E402

HERE, VOLTAGES, REFERENCES, STREAMS = Path(__file__).resolve().parent, (164, 220, 289), 40, 10
ROWS = 1000
EQUAL = (1, 1, 1)
UNTRAINED = "250 V in every tenth row"
KINDS = {
    "no drift, equal shares": (EQUAL, 0.0, 300),
    "no drift, 10/80/10": ((1, 8, 1), 0.0, 300),
    "no drift, all at 220 V": ((0, 1, 0), 0.0, 300),
    "+0.5 sd at 220 V": (EQUAL, 0.5, 300),
    "+0.5 sd at 220 V, 900 rows": (EQUAL, 0.5, 900),
    "+1 sd at 220 V": (EQUAL, 1.0, 300),
    UNTRAINED: (EQUAL, 0.0, 300),
}


def stream(rng, kind):
    shares, shift, rows = KINDS[kind]
    for i in range(rows):
        v = 250 if kind == UNTRAINED and i % 10 == 9 else rng.choices(VOLTAGES, shares)[0]
        yield v, 0.02 * v + rng.gauss(0, 0.1) + (0.1 * shift if v == 220 else 0.0)


def write(path, units):
    with open(path, "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["unit", "Voltage", "Current"])
        for unit, rows in units:
            w.writerows((unit, v, f"{i:.6f}") for v, i in rows)


def one_reference(a, rng):
    """Streams with a drift, of each kind; rows at 250 V, those of them outside, and other rows outside."""
    reference, test = a.work / "reference.csv", a.work / "streams.csv"
    drawn = (rng.choice(VOLTAGES) for _ in range(ROWS))
    write(reference, [("reference", [(v, 0.02 * v + rng.gauss(0, 0.1)) for v in drawn])])
    write(test, ((f"{kind} #{n}", stream(rng, kind)) for kind in KINDS for n in range(STREAMS)))
    config, bundle, events = HERE / "three_voltages.toml", a.work / "motor.bundle", a.work / "events.jsonl"
    call(a.driftgate, "train", "--config", config, "--input", reference, "--out", bundle)
    call(a.driftgate, "replay", "--config", config, "--bundle", bundle, "--input", test, "--events", events)
    e = Events(events)
    drifted = {kind: sum(any(e.alarms(f"{kind} #{n}", KINDS[kind][2])) for n in range(STREAMS)) for kind in KINDS}
    outside = [e.outside(f"{UNTRAINED} #{n}", 300) for n in range(STREAMS)]
    right = sum(o[i] for o in outside for i in range(9, 300, 10))
    return drifted, 30 * STREAMS, right, sum(map(sum, outside)) - right


def main():
    a = arguments(__doc__)
    rng = random.Random(5)
    results = [one_reference(a, rng) for _ in range(REFERENCES)]
    print(f"streams with a drift, of {REFERENCES * STREAMS}:")
    for kind in KINDS:
        shares = [100 * drifted[kind] / STREAMS for drifted, *_ in results]
        error = 2 * statistics.stdev(shares) / math.sqrt(REFERENCES)
        count = sum(drifted[kind] for drifted, *_ in results)
        print(f"  {kind:<28} {count:4}  {statistics.mean(shares):5.1f} % +- {error:.1f}")
    untrained, right, wrong = (sum(r[i] for r in results) for i in (1, 2, 3))
    print(f"  rows at 250 V: {right} of {untrained} outside; other rows outside: {wrong}")


if __name__ == "__main__":
    main()
