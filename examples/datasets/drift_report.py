#!/usr/bin/env python3
"""A drift report of one dataset with Evidently: its first rows, from before the trigger, against its last ones.

Usage: drift_report.py FILE.parquet REPORT.html [ROWS]    (ROWS of each; default a third of the dataset)
Prints the features that have drifted, and fails where none has."""
import json
import sys
from pathlib import Path

import polars
from evidently import Report
from evidently.presets import DataDriftPreset


def main() -> int:
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    data = polars.read_parquet(Path(sys.argv[1]), hive_partitioning=False).sort("time")
    features = data.select([c for c in data.columns if c.startswith("feature_") and data[c].count() > 0])
    rows = int(sys.argv[3]) if len(sys.argv) == 4 else len(data) // 3
    report = Report([DataDriftPreset()])
    result = report.run(features.tail(rows).to_pandas(), features.head(rows).to_pandas())
    result.save_html(sys.argv[2])
    tests = [m for m in json.loads(result.json())["metrics"] if m["metric_name"].startswith("ValueDrift")]
    drifted = []
    for m in tests:
        # Tests that give a p-value say drift where it is small, distances where they are large.
        config = m["config"]
        value, threshold = m["value"], config["threshold"]
        if value < threshold if "p_value" in config["method"] else value > threshold:
            drifted.append(f"{config['column']} ({config['method']}: {value:.3g})")
    print(f"{len(drifted)} of {len(tests)} features have drifted: {', '.join(drifted)}")
    return 0 if drifted else 1


if __name__ == "__main__":
    sys.exit(main())
