#!/usr/bin/env python3
"""The same comparison with its HTML report, by Evidently and by driftgate, side by side. Usage:
pip install evidently==0.7.23; cargo build --release; benches/compare_evidently.py [--driftgate target/release/driftgate]

50 numerical columns of 1,000 rows. Evidently: DataDriftPreset, run and HTML, data already in memory, imports not counted. driftgate: the whole
process, with start and reading of two CSV files. Processor time, median of five runs each, in turns."""
import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from evidently import DataDefinition, Dataset, Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402

ROWS, COLUMNS, RUNS = 1_000, 50, 5


def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driftgate", type=Path, default=Path("target/release/driftgate"))
    driftgate = parser.parse_args().driftgate
    rng = np.random.default_rng(1)
    reference = pd.DataFrame(rng.normal(0, 1, (ROWS, COLUMNS)), columns=[f"f{i}" for i in range(COLUMNS)])
    current = pd.DataFrame(rng.normal(0.1, 1, (ROWS, COLUMNS)), columns=reference.columns)
    definition = DataDefinition(numerical_columns=list(reference.columns))

    def evidently():
        made = [Dataset.from_pandas(x, data_definition=definition) for x in (current, reference)]
        return len(Report([DataDriftPreset()]).run(*made).get_html_str(False))

    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        reference.to_csv(work / "r.csv", index=False)
        current.to_csv(work / "c.csv", index=False)
        call = [driftgate, "compare", "--reference", work / "r.csv", "--current", work / "c.csv", "--report", work / "f.html"]

        def ours():
            subprocess.run(call, check=True, stdout=subprocess.DEVNULL)
            return (work / "f.html").stat().st_size

        times = {"Evidently": [], "driftgate": []}
        sizes = {"Evidently": evidently(), "driftgate": ours()}
        for _ in range(RUNS):
            begun = time.process_time()
            evidently()
            times["Evidently"].append(time.process_time() - begun)
            begun = children()
            ours()
            times["driftgate"].append(children() - begun)
    middle = {who: 1e3 * statistics.median(t) for who, t in times.items()}
    for who, ms in middle.items():
        print(f"{who:<10} {ms:8.1f} ms, page of {sizes[who] / 1e3:.0f} kB")
    print(f"ratio      {middle['Evidently'] / middle['driftgate']:8.0f}")


if __name__ == "__main__":
    sys.exit(main())
