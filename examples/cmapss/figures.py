#!/usr/bin/env python3
"""The figures of a C-MAPSS replay, from its events alone. Usage: figures.py EVAL.csv EVENTS.jsonl

A window ends at every flight from the 60th on; healthy: 125 flights or more left; an engine is detected where its first alarm
outside the healthy part comes with 20 flights or more left. An alarm is the status Drift of the monitor DataDrift."""
import csv
import json
import statistics
import sys
from collections import defaultdict

START, HEALTHY, LEAD = 60, 125, 20
CENTRES = [(0, 0, 100), (10, .25, 100), (20, .7, 100), (25, .62, 60), (35, .84, 100), (42, .84, 100)]
SCALE, WITHHELD = (1.0, .02, 5.0), 2


def is_withheld(row):
    s = [float(row[c]) for c in ("set1", "set2", "set3")]
    return min(range(6), key=lambda r: max(abs(a - b) / c for a, b, c in zip(s, CENTRES[r], SCALE))) == WITHHELD


def main():
    engines = defaultdict(list)
    with open(sys.argv[1], newline="") as f:
        for row in csv.DictReader(f):
            engines[row["unit"]].append(row)
    status, regime = defaultdict(dict), defaultdict(dict)
    with open(sys.argv[2]) as f:
        for line in f:
            e = json.loads(line)
            unit = e["unit"]
            kind, body = e["event"], e
            if kind == "status" and body["monitor"] == "DataDrift":
                status[unit][e["row"]] = body["status"]
            elif kind == "regime":
                regime[unit][e["row"]] = body["state"]
    windows = false = engines_false = onsets = 0
    leads, outside_right, outside_wrong, withheld = [], 0, 0, 0
    for unit, rows in engines.items():
        now, place, alarms = "Learning", "", []
        for i, row in enumerate(rows):
            now, place = status[unit].get(i + 1, now), regime[unit].get(i + 1, place)
            alarms.append(now == "Drift")
            w = is_withheld(row)
            withheld += w
            outside_right += w and place == "Outside"
            outside_wrong += (not w) and place == "Outside"
        if len(rows) <= START:
            continue
        span = range(START - 1, len(rows))
        healthy = [alarms[i] for i in span if int(rows[i]["rul"]) >= HEALTHY]
        windows, false = windows + len(healthy), false + sum(healthy)
        engines_false += any(healthy)
        onsets += sum(b and not a for a, b in zip([False] + healthy, healthy))
        late = [int(rows[i]["rul"]) for i in span if alarms[i] and int(rows[i]["rul"]) < HEALTHY]
        leads.append(late[0] if late else -1)
    n = len(leads)
    print(f"engines {n}, healthy windows {windows}")
    print(f"false alarms per 1,000 healthy windows {1000 * false / windows:.2f} ({onsets} onsets, {engines_false} engines)")
    print(f"detected {100 * sum(l >= LEAD for l in leads) / n:.1f} %, median lead {statistics.median(leads):g} flights")
    print(f"rows outside the envelope: {outside_right} of {withheld} at 20 kft / M 0.70, {outside_wrong} others")


if __name__ == "__main__":
    main()
