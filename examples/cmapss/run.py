#!/usr/bin/env python3
"""Turbofan engines (C-MAPSS FD002): prepares, trains, replays and prints the figures of four streams.
Usage: run.py DATA_DIR [--driftgate BIN]; DATA_DIR holds train_FD002.csv.gz, test_FD002.csv.gz and RUL_FD002.csv.gz."""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from figures import figures  # noqa: E402
from prepare import prepare  # noqa: E402
from replay_tools import arguments, call  # noqa: E402

CONFIG = HERE / "cmapss.toml"


def main():
    a = arguments(__doc__)
    for stream in ("natural", "campaign", "withheld", "spikes"):
        out = a.work / stream
        prepare(a.data, out, "FD002", stream)
        bundle, events = out / "engine.bundle", out / "events.jsonl"
        said = call(a.driftgate, "train", "--config", CONFIG, "--input", out / "fit.csv", "--calibrate", out / "calib.csv", "--out", bundle)
        call(a.driftgate, "replay", "--config", CONFIG, "--bundle", bundle, "--input", out / "eval.csv", "--events", events)
        print(stream, *[line for line in said.splitlines() if "data drift" in line], sep="\n")
        figures(out / "eval.csv", events)


if __name__ == "__main__":
    main()
