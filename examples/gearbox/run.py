#!/usr/bin/env python3
"""Gearbox with a broken tooth at seven loads: trains, replays and prints the figures. Usage: run.py DATA_DIR [--driftgate BIN]

Each file is 48 windows of 1,024 samples. Reference: the first 28 healthy windows at the loads 0 10 20 40 50 60. Healthy test: the
other 20. Broken: 20 healthy windows followed by the first 40 broken ones. Load 80 is never trained."""
import gzip
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from replay_tools import Events, arguments, call  # noqa: E402

HERE, BLOCK, TRAINED, UNTRAINED = Path(__file__).resolve().parent, 1024, (0, 10, 20, 40, 50, 60), 80
REFERENCE, HEALTHY, BROKEN = 28, 20, 40


def rows(path, first, last):
    with gzip.open(path, "rt") as f:
        lines = f.read().splitlines()
    return lines[0], lines[1 + first * BLOCK:1 + last * BLOCK]


def main():
    a = arguments(__doc__)
    for load in (*TRAINED, UNTRAINED):
        head, healthy = rows(a.data / f"healthy_load{load:02d}.csv.gz", REFERENCE, REFERENCE + HEALTHY)
        _, broken = rows(a.data / f"broken_load{load:02d}.csv.gz", 0, BROKEN)
        (a.work / f"load{load:02d}.csv").write_text("\n".join([head, *healthy, *broken]) + "\n")
    config, bundle, events = HERE / "gearbox.toml", a.work / "gearbox.bundle", a.work / "events.jsonl"
    inputs = [f"{a.data}/healthy_load{load:02d}.csv.gz@load={load}@rows=1-{REFERENCE * BLOCK}" for load in TRAINED]
    print(call(a.driftgate, "train", "--config", config, "--input", *inputs, "--out", bundle))
    inputs = [f"{a.work}/load{load:02d}.csv@load={load}" for load in (*TRAINED, UNTRAINED)]
    call(a.driftgate, "replay", "--config", config, "--bundle", bundle, "--input", *inputs, "--events", events)
    e = Events(events, key="file")
    delays, false = [], 0
    for load in TRAINED:
        alarms = e.alarms(f"load{load:02d}.csv", HEALTHY + BROKEN)
        false += sum(alarms[:HEALTHY])
        late = [i for i, alarm in enumerate(alarms[HEALTHY:], 1) if alarm]
        delays.append(late[0] if late else 999)
    outside = e.outside(f"load{UNTRAINED}.csv", HEALTHY + BROKEN)
    drift = e.alarms(f"load{UNTRAINED}.csv", HEALTHY + BROKEN)
    print(f"healthy windows at trained loads: {HEALTHY * len(TRAINED)}, in alarm {false}")
    print(f"broken tooth at trained loads: delay in windows {delays}, median {statistics.median(delays):g}, worst {max(delays)}")
    print(f"load {UNTRAINED}, never trained: {sum(outside)} of {len(outside)} windows outside, {sum(drift)} in drift")


if __name__ == "__main__":
    main()
