"""The figures of a C-MAPSS replay, from its events alone.

A window ends at every flight from the 60th on; healthy: 125 flights or more left; an engine is detected where its first alarm
outside the healthy part comes with 20 flights or more left. An alarm is the status Drift of the monitor DataDrift."""
import csv
import statistics
from collections import defaultdict

from prepare import WITHHELD, regime
from replay_tools import Events

START, HEALTHY, LEAD = 60, 125, 20


def figures(evaluation, events):
    """Prints the figures of one stream."""
    engines = defaultdict(list)
    with open(evaluation, newline="") as f:
        for row in csv.DictReader(f):
            engines[row["unit"]].append(row)
    e = Events(events)
    windows = false = engines_false = onsets = 0
    leads, right, wrong, withheld = [], 0, 0, 0
    for unit, rows in engines.items():
        alarms, outside = e.alarms(unit, len(rows)), e.outside(unit, len(rows))
        for row, out in zip(rows, outside):
            w = regime(row) == WITHHELD
            withheld, right, wrong = withheld + w, right + (w and out), wrong + (out and not w)
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
    print(f"  {n} engines, {windows} healthy windows")
    print(f"  false alarms per 1,000 healthy windows {1000 * false / windows:.2f} ({onsets} onsets, {engines_false} engines)")
    print(f"  detected {100 * sum(x >= LEAD for x in leads) / n:.1f} %, median lead {statistics.median(leads):g} flights")
    print(f"  rows outside the envelope: {right} of {withheld} at 20 kft / M 0.70, {wrong} others")
