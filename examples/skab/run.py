#!/usr/bin/env python3
"""Water circulation loop (SKAB): replays 17 experiments and prints the figures. Usage: run.py DATA_DIR [--driftgate BIN]

The first 400 s of each file are its reference. Looked at every 5 s from 460 s on; healthy: before the first labelled anomaly.
Detected: an alarm at or after it; the delay counts from it (an alarm that stands from before counts 0)."""
import csv
import gzip
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from replay_tools import Events, arguments, call  # noqa: E402

HERE, REFERENCE, WINDOW, STEP = Path(__file__).resolve().parent, 400, 60, 5


def main():
    a = arguments(__doc__)
    files = sorted(p for p in a.data.glob("*.csv.gz") if not p.name.startswith("anomaly_free"))
    events = a.work / "events.jsonl"
    call(a.driftgate, "replay", "--config", HERE / "skab.toml", "--input", *files, "--events", events)
    e = Events(events, key="file", monitor="Rows.PredictionDrift")
    windows = false = 0
    delays = {}
    for path in files:
        with gzip.open(path, "rt", newline="") as f:
            labels = [float(r["anomaly"]) > 0 for r in csv.DictReader(f)]
        alarms = e.alarms(path.name, len(labels))
        first = labels.index(True)
        healthy = [alarms[i] for i in range(REFERENCE + WINDOW, first, STEP)]
        windows, false = windows + len(healthy), false + sum(healthy)
        late = [i for i in range(max(first, REFERENCE + WINDOW), len(labels)) if alarms[i]]
        delays[path.name[:-7]] = late[0] - max(first, REFERENCE + WINDOW) if late else None
    found = [d for d in delays.values() if d is not None]
    print("delay in s: " + ", ".join(f"{k} {'-' if d is None else d}" for k, d in delays.items()))
    print(f"healthy windows {windows}, false alarms per 1,000 {1000 * false / windows:.1f} ({false})")
    print(f"detected {len(found)} of {len(delays)}, median delay {statistics.median(found):g} s")


if __name__ == "__main__":
    main()
