#!/usr/bin/env python3
"""The figures of a C-MAPSS replay from its events alone: figures.py EVAL.csv.gz EVENTS.jsonl. Standard library only.

A window ends at every flight from the 60th on; it is healthy where 125 flights or more are left. A window alarms where the
monitor DataDrift stands at Drift. An engine is detected where its first alarm after its healthy part comes with 20 flights or
more left (its lead); cleanly, where in addition no healthy window alarmed."""

import csv
import gzip
import json
import statistics
import sys
from collections import defaultdict

from split import HEALTHY, WITHHELD, nearest_setting

START, LEAD = 60, 20


def read_engines(path):
    """Rows by engine, in the order of the file."""
    engines = defaultdict(list)
    with gzip.open(path, "rt", newline="") as f:
        for row in csv.DictReader(f):
            engines[row["unit"]].append(row)
    return engines


def read_events(path):
    """By engine: status of the monitor and state of the regime, at the rows (1 is the first) where they change."""
    status, regime = defaultdict(dict), defaultdict(dict)
    with open(path) as f:
        for line in f:
            event = json.loads(line)
            if event["event"] == "status" and event["monitor"] == "DataDrift":
                status[event["unit"]][event["row"]] = event["status"]
            elif event["event"] == "regime":
                regime[event["unit"]][event["row"]] = event["state"]
    return status, regime


def over_rows(changes, rows):
    """The value at each row."""
    values, now = [], None
    for row in range(1, rows + 1):
        now = changes.get(row, now)
        values.append(now)
    return values


def main():
    engines = read_engines(sys.argv[1])
    status, regime = read_events(sys.argv[2])
    healthy_windows = false_alarms = onsets = false_engines = clean = 0
    leads, outside, inside_withheld, rows_withheld = [], 0, 0, 0
    for unit, rows in engines.items():
        alarm = [s == "Drift" for s in over_rows(status[unit], len(rows))]
        for row, state in zip(rows, over_rows(regime[unit], len(rows))):
            withheld = nearest_setting(row) == WITHHELD
            rows_withheld += withheld
            inside_withheld += withheld and state == "Outside"
            outside += state == "Outside"
        if len(rows) <= START:
            continue
        windows = [(int(rows[i]["rul"]), alarm[i]) for i in range(START - 1, len(rows))]
        healthy = [a for left, a in windows if left >= HEALTHY]
        healthy_windows += len(healthy)
        false_alarms += sum(healthy)
        onsets += sum(b and not a for a, b in zip([False, *healthy], healthy))
        false_engines += any(healthy)
        leads.append(next((left for left, a in windows if a and left < HEALTHY), -1))
        clean += leads[-1] >= LEAD and not any(healthy)
    n = len(leads)
    found = [lead for lead in leads if lead >= LEAD]
    print(f"{n} engines, {healthy_windows} healthy windows")
    print(f"false alarms per 1,000 healthy windows: {1000 * false_alarms / healthy_windows:.1f} ({onsets} onsets, in {false_engines} engines)")
    print(f"detected: {100 * len(found) / n:.0f} %, cleanly {100 * clean / n:.0f} %")
    print(f"median lead of all engines: {statistics.median(leads):g} flights (-1: never)")
    print(f"rows outside the envelope: {outside}, of them at 20 kft / Mach 0.70 / 100 deg: {inside_withheld} of {rows_withheld}")


if __name__ == "__main__":
    main()
